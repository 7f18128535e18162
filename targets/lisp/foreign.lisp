(in-package :zmqmatrix.foreign)

;;;; The foreign protocol: how C functions are called and how C calls Lisp.
;;;; foreign/cffi.lisp implements it wherever CFFI runs.
;;;;
;;;; It has one macro beside the operations:
;;;;
;;;;   (define-c-functions LIBRARY (NAME "c_name" RESULT (ARGUMENT TYPE) ...) ...)
;;;;
;;;; defines Lisp functions NAME on the C functions of LIBRARY, a keyword. Types
;;;; are :ADDRESS (an integer), :U64, :U32, :INT, :TEXT (a C string in ASCII,
;;;; results only) and :VOID (results only). Functions are found when
;;;; OPEN-C-LIBRARY is called, which is when the image starts: an image knows
;;;; nothing of the paths it was built with.

(define-operation interface-name ()
  "What the raw layer over it is called as a binding: \"cffi\", or \"native\" for
an implementation's own.")
(define-operation open-c-library (library path)
  "Open the shared object PATH and find in it the functions of LIBRARY.")
(define-operation c-function-address (library c-name)
  "The address of a function of LIBRARY, an integer.")
(define-operation store-word (address word)
  "Write the 64-bit WORD at ADDRESS.")
(define-operation callback-address (kind)
  "The address of the Lisp callback of KIND: :CALL is uint64 f (uint64, uint64,
uint64 *) and calls *ON-CALL*; :FREE is void f (void *, void *) and calls *ON-FREE*.")

(declaim (type address *call-through*))
(defvar *call-through* 0
  "The address of a C function uint64 g (function, uint64 x 6) that makes every
call of a C function, or 0: for runtimes that must do something around each.")

(defvar *loading-techniques* '()
  "Techniques of how libraries are opened, a list of strings. They are known for
every feature, and OPEN-C-LIBRARY looks at the task's.")

(defvar *on-call* nil
  "Function of sequence, value and the cell's address; returns 64 bits.")
(defvar *on-free* nil
  "Function of the data's and the hint's addresses.")
(defvar *callback-condition* nil
  "The first condition that came up inside a callback. It stops at the callback's
edge: a non-local exit through C frames, or on a thread that has no Lisp frames
below, is undefined in every implementation.")
