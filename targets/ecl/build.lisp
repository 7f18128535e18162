;;;; Links the probe, which is loaded and compiled, and all systems below it into
;;;; the program PROBE_IMAGE. ECL saves no images: what load.lisp has seen is
;;;; written down as one more file.

(defun cache-file (name)
  (format nil "~a/~a" (ext:getenv "ZMQMATRIX_CACHE") name))

(defun compiled (source name)
  "The object file of SOURCE."
  (or (compile-file source :system-p t :output-file (cache-file (format nil "~a.o" name)))
      (error "~a does not compile" source)))

(defun loading-state ()
  "A file that sets the variables of loading.lisp to what they are now."
  (let ((source (cache-file "loading-state.lisp"))
        (package (find-package "ZMQMATRIX.LOADING")))
    (with-open-file (out source :direction :output :if-exists :supersede)
      (with-standard-io-syntax
        (format out "(in-package ~s)~%" (package-name package))
        (do-symbols (symbol package)
          (when (and (eq (symbol-package symbol) package) (boundp symbol))
            (format out "(setf ~s '~s)~%" symbol (symbol-value symbol))))))
    source))

(defun object-files (systems)
  "Of SYSTEMS and all that they depend on, in the order of loading."
  (remove-duplicates
   (loop for system in systems
         append (loop for component in (asdf/plan:required-components
                                        system :other-systems t
                                        :component-type 'asdf:cl-source-file
                                        :goal-operation 'asdf:compile-op)
                      append (remove "o" (asdf:output-files 'asdf:compile-op component)
                                     :key #'pathname-type :test #'string/=)))
   :test #'equal :from-end t))

;; CFFI needs UIOP, which Debian's ECL has in one file with ASDF, for loading only.
(c:build-program (ext:getenv "PROBE_IMAGE")
                 :lisp-files
                 (append (list (compiled "targets/lisp/loading.lisp" "loading")
                               (compiled (loading-state) "loading-state"))
                         (object-files (append (unless (zmqmatrix.loading:failure) *systems*)
                                               '("zmqmatrix-probe")))
                         (when (ext:getenv "PROBE_TESTS")
                           (list (compiled "targets/lisp/tests.lisp" "tests"))))
                 :prologue-code '(let ((*load-verbose* nil)) (require "ASDF"))
                 :epilogue-code (list *entry*))
