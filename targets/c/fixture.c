#define _GNU_SOURCE
#include "fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Distinct threads that a list remembers. The features use a handful. */
#define THREADS_MAX 256

/* Payload: the pattern of targets/PROBE.md. */

#define PAYLOAD_PERIOD 4093

static void
payload_head (unsigned char head[PAYLOAD_PERIOD], uint64_t seed, uint64_t index)
{
  uint32_t x = (uint32_t) (seed + index * 40503);
  for (int k = 0; k < PAYLOAD_PERIOD; k++)
    {
      x = x * 69069 + 12345;
      head[k] = (unsigned char) (x >> 24);
    }
}

uint64_t
zm_mismatches (const void *address, uint64_t size, uint64_t seed,
               uint64_t index)
{
  unsigned char head[PAYLOAD_PERIOD];
  const unsigned char *octets = address;
  uint64_t wrong = 0;
  payload_head (head, seed, index);
  for (uint64_t k = 0; k < size; k++)
    wrong += octets[k] != head[k % PAYLOAD_PERIOD];
  return wrong;
}

void
zm_fill (void *address, uint64_t size, uint64_t seed, uint64_t index)
{
  unsigned char head[PAYLOAD_PERIOD];
  unsigned char *octets = address;
  payload_head (head, seed, index);
  for (uint64_t done = 0; done < size; done += PAYLOAD_PERIOD)
    {
      uint64_t part = size - done;
      memcpy (octets + done, head, part < PAYLOAD_PERIOD ? part : PAYLOAD_PERIOD);
    }
}

/* Volatile, so that no compiler that sees both sides reorders or drops the
   access: that another sees the store is what is measured. */
int
zm_peek (const void *address, uint64_t offset)
{
  return ((const volatile unsigned char *) address)[offset];
}

void
zm_poke (void *address, uint64_t offset, int octet)
{
  ((volatile unsigned char *) address)[offset] = (unsigned char) octet;
}

