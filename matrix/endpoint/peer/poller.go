//go:build cgo

package peer

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"
)

// poller waits for sockets and for a wake-up from another goroutine.
//
// It polls the descriptors that libzmq has for this (ZMQ_FD) and not with
// zmq_poll, which asks each socket twice and costs nine system calls where
// this costs two: a quarter of the throughput of small messages. The price is
// that such a descriptor tells only of change (zmq_getsockopt(3), ZMQ_FD):
// whoever was told must go on until the socket would block.
type poller struct {
	sockets []*zmq4.Socket
	polled  []unix.PollFd // the sockets', then the eventfd
	// mutex keeps wake from writing to whatever has the eventfd's number
	// after free.
	mutex sync.Mutex
	freed bool
}

func newPoller(sockets []*zmq4.Socket) (*poller, error) {
	p := &poller{sockets: sockets}
	for _, socket := range sockets {
		descriptor, err := socket.GetFd()
		if err != nil {
			return nil, fmt.Errorf("read a socket's descriptor: %w", err)
		}
		p.polled = append(p.polled, unix.PollFd{Fd: int32(descriptor), Events: unix.POLLIN})
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	p.polled = append(p.polled, unix.PollFd{Fd: int32(event), Events: unix.POLLIN})
	return p, nil
}

func (p *poller) event() *unix.PollFd { return &p.polled[len(p.sockets)] }

// changed reports whether something happened on socket k before the last wait
// ended.
func (p *poller) changed(k int) bool { return p.polled[k].Revents != 0 }

// wait waits until something happens on a socket, wake is called or the time
// has passed, or less; a negative time is without end. It takes wake's sign
// away.
func (p *poller) wait(limit time.Duration) error {
	milliseconds := -1
	if limit >= 0 {
		// Rounded up, or the last millisecond would be spent in a busy loop.
		milliseconds = int((limit + time.Millisecond - 1) / time.Millisecond)
	}
	_, err := unix.Poll(p.polled, milliseconds)
	if errors.Is(err, unix.EINTR) { // Go interrupts threads with signals
		for k := range p.polled {
			p.polled[k].Revents = 0
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	for k, socket := range p.sockets {
		if !p.changed(k) {
			continue
		}
		// Asking for the events is what makes libzmq take in the change; a
		// socket that has nothing to send or receive would otherwise stay
		// changed.
		if _, err := socket.GetEvents(); err != nil {
			return fmt.Errorf("read a socket's events: %w", err)
		}
	}
	if p.event().Revents != 0 {
		var count [8]byte
		if _, err := unix.Read(int(p.event().Fd), count[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("read the eventfd: %w", err)
		}
	}
	return nil
}

// wake ends a wait, or the next one, from any goroutine.
func (p *poller) wake() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.freed {
		return nil
	}
	if _, err := unix.Write(int(p.event().Fd), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("write the eventfd: %w", err)
	}
	return nil
}

func (p *poller) free() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.freed = true
	unix.Close(int(p.event().Fd))
}
