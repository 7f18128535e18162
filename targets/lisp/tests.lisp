;;;; Unit tests of what the harness can't see, run by test.sh in each Lisp.

(defpackage #:zmqmatrix.tests
  (:use #:common-lisp #:zmqmatrix.protocol #:zmqmatrix.payload)
  (:export #:run))
(in-package :zmqmatrix.tests)

(defvar *tests* '())
(defvar *failures* 0)

(defmacro define-test (claim &body body)
  "CLAIM is what BODY checks, in words."
  `(push (cons ,claim (lambda () ,@body)) *tests*))

(defmacro check (form)
  "FORM must be true; a false one is shown with its arguments' values."
  (if (and (consp form) (not (macro-function (first form))) (not (special-operator-p (first form))))
      (let ((values (gensym "VALUES")))
        `(let ((,values (list ,@(rest form))))
           (unless (apply (function ,(first form)) ,values)
             (incf *failures*)
             (format t "  not true: ~s, with ~s~%" ',form ,values))))
      `(unless ,form
         (incf *failures*)
         (format t "  not true: ~s~%" ',form))))

(defun octets (&rest octets)
  (make-array (length octets) :element-type 'octet :initial-contents octets))

(defun captured-line (function)
  (with-output-to-string (*standard-output*) (funcall function)))

;;; Payload and CRC

(define-test "the payload is PROBE.md's check value"
  (check (equalp (payload 1 0 8) (octets #x00 #x4f #xbf #xa4 #x8d #x04 #x93 #xbd))))

(define-test "the payload repeats after 4093 octets and does so at any size"
  (let ((body (payload 77 5 20000)))
    (check (= (length body) 20000))
    (check (loop for k from 4093 below 20000 always (= (aref body k) (aref body (- k 4093)))))
    (check (equalp (payload 77 5 4093) (subseq body 0 4093)))
    (check (equalp (payload 77 5 0) (octets)))))

(define-test "seeds and indices near 2^32 wrap around"
  (check (equalp (payload 4294967295 0 64) (payload (- 4294967295 40503) 1 64)))
  (check (equalp (payload 4294967295 1 64) (payload 40502 0 64))))

(define-test "one octet of the payload is that of the whole"
  (let ((body (payload 9 3 10000)))
    (check (loop for place in '(0 1 4092 4093 9999)
                 always (= (payload-octet 9 3 place) (aref body place))))))

(define-test "mismatches are counted one by one"
  (let ((body (payload 5 6 9000)))
    (check (= (payload-mismatches body 5 6) 0))
    (setf (aref body 0) (logxor (aref body 0) 1)
          (aref body 8999) (logxor (aref body 8999) 128))
    (check (= (payload-mismatches body 5 6) 2))
    (check (> (payload-mismatches body 5 7) 8000))))

(define-test "CRC-32 of 123456789 is cbf43926, read as an array or by octets"
  (let ((text (map 'octets #'char-code "123456789")))
    (check (string= (crc32-text (crc32 text)) "cbf43926"))
    (check (= (crc32 text) (crc32-by-octet 9 (lambda (k) (aref text k)))))
    (check (string= (crc32-text (crc32 (octets))) "00000000"))))

(define-test "the client's payload and CRC are the fixture's"
  (let* ((body (payload 4294967290 1000003 70001))
         (memory (zmqmatrix.fixture:allocate 70001)))
    (zmqmatrix.runtime:copy-to-memory body memory)
    (check (= (zmqmatrix.fixture:mismatches memory 70001 4294967290 1000003) 0))
    (check (= (zmqmatrix.fixture:memory-crc32 memory 70001) (crc32 body)))
    (check (equalp (zmqmatrix.runtime:copy-from-memory memory 70001) body))
    (zmqmatrix.fixture:release memory)))

;;; Report

(define-test "text is JSON in ASCII, whatever it holds"
  (check (string= (zmqmatrix.report:json-text "a\"b\\c") "\"a\\\"b\\\\c\""))
  (check (string= (zmqmatrix.report:json-text (string (code-char 10))) "\"\\u000a\""))
  (check (string= (zmqmatrix.report:json-text (string (code-char 127))) "\"\\u007f\""))
  (check (string= (zmqmatrix.report:json-text (string (code-char 228))) "\"\\u00e4\""))
  ;; GCL's characters are octets; those of 16 bits (ABCL) are surrogates already.
  (when (> char-code-limit #xffff)
    (check (string= (zmqmatrix.report:json-text
                     (if (< #x1d11e char-code-limit)
                         (string (code-char #x1d11e))
                         (map 'string #'code-char '(#xd834 #xdd1e))))
                    "\"\\ud834\\udd1e\""))))

(define-test "a line is one object with PROBE.md's keys"
  (check (string= (captured-line (lambda () (zmqmatrix.report:observe "x" 7 :count)))
                  (format nil "{\"type\":\"observe\",\"key\":\"x\",\"value\":7,\"unit\":\"count\"}~%")))
  (check (string= (captured-line (lambda () (zmqmatrix.report:observe "x" nil :flag)))
                  (format nil "{\"type\":\"observe\",\"key\":\"x\",\"value\":false,\"unit\":\"flag\"}~%")))
  (check (string= (captured-line (lambda () (zmqmatrix.report:observe-address "x" 255)))
                  (format nil "{\"type\":\"observe\",\"key\":\"x\",\"value\":\"0xff\",\"unit\":\"address\"}~%"))))

;;; Protocols

(define-test "everything that a layer declares is defined"
  (check (null (missing-operations)))
  (check (> (length (operations)) 40)))

(define-test "the runtime says who it is"
  (check (stringp (zmqmatrix.runtime:implementation-name)))
  (check (stringp (zmqmatrix.runtime:implementation-version)))
  (check (member (zmqmatrix.runtime:collector) '(:moving :non-moving :none))))

(define-test "every feature of PROBE.md is there"
  (check (= (length (zmqmatrix.features:feature-names)) 24))
  (check (loop for name in (zmqmatrix.features:feature-names)
               always (member "plain" (zmqmatrix.features:feature-techniques
                                       (zmqmatrix.features:find-feature name))
                              :test #'equal)))
  (check (null (zmqmatrix.features:find-feature "callback/never-heard-of"))))

(define-test "a binding without a memory interface receives in place all the same"
  (let ((interface (fdefinition 'zmqmatrix.binding:require-memory-interface))
        (not-offered '())
        (offered '()))
    (setf (fdefinition 'zmqmatrix.binding:require-memory-interface)
          (lambda () (not-offered "no memory interface")))
    (unwind-protect
         (dolist (name (zmqmatrix.features:feature-names))
           (when (member (subseq name 0 (position #\/ name))
                         '("callback" "static-area" "zero-copy") :test #'string=)
             (handler-case (zmqmatrix.features:run-feature
                            (zmqmatrix.features:find-feature name))
               (unsupported () (push name not-offered))
               ;; It goes on, and is given no parameters here.
               (error () (push name offered)))))
      (setf (fdefinition 'zmqmatrix.binding:require-memory-interface) interface))
    (check (equal offered '("zero-copy/receive-in-place")))
    (check (> (length not-offered) 10))))

;;; Memory

(defmacro if-offered (form &body body)
  "BODY if FORM, which binds ARRAY, is not refused with a reason."
  `(handler-case (let ((array ,form)) ,@body)
     (unsupported (condition)
       (check (plusp (length (unsupported-reason condition)))))))

(define-test "a static array is an ordinary array to the language"
  (if-offered (zmqmatrix.runtime:allocate-static-array 5000)
    (fill-payload array 3 4)
    (check (typep array 'octets))
    (check (arrayp array))
    (check (= (length array) 5000))
    (check (equalp array (payload 3 4 5000)))
    (check (equalp (subseq array 10 20) (subseq (payload 3 4 5000) 10 20)))
    ;; GCL has a name of its own for the type.
    (check (equal (array-element-type array) (upgraded-array-element-type '(unsigned-byte 8))))
    (check (= (zmqmatrix.fixture:mismatches
               (zmqmatrix.runtime:static-array-address array) 5000 3 4)
              0))
    (zmqmatrix.runtime:release-static-array array)))

(define-test "an array's address is where its elements are"
  (let* ((array (payload 1 2 1024))
         (address (zmqmatrix.runtime:ordinary-array-address array)))
    ;; Collectors move on allocation: C must be asked at once.
    (when address
      (check (= (zmqmatrix.fixture:mismatches
                 (zmqmatrix.runtime:ordinary-array-address array) 1024 1 2)
                0)))))

(define-test "octets of memory are read and written where they are"
  (let ((memory (zmqmatrix.fixture:allocate 16)))
    (zmqmatrix.runtime:store-memory-octet memory 3 200)
    (check (= (zmqmatrix.fixture:peek memory 3) 200))
    (zmqmatrix.fixture:poke memory 3 201)
    (check (= (zmqmatrix.runtime:memory-octet memory 3) 201))
    (zmqmatrix.fixture:release memory)))

(define-test "the queue gives back what was queued, and then nothing"
  (check (null (zmqmatrix.fixture:queue-take))))

;;; Callbacks

(define-test "C calls Lisp with values over all 64 bits"
  (let ((seen '()))
    (setf zmqmatrix.foreign:*on-call*
          (lambda (sequence value cell)
            (push value seen)
            (zmqmatrix.foreign:store-word cell sequence)
            (logxor value sequence)))
    (zmqmatrix.fixture:call-here (zmqmatrix.foreign:callback-address :call) 100 42)
    (check (= (zmqmatrix.fixture:calls-right) 100))
    (check (some (lambda (value) (> value (ash 1 63))) seen))))

(define-test "an error in a callback stops at its edge"
  (setf zmqmatrix.foreign:*callback-condition* nil
        zmqmatrix.foreign:*on-call* (lambda (sequence value cell)
                                      (declare (ignore sequence value cell))
                                      (error "on purpose")))
  (zmqmatrix.fixture:call-here (zmqmatrix.foreign:callback-address :call) 1 42)
  (check (typep zmqmatrix.foreign:*callback-condition* 'error))
  (setf zmqmatrix.foreign:*callback-condition* nil))

;;; Loading

(define-condition clash (package-error) ()
  (:report (lambda (condition stream)
             (declare (ignore condition))
             (format stream "IDENTITY is~%   locked"))))

(define-test "what is said of a binding is counted by its kind"
  (let ((zmqmatrix.loading::*warnings* '())
        (zmqmatrix.loading::*style-warnings* 0)
        (zmqmatrix.loading::*conflicts* '())
        (*error-output* (make-broadcast-stream)))
    (handler-bind ((clash (lambda (condition)
                            (declare (ignore condition))
                            (invoke-restart 'go-on))))
      (zmqmatrix.loading:call-with-counting
       (lambda ()
         (warn "the first")
         (warn "the second")
         (warn 'style-warning)
         (with-simple-restart (go-on "Go on.")
           (error 'clash :package *package*)))))
    (check (= (zmqmatrix.loading:warning-count) 2))
    ;; GCL prints a condition with its class.
    (check (search "the first" (zmqmatrix.loading:first-warning)))
    (check (= (zmqmatrix.loading:style-warning-count) 1))
    (check (= (zmqmatrix.loading:conflict-count) 1))
    (check (string= (zmqmatrix.loading:first-conflict) "IDENTITY is locked"))))

(define-test "a text is one line, and a long one is cut"
  (check (string= (zmqmatrix.loading:one-line (format nil "~%  a  b~%c ~a" (string #\Tab))) "a b c"))
  (check (= (length (zmqmatrix.loading:one-line (make-string 1000 :initial-element #\x))) 404)))

(define-test "the library's own word for a message's size is as far as it writes"
  (check (= (zmqmatrix.library:message-octets) (zmqmatrix.library:message-octets-touched)))
  (check (string= (zmqmatrix.library:version) (zmqmatrix.binding:libzmq-version))))

;;; Errors

(define-test "a receive that times out is EAGAIN, however the heap grows meanwhile"
  (let* ((context (zmqmatrix.binding:open-context))
         (socket (zmqmatrix.binding:open-socket context :pull))
         (grown '()))
    (zmqmatrix.binding:set-option socket :receive-timeout 1)
    (dotimes (k 50)
      (push (make-array 100000 :element-type 'octet) grown)
      (check (= (handler-case (progn (zmqmatrix.binding:receive-message socket) 0)
                  (zmqmatrix.binding:zmq-error (condition)
                    (zmqmatrix.binding:zmq-error-number condition)))
                11)))
    (zmqmatrix.binding:close-socket socket)
    (zmqmatrix.binding:terminate-context context)))

(defun keep-libzmq-busy ()
  "Have libzmq's I/O thread try for ever to reach a port where nobody listens."
  (let ((context (zmqmatrix.binding:open-context)))
    (dotimes (k 300)
      (zmqmatrix.binding:connect-socket (zmqmatrix.binding:open-socket context :push)
                                        "tcp://127.0.0.1:1"))
    ;; Each tries again after 100 to 200 ms: some two thousand a second.
    (sleep 0.5)))

(defun run ()
  "The image's entry: run all tests, exit with 1 if one failed. A probe that can't
go on leaves with its context open, and so does this: that libzmq's thread is
still running must not change the exit status."
  (zmqmatrix.runtime:start-up)
  (zmqmatrix.probe:open-libraries)
  (dolist (test (reverse *tests*))
    (format t "~a~%" (car test))
    (handler-case (funcall (cdr test))
      (error (condition)
        (incf *failures*)
        (format t "  ~a: ~a~%" (type-of condition) condition))))
  (format t "~d tests, ~d failures~%" (length *tests*) *failures*)
  (keep-libzmq-busy)
  (zmqmatrix.runtime:leave (if (zerop *failures*) 0 1)))
