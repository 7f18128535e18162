/* The C client: the positive control, and the probe to read before writing one
   in another language. This file has the table of features, the report and what
   the features share; they are in callback.c, static_area.c, zero_copy.c,
   messaging.c and binding.c. */
#define _GNU_SOURCE
#include "probe.h"
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

/* The table of features. */

struct feature
{
  const char *name;
  const char *techniques[3];
  void (*function) (void);
};

static const struct feature features[] = {
  { "callback/same-thread", { "plain" }, callback_same_thread },
  { "callback/foreign-thread", { "plain", "unblock-signals" }, callback_foreign_thread },
  { "callback/concurrent-threads", { "plain", "unblock-signals" }, callback_concurrent_threads },
  { "callback/masked-thread", { "plain", "unblock-signals" }, callback_masked_thread },
  { "callback/io-thread", { "plain", "unblock-signals" }, callback_io_thread },
  { "callback/io-thread-gc", { "plain", "unblock-signals" }, callback_io_thread },
  { "static-area/address-stable", { "plain" }, static_area_address_stable },
  { "static-area/shared-view", { "plain" }, static_area_shared_view },
  { "static-area/release", { "plain" }, static_area_release },
  { "static-area/pin", { "plain" }, static_area_pin },
  { "zero-copy/callback-free", { "plain", "unblock-signals" }, zero_copy_callback_free },
  { "zero-copy/deferred-free", { "c-queue", "plain" }, zero_copy_deferred_free },
  { "zero-copy/native-free", { "plain" }, zero_copy_native_free },
  { "zero-copy/kept-alive", { "plain" }, zero_copy_kept_alive },
  { "zero-copy/wire", { "plain" }, zero_copy_kept_alive },
  { "zero-copy/receive-in-place", { "plain" }, zero_copy_receive_in_place },
  { "messaging/req-rep", { "plain" }, messaging_req_rep },
  { "messaging/push-pull", { "plain" }, messaging_push_pull },
  { "messaging/multipart", { "plain" }, messaging_multipart },
  { "messaging/pub-sub", { "plain" }, messaging_pub_sub },
  { "binding/loads", { "plain" }, binding_loads },
  { "binding/version", { "plain" }, binding_version },
  { "binding/message-size", { "plain" }, binding_message_size },
  { "binding/errors", { "plain" }, binding_errors },
};

/* The task. */

static const char *
variable (const char *name)
{
  const char *value = getenv (name);
  return value ? value : "";
}

/* The variable PREFIX + key, in upper case and with `_` for `-`. */
static const char *
variable_of (const char *prefix, const char *key)
{
  char name[100];
  snprintf (name, sizeof name, "%s%s", prefix, key);
  for (char *c = name + strlen (prefix); *c; c++)
    *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char) (*c - 'a' + 'A') : *c;
  return variable (name);
}

/* The decimal number at *text, which is moved past it. */
static uint64_t
number_at (const char **text, const char *what)
{
  char *end;
  errno = 0;
  uint64_t number = strtoull (*text, &end, 10);
  if (**text < '0' || **text > '9' || errno)
    fail ("", "%s is no number: \"%s\"", what, *text);
  *text = end;
  return number;
}

static uint64_t
whole_number (const char *text, const char *what)
{
  uint64_t number = number_at (&text, what);
  if (*text)
    fail ("", "%s has something after the number: \"%s\"", what, text);
  return number;
}

uint32_t
task_seed (void)
{
  return (uint32_t) whole_number (variable ("ZM_SEED"), "ZM_SEED");
}

int
technique_is (const char *name)
{
  return !strcmp (variable ("ZM_TECHNIQUE"), name);
}

uint64_t
parameter (const char *key)
{
  return whole_number (variable_of ("ZM_PARAM_", key), key);
}

struct numbers
parameter_list (const char *key)
{
  const char *text = variable_of ("ZM_PARAM_", key);
  struct numbers numbers = { 0, allocate ((strlen (text) + 1) * sizeof (uint64_t)) };
  numbers.at[numbers.length++] = number_at (&text, key);
  while (*text == ',')
    {
      text++;
      numbers.at[numbers.length++] = number_at (&text, key);
    }
  if (*text)
    fail ("", "%s is no list of numbers: \"%s\"", key, text);
  return numbers;
}

const char *
lane_endpoint (const char *name)
{
  const char *endpoint
      = name ? variable_of ("ZM_ENDPOINT_", name) : variable ("ZM_ENDPOINT");
  if (!*endpoint)
    fail ("", "the lane has no socket %s", name ? name : "at all");
  return endpoint;
}

/* The report. */

static void
put_unit (unsigned unit)
{
  printf ("\\u%04x", unit);
}

