(in-package :zmqmatrix.payload)

(defconstant +tile+ 4093
  "The pattern repeats after this many octets. Prime, so that a shift by any power of two shows.")

(declaim (ftype (function (t) octets) make-octets))
(defun make-octets (size)
  "A new ordinary array of SIZE octets."
  (make-array size :element-type 'octet))

(declaim (inline next-state))
(defun next-state (x)
  "The generator's next state. In two halves: no intermediate value needs more
than 34 bits, so that it is fixnum arithmetic in every 64-bit Lisp."
  (declare (type (unsigned-byte 32) x) (optimize speed (safety 0)))
  (let ((low (+ (* (logand x #xffff) 69069) 12345))
        (high (* (ash x -16) 69069)))
    (declare (type (unsigned-byte 40) low high))
    (logand (+ low (ash (logand high #xffff) 16)) #xffffffff)))

(defun start-state (seed index)
  (logand (+ seed (* index 40503)) #xffffffff))

(defun repeat-by-replace (array tile)
  (declare (type octets array) (type fixnum tile))
  ;; From a copy: between two places of one array, GCL's REPLACE goes by way of a
  ;; list of all its elements on the C stack, which overflows
  ;; (2.6.14, lsp/gcl_seqlib.lsp).
  (loop with head = (subseq array 0 tile)
        with size of-type fixnum = (length array)
        for filled of-type fixnum from tile below size by tile
        do (replace array head :start1 filled)))

(declaim (type function *repeat*))
(defvar *repeat* #'repeat-by-replace
  "Function of an array and a size that fills the array by repeating its first
elements. For runtimes whose REPLACE is slower than a loop of typed AREFs.")

(defun fill-payload (array seed index)
  "Fill ARRAY with payload(SEED, INDEX, its length)."
  (declare (type octets array))
  (let* ((size (length array))
         (tile (min size +tile+))
         (x (start-state seed index)))
    (declare (type (unsigned-byte 32) x) (type fixnum size tile))
    (locally (declare (optimize speed (safety 1)))
      (dotimes (k tile)
        (setf x (next-state x))
        (setf (aref array k) (ash x -24))))
    (when (< tile size) (funcall *repeat* array tile))
    array))

(defun payload-octet (seed index place)
  "The octet at PLACE of payload(SEED, INDEX, any size beyond PLACE)."
  (let ((x (start-state seed index)))
    (declare (type (unsigned-byte 32) x))
    (dotimes (k (1+ (mod place +tile+)) (ash x -24))
      (setf x (next-state x)))))

(defun payload (seed index size)
  "A new array holding payload(SEED, INDEX, SIZE)."
  (fill-payload (make-octets size) seed index))

(defun payload-mismatches (array seed index)
  "How many elements of ARRAY are not payload(SEED, INDEX, its length): the
language's own comparison, element by element."
  (declare (type octets array))
  (let* ((size (length array))
         (tile (payload seed index (min size +tile+)))
         (wrong 0)
         (place 0))
    (declare (type octets tile) (type fixnum size wrong place))
    (locally (declare (optimize speed (safety 1)))
      (dotimes (k size)
        (unless (= (aref array k) (aref tile place)) (incf wrong))
        (when (= (incf place) +tile+) (setf place 0))))
    wrong))

;;; CRC-32

(deftype crc () '(unsigned-byte 32))
(deftype crc-table () '(simple-array (unsigned-byte 32) (256)))

(declaim (type crc-table *crc-table*))
(defvar *crc-table*
  (let ((table (make-array 256 :element-type '(unsigned-byte 32))))
    (dotimes (n 256 table)
      (let ((c n))
        (dotimes (k 8)
          (setf c (if (logbitp 0 c) (logxor #xedb88320 (ash c -1)) (ash c -1))))
        (setf (aref table n) c)))))

(defconstant +crc32-start+ #xffffffff)
(defun crc32-start () "The state before the first octet." +crc32-start+)

(declaim (inline crc32-step))
(defun crc32-step (state octet table)
  "The state after one more OCTET."
  (declare (type crc state) (type octet octet) (type crc-table table))
  (logxor (aref table (logand (logxor state octet) #xff)) (ash state -8)))

(defun crc32 (array)
  "CRC-32 (IEEE 802.3) of ARRAY."
  (declare (type octets array) (optimize speed (safety 1)))
  (let ((state +crc32-start+) (table *crc-table*))
    (declare (type crc state) (type crc-table table))
    (dotimes (k (length array))
      (setf state (crc32-step state (aref array k) table)))
    (logxor state #xffffffff)))

(defun crc32-by-octet (size octet-at)
  "CRC-32 of SIZE octets that the function OCTET-AT gives by their place, for
memory that is no array."
  (declare (type fixnum size) (type function octet-at))
  (let ((state +crc32-start+) (table *crc-table*))
    (declare (type crc state) (type crc-table table))
    (dotimes (k size)
      (setf state (crc32-step state (funcall octet-at k) table)))
    (logxor state #xffffffff)))

(defun crc32-text (crc)
  "CRC as PROBE.md writes digests."
  (format nil "~(~8,'0x~)" crc))
