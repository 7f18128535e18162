(in-package :zmqmatrix.runtime)

;;;; SBCL. Written against the sources of 2.2.9: src/runtime/thread.c,
;;;; src/runtime/gencgc.c, src/compiler/generic/objdef.lisp.

;;; Who it is

(defun implementation-name () "SBCL")

(defun implementation-version () (lisp-implementation-version))

(defun threads-p () #+sb-thread t #-sb-thread nil)

(defun collector ()
  "gencgc copies what no ambiguous root (a word on a thread's stack) points at."
  :moving)

;;; The process

(defun start-up ()
  ;; Errors outside the probe's own handlers, on whatever thread, end the
  ;; process with exit code 1 instead of waiting for a person.
  (sb-ext:disable-debugger))

(defun environment-variable (name) (sb-ext:posix-getenv name))

(defun arguments () (rest sb-ext:*posix-argv*))

(defun executable-directory ()
  (namestring (make-pathname :name nil :type nil :version nil
                             :defaults (truename sb-ext:*runtime-pathname*))))

(defun full-gc ()
  ;; Dead stack words below this frame are ambiguous roots as soon as the
  ;; collector's own frames lie over them.
  (sb-sys:scrub-control-stack)
  ;; GC only notes that one is wanted where collection is inhibited.
  (let ((epoch sb-kernel::*gc-epoch*))
    (sb-ext:gc :full t)
    (when (eq epoch sb-kernel::*gc-epoch*)
      (error "the full GC was put off"))))

(defun leave (status)
  ;; Without :ABORT, EXIT unwinds, waits up to a minute for other Lisp threads
  ;; and runs exit hooks. A client that has closed its sockets and its context
  ;; has nothing to wait for.
  (finish-output)
  (sb-ext:exit :code status :abort t))

;;; Memory that stays where it is

(defconstant +array-header-octets+ (* sb-vm:vector-data-offset sb-vm:n-word-bytes)
  "A vector is a header word, its length as a fixnum, and the elements.")

(defun allocate-static-array (size)
  ;; A vector object made by hand in memory from malloc, whose alignment of 16
  ;; is that of Lisp objects. Its header word is the bare widetag. The collector
  ;; ignores pointers that lead out of its spaces, so it neither moves nor frees it.
  (let ((block (sb-alien:alien-funcall
                (sb-alien:extern-alien "malloc" (function sb-sys:system-area-pointer
                                                          sb-alien:unsigned-long))
                (+ size +array-header-octets+))))
    (when (zerop (sb-sys:sap-int block)) (error 'sb-kernel::heap-exhausted-error))
    (setf (sb-sys:sap-ref-word block 0) sb-vm:simple-array-unsigned-byte-8-widetag
          (sb-sys:sap-ref-word block (* sb-vm:vector-length-slot sb-vm:n-word-bytes))
          (ash size sb-vm:n-fixnum-tag-bits))
    (sb-kernel:%make-lisp-obj (logior (sb-sys:sap-int block) sb-vm:other-pointer-lowtag))))

(defun release-static-array (array)
  ;; The block from malloc begins at the header, not at element 0.
  (sb-alien:alien-funcall
   (sb-alien:extern-alien "free" (function sb-alien:void sb-sys:system-area-pointer))
   (sb-sys:int-sap (- (static-array-address array) +array-header-octets+))))

(defun released-by-collector-p () nil)

(defun static-array-address (array)
  (sb-sys:sap-int (sb-sys:vector-sap (the octets array))))

(declaim (notinline ordinary-array-address))
(defun ordinary-array-address (array)
  ;; Not pinned: WITH-PINNED-OBJECTS writes the object to the stack, where the
  ;; word would hold it in place after this function has returned. The number
  ;; returned is no ambiguous root either: it is a fixnum, and element 0's
  ;; address does not have a vector's lowtag.
  (+ (logandc2 (sb-kernel:get-lisp-obj-address array) sb-vm:lowtag-mask)
     +array-header-octets+))

(defun call-with-pinned-array (function array)
  (sb-sys:with-pinned-objects (array)
    (funcall function (sb-sys:sap-int (sb-sys:vector-sap (the octets array))))))

;;; Foreign memory, by address

(defun copy-octets-between (from to size)
  (sb-kernel:system-area-ub8-copy from 0 to 0 size))

(defun copy-to-memory (array address)
  (declare (type octets array))
  (sb-sys:with-pinned-objects (array)
    (copy-octets-between (sb-sys:vector-sap array) (sb-sys:int-sap address) (length array))))

(defun copy-from-memory (address size)
  (let ((array (make-array size :element-type 'octet)))
    (sb-sys:with-pinned-objects (array)
      (copy-octets-between (sb-sys:int-sap address) (sb-sys:vector-sap array) size))
    array))

(defun memory-octet (address offset)
  (declare (type address address) (type (unsigned-byte 62) offset) (optimize speed))
  (sb-sys:sap-ref-8 (sb-sys:int-sap address) offset))

(defun store-memory-octet (address offset octet)
  (setf (sb-sys:sap-ref-8 (sb-sys:int-sap address) offset) octet))

(defun memory-as-array (address size)
  ;; An array's header must stand in the 16 octets before element 0. Before the
  ;; data of a message stands libzmq's own content_t, or another message.
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; The runtime's signal handlers save and restore it (interrupt.c,
  ;; SAVE_ERRNO), and allocation in Lisp makes no system call outside them.
  t)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  "SIG_STOP_FOR_GC in src/runtime/linux-os.h: SIGUSR2."
  12)

(defun own-techniques () '())

(defun trampoline (technique kind address)
  (declare (ignore technique kind address))
  nil)
