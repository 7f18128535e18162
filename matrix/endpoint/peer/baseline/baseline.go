//go:build cgo

// Package baseline is what the sink's throughput is measured against: a sender
// and the plainest receive loop, both in C, as libzmq's own perf/remote_thr.cpp
// and perf/local_thr.cpp have them. It is a package because cgo is not allowed
// in tests.
package baseline

/*
#cgo pkg-config: libzmq
#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

static int send_all(const char *address, size_t size, long count) {
	void *context = zmq_ctx_new();
	void *socket = zmq_socket(context, ZMQ_PUSH);
	int failed = zmq_connect(socket, address) ? errno : 0;
	for (long i = 0; i < count && !failed; i++) {
		zmq_msg_t message;
		zmq_msg_init_size(&message, size);
		while (zmq_msg_send(&message, socket, 0) < 0 && !failed)
			if (errno != EINTR) failed = errno;
	}
	zmq_close(socket);
	zmq_ctx_term(context);
	return failed;
}

static int sink_bind(void *socket, char *address, size_t length) {
	int failed = zmq_bind(socket, "tcp://127.0.0.1:*") || zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, address, &length);
	return failed ? errno : 0;
}

static int receive_all(void *socket, long count) {
	zmq_msg_t message;
	int failed = 0;
	zmq_msg_init(&message);
	for (long i = 0; i < count && !failed; i++)
		while (zmq_msg_recv(&message, socket, 0) < 0 && !failed)
			if (errno != EINTR) failed = errno;
	zmq_msg_close(&message);
	return failed;
}
*/
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Send sends count messages of size bytes from one thread and returns when
// they have been handed to the kernel.
func Send(address string, size, count int) error {
	text := C.CString(address)
	defer C.free(unsafe.Pointer(text))
	if number := C.send_all(text, C.size_t(size), C.long(count)); number != 0 {
		return fmt.Errorf("send to %s: %w", address, syscall.Errno(number))
	}
	return nil
}

// Sink is a bound PULL.
type Sink struct {
	context, socket unsafe.Pointer
	Address         string
}

// Open binds a PULL on the loopback interface.
func Open() (*Sink, error) {
	sink := &Sink{context: C.zmq_ctx_new()}
	sink.socket = C.zmq_socket(sink.context, C.ZMQ_PULL)
	var address [256]C.char
	if number := C.sink_bind(sink.socket, &address[0], C.size_t(len(address))); number != 0 {
		sink.Close()
		return nil, fmt.Errorf("bind a PULL: %w", syscall.Errno(number))
	}
	sink.Address = C.GoString(&address[0])
	return sink, nil
}

// Receive receives count messages one by one, each into the place of the one
// before.
func (s *Sink) Receive(count int) error {
	if number := C.receive_all(s.socket, C.long(count)); number != 0 {
		return fmt.Errorf("receive: %w", syscall.Errno(number))
	}
	return nil
}

// Close closes the socket and its context.
func (s *Sink) Close() {
	C.zmq_close(s.socket)
	C.zmq_ctx_term(s.context)
}
