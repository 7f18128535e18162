(in-package :zmqmatrix.features)

;;;; binding/*: what a binding is to be trusted with before it sends a message.

(define-feature "binding/loads" ("plain")
    "What was said when the binding was compiled and loaded, at the build."
  (observe "loads.by" (format nil "~a ~a" (zmqmatrix.runtime:implementation-name)
                              (zmqmatrix.runtime:implementation-version))
           :text)
  (observe "loads.warnings" (zmqmatrix.loading:warning-count) :count)
  (observe "loads.first-warning" (zmqmatrix.loading:first-warning) :text)
  (observe "loads.style-warnings" (zmqmatrix.loading:style-warning-count) :count)
  (observe "loads.conflicts" (zmqmatrix.loading:conflict-count) :count)
  (observe "loads.first-conflict" (zmqmatrix.loading:first-conflict) :text))

(define-feature "binding/version" ("plain")
    "The binding knows which libzmq it speaks to."
  (observe "version.binding" (zmqmatrix.binding:libzmq-version) :text)
  (observe "version.library" (zmqmatrix.library:version) :text)
  (observe "version.own" (zmqmatrix.binding:binding-version) :text))

(define-feature "binding/message-size" ("plain")
    "The binding's zmq_msg_t is no smaller than the library's."
  (observe "size.believed" (zmqmatrix.binding:believed-message-octets) :bytes)
  (observe "size.library" (zmqmatrix.library:message-octets) :bytes)
  (progress "write into messages before a guard")
  (observe "size.touched" (zmqmatrix.library:message-octets-touched) :bytes))

;;; Errors

(defun caught (function)
  "The error that FUNCTION ends with, or NIL; and why it can't be tried, or NIL."
  (handler-case (progn (funcall function) nil)
    (unsupported (condition) (values nil (unsupported-reason condition)))
    ;; The binding passed over it; the adaptor found it.
    (zmqmatrix.binding:unreported-failure () nil)
    (error (condition) condition)))

(defun observe-error (name step function)
  (progress "~a" step)
  (multiple-value-bind (condition missing) (caught function)
    (flet ((key (key) (format nil "~a.~a" name key)))
      (observe (key "missing") (or missing "") :text)
      (unless missing
        (let ((number (and condition (zmqmatrix.binding:error-number condition))))
          (observe (key "signalled") (and condition t) :flag)
          (observe (key "condition")
                   (if condition
                       (zmqmatrix.loading:one-line
                        (format nil "~s: ~a" (type-of condition) condition))
                       "")
                   :text)
          (observe (key "own") (and number t) :flag)
          (observe (key "number") (or number -1) :count))))))

(define-feature "binding/errors" ("plain")
    "libzmq's errors arrive as the binding's own, with their numbers."
  (let ((endpoint "inproc://errors"))
    (with-context (context)
      (with-sockets ((pull (zmqmatrix.binding:open-socket context :pull))
                     (second (zmqmatrix.binding:open-socket context :pull))
                     (req (zmqmatrix.binding:open-socket context :req)))
        (dolist (socket (list pull second req))
          (zmqmatrix.binding:set-option socket :linger 0)
          (zmqmatrix.binding:set-option socket :receive-timeout 1))
        (zmqmatrix.binding:bind-socket pull endpoint)
        (observe-error "eagain" "receive where nothing comes"
                       (lambda () (zmqmatrix.binding:receive-octets pull)))
        (observe-error "efsm" "receive a reply before there was a request"
                       (lambda () (zmqmatrix.binding:receive-octets req)))
        (observe-error "eaddrinuse" "bind a second socket to the same endpoint"
                       (lambda () (zmqmatrix.binding:bind-socket second endpoint)))
        (observe-error "eterm" "receive after the context was shut down"
                       (lambda ()
                         (zmqmatrix.binding:shut-down-context context)
                         (zmqmatrix.binding:receive-octets pull)))))))
