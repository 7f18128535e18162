//go:build cgo

package peer

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// stream sends the messages of a spec, one frame at a time and never waiting:
// a frame that libzmq would not take is kept and offered again.
type stream struct {
	socket *zmq4.Socket
	spec   matrix.SocketSpec
	parts  int
	// message and part are the next frame's place; frame holds its bytes if
	// filled.
	message, part int
	frame         []byte
	filled        bool
}

func newStream(socket *zmq4.Socket, spec matrix.SocketSpec) *stream {
	return &stream{socket: socket, spec: spec, parts: max(spec.Parts, 1)}
}

// send sends the next whole message, preceded by the topic frames. It reports
// false if the socket would block.
func (s *stream) send(topic ...string) (sent bool, err error) {
	frames := s.parts + len(topic)
	for ; s.part < frames; s.part++ {
		if !s.filled {
			s.fill(topic)
		}
		flags := zmq4.DONTWAIT
		if s.part < frames-1 {
			flags |= zmq4.SNDMORE
		}
		if _, err := s.socket.SendBytes(s.frame, flags); wouldBlock(err) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("send frame %d of message %d: %w", s.part, s.message, err)
		}
		s.filled = false
	}
	s.part = 0
	s.message++
	return true, nil
}

func (s *stream) fill(topic []string) {
	s.filled = true
	if s.part < len(topic) {
		s.frame = append(s.frame[:0], topic[s.part]...)
		return
	}
	s.frame = s.spec.AppendFrame(s.frame[:0], s.message, s.part-len(topic))
}

func wouldBlock(err error) bool {
	var number zmq4.Errno
	return errors.As(err, &number) && number == zmq4.Errno(syscall.EAGAIN)
}
