;;;; The probe for every Lisp. What differs is chosen by the environment when the
;;;; system is loaded, so that a new Lisp or binding is a new file and no change
;;;; here:
;;;;
;;;;   ZMQMATRIX_TARGET   folder beside this one that has the runtime.lisp: "sbcl"
;;;;   ZMQMATRIX_FOREIGN  file of foreign/: "cffi" unless told otherwise
;;;;   ZMQMATRIX_BINDING  file of bindings/: "cffi" unless told otherwise
;;;;   ZMQMATRIX_SYSTEMS  systems the binding needs, separated by spaces

(defpackage #:zmqmatrix-probe-system
  (:use #:common-lisp #:asdf)
  (:export #:chosen))
(in-package #:zmqmatrix-probe-system)

(defun chosen (variable default)
  (let ((value (uiop:getenv variable)))
    (if (and value (plusp (length value))) value default)))

(defun chosen-systems ()
  (append (when (string= (chosen "ZMQMATRIX_FOREIGN" "cffi") "cffi") '("cffi"))
          (uiop:split-string (string-trim " " (chosen "ZMQMATRIX_SYSTEMS" "")))))

(defsystem "zmqmatrix-probe"
  :description "Exercises one feature of ZeroMQ and of the Lisp under it, and reports."
  :licence "see the project"
  :depends-on #.(remove "" (chosen-systems) :test #'string=)
  :serial t
  :components ((:file "packages")
               (:file "protocol")
               (:file "report")
               (:file "payload")
               (:file "runtime")
               (:file "foreign")
               (:file "foreign-interface"
                :pathname #.(format nil "foreign/~a" (chosen "ZMQMATRIX_FOREIGN" "cffi")))
               (:file "runtime-of-target"
                :pathname #.(format nil "../~a/runtime" (chosen "ZMQMATRIX_TARGET" "sbcl")))
               (:file "fixture")
               (:file "binding")
               (:file "chosen-binding"
                :pathname #.(format nil "bindings/~a" (chosen "ZMQMATRIX_BINDING" "cffi")))
               (:file "features")
               (:module "features-by-group"
                :pathname "features"
                :serial t
                :components ((:file "callback")
                             (:file "static-area")
                             (:file "zero-copy")
                             (:file "messaging")))
               (:file "probe")))
