/* Tests of the fixture and the witness. Run by test.sh with the witness
   preloaded and ZM_WITNESS naming a file that is not there yet. */
#define _GNU_SOURCE
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void
check (int holds, const char *claim, int line)
{
  printf ("%s %s\n", holds ? "ok  " : "FAIL", claim);
  if (!holds)
    {
      fprintf (stderr, "support_test.c:%d: does not hold: %s\n", line, claim);
      failures++;
    }
}

#define CHECK(condition, claim) check (condition, claim, __LINE__)

/* Payload and memory */

static void
test_memory (void)
{
  static const unsigned char head[] = { 0x00, 0x4f, 0xbf, 0xa4, 0x8d, 0x04, 0x93, 0xbd };
  unsigned char octets[10000];
  zm_fill (octets, 8, 1, 0);
  CHECK (!memcmp (octets, head, 8), "payload (1, 0, 8) is the check value");
  memset (octets, 0xEE, sizeof octets);
  zm_fill (octets, 9999, 7, 3);
  CHECK (octets[9999] == 0xEE, "filling stays within its size");
  CHECK (!memcmp (octets, octets + 4093, 4093), "payload repeats after 4093");
  CHECK (zm_mismatches (octets, 9999, 7, 3) == 0, "what was filled matches");
  octets[9998] ^= 1;
  octets[0] ^= 1;
  CHECK (zm_mismatches (octets, 9999, 7, 3) == 2, "two changed bytes are two mismatches");
  CHECK (zm_mismatches (octets, 4000, 7, 4) > 3900, "another index is another payload");
  zm_fill (octets, 8, (1ull << 32) - 40503, 1);
  unsigned char wrapped[8];
  zm_fill (wrapped, 8, 0, 0);
  CHECK (!memcmp (octets, wrapped, 8), "seed and index wrap at 2^32");
  CHECK (zm_crc32 ("123456789", 9) == 0xcbf43926, "the CRC's check value");
  CHECK (zm_crc32 ("", 0) == 0, "the CRC of nothing is 0");
  zm_poke (octets, 5, 0x1A7);
  CHECK (zm_peek (octets, 5) == 0xA7, "poke and peek take the low octet");
  char *block = zm_allocate (100);
  CHECK (block && zm_libc_free (), "libc's allocator is found");
  zm_fill (block, 100, 1, 1);
  zm_release (block);
}

/* Calls */

#define SEQUENCES 8000

static _Atomic int seen[SEQUENCES];
static _Atomic uint64_t values_or, values_and;
static _Atomic int worst_mask;

static int
blocked_now (void)
{
  sigset_t mask;
  int count = 0;
  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  for (int number = 1; number <= 31; number++)
    count += sigismember (&mask, number) == 1;
  return count;
}

static uint64_t
right (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  *cell = sequence;
  seen[sequence]++;
  values_or |= value;
  values_and &= value;
  if (blocked_now () > worst_mask)
    worst_mask = blocked_now ();
  return value ^ sequence;
}

static uint64_t
no_cell (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  (void) cell;
  return value ^ sequence;
}

static uint64_t
narrow (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  *cell = sequence;
  return (uint32_t) (value ^ sequence);
}

static uint64_t
ends_its_thread (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  if (sequence == 3)
    pthread_exit (NULL);
  return right (sequence, value, cell);
}

static int
each_seen_once (int sequences)
{
  for (int k = 0; k < sequences; k++)
    if (seen[k] != 1)
      return 0;
  return 1;
}

static void
reset (void)
{
  memset ((void *) seen, 0, sizeof seen);
  values_or = 0;
  values_and = ~0ull;
  worst_mask = 0;
}

