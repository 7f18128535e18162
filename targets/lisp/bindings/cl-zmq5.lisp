(in-package :zmqmatrix.binding)

;;;; cl-zmq5, whose system and package are ZMQ5: contexts and sockets are
;;;; structures, and there are no message objects.

;;; Who it is

(defun binding-name () "cl-zmq5")

(defun binding-version () (zmqmatrix.loading:system-version))

(defun libzmq-version ()
  (format nil "~{~d~^.~}" (multiple-value-list (zmq5:version))))

(defun open-binding ())

(defun require-memory-interface ()
  (not-offered "cl-zmq5 has no zmq_msg_init_data: zmq5:send calls zmq_send, which copies, ~
and gives libzmq neither memory nor a function of the client's"))

(defun believed-message-octets ()
  (let ((words (find-symbol "+MSG-WORDS+" "ZMQ5")))
    (unless words
      (not-offered "cl-zmq5's size of messages is no longer zmq5::+msg-words+"))
    (* 8 (symbol-value words))))

(defun timed-out-p (condition) (typep condition 'zmq5:zmq-again))

(defun error-number (condition)
  (when (typep condition 'zmq5:zmq-error)
    (zmq5:zmq-error-errno condition)))

;;; Contexts and sockets

(defun open-context () (zmq5:make-context))

(defun shut-down-context (context) (zmq5:shutdown-context context))

(defun terminate-context (context) (zmq5:terminate-context context))

(defun open-socket (context type) (zmq5:make-socket context type))

(defun close-socket (socket) (zmq5:close-socket socket))

(defun connect-socket (socket endpoint) (zmq5:connect socket endpoint))

(defun bind-socket (socket endpoint) (zmq5:bind socket endpoint))

(defun set-option (socket option value)
  (setf (zmq5:socket-option socket
                            (ecase option
                              (:subscribe :subscribe) (:linger :linger)
                              (:send-high-water-mark :sndhwm) (:receive-timeout :rcvtimeo)))
        value))

;;; Whole arrays

(defun send-octets (socket octets more-p)
  (zmq5:send socket octets :more more-p))

(defun receive-octets (socket)
  (zmq5:recv socket))

;;; Memory

(defun send-memory (socket array address size)
  (zmq5:send socket (or array (zmqmatrix.runtime:copy-from-memory address size))))

(defun send-message-copy (socket address size)
  (send-memory socket nil address size))

(defun send-in-place (socket address size free-function hint)
  (declare (ignore socket address size free-function hint))
  (require-memory-interface))

(defun no-message-object ()
  (not-offered "cl-zmq5 has no zmq_msg_t and no zmq_msg_data: zmq5:recv copies the body into a new array ~
and closes the message"))

(defun receive-message (socket)
  (declare (ignore socket))
  (no-message-object))

(defun message-address (message)
  (declare (ignore message))
  (no-message-object))

(defun message-size (message)
  (declare (ignore message))
  (no-message-object))

(defun close-message (message)
  (declare (ignore message))
  (no-message-object))