uint32_t
zm_crc32 (const void *address, uint64_t size)
{
  const unsigned char *octets = address;
  uint32_t table[256];
  for (uint32_t n = 0; n < 256; n++)
    {
      uint32_t entry = n;
      for (int bit = 0; bit < 8; bit++)
        entry = (entry >> 1) ^ (entry & 1 ? 0xEDB88320u : 0);
      table[n] = entry;
    }
  uint32_t crc = 0xFFFFFFFFu;
  for (uint64_t k = 0; k < size; k++)
    crc = table[(crc ^ octets[k]) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

/* libc's allocator. Looked up in libc itself: GCL exports a malloc of its own,
   and that one must not be entered from libzmq's threads. */

static void *
libc_symbol (const char *name)
{
  void *libc = dlopen ("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  return libc ? dlsym (libc, name) : NULL;
}

void *
zm_allocate (uint64_t size)
{
  static void *(*_Atomic libc_malloc) (size_t);
  void *(*allocate) (size_t) = libc_malloc;
  if (!allocate)
    libc_malloc = allocate = (void *(*) (size_t)) libc_symbol ("malloc");
  return allocate ? allocate (size) : NULL;
}

void *
zm_libc_free (void)
{
  static void *_Atomic libc_free;
  void *release = libc_free;
  if (!release)
    libc_free = release = libc_symbol ("free");
  return release;
}

void
zm_release (void *address)
{
  void (*release) (void *) = (void (*) (void *)) zm_libc_free ();
  if (release)
    release (address);
}

/* Lists of threads. */

int
zm_thread_id (void)
{
  return (int) syscall (SYS_gettid);
}

void
zm_thread_name (char *buffer)
{
  memset (buffer, 0, 16);
  prctl (PR_GET_NAME, buffer);
}

struct thread_list
{
  pthread_mutex_t lock;
  int length;
  int ids[THREADS_MAX];
  char names[THREADS_MAX][16];
  char ids_text[THREADS_MAX * 12];
  char names_text[THREADS_MAX * 17];
};

static struct thread_list callers = { .lock = PTHREAD_MUTEX_INITIALIZER };
static struct thread_list noted = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int
note_thread (struct thread_list *list)
{
  int id = zm_thread_id ();
  pthread_mutex_lock (&list->lock);
  int k = 0;
  while (k < list->length && list->ids[k] != id)
    k++;
  if (k == list->length && k < THREADS_MAX)
    {
      list->ids[k] = id;
      zm_thread_name (list->names[k]);
      list->length++;
    }
  pthread_mutex_unlock (&list->lock);
  return id;
}

static const char *
ids_text (struct thread_list *list)
{
  pthread_mutex_lock (&list->lock);
  char *end = list->ids_text;
  *end = 0;
  for (int k = 0; k < list->length; k++)
    end += sprintf (end, "%s%d", k ? "," : "", list->ids[k]);
  pthread_mutex_unlock (&list->lock);
  return list->ids_text;
}

/* Distinct names: several threads of one name are one name. */
static const char *
names_text (struct thread_list *list)
{
  pthread_mutex_lock (&list->lock);
  char *end = list->names_text;
  *end = 0;
  for (int k = 0; k < list->length; k++)
    {
      int first = 0;
      while (strcmp (list->names[first], list->names[k]))
        first++;
      if (first == k)
        end += sprintf (end, "%s%s", end == list->names_text ? "" : ",",
                        list->names[k]);
    }
  pthread_mutex_unlock (&list->lock);
  return list->names_text;
}

int
zm_note_thread (void)
{
  return note_thread (&noted);
}

const char *
zm_noted_threads (void)
{
  return ids_text (&noted);
}

const char *
zm_noted_names (void)
{
  return names_text (&noted);
}

void
zm_forget_threads (void)
{
  pthread_mutex_lock (&noted.lock);
  noted.length = 0;
  pthread_mutex_unlock (&noted.lock);
}

/* Calls. */

static _Atomic uint64_t calls_made, calls_right, calls_left;
static _Atomic int mask_blocked;

/* splitmix64 (Steele, Lea, Flood 2014), as a function of the place, so that
   threads need no common state. */
static uint64_t
value_of (uint64_t seed, uint64_t sequence)
{
  uint64_t z = seed + (sequence + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static void
call_once (zm_function *function, uint64_t sequence, uint64_t seed)
{
  uint64_t value = value_of (seed, sequence);
  uint64_t cell = ~sequence;
  uint64_t result = function (sequence, value, &cell);
  calls_made++;
  if (result == (value ^ sequence) && *(volatile uint64_t *) &cell == sequence)
    calls_right++;
}

void
zm_call_here (zm_function *function, uint64_t calls, uint64_t seed)
{
  note_thread (&callers);
  for (uint64_t sequence = 0; sequence < calls; sequence++)
    call_once (function, sequence, seed);
}

struct caller
{
  pthread_t thread;
  zm_function *function;
  uint64_t first, calls, made, pace_us, seed;
  int masked;
};

static struct caller started[THREADS_MAX];
static int started_length;

static int
count_blocked (void)
{
  sigset_t mask;
  int blocked = 0;
  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  for (int number = 1; number <= 31; number++)
    blocked += sigismember (&mask, number) == 1;
  return blocked;
}

/* Also when a runtime ends the thread inside a callback, by pthread_exit (ECL
   does, where it does not know the thread): the calls not made are not left. */
static void
caller_ended (void *argument)
{
  struct caller *self = argument;
  calls_left -= self->calls - self->made;
}

static void *
caller_main (void *argument)
{
  struct caller *self = argument;
  pthread_cleanup_push (caller_ended, self);
  prctl (PR_SET_NAME, "zm-caller");
  if (self->masked)
    {
      /* As libzmq's thread.cpp does it in thread_routine. */
      sigset_t every;
      sigfillset (&every);
      pthread_sigmask (SIG_BLOCK, &every, NULL);
      mask_blocked = count_blocked ();
    }
  note_thread (&callers);
  for (uint64_t k = 0; k < self->calls; k++)
    {
      if (k && self->pace_us)
        zm_sleep_us (self->pace_us);
      call_once (self->function, self->first + k, self->seed);
      self->made++;
      calls_left--;
    }
  pthread_cleanup_pop (1);
  return NULL;
}

int
zm_start_threads (zm_function *function, int threads, uint64_t calls,
                  uint64_t pace_us, int masked, uint64_t seed)
{
  if (threads < 0 || threads > THREADS_MAX)
    return EINVAL;
  if (started_length)
    return EBUSY;
  calls_left = (uint64_t) threads * calls;
  for (int t = 0; t < threads; t++)
    {
      started[t] = (struct caller) {
        .function = function,
        .first = (uint64_t) t * calls,
        .calls = calls,
        .pace_us = pace_us,
        .seed = seed,
        .masked = masked,
      };
      int error = pthread_create (&started[t].thread, NULL, caller_main,
                                  &started[t]);
      if (error)
        {
          calls_left -= (uint64_t) (threads - t) * calls;
          return error;
        }
      started_length = t + 1;
    }
  return 0;
}

int
zm_threads_running (void)
{
  return calls_left > 0;
}

void
zm_join_threads (void)
{
  for (int t = 0; t < started_length; t++)
    pthread_join (started[t].thread, NULL);
  started_length = 0;
}

int
zm_call_threads (zm_function *function, int threads, uint64_t calls,
                 uint64_t pace_us, int masked, uint64_t seed)
{
  int error = zm_start_threads (function, threads, calls, pace_us, masked, seed);
  if (error != EBUSY)
    zm_join_threads ();
  return error;
}

uint64_t
zm_calls_made (void)
{
  return calls_made;
}

uint64_t
zm_calls_right (void)
{
  return calls_right;
}

const char *
zm_callers (void)
{
  return ids_text (&callers);
}

int
zm_mask_blocked (void)
{
  return mask_blocked;
}

/* The queue. Its nodes come from mmap, not malloc, and go back to a list of
   spare ones: zm_queue_free runs on libzmq's threads, where a runtime's own
   allocator may not be entered. */

struct node
{
  struct node *next;
  void *data, *hint;
};

#define NODES_PER_CHUNK 2730 /* 64 KiB */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *queue_first, *queue_last, *queue_spare;

void
zm_queue_free (void *data, void *hint)
{
  pthread_mutex_lock (&queue_lock);
  if (!queue_spare)
    {
      struct node *chunk
          = mmap (NULL, NODES_PER_CHUNK * sizeof *chunk, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      for (int k = 0; chunk != MAP_FAILED && k < NODES_PER_CHUNK; k++)
        {
          chunk[k].next = queue_spare;
          queue_spare = &chunk[k];
        }
    }
  /* Without memory the pair is lost, and the client will see it missing. */
  struct node *node = queue_spare;
  if (node)
    {
      queue_spare = node->next;
      *node = (struct node) { .data = data, .hint = hint };
      if (queue_last)
        queue_last->next = node;
      else
        queue_first = node;
      queue_last = node;
    }
  pthread_mutex_unlock (&queue_lock);
}

void *
zm_queue_free_address (void)
{
  return (void *) zm_queue_free;
}

int
zm_queue_take (void **data, void **hint)
{
  pthread_mutex_lock (&queue_lock);
  struct node *node = queue_first;
  if (node)
    {
      *data = node->data;
      *hint = node->hint;
      queue_first = node->next;
      if (!queue_first)
        queue_last = NULL;
      node->next = queue_spare;
      queue_spare = node;
    }
  pthread_mutex_unlock (&queue_lock);
  return node != NULL;
}

/* Signal masks. */

static zm_function *unblocking_function;
static int unblocking_function_extra;
static void (*unblocking_free) (void *, void *);
static int unblocking_free_extra;

/* Unblocks, and leaves the mask as it was before in old. */
static void
unblock_synchronous (int extra, sigset_t *old)
{
  sigset_t mask;
  sigemptyset (&mask);
  sigaddset (&mask, SIGILL);
  sigaddset (&mask, SIGTRAP);
  sigaddset (&mask, SIGBUS);
  sigaddset (&mask, SIGFPE);
  sigaddset (&mask, SIGSEGV);
  if (extra)
    sigaddset (&mask, extra);
  pthread_sigmask (SIG_UNBLOCK, &mask, old);
}

void
zm_set_unblocking_function (zm_function *function, int extra)
{
  unblocking_function = function;
  unblocking_function_extra = extra;
}

uint64_t
zm_unblocking_function (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  sigset_t old;
  unblock_synchronous (unblocking_function_extra, &old);
  uint64_t result = unblocking_function (sequence, value, cell);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return result;
}

void *
zm_unblocking_function_address (void)
{
  return (void *) zm_unblocking_function;
}

void
zm_set_unblocking_free (void (*free_function) (void *, void *), int extra)
{
  unblocking_free = free_function;
  unblocking_free_extra = extra;
}

void
zm_unblocking_free (void *data, void *hint)
{
  sigset_t old;
  unblock_synchronous (unblocking_free_extra, &old);
  unblocking_free (data, hint);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
}

void *
zm_unblocking_free_address (void)
{
  return (void *) zm_unblocking_free;
}

int
zm_unblock_signal (int number)
{
  sigset_t mask;
  sigemptyset (&mask);
  if (sigaddset (&mask, number))
    return EINVAL;
  return pthread_sigmask (SIG_UNBLOCK, &mask, NULL);
}

void
zm_sleep_us (uint64_t microseconds)
{
  struct timespec rest = { .tv_sec = (time_t) (microseconds / 1000000),
                           .tv_nsec = (long) (microseconds % 1000000) * 1000 };
  while (nanosleep (&rest, &rest) == -1 && errno == EINTR)
    ;
}

/* errno of the thread's last zm_call of anything but zm_kept_errno. In the
   threads' static storage: the other kind is allocated at first use by the
   dynamic loader, with the program's malloc, which is GCL's own there. */
static _Thread_local int kept_errno __attribute__ ((tls_model ("initial-exec")));

uint64_t
zm_call (zm_any_function *function, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
         uint64_t f)
{
  uint64_t result = function (a, b, c, d, e, f);
  if ((void *) function != (void *) zm_kept_errno)
    kept_errno = errno;
  return result;
}

int
zm_kept_errno (void)
{
  return kept_errno;
}
