//go:build cgo

package peer

import (
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// actor plays the role of one socket.
type actor interface {
	// step does a bounded amount of what can be done without waiting. It
	// reports more unless the socket would block or there is nothing left to
	// do: it is called again only after a change, and a change is told once.
	step() (more bool, err error)
	free()
}

// stepMessages bounds the messages a sender sends in one step.
const stepMessages = 64

// queueBytes is what a socket's queues hold of messages as large as the spec
// promises, which bounds the endpoint's memory when a peer does not read. It
// is more than the kernel's buffers, so that TCP and not the queue decides
// throughput.
const queueBytes = 64 << 20

// queueMessages is the high-water mark for a spec: libzmq counts messages, not
// bytes. Its own default, 1000, stays where bodies are small. The floor keeps
// connection and lane from waiting for each other in turns. Frames larger
// than promised, up to endpoint.MaxFrameSize, can pass the bound while the
// lane's goroutine does not run, at most so many times.
func queueMessages(spec matrix.SocketSpec) int {
	const libzmqDefault, floor = 1000, 4
	largest := 1
	for _, size := range spec.Sizes {
		largest = max(largest, size*max(spec.Parts, 1))
	}
	return min(max(queueBytes/largest, floor), libzmqDefault)
}

// sink receives and digests.
type sink struct {
	inbox *inbox
	tally *tally
}

func (s *sink) step() (bool, error) {
	more, err := s.inbox.receive()
	s.tally.receivedAll(s.inbox)
	return more, err
}

func (s *sink) free() { s.inbox.free() }

// source sends Count messages.
type source struct {
	stream *stream
	tally  *tally
}

func (s *source) step() (bool, error) {
	for range stepMessages {
		if s.stream.message == s.stream.spec.Count {
			return false, nil
		}
		sent, err := s.stream.send()
		if err != nil || !sent {
			return false, err
		}
		s.tally.account.Sent++
	}
	return true, nil
}

func (s *source) free() {}

// dialogue is a replier or a requester: it sends and receives in turns.
type dialogue struct {
	inbox   *inbox
	stream  *stream
	tally   *tally
	sending bool // its turn
	limit   int  // messages to send, -1 for as many as are asked for
}

func (d *dialogue) step() (bool, error) {
	if d.done() {
		return false, nil
	}
	if d.sending {
		sent, err := d.stream.send()
		if err != nil || !sent {
			return false, err
		}
		d.tally.account.Sent++
		d.sending = false
	}
	_, err := d.inbox.receive()
	for frames := range d.inbox.messages() {
		d.tally.received(frames)
		d.sending = true
	}
	return d.sending && !d.done(), err
}

// done reports whether the last reply has come.
func (d *dialogue) done() bool { return d.sending && d.stream.message == d.limit }

func (d *dialogue) free() { d.inbox.free() }

// publisher is the PUB of a pubsub. It is told by the subscriber when to
// speak.
type publisher struct {
	port      *port
	stream    *stream
	synced    int  // answers owed
	streaming bool // since "end"
	ended     bool // "match.end" is out
}

func (p *publisher) step() (bool, error) {
	for range stepMessages {
		switch {
		case p.synced > 0:
			if _, err := p.stream.socket.SendBytes([]byte("synced"), zmq4.DONTWAIT); err != nil {
				return false, fmt.Errorf("publish synced: %w", err)
			}
			p.synced--
		case p.streaming && p.stream.message < 2*p.stream.spec.Count:
			topic := "other"
			if p.stream.message%2 == 1 {
				topic = "match"
			}
			sent, err := p.stream.send(topic)
			if err != nil {
				return false, err
			}
			if !sent {
				return false, fmt.Errorf("publish message %d: the queue is full", p.stream.message)
			}
			p.port.tally.account.Sent++
		case p.streaming && !p.ended:
			if _, err := p.stream.socket.SendBytes([]byte("match.end"), zmq4.DONTWAIT); err != nil {
				return false, fmt.Errorf("publish match.end: %w", err)
			}
			p.ended = true
		default:
			return false, nil
		}
	}
	return true, nil
}

func (p *publisher) free() {}

// subscriber is the SUB of a pubsub.
type subscriber struct {
	inbox     *inbox
	tally     *tally
	publisher *publisher
}

func (s *subscriber) step() (bool, error) {
	more, err := s.inbox.receive()
	for frames := range s.inbox.messages() {
		s.tally.topic(frames[0])
		if len(frames) > 1 {
			s.tally.received(frames)
			continue
		}
		switch string(frames[0]) {
		case "sync":
			s.publisher.synced++
		case "end":
			s.publisher.streaming = true
		default:
			continue
		}
		s.publisher.port.more = true
	}
	return more, err
}

func (s *subscriber) free() { s.inbox.free() }

// cast makes the sockets of a spec and gives them their actors, by the names
// of endpoint.SocketNames, in that order.
func (l *lane) cast(spec matrix.SocketSpec) error {
	names := endpoint.SocketNames(spec)
	hwm := queueMessages(spec)
	switch spec.Role {
	case matrix.RoleSink:
		return l.add(names[0], spec.Curve, zmq4.PULL, hwm, func(p *port) (actor, error) {
			inbox, err := newInbox(p.handle, 0)
			return &sink{inbox, p.tally}, err
		})
	case matrix.RoleSource:
		return l.add(names[0], spec.Curve, zmq4.PUSH, hwm, func(p *port) (actor, error) {
			return &source{newStream(p.socket, spec), p.tally}, nil
		})
	case matrix.RoleReplier:
		return l.add(names[0], spec.Curve, zmq4.REP, hwm, func(p *port) (actor, error) {
			inbox, err := newInbox(p.handle, 1)
			return &dialogue{inbox: inbox, stream: newStream(p.socket, spec), tally: p.tally, limit: -1}, err
		})
	case matrix.RoleRequester:
		return l.add(names[0], spec.Curve, zmq4.REQ, hwm, func(p *port) (actor, error) {
			inbox, err := newInbox(p.handle, 1)
			return &dialogue{inbox: inbox, stream: newStream(p.socket, spec), tally: p.tally, sending: true, limit: spec.Count}, err
		})
	case matrix.RolePubSub:
		var speaker *publisher
		// Room for the whole stream and its answers to sync: a PUB drops what
		// finds none. endpoint.MaxPublished bounds the bytes.
		err := l.add(names[0], spec.Curve, zmq4.PUB, 2*spec.Count+1000, func(p *port) (actor, error) {
			speaker = &publisher{port: p, stream: newStream(p.socket, spec)}
			return speaker, nil
		})
		if err != nil {
			return err
		}
		return l.add(names[1], spec.Curve, zmq4.SUB, hwm, func(p *port) (actor, error) {
			for _, topic := range []string{"sync", "match", "end"} {
				if err := p.socket.SetSubscribe(topic); err != nil {
					return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
				}
			}
			inbox, err := newInbox(p.handle, 0)
			return &subscriber{inbox, p.tally, speaker}, err
		})
	default:
		return fmt.Errorf("unknown role %q", spec.Role)
	}
}
