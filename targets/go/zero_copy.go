//go:build cgo

package main

/*
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// way is how the memory of a sent message is given back.
type way int

const (
	callbackFree way = iota // a Go function, called by libzmq, releases it
	deferredFree            // the fixture's function queues it, the main goroutine releases it
	nativeFree              // libc's free is the free function
	keptAlive               // no free function: released after the context's end
)

// buffer is the memory of one message.
type buffer struct {
	array    []byte
	address  uintptr
	pinner   runtime.Pinner // holds the array where it is an ordinary one
	released uint32         // how often
}

// sends is one attempt at a zero-copy send. buffers has the tcp messages' by
// hint - 1, and the inproc message's as the last.
type sends struct {
	way     way
	pin     bool // ordinary arrays, pinned, instead of static ones
	task    *task
	report  *report
	count   int
	buffers []buffer

	freed     atomic.Int64 // tcp messages released
	unknown   atomic.Int64
	counting  bool // between the first tcp send and the last release
	collected int

	collectEvery        uintptr // in the callback, by hint; 0 for never
	collectedInCallback atomic.Int64
}

// release gives back the memory behind the hint. On any thread.
func (s *sends) release(data, hint uintptr) {
	if hint < 1 || hint > uintptr(len(s.buffers)) || data != s.buffers[hint-1].address {
		s.unknown.Add(1)
		return
	}
	b := &s.buffers[hint-1]
	b.released++
	if b.released == 1 {
		if s.pin {
			b.pinner.Unpin()
		} else {
			freeStaticArray(b.array)
		}
		b.array = nil
	}
	if hint <= uintptr(s.count) {
		s.freed.Add(1)
	}
}

// drain releases what the fixture has queued.
func (s *sends) drain() {
	var data, hint C.uintptr_t
	for s.way == deferredFree && C.bridge_queue_take(&data, &hint) != 0 {
		s.release(uintptr(data), uintptr(hint))
	}
}

// waitForReleases waits until so many are released, or ten seconds have passed
// without a further one.
func (s *sends) waitForReleases(target int) bool {
	return waitFor(func() bool {
		s.drain()
		return s.freed.Load() >= int64(target)
	}, s.freed.Load)
}

// releasesAreKnown is whether the client learns of releases while it sends.
func (s *sends) releasesAreKnown() bool { return s.way == callbackFree || s.way == deferredFree }

func (s *sends) freeFunction() *C.zmq_free_fn {
	switch s.way {
	case callbackFree:
		return C.bridge_free_function()
	case deferredFree:
		return C.bridge_queue_free()
	case nativeFree:
		return C.bridge_libc_free()
	}
	return nil
}

// newBuffer makes the memory behind a hint, filled with the payload.
func (s *sends) newBuffer(hint uintptr, size, index int) *buffer {
	b := &s.buffers[hint-1]
	switch {
	case s.way == nativeFree:
		b.array = newForeignArray(size)
	case s.pin:
		b.array = newOrdinaryArray(size)
		b.pinner.Pin(&b.array[0])
	default:
		b.array = newStaticArray(size)
	}
	b.address = addressOf(b.array)
	matrix.FillPayload(b.array, s.task.seed, index)
	return b
}

func (s *sends) collect() {
	collect()
	if s.counting && (!s.releasesAreKnown() || s.freed.Load() < int64(s.count)) {
		s.collected++
	}
	churn()
}

// inproc sends an array to the other end of a pair and stores into it before it
// is received.
func (s *sends) inproc(sender, receiver socket, prefix string, array []byte, send func() error) error {
	s.report.step("send over inproc: %sarray", prefix)
	size, address := len(array), addressOf(array)
	if err := send(); err != nil {
		return err
	}
	s.collect()
	stored := array[size/2] ^ 255
	array[size/2] = stored
	var message C.zmq_msg_t
	if err := receiver.receiveInto(&message); err != nil {
		return err
	}
	if got := int(C.zmq_msg_size(&message)); got != size {
		return fmt.Errorf("%d octets were sent over inproc, and %d received", size, got)
	}
	received := uintptr(C.zmq_msg_data(&message))
	s.report.address(prefix+"array-address", address)
	s.report.address(prefix+"received-address", received)
	s.report.count(prefix+"stored", int(stored))
	s.report.count(prefix+"seen", peek(received, size/2))
	C.zmq_msg_close(&message)
	s.drain()
	return nil
}

func (s *sends) overInproc(context *context) error {
	size := s.task.number("inproc-size")
	receiver, err := context.bound(C.ZMQ_PAIR, "inproc://zero-copy")
	if err != nil {
		return err
	}
	sender, err := context.connected(C.ZMQ_PAIR, "inproc://zero-copy")
	if err != nil {
		return err
	}
	hint := uintptr(s.count + 1)
	b := s.newBuffer(hint, size, 1_000_000)
	err = s.inproc(sender, receiver, "inproc.", b.array, func() error {
		return sender.sendInPlace(unsafe.Pointer(&b.array[0]), size, s.freeFunction(), hint)
	})
	if err != nil {
		return err
	}
	copied := matrix.Payload(s.task.seed, 1_000_000, size)
	err = s.inproc(sender, receiver, "copy.inproc.", copied, func() error { return sender.sendCopy(copied) })
	if err != nil {
		return err
	}
	if err := sender.close(); err != nil {
		return err
	}
	return receiver.close()
}

func (s *sends) overTCP(sink socket) error {
	sizes, window, gcEvery := s.task.numbers("sizes"), s.task.number("window"), s.task.number("gc-every")
	var list []string
	for i := range s.count {
		s.drain()
		if window > 0 && s.releasesAreKnown() && i >= window && !s.waitForReleases(i-window+1) {
			return fmt.Errorf("before message %d: of as many sent %d were released", i, s.freed.Load())
		}
		size := sizes[i%len(sizes)]
		b := s.newBuffer(uintptr(i+1), size, i)
		list = append(list, fmt.Sprintf("%s+%d", hex(b.address), size))
		s.report.step("send message %d", i)
		// The slice must not be read again: once sent it may be released.
		if err := sink.sendInPlace(unsafe.Pointer(&b.array[0]), size, s.freeFunction(), uintptr(i+1)); err != nil {
			return err
		}
		s.counting = true
		if gcEvery > 0 && (i+1)%gcEvery == 0 {
			s.collect()
		}
	}
	s.report.text("tcp.arrays", strings.Join(list, ","), "list")
	return nil
}

// copyOverTCP is the control: ordinary sends, of arrays that are returned to be
// kept.
func (s *sends) copyOverTCP(sink socket) ([][]byte, error) {
	count, size := s.task.number("copy-count"), s.task.number("copy-size")
	var arrays [][]byte
	var list []string
	for i := range count {
		array := matrix.Payload(s.task.seed, 500_000+i, size)
		arrays = append(arrays, array)
		list = append(list, fmt.Sprintf("%s+%d", hex(addressOf(array)), size))
		s.report.step("send copied message %d", i)
		if err := sink.send(array, false); err != nil {
			return nil, err
		}
	}
	s.report.text("copy.arrays", strings.Join(list, ","), "list")
	return arrays, nil
}

func zeroCopySend(chosen way) func(*task, *report) error {
	return func(t *task, r *report) error {
		s := &sends{way: chosen, pin: t.technique == "pin", task: t, report: r, count: t.number("count")}
		s.buffers = make([]buffer, s.count+1)
		s.collectEvery = uintptr(t.number("gc-every"))
		freeFunction = func(data, hint uintptr) {
			if hint <= uintptr(s.count) {
				C.zm_note_thread()
				if s.collectEvery > 0 && hint%s.collectEvery == 0 {
					collect()
					s.collectedInCallback.Add(1)
				}
			}
			s.release(data, hint)
		}
		return s.run()
	}
}

func (s *sends) run() error {
	context := newContext()
	if err := s.overInproc(context); err != nil {
		return err
	}
	sink, err := context.connected(C.ZMQ_PUSH, s.task.endpoint("sink"), option{C.ZMQ_SNDHWM, 4})
	if err != nil {
		return err
	}
	if err := s.overTCP(sink); err != nil {
		return err
	}
	control, err := context.connected(C.ZMQ_PUSH, s.task.endpoint("copy"), option{C.ZMQ_SNDHWM, 4})
	if err != nil {
		return err
	}
	copied, err := s.copyOverTCP(control)
	if err != nil {
		return err
	}
	if s.releasesAreKnown() {
		s.report.step("wait for the releases")
		s.waitForReleases(s.count)
	}
	if err := sink.close(); err != nil {
		return err
	}
	if err := control.close(); err != nil {
		return err
	}
	s.report.step("terminate the context")
	if err := context.terminate(); err != nil {
		return err
	}
	runtime.KeepAlive(copied)
	s.drain()
	if s.way == keptAlive {
		for k := range s.buffers {
			s.release(s.buffers[k].address, uintptr(k+1))
		}
	}
	s.observe()
	return nil
}

func (s *sends) observe() {
	once, repeated := 0, 0
	for k := range s.count {
		switch released := s.buffers[k].released; {
		case released == 1:
			once++
		case released > 1:
			repeated++
		}
	}
	if s.way == nativeFree {
		once = -1
	}
	s.report.count("release.once", once)
	s.report.count("release.repeated", repeated)
	s.report.count("release.unknown", int(s.unknown.Load()))
	// A slice over memory of C's is an array of the language like any other.
	s.report.text("memory", "array", "text")
	s.report.flag("array.first-class", isFirstClass(s.buffers[0].array))
	s.report.thread("thread.main", int(C.zm_thread_id()))
	s.report.text("thread.ran-on", C.GoString(C.zm_noted_threads()), "thread")
	s.report.count("gc.during", s.collected)
	s.report.count("gc.in-callback", int(s.collectedInCallback.Load()))
}

func zeroCopyReceiveInPlace(t *task, r *report) error {
	count := t.number("count")
	context := newContext()
	source, err := context.connected(C.ZMQ_PULL, t.endpoint("source"))
	if err != nil {
		return err
	}
	var digests []string
	inPlace, toView, toC, copySeen := 0, 0, 0, 0
	for i := range count {
		r.step("receive message %d", i)
		var message C.zmq_msg_t
		if err := source.receiveInto(&message); err != nil {
			return err
		}
		data := C.zmq_msg_data(&message)
		size := int(C.zmq_msg_size(&message))
		if size < 4 {
			return fmt.Errorf("message %d has only %d octets", i, size)
		}
		view := unsafe.Slice((*byte)(data), size)
		digests = append(digests, fmt.Sprintf("%08x", crc32.ChecksumIEEE(view)))
		if addressOf(view) == uintptr(data) {
			inPlace++
		}
		changed := view[size/2] ^ 255
		C.zm_poke(data, C.uint64_t(size/2), C.int(changed))
		if view[size/2] == changed {
			toView++
		}
		written := view[size/3] ^ 255
		view[size/3] = written
		if peek(uintptr(data), size/3) == int(written) {
			toC++
		}
		copied := slices.Clone(view)
		poked := copied[size/4] ^ 255
		C.zm_poke(data, C.uint64_t(size/4), C.int(poked))
		if copied[size/4] == poked {
			copySeen++
		}
		C.zmq_msg_close(&message)
	}
	if err := source.close(); err != nil {
		return err
	}
	if err := context.terminate(); err != nil {
		return err
	}
	r.text("received.digests", strings.Join(digests, ","), "digest")
	r.count("views.in-place", inPlace)
	r.count("store.c-to-view", toView)
	r.count("store.view-to-c", toC)
	r.count("copy.seen", copySeen)
	r.text("view.kind", "array", "text")
	return nil
}
