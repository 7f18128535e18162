(in-package :zmqmatrix.features)

;;;; What all features share: the table of features, the task's parameters,
;;;; collecting, and the memory that messages are sent from.

;;; The table

(defvar *known-features* '()
  "All features: (name techniques function).")

(defmacro define-feature (name techniques documentation &body body)
  "Define the feature NAME with the names of the techniques that the probe
knows for it. A runtime may know more: see RUNTIME:TRAMPOLINE."
  `(push (list ,name ',techniques (lambda () ,documentation ,@body)) *known-features*))

(defun feature-names ()
  "All names, in order of definition."
  (reverse (mapcar #'first *known-features*)))

(defun find-feature (name)
  "The feature, or NIL."
  (assoc name *known-features* :test #'equal))

(defun feature-techniques (feature)
  "The names of its techniques."
  (second feature))

(defun feature-group (feature)
  (let ((name (first feature)))
    (subseq name 0 (position #\/ name))))

(defun run-feature (feature)
  "Exercise it and report what is seen."
  (when (member (feature-group feature) '("callback" "static-area") :test #'string=)
    (zmqmatrix.binding:require-memory-interface))
  (funcall (third feature)))

;;; The task

(defun lookup-variable (name)
  "The environment variable NAME, or NIL if it is unset or empty."
  (let ((value (zmqmatrix.runtime:environment-variable name)))
    (and value (plusp (length value)) value)))

(defun variable-value (name)
  (or (lookup-variable name) (error "~a is not set" name)))

(defun variable-name (prefix key)
  (concatenate 'string prefix (substitute #\_ #\- (string-upcase key))))

(defun parameter (key)
  "The whole number ZM_PARAM_<KEY>."
  (parse-integer (variable-value (variable-name "ZM_PARAM_" key))))

(defun list-parameter (key)
  "The whole numbers of the list ZM_PARAM_<KEY>, a vector."
  (let ((text (variable-value (variable-name "ZM_PARAM_" key))))
    (loop with numbers = '()
          for start = 0 then (1+ comma)
          for comma = (position #\, text :start start)
          do (push (parse-integer text :start start :end comma) numbers)
          unless comma return (coerce (nreverse numbers) 'vector))))

(defun endpoint (name)
  "The address of the lane's socket NAME."
  (variable-value (variable-name "ZM_ENDPOINT_" name)))

(defun seed ()
  (parse-integer (variable-value "ZM_SEED")))

(defun technique ()
  (or (lookup-variable "ZM_TECHNIQUE") "plain"))

(defun progress-of (i count control &rest arguments)
  "Progress in a loop of COUNT: each of the first 100 rounds, then fewer, for a
report has at most 4096 lines."
  (when (or (< i 100) (zerop (mod i (max 1 (floor count 100)))))
    (apply #'progress control arguments)))

(defun size-of (sizes index)
  "Message INDEX has SIZES[INDEX mod n]."
  (aref sizes (mod index (length sizes))))

;;; Collecting

(defvar *churned* #() "What the last churn kept.")

(defun churn ()
  "Allocate 8 MiB of short-lived objects of mixed size; keep some until the next churn."
  (let ((kept (make-array 64 :initial-element nil))
        (allocated 0)
        (count 0))
    (loop while (< allocated (* 8 1024 1024))
          do (let* ((size (aref #(16 48 200 1000 24 4000 12000 70000) (mod count 8)))
                    (object (if (zerop (mod count 5))
                                (make-list (floor size 16) :initial-element count)
                                (make-octets size))))
               (setf (aref kept (mod (floor count 7) 64)) object)
               (incf allocated size)
               (incf count)))
    (setf *churned* kept)
    count))

(defun collect ()
  "One full GC; the number of collections made."
  (cond ((eq (zmqmatrix.runtime:collector) :none) 0)
        (t (zmqmatrix.runtime:full-gc) 1)))

(defun churn-and-collect ()
  (churn)
  (collect))

(defun compute ()
  "Something to do that takes a moment and conses."
  (crc32 (payload (length *churned*) 1 4096)))

;;; Callbacks

(defun call-address (kind)
  "What C is given to call for a callback of KIND with the task's technique."
  (let ((address (zmqmatrix.foreign:callback-address kind))
        (technique (technique)))
    (cond ((equal technique "unblock-signals")
           (ecase kind
             (:call (zmqmatrix.fixture:set-unblocking-function
                     address (zmqmatrix.runtime:collector-signal))
              (zmqmatrix.fixture:unblocking-function-address))
             (:free (zmqmatrix.fixture:set-unblocking-free
                     address (zmqmatrix.runtime:collector-signal))
              (zmqmatrix.fixture:unblocking-free-address))))
          ((member technique (zmqmatrix.runtime:own-techniques) :test #'equal)
           (zmqmatrix.runtime:trampoline technique kind address))
          (t address))))

(defun rethrow-callback-condition ()
  "An error inside a callback stopped at its edge; it is the probe's error now."
  (when zmqmatrix.foreign:*callback-condition*
    (error zmqmatrix.foreign:*callback-condition*)))

(defun make-counters (size)
  "Counters of which no two are written by the same call: no locks, no atomic
instructions. They are words, so that no write touches a neighbour."
  (make-array size :element-type '(unsigned-byte 64) :initial-element 0))

(defun count-once (counters) (count 1 counters))

(defun count-repeated (counters) (count-if (lambda (n) (> n 1)) counters))

(defun count-any (counters) (count-if #'plusp counters))

(defun wait-for-progress (finished-p progress)
  "Wait until FINISHED-P, or until 10 s have passed in which PROGRESS returned no
other number. True if finished."
  (let ((last (funcall progress)) (waited 0))
    (loop
      (when (funcall finished-p) (return t))
      (zmqmatrix.fixture:sleep-us 1000)
      (let ((now (funcall progress)))
        (cond ((/= now last) (setf last now waited 0))
              ((>= (incf waited) 10000) (return (funcall finished-p))))))))
