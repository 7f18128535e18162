/* One lock around Lisp, for a Lisp that has a single stack and a single heap
   and knows nothing of threads (techniques lisp-lock and main-stack).

   CLISP's STACK is a global variable (src/spvw.d), and so is GCL's vs_top
   (h/vs.h). It is in order, and the heap with it, whenever the main thread is
   inside a C function. So the main thread
   holds the lock while it runs Lisp and gives it up around every C call; a
   foreign thread takes it around every callback. The main thread's C call then
   returns only after the callback has, and the stack unwinds in order. C calls
   made inside a callback keep the lock, for the same reason.

   CLISP up to 2.49.92 has a generational collector whose write barrier is a
   SIGSEGV; libzmq's I/O threads block all signals. So the callback has the
   synchronous ones unblocked.

   GCL's collector looks for references on one C stack, from where it runs to
   the main thread's first frame (o/gbc.c, mark_c_stack): on another thread's
   stack that is a walk through unmapped memory. With main-stack the foreign
   thread runs the callback on a part of the main thread's stack that was left
   free for it, between the main thread's Lisp frames and those of the C function
   that it is in. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <ucontext.h>

#include "../c/fixture.h"

/* Callbacks come in bursts, and the main thread may be a long time in Lisp
   between two C calls. It stays out while the last callback is younger than
   QUIET, but no longer than STAY. Shorter ones starve the foreign threads, longer
   ones the main thread. */
#define QUIET_NS (2 * 1000000)
#define STAY_NS (10 * 1000000)
#define PAUSE_NS (100 * 1000)

/* What a callback may use of the main thread's stack, of 8 MiB as a rule. A
   full collection recurses, so that it is generous. */
#define AREA_BYTES (1024 * 1024)

typedef uint64_t call_function (uint64_t, uint64_t, uint64_t *);
typedef void free_function (void *, void *);

/* Tickets: a plain mutex would be taken back by the main thread before a thread
   that waits for it has woken up. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static uint64_t next_ticket, served;
static _Atomic int64_t last_callback_ns = -QUIET_NS;

/* In the threads' static storage: the other kind is allocated at first use by
   the dynamic loader, with the program's malloc, which is Lisp's own in GCL. */
static _Thread_local int in_callback __attribute__ ((tls_model ("initial-exec")));
static call_function *on_call;
static free_function *on_free;

static void
enter_lisp (void)
{
  pthread_mutex_lock (&guard);
  uint64_t ticket = next_ticket++;
  while (ticket != served)
    pthread_cond_wait (&turn, &guard);
  pthread_mutex_unlock (&guard);
}

static void
leave_lisp (void)
{
  pthread_mutex_lock (&guard);
  served++;
  pthread_cond_broadcast (&turn);
  pthread_mutex_unlock (&guard);
}

static int64_t
now_ns (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C (1000000000) + now.tv_nsec;
}

static void
let_callbacks_in (void)
{
  int64_t end = now_ns () + STAY_NS;
  for (int64_t now = now_ns (); now < end && now - last_callback_ns < QUIET_NS; now = now_ns ())
    nanosleep (&(struct timespec) { .tv_nsec = PAUSE_NS }, NULL);
}

static int main_stack;
/* Free for callbacks on the main thread's stack; written and read with the lock
   held. */
static unsigned char *area;

/* The first is called by the main thread, which then holds the lock. With
   on_main_stack, callbacks run on its stack. */
void
lisp_lock_begin (int on_main_stack)
{
  enter_lisp ();
  main_stack = on_main_stack;
}

void
lisp_lock_set_call (call_function *function)
{
  on_call = function;
}

void
lisp_lock_set_free (free_function *function)
{
  on_free = function;
}

/* zm_call with the lock given up. */
uint64_t
lisp_lock_c_call (zm_any_function *function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                  uint64_t e, uint64_t f)
{
  if (in_callback)
    return zm_call (function, a, b, c, d, e, f);
  /* The registers that a called function must keep may hold the only reference
     to an object: they are put into this frame, above the area. */
  __builtin_unwind_init ();
  unsigned char *outer = area;
  if (main_stack)
    area = __builtin_alloca (AREA_BYTES);
  leave_lisp ();
  uint64_t result = zm_call (function, a, b, c, d, e, f);
  let_callbacks_in ();
  enter_lisp ();
  area = outer;
  return result;
}

static void
enter_callback (sigset_t *before)
{
  sigset_t synchronous;
  sigemptyset (&synchronous);
  sigaddset (&synchronous, SIGILL);
  sigaddset (&synchronous, SIGTRAP);
  sigaddset (&synchronous, SIGBUS);
  sigaddset (&synchronous, SIGFPE);
  sigaddset (&synchronous, SIGSEGV);
  pthread_sigmask (SIG_UNBLOCK, &synchronous, before);
  enter_lisp ();
  in_callback++;
}

static void
leave_callback (const sigset_t *before)
{
  in_callback--;
  last_callback_ns = now_ns ();
  leave_lisp ();
  pthread_sigmask (SIG_SETMASK, before, NULL);
}

/* One callback under way, for run_on_area takes no arguments. Whoever holds the
   lock has them all. */
static struct
{
  int is_call;
  uint64_t sequence, value, *cell, result;
  void *data, *hint;
  ucontext_t caller;
} callback;

static void
run (void)
{
  if (callback.is_call)
    callback.result = on_call (callback.sequence, callback.value, callback.cell);
  else
    on_free (callback.data, callback.hint);
}

static void
run_callback (void)
{
  ucontext_t on_area;
  if (!area || getcontext (&on_area))
    {
      run ();
      return;
    }
  on_area.uc_stack.ss_sp = area;
  on_area.uc_stack.ss_size = AREA_BYTES;
  on_area.uc_link = &callback.caller;
  makecontext (&on_area, run, 0);
  swapcontext (&callback.caller, &on_area);
}

uint64_t
lisp_lock_call (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  sigset_t before;
  enter_callback (&before);
  callback.is_call = 1;
  callback.sequence = sequence;
  callback.value = value;
  callback.cell = cell;
  run_callback ();
  uint64_t result = callback.result;
  leave_callback (&before);
  return result;
}

void
lisp_lock_free (void *data, void *hint)
{
  sigset_t before;
  enter_callback (&before);
  callback.is_call = 0;
  callback.data = data;
  callback.hint = hint;
  run_callback ();
  leave_callback (&before);
}
