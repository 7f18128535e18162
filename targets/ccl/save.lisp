;;;; Loads the probe and writes it as an executable. Run in the module's root as
;;;; lx86cl64 --no-init --batch --quiet --load targets/ccl/save.lisp, which ends
;;;; with a backtrace at the first error (level-1/l1-readloop-lds.lisp,
;;;; abnormal-application-exit).

(load "targets/lisp/load.lisp")

;; The initial thread writes the image and ends the process when this one has
;; handed over; lisp and image then are one file.
(ccl:save-application (ccl:getenv "PROBE_IMAGE")
                      :prepend-kernel t :mode #o755
                      :toplevel-function (symbol-value (find-symbol "*ENTRY*" "COMMON-LISP-USER")))
