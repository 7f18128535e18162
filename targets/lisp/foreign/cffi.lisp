(in-package :zmqmatrix.foreign)

;;;; The foreign protocol on CFFI. Functions are called by address, found anew at
;;;; every start: named foreign functions are bound by some implementations
;;;; (CLISP) when code is loaded, to the library's path of that time.

(defun interface-name () "cffi")

(defvar *c-functions* '()
  "All defined C functions: (library c-name variable).")
(defvar *libraries* '()
  "Opened libraries: (library . CFFI's library).")

(eval-when (:compile-toplevel :load-toplevel :execute)
  (defun cffi-type (type)
    "CFFI 0.23 knows neither :SIZE nor, in every implementation, :UINT64."
    (ecase type
      ((:address :u64) :unsigned-long-long)
      (:u32 :unsigned-int)
      (:int :int)
      (:text :unsigned-long-long)
      (:void :void))))

(defun text-at (address)
  "The C string at ADDRESS."
  (with-output-to-string (out)
    (loop for k from 0
          for octet = (cffi:mem-ref (cffi:make-pointer address) :unsigned-char k)
          until (zerop octet)
          do (write-char (code-char octet) out))))

(eval-when (:compile-toplevel :load-toplevel :execute)
  (defun call-form (variable result arguments)
    "The form that calls the function whose address is in VARIABLE."
    `(cffi:foreign-funcall-pointer
      (cffi:make-pointer ,variable) ()
      ,@(loop for (argument type) in arguments
              append (list (cffi-type type) argument))
      ,(cffi-type result)))

  (defun call-through-form (variable result arguments)
    "The same by way of *CALL-THROUGH*, where all are integers of 64 bits."
    (let ((call `(cffi:foreign-funcall-pointer
                  (cffi:make-pointer *call-through*) ()
                  :unsigned-long-long ,variable
                  ,@(loop for (argument) in arguments
                          append `(:unsigned-long-long (ldb (byte 64 0) ,argument)))
                  ,@(loop repeat (- 6 (length arguments))
                          append '(:unsigned-long-long 0))
                  :unsigned-long-long)))
      (ecase result
        ((:address :u64 :text) call)
        (:u32 `(ldb (byte 32 0) ,call))
        (:int `(let ((word (ldb (byte 32 0) ,call)))
                 (if (logbitp 31 word) (- word (ash 1 32)) word)))
        (:void `(progn ,call nil))))))

(defmacro define-c-functions (library &body functions)
  `(progn
     ,@(loop for (name c-name result . arguments) in functions
             for variable = (intern (format nil "*~a-ADDRESS*" name) (symbol-package name))
             for call = `(if (zerop *call-through*)
                             ,(call-form variable result arguments)
                             ,(call-through-form variable result arguments))
             append `((declaim (type address ,variable))
                      (defvar ,variable 0)
                      (pushnew '(,library ,c-name ,variable) *c-functions* :test #'equal)
                      (defun ,name ,(mapcar #'first arguments)
                        ,(if (eq result :text) `(text-at ,call) call))))))

(defun c-function-address (library c-name)
  (let ((pointer (cffi:foreign-symbol-pointer c-name :library (cdr (assoc library *libraries*)))))
    (if pointer
        (cffi:pointer-address pointer)
        (error "~a is not in the library of ~(~a~)" c-name library))))

(defun open-c-library (library path)
  (push (cons library (cffi:load-foreign-library path)) *libraries*)
  (loop for (of c-name variable) in *c-functions*
        when (eq of library)
          do (setf (symbol-value variable) (c-function-address library c-name))))

(defun store-word (address word)
  (setf (cffi:mem-ref (cffi:make-pointer address) :unsigned-long-long) word))

;;; Callbacks

(defmacro at-callback-edge (value-on-error &body body)
  `(handler-case (progn ,@body)
     (serious-condition (condition)
       (unless *callback-condition* (setf *callback-condition* condition))
       ,value-on-error)))

(cffi:defcallback call :unsigned-long-long
    ((sequence :unsigned-long-long) (value :unsigned-long-long) (cell :unsigned-long-long))
  (at-callback-edge 0 (funcall (the function *on-call*) sequence value cell)))

(cffi:defcallback free :void ((data :unsigned-long-long) (hint :unsigned-long-long))
  (at-callback-edge nil (funcall (the function *on-free*) data hint)))

(defun callback-address (kind)
  (cffi:pointer-address
   (ecase kind
     (:call (cffi:get-callback 'call))
     (:free (cffi:get-callback 'free)))))
