;;;; The probe for every Lisp. What differs is chosen by the environment when the
;;;; system is loaded, so that a new Lisp or binding is a new file and no change
;;;; here:
;;;;
;;;;   ZMQMATRIX_TARGET   folder beside this one that has the runtime.lisp: "sbcl"
;;;;   ZMQMATRIX_FOREIGN  file of foreign/: "cffi" unless told otherwise
;;;;   ZMQMATRIX_BINDING  file of bindings/: "cffi" unless told otherwise
;;;;   ZMQMATRIX_SYSTEMS  ASDF systems of a binding that comes from elsewhere,
;;;;                      separated by spaces; load.lisp loads them before
;;;;   ZMQMATRIX_SOURCE   the directory with their source tree

(defpackage #:zmqmatrix-probe-system
  (:use #:common-lisp #:asdf)
  (:export #:chosen))
(in-package :zmqmatrix-probe-system)

(defun chosen (variable default)
  (let ((value (uiop:getenv variable)))
    (if (and value (plusp (length value))) value default)))

(defun chosen-systems ()
  (when (string= (chosen "ZMQMATRIX_FOREIGN" "cffi") "cffi") '("cffi")))

(defun chosen-binding ()
  "The adaptor's file, or what stands in for that of a binding that does not load."
  (if (zmqmatrix.loading:failure) "unloaded" (chosen "ZMQMATRIX_BINDING" "cffi")))

(defun own-binding-p ()
  (string= (chosen "ZMQMATRIX_SYSTEMS" "") ""))

(defsystem "zmqmatrix-probe"
  :description "Exercises one feature of ZeroMQ and of the Lisp under it, and reports."
  :licence "see the project"
  :depends-on #.(chosen-systems)
  :serial t
  :components ((:file "packages")
               (:file "protocol")
               (:file "report")
               (:file "payload")
               (:file "runtime")
               (:file "foreign")
               (:file "foreign-interface"
                :pathname #.(format nil "foreign/~a" (chosen "ZMQMATRIX_FOREIGN" "cffi")))
               (:file "lisp-lock")
               (:file "runtime-of-target"
                :pathname #.(format nil "../~a/runtime" (chosen "ZMQMATRIX_TARGET" "sbcl")))
               (:file "fixture")
               (:file "library")
               (:file "binding")
               (:file "chosen-binding"
                :pathname #.(format nil "bindings/~a" (chosen-binding))
                ;; An adaptor is no part of the binding; a raw layer of our own is.
                :around-compile #.(when (own-binding-p)
                                    "zmqmatrix.loading:call-with-counting"))
               (:file "features")
               (:module "features-by-group"
                :pathname "features"
                :serial t
                :components ((:file "callback")
                             (:file "static-area")
                             (:file "zero-copy")
                             (:file "messaging")
                             (:file "binding")))
               (:file "probe")))
