//go:build linux

package supervisor

import (
	"bytes"

	"golang.org/x/sys/unix"
)

const (
	// readSize is what one read takes at most: a pipe's usual capacity.
	readSize = 64 << 10
	// readsAtOnce bounds how long a flood keeps us from looking at the bounds.
	readsAtOnce = 16
)

// stream is the reading end of a pipe, which does not block.
type stream struct {
	descriptor int
	ended      bool
	buffer     []byte
}

// each takes what can be read now, a chunk at a time.
func (s *stream) each(take func(chunk []byte)) {
	if s.buffer == nil {
		s.buffer = make([]byte, readSize)
	}
	for range readsAtOnce {
		if s.ended {
			return
		}
		n, err := unix.Read(s.descriptor, s.buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			s.ended = true
		default:
			take(s.buffer[:n])
		}
	}
}

func (s *stream) close() { unix.Close(s.descriptor) }

// head keeps the beginning of a probe's standard output: the report stands
// there, and what follows a flood is no report.
type head struct {
	stream
	limit     int
	firstLine func() int64 // called when the first newline has come

	kept     []byte
	lost     int64
	seen     bool  // the first newline
	baseline int64 // what firstLine returned
}

func (h *head) read() {
	h.each(func(chunk []byte) {
		if !h.seen && bytes.IndexByte(chunk, '\n') >= 0 {
			h.seen, h.baseline = true, h.firstLine()
		}
		room := min(len(chunk), h.limit-len(h.kept))
		h.kept = append(h.kept, chunk[:room]...)
		h.lost += int64(len(chunk) - room)
	})
}

// flooded reports whether more than floodFactor times the limit came.
func (h *head) flooded() bool { return h.lost > (floodFactor-1)*int64(h.limit) }

// tail keeps the end of a probe's standard error: what it says last says why.
type tail struct {
	stream
	limit int

	kept []byte // up to twice the limit while reading, so that cutting is rare
	lost int64
}

func (t *tail) read() {
	t.each(func(chunk []byte) {
		t.kept = append(t.kept, chunk...)
		if len(t.kept) > 2*t.limit {
			t.cut()
		}
	})
	if t.ended {
		t.cut()
	}
}

func (t *tail) cut() {
	if over := len(t.kept) - t.limit; over > 0 {
		t.lost += int64(over)
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

// close also cuts what was read of a stream that did not come to its end.
func (t *tail) close() {
	t.cut()
	t.stream.close()
}
