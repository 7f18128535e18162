(in-package :zmqmatrix.binding)

;;;; The raw layer of an implementation that has no CFFI: the same functions as
;;;; cffi.lisp's, which names nothing of CFFI, over the implementation's own
;;;; foreign/<implementation>.lisp.

(eval-when (:compile-toplevel :load-toplevel :execute)
  (defun forms-of (file)
    "All forms of FILE, which stands beside this one. Builds run in the module's root."
    (with-open-file (in (concatenate 'string "targets/lisp/bindings/" file))
      (loop for form = (read in nil in)
            until (eq form in) collect form))))

(defmacro include (file)
  `(progn ,@(forms-of file)))

(include "cffi.lisp")
