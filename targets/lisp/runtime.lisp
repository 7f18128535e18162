(in-package :zmqmatrix.runtime)

;;;; The runtime protocol. Every targets/<implementation>/runtime.lisp defines
;;;; these, in this order. Implementation conditionals stand there and nowhere
;;;; else. An operation that an implementation can't offer calls NOT-OFFERED and
;;;; names exactly what is missing.

;;; Who it is

(define-operation implementation-name ()
  "A string: \"SBCL\".")
(define-operation implementation-version ()
  "A string: \"2.2.9.debian\".")
(define-operation threads-p ()
  "Whether the language can start threads of its own here.")
(define-operation collector ()
  ":MOVING if the collector may change the address of an ordinary octet array,
:NON-MOVING if it never does, :NONE if there is none.")

;;; The process

(define-operation start-up ()
  "Prepare a started image: no debugger that waits for a person, nothing of the
command line or the user's files interpreted.")
(define-operation environment-variable (name)
  "The value of the environment variable NAME, a string, or NIL.")
(define-operation arguments ()
  "The command line's arguments after the program's name, a list of strings.")
(define-operation executable-directory ()
  "The directory of the running program, a string that ends in a slash. Found
at run time: the image may have been moved since it was built.")
(define-operation full-gc ()
  "The strongest collection there is. Returns when it is finished.")
(define-operation leave (status)
  "End the process with the exit STATUS at once, as a program does that has closed
everything: no waiting for threads that C made.")

;;; Memory that stays where it is

(define-operation allocate-static-array (size)
  "A first-class array, (simple-array (unsigned-byte 8) (SIZE)), in memory that
the collector does not move.")
(define-operation release-static-array (array)
  "Give the memory of a static array back. May be called on any thread. Does
nothing where the collector does it.")
(define-operation released-by-collector-p ()
  "Whether static arrays are given back by the collector alone.")
(define-operation static-array-address (array)
  "The address of element 0 of a static array, asked of the runtime anew.")
(define-operation ordinary-array-address (array)
  "The address of element 0 of any octet array at this moment, or NIL where it
can't be known. Must leave nothing behind that holds the array in place.")
(define-operation call-with-pinned-array (function array)
  "Call FUNCTION with the address of element 0 of an ordinary ARRAY, which stays
there for the dynamic extent of the call.")

;;; Foreign memory, by address

(define-operation copy-to-memory (array address)
  "Copy all of an ordinary octet ARRAY to ADDRESS.")
(define-operation copy-from-memory (address size)
  "A new ordinary array with the SIZE octets at ADDRESS.")
(define-operation memory-octet (address offset)
  "The octet at ADDRESS + OFFSET, read where it stands.")
(define-operation store-memory-octet (address offset octet)
  "Write OCTET at ADDRESS + OFFSET.")
(define-operation memory-as-array (address size)
  "An array of SIZE elements whose elements are the memory at ADDRESS, which the
caller owns, or NIL where the runtime has no such arrays.")

;;; C's errno

(define-operation errno-survives-p ()
  "Whether the errno that a C call left is there at the next C call. Where the
runtime's own system calls can come between, every call goes through the
fixture's zm_call, which keeps it.")

;;; Callbacks on threads that the runtime did not make

(define-operation collector-signal ()
  "The number of the signal with which the collector stops threads, or 0.")
(define-operation own-techniques ()
  "Techniques of this runtime alone for callbacks from foreign threads, a list of
strings such as \"import-thread\".")
(define-operation trampoline (technique kind address)
  "For one of the OWN-TECHNIQUES: the address of the C function to call instead of
the Lisp callback at ADDRESS. KIND is :CALL or :FREE.")
