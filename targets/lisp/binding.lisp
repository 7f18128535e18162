(in-package :zmqmatrix.binding)

;;;; The binding protocol. A binding's file defines these with the binding's own
;;;; functions, the way its manual shows; what it does not offer, it says by
;;;; NOT-OFFERED. Contexts, sockets and messages are whatever the binding uses.

(define-condition zmq-error (error)
  ((operation :initarg :operation :reader zmq-error-operation)
   (number :initarg :number :reader zmq-error-number)
   (text :initarg :text :reader zmq-error-text))
  (:report (lambda (condition stream)
             (format stream "~a: ~a (errno ~d)" (zmq-error-operation condition)
                     (zmq-error-text condition) (zmq-error-number condition))))
  (:documentation "A ZeroMQ function failed with an errno: the raw layer's own kind
of error. A binding has its own, which ERROR-NUMBER knows."))

(define-condition unreported-failure (error)
  ((operation :initarg :operation :reader unreported-failure-operation))
  (:report (lambda (condition stream)
             (format stream "~a failed, and the binding signals no error"
                     (unreported-failure-operation condition))))
  (:documentation "What an adaptor signals where the binding passes over a failure."))

(defun check-result (operation result)
  "For functions of a binding that return libzmq's -1 and signal nothing."
  (if (eql result -1)
      (error 'unreported-failure :operation operation)
      result))

;;; Who it is

(define-operation binding-name () "A string: \"cffi\".")
(define-operation binding-version () "A string, or the empty string.")
(define-operation libzmq-version () "The version of libzmq that the binding reports: \"4.3.4\".")
(define-operation open-binding ()
  "Called once, when the image has started and libzmq is open in it.")
(define-operation require-memory-interface ()
  "NOT-OFFERED where the binding gives libzmq neither memory nor a function of the
client's: then callbacks and static arrays are the Lisp's alone, and measured with
the raw layer.")
(define-operation believed-message-octets ()
  "How many octets the binding takes zmq_msg_t to have. It may be read where the
binding keeps it, exported or not: it is asked, not used.")
(define-operation timed-out-p (condition)
  "Whether CONDITION is the binding's EAGAIN, as its manual says to tell.")
(define-operation error-number (condition)
  "The errno of a CONDITION of the binding's own kind, as its manual says to get
it, or -1 if there is no way; NIL for any other condition.")

;;; Contexts and sockets

(define-operation open-context () "A new context.")
(define-operation shut-down-context (context)
  "zmq_ctx_shutdown: from then on operations on its sockets fail with ETERM.")
(define-operation terminate-context (context) "Terminate it; waits for linger.")
(define-operation open-socket (context type)
  "TYPE is :PAIR, :PUB, :SUB, :REQ, :REP, :PULL or :PUSH.")
(define-operation close-socket (socket) "Close it.")
(define-operation connect-socket (socket endpoint) "Connect it.")
(define-operation bind-socket (socket endpoint) "Bind it.")
(define-operation set-option (socket option value)
  "OPTION is :LINGER, :RECEIVE-TIMEOUT (milliseconds), :SEND-HIGH-WATER-MARK, or
:SUBSCRIBE (a string in ASCII).")

;;; Whole arrays

(define-operation send-octets (socket octets more-p)
  "Send one frame, an ordinary array.")
(define-operation receive-octets (socket)
  "Receive one frame: a new ordinary array, and whether more frames follow.")

;;; Memory

(define-operation send-memory (socket array address size)
  "An ordinary copying send of SIZE octets, which are at ADDRESS, and are ARRAY
unless that is NIL.")
(define-operation send-message-copy (socket address size)
  "zmq_msg_init_size, a copy of the octets at ADDRESS into zmq_msg_data, zmq_msg_send.")
(define-operation send-in-place (socket address size free-function hint)
  "zmq_msg_init_data with the address of the FREE-FUNCTION, 0 for none, and zmq_msg_send.")
(define-operation receive-message (socket) "A message received by zmq_msg_recv.")
(define-operation message-address (message) "zmq_msg_data.")
(define-operation message-size (message) "zmq_msg_size.")
(define-operation close-message (message) "zmq_msg_close.")
