/* What of C the probe needs beside the fixture: addresses of the exported Go
   functions, and calls in which addresses and hints are numbers. A hint is no
   pointer, and Go's runtime stops the program when it finds a small number
   where it expects one (runtime.adjustpointers, "invalid pointer found on
   stack"). */
#ifndef ZM_BRIDGE_H
#define ZM_BRIDGE_H

#include "../c/fixture.h"
#include <zmq.h>

/* Functions that end in goCalled and goFreed. */
zm_function *bridge_function (void);
zmq_free_fn *bridge_free_function (void);
zmq_free_fn *bridge_queue_free (void);
zmq_free_fn *bridge_libc_free (void);

int bridge_msg_init_data (zmq_msg_t *message, void *data, size_t size,
                          zmq_free_fn *free_function, uintptr_t hint);
int bridge_queue_take (uintptr_t *data, uintptr_t *hint);
void bridge_free (uintptr_t address);
uint64_t bridge_mismatches (uintptr_t address, uint64_t size, uint64_t seed,
                            uint64_t index);
int bridge_peek (uintptr_t address, uint64_t offset);

#endif
