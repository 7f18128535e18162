;;;; The techniques lisp-lock and main-stack, for runtimes that know one thread:
;;;; see lisp_lock.c.

(in-package :zmqmatrix.foreign)

(define-c-functions :lisp-lock
  (lisp-lock-begin "lisp_lock_begin" :void (on-main-stack :int))
  (lisp-lock-set-call "lisp_lock_set_call" :void (function :address))
  (lisp-lock-set-free "lisp_lock_set_free" :void (function :address)))

(defvar *lisp-lock-p* nil "Whether the lock is in use.")

(defun lisp-lock-trampoline (technique kind address)
  "What C calls instead of the callback of KIND at ADDRESS. From the first call on,
the main thread gives the lock up around every call of C."
  (unless *lisp-lock-p*
    (setf *lisp-lock-p* t)
    (open-c-library :lisp-lock (concatenate 'string (zmqmatrix.runtime:executable-directory)
                                            "liblisplock.so"))
    (lisp-lock-begin (if (equal technique "main-stack") 1 0))
    (setf *call-through* (c-function-address :lisp-lock "lisp_lock_c_call")))
  (ecase kind
    (:call (lisp-lock-set-call address)
     (c-function-address :lisp-lock "lisp_lock_call"))
    (:free (lisp-lock-set-free address)
     (c-function-address :lisp-lock "lisp_lock_free"))))
