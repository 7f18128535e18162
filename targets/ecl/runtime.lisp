(in-package :zmqmatrix.runtime)

;;;; ECL, as Debian builds it: with threads, with Boehm's collector from the
;;;; system, compiled to C. Written against the sources of 21.2.1 (src/c, src/h)
;;;; and of libgc 8.2.2.

;;; Who it is

(defun implementation-name () "ECL")

(defun implementation-version () (lisp-implementation-version))

(defun threads-p () (and (member :threads *features*) t))

(defun collector ()
  "Boehm's collector is conservative everywhere: it marks and sweeps, in place."
  :non-moving)

;;; The process

(defun start-up ()
  ;; As with SBCL: an error that nobody handles ends the process, exit code 1.
  (setf ext:*invoke-debugger-hook* (lambda (condition hook)
                                     (declare (ignore hook))
                                     (format *error-output* "~&~a~%" condition)
                                     (finish-output *error-output*)
                                     (leave 1))))

(defun environment-variable (name) (ext:getenv name))

(defun arguments () (rest (ext:command-args)))

(defun executable-directory ()
  (namestring (make-pathname :name nil :type nil :version nil
                             :defaults (truename "/proc/self/exe"))))

(defun full-gc ()
  ;; GC_gcollect: returns when the whole heap has been marked and swept.
  (si:gc t))

(defun leave (status)
  ;; QUIT closes every library that was opened (src/c/main.d, cl_shutdown): a thread
  ;; of libzmq's that still runs then has its code unmapped under it.
  (finish-output)
  (ffi:c-inline (status) (:int) :void "_exit(#0)" :one-liner t :side-effects t))

;;; Memory that stays where it is

(defun allocate-static-array (size)
  "Any array: src/c/alloc_2.d allocates them all from a collector that moves nothing."
  (make-array size :element-type 'octet))

(defun release-static-array (array)
  (declare (ignore array))
  nil)

(defun released-by-collector-p () t)

(defun static-array-address (array)
  (ordinary-array-address array))

(defun ordinary-array-address (array)
  (ffi:c-inline (array) (:object) :unsigned-long-long
                "(unsigned long long) (uintptr_t) #0->vector.self.b8" :one-liner t))

(defvar *pinned* '() "The arrays whose pins' extents are running.")

(defun call-with-pinned-array (function array)
  ;; What holds an array is a reference, and it must outlive whatever the C
  ;; compiler makes of a variable that nobody reads any more.
  (let ((*pinned* (cons array *pinned*)))
    (funcall function (ordinary-array-address array))))

;;; Foreign memory, by address

;; memcpy's declaration, which ECL's own header need not bring: the flags that Debian
;; builds 24.5 with, and has it compile with, make a function without one an error.
(ffi:clines "#include <string.h>")

(defun copy-to-memory (array address)
  (ffi:c-inline (array address) (:object :unsigned-long-long) :void
                "memcpy ((void *) (uintptr_t) #1, #0->vector.self.b8, #0->vector.dim)"
                :one-liner t)
  nil)

(defun copy-from-memory (address size)
  (let ((array (make-array size :element-type 'octet)))
    (ffi:c-inline (array address) (:object :unsigned-long-long) :void
                  "memcpy (#0->vector.self.b8, (void *) (uintptr_t) #1, #0->vector.dim)"
                  :one-liner t)
    array))

(defun memory-octet (address offset)
  (declare (type address address offset))
  (ffi:c-inline (address offset) (:unsigned-long-long :unsigned-long-long) :unsigned-byte
                "((volatile unsigned char *) (uintptr_t) #0)[#1]" :one-liner t))

(defun store-memory-octet (address offset octet)
  (ffi:c-inline (address offset octet)
                (:unsigned-long-long :unsigned-long-long :unsigned-byte) :void
                "((volatile unsigned char *) (uintptr_t) #0)[#1] = #2" :one-liner t)
  octet)

(defun memory-as-array (address size)
  ;; As ext:mmap makes its arrays (src/c/ffi/mmap.d): an empty one whose header
  ;; is then set to memory from elsewhere. The collector ignores pointers that
  ;; lead out of its heap.
  (let ((array (make-array 0 :element-type 'octet)))
    (ffi:c-inline (array address size) (:object :unsigned-long-long :unsigned-long-long) :void
                  "{ #0->vector.self.b8 = (uint8_t *) (uintptr_t) #1;
                     #0->vector.dim = #0->vector.fillp = #2; }")
    array))

;;; C's errno

(defun errno-survives-p ()
  ;; Arguments and results of a call are allocated, which may collect; the
  ;; collector's system calls (libgc, pthread_stop_world.c) leave theirs.
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  (cffi:foreign-funcall "GC_get_suspend_signal" :int))

(zmqmatrix.foreign:define-c-functions :import-thread
  (import-thread-set-call "import_thread_set_call" :void (function :address))
  (import-thread-set-free "import_thread_set_free" :void (function :address)))

(defvar *import-thread-p* nil "Whether libimportthread.so is open.")

(defun own-techniques ()
  "See import_thread.c."
  '("import-thread"))

(defun trampoline (technique kind address)
  (declare (ignore technique))
  (unless *import-thread-p*
    (setf *import-thread-p* t)
    (zmqmatrix.foreign:open-c-library
     :import-thread (concatenate 'string (executable-directory) "libimportthread.so")))
  (ecase kind
    (:call (import-thread-set-call address)
     (zmqmatrix.foreign:c-function-address :import-thread "import_thread_call"))
    (:free (import-thread-set-free address)
     (zmqmatrix.foreign:c-function-address :import-thread "import_thread_free"))))
