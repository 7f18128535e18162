(in-package :zmqmatrix.features)

;;;; callback/*: C calls Lisp.

;;; Functions called with a sequence number

(defstruct calls
  "One task's calls. SEEN and COLLECTED have one element per sequence number."
  seen collected gc-every)

(defun on-call (calls)
  "The callback's body."
  (let ((seen (calls-seen calls))
        (collected (calls-collected calls))
        (gc-every (calls-gc-every calls)))
    (declare (type (simple-array (unsigned-byte 64) (*)) seen collected)
             (type fixnum gc-every))
    (lambda (sequence value cell)
      (declare (type (unsigned-byte 64) sequence value))
      (zmqmatrix.foreign:store-word cell sequence)
      (zmqmatrix.fixture:note-thread)
      (when (< sequence (length seen))
        (incf (aref seen sequence))
        (when (and (plusp gc-every) (zerop (mod sequence gc-every)))
          (incf (aref collected sequence) (collect))))
      (logxor value sequence))))

(defun prepare-calls (total)
  (let ((calls (make-calls :seen (make-counters total)
                           :collected (make-counters total)
                           :gc-every (parameter "gc-every"))))
    (setf zmqmatrix.foreign:*on-call* (on-call calls))
    calls))

(defun observe-calls (calls gc-during)
  (rethrow-callback-condition)
  (observe "calls.made" (zmqmatrix.fixture:calls-made) :count)
  (observe "calls.right" (zmqmatrix.fixture:calls-right) :count)
  (observe "calls.seen" (count-once (calls-seen calls)) :count)
  (observe "calls.repeated" (count-repeated (calls-seen calls)) :count)
  (observe "thread.main" (zmqmatrix.fixture:thread-id) :thread)
  (observe "thread.callers" (zmqmatrix.fixture:callers) :thread)
  (observe "thread.ran-on" (zmqmatrix.fixture:noted-threads) :thread)
  (observe "gc.during" gc-during :count)
  (observe "gc.in-callback" (reduce #'+ (calls-collected calls)) :count))

(define-feature "callback/same-thread" ("plain")
    "C calls back on the thread that called it."
  (let* ((total (parameter "calls"))
         (calls (prepare-calls total)))
    (progress "zm_call_here, ~d calls" total)
    (zmqmatrix.fixture:call-here (call-address :call) total (seed))
    (observe-calls calls 0)))

(define-feature "callback/foreign-thread" ("plain" "unblock-signals")
    "The caller is blocked in C while a thread that C made calls back."
  (let* ((total (parameter "calls"))
         (calls (prepare-calls total)))
    (progress "zm_call_threads, 1 thread, ~d calls" total)
    (check-errno "zm_call_threads"
                 (zmqmatrix.fixture:call-threads (call-address :call) 1 total
                                                 (parameter "pace-us") 0 (seed)))
    (observe-calls calls 0)))

(defun check-errno (name errno)
  (unless (zerop errno) (error "~a: errno ~d" name errno)))

(defun run-threads (masked)
  "Threads call while the main thread computes, churns and collects."
  (let* ((threads (parameter "threads"))
         (per-thread (parameter "calls"))
         (calls (prepare-calls (* threads per-thread)))
         (gc-during 0))
    (progress "zm_start_threads, ~d threads, ~d calls each" threads per-thread)
    (check-errno "zm_start_threads"
                 (zmqmatrix.fixture:start-threads (call-address :call) threads per-thread
                                                  (parameter "pace-us") masked (seed)))
    (loop while (= (zmqmatrix.fixture:threads-running) 1)
          do (compute)
             (let ((collections (churn-and-collect)))
               (when (= (zmqmatrix.fixture:threads-running) 1)
                 (incf gc-during collections))))
    (progress "zm_join_threads, after ~d full GCs" gc-during)
    (zmqmatrix.fixture:join-threads)
    (observe-calls calls gc-during)))

(define-feature "callback/concurrent-threads" ("plain" "unblock-signals")
    "Threads that C made call back while the main thread runs Lisp and collects."
  (run-threads 0))

(define-feature "callback/masked-thread" ("plain" "unblock-signals")
    "The same from threads with every signal blocked, as libzmq's I/O threads are."
  (run-threads 1)
  (observe "mask.blocked" (zmqmatrix.fixture:mask-blocked) :count))

;;; Free functions, called by libzmq

(defun names-by-thread ()
  "The threads of this process and their names at this moment: ((id . name) ...)."
  ;; Not the directories: for "*/" ABCL gives what is in them, too.
  (loop for path in (directory "/proc/self/task/*/comm")
        for id = (parse-integer (first (last (pathname-directory path))))
        for comm = (open path :if-does-not-exist nil)
        ;; A thread may have ended since.
        when comm
          collect (unwind-protect (cons id (read-line comm nil ""))
                    (close comm))))

(defun names-of-new-threads (threads-before)
  "Names of the threads that are not among THREADS-BEFORE. A thread names itself
soon after its start and has the main thread's name until then, which is waited
for, but no longer than ten seconds: libzmq could be one that names no threads."
  (let ((id (zmqmatrix.fixture:thread-id))
        (end (+ (get-internal-real-time) (* 10 internal-time-units-per-second))))
    (loop for threads = (names-by-thread)
          for own-name = (cdr (assoc id threads))
          for new = (remove-if (lambda (thread) (assoc (car thread) threads-before)) threads)
          when (or (and new (notany (lambda (thread) (string= (cdr thread) own-name)) new))
                   (> (get-internal-real-time) end))
            return new
          do (zmqmatrix.fixture:sleep-us 1000))))

