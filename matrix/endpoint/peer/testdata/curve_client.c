/* A CURVE client in plain C: curve_client SOURCE SINK COUNT [SERVER PUBLIC SECRET].

   It pushes "knock" to SINK, then pulls COUNT messages from SOURCE, prints each
   in hexadecimal and pushes it on to SINK. What its sockets' monitors tell of
   the handshakes is printed too. It ends when all is done, or when both
   connections have failed; each is tried once. */
#include <errno.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { LIMIT_MS = 20000 };

static void
check (int good, const char *what)
{
  if (good)
    return;
  fprintf (stderr, "%s: %s\n", what, zmq_strerror (zmq_errno ()));
  exit (1);
}

typedef struct
{
  const char *name;
  void *socket, *monitor;
  int shaken, failed;
} side;

static side
connect_to (void *context, int type, const char *name, const char *address, char **keys)
{
  side s = { .name = name, .socket = zmq_socket (context, type) };
  check (s.socket != NULL, "zmq_socket");
  int once = -1, limit = LIMIT_MS;
  check (zmq_setsockopt (s.socket, ZMQ_RECONNECT_IVL, &once, sizeof once) == 0, "ZMQ_RECONNECT_IVL");
  check (zmq_setsockopt (s.socket, ZMQ_LINGER, &limit, sizeof limit) == 0, "ZMQ_LINGER");
  check (zmq_setsockopt (s.socket, ZMQ_SNDTIMEO, &limit, sizeof limit) == 0, "ZMQ_SNDTIMEO");
  if (keys)
    {
      check (zmq_setsockopt (s.socket, ZMQ_CURVE_SERVERKEY, keys[0], 41) == 0, "ZMQ_CURVE_SERVERKEY");
      check (zmq_setsockopt (s.socket, ZMQ_CURVE_PUBLICKEY, keys[1], 41) == 0, "ZMQ_CURVE_PUBLICKEY");
      check (zmq_setsockopt (s.socket, ZMQ_CURVE_SECRETKEY, keys[2], 41) == 0, "ZMQ_CURVE_SECRETKEY");
    }
  char monitor[64];
  snprintf (monitor, sizeof monitor, "inproc://monitor-%s", name);
  int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
               | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED;
  check (zmq_socket_monitor (s.socket, monitor, events) == 0, "zmq_socket_monitor");
  s.monitor = zmq_socket (context, ZMQ_PAIR);
  check (s.monitor && zmq_connect (s.monitor, monitor) == 0, "connect the monitor");
  check (zmq_connect (s.socket, address) == 0, address);
  return s;
}

static void
read_event (side *s)
{
  unsigned char event[6];
  char address[256];
  check (zmq_recv (s->monitor, event, sizeof event, 0) == 6, "read the monitor");
  check (zmq_recv (s->monitor, address, sizeof address, 0) >= 0, "read the monitor");
  uint16_t number;
  uint32_t value;
  memcpy (&number, event, 2);
  memcpy (&value, event + 2, 4);
  if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
    s->shaken = 1;
  else if (number == ZMQ_EVENT_DISCONNECTED)
    s->failed = 1;
  const char *name = number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED          ? "succeeded"
                     : number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ? "failed"
                     : number == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL  ? "failed-protocol"
                     : number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH      ? "failed-auth"
                                                                      : "disconnected";
  printf ("%s %s %#x\n", s->name, name, value);
}

int
main (int argc, char **argv)
{
  check (argc == 4 || argc == 7, "usage");
  char **keys = argc == 7 ? argv + 4 : NULL;
  int left = atoi (argv[3]);
  void *context = zmq_ctx_new ();
  side sink = connect_to (context, ZMQ_PUSH, "sink", argv[2], keys);
  side source = connect_to (context, ZMQ_PULL, "source", argv[1], keys);
  /* Whose handshake has failed already has nobody to send to. */
  check (zmq_send (sink.socket, "knock", 5, ZMQ_DONTWAIT) == 5 || zmq_errno () == EAGAIN, "knock");
  while ((left > 0 || !sink.shaken || !source.shaken) && !(sink.failed && source.failed))
    {
      zmq_pollitem_t items[] = { { sink.monitor, 0, ZMQ_POLLIN, 0 },
                                 { source.monitor, 0, ZMQ_POLLIN, 0 },
                                 { source.socket, 0, ZMQ_POLLIN, 0 } };
      int ready = zmq_poll (items, 3, LIMIT_MS);
      check (ready > 0, "nothing happens");
      if (items[0].revents)
        read_event (&sink);
      if (items[1].revents)
        read_event (&source);
      if (!items[2].revents)
        continue;
      zmq_msg_t message;
      zmq_msg_init (&message);
      check (zmq_msg_recv (&message, source.socket, 0) >= 0, "receive");
      const unsigned char *data = zmq_msg_data (&message);
      printf ("received ");
      for (size_t i = 0; i < zmq_msg_size (&message); i++)
        printf ("%02x", data[i]);
      putchar ('\n');
      check (zmq_msg_send (&message, sink.socket, 0) >= 0, "send");
      left--;
    }
  if (sink.failed)
    {
      int none = 0;
      zmq_setsockopt (sink.socket, ZMQ_LINGER, &none, sizeof none);
    }
  zmq_close (sink.monitor);
  zmq_close (source.monitor);
  zmq_close (sink.socket);
  zmq_close (source.socket);
  zmq_ctx_term (context);
  return 0;
}
