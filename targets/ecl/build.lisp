;;;; Links the probe, which is loaded and compiled, and all systems below it into
;;;; the program PROBE_IMAGE.

(defun object-files ()
  "Of the probe and of the systems that it depends on, in the order of loading."
  (loop for component in (asdf/plan:required-components
                          "zmqmatrix-probe" :other-systems t
                          :component-type 'asdf:cl-source-file
                          :goal-operation 'asdf:compile-op)
        append (remove "o" (asdf:output-files 'asdf:compile-op component)
                       :key #'pathname-type :test #'string/=)))

(defun tests ()
  "The unit tests' object file, in a list, if they are wanted."
  (when (ext:getenv "PROBE_TESTS")
    (list (compile-file "targets/lisp/tests.lisp" :system-p t
                        :output-file (format nil "~a/tests.o" (ext:getenv "ZMQMATRIX_CACHE"))))))

;; CFFI needs UIOP, which Debian's ECL has in one file with ASDF, for loading only.
(c:build-program (ext:getenv "PROBE_IMAGE")
                 :lisp-files (append (object-files) (tests))
                 :prologue-code '(let ((*load-verbose* nil)) (require "ASDF"))
                 :epilogue-code (list *entry*))
