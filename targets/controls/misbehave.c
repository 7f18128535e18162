/* The negative controls: clients that misbehave, each in one known way, named by
   the technique. Most are the C client of targets/c with one lie: what it calls
   of libzmq comes through the __wrap_ functions below (ld's --wrap), and its main
   is called client_main here. target.yaml says what each must come to. */
#define _GNU_SOURCE
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

int client_main (int argc, char **argv);

/* The report, for those that write their own. */

static void
line (const char *text)
{
  puts (text);
  fflush (stdout);
}

static void
hello (const char *binding, int protocol)
{
  printf ("{\"type\":\"hello\",\"protocol\":%d,\"implementation\":\"misbehaving\",\"version\":\"1\",\"binding\":\"%s\","
          "\"binding_version\":\"\",\"libzmq\":\"\",\"threads\":true,\"pid\":%d,\"seed\":\"%s\",\"collector\":\"none\"}\n",
          protocol, binding, (int) getpid (), getenv ("ZM_SEED"));
  fflush (stdout);
}

static void
begin (void)
{
  hello ("libzmq", 1);
}

static void
done (void)
{
  line ("{\"type\":\"done\"}");
  _exit (0);
}

static void
failed (const char *reason)
{
  printf ("{\"type\":\"failed\",\"reason\":\"%s\",\"condition\":\"errno %d\"}\n", reason, errno);
  fflush (stdout);
  _exit (0);
}

/* Raw octets, whatever they are. */
static void
print (const char *octets, size_t length)
{
  while (length)
    {
      ssize_t written = write (STDOUT_FILENO, octets, length);
      if (written < 0)
        _exit (1);
      octets += written;
      length -= (size_t) written;
    }
}

/* Digests of as many messages as were to be received, of which none was. */
static void
observe_made_up (const char *key)
{
  int count = atoi (getenv ("ZM_PARAM_COUNT"));
  printf ("{\"type\":\"observe\",\"key\":\"%s\",\"unit\":\"digest\",\"value\":\"", key);
  for (int i = 0; i < count; i++)
    printf ("%s%08x", i ? "," : "", 0x5eed0000u + (unsigned) i);
  line ("\"}");
}

/* Ends. */

static void exits_silently (void) { _exit (0); }

static void
exits_139 (void)
{
  begin ();
  _exit (139); /* what a shell says of SIGSEGV */
}

static void
dies_of_segv (void)
{
  begin ();
  volatile int *volatile nowhere = (int *) 8;
  *nowhere = 1;
}

static void
dies_of_abrt (void)
{
  begin ();
  abort ();
}

static void
dies_of_ill (void)
{
  begin ();
  __builtin_trap ();
}

static void
dies_of_fpe (void)
{
  begin ();
  volatile int one = 1, zero = 0; /* both, or the compiler knows a quotient */
  volatile int quotient = one / zero;
  (void) quotient;
}

static void
dies_of_bus (void)
{
  begin ();
  /* A page of a file that has none. */
  int file = memfd_create ("empty", 0);
  volatile char *page = mmap (NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  (void) *page;
}

static void
dies_of_kill (void)
{
  begin ();
  kill (getpid (), SIGKILL);
}

static void
dies_of_pipe (void)
{
  int ends[2];
  begin ();
  signal (SIGPIPE, SIG_DFL);
  if (pipe (ends) || close (ends[0]))
    _exit (1);
  (void) !write (ends[1], "x", 1);
}

static void
eats_memory (void)
{
  begin ();
  for (;;)
    memset (malloc (1 << 20), 1, 1 << 20);
}

static void
hangs_asleep (void)
{
  begin ();
  for (;;)
    pause ();
}

static void
hangs_spinning (void)
{
  static volatile int for_ever = 1;
  begin ();
  while (for_ever)
    ;
}

static void
ignores_term (void)
{
  sigset_t all;
  signal (SIGTERM, SIG_IGN);
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, NULL);
  hangs_asleep ();
}

/* Leaves a process behind that is no child of anyone's and in no group of the
   probe's, then does what was asked for. */
static void
leaves_children (void)
{
  if (fork () == 0)
    {
      setsid ();
      if (fork () == 0)
        {
          close (STDIN_FILENO);
          close (STDOUT_FILENO);
          close (STDERR_FILENO);
          sleep (600);
        }
      _exit (0);
    }
}

/* Reports. */

static void
says_done (void)
{
  begin ();
  done ();
}

static void
prints_garbage (void)
{
  char garbage[4096];
  uint32_t x = 1;
  for (size_t k = 0; k < sizeof garbage; k++)
    {
      x = x * 69069 + 12345;
      garbage[k] = (char) (x >> 24);
    }
  print (garbage, sizeof garbage);
  _exit (0);
}

