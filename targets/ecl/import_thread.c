/* Callbacks on threads that ECL did not make (technique import-thread).

   A compiled callback begins with ecl_process_env (), the thread's own pointer
   to everything that Lisp needs. On a thread that has none, ECL prints "Did you
   forget to call `ecl_import_current_thread'?" and ends the thread with
   pthread_exit (src/c/threads/process.d, src/c/error.d). So the thread is
   imported before its first callback, which also registers it with the collector.

   Then the collector stops it by a signal, SIGPWR, and waits until it has. In
   libzmq's I/O threads every signal is blocked. ECL 21.2.1 unblocks this one by
   chance, when it restores the mask after making the thread's Lisp stack: libgc's
   gc.h puts GC_pthread_sigmask in the place of pthread_sigmask, which never blocks
   it (src/h/stack-resize.h). But the thread is known to the collector by then, and
   has allocated: a collection in between waits for a thread that waits for the
   collector's lock, until libgc aborts ("Signals delivery fails constantly"). So the
   signal is unblocked before, and with it the synchronous ones, of which ECL makes
   conditions.

   The thread stays imported until it ends: an import allocates the thread's
   stacks and caches, a megabyte and more, and a callback for each message would
   keep the collector busy with nothing else. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include <ecl/ecl.h>

typedef uint64_t call_function (uint64_t, uint64_t, uint64_t *);
typedef void free_function (void *, void *);

/* glibc's; destructors of C++'s thread_local objects run by it. They run before
   those of pthread_key_create, in which ECL's own key may be empty already. */
extern int __cxa_thread_atexit_impl (void (*destructor) (void *), void *object, void *library);
extern void *__dso_handle;

static call_function *on_call;
static free_function *on_free;

void
import_thread_set_call (call_function *function)
{
  on_call = function;
}

void
import_thread_set_free (free_function *function)
{
  on_free = function;
}

static void
release_thread (void *unused)
{
  (void) unused;
  ecl_release_current_thread ();
}

/* Does nothing on a thread that Lisp knows: one imported before, or Lisp's own,
   such as the main thread when it closes the last reference to a message. */
static void
import_thread (void)
{
  if (ecl_process_env_unsafe ())
    return;
  sigset_t needed;
  sigemptyset (&needed);
  sigaddset (&needed, SIGILL);
  sigaddset (&needed, SIGTRAP);
  sigaddset (&needed, SIGBUS);
  sigaddset (&needed, SIGFPE);
  sigaddset (&needed, SIGSEGV);
  sigaddset (&needed, GC_get_suspend_signal ());
  pthread_sigmask (SIG_UNBLOCK, &needed, NULL);
  if (ecl_import_current_thread (ECL_NIL, ECL_NIL))
    __cxa_thread_atexit_impl (release_thread, NULL, &__dso_handle);
}

uint64_t
import_thread_call (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  import_thread ();
  return on_call (sequence, value, cell);
}

void
import_thread_free (void *data, void *hint)
{
  import_thread ();
  on_free (data, hint);
}