static void
test_calls (void)
{
  uint64_t made, good;
  char self[16];
  snprintf (self, sizeof self, "%d", zm_thread_id ());

  reset ();
  zm_call_here (right, 1000, 42);
  CHECK (zm_calls_made () == 1000 && zm_calls_right () == 1000 && each_seen_once (1000),
         "a thousand calls here are a thousand right calls");
  CHECK (values_or == ~0ull && values_and == 0, "values use all 64 bits");
  CHECK (!strcmp (zm_callers (), self), "the caller is this thread");

  made = zm_calls_made (), good = zm_calls_right ();
  zm_call_here (no_cell, 10, 42);
  CHECK (zm_calls_made () - made == 10 && zm_calls_right () == good,
         "a function that leaves the cell alone is not right");
  zm_call_here (narrow, 10, 42);
  CHECK (zm_calls_right () - good <= 1, "a result cut to 32 bits is not right");

  reset ();
  made = zm_calls_made (), good = zm_calls_right ();
  CHECK (zm_call_threads (right, 4, 2000, 0, 0, 9) == 0, "four threads run");
  CHECK (zm_calls_made () - made == 8000 && zm_calls_right () - good == 8000
             && each_seen_once (8000),
         "every call of four threads is made and seen once");
  CHECK (worst_mask == 0 && zm_mask_blocked () == 0, "they block no signal");
  CHECK (!zm_threads_running (), "none runs after the join");

  reset ();
  CHECK (zm_start_threads (right, 1, 50, 1000, 1, 9) == 0, "a masked thread starts");
  CHECK (zm_threads_running (), "it runs while it has calls left");
  CHECK (zm_start_threads (right, 1, 1, 0, 0, 9) == EBUSY
             && zm_call_threads (right, 1, 1, 0, 0, 9) == EBUSY,
         "a second set is refused meanwhile");
  zm_join_threads ();
  CHECK (zm_mask_blocked () == 29 && worst_mask == 29,
         "all of signals 1 to 31 but KILL and STOP were blocked in it");
  int commas = 0;
  for (const char *c = zm_callers (); *c; c++)
    commas += *c == ',';
  CHECK (commas == 5, "the list of callers has each of six threads once");
  CHECK (zm_start_threads (right, -1, 1, 0, 0, 9) == EINVAL, "-1 threads are refused");

  made = zm_calls_made ();
  CHECK (zm_call_threads (ends_its_thread, 1, 10, 0, 0, 9) == 0
             && zm_calls_made () - made == 3 && !zm_threads_running (),
         "a thread that its function ended has no calls left");
}

/* Notes of threads */

static void *
note_twice (void *name)
{
  prctl (PR_SET_NAME, name);
  zm_note_thread ();
  zm_note_thread ();
  return NULL;
}

static void
run (void *(*main) (void *), void *argument)
{
  pthread_t thread;
  if (pthread_create (&thread, NULL, main, argument))
    abort ();
  pthread_join (thread, NULL);
}

static void
test_notes (void)
{
  run (note_twice, "twin");
  run (note_twice, "twin");
  run (note_twice, "a name cut off here");
  int commas = 0;
  for (const char *c = zm_noted_threads (); *c; c++)
    commas += *c == ',';
  CHECK (commas == 2, "three threads are noted once each");
  CHECK (!strcmp (zm_noted_names (), "twin,a name cut off "), "and their distinct names");
  zm_forget_threads ();
  CHECK (!*zm_noted_threads () && !*zm_noted_names (), "forgetting forgets");
}

/* The queue */

#define QUEUERS 4
#define PER_QUEUER 20000

static void *
queue_many (void *argument)
{
  uintptr_t first = (uintptr_t) argument;
  for (uintptr_t k = 0; k < PER_QUEUER; k++)
    zm_queue_free ((void *) (first + k + 1), (void *) ((first + k + 1) * 8));
  return NULL;
}

static void
test_queue (void)
{
  static unsigned char taken[QUEUERS * PER_QUEUER + 1];
  uintptr_t last[QUEUERS] = { 0 };
  pthread_t threads[QUEUERS];
  int pairs = 1, ordered = 1;
  void *data, *hint;
  CHECK (!zm_queue_take (&data, &hint), "a new queue is empty");
  for (uintptr_t t = 0; t < QUEUERS; t++)
    if (pthread_create (&threads[t], NULL, queue_many, (void *) (t * PER_QUEUER)))
      abort ();
  for (int count = 0; count < QUEUERS * PER_QUEUER;)
    if (zm_queue_take (&data, &hint))
      {
        uintptr_t number = (uintptr_t) data;
        pairs &= (uintptr_t) hint == number * 8;
        taken[number]++;
        ordered &= last[(number - 1) / PER_QUEUER] < number;
        last[(number - 1) / PER_QUEUER] = number;
        count++;
      }
  for (int t = 0; t < QUEUERS; t++)
    pthread_join (threads[t], NULL);
  int once = 1;
  for (int k = 1; k <= QUEUERS * PER_QUEUER; k++)
    once &= taken[k] == 1;
  CHECK (once, "what four threads queue is taken once each");
  CHECK (pairs, "data and hint stay together");
  CHECK (ordered, "each thread's pairs come in its order");
  CHECK (!zm_queue_take (&data, &hint), "and then the queue is empty");
}

/* Signal masks */

static int synchronous_blocked, extra_blocked, blocked_within;

static void
look_at_mask (void)
{
  static const int synchronous[] = { SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV };
  sigset_t mask;
  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  synchronous_blocked = 0;
  for (int k = 0; k < 5; k++)
    synchronous_blocked += sigismember (&mask, synchronous[k]);
  extra_blocked = sigismember (&mask, SIGUSR2);
  blocked_within = blocked_now ();
}