static void
prints_half_a_line (void)
{
  begin ();
  print ("{\"type\":\"observe\",\"key\":\"calls.ma", 33);
  _exit (0);
}

static void
prints_a_long_line (void)
{
  static char piece[1 << 20];
  memset (piece, 'x', sizeof piece);
  begin ();
  for (int i = 0; i < 100; i++)
    print (piece, sizeof piece);
  done ();
}

static void
prints_endless_lines (void)
{
  static const char step[] = "{\"type\":\"step\",\"text\":\"and on\"}\n";
  begin ();
  for (size_t printed = 0; printed < 1u << 30; printed += sizeof step - 1)
    print (step, sizeof step - 1);
  done ();
}

static void
prints_nuls (void)
{
  begin ();
  print ("{\"type\":\"step\",\"text\":\"a\0b\"}\n", 30);
  done ();
}

static void
prints_invalid_utf8 (void)
{
  begin ();
  line ("{\"type\":\"step\",\"text\":\"\xff\xfe\xc0\xaf\"}");
  done ();
}

static void
prints_escapes (void)
{
  begin ();
  line ("{\"type\":\"step\",\"text\":\"\\u001b[2J\\u001b]0;title\\u0007\"}");
  failed ("\\u001b[31mred\\u001b[0m \\u202eover\\u202c\\n::error::a workflow command");
}

static void
prints_html (void)
{
  begin ();
  failed ("<script>document.title='taken'</script><img src=x onerror=alert(1)>");
}

static void
speaks_another_protocol (void)
{
  hello ("libzmq", 2);
  done ();
}

static void
closes_first (void)
{
  line ("{\"type\":\"done\"}");
  begin ();
  _exit (0);
}

/* What is not the probe's to use up. */

static void
fills_the_disk (void)
{
  static char block[1 << 20];
  begin ();
  /* On a host a limit of one file's size ends it, not the disk's end. */
  signal (SIGXFSZ, SIG_IGN);
  const char *folder = getenv ("TMPDIR");
  char name[4096];
  snprintf (name, sizeof name, "%s/fill", folder ? folder : ".");
  int file = open (name, O_CREAT | O_WRONLY | O_TRUNC, 0600);
  if (file < 0)
    failed ("open a file");
  while (write (file, block, sizeof block) > 0)
    ;
  failed (errno == ENOSPC || errno == EFBIG ? "no room for more" : "write a file");
}

static void
opens_files (void)
{
  begin ();
  while (open ("/dev/null", O_RDONLY) >= 0)
    ;
  failed (errno == EMFILE ? "no further file may be opened" : "open a file");
}

/* Lanes. */

static void *
connected (void *context, int type, const char *variable)
{
  void *socket = zmq_socket (context, type);
  if (!socket || zmq_connect (socket, getenv (variable)))
    failed ("connect");
  return socket;
}

/* Claims what nobody did. */
/* A true report, of another attempt. */
static void
replays_a_report (void)
{
  setenv ("ZM_SEED", "4711", 1);
}

static void
claims_all (void)
{
  begin ();
  observe_made_up ("received.digests");
  done ();
}

static void
floods_the_endpoint (void)
{
  static char body[1024];
  begin ();
  void *context = zmq_ctx_new ();
  void *push = connected (context, ZMQ_PUSH, "ZM_ENDPOINT_SINK");
  for (int i = 0; i < 100000; i++)
    if (zmq_send (push, body, sizeof body, 0) < 0)
      failed ("zmq_send");
  zmq_close (push);
  zmq_ctx_term (context);
  observe_made_up ("received.digests");
  done ();
}

/* Replies before it has read a request, and never reads one. The REQ socket may
   drop the connection at the first, with some yet to be sent: those are given up
   after a second. */
