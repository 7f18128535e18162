;;;; Compiles and loads the probe into a GCL, which has no ASDF: the system
;;;; definition of targets/lisp is read with a DEFSYSTEM that knows as much of
;;;; ASDF as stands in it, so that the list of files is written down once. Run
;;;; in the module's root; compiled files go to ZMQMATRIX_CACHE.

(in-package :user)

(defpackage "UIOP" (:use "COMMON-LISP") (:export "GETENV" "SPLIT-STRING"))
(defpackage "ASDF" (:use "COMMON-LISP") (:export "DEFSYSTEM"))

(defun uiop:getenv (name) (si::getenv name))

(defun uiop:split-string (text)
  "The words of TEXT; there are none where it is empty."
  (loop for start = 0 then (1+ end)
        for end = (position #\Space text :start start)
        collect (subseq text start end)
        while end))

(defvar *counted* 0 "Files so far: two may have one name in different folders.")

(defun compile-and-load (source)
  ;; GCL collects of itself when its heap has grown to half of the machine's memory
  ;; (2.7: o/alloc.c, do_gc_p), and what the compiler has left is saved with the image.
  (si::gbc t)
  (let ((compiled (format nil "~a/~d.o" (si::getenv "ZMQMATRIX_CACHE") (incf *counted*))))
    (unless (compile-file source :output-file compiled)
      (error "~a could not be compiled" source))
    (load compiled)))

(defun load-components (components folder)
  (dolist (component components)
    (destructuring-bind (kind name &key (pathname name) components around-compile &allow-other-keys)
        component
      (ecase kind
        (:file (funcall (if around-compile (read-from-string around-compile) 'funcall)
                        (lambda () (compile-and-load (format nil "~a~a.lisp" folder pathname)))))
        (:module (load-components components (format nil "~a~a/" folder pathname)))))))

(defmacro asdf:defsystem (name &key components &allow-other-keys)
  "With no dependencies: without CFFI there are none."
  (declare (ignore name))
  `(load-components ',components "targets/lisp/"))

;; GCL's default checks nothing at all at run time, not even what a function is
;; called with. Below 3, the compiler of 2.7 gives a variable the type of its first
;; value (cmpnew/gcl_cmplet.lsp, set-var-init-type), and overlooks what is assigned
;; to it in a closure that is no argument of a call (cmpnew/gcl_cmpeval.lsp,
;; or-ccb-assignments). So HANDLER-CASE's clauses would get NIL for the condition.
(proclaim (if (< si::*gcl-minor-version* 7)
              '(optimize (safety 1))
              '(optimize (safety 3))))

;; A mistake in a build ends it.
(setf *debugger-hook* (lambda (condition hook)
                        (declare (ignore hook))
                        (format *error-output* "~&~a~%" condition)
                        (si::bye 1)))

;; GCL 2.7 takes for the type of a function only a whole (FUNCTION arguments
;; results): its PROCLAIM signals a TYPE-ERROR at the mere FUNCTION, which the
;; standard allows (lsp/gcl_evalmacros.lsp, proclaim; lsp/gcl_deftype.lsp,
;; ftype-spec). It says nothing that GCL would make use of.
(let ((proclaim #'proclaim))
  (setf (symbol-function 'proclaim)
        (lambda (declaration)
          (unless (and (eq (first declaration) 'ftype) (eq (second declaration) 'function))
            (funcall proclaim declaration)))))

(load "targets/lisp/loading.lisp")
(load "targets/lisp/zmqmatrix-probe.asd")

(defvar *entry* (intern "MAIN" "ZMQMATRIX.PROBE"))
(when (si::getenv "PROBE_TESTS")
  (compile-and-load "targets/lisp/tests.lisp")
  (setf *entry* (intern "RUN" "ZMQMATRIX.TESTS")))

;; What main calls first (o/main.c), so that the image starts with the probe: not
;; with the command line, and the user's init.lsp of the folder that it is started in.
(setf (symbol-function 'si::top-level) (symbol-function *entry*))
(si::save-system (si::getenv "PROBE_IMAGE"))
