# Usage: sh quicklisp.sh SYSTEM FOLDER, where Debian's cl-quicklisp and sbcl are
# installed. Fetches an ASDF system with all that it depends on into
# FOLDER/software, and writes into FOLDER/from what it was fetched from. What
# fails says why in the last line of standard error.
set -eu
export HOME="$2/home" SYSTEM="$1" FOLDER="$2/"
mkdir "$HOME"
why() {
	cat "$2/log" >&2
	echo "$1: $(grep -i -A 1 -m 1 '^unhandled' "$2/log" | tr '\n' ' ')" >&2
	exit 1
}
# What answers at all answers in this time; a name that can't be resolved or a
# line that is refused fails at once, and one that drops everything never ends.
timeout 10 sbcl --noinform --no-sysinit --no-userinit --non-interactive \
	--load /usr/share/common-lisp/source/quicklisp/quicklisp.lisp \
	--eval '(quicklisp-quickstart:install :path (merge-pathnames "quicklisp/" (user-homedir-pathname))
	                                      :proxy (sb-ext:posix-getenv "http_proxy"))' \
	>"$2/log" 2>&1 || why "it does not answer" "$2"
sbcl --noinform --no-sysinit --no-userinit --non-interactive \
	--load "$HOME/quicklisp/setup.lisp" \
	--eval '(ql:bundle-systems (list (sb-ext:posix-getenv "SYSTEM")) :to (sb-ext:posix-getenv "FOLDER"))' \
	--eval '(with-open-file (from (concatenate (quote string) (sb-ext:posix-getenv "FOLDER") "from") :direction :output)
	          (format from "Quicklisp ~a" (ql-dist:version (ql-dist:dist "quicklisp"))))' \
	>"$2/log" 2>&1 || why "it gave no $1" "$2"
