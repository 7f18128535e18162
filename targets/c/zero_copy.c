/* zero-copy: messages in the client's own memory. */
#include "fixture.h"
#include "probe.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* How the memory of a sent message is given back. */
enum way
{
  CALLBACK_FREE, /* a function of the client, called by libzmq, frees it */
  DEFERRED_FREE, /* the fixture's function queues it, the main thread frees it */
  NATIVE_FREE,   /* libc's free is the free function */
  KEPT_ALIVE     /* no free function: freed after the context's end */
};

static enum way way;
static uint64_t count;          /* of tcp messages; their hints are 1 to count */
static unsigned char **arrays;  /* by hint - 1; the last is the inproc message's */
static unsigned *marks;         /* by hint - 1: how often it was released */
static _Atomic uint64_t released, unknown;

/* Gives back the memory behind the hint. On any thread. */
static void
release (void *data, void *hint)
{
  uintptr_t number = (uintptr_t) hint;
  if (number < 1 || number > count + 1 || data != arrays[number - 1])
    {
      unknown++;
      return;
    }
  if (marks[number - 1]++ == 0)
    free (data);
  if (number <= count)
    released++;
}

/* The client's free function. */
static void
freed_by_libzmq (void *data, void *hint)
{
  if ((uintptr_t) hint <= count)
    zm_note_thread ();
  release (data, hint);
}

static zmq_free_fn *
free_function (void)
{
  switch (way)
    {
    case CALLBACK_FREE:
      if (!technique_is ("unblock-signals"))
        return freed_by_libzmq;
      zm_set_unblocking_free (freed_by_libzmq, 0);
      return zm_unblocking_free;
    case DEFERRED_FREE:
      return (zmq_free_fn *) zm_queue_free_address ();
    case NATIVE_FREE:
      {
        /* The hint is not given on: free takes one argument, and the calling
           convention lets a caller pass more. */
        return (zmq_free_fn *) zm_libc_free ();
      }
    case KEPT_ALIVE:
      break;
    }
  return NULL;
}

/* Frees what the fixture has queued. */
static void
drain (void)
{
  void *data, *hint;
  while (way == DEFERRED_FREE && zm_queue_take (&data, &hint))
    release (data, hint);
}

/* Whether the client gets to know of releases while it sends. */
static int
releases_are_known (void)
{
  return way == CALLBACK_FREE || way == DEFERRED_FREE;
}

/* Waits until target messages are released, or ten seconds have passed without
   a further one. */
static int
wait_for_releases (uint64_t target)
{
  uint64_t last = released;
  for (int ms = 0; ms < 10000; ms++)
    {
      drain ();
      if (released >= target)
        return 1;
      if (released != last)
        {
          last = released;
          ms = 0;
        }
      zm_sleep_us (1000);
    }
  return 0;
}

/* A new array for the hint, filled with the payload of that index. */
static unsigned char *
new_array (uint64_t hint, uint64_t size, uint64_t index)
{
  unsigned char *array = way == NATIVE_FREE ? zm_allocate (size) : allocate (size);
  if (!array)
    fail ("", "no memory for %lu octets", (unsigned long) size);
  arrays[hint - 1] = array;
  payload_fill (array, size, index);
  return array;
}

static void
send_in_place (void *socket, unsigned char *array, uint64_t size, uint64_t hint)
{
  zmq_msg_t message;
  if (zmq_msg_init_data (&message, array, size, free_function (), (void *) (uintptr_t) hint))
    fail_errno ("zmq_msg_init_data");
  if (zmq_msg_send (&message, socket, 0) < 0)
    fail_errno ("zmq_msg_send");
}

static void
send_copy (void *socket, const unsigned char *array, uint64_t size)
{
  zmq_msg_t message;
  if (zmq_msg_init_size (&message, size))
    fail_errno ("zmq_msg_init_size");
  memcpy (zmq_msg_data (&message), array, size);
  if (zmq_msg_send (&message, socket, 0) < 0)
    fail_errno ("zmq_msg_send");
}

/* Stores into the array of a message that was sent and not yet received, and
   looks whether the received message shows it. */
