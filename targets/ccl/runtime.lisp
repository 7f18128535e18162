(in-package :zmqmatrix.runtime)

;;;; Clozure CL on x86-64. Written against the sources of 1.13 (tag v1.13):
;;;; level-1/l1-streams.lisp, level-0/X86/x86-misc.lisp, lisp-kernel/thread_manager.c,
;;;; lisp-kernel/x86-exceptions.c. symbols.txt says where each of its symbols stands.

;;; Who it is

(defun implementation-name () "CCL")

(defun implementation-version ()
  "The number in \"Version 1.13 (v1.13) LinuxX8664\"."
  (let* ((text (lisp-implementation-version))
         (start (1+ (position #\Space text))))
    (subseq text start (position #\Space text :start start))))

(defun threads-p () t)

(defun collector ()
  "Every full collection compacts the dynamic area (gc-common.c)."
  :moving)

;;; The process

(defun start-up ()
  ;; Errors outside the probe's own handlers, on whatever thread, end the
  ;; process with exit code 1. BREAK-LOOP-HANDLE-ERROR and INVOKE-DEBUGGER call
  ;; the hook before they would wait for a person.
  (setf *debugger-hook* (lambda (condition hook)
                          (declare (ignore hook))
                          (format *error-output* "~&~a~%" condition)
                          (leave 1))))

(defun environment-variable (name) (ccl:getenv name))

(defun arguments () (rest ccl:*command-line-argument-list*))

(defun executable-directory ()
  (namestring (make-pathname :name nil :type nil :version nil
                             :defaults (truename "/proc/self/exe"))))

(defun full-gc ()
  ;; A collection that is asked for while WITHOUT-GCING is in force anywhere is
  ;; only noted (x86-exceptions.c, gc_like_from_xp).
  (let ((collections (ccl:gccounts)))
    (ccl:gc)
    (when (eql collections (ccl:gccounts))
      (error "the full GC was put off"))))

(defun leave (status)
  ;; QUIT has the initial thread run exit functions and wait for the others.
  (finish-output)
  (ccl:external-call "_exit" :signed-int status :void))

;;; Memory that stays where it is

(defun allocate-static-array (size)
  ;; A vector in memory from malloc, aligned and with a header (FUDGE-HEAP-POINTER);
  ;; the collector ignores pointers that lead out of its areas.
  (values (ccl:make-heap-ivector size 'octet)))

(defun release-static-array (array)
  ;; Finds the block again from the header; its list of such vectors has a lock,
  ;; which an adopted thread may take as well.
  (ccl:dispose-heap-ivector array))

(defun released-by-collector-p () nil)

(defun octets-address (array)
  (ccl:with-macptrs (pointer)
    (ccl::%vect-data-to-macptr array pointer)
    (ccl:%ptr-to-int pointer)))

(defun static-array-address (array) (octets-address array))

(defun ordinary-array-address (array)
  ;; Computed from the tagged pointer by one instruction; the number holds nothing.
  (octets-address array))

(defun call-with-pinned-array (function array)
  (declare (ignore function array))
  (not-offered "CCL can't pin an object: with-pointer-to-ivector and without-gcing keep an array in place only by keeping the collector from running on any thread"))

;;; Foreign memory, by address

(defun copy-to-memory (array address)
  (declare (type octets array))
  (ccl:with-macptrs ((pointer (ccl:%int-to-ptr address)))
    (ccl::%copy-ivector-to-ptr array 0 pointer 0 (length array)))
  nil)

(defun copy-from-memory (address size)
  (let ((array (make-array size :element-type 'octet)))
    (ccl:with-macptrs ((pointer (ccl:%int-to-ptr address)))
      (ccl::%copy-ptr-to-ivector pointer 0 array 0 size))
    array))

(defun memory-octet (address offset)
  (ccl:with-macptrs ((pointer (ccl:%int-to-ptr address)))
    (ccl:%get-unsigned-byte pointer offset)))

(defun store-memory-octet (address offset octet)
  (ccl:with-macptrs ((pointer (ccl:%int-to-ptr address)))
    (setf (ccl:%get-unsigned-byte pointer offset) octet)))

(defun memory-as-array (address size)
  ;; A vector's header must stand in the 8 octets before element 0. Before the
  ;; data of a message stands libzmq's own content_t, or another message.
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; An allocation can trap into the kernel, which maps and unmaps memory in its
  ;; signal handler and does not keep errno (x86-exceptions.c, memory.c).
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  "SIG_SUSPEND_THREAD in lisp-kernel/os-linux.h: SIGRTMIN + 6, which is 34 + 6."
  40)

(defun own-techniques () '())

(defun trampoline (technique kind address)
  (declare (ignore technique kind address))
  nil)
