(in-package :zmqmatrix.runtime)

;;;; Armed Bear Common Lisp on HotSpot. Written against ABCL 1.9.0
;;;; (BasicVector_ByteBuffer.java, LispThread.java, make_array.java), JNA 5 and
;;;; OpenJDK 17 (src/hotspot/share). JNA's public classes are called as Java;
;;;; methods are looked up once, for a lookup by name costs more than the call.

;;; Who it is

(defun implementation-name () "ABCL")

(defun implementation-version () (lisp-implementation-version))

(defun threads-p () t)

(defun collector ()
  "The script starts the JVM with the serial collector, which copies the young
and compacts the old."
  :moving)

;;; The process

(defun java-runtime () (java:jstatic "getRuntime" "java.lang.Runtime"))

(defun start-up ()
  ;; All of it is done by start.lisp: an error before this would else exit with 0.
  nil)

(defun environment-variable (name) (ext:getenv name))

(defun arguments () ext:*command-line-argument-list*)

(defun executable-directory ()
  (java:jstatic "getProperty" "java.lang.System" "zmqmatrix.directory"))

(defvar *full-collector* nil "Whoever counts the full collections.")
(defvar *collector-name* (java:jmethod "java.lang.management.MemoryManagerMXBean" "getName"))
(defvar *collection-count*
  (java:jmethod "java.lang.management.GarbageCollectorMXBean" "getCollectionCount"))

(defun find-full-collector ()
  "The bean of that one of the serial collector's parts which collects the whole heap."
  (let ((beans (java:jstatic "getGarbageCollectorMXBeans"
                             "java.lang.management.ManagementFactory")))
    (dotimes (k (java:jcall "size" beans) (error "the JVM does not use its serial collector"))
      (let ((bean (java:jcall "get" beans k)))
        (when (equal (java:jcall *collector-name* bean) "MarkSweepCompact")
          (return bean))))))

(defun full-gc ()
  ;; EXT:GC collects at least four times, asks for finalizers and sleeps for half
  ;; a second (gc.java). System.gc() is one full compacting collection and
  ;; returns after it, unless the JVM was told otherwise or a thread is in a
  ;; critical section of JNI: it is not believed but counted.
  (unless *full-collector* (setf *full-collector* (find-full-collector)))
  (let ((before (java:jcall *collection-count* *full-collector*)))
    (java:jstatic "gc" "java.lang.System")
    (unless (> (java:jcall *collection-count* *full-collector*) before)
      (error "System.gc() came back without a full collection"))))

(defun leave (status)
  ;; No shutdown hooks, and no waiting for threads.
  (finish-output)
  (java:jcall "halt" (java-runtime) status))

;;; Memory that stays where it is

(defun java-field (class name)
  "The field NAME of CLASS, accessible though it is private."
  (let ((field (java:jcall "getDeclaredField" (java:jclass class) name)))
    (java:jcall "setAccessible" field java:+true+)
    field))

(defvar *elements* (java-field "org.armedbear.lisp.BasicVector_ByteBuffer" "elements"))
(defvar *field-value* (java:jmethod "java.lang.reflect.Field" "get" "java.lang.Object"))

(defun array-buffer (array)
  "The java.nio.ByteBuffer that ARRAY's elements are in. Any octet array has one:
ABCL from 1.7 on makes them so (feature :NIO)."
  (declare (type octets array))
  (java:jcall-raw *field-value* *elements* array))

;;; JNA's com.sun.jna.Pointer is an address; its buffers are JNI's NewDirectByteBuffer.

(defvar *make-pointer* (java:jconstructor "com.sun.jna.Pointer" "long"))
(defvar *pointer-value*
  (java:jmethod "com.sun.jna.Pointer" "nativeValue" "com.sun.jna.Pointer"))
(defvar *pointer-buffer* (java:jmethod "com.sun.jna.Pointer" "getByteBuffer" "long" "long"))
(defvar *buffer-pointer*
  (java:jmethod "com.sun.jna.Native" "getDirectBufferPointer" "java.nio.Buffer"))

(defun pointer-to (address) (java:jnew *make-pointer* address))

(defun memory-buffer (address size)
  "A direct ByteBuffer over the memory at ADDRESS, which it does not own."
  (java:jcall-raw *pointer-buffer* (pointer-to address) 0 size))

(defun allocate-static-array (size)
  ;; What CFFI's MAKE-SHAREABLE-BYTE-VECTOR does, an array over a direct
  ;; ByteBuffer, but over memory from malloc and not from com.sun.jna.Memory:
  ;; that one is given back by the collector alone, and the time is not ours.
  (let ((address (zmqmatrix.fixture:allocate size)))
    (when (zerop address) (error "malloc of ~d octets failed" size))
    (memory-as-array address size)))

(defun release-static-array (array)
  (zmqmatrix.fixture:release (static-array-address array)))

(defun released-by-collector-p () nil)

(defun static-array-address (array)
  (java:jstatic *pointer-value* nil (java:jstatic-raw *buffer-pointer* nil (array-buffer array))))

;;; An ordinary array is a ByteBuffer over a byte[] in the JVM's heap. Its
;;; address is read as a word out of an Object[] that holds it: the serial
;;; collector's references are plain addresses, compressed or not.

