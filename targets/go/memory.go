//go:build cgo

package main

/*
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// newStaticArray is a slice over memory of libc's: an ordinary []byte to every
// function of the language, and nothing to the collector.
func newStaticArray(size int) []byte {
	// cgo's C.malloc never returns nil.
	return unsafe.Slice((*byte)(C.malloc(C.size_t(max(size, 1)))), size)
}

func freeStaticArray(array []byte) { C.free(unsafe.Pointer(unsafe.SliceData(array))) }

// newForeignArray is a slice over memory that libc's free releases, wherever
// the process's own malloc comes from.
func newForeignArray(size int) []byte {
	memory := C.zm_allocate(C.uint64_t(max(size, 1)))
	if memory == nil {
		panic(fmt.Errorf("no memory for %d octets", size))
	}
	return unsafe.Slice((*byte)(memory), size)
}

func addressOf(array []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(array))) }

// isFirstClass asks the language whether a value is an ordinary octet array.
func isFirstClass(value any) bool {
	_, is := value.([]byte)
	return is
}

// mismatches is the language's own comparison with the payload's pattern.
func mismatches(array []byte, seed uint64, index int) int {
	wrong := 0
	for k, octet := range matrix.Payload(seed, index, len(array)) {
		if array[k] != octet {
			wrong++
		}
	}
	return wrong
}

// patternCheck is C's comparison at an address.
func patternCheck(address uintptr, size int, seed uint64, index int) int {
	return int(C.bridge_mismatches(C.uintptr_t(address), C.uint64_t(size), C.uint64_t(seed), C.uint64_t(index)))
}

func peek(address uintptr, offset int) int {
	return int(C.bridge_peek(C.uintptr_t(address), C.uint64_t(offset)))
}

var kept [][]byte

// churn allocates 8 MiB of objects of mixed size, every seventh of which lives
// until the next churn.
func churn() {
	sizes := []int{24, 200, 1700, 13000, 100000}
	kept = nil
	for total, k := 0, 0; total < 8<<20; k++ {
		object := make([]byte, sizes[k%len(sizes)])
		object[0] = byte(k)
		if k%7 == 0 {
			kept = append(kept, object)
		}
		total += len(object)
	}
}

// collect is a full collection: it returns when the heap is marked and swept.
func collect() { runtime.GC() }

// collections is how many full collections were asked for and finished, by the
// runtime's own count.
func collections() int {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.NumForcedGC)
}

// fillByC lets C write the payload.
func fillByC(array []byte, seed uint64, index int) {
	C.zm_fill(unsafe.Pointer(unsafe.SliceData(array)), C.uint64_t(len(array)), C.uint64_t(seed), C.uint64_t(index))
}

// payloadOctet is one octet of the payload, which repeats.
func payloadOctet(seed uint64, index, place int) byte {
	place %= 4093
	return matrix.Payload(seed, index, place+1)[place]
}
