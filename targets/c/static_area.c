/* static-area: arrays in memory that stays where it is. In C all memory does;
   what can go wrong here is the fixture, the payload or the machine. */
#include "fixture.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>

/* C has no collector: churn is all there is to do. */
static void
collect (void)
{
  churn ();
}

static void
observe_array_address (uint64_t size, const char *what, const void *address)
{
  char key[64];
  snprintf (key, sizeof key, "array.%lu.%s", (unsigned long) size, what);
  observe_address (key, address);
}

static void
observe_array_count (uint64_t size, const char *what, uint64_t value)
{
  char key[64];
  snprintf (key, sizeof key, "array.%lu.%s", (unsigned long) size, what);
  observe_count (key, value);
}

static void
observe_array_flag (uint64_t size, const char *what, int value)
{
  char key[64];
  snprintf (key, sizeof key, "array.%lu.%s", (unsigned long) size, what);
  observe_flag (key, value);
}

void
static_area_address_stable (void)
{
  struct numbers sizes = parameter_list ("sizes");
  uint64_t gcs = parameter ("gcs");
  unsigned char **arrays = allocate (sizes.length * sizeof *arrays);
  uintptr_t *before = allocate (sizes.length * sizeof *before);
  unsigned char *ordinary = allocate (parameter ("ordinary"));
  uintptr_t ordinary_last = (uintptr_t) ordinary;
  uint64_t ordinary_moved = 0;

  for (size_t k = 0; k < sizes.length; k++)
    {
      step ("allocate a static array of %lu", (unsigned long) sizes.at[k]);
      arrays[k] = allocate (sizes.at[k]);
      payload_fill (arrays[k], sizes.at[k], k);
      before[k] = (uintptr_t) arrays[k];
    }
  for (uint64_t gc = 0; gc < gcs; gc++)
    {
      step ("collection %lu", (unsigned long) gc);
      collect ();
      ordinary_moved += (uintptr_t) ordinary != ordinary_last;
      ordinary_last = (uintptr_t) ordinary;
    }
  for (size_t k = 0; k < sizes.length; k++)
    {
      uint64_t size = sizes.at[k];
      observe_array_flag (size, "first-class", 1);
      observe_array_address (size, "address-before", (void *) before[k]);
      observe_array_address (size, "address-after", arrays[k]);
      observe_array_count (size, "mismatches",
                           zm_mismatches ((void *) before[k], size, task_seed (), k));
      observe_array_count (size, "array-mismatches",
                           payload_mismatches (arrays[k], size, k));
      arrays[k][size / 2] ^= 255;
      observe_array_flag (size, "write-seen",
                          zm_peek ((void *) before[k], size / 2) == arrays[k][size / 2]);
      free (arrays[k]);
    }
  observe_count ("ordinary.moved", ordinary_moved);
  observe_count ("gc.count", 0);
  free (ordinary);
  free (before);
  free (arrays);
  free (sizes.at);
}

void
static_area_shared_view (void)
{
  uint64_t size = parameter ("size");
  uint64_t rounds = parameter ("rounds");
  unsigned char *array = allocate (size);
  uint64_t c_mismatches = 0, client_mismatches = 0;
  for (uint64_t r = 0; r < rounds; r++)
    {
      step ("round %lu", (unsigned long) r);
      payload_fill (array, size, 2 * r);
      collect ();
      c_mismatches += zm_mismatches (array, size, task_seed (), 2 * r);
      zm_fill (array, size, task_seed (), 2 * r + 1);
      collect ();
      client_mismatches += payload_mismatches (array, size, 2 * r + 1);
    }
  free (array);
  observe_count ("c.mismatches", c_mismatches);
  observe_count ("client.mismatches", client_mismatches);
  observe_flag ("array.first-class", 1);
  observe_count ("gc.count", 0);
}

void
static_area_release (void)
{
  uint64_t count = parameter ("count");
  uint64_t size = parameter ("size");
  uint64_t allocated = 0, released = 0, wrong = 0;
  unsigned char head[4093];
  step ("allocate and release");
  for (uint64_t i = 0; i < count; i++)
    {
      unsigned char *array = allocate (size);
      allocated++;
      zm_fill (array, size, task_seed (), i);
      payload_fill (head, sizeof head, i);
      wrong += array[size - 1] != head[(size - 1) % sizeof head];
      free (array);
      released++;
    }
  observe_count ("allocated", allocated);
  observe_count ("released", released);
  observe_count ("wrong", wrong);
}

void
static_area_pin (void)
{
  uint64_t size = parameter ("size");
  uint64_t gcs = parameter ("gcs");
  unsigned char *array = allocate (size);
  uintptr_t before = (uintptr_t) array;
  uint64_t mismatches = 0;
  payload_fill (array, size, 0);
  for (uint64_t gc = 0; gc < gcs; gc++)
    {
      step ("collection %lu", (unsigned long) gc);
      collect ();
      mismatches += zm_mismatches ((void *) before, size, task_seed (), 0);
    }
  observe_address ("pinned.address-before", (void *) before);
  observe_address ("pinned.address-after", array);
  observe_count ("mismatches", mismatches);
  observe_count ("gc.count", 0);
  /* malloc never moves: nothing to follow. */
  observe_count ("unpinned.moved", 0);
  free (array);
}
