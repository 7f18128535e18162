(in-package :zmqmatrix.features)

;;;; zero-copy/*: messages whose body is the client's own memory. One procedure;
;;;; the features differ in the memory and in who releases it.

;;; Memory

(defstruct (area (:constructor make-area (kind size address array)))
  "Memory that a message is sent from. KIND is :STATIC (an array), :PINNED (an
ordinary array, in its pin's extent) or :FOREIGN (no array, ARRAY is NIL)."
  kind size address array)

(defun allocate-area (kind size)
  (ecase kind
    (:static (let ((array (zmqmatrix.runtime:allocate-static-array size)))
               (make-area kind size (zmqmatrix.runtime:static-array-address array) array)))
    (:foreign (make-area kind size (zmqmatrix.fixture:allocate size) nil))))

(defun fill-area (area seed index)
  "Fill AREA with the payload, through the language."
  (if (area-array area)
      (fill-payload (area-array area) seed index)
      (zmqmatrix.runtime:copy-to-memory (payload seed index (area-size area))
                                        (area-address area)))
  area)

(defun area-octet (area place)
  (if (area-array area)
      (aref (area-array area) place)
      (zmqmatrix.runtime:memory-octet (area-address area) place)))

(defun store-area-octet (area place octet)
  (if (area-array area)
      (setf (aref (area-array area) place) octet)
      (zmqmatrix.runtime:store-memory-octet (area-address area) place octet)))

(defun area-first-class-p (area)
  (and (area-array area) (first-class-p (area-array area))))

(defun release-area (area)
  "Give the memory back; a pinned array's is given back by leaving its extent."
  (ecase (area-kind area)
    (:static (zmqmatrix.runtime:release-static-array (area-array area))
     (setf (area-array area) nil))
    (:foreign (zmqmatrix.fixture:release (area-address area)))
    (:pinned (setf (area-array area) nil))))

(defun call-with-allocator (function kind sizes)
  "Call FUNCTION with a function that makes the areas of SIZES, in this order.
Pinned ones are all made, and pinned, before: a pin has dynamic extent."
  (if (eq kind :pinned)
      (labels ((pin (sizes areas)
                 (if (null sizes)
                     (let ((areas (reverse areas)))
                       (funcall function (lambda (size)
                                           (declare (ignore size))
                                           (pop areas))))
                     (let ((array (make-octets (first sizes))))
                       (zmqmatrix.runtime:call-with-pinned-array
                        (lambda (address)
                          (pin (rest sizes)
                               (cons (make-area :pinned (first sizes) address array) areas)))
                        array)))))
        (pin sizes '()))
      (funcall function (lambda (size) (allocate-area kind size)))))

;;; Ways to release

(defstruct way
  "How one task's messages are released. AREAS and RELEASED have one element per
hint; FREE-FUNCTION is the address given to libzmq, 0 for none. DRAIN takes what
was queued."
  areas released (unknown 0) (collected 0) free-function drain)

(defun release-hint (way hint data)
  "Note and do the release of HINT's area, whose memory must be at DATA."
  (let ((released (way-released way))
        (area (and (< 0 hint (length (way-areas way))) (svref (way-areas way) hint))))
    (declare (type (simple-array (unsigned-byte 64) (*)) released))
    (cond ((and area (= (area-address area) data))
           (when (zerop (aref released hint)) (release-area area))
           (incf (aref released hint)))
          (t (incf (way-unknown way))))))

(defun drain-queue (way)
  (loop
    (multiple-value-bind (data hint) (zmqmatrix.fixture:queue-take)
      (unless data (return))
      (release-hint way hint data))))

(defun make-the-way (release hints gc-every)
  "RELEASE is :CALLBACK, :QUEUE, :LIBC-FREE or :NONE. A callback does a full GC
for every GC-EVERYth hint."
  (let ((way (make-way :areas (make-array hints :initial-element nil)
                       :released (make-counters hints)
                       :free-function 0
                       :drain (lambda ()))))
    (ecase release
      (:callback
       (setf zmqmatrix.foreign:*on-free*
             (lambda (data hint)
               (zmqmatrix.fixture:note-thread)
               ;; Code that allocates may collect, and a callback allocates:
               ;; whether it survives that must not depend on luck.
               (when (and (plusp gc-every) (zerop (mod hint gc-every)))
                 (incf (way-collected way) (collect)))
               (release-hint way hint data))
             (way-free-function way) (call-address :free)))
      (:queue
       (setf (way-free-function way) (zmqmatrix.fixture:queue-free-address)
             (way-drain way) (lambda () (drain-queue way))))
      (:libc-free
       (setf (way-free-function way) (zmqmatrix.fixture:libc-free)))
      (:none nil))
    way))

(defun releases (way hints)
  "How many of the hints 1 .. HINTS were released so far."
  (funcall (way-drain way))
  (loop for hint from 1 to hints count (plusp (aref (way-released way) hint))))

;;; The procedure

(defun exchange-inproc (context prefix area send)
  "Send AREA over inproc with SEND, store into it, and see what the receiver has."
  (let* ((endpoint (format nil "inproc://zero-copy~:[-copy~;~]" (string= prefix "")))
         (size (area-size area))
         (place (floor size 2))
         (address (area-address area))
         (receiver (zmqmatrix.binding:open-socket context :pair))
         (sender (zmqmatrix.binding:open-socket context :pair)))
    (flet ((key (name) (format nil "~ainproc.~a" prefix name)))
      (zmqmatrix.binding:set-option receiver :receive-timeout 10000)
      (zmqmatrix.binding:bind-socket receiver endpoint)
      (zmqmatrix.binding:connect-socket sender endpoint)
      (fill-area area (seed) 1000000)
      (progress "~ainproc send" prefix)
      (funcall send sender area)
      (churn-and-collect)
      (let ((stored (logxor (area-octet area place) 255)))
        (store-area-octet area place stored)
        (progress "~ainproc receive" prefix)
        (let ((message (zmqmatrix.binding:receive-message receiver)))
          (observe-address (key "array-address") address)
          (observe-address (key "received-address") (zmqmatrix.binding:message-address message))
          (observe (key "stored") stored :count)
          (observe (key "seen")
                   (zmqmatrix.fixture:peek (zmqmatrix.binding:message-address message) place)
                   :count)
          (progress "~ainproc close" prefix)
          (zmqmatrix.binding:close-message message)))
      (zmqmatrix.binding:close-socket sender)
      (zmqmatrix.binding:close-socket receiver))))

(defun push-socket (context name)
  (let ((socket (zmqmatrix.binding:open-socket context :push)))
    (zmqmatrix.binding:set-option socket :linger -1)
    (zmqmatrix.binding:set-option socket :send-high-water-mark 4)
    (zmqmatrix.binding:connect-socket socket (endpoint name))
    socket))

(defun array-text (area)
  (format nil "~a+~d" (address-text (area-address area)) (area-size area)))

(defun run-zero-copy (kind release)
  ;; Before anything of the binding's is used that sending in place does not need.
  (zmqmatrix.binding:require-memory-interface)
  (let* ((count (parameter "count"))
         (sizes (list-parameter "sizes"))
         (copy-count (parameter "copy-count"))
         (copy-size (parameter "copy-size"))
         (inproc-size (parameter "inproc-size"))
         (kind (if (equal (technique) "pin") :pinned kind))
         (batch (pin-batch kind release count)))
    (call-with-allocator
     (lambda (allocate)
       (exercise-zero-copy allocate batch kind release
                           count sizes copy-count copy-size inproc-size))
     kind
     (append (list inproc-size inproc-size)
             (unless batch (loop for i below count collect (size-of sizes i)))
             (loop repeat copy-count collect copy-size)))))

(defun pin-batch (kind release count)
  "How many messages share one pin's extent, which ends when all of them are
released; NIL if all memory lives as long as the context, or is not pinned."
  (when (and (eq kind :pinned) (member release '(:callback :queue)))
    (let ((window (parameter "window")))
      (if (plusp window) window count))))

(defun exercise-zero-copy (allocate batch kind release
                           count sizes copy-count copy-size inproc-size)
  (let* ((gc-every (parameter "gc-every"))
         (window (parameter "window"))
         (inproc-hint (1+ count))
         (way (make-the-way release (+ count 2) gc-every))
         (context (zmqmatrix.binding:open-context))
         (first-class t)
         (gc-during 0)
         (kept '())
         ;; With no free function the client releases after it has terminated
         ;; the context, with libc's free nobody tells it at all.
         (told (member release '(:callback :queue))))
    (flet ((new-area (size &optional (allocate allocate))
             (let ((area (funcall allocate size)))
               (unless (area-first-class-p area) (setf first-class nil))
               area))
           (wait-for-releases (enough-p)
             ;; An error in the callback is why none is released; and without a
             ;; release nothing may go on: libzmq still has the memory.
             (unless (wait-for-progress enough-p (lambda () (releases way count)))
               (rethrow-callback-condition)
               (error "no further release within 10 s, after ~d" (releases way count))))
           (send-area (socket area hint)
             (setf (svref (way-areas way) hint) area)
             (zmqmatrix.binding:send-in-place socket (area-address area) (area-size area)
                                              (way-free-function way) hint)))
      ;; 1. inproc
      (exchange-inproc context "" (new-area inproc-size)
                       (lambda (socket area) (send-area socket area inproc-hint)))
      (funcall (way-drain way))
      ;; 2. its control
      (let ((area (new-area inproc-size)))
        (exchange-inproc context "copy." area
                         (lambda (socket area)
                           (zmqmatrix.binding:send-message-copy
                            socket (area-address area) (area-size area))))
        (release-area area))
      ;; 3. tcp
      (zmqmatrix.fixture:forget-threads)
      (let ((sink (push-socket context "sink"))
            (copy (push-socket context "copy"))
            (texts '())
            (copy-texts '()))
        (flet ((send-message (i allocate)
                 (when (and told (plusp window))
                   (wait-for-releases (lambda () (< (- i (releases way count)) window))))
                 (let ((area (fill-area (new-area (size-of sizes i) allocate) (seed) i)))
                   (push (array-text area) texts)
                   (progress-of i count "send message ~d" i)
                   (send-area sink area (1+ i)))
                 (when (and (plusp gc-every) (zerop (mod (1+ i) gc-every)))
                   (let ((collections (churn-and-collect)))
                     (when (if told (< (releases way count) count) (< (1+ i) count))
                       (incf gc-during collections))))))
          (if batch
              (loop for first from 0 below count by batch
                    for end = (min count (+ first batch))
                    do (call-with-allocator
                        (lambda (allocate)
                          (loop for i from first below end do (send-message i allocate))
                          (wait-for-releases (lambda () (= (releases way end) end))))
                        kind
                        (loop for i from first below end collect (size-of sizes i))))
              (dotimes (i count) (send-message i allocate))))
        ;; 4. its control
        (dotimes (i copy-count)
          (let ((area (fill-area (new-area copy-size) (seed) (+ 500000 i))))
            (push area kept)
            (push (array-text area) copy-texts)
            (progress-of i copy-count "send copied message ~d" i)
            (zmqmatrix.binding:send-memory copy (area-array area) (area-address area)
                                           (area-size area))))
        ;; 5. the end
        (when told
          (progress "wait for the releases")
          (wait-for-releases (lambda () (= (releases way count) count))))
        (progress "close, terminate the context")
        (zmqmatrix.binding:close-socket sink)
        (zmqmatrix.binding:close-socket copy)
        (zmqmatrix.binding:terminate-context context)
        (funcall (way-drain way))
        (rethrow-callback-condition)
        (when (eq release :none)
          (loop for hint from 1 to (1+ count)
                do (release-hint way hint (area-address (svref (way-areas way) hint)))))
        (mapc #'release-area kept)
        (observe "tcp.arrays" (comma-list (reverse texts)) :list)
        (observe "copy.arrays" (comma-list (reverse copy-texts)) :list)))
    (let ((released (subseq (way-released way) 0 inproc-hint)))
      (observe "release.once" (if (eq release :libc-free) -1 (count-once released)) :count)
      (observe "release.repeated" (count-repeated released) :count)
      (observe "release.unknown" (way-unknown way) :count))
    (observe "memory" (if (eq kind :foreign) "foreign" "array") :text)
    (observe "array.first-class" first-class :flag)
    (observe "thread.main" (zmqmatrix.fixture:thread-id) :thread)
    (observe "thread.ran-on"
             (if (eq release :callback) (zmqmatrix.fixture:noted-threads) "") :thread)
    (observe "gc.during" gc-during :count)
    (observe "gc.in-callback" (way-collected way) :count)))

(defun kept-kind ()
  "A static array, or foreign memory where there is none."
  (handler-case
      (progn (zmqmatrix.runtime:release-static-array
              (zmqmatrix.runtime:allocate-static-array 16))
             :static)
    (unsupported () :foreign)))

(define-feature "zero-copy/callback-free" ("plain" "unblock-signals" "pin")
    "The client's own callback, run by libzmq, releases a static array."
  (run-zero-copy :static :callback))

(define-feature "zero-copy/deferred-free" ("plain" "c-queue" "pin")
    "C only queues; the client drains and releases on its own thread."
  (run-zero-copy :static :queue))

(define-feature "zero-copy/native-free" ("plain")
    "libc's free releases libc's memory: nothing calls back."
  (run-zero-copy :foreign :libc-free))

(define-feature "zero-copy/kept-alive" ("plain" "pin")
    "No free function: the memory is kept until the context is terminated."
  (run-zero-copy (kept-kind) :none))

(define-feature "zero-copy/wire" ("plain" "pin")
    "As kept-alive, watched by the witness library."
  (run-zero-copy (kept-kind) :none))

;;; Receiving in place

(defstruct (view (:constructor make-view (address size array)))
  "A received body where libzmq put it: as an ARRAY where the runtime can."
  address size array)

(defun view-memory (address size)
  (make-view address size (zmqmatrix.runtime:memory-as-array address size)))

(defun view-own-address (view)
  (if (view-array view)
      (zmqmatrix.runtime:ordinary-array-address (view-array view))
      (view-address view)))

(defun view-octet (view place)
  (if (view-array view)
      (aref (view-array view) place)
      (zmqmatrix.runtime:memory-octet (view-address view) place)))

(defun store-view-octet (view place octet)
  (if (view-array view)
      (setf (aref (view-array view) place) octet)
      (zmqmatrix.runtime:store-memory-octet (view-address view) place octet)))

(define-feature "zero-copy/receive-in-place" ("plain")
    "A received body is read and written where it is."
  (let* ((count (parameter "count"))
         (digests '())
         (in-place 0) (to-view 0) (from-view 0) (copy-seen 0)
         (kind "array")
         (context (zmqmatrix.binding:open-context))
         (socket (zmqmatrix.binding:open-socket context :pull)))
    (zmqmatrix.binding:set-option socket :receive-timeout 10000)
    (zmqmatrix.binding:connect-socket socket (endpoint "source"))
    (dotimes (i count)
      (progress-of i count "receive message ~d" i)
      (let* ((message (zmqmatrix.binding:receive-message socket))
             (address (zmqmatrix.binding:message-address message))
             (size (zmqmatrix.binding:message-size message))
             (view (view-memory address size)))
        (unless (view-array view) (setf kind "foreign"))
        (push (crc32-text (crc32-by-octet size (lambda (k) (view-octet view k)))) digests)
        (when (= (view-own-address view) (zmqmatrix.binding:message-address message))
          (incf in-place))
        (when (plusp size)
          (let* ((place (floor size 2))
                 (changed (logxor (view-octet view place) 255)))
            (zmqmatrix.fixture:poke address place changed)
            (when (= (view-octet view place) changed) (incf to-view)))
          (let* ((place (floor size 3))
                 (changed (logxor (view-octet view place) 85)))
            (store-view-octet view place changed)
            (when (= (zmqmatrix.fixture:peek address place) changed) (incf from-view)))
          (let* ((place (floor size 4))
                 (copy (zmqmatrix.runtime:copy-from-memory address size))
                 (changed (logxor (aref copy place) 170)))
            (zmqmatrix.fixture:poke address place changed)
            (when (= (aref copy place) changed) (incf copy-seen))))
        (zmqmatrix.binding:close-message message)))
    (zmqmatrix.binding:close-socket socket)
    (zmqmatrix.binding:terminate-context context)
    (observe "received.digests" (comma-list (reverse digests)) :digest)
    (observe "views.in-place" in-place :count)
    (observe "store.c-to-view" to-view :count)
    (observe "store.view-to-c" from-view :count)
    (observe "copy.seen" copy-seen :count)
    (observe "view.kind" kind :text)))
