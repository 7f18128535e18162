;;;; Loading a binding is a feature of its own: what the compiler and the loader
;;;; say of it is counted while the probe is built and kept in the image. A
;;;; binding that does not load leaves an image all the same, which says so.
;;;; Loaded as source before everything else; needs ASDF only for a binding that
;;;; comes from elsewhere.

(defpackage #:zmqmatrix.loading
  (:documentation "What was seen when the binding was compiled and loaded.")
  (:use #:common-lisp)
  (:export #:call-with-counting #:load-systems #:note-failure
           #:warning-count #:style-warning-count #:conflict-count
           #:first-warning #:first-conflict
           #:failure #:failure-condition #:system-version #:one-line))
(in-package :zmqmatrix.loading)

(defvar *warnings* '() "Texts of all warnings that are no style warnings, the last first.")
(defvar *style-warnings* 0)
(defvar *conflicts* '() "Texts of all conflicts of packages, the last first.")
(defvar *failure* nil "Why the binding does not load, a text, or NIL.")
(defvar *failure-condition* "" "The name of that condition's type.")
(defvar *system-version* "" "The version that the binding's system states.")

(defun warning-count () (length *warnings*))
(defun style-warning-count () *style-warnings*)
(defun conflict-count () (length *conflicts*))
(defun first-warning () (or (first (last *warnings*)) ""))
(defun first-conflict () (or (first (last *conflicts*)) ""))
(defun failure () *failure*)
(defun failure-condition () *failure-condition*)
(defun system-version () *system-version*)

(defun one-line (text)
  "TEXT with all white space as single spaces, and no longer than a reader likes."
  (let* ((words (loop with start = 0
                      for end = (position-if (lambda (character)
                                               (member character '(#\Space #\Newline #\Tab #\Return #\Page)))
                                             text :start start)
                      when (< start (or end (length text)))
                        collect (subseq text start end)
                      while end
                      do (setf start (1+ end))))
         (line (format nil "~{~a~^ ~}" words)))
    (if (> (length line) 400) (concatenate 'string (subseq line 0 400) " ...") line)))

(defun condition-text (condition)
  "Conditions are printed by code of others, which may fail."
  (one-line (handler-case (princ-to-string condition)
              (error () (prin1-to-string (type-of condition))))))

(defun condition-name (condition)
  (let ((type (type-of condition)))
    (if (symbolp type) (symbol-name type) (princ-to-string type))))

(defun asdf-summary-p (condition)
  "ASDF sums up a file's warnings by a warning of its own."
  (let ((type (and (find-package "UIOP") (find-symbol "COMPILE-CONDITION" "UIOP"))))
    (and type (find-class type nil) (typep condition type))))

(defun count-condition (condition)
  "A package error counts as a conflict whether it is an error or a warning: a
lock on another package's symbol, or two symbols of one name."
  (cond ((typep condition 'package-error)
         (pushnew (condition-text condition) *conflicts* :test #'equal))
        ((asdf-summary-p condition))
        ((typep condition 'style-warning) (incf *style-warnings*))
        ((typep condition 'warning) (push (condition-text condition) *warnings*))))

(defun call-with-counting (function)
  "Call FUNCTION and count what is said while it compiles and loads the binding."
  (handler-bind ((warning #'count-condition)
                 (package-error #'count-condition))
    (funcall function)))

(defun note-failure (condition)
  "The binding does not load, because of CONDITION."
  (setf *failure* (condition-text condition)
        *failure-condition* (condition-name condition)))

;;; A binding that comes from elsewhere

(defun asdf-function (name)
  "The function of ASDF, which may be loaded after this file was read."
  (symbol-function (find-symbol name "ASDF")))

(defun dependency-name (specification)
  "The system's name in one element of :DEPENDS-ON, or NIL if it does not apply."
  (if (consp specification)
      (ecase (first specification)
        ((:version :require) (second specification))
        (:feature (when (funcall (symbol-function (find-symbol "FEATUREP" "UIOP"))
                                 (second specification))
                    (dependency-name (third specification)))))
      specification))

(defun family (name)
  "ASDF's primary name: \"zmq5\" of \"zmq5/tests\"."
  (let ((name (string-downcase (string name))))
    (subseq name 0 (position #\/ name))))

(defun load-dependencies (system name)
  "What the binding needs is no part of it, and what is wrong with that breaks
the build."
  (dolist (specification (funcall (asdf-function "SYSTEM-DEPENDS-ON") system))
    (let ((dependency (dependency-name specification)))
      (when (and dependency (string/= (family dependency) (family name)))
        (funcall (asdf-function "LOAD-SYSTEM") dependency)))))

(defun load-systems (names)
  "Load the ASDF systems NAMES, which are the binding. A system that is not found
is an error of the build, and no word about the binding."
  (let ((missing (find-symbol "MISSING-COMPONENT" "ASDF")))
    (handler-case
        (dolist (name names)
          (let ((system (funcall (asdf-function "FIND-SYSTEM") name)))
            (setf *system-version*
                  (or (funcall (asdf-function "COMPONENT-VERSION") system) *system-version*))
            (load-dependencies system name)
            (call-with-counting (lambda () (funcall (asdf-function "LOAD-SYSTEM") name)))))
      (error (condition)
        (if (typep condition missing)
            (error condition)
            (note-failure condition))))))