/* A JSON string in ASCII. What is not UTF-8 becomes U+FFFD. */
static void
put_string (const char *string)
{
  const unsigned char *c = (const unsigned char *) string;
  putchar ('"');
  while (*c)
    {
      unsigned code = *c++;
      int more = code < 0x80 ? 0 : code >= 0xF0 ? 3 : code >= 0xE0 ? 2 : code >= 0xC2 ? 1 : -1;
      if (more > 0)
        code &= 0x3Fu >> more;
      for (; more > 0; more--)
        {
          if ((*c & 0xC0) != 0x80)
            more = -1;
          else
            code = code << 6 | (*c++ & 0x3F);
        }
      if (more < 0 || code > 0x10FFFF)
        put_unit (0xFFFD);
      else if (code > 0xFFFF)
        {
          put_unit (0xD800 + ((code - 0x10000) >> 10));
          put_unit (0xDC00 + ((code - 0x10000) & 0x3FF));
        }
      else if (code < 0x20 || code > 0x7E)
        put_unit (code);
      else if (code == '"' || code == '\\')
        printf ("\\%c", (int) code);
      else
        putchar ((int) code);
    }
  putchar ('"');
}

static void
end_line (void)
{
  puts ("}");
  fflush (stdout);
}

static void
hello (void)
{
  int major, minor, patch;
  zmq_version (&major, &minor, &patch);
  printf ("{\"type\":\"hello\",\"protocol\":1,\"implementation\":\"GCC\",\"version\":");
  put_string (__VERSION__);
  printf (",\"binding\":\"libzmq\",\"binding_version\":\"\",\"libzmq\":\"%d.%d.%d\","
          "\"threads\":true,\"pid\":%d,\"collector\":\"none\",\"seed\":",
          major, minor, patch, (int) getpid ());
  put_string (variable ("ZM_SEED"));
  end_line ();
}

static char *
formatted (const char *format, va_list arguments)
{
  char *line;
  if (vasprintf (&line, format, arguments) < 0)
    abort ();
  return line;
}

void
step (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  char *what = formatted (format, arguments);
  va_end (arguments);
  printf ("{\"type\":\"step\",\"text\":");
  put_string (what);
  end_line ();
  free (what);
}

static void
begin_observation (const char *key, const char *unit)
{
  printf ("{\"type\":\"observe\",\"key\":");
  put_string (key);
  printf (",\"unit\":\"%s\",\"value\":", unit);
}

static void
observe_whole (const char *key, int64_t value, const char *unit)
{
  begin_observation (key, unit);
  printf ("%" PRId64, value);
  end_line ();
}

void
observe_integer (const char *key, int64_t value)
{
  observe_whole (key, value, "count");
}

void
observe_size (const char *key, int64_t octets)
{
  observe_whole (key, octets, "bytes");
}

void
observe_count (const char *key, uint64_t value)
{
  observe_integer (key, (int64_t) value);
}

void
observe_flag (const char *key, int value)
{
  begin_observation (key, "flag");
  printf (value ? "true" : "false");
  end_line ();
}

void
observe_thread (const char *key, int id)
{
  begin_observation (key, "thread");
  printf ("%d", id);
  end_line ();
}

void
observe_address (const char *key, const void *address)
{
  begin_observation (key, "address");
  printf ("\"0x%" PRIxPTR "\"", (uintptr_t) address);
  end_line ();
}

void
observe_string (const char *key, const char *value, const char *unit)
{
  begin_observation (key, unit);
  put_string (value);
  end_line ();
}

static void
unsupported (const char *what, const char *name)
{
  char *reason;
  if (asprintf (&reason, "unknown %s %s", what, name) < 0)
    abort ();
  printf ("{\"type\":\"unsupported\",\"reason\":");
  put_string (reason);
  end_line ();
  free (reason);
}

void
fail (const char *condition, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  char *reason = formatted (format, arguments);
  va_end (arguments);
  printf ("{\"type\":\"failed\",\"reason\":");
  put_string (reason);
  printf (",\"condition\":");
  put_string (condition);
  end_line ();
  /* Not exit: the destructors of libraries have no business with threads that
     are still at work. */
  _exit (0);
}

void
fail_errno (const char *attempted)
{
  char condition[20];
  int number = zmq_errno ();
  snprintf (condition, sizeof condition, "errno %d", number);
  fail (condition, "%s: %s", attempted, zmq_strerror (number));
}

void
append (struct text *text, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  char *more = formatted (format, arguments);
  va_end (arguments);
  size_t length = strlen (more);
  text->at = realloc (text->at, text->length + length + 1);
  if (!text->at)
    abort ();
  memcpy (text->at + text->length, more, length + 1);
  text->length += length;
  free (more);
}

