(in-package :zmqmatrix.binding)

;;;; cl-zmq, whose system and package are ZEROMQ: contexts and sockets are CFFI's
;;;; pointers, messages are structures with a finalizer.

;;; Who it is

(defun binding-name () "cl-zmq")

(defun binding-version () (zmqmatrix.loading:system-version))

(defun libzmq-version ()
  (format nil "~{~d~^.~}" (multiple-value-list (zeromq:version))))

(defun open-binding ())

(defun require-memory-interface ()
  (not-offered "cl-zmq gives libzmq neither memory nor a function of the client's: ~
zmq_msg_init_data is not exported (zeromq::%zmq-init-data, ~
\"potentially broken code\" by its own word), and make-msg copies"))

(defun believed-message-octets ()
  (let ((type (find-symbol "C-MSG" "ZEROMQ")))
    (unless type
      (not-offered "cl-zmq's foreign type of messages is no longer zeromq::c-msg"))
    (cffi:foreign-type-size `(:struct ,type))))

(defun timed-out-p (condition)
  ;; Receives signal nothing, and what is signalled gives no number.
  (declare (ignore condition))
  nil)

(defun error-number (condition)
  ;; zeromq::error-code and the slot's name are not exported.
  (when (typep condition 'zeromq:zmq-error) -1))

;;; Contexts and sockets

(defun open-context () (zeromq:ctx-new))

(defun shut-down-context (context)
  (declare (ignore context))
  (not-offered "cl-zmq has no zmq_ctx_shutdown"))

(defun terminate-context (context) (zeromq:ctx-destroy context))

(defun open-socket (context type) (zeromq:socket context type))

(defun close-socket (socket) (zeromq:close socket))

(defun connect-socket (socket endpoint) (zeromq:connect socket endpoint))

(defun bind-socket (socket endpoint) (zeromq:bind socket endpoint))

(defun set-option (socket option value)
  (check-result "zeromq:setsockopt"
                (zeromq:setsockopt socket
                                   (ecase option
                                     (:subscribe :subscribe) (:linger :linger)
                                     (:send-high-water-mark :sndhwm)
                                     (:receive-timeout :rcvtimeo))
                                   value)))

;;; Whole arrays

(defmacro with-zeromq-message ((variable &rest options) &body body)
  `(let ((,variable (zeromq:make-msg ,@options)))
     (unwind-protect (progn ,@body)
       (zeromq:msg-close ,variable))))

(defun send-octets (socket octets more-p)
  ;; zeromq:send takes strings alone.
  (with-zeromq-message (message :data octets)
    (check-result "zeromq:msg-send"
                  (if more-p
                      (zeromq:msg-send socket message :sndmore)
                      (zeromq:msg-send socket message)))))

(defun receive-octets (socket)
  (with-zeromq-message (message)
    (check-result "zeromq:msg-recv" (zeromq:msg-recv socket message))
    (values (zeromq:msg-data-as-array message)
            (plusp (zeromq:getsockopt socket :rcvmore)))))

;;; Memory

(defun send-memory (socket array address size)
  (send-octets socket (or array (zmqmatrix.runtime:copy-from-memory address size)) nil))

(defun send-message-copy (socket address size)
  (send-octets socket (zmqmatrix.runtime:copy-from-memory address size) nil))

(defun send-in-place (socket address size free-function hint)
  (declare (ignore socket address size free-function hint))
  (require-memory-interface))

(defun no-message-memory ()
  (not-offered "cl-zmq does not export zmq_msg_data (zeromq::%msg-data): ~
msg-data-as-array and msg-data-as-string copy the body"))

(defun receive-message (socket)
  (declare (ignore socket))
  (no-message-memory))

(defun message-address (message)
  (declare (ignore message))
  (no-message-memory))

(defun message-size (message) (zeromq:msg-size message))

(defun close-message (message) (zeromq:msg-close message))
