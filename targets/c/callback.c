/* callback: functions of the client that C calls, on threads of its own
   choosing. */
#include "fixture.h"
#include "probe.h"

#include <stdlib.h>
#include <zmq.h>

/* Marks: one element per sequence number or hint, so that no two calls write
   the same one. Given before the first call, read after the last. */
static unsigned *marks;
static uint64_t marks_length;

static void
start_marks (uint64_t length)
{
  marks = calloc (length ? length : 1, sizeof *marks);
  if (!marks)
    fail_errno ("allocate marks");
  marks_length = length;
}

static void
observe_marks (const char *once_key, const char *repeated_key)
{
  uint64_t once = 0, repeated = 0;
  for (uint64_t k = 0; k < marks_length; k++)
    {
      once += marks[k] == 1;
      repeated += marks[k] > 1;
    }
  observe_count (once_key, once);
  observe_count (repeated_key, repeated);
  free (marks);
}

/* Functions on the fixture's threads. */

static uint64_t
called (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  *cell = sequence;
  if (sequence < marks_length)
    marks[sequence]++;
  zm_note_thread ();
  return value ^ sequence;
}

/* The function to give to the fixture, by the technique. */
static zm_function *
called_by_technique (void)
{
  if (!technique_is ("unblock-signals"))
    return called;
  zm_set_unblocking_function (called, 0);
  return zm_unblocking_function;
}

static void
observe_calls (void)
{
  observe_count ("calls.made", zm_calls_made ());
  observe_count ("calls.right", zm_calls_right ());
  observe_marks ("calls.seen", "calls.repeated");
  observe_thread ("thread.main", zm_thread_id ());
  observe_string ("thread.callers", zm_callers (), "thread");
  observe_string ("thread.ran-on", zm_noted_threads (), "thread");
  /* C has no collector. */
  observe_count ("gc.during", 0);
  observe_count ("gc.in-callback", 0);
}

void
callback_same_thread (void)
{
  uint64_t calls = parameter ("calls");
  start_marks (calls);
  step ("be called %lu times on the main thread", (unsigned long) calls);
  zm_call_here (called, calls, task_seed ());
  observe_calls ();
}

void
callback_foreign_thread (void)
{
  uint64_t calls = parameter ("calls");
  start_marks (calls);
  step ("be called %lu times on a thread of the fixture", (unsigned long) calls);
  int error = zm_call_threads (called_by_technique (), 1, calls, parameter ("pace-us"),
                               0, task_seed ());
  if (error)
    fail ("", "start a thread: error %d", error);
  observe_calls ();
}

static void
call_beside_work (int masked)
{
  uint64_t threads = parameter ("threads");
  uint64_t calls = parameter ("calls");
  start_marks (threads * calls);
  step ("be called %lu times on each of %lu threads of the fixture",
        (unsigned long) calls, (unsigned long) threads);
  int error = zm_start_threads (called_by_technique (), (int) threads, calls,
                                parameter ("pace-us"), masked, task_seed ());
  if (error)
    fail ("", "start threads: error %d", error);
  unsigned char work[4096];
  while (zm_threads_running ())
    {
      churn ();
      payload_fill (work, sizeof work, 0);
      if (payload_mismatches (work, sizeof work, 0))
        fail ("", "what the main thread computed meanwhile is wrong");
    }
  zm_join_threads ();
  observe_calls ();
}

void
callback_concurrent_threads (void)
{
  call_beside_work (0);
}

void
callback_masked_thread (void)
{
  call_beside_work (1);
  observe_count ("mask.blocked", (uint64_t) zm_mask_blocked ());
}

/* Free functions on libzmq's I/O thread. */

static unsigned char **bodies; /* by hint - 1 */
static _Atomic uint64_t freed, unknown, wrong_pointer;

static void
freed_by_libzmq (void *data, void *hint)
{
  uintptr_t number = (uintptr_t) hint;
  if (number < 1 || number > marks_length)
    {
      unknown++;
      return;
    }
  marks[number - 1]++;
  if (data != bodies[number - 1])
    wrong_pointer++;
  zm_note_thread ();
  freed++;
}

void
callback_io_thread (void)
{
  uint64_t count = parameter ("count");
  uint64_t size = parameter ("size");
  zmq_free_fn *free_function = freed_by_libzmq;
  if (technique_is ("unblock-signals"))
    {
      zm_set_unblocking_free (freed_by_libzmq, 0);
      free_function = zm_unblocking_free;
    }
  start_marks (count);
  bodies = allocate (count * sizeof *bodies);
  void *context = zmq_ctx_new ();
  void *push = connected_socket (context, ZMQ_PUSH, lane_endpoint (NULL));

  for (uint64_t i = 0; i < count; i++)
    {
      zmq_msg_t message;
      bodies[i] = allocate (size);
      payload_fill (bodies[i], size, i);
      step ("send message %lu", (unsigned long) i);
      if (zmq_msg_init_data (&message, bodies[i], size, free_function,
                             (void *) (uintptr_t) (i + 1)))
        fail_errno ("zmq_msg_init_data");
      if (zmq_msg_send (&message, push, 0) < 0)
        fail_errno ("zmq_msg_send");
    }

  step ("wait for the free function");
  wait_for (&freed, count);
  close_socket (push);
  terminate (context);
  /* Only now, as libzmq may still read what it has not freed. */
  for (uint64_t i = 0; i < count; i++)
    free (bodies[i]);
  free (bodies);

  observe_marks ("frees.once", "frees.repeated");
  observe_count ("frees.unknown", unknown);
  observe_count ("frees.wrong-pointer", wrong_pointer);
  observe_thread ("thread.main", zm_thread_id ());
  observe_string ("thread.ran-on", zm_noted_threads (), "thread");
  observe_string ("thread.names", zm_noted_names (), "list");
  observe_count ("gc.during", 0);
  observe_count ("gc.in-callback", 0);
}
