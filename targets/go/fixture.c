//go:build cgo

/* The fixture, compiled into the probe: the Go target has no library of its own
   to load at run time. */
#include "../c/fixture.c"
