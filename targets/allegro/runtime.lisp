(in-package :zmqmatrix.runtime)

;;;; Allegro CL, 64-bit. Written from its documentation, release 10.1, whose pages
;;;; are named as there: operators/excl/gc.htm. symbols.txt names the page of each
;;;; of its symbols.

;;; Who it is

(defun implementation-name () "Allegro CL")

(defun implementation-version ()
  "The number in \"10.1 [64-bit Linux (x86-64)] (Jun 1, 2022 10:00)\"."
  (let ((text (lisp-implementation-version)))
    (subseq text 0 (position #\Space text))))

(defun threads-p () t)

(defun collector ()
  "A scavenge copies, and a global collection compacts (gc.htm)."
  :moving)

;;; The process

(defun start-up ()
  ;; Errors outside the probe's own handlers, on whatever thread, end the
  ;; process with exit code 1 instead of waiting for a person.
  (setf *debugger-hook* (lambda (condition hook)
                          (declare (ignore hook))
                          (format *error-output* "~&~a~%" condition)
                          (leave 1)))
  ;; With it, threads that are not Lisp's get a Lisp process by themselves when
  ;; they call back (operators/mp/start-customs.htm).
  (mp:start-scheduler))

(defun environment-variable (name) (sys:getenv name))

(defun arguments ()
  "What follows the executable's name and the directory; see build.sh."
  (cddr (sys:command-line-arguments)))

(defun executable-directory ()
  "The executable is Allegro's own; the script that starts it names the directory."
  (second (sys:command-line-arguments)))

(defun full-gc ()
  (excl:gc t))

(defun leave (status)
  (finish-output)
  ;; Unwinding would wait for every other process.
  (excl:exit status :no-unwind t :quiet t))

;;; Memory that stays where it is

(defun allocate-static-array (size)
  ;; In malloc space, which the collector leaves alone. :STATIC-RECLAIMABLE would be
  ;; given back by itself, but makes an array that is not simple.
  (make-array size :element-type 'octet :allocation :static))

(defun release-static-array (array)
  (excl:aclfree (excl:lispval-other-to-address array)))

(defun released-by-collector-p () nil)

(defun octets-address (array)
  (ff:fslot-address-typed :unsigned-char :lisp array))

(defun static-array-address (array) (octets-address array))

(defun ordinary-array-address (array)
  ;; The number holds nothing: the page warns that the array may have moved before
  ;; it is returned.
  (octets-address array))

(defun call-with-pinned-array (function array)
  (declare (ignore function array))
  (not-offered "Allegro CL can't pin an object while Lisp code runs: the body of with-pinned-objects must be fit for fast-and-clean, which neither allocates nor collects"))

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
  ;; Foreign arrays are foreign types, which no array function takes.
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; Nothing is promised of it between two foreign calls.
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  "The documentation names none."
  0)

(defun own-techniques () '())

(defun trampoline (technique kind address)
  (declare (ignore technique kind address))
  nil)
