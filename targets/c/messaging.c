/* messaging: the patterns, with ordinary copying sends and receives. */
#include "probe.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Sends payload of that index as one frame. */
static void
send_payload (void *socket, uint64_t index, uint64_t size, int flags)
{
  unsigned char *body = allocate (size);
  payload_fill (body, size, index);
  if (zmq_send (socket, body, size, flags) < 0)
    fail_errno ("zmq_send");
  free (body);
}

static void
send_text (void *socket, const char *text, int flags)
{
  if (zmq_send (socket, text, strlen (text), flags) < 0)
    fail_errno ("zmq_send");
}

/* Receives one frame, to be closed. Returns whether more of its message follow. */
static int
receive_frame (void *socket, zmq_msg_t *frame)
{
  zmq_msg_init (frame);
  if (zmq_msg_recv (frame, socket, 0) < 0)
    fail_errno ("zmq_msg_recv");
  return zmq_msg_more (frame);
}

static int
frame_is (zmq_msg_t *frame, const char *text)
{
  return zmq_msg_size (frame) == strlen (text)
         && !memcmp (zmq_msg_data (frame), text, strlen (text));
}

static void
append_digest (struct text *digests, const char *separator, zmq_msg_t *frame)
{
  append (digests, "%s%08x", digests->length ? separator : "",
          crc32_of (zmq_msg_data (frame), zmq_msg_size (frame)));
}

/* Receives a whole message: digests of its frames joined by `+`. Returns the
   number of frames. */
static uint64_t
receive_message (void *socket, struct text *digests)
{
  uint64_t frames = 0;
  int more;
  do
    {
      zmq_msg_t frame;
      more = receive_frame (socket, &frame);
      append_digest (digests, frames ? "+" : ",", &frame);
      zmq_msg_close (&frame);
      frames++;
    }
  while (more);
  return frames;
}

void
messaging_req_rep (void)
{
  uint64_t count = parameter ("count");
  struct numbers sizes = parameter_list ("sizes");
  struct text replies = { 0 }, requests = { 0 };
  void *context = zmq_ctx_new ();
  void *req = connected_socket (context, ZMQ_REQ, lane_endpoint ("replier"));
  void *rep = connected_socket (context, ZMQ_REP, lane_endpoint ("requester"));
  for (uint64_t i = 0; i < count; i++)
    {
      step ("request %lu", (unsigned long) i);
      send_payload (req, i, sizes.at[i % sizes.length], 0);
      receive_message (req, &replies);
    }
  for (uint64_t i = 0; i < count; i++)
    {
      step ("reply %lu", (unsigned long) i);
      receive_message (rep, &requests);
      send_payload (rep, 100000 + i, sizes.at[i % sizes.length], 0);
    }
  close_socket (req);
  close_socket (rep);
  terminate (context);
  observe_string ("replies.digests", text_of (&replies), "digest");
  observe_string ("requests.digests", text_of (&requests), "digest");
  free (replies.at);
  free (requests.at);
  free (sizes.at);
}

/* messaging/push-pull, and messaging/multipart where the parameter parts is
   given. */
static void
push_and_pull (uint64_t parts, int observe_parts)
{
  uint64_t count = parameter ("count");
  struct numbers sizes = parameter_list ("sizes");
  struct text digests = { 0 }, frames = { 0 };
  void *context = zmq_ctx_new ();
  void *push = connected_socket (context, ZMQ_PUSH, lane_endpoint ("sink"));
  void *pull = connected_socket (context, ZMQ_PULL, lane_endpoint ("source"));
  for (uint64_t i = 0; i < count; i++)
    {
      step ("send message %lu", (unsigned long) i);
      for (uint64_t j = 0; j < parts; j++)
        send_payload (push, parts == 1 ? i : i * 16 + j,
                      sizes.at[(i * parts + j) % sizes.length],
                      j + 1 < parts ? ZMQ_SNDMORE : 0);
    }
  for (uint64_t i = 0; i < count; i++)
    {
      step ("receive message %lu", (unsigned long) i);
      append (&frames, "%s%lu", i ? "," : "",
              (unsigned long) receive_message (pull, &digests));
    }
  close_socket (push);
  close_socket (pull);
  terminate (context);
  observe_string ("received.digests", text_of (&digests), "digest");
  if (observe_parts)
    observe_string ("received.parts", text_of (&frames), "list");
  free (digests.at);
  free (frames.at);
  free (sizes.at);
}

void
messaging_push_pull (void)
{
  push_and_pull (1, 0);
}

void
messaging_multipart (void)
{
  push_and_pull (parameter ("parts"), 1);
}

/* Publishes `sync` until the endpoint's `synced` shows that the subscriptions
   of both sides are in force. */
static void
synchronise (void *sub, void *pub)
{
  zmq_pollitem_t item = { .socket = sub, .events = ZMQ_POLLIN };
  step ("wait for synced");
  for (int tries = 0; tries < 500; tries++)
    {
      send_text (pub, "sync", 0);
      if (zmq_poll (&item, 1, 20) < 0)
        fail_errno ("zmq_poll");
      if (item.revents & ZMQ_POLLIN)
        return;
    }
  fail ("", "no synced came within 10 s");
}

void
messaging_pub_sub (void)
{
  uint64_t count = parameter ("count");
  struct numbers sizes = parameter_list ("sizes");
  struct text digests = { 0 };
  uint64_t other = 0;
  void *context = zmq_ctx_new ();
  void *sub = connected_socket (context, ZMQ_SUB, lane_endpoint ("pubsub"));
  if (zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "match", 5)
      || zmq_setsockopt (sub, ZMQ_SUBSCRIBE, "synced", 6))
    fail_errno ("subscribe");
  void *pub = connected_socket (context, ZMQ_PUB, lane_endpoint ("pubsub-in"));

  synchronise (sub, pub);
  for (uint64_t i = 0; i < 2 * count; i++)
    {
      step ("publish message %lu", (unsigned long) i);
      send_text (pub, i % 2 ? "other" : "match", ZMQ_SNDMORE);
      send_payload (pub, i, sizes.at[i % sizes.length], 0);
    }
  send_text (pub, "end", 0);

  step ("receive until match.end");
  for (int ended = 0; !ended;)
    {
      zmq_msg_t topic, body;
      if (receive_frame (sub, &topic))
        {
          int more = receive_frame (sub, &body);
          if (more)
            fail ("", "a message of more than two frames was received");
          if (frame_is (&topic, "match"))
            append_digest (&digests, ",", &body);
          else
            other++;
          zmq_msg_close (&body);
        }
      else if (frame_is (&topic, "match.end"))
        ended = 1;
      else if (!frame_is (&topic, "synced"))
        other++;
      zmq_msg_close (&topic);
    }
  close_socket (sub);
  close_socket (pub);
  terminate (context);
  observe_string ("received.digests", text_of (&digests), "digest");
  observe_count ("received.other", other);
  free (digests.at);
  free (sizes.at);
}