static uint64_t
looking (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  look_at_mask ();
  *cell = sequence;
  return value ^ sequence;
}

static void *seen_data, *seen_hint;

static void
looking_free (void *data, void *hint)
{
  look_at_mask ();
  seen_data = data;
  seen_hint = hint;
}

static void *
masked_thread (void *unused)
{
  (void) unused;
  sigset_t every;
  sigfillset (&every);
  pthread_sigmask (SIG_BLOCK, &every, NULL);

  uint64_t cell = 0;
  zm_set_unblocking_function (looking, 0);
  CHECK (zm_unblocking_function (5, 9, &cell) == (5 ^ 9) && cell == 5,
         "the trampoline passes arguments and result");
  CHECK (synchronous_blocked == 0 && extra_blocked == 1 && blocked_within == 24,
         "within, the five synchronous signals and no others are unblocked");
  CHECK (blocked_now () == 29, "afterwards the mask is as before");

  zm_set_unblocking_free (looking_free, SIGUSR2);
  zm_unblocking_free ((void *) 1, (void *) 2);
  CHECK (seen_data == (void *) 1 && seen_hint == (void *) 2, "so does the free function's");
  CHECK (synchronous_blocked == 0 && extra_blocked == 0 && blocked_within == 23,
         "with one extra signal");
  CHECK (blocked_now () == 29, "afterwards the mask is as before");

  CHECK (zm_unblock_signal (SIGUSR1) == 0 && blocked_now () == 28,
         "one signal is unblocked for good");
  CHECK (zm_unblock_signal (12345) == EINVAL, "no signal 12345");
  return NULL;
}

/* The witness */

#define WITNESSED_MAX 200000

struct witnessed
{
  char call[16];
  int peer, thread;
  unsigned long address;
  long length, result;
};

static struct witnessed *witnessed;
static int witnessed_length;
static long witnessed_lost;
static int witness_readable;

static void
read_witness (void)
{
  FILE *file = fopen (getenv ("ZM_WITNESS"), "r");
  char line[200];
  witnessed_length = 0;
  witnessed_lost = -1;
  witness_readable = file != NULL;
  while (file && fgets (line, sizeof line, file))
    {
      struct witnessed *next = &witnessed[witnessed_length];
      char end;
      if (sscanf (line, "%15s %d %d %lx %ld %ld%c", next->call, &next->peer, &next->thread,
                  &next->address, &next->length, &next->result, &end) == 7
          && end == '\n')
        witnessed_length += witnessed_length < WITNESSED_MAX - 1;
      else if (sscanf (line, "lost %ld%c", &witnessed_lost, &end) != 2 || end != '\n')
        witness_readable = 0;
    }
  if (file)
    fclose (file);
}

static int
line_is (int k, const char *call, int peer, const void *address, long length, long result)
{
  struct witnessed *line = &witnessed[k];
  return k < witnessed_length && !strcmp (line->call, call) && line->peer == peer
         && line->thread == zm_thread_id () && line->address == (unsigned long) address
         && line->length == length && line->result == result;
}

static int
tcp_pair (int pair[2])
{
  struct sockaddr_in name = { .sin_family = AF_INET };
  socklen_t length = sizeof name;
  name.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  int listener = socket (AF_INET, SOCK_STREAM, 0);
  pair[0] = socket (AF_INET, SOCK_STREAM, 0);
  if (bind (listener, (struct sockaddr *) &name, sizeof name) || listen (listener, 1)
      || getsockname (listener, (struct sockaddr *) &name, &length)
      || connect (pair[0], (struct sockaddr *) &name, sizeof name))
    abort ();
  pair[1] = accept (listener, NULL, NULL);
  close (listener);
  return ntohs (name.sin_port);
}

static void *
blocked_sender (void *argument)
{
  sigset_t every;
  sigfillset (&every);
  pthread_sigmask (SIG_BLOCK, &every, NULL);
  return (void *) send (*(int *) argument, "x", 1, 0);
}

static void *
sender (void *argument)
{
  for (int k = 0; k < 1000; k++)
    if (send (*(int *) argument, argument, 1, 0) != 1)
      abort ();
  return NULL;
}