const char *
text_of (const struct text *text)
{
  return text->at ? text->at : "";
}

/* Payload: not the fixture's, for the two are to check each other. */

void
payload_fill (unsigned char *octets, uint64_t size, uint64_t index)
{
  uint32_t x = task_seed () + (uint32_t) index * 40503;
  for (uint64_t k = 0; k < size; k++)
    if (k < 4093)
      {
        x = x * 69069 + 12345;
        octets[k] = (unsigned char) (x >> 24);
      }
    else
      octets[k] = octets[k - 4093];
}

uint64_t
payload_mismatches (const unsigned char *octets, uint64_t size, uint64_t index)
{
  unsigned char head[4093];
  uint64_t wrong = 0;
  payload_fill (head, sizeof head, index);
  for (uint64_t k = 0; k < size; k++)
    wrong += octets[k] != head[k % sizeof head];
  return wrong;
}

uint32_t
crc32_of (const unsigned char *octets, uint64_t size)
{
  static uint32_t table[256];
  if (!table[1])
    for (uint32_t n = 0; n < 256; n++)
      {
        table[n] = n;
        for (int bit = 0; bit < 8; bit++)
          table[n] = (table[n] >> 1) ^ (table[n] & 1 ? 0xEDB88320u : 0);
      }
  uint32_t crc = 0xFFFFFFFFu;
  for (uint64_t k = 0; k < size; k++)
    crc = table[(crc ^ octets[k]) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

/* What the features share. */

void *
allocate (uint64_t size)
{
  void *block = malloc (size ? size : 1);
  if (!block)
    fail_errno ("allocate memory");
  return block;
}

void
churn (void)
{
  static void *kept[64];
  static const size_t sizes[] = { 24, 200, 1700, 13000, 100000 };
  size_t kept_length = 0;
  for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
    {
      free (kept[k]);
      kept[k] = NULL;
    }
  for (size_t total = 0, k = 0; total < 8 << 20; total += sizes[k++ % 5])
    {
      void *block = allocate (sizes[k % 5]);
      memset (block, (int) k, sizes[k % 5]);
      if (k % 7 == 0 && kept_length < sizeof kept / sizeof *kept)
        kept[kept_length++] = block;
      else
        free (block);
    }
}

int
wait_for (const _Atomic uint64_t *counter, uint64_t target)
{
  uint64_t last = *counter;
  for (int ms = 0; ms < 10000 && *counter < target; ms++)
    {
      zm_sleep_us (1000);
      if (*counter != last)
        {
          last = *counter;
          ms = 0;
        }
    }
  return *counter >= target;
}

void *
connected_socket (void *context, int type, const char *endpoint)
{
  void *socket = zmq_socket (context, type);
  if (!socket)
    fail_errno ("zmq_socket");
  set_option (socket, ZMQ_LINGER, -1);
  set_option (socket, ZMQ_RCVTIMEO, 10000);
  if (zmq_connect (socket, endpoint))
    fail_errno ("zmq_connect");
  return socket;
}

void
set_option (void *socket, int option, int value)
{
  if (zmq_setsockopt (socket, option, &value, sizeof value))
    fail_errno ("zmq_setsockopt");
}

void
close_socket (void *socket)
{
  if (zmq_close (socket))
    fail_errno ("zmq_close");
}

void
terminate (void *context)
{
  step ("terminate the context");
  if (zmq_ctx_term (context))
    fail_errno ("zmq_ctx_term");
}

static const struct feature *
find_feature (const char *name)
{
  for (size_t k = 0; k < sizeof features / sizeof *features; k++)
    if (!strcmp (features[k].name, name))
      return &features[k];
  return NULL;
}

int
main (int argc, char **argv)
{
  if (argc == 2 && !strcmp (argv[1], "--version"))
    {
      puts (__VERSION__);
      return 0;
    }
  hello ();
  const char *protocol = variable ("ZM_PROTOCOL");
  if (strcmp (protocol, "1"))
    fail ("", "protocol %s is not spoken here", protocol);
  const struct feature *feature = find_feature (variable ("ZM_FEATURE"));
  if (!feature)
    {
      unsupported ("feature", variable ("ZM_FEATURE"));
      return 0;
    }
  int known = 0;
  for (int k = 0; k < 3 && feature->techniques[k]; k++)
    known |= technique_is (feature->techniques[k]);
  if (!known)
    {
      unsupported ("technique", variable ("ZM_TECHNIQUE"));
      return 0;
    }
  feature->function ();
  printf ("{\"type\":\"done\"");
  end_line ();
  return 0;
}
