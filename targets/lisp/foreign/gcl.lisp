(in-package :zmqmatrix.foreign)

;;;; The foreign protocol on GCL's own C interface: CLINES puts C text into the
;;;; compiled file, DEFENTRY makes a Lisp function of a C function. All C
;;;; functions of libraries are called through one, by address; words are passed
;;;; as GCL's fixnums, which have 64 bits, and those from 2^63 on as bignums.

(eval-when (:compile-toplevel :load-toplevel :execute)
  (import '(si::clines si::defentry si::object)))

(defun interface-name () "native")

(defvar *c-functions* '()
  "All defined C functions: (library c-name variable).")
(defvar *libraries* '()
  "Opened libraries: (library . dlopen's handle).")

(clines "
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

object ifuncall (object, int, ...);

typedef uint64_t zm_any (uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* The low 64 bits of an integer that is none too large to have them. */
static uint64_t
zm_word (object x)
{
  if (type_of (x) != t_bignum)
    return (uint64_t) fixint (x);
  return x->big.big_mpz_t._mp_size < 0 ? -(uint64_t) x->big.big_mpz_t._mp_d[0]
                                       : (uint64_t) x->big.big_mpz_t._mp_d[0];
}

static object
zm_integer (uint64_t word)
{
  return make_fixnum ((fixnum) word);
}

static char *
zm_c_string (object text)
{
  static char copy[4096];
  /* Since GCL 2.7 a simple string has no place for a fill pointer at all (h/lu.h). */
  size_t length = text->st.st_hasfillp ? text->st.st_fillp : text->st.st_dim;
  if (length >= sizeof copy)
    length = sizeof copy - 1;
  memcpy (copy, text->st.st_self, length);
  copy[length] = 0;
  return copy;
}

object
zm_gcl_call (object function, object a, object b, object c, object d, object e, object f, object g)
{
  zm_any *called = (zm_any *) zm_word (function);
  return zm_integer (called (zm_word (a), zm_word (b), zm_word (c), zm_word (d), zm_word (e), zm_word (f),
                             zm_word (g)));
}

/* What is of the dynamic linker is looked up: GCL's loader knows only what GCL
   itself calls, which differs by version. */
static void *(*zm_dlsym) (void *, const char *);

static void *
zm_found (const char *name)
{
  return zm_dlsym ((void *) 0 /* RTLD_DEFAULT */, name);
}

/* dlerror: looking it up would make it forget what it has to say. */
static char *(*zm_said) (void);

static void
zm_find_linker (object dlsym_address)
{
  zm_dlsym = (void *) zm_word (dlsym_address);
  zm_said = zm_found (\"dlerror\");
}

/* A library in the namespace of the program. */
object
zm_gcl_open (object dlsym_address, object path)
{
  zm_find_linker (dlsym_address);
  void *(*open) (const char *, int) = zm_found (\"dlopen\");
  return zm_integer ((uint64_t) open (zm_c_string (path), RTLD_NOW));
}

/* A library in the namespace of those opened by this before, with a libc of its
   own. */
object
zm_gcl_open_apart (object dlsym_address, object path)
{
  static long space = -1; /* LM_ID_NEWLM, a new one; GCL's loader does not clear what is 0 */
  zm_find_linker (dlsym_address);
  void *(*open_in) (long, const char *, int) = zm_found (\"dlmopen\");
  int (*information) (void *, int, void *) = zm_found (\"dlinfo\");
  void *handle = open_in (space, zm_c_string (path), RTLD_NOW);
  if (handle)
    information (handle, 1 /* RTLD_DI_LMID */, &space);
  return zm_integer ((uint64_t) handle);
}

object
zm_gcl_symbol (object handle, object name)
{
  return zm_integer ((uint64_t) zm_dlsym ((void *) zm_word (handle), zm_c_string (name)));
}

object
zm_gcl_error (void)
{
  char *text = zm_said ();
  return make_simple_string (text ? text : \"no reason given\");
}

object
zm_gcl_store_word (object address, object word)
{
  *(volatile uint64_t *) zm_word (address) = zm_word (word);
  return word;
}

object
zm_gcl_text_at (object address)
{
  return make_simple_string ((char *) zm_word (address));
}

/* Callbacks: the symbols are Lisp's, whose functions stop every condition. */

static object zm_on_call, zm_on_free;

static uint64_t
zm_gcl_call_back (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  return zm_word (ifuncall (zm_on_call, 3, zm_integer (sequence), zm_integer (value),
                            zm_integer ((uint64_t) cell)));
}

static void
zm_gcl_free_back (void *data, void *hint)
{
  ifuncall (zm_on_free, 2, zm_integer ((uint64_t) data), zm_integer ((uint64_t) hint));
}

object
zm_gcl_call_back_address (object symbol)
{
  zm_on_call = symbol;
  return zm_integer ((uint64_t) zm_gcl_call_back);
}

object
zm_gcl_free_back_address (object symbol)
{
  zm_on_free = symbol;
  return zm_integer ((uint64_t) zm_gcl_free_back);
}
")

(defentry c-call (object object object object object object object object) (object "zm_gcl_call"))
(defentry c-open (object object) (object "zm_gcl_open"))
(defentry c-open-apart (object object) (object "zm_gcl_open_apart"))
(defentry c-symbol (object object) (object "zm_gcl_symbol"))
(defentry c-error () (object "zm_gcl_error"))
(defentry c-store-word (object object) (object "zm_gcl_store_word"))
(defentry c-text-at (object) (object "zm_gcl_text_at"))
(defentry c-call-back-address (object) (object "zm_gcl_call_back_address"))
(defentry c-free-back-address (object) (object "zm_gcl_free_back_address"))

;;; C functions

(defun unsigned-word (word)
  "The word that a fixnum stands for."
  (if (minusp word) (+ word (ash 1 64)) word))

(defun signed-int (word)
  (let ((low (logand word #xffffffff)))
    (if (logbitp 31 low) (- low (ash 1 32)) low)))

(defun call-by-address (function arguments &optional (through *call-through*))
  "FUNCTION with up to six ARGUMENTS: itself, or through another's address."
  (flet ((argument (k) (or (nth k arguments) 0)))
    (if (zerop through)
        (c-call function (argument 0) (argument 1) (argument 2) (argument 3) (argument 4) (argument 5) 0)
        (c-call through function (argument 0) (argument 1) (argument 2) (argument 3)
                (argument 4) (argument 5)))))

(eval-when (:compile-toplevel :load-toplevel :execute)
  (defparameter *thread-starters* '("zm_start_threads")
    "C functions that start threads which call back, and return meanwhile. They are
called with the lock of lisp-lock and main-stack held. For every thread the loader
allocates, by the program's own calloc, which is GCL's: without the lock that
happens while a thread that is already there runs Lisp.")
  (defun call-form (c-name variable arguments)
    `(call-by-address ,variable (list ,@arguments)
                      ,@(when (member c-name *thread-starters* :test #'string=) '(0))))
  (defun result-form (result call)
    (ecase result
      ((:address :u64) `(unsigned-word ,call))
      (:u32 `(logand ,call #xffffffff))
      (:int `(signed-int ,call))
      (:text `(c-text-at ,call))
      (:void `(progn ,call nil)))))

(defmacro define-c-functions (library &body functions)
  `(progn
     ,@(loop for (name c-name result . arguments) in functions
             for variable = (intern (format nil "*~a-ADDRESS*" name) (symbol-package name))
             append `((defvar ,variable 0)
                      (pushnew '(,library ,c-name ,variable) *c-functions* :test #'equal)
                      (defun ,name ,(mapcar #'first arguments)
                        ,(result-form result
                                      (call-form c-name variable
                                                 (mapcar #'first arguments))))))))

(setf *loading-techniques* '("own-namespace"))

(defun open-apart-p (library)
  "Whether LIBRARY is opened in the namespace apart: see own-namespace in PROBE.md.
What is no ZeroMQ always is: the fixture uses libc's malloc, whose heap grows by
the same brk as GCL's and which aborts when it finds GCL's pages there."
  (not (and (eq library :libzmq)
            (member (si::getenv "ZM_TECHNIQUE") '("plain" "c-queue") :test #'equal))))

(defun preloaded ()
  "The libraries that the loader has put before all others in the program's own
namespace."
  (let ((text (or (si::getenv "LD_PRELOAD") "")))
    (loop for start = 0 then (1+ end)
          for end = (position-if (lambda (c) (find c " :")) text :start start)
          unless (eql start (or end (length text))) collect (subseq text start end)
          while end)))

(defvar *apart-p* nil "Whether the namespace apart is there.")

(defun open-apart (path)
  "Its first library comes before all others in it, as LD_PRELOAD's do in the
program's (glibc, elf/dl-object.c, _dl_new_object)."
  (unless *apart-p*
    (setf *apart-p* t)
    (dolist (first (preloaded)) (c-open-apart (zmqmatrix.runtime::c-dlsym) first))
    ;; libzmq looks a host's name up on its I/O thread, and glibc before 2.34 opens
    ;; these for it, by a loader whose malloc is the program's, which is GCL's: they
    ;; are opened while there is no other thread. Where one is not, nobody needs it.
    (dolist (resolver '("libnss_files.so.2" "libnss_dns.so.2"))
      (c-open-apart (zmqmatrix.runtime::c-dlsym) resolver)))
  (c-open-apart (zmqmatrix.runtime::c-dlsym) path))

(defun c-function-address (library c-name)
  (let ((address (c-symbol (cdr (assoc library *libraries*)) c-name)))
    (if (zerop address)
        (error "~a is not in the library of ~(~a~)" c-name library)
        (unsigned-word address))))

(defun open-c-library (library path)
  (let ((handle (if (open-apart-p library)
                    (open-apart path)
                    (c-open (zmqmatrix.runtime::c-dlsym) path))))
    (when (zerop handle) (error "~a can't be opened: ~a" path (c-error)))
    (push (cons library handle) *libraries*)
    (loop for (of c-name variable) in *c-functions*
          when (eq of library)
            do (setf (symbol-value variable) (c-function-address library c-name)))))

(defun store-word (address word)
  (c-store-word address word))

;;; Callbacks

(defmacro at-callback-edge (value-on-error &body body)
  `(handler-case (progn ,@body)
     (serious-condition (condition)
       (unless *callback-condition* (setf *callback-condition* condition))
       ,value-on-error)))

(defun call-edge (sequence value cell)
  (at-callback-edge 0
    (funcall *on-call* (unsigned-word sequence) (unsigned-word value) (unsigned-word cell))))

(defun free-edge (data hint)
  (at-callback-edge 0
    (funcall *on-free* (unsigned-word data) (unsigned-word hint))
    0))

(defun callback-address (kind)
  (unsigned-word
   (ecase kind
     (:call (c-call-back-address 'call-edge))
     (:free (c-free-back-address 'free-edge)))))
