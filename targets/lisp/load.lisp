;;;; Loads the probe, compiled, into a Lisp that was started with its own options
;;;; for "no init files, no debugger". Run in the module's root. Compiled files go
;;;; under the directory of the environment variable ZMQMATRIX_CACHE, nowhere else.
;;;; ZMQMATRIX_BINDING, ZMQMATRIX_SYSTEMS and ZMQMATRIX_SOURCE choose the binding:
;;;; see zmqmatrix-probe.asd. With PROBE_TESTS set, the unit tests are loaded too.
;;;; *ENTRY* is then the function an image is to start with.

(require "asdf")

(asdf:initialize-output-translations
 `(:output-translations
   (t (,(uiop:ensure-directory-pathname (uiop:getenv "ZMQMATRIX_CACHE")) :implementation))
   :ignore-inherited-configuration))

(defvar *source* (uiop:getenv "ZMQMATRIX_SOURCE") "The tree of a binding that comes from elsewhere.")

(asdf:initialize-source-registry
 `(:source-registry
   (:directory ,(merge-pathnames "targets/lisp/" (uiop:getcwd)))
   ,@(when (plusp (length *source*))
       `((:tree ,(uiop:ensure-directory-pathname *source*))))
   :inherit-configuration))

(load (merge-pathnames "targets/lisp/loading.lisp" (uiop:getcwd)))

(defun load-probe ()
  (asdf:load-system "zmqmatrix-probe"))

(defvar *systems*
  (remove "" (uiop:split-string (or (uiop:getenv "ZMQMATRIX_SYSTEMS") "")) :test #'string=)
  "The ASDF systems that a binding from elsewhere consists of.")

(when *systems*
  (zmqmatrix.loading:load-systems *systems*))

;;; An adaptor that does not fit its binding (a symbol that is no longer
;;; exported) is not to break the image either: then the probe is read anew
;;; without it.
(if (or (null *systems*) (zmqmatrix.loading:failure))
    (load-probe)
    (handler-case (load-probe)
      (error (condition)
        (zmqmatrix.loading:note-failure condition)
        (asdf:clear-system "zmqmatrix-probe")
        (load-probe))))

(defvar *entry* (intern "MAIN" "ZMQMATRIX.PROBE"))
(when (uiop:getenv "PROBE_TESTS")
  (load (merge-pathnames "targets/lisp/tests.lisp" (uiop:getcwd)))
  (setf *entry* (intern "RUN" "ZMQMATRIX.TESTS")))