static void
drain (int descriptor)
{
  char buffer[65536];
  while (recv (descriptor, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
    ;
}

static void
test_witness (void)
{
  int pair[2], pipes[2], locals[2];
  int port = tcp_pair (pair);
  char a[10] = "aaaaaaaaaa", b[20] = "bbbbbbbbbbbbbbbbbbb", read_back[64];
  struct iovec parts[] = { { a, sizeof a }, { b, sizeof b } };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

  read_witness ();
  CHECK (witness_readable && witnessed_length == 0, "the witness is loaded and saw nothing");

  errno = 0;
  ssize_t sent = send (pair[0], a, 10, 0);
  sent += sendto (pair[0], a + 1, 9, 0, NULL, 0);
  sent += write (pair[0], b, 20);
  sent += writev (pair[0], parts, 2);
  sent += sendmsg (pair[0], &message, 0);
  CHECK (sent == 99 && errno == 0, "results are passed on, and errno is left alone");
  CHECK (recv (pair[1], read_back, 49, MSG_WAITALL) == 49 && !memcmp (read_back + 39, a, 9),
         "and so are the bytes");
  read_witness ();
  CHECK (line_is (0, "send", port, a, 10, 10), "send");
  CHECK (line_is (1, "sendto", port, a + 1, 9, 9), "sendto");
  CHECK (line_is (2, "write", port, b, 20, 20), "write");
  CHECK (line_is (3, "writev", port, a, 10, 30) && line_is (4, "writev", port, b, 20, 20),
         "writev: the result on the first buffer, the part of its own on the second");
  CHECK (line_is (5, "sendmsg", port, a, 10, 30) && line_is (6, "sendmsg", port, b, 20, 20),
         "sendmsg: likewise");
  CHECK (witnessed_length == 7, "a line for each buffer, in order");

  if (pipe (pipes) || socketpair (AF_UNIX, SOCK_STREAM, 0, locals))
    abort ();
  int datagrams = socket (AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons (9) };
  name.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  if (connect (datagrams, (struct sockaddr *) &name, sizeof name))
    abort ();
  errno = 77;
  ssize_t passed = write (pipes[1], a, 10);
  passed += send (locals[0], a, 10, 0);
  passed += send (datagrams, a, 10, 0);
  CHECK (passed == 30 && errno == 77, "pipes, local sockets and datagrams are passed on");
  errno = 0;
  CHECK (write (-1, a, 10) == -1 && errno == EBADF, "a bad descriptor gives its own error");
  read_witness ();
  CHECK (witnessed_length == 7, "none of them is recorded");

  int lonely = socket (AF_INET, SOCK_STREAM, 0);
  errno = 0;
  CHECK (send (lonely, a, 10, MSG_NOSIGNAL) == -1 && errno == EPIPE,
         "a failed call keeps its error");
  read_witness ();
  CHECK (line_is (7, "send", 0, a, 10, -1), "and is recorded with -1 and no peer");

  run (blocked_sender, &pair[0]);
  read_witness ();
  CHECK (witnessed_length == 9 && witnessed[8].thread != zm_thread_id ()
             && witnessed[8].thread > 0,
         "a thread with every signal blocked is recorded with its own id");

  pthread_t threads[4];
  for (int t = 0; t < 4; t++)
    if (pthread_create (&threads[t], NULL, sender, &pair[0]))
      abort ();
  for (int t = 0; t < 4; t++)
    pthread_join (threads[t], NULL);
  read_witness ();
  CHECK (witness_readable && witnessed_length == 4009, "lines of four threads are whole");
  drain (pair[1]);

  /* The cap, in a child that dies without its destructors. */
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0)
    {
      for (int k = 0; k < 102500; k++)
        {
          if (send (pair[0], a, 1, 0) != 1)
            abort ();
          if (k % 1000 == 0)
            drain (pair[1]);
        }
      raise (SIGKILL);
    }
  int status;
  waitpid (child, &status, 0);
  read_witness ();
  CHECK (WIFSIGNALED (status) && witness_readable && witnessed_length == 100000,
         "after 100000 lines it stops");
  CHECK (witnessed_lost > 4009 + 102500 - 100000 - 1000
             && witnessed_lost <= 4009 + 102500 - 100000 + 9,
         "and of a process that was killed it knows the loss within a thousand");
}

int
main (int argc, char **argv)
{
  witnessed = calloc (WITNESSED_MAX, sizeof *witnessed);
  if (argc > 1 && !strcmp (argv[1], "overrun"))
    {
      /* 100 calls past the cap, and a regular exit. */
      int pair[2];
      tcp_pair (pair);
      for (int k = 0; k < 100100; k++)
        {
          if (send (pair[0], "x", 1, 0) != 1)
            abort ();
          if (k % 1000 == 0)
            drain (pair[1]);
        }
      return 0;
    }
  test_memory ();
  test_calls ();
  test_notes ();
  test_queue ();
  run (masked_thread, NULL);
  test_witness ();
  printf ("%d failed\n", failures);
  return failures != 0;
}
