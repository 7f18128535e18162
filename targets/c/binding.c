/* binding: what zmq.h promises beside what the library says and does. */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* What the compiler said of a program that has zmq.h among the headers of C:
   written by build.sh, which gets it from loads.sh. */
#include "loads.h"

void
binding_loads (void)
{
  observe_string ("loads.by", "GCC " __VERSION__, "text");
  observe_count ("loads.warnings", LOADS_WARNINGS);
  observe_string ("loads.first-warning", LOADS_FIRST_WARNING, "text");
  observe_count ("loads.style-warnings", LOADS_STYLE_WARNINGS);
  observe_count ("loads.conflicts", LOADS_CONFLICTS);
  observe_string ("loads.first-conflict", LOADS_FIRST_CONFLICT, "text");
}

void
binding_version (void)
{
  char header[40], library[40];
  int major, minor, patch;
  zmq_version (&major, &minor, &patch);
  snprintf (header, sizeof header, "%d.%d.%d", ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR,
            ZMQ_VERSION_PATCH);
  snprintf (library, sizeof library, "%d.%d.%d", major, minor, patch);
  observe_string ("version.binding", header, "text");
  observe_string ("version.library", library, "text");
  observe_string ("version.own", "", "text");
}

/* The guard is far longer than a message ever was. */
enum { GUARD = 512 };

/* How many octets of the guard lie before the end of the last one written. */
static size_t
touched (const unsigned char *guard, unsigned char pattern)
{
  size_t end = GUARD;
  while (end > 0 && guard[end - 1] == pattern)
    end--;
  return end;
}

/* The furthest that libzmq writes into a message by any of the ways to fill one.
   Two patterns: an octet that is written may happen to be one of them. */
static size_t
furthest_write (void)
{
  static const unsigned char patterns[] = { 0xA5, 0x5A };
  static const size_t sizes[] = { 8, 1000 };
  size_t furthest = 0;
  unsigned char *memory = allocate (GUARD), *source = allocate (GUARD);
  for (size_t p = 0; p < 2; p++)
    for (int way = 0; way < 5; way++)
      {
        zmq_msg_t *message = (zmq_msg_t *) memory;
        memset (memory, patterns[p], GUARD);
        if (way == 0)
          zmq_msg_init (message);
        else if (way < 3)
          {
            if (zmq_msg_init_size (message, sizes[way - 1]))
              fail_errno ("zmq_msg_init_size");
          }
        else
          {
            /* A receive moves the message in the same way. */
            zmq_msg_init (message);
            if (zmq_msg_init_size ((zmq_msg_t *) source, sizes[way - 3])
                || zmq_msg_move (message, (zmq_msg_t *) source))
              fail_errno ("zmq_msg_move");
            zmq_msg_close ((zmq_msg_t *) source);
          }
        size_t end = touched (memory, patterns[p]);
        if (end > furthest)
          furthest = end;
        zmq_msg_close (message);
      }
  free (memory);
  free (source);
  return furthest;
}

void
binding_message_size (void)
{
  void *context = zmq_ctx_new ();
  /* -1 before libzmq 4.2. */
  int size = zmq_ctx_get (context, ZMQ_MSG_T_SIZE);
  step ("write into messages before a guard");
  observe_size ("size.believed", (int64_t) sizeof (zmq_msg_t));
  observe_size ("size.library", size);
  observe_size ("size.touched", (int64_t) furthest_write ());
  terminate (context);
}

/* libzmq's own kind of error is the result -1 and an errno that it has a text
   for. */
static void
observe_error (const char *name, int result)
{
  char key[40];
  int number = result == -1 ? zmq_errno () : 0;
  const char *text = zmq_strerror (number);
  snprintf (key, sizeof key, "%s.missing", name);
  observe_string (key, "", "text");
  snprintf (key, sizeof key, "%s.signalled", name);
  observe_flag (key, result == -1);
  snprintf (key, sizeof key, "%s.condition", name);
  observe_string (key, result == -1 ? text : "", "text");
  snprintf (key, sizeof key, "%s.own", name);
  observe_flag (key, result == -1 && strncmp (text, "Unknown error", 13));
  snprintf (key, sizeof key, "%s.number", name);
  observe_integer (key, result == -1 ? number : -1);
}

static void *
new_socket (void *context, int type)
{
  void *socket = zmq_socket (context, type);
  if (!socket)
    fail_errno ("zmq_socket");
  set_option (socket, ZMQ_LINGER, 0);
  return socket;
}

void
binding_errors (void)
{
  void *context = zmq_ctx_new ();
  void *pull = new_socket (context, ZMQ_PULL), *second = new_socket (context, ZMQ_PULL);
  void *req = new_socket (context, ZMQ_REQ);
  char octet;
  set_option (pull, ZMQ_RCVTIMEO, 1);
  if (zmq_bind (pull, "inproc://errors"))
    fail_errno ("zmq_bind");
  step ("receive where nothing comes");
  observe_error ("eagain", zmq_recv (pull, &octet, 1, 0));
  step ("receive a reply before there was a request");
  observe_error ("efsm", zmq_recv (req, &octet, 1, 0));
  step ("bind a second socket to the same endpoint");
  observe_error ("eaddrinuse", zmq_bind (second, "inproc://errors"));
  step ("receive after the context was shut down");
  if (zmq_ctx_shutdown (context))
    fail_errno ("zmq_ctx_shutdown");
  observe_error ("eterm", zmq_recv (pull, &octet, 1, 0));
  close_socket (pull);
  close_socket (second);
  close_socket (req);
  terminate (context);
}
