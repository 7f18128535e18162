(in-package :zmqmatrix.probe)

(defun open-libraries ()
  (zmqmatrix.foreign:open-c-library
   :fixture (concatenate 'string (zmqmatrix.runtime:executable-directory) "libzmfixture.so"))
  (unless (zmqmatrix.runtime:errno-survives-p)
    (setf zmqmatrix.foreign:*call-through*
          (zmqmatrix.foreign:c-function-address :fixture "zm_call")))
  (zmqmatrix.library:open-library)
  (zmqmatrix.binding:open-binding))

(defun say-hello ()
  (zmqmatrix.report:hello
   :implementation (zmqmatrix.runtime:implementation-name)
   :version (zmqmatrix.runtime:implementation-version)
   :binding (zmqmatrix.binding:binding-name)
   :binding-version (zmqmatrix.binding:binding-version)
   :libzmq (zmqmatrix.library:version)
   :threads (zmqmatrix.runtime:threads-p)
   ;; The main thread's id is the process's on Linux.
   :pid (zmqmatrix.fixture:thread-id)
   :seed (zmqmatrix.runtime:environment-variable "ZM_SEED")
   :collector (zmqmatrix.runtime:collector)))

(defun known-technique-p (feature technique)
  "Whether the probe knows it for this feature, or the runtime has it as its own
for callbacks from foreign threads, or the foreign interface for all features."
  (let ((techniques (zmqmatrix.features:feature-techniques feature)))
    (or (member technique techniques :test #'equal)
        (member technique zmqmatrix.foreign:*loading-techniques* :test #'equal)
        (and (member "unblock-signals" techniques :test #'equal)
             (member technique (zmqmatrix.runtime:own-techniques) :test #'equal)))))

(define-condition does-not-load (error) ()
  (:report (lambda (condition stream)
             (declare (ignore condition))
             (format stream "~a does not load: ~a" (zmqmatrix.binding:binding-name)
                     (zmqmatrix.loading:failure))))
  (:documentation "The image was built without its binding."))

(defun do-task ()
  "Exercise the feature that the environment names."
  (let* ((protocol (or (zmqmatrix.features:lookup-variable "ZM_PROTOCOL") ""))
         (name (or (zmqmatrix.features:lookup-variable "ZM_FEATURE") ""))
         (technique (or (zmqmatrix.features:lookup-variable "ZM_TECHNIQUE") "plain"))
         (feature (zmqmatrix.features:find-feature name)))
    (cond ((string/= protocol "1")
           (error "protocol ~a is not spoken here" protocol))
          ((null feature)
           (not-offered "unknown feature ~a" name))
          ((not (known-technique-p feature technique))
           (not-offered "unknown technique ~a" technique))
          ((zmqmatrix.loading:failure)
           (error 'does-not-load))
          (t (zmqmatrix.features:run-feature feature)))))

(defun condition-name (condition)
  (let ((name (class-name (class-of condition))))
    (if (symbolp name) (symbol-name name) (princ-to-string name))))

(defun report-task ()
  (handler-case (progn (do-task) (zmqmatrix.report:done))
    (unsupported (condition)
      (zmqmatrix.report:closed-unsupported (unsupported-reason condition)))
    (does-not-load (condition)
      (zmqmatrix.report:failed (princ-to-string condition)
                               (zmqmatrix.loading:failure-condition)))
    (error (condition)
      (zmqmatrix.report:failed (string-trim '(#\Space #\Newline) (princ-to-string condition))
                               (condition-name condition)))))

(defun main ()
  "The image's entry. With the argument --version, only that is printed."
  (zmqmatrix.runtime:start-up)
  (cond ((equal (zmqmatrix.runtime:arguments) '("--version"))
         (format t "~a ~a~%" (zmqmatrix.runtime:implementation-name)
                 (zmqmatrix.runtime:implementation-version)))
        (t (open-libraries)
           (say-hello)
           (report-task)))
  (zmqmatrix.runtime:leave 0))
