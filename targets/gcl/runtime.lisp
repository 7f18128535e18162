(in-package :zmqmatrix.runtime)

;;;; GNU Common Lisp. Written against the sources of 2.6.14 and 2.7.1: o/gbc.c,
;;;; o/alloc.c, o/array.c, lsp/gcl_top.lsp; h/unrandomize.h, which 2.7 has no more.
;;;; There are no threads; arrays are headers that point at their elements, which
;;;; lie in relocatable blocks, copied by every collection, or in contiguous ones,
;;;; which stay.

(eval-when (:compile-toplevel :load-toplevel :execute)
  (import '(si::clines si::defentry si::object)))

;;; Who it is

(defun implementation-name () "GCL")

(defun implementation-version ()
  "2.6.14, 2.7.1: the rest is the name and the tag of the sources."
  (let* ((version (lisp-implementation-version))
         (start (if (and (> (length version) 4) (string= "GCL " version :end2 4)) 4 0)))
    (subseq version start (position #\Space version :start start))))

(defun threads-p () nil)

(defun collector ()
  "Elements of ordinary arrays move from one relocatable space to the other, until
they have survived so many collections that they are put among the static ones
(o/gbc.c, mark_leaf_data)."
  :moving)

;;; The process

(clines "
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One entry of a dynamic section, or 0. */
static uint64_t
zm_dynamic (const Elf64_Dyn *section, int64_t tag)
{
  for (; section->d_tag != DT_NULL; section++)
    if (section->d_tag == tag)
      return section->d_un.d_ptr;
  return 0;
}

/* The dynamic linker's list of what is loaded, as a debugger finds it. */
static const struct link_map *
zm_loaded (void)
{
  uint64_t pair[2], headers = 0, count = 0, base = 0;
  const Elf64_Dyn *section = 0;
  FILE *vector = fopen (\"/proc/self/auxv\", \"r\");
  if (!vector)
    return 0;
  while (fread (pair, sizeof pair, 1, vector) == 1 && pair[0] != AT_NULL)
    if (pair[0] == AT_PHDR)
      headers = pair[1];
    else if (pair[0] == AT_PHNUM)
      count = pair[1];
  fclose (vector);
  for (const Elf64_Phdr *header = (void *) headers; count; count--, header++)
    if (header->p_type == PT_PHDR)
      base = headers - header->p_vaddr;
    else if (header->p_type == PT_DYNAMIC)
      section = (void *) (base + header->p_vaddr);
  const struct r_debug *known = section ? (void *) zm_dynamic (section, DT_DEBUG) : 0;
  return known ? known->r_map : 0;
}

/* GCL's loader resolves only what GCL itself calls, and 2.6.12 calls nothing of
   the dynamic linker. dlsym finds all the rest. Its place in a library is found
   in the library's own table of symbols, which has its table of strings behind it. */
static void *(*zm_dlsym (void)) (void *, const char *)
{
  for (const struct link_map *library = zm_loaded (); library; library = library->l_next)
    {
      const Elf64_Sym *symbol = (void *) zm_dynamic (library->l_ld, DT_SYMTAB);
      const char *strings = (void *) zm_dynamic (library->l_ld, DT_STRTAB);
      /* The kernel's own library gives offsets, not addresses, and has no dlsym. */
      if ((uint64_t) symbol < library->l_addr || (uint64_t) strings < (uint64_t) symbol)
        continue;
      for (; (const char *) (symbol + 1) <= strings; symbol++)
        if (symbol->st_shndx != SHN_UNDEF && !strcmp (strings + symbol->st_name, \"dlsym\"))
          return (void *) (library->l_addr + symbol->st_value);
    }
  return 0;
}

object
zm_gcl_dlsym (void)
{
  return make_fixnum ((fixnum) zm_dlsym ());
}

object
zm_gcl_die_of_segv (void)
{
  void *(*set) (int, void *) = zm_dlsym () (0 /* RTLD_DEFAULT */, \"signal\");
  set (SIGSEGV, SIG_DFL);
  return make_fixnum (0);
}
")

(defentry c-die-of-segv () (object "zm_gcl_die_of_segv"))
(defentry c-dlsym () (object "zm_gcl_dlsym"))

;; GCL 2.7 calls libm, for one, by addresses that are those of the process that
;; saved the image, until it has looked for them anew (lsp/gcl_top.lsp,
;; set-up-top-level). With Debian's 2.7.1-40 that function wants an argument. It is
;; asked here, where the addresses are right: in the image an error is itself such a call.
(defvar *reset-lib-syms-arguments*
  (when (fboundp 'si::reset-lib-syms)
    (handler-case (progn (funcall 'si::reset-lib-syms t) '(t))
      (error () '()))))

(defun start-up ()
  (when (zerop (c-dlsym))
    (format *error-output* "~&no library of this process has dlsym where it is looked for~%")
    (leave 1))
  ;; GCL says it on stdout, in the middle of the report, and goes on with a Lisp
  ;; error. It needs the signal itself only once SGC is on (o/sgbc.c), which is off.
  (c-die-of-segv)
  (when (fboundp 'si::reset-lib-syms)
    (apply 'si::reset-lib-syms *reset-lib-syms-arguments*)
    ;; And it puts its first collection off until the heap has half of the
    ;; machine's memory, which is more than a container has: 2^29 bytes are enough.
    (when (fboundp 'si::set-log-maxpage-bound)
      (funcall 'si::set-log-maxpage-bound 29)))
  ;; Errors outside the probe's own handlers end the process, exit code 1.
  (setf *debugger-hook* (lambda (condition hook)
                          (declare (ignore hook))
                          (format *error-output* "~&~a~%" condition)
                          (leave 1))))

(defun environment-variable (name) (si::getenv name))

(defun arguments ()
  (loop for k from 1 below (si::argc) collect (si::argv k)))

(defun executable-directory ()
  (let* ((path (namestring (truename "/proc/self/exe"))))
    (subseq path 0 (1+ (position #\/ path :from-end t)))))

(defun full-gc ()
  ;; T: everything, the relocatable and the contiguous blocks as well.
  (si::gbc t))

(defun leave (status)
  (finish-output)
  (si::bye status))

;;; Memory that stays where it is

(clines "
#include <stdint.h>
#include <string.h>

static uint64_t
zm_word (object x)
{
  return (uint64_t) fixint (x);
}

object
zm_gcl_array_address (object array)
{
  return make_fixnum ((fixnum) array->ust.ust_self);
}

object
zm_gcl_copy_out (object array, object size, object address)
{
  memcpy ((void *) zm_word (address), array->ust.ust_self, zm_word (size));
  return array;
}

object
zm_gcl_copy_in (object array, object size, object address)
{
  memcpy (array->ust.ust_self, (void *) zm_word (address), zm_word (size));
  return array;
}

object
zm_gcl_octet (object address, object offset)
{
  return make_fixnum (((volatile unsigned char *) zm_word (address))[zm_word (offset)]);
}

object
zm_gcl_store_octet (object address, object offset, object octet)
{
  ((volatile unsigned char *) zm_word (address))[zm_word (offset)] = zm_word (octet);
  return octet;
}
")

(defentry c-array-address (object) (object "zm_gcl_array_address"))
(defentry c-copy-out (object object object) (object "zm_gcl_copy_out"))
(defentry c-copy-in (object object object) (object "zm_gcl_copy_in"))
(defentry c-octet (object object) (object "zm_gcl_octet"))
(defentry c-store-octet (object object object) (object "zm_gcl_store_octet"))

(defun allocate-static-array (size)
  (make-array size :element-type '(unsigned-byte 8) :static t))

(defun release-static-array (array)
  (declare (ignore array))
  nil)

(defun released-by-collector-p () t)

(defun static-array-address (array) (c-array-address array))

(defun ordinary-array-address (array) (c-array-address array))

(defun call-with-pinned-array (function array)
  ;; MAKE-ARRAY decides with :STATIC where the elements are put, and nothing
  ;; holds them in the relocatable space later on.
  (declare (ignore function array))
  (not-offered "GCL has no way to pin an array: whether its elements may move is decided when it is made, by MAKE-ARRAY's :STATIC"))

;;; Foreign memory, by address

(defun copy-to-memory (array address)
  (c-copy-out array (length array) address))

(defun copy-from-memory (address size)
  (c-copy-in (make-array size :element-type 'octet) size address))

(defun memory-octet (address offset) (c-octet address offset))

(defun store-memory-octet (address offset octet) (c-store-octet address offset octet))

(defun memory-as-array (address size)
  ;; A header that is made to point at foreign memory does not keep it: whatever
  ;; lies above the heap is taken for relocatable, and copied into the heap by
  ;; the next collection (o/gbc.c, collecting and mark_leaf_data).
  (declare (ignore address size))
  nil)

;;; C's errno

(defun errno-survives-p ()
  ;; libzmq has a libc of its own with own-namespace, and GCL none of its calls.
  ;; With plain, a call of C conses its result alone, and zmq_errno follows.
  t)

;;; Callbacks on threads that the runtime did not make

(defun collector-signal () 0)

(defun own-techniques () '("lisp-lock" "main-stack"))

(defun trampoline (technique kind address)
  (zmqmatrix.foreign:lisp-lock-trampoline technique kind address))
