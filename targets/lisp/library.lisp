(in-package :zmqmatrix.library)

;;;; libzmq itself, beside any binding: what it says of itself, and how far it
;;;; writes into the memory of a message.

(zmqmatrix.foreign:define-c-functions :libzmq
  (c-version "zmq_version" :void (major :address) (minor :address) (patch :address))
  (c-ctx-new "zmq_ctx_new" :address)
  (c-ctx-get "zmq_ctx_get" :int (context :address) (option :int))
  (c-ctx-term "zmq_ctx_term" :int (context :address))
  (c-msg-init "zmq_msg_init" :int (message :address))
  (c-msg-init-size "zmq_msg_init_size" :int (message :address) (size :u64))
  (c-msg-move "zmq_msg_move" :int (to :address) (from :address))
  (c-msg-close "zmq_msg_close" :int (message :address)))

(defun open-library ()
  (zmqmatrix.foreign:open-c-library :libzmq "libzmq.so.5"))

(defun version ()
  (let ((words (zmqmatrix.fixture:allocate 12)))
    (c-version words (+ words 4) (+ words 8))
    (prog1 (format nil "~d.~d.~d"
                   (zmqmatrix.runtime:memory-octet words 0)
                   (zmqmatrix.runtime:memory-octet words 4)
                   (zmqmatrix.runtime:memory-octet words 8))
      (zmqmatrix.fixture:release words))))

;;; The size of zmq_msg_t

(defconstant +msg-t-size+ 6 "ZMQ_MSG_T_SIZE, from libzmq 4.2 on.")

(defun message-octets ()
  (let ((context (c-ctx-new)))
    (prog1 (c-ctx-get context +msg-t-size+)
      (c-ctx-term context))))

(defconstant +guard+ 512 "Octets, far more than a message ever had.")

(defun touched (memory pattern)
  (loop for end downfrom +guard+ above 0
        unless (= (zmqmatrix.runtime:memory-octet memory (1- end)) pattern)
          return end
        finally (return 0)))

(defun ways-to-fill (memory source)
  "Functions that make a message at MEMORY. A receive moves the message in the
same way as zmq_msg_move, from SOURCE."
  (list* (lambda () (c-msg-init memory))
         (loop for size in '(8 1000)
               collect (let ((size size))
                         (lambda () (c-msg-init-size memory size)))
               collect (let ((size size))
                         (lambda ()
                           (c-msg-init memory)
                           (c-msg-init-size source size)
                           (c-msg-move memory source)
                           (c-msg-close source))))))

(defun message-octets-touched ()
  "Two patterns: an octet that is written may happen to be one of them."
  (let* ((memory (zmqmatrix.fixture:allocate +guard+))
         (source (zmqmatrix.fixture:allocate +guard+))
         (furthest 0))
    (dolist (pattern '(#xa5 #x5a))
      (dolist (way (ways-to-fill memory source))
        (dotimes (k +guard+)
          (zmqmatrix.runtime:store-memory-octet memory k pattern))
        (funcall way)
        (setf furthest (max furthest (touched memory pattern)))
        (c-msg-close memory)))
    (zmqmatrix.fixture:release memory)
    (zmqmatrix.fixture:release source)
    furthest))
