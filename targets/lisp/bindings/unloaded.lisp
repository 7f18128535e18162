(in-package :zmqmatrix.binding)

;;;; Stands in for the adaptor of a binding that does not load: only who it is.
;;;; The probe closes every feature before it comes to an operation.

(defun binding-name () #.(zmqmatrix-probe-system:chosen "ZMQMATRIX_BINDING" ""))

(defun binding-version () (zmqmatrix.loading:system-version))

(defun open-binding ())
