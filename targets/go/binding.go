//go:build cgo

package main

/*
#include "bridge.h"
#include <stdlib.h>
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	zmq "github.com/pebbe/zmq4"
)

// bindingLoads: Go's compiler has no warnings and takes a clash of names for an
// error. A binding that has one leaves no probe to say so.
func bindingLoads(_ *task, r *report) error {
	r.text("loads.by", fmt.Sprintf("%s (%s), which knows errors only", runtime.Version(), runtime.Compiler), "text")
	for _, key := range []string{"loads.warnings", "loads.style-warnings", "loads.conflicts"} {
		r.count(key, 0)
	}
	r.text("loads.first-warning", "", "text")
	r.text("loads.first-conflict", "", "text")
	return nil
}

// bindingVersion compares what the binding says with zmq_version.
func bindingVersion(says func() string) func(*task, *report) error {
	return func(_ *task, r *report) error {
		r.text("version.binding", says(), "text")
		r.text("version.library", libzmqVersion(), "text")
		r.text("version.own", "", "text")
		return nil
	}
}

// headerVersion is that of the zmq.h that the probe was built with.
func headerVersion() string {
	return fmt.Sprintf("%d.%d.%d", C.ZMQ_VERSION_MAJOR, C.ZMQ_VERSION_MINOR, C.ZMQ_VERSION_PATCH)
}

func bindingMessageSize(_ *task, r *report) error {
	c := newContext()
	// -1 before libzmq 4.2.
	size := C.zmq_ctx_get(c.c, C.ZMQ_MSG_T_SIZE)
	r.step("write into messages before a guard")
	furthest, err := furthestWrite()
	if err != nil {
		return err
	}
	if err := c.terminate(); err != nil {
		return err
	}
	r.bytes("size.believed", int(unsafe.Sizeof(C.zmq_msg_t{})))
	r.bytes("size.library", int(size))
	r.bytes("size.touched", furthest)
	return nil
}

// furthestWrite is how far libzmq writes into a message by any of the ways to
// fill one. Two patterns: an octet that is written may happen to be one of them.
func furthestWrite() (int, error) {
	const guard = 512
	memory, source := newForeignArray(guard), newForeignArray(guard)
	defer C.zm_release(unsafe.Pointer(unsafe.SliceData(memory)))
	defer C.zm_release(unsafe.Pointer(unsafe.SliceData(source)))
	message, other := (*C.zmq_msg_t)(unsafe.Pointer(unsafe.SliceData(memory))), (*C.zmq_msg_t)(unsafe.Pointer(unsafe.SliceData(source)))
	ways := []func() C.int{func() C.int { return C.zmq_msg_init(message) }}
	for _, size := range []C.size_t{8, 1000} {
		ways = append(ways,
			func() C.int { return C.zmq_msg_init_size(message, size) },
			// A receive moves the message in the same way.
			func() C.int {
				C.zmq_msg_init(message)
				C.zmq_msg_init_size(other, size)
				defer C.zmq_msg_close(other)
				return C.zmq_msg_move(message, other)
			})
	}
	furthest := 0
	for _, pattern := range []string{"\xa5", "\x5a"} {
		for i, way := range ways {
			copy(memory, bytes.Repeat([]byte(pattern), guard))
			if way() != 0 {
				return 0, fmt.Errorf("fill a message in way %d: failed", i)
			}
			furthest = max(furthest, len(bytes.TrimRight(memory, pattern)))
			C.zmq_msg_close(message)
		}
	}
	return furthest, nil
}

// errorsOf makes a binding's errors; each is nil where none came.
type errorsOf struct {
	eagain, efsm, eaddrinuse, eterm func() error
	// number is what the error carries, if it is of the binding's own kind.
	number func(error) (number int, own bool)
	close  func() error
}

func bindingErrors(open func() (errorsOf, error)) func(*task, *report) error {
	return func(_ *task, r *report) error {
		made, err := open()
		if err != nil {
			return fmt.Errorf("make sockets: %w", err)
		}
		for _, each := range []struct {
			name    string
			step    string
			provoke func() error
		}{
			{"eagain", "receive where nothing comes", made.eagain},
			{"efsm", "receive a reply before there was a request", made.efsm},
			{"eaddrinuse", "bind a second socket to the same endpoint", made.eaddrinuse},
			{"eterm", "receive from a terminated context", made.eterm},
		} {
			r.step("%s", each.step)
			err := each.provoke()
			number, own := -1, false
			condition := ""
			if err != nil {
				condition = fmt.Sprintf("%T: %v", err, err)
				number, own = made.number(err)
			}
			r.text(each.name+".missing", "", "text")
			r.flag(each.name+".signalled", err != nil)
			r.text(each.name+".condition", condition, "text")
			r.flag(each.name+".own", own)
			r.count(each.name+".number", number)
		}
		r.step("close and terminate")
		return made.close()
	}
}

const errorsEndpoint = "inproc://errors"

// cgoErrors: the raw layer's own kind is what cgo makes of errno.
func cgoErrors() (errorsOf, error) {
	c := newContext()
	pull, err := c.bound(C.ZMQ_PULL, errorsEndpoint)
	if err != nil {
		return errorsOf{}, err
	}
	second, err := c.socket(C.ZMQ_PULL)
	if err != nil {
		return errorsOf{}, err
	}
	asking, err := c.socket(C.ZMQ_REQ)
	if err != nil {
		return errorsOf{}, err
	}
	if err := pull.set(option{C.ZMQ_RCVTIMEO, 1}); err != nil {
		return errorsOf{}, err
	}
	receive := func(s socket) func() error {
		return func() error {
			var message C.zmq_msg_t
			C.zmq_msg_init(&message)
			defer C.zmq_msg_close(&message)
			for {
				result, err := C.zmq_msg_recv(&message, s.s, 0)
				switch {
				case result >= 0:
					return nil
				case !errors.Is(err, syscall.EINTR):
					return err
				}
			}
		}
	}
	return errorsOf{
		eagain: receive(pull),
		efsm:   receive(asking),
		eaddrinuse: func() error {
			address := C.CString(errorsEndpoint)
			defer C.free(unsafe.Pointer(address))
			if result, err := C.zmq_bind(second.s, address); result < 0 {
				return err
			}
			return nil
		},
		eterm: func() error {
			if result, err := C.zmq_ctx_shutdown(c.c); result < 0 {
				return fmt.Errorf("zmq_ctx_shutdown: %w", err)
			}
			return receive(pull)()
		},
		number: func(err error) (int, bool) {
			number, own := err.(syscall.Errno)
			if !own {
				return -1, false
			}
			return int(number), true
		},
		close: func() error {
			return errors.Join(pull.close(), second.close(), asking.close(), c.terminate())
		},
	}, nil
}

// pebbeErrors: pebbe has no zmq_ctx_shutdown, and Term waits for the sockets, so
// that it runs on a goroutine of its own while the main one receives.
func pebbeErrors() (errorsOf, error) {
	context, err := zmq.NewContext()
	if err != nil {
		return errorsOf{}, err
	}
	var sockets []*zmq.Socket
	for _, kind := range []zmq.Type{zmq.PULL, zmq.PULL, zmq.REQ} {
		socket, err := context.NewSocket(kind)
		if err != nil {
			return errorsOf{}, err
		}
		if err := socket.SetLinger(0); err != nil {
			return errorsOf{}, err
		}
		sockets = append(sockets, socket)
	}
	pull, second, asking := sockets[0], sockets[1], sockets[2]
	if err := pull.Bind(errorsEndpoint); err != nil {
		return errorsOf{}, err
	}
	terminated := make(chan error, 1)
	receive := func(socket *zmq.Socket) error {
		_, err := socket.RecvBytes(0)
		return err
	}
	return errorsOf{
		eagain: func() error {
			if err := pull.SetRcvtimeo(1e6); err != nil {
				return fmt.Errorf("set the limit of a receive: %w", err)
			}
			return receive(pull)
		},
		efsm:       func() error { return receive(asking) },
		eaddrinuse: func() error { return second.Bind(errorsEndpoint) },
		eterm: func() error {
			if err := pull.SetRcvtimeo(patience); err != nil {
				return fmt.Errorf("set the limit of a receive: %w", err)
			}
			go func() { terminated <- context.Term() }()
			return receive(pull)
		},
		number: func(err error) (int, bool) {
			number, own := err.(zmq.Errno)
			if !own {
				return -1, false
			}
			return int(number), true
		},
		close: func() error {
			return errors.Join(pull.Close(), second.Close(), asking.Close(), <-terminated)
		},
	}, nil
}
