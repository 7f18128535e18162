//go:build cgo

#include "bridge.h"
#include "_cgo_export.h"

#include <stdlib.h>

static uint64_t
call_go (uint64_t sequence, uint64_t value, uint64_t *cell)
{
  return goCalled (sequence, value, cell);
}

static void
free_by_go (void *data, void *hint)
{
  goFreed ((uintptr_t) data, (uintptr_t) hint);
}

zm_function *
bridge_function (void)
{
  return call_go;
}

zmq_free_fn *
bridge_free_function (void)
{
  return free_by_go;
}

zmq_free_fn *
bridge_queue_free (void)
{
  return zm_queue_free;
}

zmq_free_fn *
bridge_libc_free (void)
{
  return (zmq_free_fn *) zm_libc_free ();
}

int
bridge_msg_init_data (zmq_msg_t *message, void *data, size_t size,
                      zmq_free_fn *free_function, uintptr_t hint)
{
  return zmq_msg_init_data (message, data, size, free_function, (void *) hint);
}

int
bridge_queue_take (uintptr_t *data, uintptr_t *hint)
{
  return zm_queue_take ((void **) data, (void **) hint);
}

void
bridge_free (uintptr_t address)
{
  free ((void *) address);
}

uint64_t
bridge_mismatches (uintptr_t address, uint64_t size, uint64_t seed, uint64_t index)
{
  return zm_mismatches ((void *) address, size, seed, index);
}

int
bridge_peek (uintptr_t address, uint64_t offset)
{
  return zm_peek ((void *) address, offset);
}
