(in-package :zmqmatrix.binding)

;;;; The raw layer: libzmq's C functions and nothing between. What is red here is
;;;; the implementation's, not a binding's.

(zmqmatrix.foreign:define-c-functions :libzmq
  (zmq-version "zmq_version" :void (major :address) (minor :address) (patch :address))
  (zmq-errno "zmq_errno" :int)
  (zmq-strerror "zmq_strerror" :text (number :int))
  (zmq-ctx-new "zmq_ctx_new" :address)
  (zmq-ctx-shutdown "zmq_ctx_shutdown" :int (context :address))
  (zmq-ctx-term "zmq_ctx_term" :int (context :address))
  (zmq-socket "zmq_socket" :address (context :address) (type :int))
  (zmq-close "zmq_close" :int (socket :address))
  (zmq-connect "zmq_connect" :int (socket :address) (endpoint :address))
  (zmq-bind "zmq_bind" :int (socket :address) (endpoint :address))
  (zmq-setsockopt "zmq_setsockopt" :int (socket :address) (option :int) (value :address) (size :u64))
  (zmq-send "zmq_send" :int (socket :address) (data :address) (size :u64) (flags :int))
  (zmq-msg-init "zmq_msg_init" :int (message :address))
  (zmq-msg-init-size "zmq_msg_init_size" :int (message :address) (size :u64))
  (zmq-msg-init-data "zmq_msg_init_data" :int (message :address) (data :address) (size :u64)
                     (free-function :address) (hint :address))
  (zmq-msg-send "zmq_msg_send" :int (message :address) (socket :address) (flags :int))
  (zmq-msg-recv "zmq_msg_recv" :int (message :address) (socket :address) (flags :int))
  (zmq-msg-close "zmq_msg_close" :int (message :address))
  (zmq-msg-data "zmq_msg_data" :address (message :address))
  (zmq-msg-size "zmq_msg_size" :u64 (message :address))
  (zmq-msg-more "zmq_msg_more" :int (message :address)))

(defconstant +eintr+ 4)
(defconstant +eagain+ 11)
(defconstant +message-size+ 64
  "sizeof (zmq_msg_t) from libzmq 4.1.8 on (zmq.h); smaller before.")
(defconstant +send-more+ 2)

(defun last-errno ()
  "The errno of the C call before. To be called at once after it, and only once."
  (if (zmqmatrix.runtime:errno-survives-p) (zmq-errno) (zmqmatrix.fixture:kept-errno)))

