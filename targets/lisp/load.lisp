;;;; Loads the probe, compiled, into a Lisp that was started with its own options
;;;; for "no init files, no debugger". Run in the module's root. Compiled files go
;;;; under the directory of the environment variable ZMQMATRIX_CACHE, nowhere else.
;;;; With PROBE_TESTS set, the unit tests are loaded too. *ENTRY* is then
;;;; the function an image is to start with.

(require "asdf")

(asdf:initialize-output-translations
 `(:output-translations
   (t (,(uiop:ensure-directory-pathname (uiop:getenv "ZMQMATRIX_CACHE")) :implementation))
   :ignore-inherited-configuration))

(asdf:initialize-source-registry
 `(:source-registry
   (:directory ,(merge-pathnames "targets/lisp/" (uiop:getcwd)))
   :inherit-configuration))

(asdf:load-system "zmqmatrix-probe")

(defvar *entry* (intern "MAIN" "ZMQMATRIX.PROBE"))
(when (uiop:getenv "PROBE_TESTS")
  (load (merge-pathnames "targets/lisp/tests.lisp" (uiop:getcwd)))
  (setf *entry* (intern "RUN" "ZMQMATRIX.TESTS")))
