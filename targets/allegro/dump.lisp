;;;; Loads the probe and writes it as an image. Run in the module's root as
;;;; alisp -qq -batch -L targets/allegro/dump.lisp -kill.

;; In batch mode an error only ends the loading, with exit status 0.
(handler-bind ((error (lambda (condition)
                        (format *error-output* "~&~a~%" condition)
                        (excl:exit 1 :no-unwind t :quiet t))))
  (require :process)
  (load "targets/lisp/load.lisp")
  ;; The image starts with this instead of a listener
  ;; (variables/excl/s_restart-app-function_s.htm).
  (setf excl:*restart-app-function* (symbol-value (find-symbol "*ENTRY*" "COMMON-LISP-USER")))
  (excl:dumplisp :name (sys:getenv "PROBE_IMAGE") :suppress-allegro-cl-banner t))