(defvar *unsafe*
  (java:jcall-raw *field-value* (java-field "sun.misc.Unsafe" "theUnsafe") java:+null+))
(defvar *word-at* (java:jmethod "sun.misc.Unsafe" "getLong" "java.lang.Object" "long"))
(defvar *half-word-at* (java:jmethod "sun.misc.Unsafe" "getInt" "java.lang.Object" "long"))
(defvar *elements-start* (java:jmethod "sun.misc.Unsafe" "arrayBaseOffset" "java.lang.Class"))
(defvar *buffer-direct* (java:jmethod "java.nio.ByteBuffer" "isDirect"))
(defvar *buffer-array* (java:jmethod "java.nio.ByteBuffer" "array"))
(defvar *buffer-array-offset* (java:jmethod "java.nio.ByteBuffer" "arrayOffset"))

(defun elements-start (class)
  "How far behind the start of an array of CLASS its element 0 is."
  (java:jcall *elements-start* *unsafe* (java:jclass class)))

(defun object-address (object)
  "Where the Java OBJECT is at this moment; NIL if the JVM keeps references in a
form not known here."
  (let ((holder (java:jnew-array "java.lang.Object" 1))
        (place (elements-start "[Ljava.lang.Object;"))
        (form (java:jstatic "getProperty" "java.lang.System" "java.vm.compressedOopsMode")))
    (setf (java:jarray-ref holder 0) object)
    (flet ((half-word () (ldb (byte 32 0) (java:jcall *half-word-at* *unsafe* holder place))))
      (cond ((null form) (java:jcall *word-at* *unsafe* holder place))
            ((string= form "32-bit") (half-word))
            ((string= form "Zero based") (* 8 (half-word)))
            (t nil)))))

(defun ordinary-array-address (array)
  (let ((buffer (array-buffer array)))
    (if (java:jcall *buffer-direct* buffer)
        (static-array-address array)
        (let ((start (+ (elements-start "[B") (java:jcall *buffer-array-offset* buffer)))
              (address (object-address (java:jcall-raw *buffer-array* buffer))))
          (and address (+ address start))))))

(defun call-with-pinned-array (function array)
  (declare (ignore function array))
  (not-offered "the JVM has no way to pin an array while Lisp runs: JNI's GetPrimitiveArrayCritical gives C code an address, forbids every other call of JNI until it is given back, and with the serial collector puts collections off instead of keeping the array in place"))

;;; Foreign memory, by address

(defvar *duplicate* (java:jmethod "java.nio.ByteBuffer" "duplicate"))
(defvar *put-buffer* (java:jmethod "java.nio.ByteBuffer" "put" "java.nio.ByteBuffer"))
(defvar *rewind* (java:jmethod "java.nio.Buffer" "rewind"))
(defvar *octet-at* (java:jmethod "com.sun.jna.Pointer" "getByte" "long"))
(defvar *store-octet-at* (java:jmethod "com.sun.jna.Pointer" "setByte" "long" "byte"))

(defun copy-buffer (from to)
  "Copy all of FROM to TO. A buffer's position is its own: duplicates have others."
  (flet ((whole (buffer) (java:jcall-raw *rewind* (java:jcall-raw *duplicate* buffer))))
    (java:jcall-raw *put-buffer* (whole to) (whole from))))

(defun copy-to-memory (array address)
  (unless (zerop (length array))
    (copy-buffer (array-buffer array) (memory-buffer address (length array)))))

(defun copy-from-memory (address size)
  (let ((array (make-array size :element-type 'octet)))
    (unless (zerop size)
      (copy-buffer (memory-buffer address size) (array-buffer array)))
    array))

(defun memory-octet (address offset)
  (ldb (byte 8 0) (java:jcall *octet-at* (pointer-to address) offset)))

(defun store-memory-octet (address offset octet)
  (java:jcall *store-octet-at* (pointer-to address) offset
              (if (logbitp 7 octet) (- octet 256) octet))
  octet)

(defun memory-as-array (address size)
  (make-array size :element-type 'octet :nio-buffer (memory-buffer address size)))

;;; ABCL's REPLACE boxes every element and dispatches on it: some 200 ns each.

(defun repeat-by-loop (array tile)
  (declare (type octets array) (type fixnum tile) (optimize speed (safety 0)))
  (let ((size (length array)))
    (declare (type fixnum size))
    (do ((to tile (1+ to))
         (from 0 (1+ from)))
        ((= to size))
      (declare (type fixnum to from))
      (setf (aref array to) (aref array from)))))

(setf zmqmatrix.payload:*repeat* #'repeat-by-loop)

;;; C's errno

(defun errno-survives-p ()
  ;; Between two calls the thread may stop for a collection, grow the heap, load
  ;; a class: all by system calls, on the same thread.
  nil)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal ()
  "None: HotSpot stops threads at polls, where a page is protected or a word set
(safepointMechanism.cpp), and unblocks what it needs on attached threads itself
(signals_posix.cpp, hotspot_sigmask)."
  0)

(defun own-techniques () '())

(defun trampoline (technique kind address)
  (declare (ignore technique kind address))
  nil)
