(in-package :zmqmatrix.report)

;;;; ASCII only, whatever the locale, and one write and one flush a line, so that
;;;; what was said before a crash is never lost or torn.

(defun json-string (text)
  "TEXT as a JSON string in ASCII; characters beyond 16 bits as surrogates."
  (with-output-to-string (out)
    (flet ((unit (code) (format out "\\u~(~4,'0x~)" code)))
      (write-char #\" out)
      (loop for character across text
            for code = (char-code character)
            do (cond ((char= character #\") (write-string "\\\"" out))
                     ((char= character #\\) (write-string "\\\\" out))
                     ((<= 32 code 126) (write-char character out))
                     ((< code #x10000) (unit code))
                     (t (let ((rest (- code #x10000)))
                          (unit (+ #xd800 (ash rest -10)))
                          (unit (+ #xdc00 (logand rest #x3ff)))))))
      (write-char #\" out))))

(defun json-text (value)
  "VALUE in JSON: a string, an integer, :TRUE or :FALSE."
  (etypecase value
    (string (json-string value))
    (integer (format nil "~d" value))
    ((member :true) "true")
    ((member :false) "false")))

(defun line (&rest keys-and-values)
  (let ((text (with-output-to-string (out)
                (write-char #\{ out)
                (loop for (key value) on keys-and-values by #'cddr
                      for first = t then nil
                      do (unless first (write-char #\, out))
                         (write-string (json-string key) out)
                         (write-char #\: out)
                         (write-string (json-text value) out))
                (write-char #\} out)
                (terpri out))))
    (write-string text *standard-output*)
    (finish-output *standard-output*)))

(defun hello (&key implementation version binding binding-version libzmq threads pid seed collector)
  "The first line. SEED is the task's, as text, or NIL. COLLECTOR is :MOVING, :NON-MOVING or :NONE."
  (line "type" "hello" "protocol" 1 "implementation" implementation "version" version
        "binding" binding "binding_version" binding-version "libzmq" libzmq
        "threads" (if threads :true :false) "pid" pid "seed" (or seed "")
        "collector" (string-downcase collector)))

(defun progress (control &rest arguments)
  "Say what is about to happen: after a crash the last such line says where."
  (line "type" "step" "text" (apply #'format nil control arguments)))

(defun observe (key value unit)
  "Report one fact. UNIT is a keyword; with :FLAG, VALUE is a Lisp boolean."
  (line "type" "observe" "key" key
        "value" (if (eq unit :flag) (if value :true :false) value)
        "unit" (string-downcase unit)))

(defun done ()
  "Close the report: the feature was exercised, whatever was seen."
  (line "type" "done"))

(defun closed-unsupported (reason)
  "Close the report: this client offers no way to do it."
  (line "type" "unsupported" "reason" reason))

(defun failed (reason condition)
  "Close the report: it was tried and an error came."
  (line "type" "failed" "reason" reason "condition" condition))

(defun address-text (address)
  "ADDRESS as PROBE.md writes addresses."
  (format nil "0x~(~x~)" address))

(defun observe-address (key address)
  "Report an address."
  (observe key (address-text address) :address))

(defun comma-list (texts)
  "TEXTS joined by commas."
  (format nil "~{~a~^,~}" texts))
