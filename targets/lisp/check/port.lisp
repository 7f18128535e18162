;;;; Usage: sbcl --script port.lisp -- LISP-DIR SYMBOLS RUNTIME [FILE...]
;;;;
;;;; Reads and compiles, in SBCL, the runtime.lisp of a Lisp that is not here, and
;;;; what its build script loads. The
;;;; packages of that Lisp are stubs with exactly the symbols that SYMBOLS lists:
;;;; a misspelt symbol, a wrong number of arguments, an unknown keyword, a missing
;;;; operation or one with another lambda list is a problem. Prints each on a line
;;;; and exits with 1 if there are any.
;;;;
;;;; A line of SYMBOLS is SYMBOL | KIND | LAMBDA-LIST | SOURCE. Kinds:
;;;;   function, variable, place (also setf)
;;;;   macro            evaluates its arguments
;;;;   binding-macro    (VAR or (VAR FORM)...) BODY
;;;;   pointer-macro    (VAR FORM OPTION...) BODY
;;;;   extension        a function of COMMON-LISP with further arguments

(defpackage #:port-check (:use #:common-lisp))
(in-package :port-check)

(defvar *arguments* (rest (member "--" sb-ext:*posix-argv* :test #'string=)))

;; Before what names their packages is read.
(handler-bind ((warning #'muffle-warning))
  (dolist (file '("packages" "protocol" "runtime"))
    (load (format nil "~a/~a.lisp" (first *arguments*) file))))

(defvar *problems* 0)
(defvar *output* *standard-output*)

(defun problem (control &rest arguments)
  (incf *problems*)
  (format *output* "~&~?~%" control arguments))

(defun split (line)
  (loop for start = 0 then (1+ bar)
        for bar = (position #\| line :start start)
        collect (string-trim " " (subseq line start bar))
        while bar))

(defun entries (file)
  "((package-name symbol-name exported-p kind lambda-list-text) ...)"
  (with-open-file (in file)
    (loop for line = (read-line in nil)
          while line
          unless (or (string= (string-trim " " line) "") (char= (char line 0) #\#))
            collect (destructuring-bind (symbol kind lambda-list source) (split line)
                      (when (string= source "") (problem "~a: no source" symbol))
                      (let ((colon (position #\: symbol))
                            (last (position #\: symbol :from-end t)))
                        (list (string-upcase (subseq symbol 0 colon))
                              (string-upcase (subseq symbol (1+ last)))
                              (= colon last) kind lambda-list))))))

(defun parameters (lambda-list)
  (remove-if (lambda (parameter) (member parameter lambda-list-keywords))
             (mapcar (lambda (parameter) (if (consp parameter) (first parameter) parameter))
                     lambda-list)))

(defun define-stub (symbol kind lambda-list)
  (flet ((function-form (name lambda-list)
           `(defun ,name ,lambda-list
              (declare (ignore ,@(parameters lambda-list)))
              (error "a stub"))))
    (let ((form
            (cond ((or (string= kind "function") (string= kind "extension"))
                   (function-form symbol lambda-list))
                  ((string= kind "place")
                   `(progn ,(function-form symbol lambda-list)
                           ,(function-form `(setf ,symbol) (cons 'new lambda-list))))
                  ((string= kind "variable") `(defvar ,symbol nil))
                  ((string= kind "macro")
                   `(defmacro ,symbol (&rest arguments) `(list ,@arguments)))
                  ((string= kind "binding-macro")
                   `(defmacro ,symbol (variables &body body)
                      `(let ,(loop for variable in variables
                                   collect (if (consp variable)
                                               variable
                                               (list variable '(list nil))))
                         ,@body)))
                  ((string= kind "pointer-macro")
                   `(defmacro ,symbol ((variable &rest forms) &body body)
                      `(let ((,variable (list ,@forms))) ,@body)))
                  (t (problem "~s: the kind ~a is none" symbol kind) nil))))
      (handler-bind ((warning #'muffle-warning)) (eval form)))))

(defun make-stubs (entries)
  "The stubs' symbols."
  (loop for (package-name name exported-p kind text) in entries
        for extension-p = (string= kind "extension")
        for package = (cond (extension-p (find-package "ZMQMATRIX.RUNTIME"))
                            ((find-package package-name))
                            (t (make-package package-name :use '())))
        for symbol = (progn (when extension-p (shadow name package))
                            (intern name package))
        do (when (and exported-p (not extension-p)) (export symbol package))
           (define-stub symbol kind
             (let ((*package* (find-package "PORT-CHECK"))) (read-from-string text nil nil)))
        collect symbol))

(defun read-forms (file)
  (with-open-file (in file)
    (let ((*package* (find-package "COMMON-LISP-USER")))
      (loop for form = (read in nil in)
            until (eq form in)
            collect form
            when (and (consp form) (eq (first form) 'in-package))
              do (setf *package* (find-package (second form)))))))

(defun symbols-in (form)
  (let ((found '()))
    (labels ((walk (form)
               (cond ((consp form) (walk (car form)) (walk (cdr form)))
                     ((and form (symbolp form)) (pushnew form found)))))
      (walk form))
    found))

(defun check-symbols (forms stubs)
  (let ((used (symbols-in forms)))
    (dolist (symbol used)
      (when (and (not (member symbol stubs))
                 (member (symbol-package symbol) (mapcar #'symbol-package stubs))
                 (not (eq (symbol-package symbol) (find-package "ZMQMATRIX.RUNTIME"))))
        (problem "~s is used and not listed" symbol)))
    (dolist (stub stubs)
      (unless (member stub used) (problem "~s is listed and not used" stub)))))

(defun check-operations (forms)
  (let ((*package* (find-package "ZMQMATRIX.RUNTIME"))
        (defined (loop for form in forms
                       when (and (consp form) (eq (first form) 'defun))
                         collect (list (second form) (third form)))))
    (dolist (operation (zmqmatrix.protocol:operations))
      (let ((wanted (first (get operation 'zmqmatrix.protocol::operation)))
            (found (assoc operation defined)))
        (cond ((null found) (problem "the operation ~(~a~) is not defined" operation))
              ((not (equal wanted (second found)))
               (problem "~(~a~) takes ~(~a~), and the protocol wants ~(~a~)" operation (second found) wanted)))))))

(defun check-compilation (file)
  (let ((said (make-string-output-stream)))
    (multiple-value-bind (output warned failed)
        (let ((*error-output* said) (*standard-output* said))
          (handler-bind ((warning (lambda (warning)
                                    (problem "~a" (remove #\Newline (princ-to-string warning))))))
            (compile-file file :output-file "/dev/null")))
      (declare (ignore output warned))
      (when (and failed (zerop *problems*))
        (problem "it does not compile: ~a" (get-output-stream-string said))))))

(defun forms-of (file)
  (handler-case (read-forms file)
    (error (condition)
      (problem "~a can't be read: ~a" (file-namestring file)
               (substitute #\Space #\Newline (princ-to-string condition))))))

(defun main (symbols &rest files)
  (let* ((stubs (make-stubs (entries symbols)))
         (forms (mapcar #'forms-of files)))
    (when (every #'identity forms)
      (check-symbols forms stubs)
      (check-operations (first forms))
      (mapc #'check-compilation files)))
  (finish-output)
  (sb-ext:exit :code (if (zerop *problems*) 0 1) :abort t))

(apply #'main (rest *arguments*))