(defun noted-names (names-before)
  "Names of the noted threads, distinct. NAMES-BEFORE are those from before the
first callback: SBCL renames threads that it adopts (2.5.2:
\"callback\"), so that the callback itself sees libzmq's name no more."
  (let ((ids (loop with text = (zmqmatrix.fixture:noted-threads)
                   for start = 0 then (1+ comma)
                   for comma = (position #\, text :start start)
                   unless (= start (or comma (length text)))
                     collect (parse-integer text :start start :end comma)
                   while comma)))
    (if (every (lambda (id) (assoc id names-before)) ids)
        (comma-list (remove-duplicates
                     (mapcar (lambda (id) (cdr (assoc id names-before))) ids)
                     :test #'string= :from-end t))
        (zmqmatrix.fixture:noted-names))))

(defstruct frees
  "What the free function saw. Element h of FREED and COLLECTED is hint h's;
element h of ADDRESSES is what was given to libzmq with it."
  freed collected addresses gc-every (unknown 0) (wrong-pointer 0))

(defun on-free (frees)
  (let ((freed (frees-freed frees))
        (collected (frees-collected frees))
        (addresses (frees-addresses frees))
        (gc-every (frees-gc-every frees)))
    (declare (type (simple-array (unsigned-byte 64) (*)) freed collected addresses)
             (type fixnum gc-every))
    (lambda (data hint)
      (declare (type (unsigned-byte 64) data hint))
      (zmqmatrix.fixture:note-thread)
      ;; libzmq has one I/O thread here: UNKNOWN and WRONG-POINTER have one writer.
      (cond ((not (< 0 hint (length freed))) (incf (frees-unknown frees)))
            (t (unless (= data (aref addresses hint)) (incf (frees-wrong-pointer frees)))
               (when (and (plusp gc-every) (zerop (mod hint gc-every)))
                 (incf (aref collected hint) (collect)))
               ;; Last, so that the main thread does not take a message for
               ;; finished while its callback is still collecting.
               (incf (aref freed hint)))))))

(defun run-io-thread ()
  (let* ((count (parameter "count"))
         (size (parameter "size"))
         (gc-main (parameter "gc-main"))
         (frees (make-frees :freed (make-counters (1+ count))
                            :collected (make-counters (1+ count))
                            :addresses (make-counters (1+ count))
                            :gc-every (parameter "gc-every")))
         (freed (frees-freed frees))
         (gc-during 0)
         (threads-before (names-by-thread))
         (names-before '())
         (body (make-octets size)))
    (setf zmqmatrix.foreign:*on-free* (on-free frees))
    (zmqmatrix.fixture:forget-threads)
    (let* ((context (zmqmatrix.binding:open-context))
           (socket (zmqmatrix.binding:open-socket context :push))
           (free-function (call-address :free)))
      (zmqmatrix.binding:set-option socket :linger -1)
      (zmqmatrix.binding:connect-socket socket (endpoint "sink"))
      ;; libzmq's threads were started with the first socket.
      (setf names-before (names-of-new-threads threads-before))
      (dotimes (i count)
        (let ((address (zmqmatrix.fixture:allocate size)))
          (setf (aref (frees-addresses frees) (1+ i)) address)
          (zmqmatrix.runtime:copy-to-memory (fill-payload body (seed) i) address)
          (progress-of i count "send message ~d" i)
          (zmqmatrix.binding:send-in-place socket address size free-function (1+ i)))
        (when (and (plusp gc-main) (zerop (mod (1+ i) gc-main)))
          (let ((collections (collect)))
            (when (< (count-any freed) count)
              (incf gc-during collections)))))
      (progress "wait for the free function")
      (wait-for-progress (lambda () (= (count-any freed) count))
                         (lambda () (count-any freed)))
      (progress "close, terminate, release")
      (zmqmatrix.binding:close-socket socket)
      (zmqmatrix.binding:terminate-context context)
      (loop for h from 1 to count
            do (zmqmatrix.fixture:release (aref (frees-addresses frees) h))))
    (rethrow-callback-condition)
    (observe "frees.once" (count-once freed) :count)
    (observe "frees.repeated" (count-repeated freed) :count)
    (observe "frees.unknown" (frees-unknown frees) :count)
    (observe "frees.wrong-pointer" (frees-wrong-pointer frees) :count)
    (observe "thread.main" (zmqmatrix.fixture:thread-id) :thread)
    (observe "thread.ran-on" (zmqmatrix.fixture:noted-threads) :thread)
    (observe "thread.names" (noted-names names-before) :list)
    (observe "gc.during" gc-during :count)
    (observe "gc.in-callback" (reduce #'+ (frees-collected frees)) :count)))

(define-feature "callback/io-thread" ("plain" "unblock-signals")
    "libzmq's I/O thread calls the free function of zmq_msg_init_data."
  (run-io-thread))

(define-feature "callback/io-thread-gc" ("plain" "unblock-signals")
    "The same with full GCs in the main thread and in the free function."
  (run-io-thread))
