(in-package :zmqmatrix.protocol)

;;;; Operations are plain functions that one file declares and another defines,
;;;; so that a port is read by comparing two files, and works on Lisps whose CLOS
;;;; is slow or partial. An operation that a file forgot is found by the tests,
;;;; not by a reader.

(deftype octet () '(unsigned-byte 8))
(deftype octets () "The most ordinary octet array there is." '(simple-array (unsigned-byte 8) (*)))
(deftype address () "An address is an integer everywhere above the foreign layer." '(unsigned-byte 64))

(defvar *operations* '()
  "Names of all declared operations, in reverse order of declaration.")

(defmacro define-operation (name lambda-list documentation)
  "Declare that NAME, a function of LAMBDA-LIST, is defined by another layer's file."
  `(eval-when (:compile-toplevel :load-toplevel :execute)
     (proclaim '(ftype function ,name))
     (setf (get ',name 'operation) '(,lambda-list ,documentation))
     (pushnew ',name *operations*)
     ',name))

(defun operations ()
  "The declared operations, in order of declaration."
  (reverse *operations*))

(defun missing-operations ()
  "The declared operations that nothing defines."
  (remove-if #'fboundp (operations)))

(defun operation-documentation (name)
  "What the operation NAME must do."
  (second (get name 'operation)))

(define-condition unsupported (error)
  ((reason :initarg :reason :reader unsupported-reason))
  (:report (lambda (condition stream) (write-string (unsupported-reason condition) stream)))
  (:documentation "This client offers no way to do it; the reason names what is missing."))

(defun not-offered (control &rest arguments)
  "Close the report with unsupported, and say what is missing."
  (error 'unsupported :reason (apply #'format nil control arguments)))
