/* What the parts of the probe have in common: the task, the report, payload,
   and the short way to fail. The contract is targets/PROBE.md. */
#ifndef ZM_PROBE_H
#define ZM_PROBE_H

#include <stddef.h>
#include <stdint.h>

/* The task. A parameter that is missing or no number closes the report with
   `failed`. */

uint32_t task_seed (void);
int technique_is (const char *name);
/* parameter ("gc-every") is the number in ZM_PARAM_GC_EVERY. */
uint64_t parameter (const char *key);
struct numbers
{
  size_t length;
  uint64_t *at;
};
struct numbers parameter_list (const char *key);
/* The address of the lane's socket of that name; NULL: of its first one. */
const char *lane_endpoint (const char *name);

/* The report. Not to be used in callbacks: it is not synchronised. */

__attribute__ ((format (printf, 1, 2))) void step (const char *format, ...);
void observe_count (const char *key, uint64_t value);
/* A count that may be negative: -1 for "can't be known". */
void observe_integer (const char *key, int64_t value);
/* A number of octets, -1 for "can't be known". */
void observe_size (const char *key, int64_t octets);
void observe_flag (const char *key, int value);
void observe_thread (const char *key, int id);
void observe_address (const char *key, const void *address);
/* unit: thread, digest, list or text. */
void observe_string (const char *key, const char *value, const char *unit);
/* Closes the report and ends the process. */
__attribute__ ((noreturn, format (printf, 2, 3))) void
fail (const char *condition, const char *format, ...);
/* The same for a call of libzmq or of the system that has just set errno. */
__attribute__ ((noreturn)) void fail_errno (const char *attempted);

/* Text that grows, for observed lists. Zero-initialised it is empty. */
struct text
{
  char *at; /* NULL while empty: see text_of */
  size_t length;
};
__attribute__ ((format (printf, 2, 3))) void
append (struct text *text, const char *format, ...);
const char *text_of (const struct text *text);

/* Payload. */

void payload_fill (unsigned char *octets, uint64_t size, uint64_t index);
/* How many of the octets are not payload (seed, index, size). */
uint64_t payload_mismatches (const unsigned char *octets, uint64_t size, uint64_t index);
uint32_t crc32_of (const unsigned char *octets, uint64_t size);

/* malloc, and `failed` where there is no memory. */
void *allocate (uint64_t size);
/* Allocates 8 MiB of short-lived blocks of mixed size, a part of them kept
   until the next churn. */
void churn (void);
/* Waits until *counter has reached target, or ten seconds have passed without
   its growing. Returns whether it has. */
int wait_for (const _Atomic uint64_t *counter, uint64_t target);

/* A socket of the context, connected to the endpoint. */
void *connected_socket (void *context, int type, const char *endpoint);
void set_option (void *socket, int option, int value);
/* Closes, and terminates the context. */
void close_socket (void *socket);
void terminate (void *context);

/* The features. */

void callback_same_thread (void);
void callback_foreign_thread (void);
void callback_concurrent_threads (void);
void callback_masked_thread (void);
void callback_io_thread (void);
void static_area_address_stable (void);
void static_area_shared_view (void);
void static_area_release (void);
void static_area_pin (void);
void zero_copy_callback_free (void);
void zero_copy_deferred_free (void);
void zero_copy_native_free (void);
void zero_copy_kept_alive (void);
void zero_copy_receive_in_place (void);
void messaging_req_rep (void);
void messaging_push_pull (void);
void messaging_multipart (void);
void messaging_pub_sub (void);
void binding_loads (void);
void binding_version (void);
void binding_message_size (void);
void binding_errors (void);

#endif
