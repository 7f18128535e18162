//go:build cgo

package main

import (
	"fmt"
	"runtime"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func staticAreaAddressStable(t *task, r *report) error {
	sizes, gcs := t.numbers("sizes"), t.number("gcs")
	arrays := make([][]byte, len(sizes))
	before := make([]uintptr, len(sizes))
	for k, size := range sizes {
		r.step("allocate a static array of %d", size)
		arrays[k] = newStaticArray(size)
		matrix.FillPayload(arrays[k], t.seed, k)
		before[k] = addressOf(arrays[k])
	}
	moved := collectBeside(r, t.number("ordinary"), gcs, func() {})
	for k, size := range sizes {
		key := func(what string) string { return fmt.Sprintf("array.%d.%s", size, what) }
		r.flag(key("first-class"), isFirstClass(arrays[k]))
		r.address(key("address-before"), before[k])
		r.address(key("address-after"), addressOf(arrays[k]))
		r.count(key("mismatches"), patternCheck(before[k], size, t.seed, k))
		r.count(key("array-mismatches"), mismatches(arrays[k], t.seed, k))
		arrays[k][size/2] ^= 255
		r.flag(key("write-seen"), peek(before[k], size/2) == int(arrays[k][size/2]))
		freeStaticArray(arrays[k])
	}
	r.count("ordinary.moved", moved)
	r.count("gc.count", collections())
	return nil
}

// collectBeside does full collections with churn between and follows an
// ordinary array over them: after how many its address was another.
func collectBeside(r *report, size, gcs int, afterEach func()) int {
	ordinary := newOrdinaryArray(size)
	last, moved := addressOf(ordinary), 0
	for gc := range gcs {
		r.step("collection %d", gc)
		churn()
		collect()
		afterEach()
		if address := addressOf(ordinary); address != last {
			last = address
			moved++
		}
	}
	runtime.KeepAlive(ordinary)
	return moved
}

// newOrdinaryArray is on the heap: inlined, a small one might be on the stack,
// which does move.
//
//go:noinline
func newOrdinaryArray(size int) []byte { return make([]byte, size) }

func staticAreaSharedView(t *task, r *report) error {
	size, rounds := t.number("size"), t.number("rounds")
	array := newStaticArray(size)
	defer freeStaticArray(array)
	byC, byClient := 0, 0
	for round := range rounds {
		r.step("round %d", round)
		matrix.FillPayload(array, t.seed, 2*round)
		churn()
		collect()
		byC += patternCheck(addressOf(array), size, t.seed, 2*round)
		fillByC(array, t.seed, 2*round+1)
		churn()
		collect()
		byClient += mismatches(array, t.seed, 2*round+1)
	}
	r.count("c.mismatches", byC)
	r.count("client.mismatches", byClient)
	r.flag("array.first-class", isFirstClass(array))
	r.count("gc.count", collections())
	return nil
}

func staticAreaRelease(t *task, r *report) error {
	count, size := t.number("count"), t.number("size")
	allocated, released, wrong := 0, 0, 0
	r.step("allocate and release")
	for i := range count {
		array := newStaticArray(size)
		allocated++
		fillByC(array, t.seed, i)
		if array[size-1] != payloadOctet(t.seed, i, size-1) {
			wrong++
		}
		freeStaticArray(array)
		released++
	}
	r.count("allocated", allocated)
	r.count("released", released)
	r.count("wrong", wrong)
	return nil
}

func staticAreaPin(t *task, r *report) error {
	size, gcs := t.number("size"), t.number("gcs")
	array := newOrdinaryArray(size)
	matrix.FillPayload(array, t.seed, 0)
	var pinner runtime.Pinner
	pinner.Pin(&array[0])
	before, wrong := addressOf(array), 0
	unpinnedMoved := collectBeside(r, size, gcs, func() {
		wrong += patternCheck(before, size, t.seed, 0)
	})
	after := addressOf(array)
	pinner.Unpin()
	r.address("pinned.address-before", before)
	r.address("pinned.address-after", after)
	r.count("mismatches", wrong)
	r.count("gc.count", collections())
	r.count("unpinned.moved", unpinnedMoved)
	return nil
}
