(in-package #:zmqmatrix.binding)

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
  (:documentation "A ZeroMQ function failed with an errno."))

;;; Who it is

(define-operation binding-name () "A string: \"cffi\".")
(define-operation binding-version () "A string, or the empty string.")
(define-operation libzmq-version () "What the loaded libzmq says of itself: \"4.3.4\".")
(define-operation open-binding () "Open libzmq. Called once, when the image has started.")

;;; Contexts and sockets

(define-operation open-context () "A new context.")
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