static void
answers_before_it_is_asked (void)
{
  begin ();
  void *context = zmq_ctx_new ();
  void *dealer = connected (context, ZMQ_DEALER, "ZM_ENDPOINT_REQUESTER");
  int count = atoi (getenv ("ZM_PARAM_COUNT")), linger_ms = 1000;
  zmq_setsockopt (dealer, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
  for (int i = 0; i < count; i++)
    if (zmq_send (dealer, "", 0, ZMQ_SNDMORE) < 0 || zmq_send (dealer, "unasked", 7, 0) < 0)
      failed ("zmq_send");
  zmq_close (dealer);
  zmq_ctx_term (context);
  observe_made_up ("replies.digests");
  observe_made_up ("requests.digests");
  done ();
}

static _Atomic int thread_lost;

static void
end_this_thread (void *data, void *hint)
{
  (void) data;
  (void) hint;
  thread_lost = 1;
  syscall (SYS_exit, 0);
}

/* libzmq's I/O thread ends in a free function; the rest goes on. */
static void
loses_its_io_thread (void)
{
  static char body[1024];
  begin ();
  void *context = zmq_ctx_new ();
  void *push = connected (context, ZMQ_PUSH, "ZM_ENDPOINT_SINK");
  zmq_msg_t message;
  zmq_msg_init_data (&message, body, sizeof body, end_this_thread, NULL);
  if (zmq_msg_send (&message, push, 0) < 0)
    failed ("zmq_msg_send");
  for (int ms = 0; ms < 5000 && !thread_lost; ms++)
    zm_sleep_us (1000);
  if (!thread_lost)
    failed ("the free function was not called");
  for (int i = 1; i < atoi (getenv ("ZM_PARAM_COUNT")); i++)
    zmq_send (push, body, sizeof body, ZMQ_DONTWAIT);
  observe_made_up ("received.digests");
  done ();
}

/* Connects to every port of the endpoint's, whosever lane it is, and says
   nothing there; then does what was asked for. On a host the endpoint's address
   is everybody's, and its own lane's ports must do. */
static void
connects_to_every_port (void)
{
  char host[256], service[8];
  const char *at = getenv ("ZM_ENDPOINT") + strlen ("tcp://");
  snprintf (host, sizeof host, "%.*s", (int) (strrchr (at, ':') - at), at);
  struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
  if (getaddrinfo (host, strrchr (at, ':') + 1, &hints, &found))
    failed ("find the endpoint");
  struct sockaddr_in address = *(struct sockaddr_in *) found->ai_addr;
  int everybodys = (ntohl (address.sin_addr.s_addr) >> 24) == 127;
  for (int port = 1; port < 65536; port++)
    {
      snprintf (service, sizeof service, "%d", port);
      if (everybodys && strcmp (service, strrchr (at, ':') + 1))
        continue;
      int connection = socket (AF_INET, SOCK_STREAM, 0);
      address.sin_port = htons ((uint16_t) port);
      (void) !connect (connection, (struct sockaddr *) &address, sizeof address);
      close (connection);
    }
  freeaddrinfo (found);
}

/* Lies between the C client's parts, and between it and libzmq. */

static int answers, wrong_bytes, copies, frees_twice, frees_never, frees_early;

static void answers_for_another (void) { answers = 1; }
static void lies_about_bytes (void) { wrong_bytes = 1; }
static void lies_about_copies (void) { copies = 1; }
static void lies_twice (void) { frees_twice = 1; }
static void lies_never (void) { frees_never = 1; }
static void lies_early (void) { frees_early = 1; }

void __real_payload_fill (unsigned char *octets, uint64_t size, uint64_t index);
int __real_zmq_send (void *socket, const void *octets, size_t size, int flags);
int __real_zmq_msg_init_data (zmq_msg_t *message, void *data, size_t size, zmq_free_fn *free_function, void *hint);

/* The bytes that another attempt would have to send, in a report of this one. */
void
__wrap_payload_fill (unsigned char *octets, uint64_t size, uint64_t index)
{
  if (answers)
    zm_fill (octets, size, (uint32_t) (strtoul (getenv ("ZM_SEED"), NULL, 10) + 1), index);
  else
    __real_payload_fill (octets, size, index);
}

int
__wrap_zmq_send (void *socket, const void *octets, size_t size, int flags)
{
  if (!wrong_bytes || !size)
    return __real_zmq_send (socket, octets, size, flags);
  unsigned char *changed = malloc (size);
  memcpy (changed, octets, size);
  changed[size - 1] ^= 1;
  int sent = __real_zmq_send (socket, changed, size, flags);
  free (changed);
  return sent;
}

static zmq_free_fn *clients_function;

static void
free_twice (void *data, void *hint)
{
  clients_function (data, hint);
  clients_function (data, hint);
}

static void
free_nothing (void *data, void *hint)
{
  (void) data;
  (void) hint;
}

/* A copy that was sent instead of the client's memory. */
struct copy
{
  zmq_free_fn *function;
  void *data, *hint;
  unsigned char octets[];
};

static void
release_copy (void *octets, void *hint)
{
  struct copy *copy = hint;
  (void) octets;
  if (copy->function)
    copy->function (copy->data, copy->hint);
  free (copy);
}

int
__wrap_zmq_msg_init_data (zmq_msg_t *message, void *data, size_t size, zmq_free_fn *free_function, void *hint)
{
  clients_function = free_function;
  if (frees_twice)
    return __real_zmq_msg_init_data (message, data, size, free_twice, hint);
  if (frees_never)
    return __real_zmq_msg_init_data (message, data, size, free_nothing, hint);
  struct copy *copy = malloc (sizeof *copy + size);
  *copy = (struct copy){ free_function, data, hint };
  if (copies)
    memcpy (copy->octets, data, size);
  else if (frees_early && (uintptr_t) hint <= strtoul (getenv ("ZM_PARAM_COUNT"), NULL, 10))
    {
      /* What may lie there when the message goes out at last. The one over inproc,
         which comes after the count, is still written to by the client. */
      memset (copy->octets, 0xDD, size);
      copy->function = NULL;
      free_function (data, hint);
    }
  else
    {
      free (copy);
      return __real_zmq_msg_init_data (message, data, size, free_function, hint);
    }
  return __real_zmq_msg_init_data (message, copy->octets, size, release_copy, copy);
}

/* By name. Those with `as` go on as the client of that technique. */
static const struct
{
  const char *name;
  void (*misbehave) (void);
  const char *as;
} ways[] = {
  { "exits-silently", exits_silently, NULL },
  { "exits-139", exits_139, NULL },
  { "dies-of-segv", dies_of_segv, NULL },
  { "dies-of-abrt", dies_of_abrt, NULL },
  { "dies-of-ill", dies_of_ill, NULL },
  { "dies-of-fpe", dies_of_fpe, NULL },
  { "dies-of-bus", dies_of_bus, NULL },
  { "dies-of-kill", dies_of_kill, NULL },
  { "dies-of-pipe", dies_of_pipe, NULL },
  { "eats-memory", eats_memory, NULL },
  { "hangs-asleep", hangs_asleep, NULL },
  { "hangs-spinning", hangs_spinning, NULL },
  { "ignores-term", ignores_term, NULL },
  { "leaves-children", leaves_children, "plain" },
  { "says-done", says_done, NULL },
  { "prints-garbage", prints_garbage, NULL },
  { "prints-half-a-line", prints_half_a_line, NULL },
  { "prints-a-long-line", prints_a_long_line, NULL },
  { "prints-endless-lines", prints_endless_lines, NULL },
  { "prints-nuls", prints_nuls, NULL },
  { "prints-invalid-utf8", prints_invalid_utf8, NULL },
  { "prints-escapes", prints_escapes, NULL },
  { "prints-html", prints_html, NULL },
  { "speaks-another-protocol", speaks_another_protocol, NULL },
  { "closes-first", closes_first, NULL },
  { "replays-a-report", replays_a_report, "plain" },
  { "fills-the-disk", fills_the_disk, NULL },
  { "opens-files", opens_files, NULL },
  { "claims-all", claims_all, NULL },
  { "answers-for-another", answers_for_another, "plain" },
  { "floods-the-endpoint", floods_the_endpoint, NULL },
  { "answers-before-it-is-asked", answers_before_it_is_asked, NULL },
  { "loses-its-io-thread", loses_its_io_thread, NULL },
  { "connects-to-every-port", connects_to_every_port, "plain" },
  { "sends-wrong-bytes", lies_about_bytes, "plain" },
  { "copies", lies_about_copies, "plain" },
  { "frees-twice", lies_twice, "plain" },
  { "frees-never", lies_never, "plain" },
  { "frees-early", lies_early, "plain" },
};

/* The two that lie about what they know have bindings of their own, for it is
   the client that is not trusted then. */
static int
about_everything (const char *binding)
{
  hello (binding, 1);
  if (!strcmp (binding, "denies-everything"))
    line ("{\"type\":\"unsupported\",\"reason\":\"there is no way to do that\"}");
  else if (!strcmp (getenv ("ZM_FEATURE"), "callback/same-thread"))
    line ("{\"type\":\"unsupported\",\"reason\":\"there are no callbacks\"}");
  else
    line ("{\"type\":\"done\"}");
  return 0;
}

int
main (int argc, char **argv)
{
  const char *technique = getenv ("ZM_TECHNIQUE");
  if (argc == 2 && argv[1][0] != '-')
    return about_everything (argv[1]);
  for (size_t k = 0; technique && k < sizeof ways / sizeof *ways; k++)
    if (!strcmp (ways[k].name, technique))
      {
        ways[k].misbehave ();
        if (!ways[k].as)
          return 1; /* none of them comes back */
        setenv ("ZM_TECHNIQUE", ways[k].as, 1);
      }
  return client_main (argc, argv);
}
