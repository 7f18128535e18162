/* Programs that misbehave in one way each: misbehave WAY [NUMBER]. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int zero;
static _Atomic int ready; /* the other thread is where a test expects it */
static sigjmp_buf back;

static void
say (const char *text)
{
  if (write (1, text, strlen (text)) < 0)
    _exit (99);
}

static void
recover (int signal)
{
  (void) signal;
  siglongjmp (back, 1);
}

static void *
write_to_read_only (void *unused)
{
  (void) unused;
  sigset_t all;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, NULL);
  pthread_setname_np (pthread_self (), "ZMQbg/IO/0");
  while (!ready)
    sched_yield ();
  char *page = mmap ((void *) 0x10000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  page[16] = 1;
  return NULL;
}

/* The kernel executes the store again, and there is no handler any more. */
static void
give_up (int number)
{
  signal (number, SIG_DFL);
}

static void *
sleep_in_thread (void *unused)
{
  (void) unused;
  pthread_setname_np (pthread_self (), "bystander");
  ready = 1;
  for (;;)
    pause ();
  return NULL;
}

static void *
sleep_a_while (void *milliseconds)
{
  usleep ((useconds_t) (intptr_t) milliseconds * 1000);
  return NULL;
}

static void *
spin_in_thread (void *unused)
{
  (void) unused;
  for (;;)
    zero = 0;
  return NULL;
}

static void
sleep_on (void)
{
  for (;;)
    pause ();
}

/* A child in a session of its own, whose parent ends. */
static void
leave_daemon (void)
{
  pid_t child = fork ();
  if (child == 0)
    {
      setsid ();
      signal (SIGHUP, SIG_IGN);
      signal (SIGTERM, SIG_IGN);
      if (fork () == 0)
        sleep_on ();
      _exit (0);
    }
  waitpid (child, NULL, 0);
}

