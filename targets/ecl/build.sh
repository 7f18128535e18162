#!/bin/sh
# Usage: build.sh OUTPUT-DIR, in the module's root. Writes the probe's program and
# the C libraries there, and nothing anywhere else.
#
# ZMQMATRIX_BINDING   binding of the probe: a file of targets/lisp/bindings
# ZMQMATRIX_SYSTEMS   its ASDF system, if it comes from elsewhere; else empty
# ZMQMATRIX_SOURCE    the folder with that system; else empty
set -eu
mkdir -p "$1"
output=$(cd "$1" && pwd)
sh targets/c/build-support.sh "$output"
. targets/c/flags.sh
${CC:-gcc} $flags -fPIC -shared \
  -Wl,-soname,libimportthread.so -o "$output/libimportthread.so" targets/ecl/import_thread.c \
  -lecl -lgc

ZMQMATRIX_CACHE=$(mktemp -d)
trap 'rm -rf "$ZMQMATRIX_CACHE"' EXIT
export ZMQMATRIX_CACHE
export ZMQMATRIX_TARGET=ecl
export PROBE_IMAGE="$output/probe"
# Debian's cl-asdf is newer than the ASDF inside ECL, which would upgrade to it
# and overflow its binding stack.
export CL_SOURCE_REGISTRY='(:source-registry (:also-exclude "cl-asdf") :inherit-configuration)'

# Unit tests are for what the code does, and soon compiled without optimization.
compiler=nil
if [ -n "${PROBE_TESTS:-}" ]; then
  compiler='(progn (require :cmp) (setf c::*cc-flags* (format nil "~a -O0 -g0 -w" c::*cc-flags*) c::*cc-optimize* "-O0"))'
fi

ecl --norc --eval "$compiler" --eval '(setf ext:*invoke-debugger-hook*
                         (lambda (condition hook)
                           (declare (ignore hook))
                           (format *error-output* "~&~a~%" condition)
                           (ext:quit 1)))' \
    --load targets/lisp/load.lisp --load targets/ecl/build.lisp --eval '(ext:quit 0)'
