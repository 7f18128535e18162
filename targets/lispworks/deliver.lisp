;;;; Loads the probe and delivers it as an executable. Run in the module's root as
;;;; lispworks -init - -siteinit - -build targets/lispworks/deliver.lisp, which
;;;; ends with a backtrace at the first error (LW 27.4.1, Command Line Arguments).

(load (merge-pathnames "targets/lisp/load.lisp" (hcl:get-working-directory)))

;; Level 0 keeps all of Lisp, since bindings find functions by name. Without
;; multiprocessing no thread but the first could run Lisp (Delivery User Guide,
;; Keywords to the Delivery Function, :multiprocessing).
(lw:deliver (symbol-value (find-symbol "*ENTRY*" "COMMON-LISP-USER"))
            (lw:environment-variable "PROBE_IMAGE") 0
            :multiprocessing t)