static void
observe_inproc (void *receiver, unsigned char *array, uint64_t size, int copied)
{
  zmq_msg_t message;
  volatile unsigned char *element = array + size / 2;
  churn ();
  unsigned char stored = (unsigned char) (*element ^ 255);
  *element = stored;
  zmq_msg_init (&message);
  if (zmq_msg_recv (&message, receiver, 0) < 0)
    fail_errno ("zmq_msg_recv over inproc");
  if (zmq_msg_size (&message) != size)
    fail ("", "%lu octets were sent over inproc, and %lu received", (unsigned long) size,
          (unsigned long) zmq_msg_size (&message));
  void *received = zmq_msg_data (&message);
  observe_address (copied ? "copy.inproc.array-address" : "inproc.array-address", array);
  observe_address (copied ? "copy.inproc.received-address" : "inproc.received-address", received);
  observe_count (copied ? "copy.inproc.stored" : "inproc.stored", stored);
  observe_count (copied ? "copy.inproc.seen" : "inproc.seen",
                 (uint64_t) zm_peek (received, size / 2));
  zmq_msg_close (&message);
}

static void
send_over_inproc (void *context)
{
  uint64_t size = parameter ("inproc-size");
  void *receiver = zmq_socket (context, ZMQ_PAIR);
  if (!receiver || zmq_bind (receiver, "inproc://zero-copy"))
    fail_errno ("bind the inproc socket");
  set_option (receiver, ZMQ_RCVTIMEO, 10000);
  void *sender = connected_socket (context, ZMQ_PAIR, "inproc://zero-copy");

  step ("send over inproc without a copy");
  unsigned char *array = new_array (count + 1, size, 1000000);
  send_in_place (sender, array, size, count + 1);
  observe_inproc (receiver, array, size, 0);
  drain ();

  step ("send over inproc with a copy");
  unsigned char *copied = allocate (size);
  payload_fill (copied, size, 1000000);
  send_copy (sender, copied, size);
  observe_inproc (receiver, copied, size, 1);
  free (copied);

  close_socket (sender);
  close_socket (receiver);
}

static void
send_over_tcp (void *socket)
{
  struct numbers sizes = parameter_list ("sizes");
  uint64_t window = parameter ("window");
  uint64_t gc_every = parameter ("gc-every");
  struct text list = { 0 };
  for (uint64_t i = 0; i < count; i++)
    {
      uint64_t size = sizes.at[i % sizes.length];
      drain ();
      if (window && releases_are_known () && i >= window
          && !wait_for_releases (i - window + 1))
        fail ("", "before message %lu: of %lu sent %lu were released", (unsigned long) i,
              (unsigned long) i, (unsigned long) released);
      unsigned char *array = new_array (i + 1, size, i);
      append (&list, "%s%p+%lu", i ? "," : "", (void *) array, (unsigned long) size);
      step ("send message %lu", (unsigned long) i);
      send_in_place (socket, array, size, i + 1);
      if (gc_every && (i + 1) % gc_every == 0)
        churn ();
    }
  observe_string ("tcp.arrays", text_of (&list), "list");
  free (list.at);
  free (sizes.at);
}

