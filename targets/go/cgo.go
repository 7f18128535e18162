//go:build cgo

package main

/*
#cgo pkg-config: libzmq
#cgo CFLAGS: -std=gnu11 -Wall -Wextra -Wno-unused-parameter
#cgo LDFLAGS: -ldl -pthread
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"maps"
	"syscall"
	"time"
	"unsafe"
)

// cgoBinding is libzmq through cgo with nothing between: what breaks here is
// Go's runtime, not a binding.
func cgoBinding() binding {
	plain := []string{"plain"}
	features := map[string]feature{
		"callback/same-thread":        {techniques: plain, run: callbackSameThread},
		"callback/foreign-thread":     {techniques: plain, run: callbackForeignThread},
		"callback/concurrent-threads": {techniques: plain, run: callbackConcurrentThreads},
		"callback/masked-thread":      {techniques: plain, run: callbackMaskedThread},
		"callback/io-thread":          {techniques: plain, run: callbackIOThread},
		"callback/io-thread-gc":       {techniques: plain, run: callbackIOThread},
		"static-area/address-stable":  {techniques: plain, run: staticAreaAddressStable},
		"static-area/shared-view":     {techniques: plain, run: staticAreaSharedView},
		"static-area/release":         {techniques: plain, run: staticAreaRelease},
		"static-area/pin":             {techniques: plain, run: staticAreaPin},
		"zero-copy/callback-free":     {techniques: []string{"plain", "pin"}, run: zeroCopySend(callbackFree)},
		"zero-copy/deferred-free":     {techniques: []string{"c-queue", "plain", "pin"}, run: zeroCopySend(deferredFree)},
		"zero-copy/native-free":       {techniques: plain, run: zeroCopySend(nativeFree)},
		"zero-copy/kept-alive":        {techniques: []string{"plain", "pin"}, run: zeroCopySend(keptAlive)},
		"zero-copy/wire":              {techniques: []string{"plain", "pin"}, run: zeroCopySend(keptAlive)},
		"zero-copy/receive-in-place":  {techniques: plain, run: zeroCopyReceiveInPlace},
		"binding/loads":               {techniques: plain, run: bindingLoads},
		"binding/version":             {techniques: plain, run: bindingVersion(headerVersion)},
		"binding/message-size":        {techniques: plain, run: bindingMessageSize},
		"binding/errors":              {techniques: plain, run: bindingErrors(cgoErrors)},
	}
	maps.Copy(features, messagingFeatures(func() (messenger, error) { return newContext(), nil }))
	return binding{name: "cgo", libzmq: libzmqVersion, features: features}
}

func libzmqVersion() string {
	var major, minor, patch C.int
	C.zmq_version(&major, &minor, &patch)
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// untilDone repeats a call of libzmq that a signal has interrupted: Go's
// runtime stops threads with SIGURG to collect, and poll, in which libzmq
// waits, is not restarted (signal(7)).
func untilDone(what string, call func() (C.int, error)) error {
	for {
		result, err := call()
		switch {
		case result >= 0:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return fmt.Errorf("%s: %w", what, errTimeout)
		}
		var number syscall.Errno
		errors.As(err, &number)
		return fmt.Errorf("%s: %s: %w", what, C.GoString(C.zmq_strerror(C.int(number))), err)
	}
}

type context struct{ c unsafe.Pointer }

func newContext() *context { return &context{c: C.zmq_ctx_new()} }

func (c *context) terminate() error {
	return untilDone("zmq_ctx_term", func() (result C.int, err error) {
		result, err = C.zmq_ctx_term(c.c)
		return result, err
	})
}

// socket is a socket of libzmq's.
type socket struct{ s unsafe.Pointer }

type option struct{ name, value C.int }

func (c *context) socket(kind C.int, options ...option) (socket, error) {
	s, err := C.zmq_socket(c.c, kind)
	if s == nil {
		return socket{}, fmt.Errorf("zmq_socket: %w", err)
	}
	for _, o := range append([]option{{C.ZMQ_LINGER, -1}, {C.ZMQ_RCVTIMEO, C.int(patience.Milliseconds())}}, options...) {
		if err := (socket{s}).set(o); err != nil {
			return socket{}, err
		}
	}
	return socket{s}, nil
}

func (s socket) set(o option) error {
	return untilDone("zmq_setsockopt", func() (result C.int, err error) {
		result, err = C.zmq_setsockopt(s.s, o.name, unsafe.Pointer(&o.value), C.size_t(unsafe.Sizeof(o.value)))
		return result, err
	})
}

// connected is a socket connected to the endpoint. Options other than linger
// and the limit of receives are the feature's.
func (c *context) connected(kind C.int, endpoint string, options ...option) (socket, error) {
	s, err := c.socket(kind, options...)
	if err != nil {
		return socket{}, err
	}
	return s, s.attach("zmq_connect", endpoint)
}

func (c *context) bound(kind C.int, endpoint string) (socket, error) {
	s, err := c.socket(kind)
	if err != nil {
		return socket{}, err
	}
	return s, s.attach("zmq_bind", endpoint)
}

func (s socket) attach(how, endpoint string) error {
	address := C.CString(endpoint)
	defer C.free(unsafe.Pointer(address))
	return untilDone(how+" "+endpoint, func() (result C.int, err error) {
		if how == "zmq_bind" {
			result, err = C.zmq_bind(s.s, address)
		} else {
			result, err = C.zmq_connect(s.s, address)
		}
		return result, err
	})
}

func (s socket) close() error {
	return untilDone("zmq_close", func() (result C.int, err error) {
		result, err = C.zmq_close(s.s)
		return result, err
	})
}

// sendInPlace sends memory without a copy. It is C's, or pinned, until the free
// function has it.
func (s socket) sendInPlace(data unsafe.Pointer, size int, free *C.zmq_free_fn, hint uintptr) error {
	var message C.zmq_msg_t
	err := untilDone("zmq_msg_init_data", func() (result C.int, err error) {
		result, err = C.bridge_msg_init_data(&message, data, C.size_t(size), free, C.uintptr_t(hint))
		return result, err
	})
	if err != nil {
		return err
	}
	return untilDone("zmq_msg_send", func() (result C.int, err error) {
		result, err = C.zmq_msg_send(&message, s.s, 0)
		return result, err
	})
}

// sendCopy sends a copy by zmq_msg_init_size.
func (s socket) sendCopy(array []byte) error {
	var message C.zmq_msg_t
	err := untilDone("zmq_msg_init_size", func() (result C.int, err error) {
		result, err = C.zmq_msg_init_size(&message, C.size_t(len(array)))
		return result, err
	})
	if err != nil {
		return err
	}
	copy(unsafe.Slice((*byte)(C.zmq_msg_data(&message)), len(array)), array)
	return untilDone("zmq_msg_send", func() (result C.int, err error) {
		result, err = C.zmq_msg_send(&message, s.s, 0)
		return result, err
	})
}

// send sends one frame by zmq_send, which copies.
func (s socket) send(frame []byte, more bool) error {
	flags := C.int(0)
	if more {
		flags = C.ZMQ_SNDMORE
	}
	return untilDone("zmq_send", func() (result C.int, err error) {
		result, err = C.zmq_send(s.s, unsafe.Pointer(unsafe.SliceData(frame)), C.size_t(len(frame)), flags)
		return result, err
	})
}

// receiveInto receives a frame, to be closed.
func (s socket) receiveInto(message *C.zmq_msg_t) error {
	C.zmq_msg_init(message)
	return untilDone("zmq_msg_recv", func() (result C.int, err error) {
		result, err = C.zmq_msg_recv(message, s.s, 0)
		return result, err
	})
}

// What follows is messaging.

func (c *context) close() error { return c.terminate() }

func (c *context) connect(kind pattern, endpoint string, topics ...string) (peer, error) {
	kinds := map[pattern]C.int{req: C.ZMQ_REQ, rep: C.ZMQ_REP, push: C.ZMQ_PUSH, pull: C.ZMQ_PULL, pub: C.ZMQ_PUB, sub: C.ZMQ_SUB}
	s, err := c.connected(kinds[kind], endpoint)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		err := untilDone("subscribe to "+topic, func() (result C.int, err error) {
			result, err = C.zmq_setsockopt(s.s, C.ZMQ_SUBSCRIBE, unsafe.Pointer(unsafe.StringData(topic)), C.size_t(len(topic)))
			return result, err
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s socket) sendMessage(frames ...[]byte) error {
	for j, frame := range frames {
		if err := s.send(frame, j < len(frames)-1); err != nil {
			return err
		}
	}
	return nil
}

func (s socket) receiveMessage(limit time.Duration) ([][]byte, error) {
	if err := s.set(option{C.ZMQ_RCVTIMEO, C.int(limit.Milliseconds())}); err != nil {
		return nil, err
	}
	var frames [][]byte
	for more := true; more; {
		var message C.zmq_msg_t
		if err := s.receiveInto(&message); err != nil {
			return nil, err
		}
		frames = append(frames, C.GoBytes(C.zmq_msg_data(&message), C.int(C.zmq_msg_size(&message))))
		more = C.zmq_msg_more(&message) != 0
		C.zmq_msg_close(&message)
	}
	return frames, nil
}
