(in-package :zmqmatrix.runtime)

;;;; GNU CLISP, as Debian builds it: without threads, one heap that is compacted.

;;; Who it is

(defun implementation-name () "CLISP")

(defun implementation-version ()
  "2.49.93+ (2018-02-18): the rest names the machine it was built or dumped on."
  (let* ((version (lisp-implementation-version))
         (end (search " (built" version)))
    (string-right-trim " " (subseq version 0 (or end (search " (memory" version))))))

(defun threads-p () (and (member :mt *features*) t))

(defun collector () :moving)

;;; The process

(defun start-up ()
  (setf custom:*suppress-check-redefinition* t)
  ;; All of CLISP's streams go to the terminal's, and that to standard output,
  ;; which is the report's.
  (setf *standard-output* (ext:make-stream :output)
        *error-output* (ext:make-stream :error)
        *trace-output* *error-output*
        *terminal-io* (make-two-way-stream (make-concatenated-stream) *error-output*)
        *debug-io* *terminal-io*
        *query-io* *terminal-io*)
  ;; As with SBCL: an error that nobody handles ends the process, exit code 1.
  (setf *debugger-hook* (lambda (condition hook)
                          (declare (ignore hook))
                          (format *error-output* "~&~a~%" condition)
                          (finish-output *error-output*)
                          (leave 1))))

(defun environment-variable (name) (ext:getenv name))

(defun arguments () (coerce ext:*args* 'list))

(defun executable-directory ()
  (namestring (make-pathname :name nil :type nil :version nil
                             :defaults (truename "/proc/self/exe"))))

(defun full-gc () (ext:gc))

(ffi:def-call-out end-process
  (:name "_exit") (:library :default) (:language :stdc)
  (:arguments (status ffi:int)) (:return-type nil))

(defun leave (status)
  ;; EXIT closes every library that was opened (foreign.d, exit_ffi): a thread of
  ;; libzmq's that still runs then has its code unmapped under it.
  (finish-output)
  (end-process status))

;;; Memory that stays where it is

(defun no-static-arrays ()
  "An array's elements follow its header in the heap (lispbibl.d, Sbvector); every
heap is compacted (spvw_garcol.d), and FFI gives memory only as foreign variables."
  (not-offered "CLISP has no arrays outside its heap, which its collector compacts: its FFI offers foreign memory only, as FOREIGN-VARIABLE, which no array function takes"))

(defun allocate-static-array (size)
  (declare (ignore size))
  (no-static-arrays))

(defun release-static-array (array)
  (declare (ignore array))
  (no-static-arrays))

(defun released-by-collector-p () nil)

(defun static-array-address (array)
  (declare (ignore array))
  (no-static-arrays))

(defun ordinary-array-address (array)
  (declare (ignore array))
  nil)

(defun call-with-pinned-array (function array)
  ;; pin_varobject is for C code alone and compiled only with MULTITHREAD
  ;; (lispbibl.d, pinned_chain_t); Debian's build is without.
  (declare (ignore function array))
  (not-offered "CLISP offers Lisp no way to pin an object: its collector may move any array at any allocation"))

;;; Foreign memory, by address

(defun octets-type (size)
  `(ffi:c-array ffi:uint8 ,size))

(defun copy-to-memory (array address)
  (unless (zerop (length array))
    (setf (ffi:memory-as (ffi:unsigned-foreign-address address)
                         (ffi:parse-c-type (octets-type (length array))))
          array)))

(defun copy-from-memory (address size)
  (if (zerop size)
      (make-array 0 :element-type 'octet)
      (ffi:memory-as (ffi:unsigned-foreign-address address)
                     (ffi:parse-c-type (octets-type size)))))

(defun memory-octet (address offset)
  (ffi:memory-as (ffi:unsigned-foreign-address (+ address offset)) 'ffi:uint8))

(defun store-memory-octet (address offset octet)
  (setf (ffi:memory-as (ffi:unsigned-foreign-address (+ address offset)) 'ffi:uint8) octet))

(defun memory-as-array (address size)
  ;; An array's elements follow its header in the heap; a displaced array needs
  ;; an array to be displaced to.
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; When the heap grows, mincore is asked for free pages and leaves ENOMEM; a
  ;; call's own arguments can be what makes it grow.
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal () 0)

(defun own-techniques () '("lisp-lock"))

(defun trampoline (technique kind address)
  (zmqmatrix.foreign:lisp-lock-trampoline technique kind address))