static void
send_all (enum way chosen)
{
  way = chosen;
  count = parameter ("count");
  arrays = allocate ((count + 1) * sizeof *arrays);
  marks = calloc (count + 1, sizeof *marks);
  if (!marks)
    fail_errno ("allocate marks");
  void *context = zmq_ctx_new ();

  send_over_inproc (context);

  void *sink = connected_socket (context, ZMQ_PUSH, lane_endpoint ("sink"));
  set_option (sink, ZMQ_SNDHWM, 4);
  send_over_tcp (sink);

  uint64_t copy_count = parameter ("copy-count");
  uint64_t copy_size = parameter ("copy-size");
  unsigned char **copied = allocate (copy_count * sizeof *copied);
  struct text list = { 0 };
  void *copy = connected_socket (context, ZMQ_PUSH, lane_endpoint ("copy"));
  set_option (copy, ZMQ_SNDHWM, 4);
  for (uint64_t i = 0; i < copy_count; i++)
    {
      copied[i] = allocate (copy_size);
      payload_fill (copied[i], copy_size, 500000 + i);
      append (&list, "%s%p+%lu", i ? "," : "", (void *) copied[i], (unsigned long) copy_size);
      step ("send copied message %lu", (unsigned long) i);
      if (zmq_send (copy, copied[i], copy_size, 0) < 0)
        fail_errno ("zmq_send");
    }
  observe_string ("copy.arrays", text_of (&list), "list");
  free (list.at);

  if (releases_are_known ())
    {
      step ("wait for the releases");
      wait_for_releases (count);
    }
  close_socket (sink);
  close_socket (copy);
  terminate (context);
  drain ();
  if (way == KEPT_ALIVE)
    for (uint64_t hint = 1; hint <= count + 1; hint++)
      release (arrays[hint - 1], (void *) (uintptr_t) hint);
  for (uint64_t i = 0; i < copy_count; i++)
    free (copied[i]);
  free (copied);

  uint64_t once = 0, repeated = 0;
  for (uint64_t i = 0; i < count; i++)
    {
      once += marks[i] == 1;
      repeated += marks[i] > 1;
    }
  observe_integer ("release.once", way == NATIVE_FREE ? -1 : (int64_t) once);
  observe_count ("release.repeated", repeated);
  observe_count ("release.unknown", unknown);
  /* In C, memory of malloc's is an array like any other. */
  observe_string ("memory", "array", "text");
  observe_flag ("array.first-class", 1);
  observe_thread ("thread.main", zm_thread_id ());
  observe_string ("thread.ran-on", zm_noted_threads (), "thread");
  observe_count ("gc.during", 0);
  observe_count ("gc.in-callback", 0);
  free (marks);
  free (arrays);
}

void
zero_copy_callback_free (void)
{
  send_all (CALLBACK_FREE);
}

void
zero_copy_deferred_free (void)
{
  send_all (DEFERRED_FREE);
}

void
zero_copy_native_free (void)
{
  send_all (NATIVE_FREE);
}

void
zero_copy_kept_alive (void)
{
  send_all (KEPT_ALIVE);
}

void
zero_copy_receive_in_place (void)
{
  uint64_t messages = parameter ("count");
  struct text digests = { 0 };
  uint64_t in_place = 0, to_view = 0, to_c = 0, copy_seen = 0;
  void *context = zmq_ctx_new ();
  void *source = connected_socket (context, ZMQ_PULL, lane_endpoint ("source"));
  for (uint64_t i = 0; i < messages; i++)
    {
      zmq_msg_t message;
      zmq_msg_init (&message);
      step ("receive message %lu", (unsigned long) i);
      if (zmq_msg_recv (&message, source, 0) < 0)
        fail_errno ("zmq_msg_recv");
      void *address = zmq_msg_data (&message);
      size_t size = zmq_msg_size (&message);
      unsigned char *view = address; /* in C a view is the address */
      if (size < 4)
        fail ("", "message %lu has only %lu octets", (unsigned long) i, (unsigned long) size);
      append (&digests, "%s%08x", i ? "," : "", crc32_of (view, size));
      in_place += view == address;

      int changed = view[size / 2] ^ 255;
      zm_poke (address, size / 2, changed);
      to_view += ((volatile unsigned char *) view)[size / 2] == changed;

      int written = view[size / 3] ^ 255;
      ((volatile unsigned char *) view)[size / 3] = (unsigned char) written;
      to_c += zm_peek (address, size / 3) == written;

      unsigned char *copy = allocate (size);
      memcpy (copy, view, size);
      int poked = copy[size / 4] ^ 255;
      zm_poke (address, size / 4, poked);
      copy_seen += ((volatile unsigned char *) copy)[size / 4] == poked;
      free (copy);
      zmq_msg_close (&message);
    }
  close_socket (source);
  terminate (context);
  observe_string ("received.digests", text_of (&digests), "digest");
  observe_count ("views.in-place", in_place);
  observe_count ("store.c-to-view", to_view);
  observe_count ("store.view-to-c", to_c);
  observe_count ("copy.seen", copy_seen);
  observe_string ("view.kind", "array", "text");
  free (digests.at);
}
