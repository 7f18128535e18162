/* The fixture: what a probe needs of C, and nothing of ZeroMQ. It makes the
   threads that a language did not make, reads and writes memory behind the
   language's back, and counts what it sees. It decides nothing.

   Every function may be called through a foreign function interface that knows
   only integers, pointers and strings. */
#ifndef ZM_FIXTURE_H
#define ZM_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

/* The client's function: stores sequence into *cell and returns
   value XOR sequence. */
typedef uint64_t zm_function (uint64_t sequence, uint64_t value, uint64_t *cell);

/* Calls function (0 .. calls-1) on the calling thread. Values come from seed by
   splitmix64, over all 64 bits. */
void zm_call_here (zm_function *function, uint64_t calls, uint64_t seed);

/* Starts threads, each of which calls function calls times with a pause of
   pace_us microseconds between; thread t has the sequence numbers
   t*calls .. (t+1)*calls-1. With masked, every signal is blocked in them before
   the first call, as in libzmq's I/O threads. Returns 0, or an errno (of the
   threads started until then, some may run: join). One set of threads at a time;
   EBUSY until the last one was joined. */
int zm_start_threads (zm_function *function, int threads, uint64_t calls,
                      uint64_t pace_us, int masked, uint64_t seed);
/* 1 while a thread has calls left to make; one that has ended has none. */
int zm_threads_running (void);
/* Waits for the threads to end. */
void zm_join_threads (void);
/* zm_start_threads and zm_join_threads in one: the caller is blocked in C. */
int zm_call_threads (zm_function *function, int threads, uint64_t calls,
                     uint64_t pace_us, int masked, uint64_t seed);

/* What the calls since the library was loaded came to. */
uint64_t zm_calls_made (void);
uint64_t zm_calls_right (void);
/* Ids of the threads that called, "12,13", in a buffer of the library's. */
const char *zm_callers (void);
/* Of the signals 1 to 31, how many were blocked in the last thread started
   masked, before its first call (SIGKILL and SIGSTOP can't be). */
int zm_mask_blocked (void);

/* The id of the calling thread, as the kernel knows it. */
int zm_thread_id (void);
/* The name of the calling thread, at most 15 characters, into buffer[16]. */
void zm_thread_name (char *buffer);
/* A note kept by the library of the distinct threads it was called on, for
   callbacks that had better not allocate: returns the calling thread's id. */
int zm_note_thread (void);
/* "12,13" and "ZMQbg/IO/0", of the threads noted since zm_forget_threads. */
const char *zm_noted_threads (void);
const char *zm_noted_names (void);
void zm_forget_threads (void);

/* Memory. */
uint64_t zm_mismatches (const void *address, uint64_t size, uint64_t seed, uint64_t index);
void zm_fill (void *address, uint64_t size, uint64_t seed, uint64_t index);
int zm_peek (const void *address, uint64_t offset);
void zm_poke (void *address, uint64_t offset, int octet);
/* libc's own malloc and free and the address of that free, even in a process
   where the runtime has put an allocator of its own in their place. */
void *zm_allocate (uint64_t size);
void zm_release (void *address);
void *zm_libc_free (void);
/* CRC-32 (IEEE) of memory, for checking a client's own in its unit tests. */
uint32_t zm_crc32 (const void *address, uint64_t size);

/* A free function for zmq_msg_init_data that only queues (data, hint), and the
   queue's other end: 1 and the pair, or 0 when it is empty. Any thread may
   queue; the address of zm_queue_free is given by zm_queue_free_address. */
void zm_queue_free (void *data, void *hint);
void *zm_queue_free_address (void);
int zm_queue_take (void **data, void **hint);

/* Free functions and functions with the signal mask mended first: the
   trampolines call the client's function set before with the synchronous
   signals (ILL, TRAP, BUS, FPE, SEGV) and extra (0, or one more signal number
   such as the one a collector stops threads with) unblocked, and restore the
   mask afterwards. */
void zm_set_unblocking_function (zm_function *function, int extra);
uint64_t zm_unblocking_function (uint64_t sequence, uint64_t value, uint64_t *cell);
void zm_set_unblocking_free (void (*free_function) (void *, void *), int extra);
void zm_unblocking_free (void *data, void *hint);
/* Their addresses, for interfaces that can't take the address of a symbol. */
void *zm_unblocking_function_address (void);
void *zm_unblocking_free_address (void);

/* pthread_sigmask: unblocks signal number on the calling thread; 0 or an errno. */
int zm_unblock_signal (int number);

void zm_sleep_us (uint64_t microseconds);

/* Calls a C function of up to six integers or pointers and keeps the errno that
   it left, for languages whose own system calls may come between a call and the
   reading of errno. zm_kept_errno gives that of the calling thread's last
   zm_call, also when it is itself called by zm_call. */
typedef uint64_t zm_any_function (uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
uint64_t zm_call (zm_any_function *function, uint64_t a, uint64_t b, uint64_t c,
                  uint64_t d, uint64_t e, uint64_t f);
int zm_kept_errno (void);

#endif
