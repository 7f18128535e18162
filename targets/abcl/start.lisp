;;;; Loads the probe from its compiled files' forms and starts it.

(defun halt-with-error ()
  "End the process at once: whatever unwinds may be caught on its way."
  (finish-output *error-output*)
  (java:jcall "halt" (java:jstatic "getRuntime" "java.lang.Runtime") 1))

;;; An error that nobody handles, on any thread: ABCL's debugger would read the
;;; end of standard input and exit with 0.
(setf sys::*invoke-debugger-hook*
      (lambda (condition hook)
        (declare (ignore hook))
        (format *error-output* "~&~a~%" condition)
        (halt-with-error)))

;;; What the JVM throws and Lisp does not know as a condition would end this
;;; thread and then the process, with 0.
(java:jstatic "setDefaultUncaughtExceptionHandler" "java.lang.Thread"
              (java:jinterface-implementation
               "java.lang.Thread$UncaughtExceptionHandler" "uncaughtException"
               (lambda (thread throwable)
                 (declare (ignore thread))
                 (java:jcall "printStackTrace" throwable)
                 (halt-with-error))))

;;; REQUIRE would look for these as sources; all of their classes are on the class path.
(setf *modules* (append '("ABCL-CONTRIB" "JNA" "JSS") *modules*))

;;; JSS would read the names of all classes there are, in order to guess packages.
(defpackage #:jss (:use #:common-lisp #:extensions #:java))
(defvar jss::*do-auto-imports* nil)

(dolist (forms (sort (directory (concatenate 'string
                                             (java:jstatic "getProperty" "java.lang.System"
                                                           "zmqmatrix.directory")
                                             "forms/*.abcl"))
                     #'string< :key #'pathname-name))
  (load forms))

(funcall (if (find-package "ZMQMATRIX.TESTS")
             (intern "RUN" "ZMQMATRIX.TESTS")
             (intern "MAIN" "ZMQMATRIX.PROBE")))
