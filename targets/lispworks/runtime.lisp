(in-package :zmqmatrix.runtime)

;;;; LispWorks, 64-bit. Written from the manuals of LispWorks 8.1: User Guide and
;;;; Reference Manual (LW), Foreign Language Interface User Guide and Reference
;;;; Manual (FLI). symbols.txt names the section of each of its symbols.

;;; Who it is

(defun implementation-name () "LispWorks")

(defun implementation-version () (lisp-implementation-version))

(defun threads-p () t)

(defun collector ()
  "A generation is collected by copying (LW, gc-generation)."
  :moving)

;;; The process

(defun start-up ()
  ;; Errors outside the probe's own handlers, on whatever thread, end the
  ;; process with exit code 1 instead of waiting for a person.
  (setf *debugger-hook* (lambda (condition hook)
                          (declare (ignore hook))
                          (format *error-output* "~&~a~%" condition)
                          (leave 1))))

(defun environment-variable (name) (lw:environment-variable name))

(defun arguments () (rest sys:*line-arguments-list*))

(defun executable-directory ()
  (namestring (make-pathname :name nil :type nil :version nil
                             :defaults (lw:lisp-image-name))))

(defun full-gc ()
  ;; T is the blocking generation: what was promoted further is garbage only if
  ;; it was saved in the image.
  (hcl:gc-generation t))

(defun leave (status)
  (finish-output)
  (lw:quit :status status :ignore-errors-p t))

;;; Memory that stays where it is

(defun allocate-static-array (size)
  ;; Not moved, and collected when nothing in Lisp points at it any more.
  (make-array size :element-type 'octet :allocation :static))

(defun release-static-array (array)
  (declare (ignore array))
  nil)

(defun released-by-collector-p () t)

(defun static-array-address (array)
  (fli:with-dynamic-lisp-array-pointer (pointer array)
    (fli:pointer-address pointer)))

(defvar *data-offset* nil
  "From an octet array's address to that of element 0, found with a static one.")

(defun ordinary-array-address (array)
  ;; The number holds nothing: the array's address may change at the next
  ;; collection (LW, object-address).
  (unless *data-offset*
    (let ((static (allocate-static-array 1)))
      (setf *data-offset* (- (static-array-address static) (sys:object-address static)))))
  (+ (sys:object-address array) *data-offset*))

(defun call-with-pinned-array (function array)
  (declare (ignore function array))
  (not-offered "LispWorks can't pin an ordinary array: with-pinned-objects takes only arrays made with :allocation :pinnable or :static"))

;;; Foreign memory, by address

(defun copy-to-memory (array address)
  (declare (type octets array))
  (let ((pointer (cffi:make-pointer address)))
    (dotimes (k (length array))
      (setf (cffi:mem-ref pointer :unsigned-char k) (aref array k)))))

(defun copy-from-memory (address size)
  (let ((array (make-array size :element-type 'octet))
        (pointer (cffi:make-pointer address)))
    (dotimes (k size array)
      (setf (aref array k) (cffi:mem-ref pointer :unsigned-char k)))))

(defun memory-octet (address offset)
  (cffi:mem-ref (cffi:make-pointer address) :unsigned-char offset))

(defun store-memory-octet (address offset octet)
  (setf (cffi:mem-ref (cffi:make-pointer address) :unsigned-char offset) octet))

(defun memory-as-array (address size)
  ;; The FLI has arrays over foreign memory only as foreign types, which no
  ;; array function takes.
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; Nothing is promised of it between two foreign calls.
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  "The manuals name none."
  0)

(defun own-techniques () '())

(defun trampoline (technique kind address)
  (declare (ignore technique kind address))
  nil)