(defun fail (operation number)
  (error 'zmq-error :operation operation :number number :text (zmq-strerror number)))

(defmacro checked (operation form)
  "The value of FORM; -1 or a null pointer is an error. EINTR is not: a collector
that stops threads by signals (SBCL's) interrupts blocking calls, and the manual
allows each call made through here to be repeated then."
  (let ((result (gensym "RESULT"))
        (number (gensym "NUMBER")))
    `(loop
       (let ((,result ,form))
         (unless (= ,result -1) (return ,result))
         (let ((,number (last-errno)))
           (unless (= ,number +eintr+) (fail ,operation ,number)))))))

(defun checked-address (operation address)
  (if (zerop address) (fail operation (last-errno)) address))

(defmacro with-memory ((variable size) &body body)
  "Bind VARIABLE to the address of SIZE octets from malloc, for the extent of BODY."
  `(let ((,variable (zmqmatrix.fixture:allocate ,size)))
     (unwind-protect (progn ,@body)
       (zmqmatrix.fixture:release ,variable))))

(defun ascii-octets (text &optional terminated)
  (let ((octets (make-array (+ (length text) (if terminated 1 0))
                            :element-type 'octet :initial-element 0)))
    (dotimes (k (length text) octets)
      (setf (aref octets k) (char-code (char text k))))))

(defmacro with-octets ((variable octets) &body body)
  "Bind VARIABLE to the address of a copy of OCTETS, for the extent of BODY."
  (let ((array (gensym "OCTETS")))
    `(let ((,array ,octets))
       (with-memory (,variable (max 1 (length ,array)))
         (zmqmatrix.runtime:copy-to-memory ,array ,variable)
         ,@body))))

(defun int-octets (value)
  "VALUE as a C int of this little-endian machine."
  (let ((octets (make-array 4 :element-type 'octet)))
    (dotimes (k 4 octets)
      (setf (aref octets k) (ldb (byte 8 (* 8 k)) value)))))

;;; Who it is

(defun binding-name () (zmqmatrix.foreign:interface-name))

(defun binding-version () "")

(defun libzmq-version ()
  (with-memory (words 12)
    (zmq-version words (+ words 4) (+ words 8))
    (format nil "~d.~d.~d"
            (zmqmatrix.runtime:memory-octet words 0)
            (zmqmatrix.runtime:memory-octet words 4)
            (zmqmatrix.runtime:memory-octet words 8))))

(defun open-binding ())

(defun require-memory-interface ())

(defun believed-message-octets () +message-size+)

(defun timed-out-p (condition)
  (and (typep condition 'zmq-error) (= (zmq-error-number condition) +eagain+)))

(defun error-number (condition)
  (when (typep condition 'zmq-error)
    (zmq-error-number condition)))

;;; Contexts and sockets

(defun open-context ()
  (checked-address "zmq_ctx_new" (zmq-ctx-new)))

(defun shut-down-context (context)
  (checked "zmq_ctx_shutdown" (zmq-ctx-shutdown context)))

(defun terminate-context (context)
  (checked "zmq_ctx_term" (zmq-ctx-term context)))

(defun open-socket (context type)
  (checked-address "zmq_socket"
                   (zmq-socket context (ecase type
                                         (:pair 0) (:pub 1) (:sub 2) (:req 3) (:rep 4)
                                         (:pull 7) (:push 8)))))

(defun close-socket (socket)
  (checked "zmq_close" (zmq-close socket)))

(defun connect-socket (socket endpoint)
  (with-octets (text (ascii-octets endpoint t))
    (checked "zmq_connect" (zmq-connect socket text))))

(defun bind-socket (socket endpoint)
  (with-octets (text (ascii-octets endpoint t))
    (checked "zmq_bind" (zmq-bind socket text))))

(defun set-option (socket option value)
  (let ((octets (if (stringp value) (ascii-octets value) (int-octets value))))
    (with-octets (memory octets)
      (checked "zmq_setsockopt"
               (zmq-setsockopt socket
                               (ecase option
                                 (:subscribe 6) (:linger 17)
                                 (:send-high-water-mark 23) (:receive-timeout 27))
                               memory (length octets))))))

;;; Whole arrays

(defun send-octets (socket octets more-p)
  (with-octets (memory octets)
    (checked "zmq_send" (zmq-send socket memory (length octets) (if more-p +send-more+ 0)))))

(defun receive-octets (socket)
  (let ((message (receive-message socket)))
    (unwind-protect
         (values (zmqmatrix.runtime:copy-from-memory (message-address message)
                                                     (message-size message))
                 (plusp (zmq-msg-more message)))
      (close-message message))))

;;; Memory

(defun send-memory (socket array address size)
  (declare (ignore array))
  (checked "zmq_send" (zmq-send socket address size 0)))

(defun send-message (socket message)
  "A failed send leaves the message whole, with its memory: it is closed, which
calls the free function."
  (handler-bind ((zmq-error (lambda (condition)
                              (declare (ignore condition))
                              (zmq-msg-close message))))
    (checked "zmq_msg_send" (zmq-msg-send message socket 0))))

(defun send-message-copy (socket address size)
  (with-memory (message +message-size+)
    (checked "zmq_msg_init_size" (zmq-msg-init-size message size))
    (zmqmatrix.runtime:copy-to-memory (zmqmatrix.runtime:copy-from-memory address size)
                                      (zmq-msg-data message))
    (send-message socket message)))

(defun send-in-place (socket address size free-function hint)
  (with-memory (message +message-size+)
    (checked "zmq_msg_init_data" (zmq-msg-init-data message address size free-function hint))
    (send-message socket message)))

(defun receive-message (socket)
  (let ((message (zmqmatrix.fixture:allocate +message-size+)))
    (zmq-msg-init message)
    (handler-bind ((zmq-error (lambda (condition)
                                (declare (ignore condition))
                                (zmq-msg-close message)
                                (zmqmatrix.fixture:release message))))
      (checked "zmq_msg_recv" (zmq-msg-recv message socket 0)))
    message))

(defun message-address (message) (zmq-msg-data message))

(defun message-size (message) (zmq-msg-size message))

(defun close-message (message)
  (checked "zmq_msg_close" (zmq-msg-close message))
  (zmqmatrix.fixture:release message))
