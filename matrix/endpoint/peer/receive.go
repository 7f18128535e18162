//go:build cgo

package peer

/*
#cgo pkg-config: libzmq
#include <endian.h>
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

// BATCH_MESSAGES bounds how many messages one call takes, so that closing a
// lane waits for no more than that. BATCH_BYTES ends a batch early, while its
// bodies are still in the processor's cache for digesting. FRAMES_MAX bounds
// the frames of one message that are looked at; the rest is received and
// dropped. Frames up to SMALL bytes are copied, which is less work than to keep
// their zmq_msg_t and close it later. HEADER is the size of a header of
// matrix.Rolling's stream.
enum { BATCH_MESSAGES = 256, BATCH_BYTES = 256 << 10, FRAMES_MAX = 1024, SMALL = 256, HEADER = 8 };

typedef struct {
	void *data;
	size_t size;
	int more; // the message goes on in the next frame
} frame;

// A piece of matrix.Rolling's stream.
typedef struct {
	void *data;
	size_t size;
} piece;

typedef struct {
	int frames;
	int whole;         // messages
	int pieces;
	size_t bytes;      // of the frames, which leave out those dropped
	int held;          // messages that views point into; the next one is initialized, too
	int dry;           // nothing more was there
	int failed;        // errno, or 0
	long long dropped; // frames past FRAMES_MAX, in this batch
	frame views[BATCH_MESSAGES + FRAMES_MAX];
	piece stream[2 * (BATCH_MESSAGES + FRAMES_MAX) + 1];
	zmq_msg_t messages[BATCH_MESSAGES + FRAMES_MAX + 1];
	char copies[(BATCH_MESSAGES + FRAMES_MAX) * (HEADER + SMALL)]; // headers and small frames
} batch;

static batch *batch_new(void) {
	batch *b = malloc(sizeof *b); // its pages are touched as they are used
	if (b) {
		b->held = b->frames = 0;
		zmq_msg_init(&b->messages[0]);
	}
	return b;
}

static void batch_free(batch *b) {
	for (int k = 0; k <= b->held; k++) zmq_msg_close(&b->messages[k]);
	free(b);
}

static void batch_stream(batch *b, void *data, size_t size) {
	b->stream[b->pieces++] = (piece){data, size};
}

// batch_receive releases the batch and fills it anew with whole messages, not
// waiting for any: libzmq hands over the first frame of a message only when
// the last has arrived. It lays out the stream of matrix.Rolling on the way:
// one piece, but for large frames, which stay where they are.
static void batch_receive(batch *b, void *socket, int limit) {
	int frames_here = 0, more = 0, yielded = 0;
	size_t received = 0;
	char *copy = b->copies, *unstreamed = copy;
	for (int k = b->held; k > 0; k--) zmq_msg_close(&b->messages[k]);
	b->held = b->frames = b->whole = b->pieces = 0;
	b->bytes = 0;
	b->dry = b->failed = 0;
	b->dropped = 0;
	while (more || (b->whole < limit && b->whole < BATCH_MESSAGES && b->frames < BATCH_MESSAGES && received < BATCH_BYTES)) {
		zmq_msg_t *message = &b->messages[b->held];
		int got;
		do got = zmq_msg_recv(message, socket, ZMQ_DONTWAIT);
		while (got < 0 && errno == EINTR);
		if (got < 0) {
			// Once: libzmq's thread is usually about to bring more, and every
			// wait that is spared spares it a wake-up, too.
			if (errno == EAGAIN && b->whole && !yielded) {
				sched_yield();
				yielded = 1;
				continue;
			}
			// EFSM: a REP that owes a reply, a REQ that awaits no reply.
			if (errno == EAGAIN || errno == EFSM) b->dry = 1;
			else b->failed = errno;
			break;
		}
		more = zmq_msg_more(message);
		received += (size_t) got;
		if (frames_here < FRAMES_MAX) {
			frame *view = &b->views[b->frames++];
			view->data = zmq_msg_data(message);
			view->size = (size_t) got;
			view->more = more;
			b->bytes += (size_t) got;
			uint64_t header = htobe64((uint64_t) got | (frames_here ? 0 : (uint64_t) 1 << 63));
			memcpy(copy, &header, HEADER);
			copy += HEADER;
			if (got <= SMALL) {
				view->data = memcpy(copy, view->data, (size_t) got);
				copy += got;
			} else {
				batch_stream(b, unstreamed, (size_t) (copy - unstreamed));
				unstreamed = copy;
				batch_stream(b, view->data, view->size);
				zmq_msg_init(&b->messages[++b->held]);
			}
		} else {
			b->dropped++;
			b->views[b->frames - 1].more = more;
		}
		frames_here = more ? frames_here + 1 : 0;
		b->whole += !more;
	}
	if (copy > unstreamed) batch_stream(b, unstreamed, (size_t) (copy - unstreamed));
}

// keep_memory has malloc keep what is freed. By default it gives the memory of
// large bodies back to the kernel and gets it anew, zeroed page by page, for
// the next: at 1 MiB that costs as much as receiving. The mmap threshold is
// the largest that glibc takes.
static void keep_memory(void) {
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// keepMemory sets up the process's C memory for large bodies.
var keepMemory = sync.OnceFunc(func() { C.keep_memory() })

// handleOf is libzmq's socket behind pebbe's, which has no accessor for it and
// whose own receive allocates twice and copies: half the throughput. Reading
// the field by its name fails loudly should a later version rename it.
func handleOf(socket *zmq4.Socket) (unsafe.Pointer, error) {
	field := reflect.ValueOf(socket).Elem().FieldByName("soc")
	if !field.IsValid() || field.Kind() != reflect.UnsafePointer || field.UnsafePointer() == nil {
		return nil, errors.New("this version of pebbe/zmq4 keeps libzmq's socket elsewhere")
	}
	return field.UnsafePointer(), nil
}

// inbox receives messages from a socket in batches, without copying large
// bodies.
type inbox struct {
	handle unsafe.Pointer
	batch  *C.batch
	limit  C.int // messages per batch
	frames [][]byte
}

// newInbox makes an inbox that takes at most limit messages at once; 0 is as
// many as fit.
func newInbox(handle unsafe.Pointer, limit int) (*inbox, error) {
	if limit == 0 {
		limit = C.BATCH_MESSAGES
	}
	batch := C.batch_new()
	if batch == nil {
		return nil, errors.New("no memory to receive into")
	}
	return &inbox{handle: handle, batch: batch, limit: C.int(limit)}, nil
}

// receive takes what is there, up to a batch, in place of the batch before. It
// reports whether there may be more. What came before an error is in the batch.
func (in *inbox) receive() (more bool, err error) {
	batch := in.batch
	C.batch_receive(batch, in.handle, in.limit)
	if batch.failed != 0 {
		return false, fmt.Errorf("receive: %w", zmq4.Errno(batch.failed))
	}
	if batch.dropped > 0 {
		return batch.dry == 0, fmt.Errorf("receive: messages of more than %d frames; %d frames dropped", C.FRAMES_MAX, batch.dropped)
	}
	return batch.dry == 0, nil
}

// messages are the batch's, as frames that are good until the next.
func (in *inbox) messages() iter.Seq[[][]byte] {
	return func(yield func(frames [][]byte) bool) {
		frames := in.frames[:0]
		for k := range in.batch.views[:in.batch.frames] {
			view := &in.batch.views[k]
			frames = append(frames, unsafe.Slice((*byte)(view.data), int(view.size)))
			if view.more != 0 {
				continue
			}
			if !yield(frames) {
				break
			}
			frames = frames[:0]
		}
		in.frames = frames
	}
}

// totals are the batch's messages and the bytes of their frames.
func (in *inbox) totals() (messages, bytes int64) {
	return int64(in.batch.whole), int64(in.batch.bytes)
}

// stream is the batch as matrix.Rolling digests it, in pieces.
func (in *inbox) stream() iter.Seq[[]byte] {
	return func(yield func(piece []byte) bool) {
		for k := range in.batch.stream[:in.batch.pieces] {
			piece := &in.batch.stream[k]
			if !yield(unsafe.Slice((*byte)(piece.data), int(piece.size))) {
				return
			}
		}
	}
}

func (in *inbox) free() { C.batch_free(in.batch) }
