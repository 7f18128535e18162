//go:build cgo

package main

/*
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// There is no technique unblock-signals here: when a foreign thread enters Go,
// the runtime itself unblocks the synchronous signals and SIGURG, with which it
// preempts (runtime/signal_unix.go, minitSignalMask and blockableSig).

// What the functions that C calls know: C can hand them no Go pointer. It is
// set before the first call and read after the last.
var (
	callMarks      []uint32 // by sequence number
	callGCEvery    int
	callCollected  atomic.Int64
	freeFunction   func(data, hint uintptr)
	unexpectedFree atomic.Int64
)

//export goCalled
func goCalled(sequence, value C.uint64_t, cell *C.uint64_t) C.uint64_t {
	*cell = sequence
	if uint64(sequence) < uint64(len(callMarks)) {
		callMarks[sequence]++
	}
	C.zm_note_thread()
	if callGCEvery > 0 && uint64(sequence)%uint64(callGCEvery) == 0 {
		collect()
		callCollected.Add(1)
	}
	return value ^ sequence
}

//export goFreed
func goFreed(data, hint C.uintptr_t) {
	if freeFunction == nil {
		unexpectedFree.Add(1)
		return
	}
	freeFunction(uintptr(data), uintptr(hint))
}

func prepareCalls(t *task, calls int) *C.zm_function {
	callMarks = make([]uint32, calls)
	callGCEvery = t.number("gc-every")
	return C.bridge_function()
}

func onceAndRepeated(marks []uint32) (once, repeated int) {
	for _, mark := range marks {
		switch {
		case mark == 1:
			once++
		case mark > 1:
			repeated++
		}
	}
	return once, repeated
}

func observeCalls(r *report, collectedMeanwhile int) {
	once, repeated := onceAndRepeated(callMarks)
	r.count("calls.made", int(C.zm_calls_made()))
	r.count("calls.right", int(C.zm_calls_right()))
	r.count("calls.seen", once)
	r.count("calls.repeated", repeated)
	r.thread("thread.main", int(C.zm_thread_id()))
	r.text("thread.callers", C.GoString(C.zm_callers()), "thread")
	r.text("thread.ran-on", C.GoString(C.zm_noted_threads()), "thread")
	r.count("gc.during", collectedMeanwhile)
	r.count("gc.in-callback", int(callCollected.Load()))
}

func callbackSameThread(t *task, r *report) error {
	calls := t.number("calls")
	function := prepareCalls(t, calls)
	r.step("be called %d times on the main thread", calls)
	C.zm_call_here(function, C.uint64_t(calls), C.uint64_t(t.seed))
	observeCalls(r, 0)
	return nil
}

func callbackForeignThread(t *task, r *report) error {
	calls := t.number("calls")
	function := prepareCalls(t, calls)
	r.step("be called %d times on a thread of the fixture", calls)
	if code := C.zm_call_threads(function, 1, C.uint64_t(calls), C.uint64_t(t.number("pace-us")), 0, C.uint64_t(t.seed)); code != 0 {
		return fmt.Errorf("start a thread: %w", syscall.Errno(code))
	}
	observeCalls(r, 0)
	return nil
}

func callbackConcurrentThreads(t *task, r *report) error { return callBesideWork(t, r, false) }

func callbackMaskedThread(t *task, r *report) error { return callBesideWork(t, r, true) }

func callBesideWork(t *task, r *report, masked bool) error {
	threads, calls := t.number("threads"), t.number("calls")
	function := prepareCalls(t, threads*calls)
	mask := C.int(0)
	if masked {
		mask = 1
	}
	r.step("be called %d times on each of %d threads of the fixture", calls, threads)
	if code := C.zm_start_threads(function, C.int(threads), C.uint64_t(calls), C.uint64_t(t.number("pace-us")), mask, C.uint64_t(t.seed)); code != 0 {
		return fmt.Errorf("start threads: %w", syscall.Errno(code))
	}
	collected := 0
	work := make([]byte, 4096)
	for C.zm_threads_running() != 0 {
		churn()
		matrix.FillPayload(work, t.seed, 0)
		if wrong := mismatches(work, t.seed, 0); wrong != 0 {
			return fmt.Errorf("what the main thread computed meanwhile is wrong in %d octets", wrong)
		}
		collect()
		if C.zm_threads_running() != 0 {
			collected++
		}
	}
	C.zm_join_threads()
	observeCalls(r, collected)
	if masked {
		r.count("mask.blocked", int(C.zm_mask_blocked()))
	}
	return nil
}

// callbackIOThread is callback/io-thread and callback/io-thread-gc.
func callbackIOThread(t *task, r *report) error {
	count, size := t.number("count"), t.number("size")
	gcMain, gcEvery := t.number("gc-main"), t.number("gc-every")
	marks := make([]uint32, count) // by hint - 1
	bodies := make([]uintptr, count)
	var freed, unknown, wrongPointer, collectedInCallback atomic.Int64
	freeFunction = func(data, hint uintptr) {
		if hint < 1 || hint > uintptr(count) {
			unknown.Add(1)
			return
		}
		marks[hint-1]++
		if data != bodies[hint-1] {
			wrongPointer.Add(1)
		}
		C.zm_note_thread()
		if gcEvery > 0 && hint%uintptr(gcEvery) == 0 {
			collect()
			collectedInCallback.Add(1)
		}
		freed.Add(1)
	}

	context := newContext()
	push, err := context.connected(C.ZMQ_PUSH, t.endpoint(""))
	if err != nil {
		return err
	}
	collected := 0
	for i := range count {
		body := C.malloc(C.size_t(max(size, 1)))
		matrix.FillPayload(unsafe.Slice((*byte)(body), size), t.seed, i)
		bodies[i] = uintptr(body)
		r.step("send message %d", i)
		if err := push.sendInPlace(body, size, C.bridge_free_function(), uintptr(i+1)); err != nil {
			return err
		}
		if gcMain > 0 && (i+1)%gcMain == 0 {
			collect()
			if freed.Load() < int64(count) {
				collected++
			}
		}
	}
	r.step("wait for the free function")
	waitFor(func() bool { return freed.Load() >= int64(count) }, freed.Load)
	if err := push.close(); err != nil {
		return err
	}
	r.step("terminate the context")
	if err := context.terminate(); err != nil {
		return err
	}
	// Only now, as libzmq may still read what it has not freed.
	for _, body := range bodies {
		C.bridge_free(C.uintptr_t(body))
	}

	once, repeated := onceAndRepeated(marks)
	r.count("frees.once", once)
	r.count("frees.repeated", repeated)
	r.count("frees.unknown", int(unknown.Load()))
	r.count("frees.wrong-pointer", int(wrongPointer.Load()))
	r.thread("thread.main", int(C.zm_thread_id()))
	r.text("thread.ran-on", C.GoString(C.zm_noted_threads()), "thread")
	r.text("thread.names", C.GoString(C.zm_noted_names()), "list")
	r.count("gc.during", collected)
	r.count("gc.in-callback", int(collectedInCallback.Load()))
	return nil
}

// waitFor waits until done, or until progress has not changed for ten seconds.
func waitFor(done func() bool, progress func() int64) bool {
	last, since := progress(), time.Now()
	for !done() {
		if now := progress(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 10*time.Second {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}
