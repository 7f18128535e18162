(in-package :zmqmatrix.binding)

;;;; pzmq: contexts, sockets and messages are CFFI's pointers.

;;; Who it is

(defun binding-name () "pzmq")

(defun binding-version () (zmqmatrix.loading:system-version))

(defun libzmq-version ()
  (format nil "~{~d~^.~}" (pzmq:version)))

(defun open-binding ())

(defun require-memory-interface ()
  (not-offered "pzmq gives libzmq neither memory nor a function of the client's: ~
its msg-init-data takes a Lisp string, copies it, and frees the copy by a callback of its own ~
(%msg-init-data, zmq_msg_init_data itself, is not exported)"))

(defun believed-message-octets ()
  (cffi:foreign-type-size '(:struct pzmq:%msg)))

(defun timed-out-p (condition) (typep condition 'pzmq:eagain))

(defun error-number (condition)
  ;; The slot is named by an exported symbol; its reader is not exported.
  (when (typep condition 'pzmq:c-error)
    (slot-value condition 'pzmq:errno)))

;;; Contexts and sockets

(defun open-context () (pzmq:ctx-new))

(defun shut-down-context (context) (pzmq:ctx-shutdown context))

(defun terminate-context (context) (pzmq:ctx-term context))

(defun open-socket (context type) (pzmq:socket context type))

(defun close-socket (socket) (pzmq:close socket))

(defun connect-socket (socket endpoint) (pzmq:connect socket endpoint))

(defun bind-socket (socket endpoint) (pzmq:bind socket endpoint))

(defun set-option (socket option value)
  (pzmq:setsockopt socket
                   (ecase option
                     (:subscribe :subscribe) (:linger :linger)
                     (:send-high-water-mark :sndhwm) (:receive-timeout :rcvtimeo))
                   value))

;;; Whole arrays

(defun send-octets (socket octets more-p)
  (pzmq:send socket octets :sndmore more-p))

(defun receive-octets (socket)
  (pzmq:recv-octets socket))

;;; Memory

(defun send-memory (socket array address size)
  (declare (ignore array))
  (pzmq:send socket (cffi:make-pointer address) :len size))

(defun send-message-copy (socket address size)
  (cffi:with-foreign-object (message '(:struct pzmq:%msg))
    (pzmq:msg-init-size message size)
    (zmqmatrix.runtime:copy-to-memory (zmqmatrix.runtime:copy-from-memory address size)
                                      (cffi:pointer-address (pzmq:msg-data message)))
    (pzmq:msg-send message socket)))

(defun send-in-place (socket address size free-function hint)
  (declare (ignore socket address size free-function hint))
  (require-memory-interface))

(defun receive-message (socket)
  (let ((message (cffi:foreign-alloc '(:struct pzmq:%msg))))
    (pzmq:msg-init message)
    (pzmq:msg-recv message socket)
    message))

(defun message-address (message)
  (cffi:pointer-address (pzmq:msg-data message)))

(defun message-size (message) (pzmq:msg-size message))

(defun close-message (message)
  (pzmq:msg-close message)
  (cffi:foreign-free message))
