(in-package :zmqmatrix.features)

;;;; messaging/*: the common patterns, with whole arrays.

(defmacro with-context ((variable) &body body)
  `(let ((,variable (zmqmatrix.binding:open-context)))
     (multiple-value-prog1 (progn ,@body)
       (progress "terminate the context")
       (zmqmatrix.binding:terminate-context ,variable))))

(defun patient-socket (context type name &key bind)
  "A socket that sends all before it goes and fails after 10 s without a message."
  (declare (ignore bind))
  (let ((socket (zmqmatrix.binding:open-socket context type)))
    (unless (member type '(:pull :sub))
      (zmqmatrix.binding:set-option socket :linger -1))
    (unless (member type '(:push :pub))
      (zmqmatrix.binding:set-option socket :receive-timeout 10000))
    (zmqmatrix.binding:connect-socket socket (endpoint name))
    socket))

(defmacro with-sockets (bindings &body body)
  "Bind each variable of BINDINGS, ((variable socket) ...), and close in the end."
  `(let* ,bindings
     (multiple-value-prog1 (progn ,@body)
       ,@(loop for (variable) in bindings
               collect `(zmqmatrix.binding:close-socket ,variable)))))

(defun send-frames (socket frames)
  (loop for (frame . more) on frames
        do (zmqmatrix.binding:send-octets socket frame (and more t))))

(defun receive-frames (socket)
  "All frames of the next message."
  (loop with more = t
        while more
        collect (multiple-value-bind (frame further) (zmqmatrix.binding:receive-octets socket)
                  (setf more further)
                  frame)))

(defun frames-digest (frames)
  (format nil "~{~a~^+~}" (mapcar (lambda (frame) (crc32-text (crc32 frame))) frames)))

(define-feature "messaging/req-rep" ("plain")
    "Requests are answered, and requests are received and answered."
  (let ((count (parameter "count"))
        (sizes (list-parameter "sizes"))
        (replies '())
        (requests '()))
    (with-context (context)
      (with-sockets ((req (patient-socket context :req "replier"))
                     (rep (patient-socket context :rep "requester")))
        (dotimes (i count)
          (progress-of i count "request ~d" i)
          (send-frames req (list (payload (seed) i (size-of sizes i))))
          (push (frames-digest (receive-frames req)) replies))
        (dotimes (i count)
          (progress-of i count "reply ~d" i)
          (push (frames-digest (receive-frames rep)) requests)
          (send-frames rep (list (payload (seed) (+ 100000 i) (size-of sizes i)))))))
    (observe "replies.digests" (comma-list (reverse replies)) :digest)
    (observe "requests.digests" (comma-list (reverse requests)) :digest)))

(defun push-and-pull (parts)
  "Push messages of PARTS frames, pull as many: lists of digests and of frame counts."
  (let ((count (parameter "count"))
        (sizes (list-parameter "sizes"))
        (digests '())
        (frame-counts '()))
    (with-context (context)
      (with-sockets ((push (patient-socket context :push "sink"))
                     (pull (patient-socket context :pull "source")))
        (dotimes (i count)
          (progress-of i count "send message ~d" i)
          (send-frames push
                       (loop for j below parts
                             collect (payload (seed) (if (= parts 1) i (+ (* i 16) j))
                                              (size-of sizes (+ (* i parts) j))))))
        (dotimes (i count)
          (progress-of i count "receive message ~d" i)
          (let ((frames (receive-frames pull)))
            (push (frames-digest frames) digests)
            (push (length frames) frame-counts)))))
    (values (reverse digests) (reverse frame-counts))))

(define-feature "messaging/push-pull" ("plain")
    "Messages pushed and pulled."
  (observe "received.digests" (comma-list (push-and-pull 1)) :digest))

(define-feature "messaging/multipart" ("plain")
    "The same with several frames a message."
  (multiple-value-bind (digests frame-counts) (push-and-pull (parameter "parts"))
    (observe "received.digests" (comma-list digests) :digest)
    (observe "received.parts" (comma-list frame-counts) :list)))

(defun ascii (text)
  (map 'octets #'char-code text))

(defun topic-p (frame text)
  (equalp frame (ascii text)))

(defun synchronise (publisher subscriber)
  "Publish sync every 20 ms until a synced comes, at most 10 s."
  (loop repeat 500
        do (zmqmatrix.binding:send-octets publisher (ascii "sync") nil)
           (handler-case
               (when (topic-p (first (receive-frames subscriber)) "synced")
                 (return t))
             ;; A binding that passes over failures passes over this one too.
             (zmqmatrix.binding:unreported-failure ())
             (error (condition)
               (unless (zmqmatrix.binding:timed-out-p condition)
                 (error condition))))
        finally (error "no synced within 10 s")))

(define-feature "messaging/pub-sub" ("plain")
    "Topics are filtered on both sides."
  (let ((count (parameter "count"))
        (sizes (list-parameter "sizes"))
        (digests '())
        (others 0))
    (with-context (context)
      (with-sockets ((subscriber (patient-socket context :sub "pubsub"))
                     (publisher (patient-socket context :pub "pubsub-in")))
        (zmqmatrix.binding:set-option subscriber :subscribe "synced")
        (zmqmatrix.binding:set-option subscriber :subscribe "match")
        (progress "synchronise")
        ;; EAGAIN after 20 ms is the pause between two syncs.
        (zmqmatrix.binding:set-option subscriber :receive-timeout 20)
        (synchronise publisher subscriber)
        (zmqmatrix.binding:set-option subscriber :receive-timeout 10000)
        (dotimes (i (* 2 count))
          (progress-of i (* 2 count) "publish message ~d" i)
          (send-frames publisher (list (ascii (if (evenp i) "match" "other"))
                                       (payload (seed) i (size-of sizes i)))))
        (zmqmatrix.binding:send-octets publisher (ascii "end") nil)
        (progress "receive")
        (loop
          (let ((frames (receive-frames subscriber)))
            (cond ((null (rest frames))
                   (cond ((topic-p (first frames) "match.end") (return))
                         ((topic-p (first frames) "synced"))
                         (t (incf others))))
                  ((topic-p (first frames) "match")
                   (push (crc32-text (crc32 (second frames))) digests))
                  (t (incf others)))))))
    (observe "received.digests" (comma-list (reverse digests)) :digest)
    (observe "received.other" others :count)))