int
main (int argc, char **argv)
{
  const char *way = argc > 1 ? argv[1] : "";
  long number = argc > 2 ? atol (argv[2]) : 0;
  if (!strcmp (way, "segv"))
    {
      pthread_t thread;
      pthread_create (&thread, NULL, sleep_in_thread, NULL);
      while (!ready)
        sched_yield ();
      *(volatile int *) (intptr_t) (zero + 16) = 1;
    }
  else if (!strcmp (way, "segv-thread") || !strcmp (way, "segv-thread-handled"))
    {
      struct sigaction action = { .sa_handler = recover };
      if (!strcmp (way, "segv-thread-handled"))
        sigaction (SIGSEGV, &action, NULL);
      pthread_t thread;
      pthread_create (&thread, NULL, write_to_read_only, NULL);
      ready = 1;
      sleep_on ();
    }
  else if (!strcmp (way, "segv-beside-another"))
    {
      /* When the kernel has taken the handler away for the thread's sake, this
         one dies of a fault that it could have handled. */
      struct sigaction action = { .sa_handler = recover };
      sigaction (SIGSEGV, &action, NULL);
      pthread_t thread;
      pthread_create (&thread, NULL, write_to_read_only, NULL);
      ready = 1;
      do
        sigaction (SIGSEGV, NULL, &action);
      while (action.sa_handler != SIG_DFL);
      *(volatile int *) (intptr_t) zero = 1;
    }
  else if (!strcmp (way, "segv-handler-gives-up"))
    {
      struct sigaction action = { .sa_handler = give_up };
      sigaction (SIGSEGV, &action, NULL);
      *(volatile int *) (intptr_t) zero = 1;
    }
  else if (!strcmp (way, "jump-into-data"))
    {
      static char data[4096];
      ((void (*) (void)) (intptr_t) (data + 64 + zero)) ();
    }
  else if (!strcmp (way, "abort"))
    abort ();
  else if (!strcmp (way, "fpe"))
    return 7 / zero; /* not 1: that needs no division */
  else if (!strcmp (way, "ill"))
    __builtin_trap ();
  else if (!strcmp (way, "bus"))
    {
      int file = open ("empty", O_RDWR | O_CREAT, 0600);
      volatile char *page = mmap (NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
      return *page;
    }
  else if (!strcmp (way, "raise"))
    {
      raise ((int) number);
      say ("survived\n");
    }
  else if (!strcmp (way, "recover"))
    {
      struct sigaction action = { .sa_handler = recover };
      sigaction (SIGSEGV, &action, NULL);
      for (volatile int i = 0; i < 100; i++)
        if (!sigsetjmp (back, 1))
          *(volatile int *) (intptr_t) zero = 1;
      say ("recovered\n");
    }
  else if (!strcmp (way, "recover-then-segv"))
    {
      struct sigaction action = { .sa_handler = recover };
      sigaction (SIGSEGV, &action, NULL);
      if (!sigsetjmp (back, 1))
        *(volatile int *) (intptr_t) zero = 1;
      signal (SIGSEGV, SIG_DFL);
      *(volatile int *) (intptr_t) zero = 1;
    }
  else if (!strcmp (way, "stop-and-go"))
    {
      /* Job control must work as it does untraced: stopped until SIGCONT. */
      pid_t self = getpid ();
      if (fork () == 0)
        {
          char path[64], text[4096], *state;
          snprintf (path, sizeof path, "/proc/%d/stat", self);
          do
            {
              int file = open (path, O_RDONLY);
              ssize_t n = read (file, text, sizeof text - 1);
              close (file);
              if (n <= 0)
                _exit (1);
              text[n] = 0;
              state = strrchr (text, ')') + 2;
            }
          while (*state != 'T' && *state != 't');
          kill (self, SIGCONT);
          _exit (0);
        }
      raise (SIGSTOP);
      wait (NULL);
      say ("went on\n");
    }
  else if (!strcmp (way, "exit"))
    return (int) number;
  else if (!strcmp (way, "sleep"))
    {
      say ("asleep\n");
      sleep_on ();
    }
  else if (!strcmp (way, "hang-in-threads"))
    {
      pthread_t asleep, busy;
      pthread_create (&asleep, NULL, sleep_in_thread, NULL);
      while (!ready)
        sched_yield ();
      pthread_create (&busy, NULL, spin_in_thread, NULL);
      pthread_join (asleep, NULL);
    }
  else if (!strcmp (way, "spin"))
    for (;;)
      zero = 0;
  else if (!strcmp (way, "spin-in-child"))
    {
      if (fork () == 0)
        for (;;)
          zero = 0;
      wait (NULL);
    }
  else if (!strcmp (way, "ignore-term"))
    {
      signal (SIGTERM, SIG_IGN);
      signal (SIGHUP, SIG_IGN);
      signal (SIGINT, SIG_IGN);
      sleep_on ();
    }
  else if (!strcmp (way, "daemons"))
    {
      for (long i = 0; i < number; i++)
        leave_daemon ();
      say ("left\n");
    }
  else if (!strcmp (way, "daemons-and-sleep"))
    {
      leave_daemon ();
      sleep_on ();
    }
  else if (!strcmp (way, "generations"))
    {
      /* Each ends while the next starts its own, and the last one stays. */
      for (long i = 0; i < number; i++)
        if (fork () != 0)
          {
            usleep (i * 37 % 200);
            _exit (0);
          }
      sleep_on ();
    }
  else if (!strcmp (way, "relay"))
    {
      /* number processes, each of which sleeps before it starts the next and ends. */
      for (long i = 0; i < number; i++)
        {
          if (fork () != 0)
            _exit (0);
          usleep (70000);
        }
    }
  else if (!strcmp (way, "headless-child"))
    {
      /* Its second thread ends after number milliseconds. */
      if (fork () == 0)
        {
          pthread_t thread;
          setsid ();
          pthread_create (&thread, NULL, sleep_a_while, (void *) (intptr_t) number);
          pthread_exit (NULL);
        }
    }
  else if (!strcmp (way, "brief-child"))
    {
      if (fork () == 0)
        {
          usleep (5000);
          _exit (0);
        }
    }
  else if (!strcmp (way, "busy-child"))
    {
      /* It works for number milliseconds, however little of them it has a core. */
      if (fork () == 0)
        {
          struct timespec begun, now;
          clock_gettime (CLOCK_MONOTONIC, &begun);
          do
            clock_gettime (CLOCK_MONOTONIC, &now);
          while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 < number);
          _exit (0);
        }
    }
  else if (!strcmp (way, "fork-bomb"))
    {
      /* Bounded: number generations, so 2^number processes. */
      for (long i = 0; i < number; i++)
        if (fork () == 0 && i % 2)
          setsid ();
      sleep_on ();
    }
  else if (!strcmp (way, "flood"))
    {
      static char line[1 << 16];
      memset (line, 'x', sizeof line);
      line[sizeof line - 1] = '\n';
      for (long left = number; left > 0; left -= sizeof line)
        if (write (1, line, left < (long) sizeof line ? (size_t) left : sizeof line) < 0)
          return 98;
    }
  else if (!strcmp (way, "flood-stderr"))
    {
      static char block[1 << 16];
      memset (block, 'e', sizeof block);
      for (long left = number; left > 0; left -= sizeof block)
        if (write (2, block, sizeof block) < 0)
          return 98;
      if (write (2, "the end", 7) < 0)
        return 98;
    }
  else if (!strcmp (way, "no-newline"))
    {
      say ("no newline at all");
      return 3;
    }
  else if (!strcmp (way, "hog"))
    {
      /* number MiB, touched, kept for a while so that it can be seen. */
      for (long i = 0; i < number; i++)
        {
          char *block = malloc (1 << 20);
          memset (block, 1, 1 << 20);
          usleep (500);
        }
      say ("had it all\n");
    }
  else if (!strcmp (way, "hello-then-grow"))
    {
      say ("{\"type\":\"hello\"}\n");
      usleep (100000);
      char *block = malloc ((size_t) number << 20);
      memset (block, 1, (size_t) number << 20);
      zero = block[12345] - 1;
      free (block);
      usleep (50000);
    }
  else if (!strcmp (way, "close-stdout"))
    {
      say ("closing\n");
      close (1);
      usleep (50000);
      return 7;
    }
  else if (!strcmp (way, "surroundings"))
    {
      /* What a probe finds: its limits, signals, descriptors and groups. */
      struct rlimit core, cpu;
      getrlimit (RLIMIT_CORE, &core);
      getrlimit (RLIMIT_CPU, &cpu);
      int ignored = 0;
      for (int i = 1; i < 65; i++)
        {
          struct sigaction action;
          if (sigaction (i, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            ignored++;
        }
      sigset_t mask;
      sigprocmask (SIG_BLOCK, NULL, &mask);
      int blocked = 0;
      for (int i = 1; i < 65; i++)
        blocked += sigismember (&mask, i) == 1;
      int open_descriptors = 0;
      for (int i = 3; i < 1024; i++)
        open_descriptors += fcntl (i, F_GETFD) >= 0;
      char byte;
      int tracer = prctl (PR_GET_DUMPABLE);
      printf ("core=%ld handled=%d blocked=%d descriptors=%d leader=%d group=%d stdin=%zd nonblocking=%d dumpable=%d\n",
              (long) core.rlim_cur, ignored, blocked, open_descriptors, getsid (0) == getpid (),
              getpgrp () == getpid (), read (0, &byte, 1), (fcntl (1, F_GETFL) & O_NONBLOCK) != 0, tracer);
      char *folder = getcwd (NULL, 0);
      printf ("cwd=%s home=%s tmp=%s\n", folder, getenv ("HOME"), getenv ("TMPDIR"));
      for (char **item = environ; *item; item++)
        printf ("env %s\n", *item);
      printf ("cpu=%ld\n", (long) cpu.rlim_cur);
      FILE *file = fopen ("/proc/self/status", "r");
      char text[256];
      while (fgets (text, sizeof text, file))
        if (!strncmp (text, "TracerPid", 9))
          fputs (text, stdout);
    }
  else if (!strcmp (way, "lock-scratch"))
    {
      if (system ("mkdir -p a/b && touch a/b/c && chmod 0 a/b a") != 0)
        return 97;
    }
  else
    return 96;
  return 0;
}
