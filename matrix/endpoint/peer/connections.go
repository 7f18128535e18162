//go:build cgo

package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// connections follows the connections of one bound socket by its monitor, and
// so knows when everything that clients wrote has been handed to the socket.
//
// libzmq tells of a connection when its I/O thread has accepted it, but a
// client may have connected, written and exited while its connection still
// waits in the kernel's queue. So closing begins with a connection of our own,
// the marker: the queue is in order, and once the marker has been accepted, so
// has been everything before it. The marker is known by its addresses. An I/O
// thread tells of a connection's end after it has read the last byte and
// before it gives the descriptor back, so what is open is known by descriptor.
type connections struct {
	socket   *zmq4.Socket // the bound socket
	monitor  *zmq4.Socket
	endpoint string // as bound
	accepted int
	open     map[int]struct{} // by descriptor
	failures map[string]int
	// unshaken counts the connections that ended without a handshake: broken
	// ones, but also every one of ZMTP 1.0 and 2.0, which libzmq before 4.0
	// speaks.
	unshaken int
	closed   bool // the listener has gone
	secured  bool
	shaken   int                    // handshakes that succeeded, of a secured socket
	refused  map[matrix.Refusal]int // of a secured socket
}

const watchedEvents = zmq4.EVENT_ACCEPTED | zmq4.EVENT_DISCONNECTED | zmq4.EVENT_CLOSED | zmq4.EVENT_ACCEPT_FAILED |
	zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq4.EVENT_HANDSHAKE_FAILED_AUTH

// monitors numbers the inproc names, which must differ within a context.
var monitors atomic.Uint64

func watchConnections(context *zmq4.Context, socket *zmq4.Socket, secured bool) (*connections, error) {
	name := fmt.Sprintf("inproc://monitor-%d", monitors.Add(1))
	events := watchedEvents
	if secured {
		events |= zmq4.EVENT_HANDSHAKE_SUCCEEDED
	}
	if err := socket.Monitor(name, events); err != nil {
		return nil, fmt.Errorf("monitor the socket: %w", err)
	}
	monitor, err := context.NewSocket(zmq4.PAIR)
	if err != nil {
		socket.Monitor("", 0)
		return nil, fmt.Errorf("make a monitor: %w", err)
	}
	// libzmq's I/O thread blocks in sending an event that finds no room.
	if err := monitor.SetRcvhwm(0); err != nil {
		socket.Monitor("", 0)
		monitor.Close()
		return nil, fmt.Errorf("unbound the monitor: %w", err)
	}
	if err := monitor.Connect(name); err != nil {
		socket.Monitor("", 0)
		monitor.Close()
		return nil, fmt.Errorf("connect the monitor: %w", err)
	}
	return &connections{
		socket: socket, monitor: monitor, open: map[int]struct{}{}, failures: map[string]int{},
		secured: secured, refused: map[matrix.Refusal]int{},
	}, nil
}

// read takes in all events that are there.
func (c *connections) read() error {
	for {
		event, _, value, err := c.monitor.RecvEvent(zmq4.DONTWAIT)
		if wouldBlock(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the monitor: %w", err)
		}
		switch event {
		case zmq4.EVENT_ACCEPTED:
			c.accepted++
			c.open[value] = struct{}{}
		case zmq4.EVENT_DISCONNECTED:
			delete(c.open, value)
		case zmq4.EVENT_CLOSED:
			c.closed = true
		case zmq4.EVENT_ACCEPT_FAILED:
			c.failures[fmt.Sprintf("could not be accepted: %v", syscall.Errno(value))]++
		case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
			c.shaken++
		case zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
			c.unshaken++
		case zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL:
			if c.secured {
				c.refused[refusalOf(value)]++
				continue
			}
			c.failures[fmt.Sprintf("broke the ZMTP handshake (ZMQ_PROTOCOL_ERROR 0x%08x)", value)]++
		case zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
			if c.secured {
				c.refused[matrix.RefusedKey]++
				continue
			}
			c.failures["failed to authenticate"]++
		}
	}
}

// address is where the socket listens.
func (c *connections) address() (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(strings.TrimPrefix(c.endpoint, "tcp://"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("where is it bound: %w", err)
	}
	return address, nil
}

// passed looks for the marker among the open connections and takes it out of
// the account. From then on all connections made before it are in the account.
func (c *connections) passed(marker *marker) (bool, error) {
	for descriptor := range c.open {
		if !marker.is(descriptor) {
			continue
		}
		// The descriptor may have had another owner when its event was
		// written. That one's end was told before the descriptor became the
		// marker's, so after reading on, only the marker's own event can
		// leave it open.
		if err := c.read(); err != nil {
			return false, err
		}
		if _, open := c.open[descriptor]; !open {
			return false, nil
		}
		delete(c.open, descriptor)
		c.accepted--
		return true, nil
	}
	return false, nil
}

// unbind closes the listener; EVENT_CLOSED follows when the I/O thread has
// done it, and with it all that it was doing before: it tells of a broken
// connection just before it hands over the last messages from it. This holds
// because each context has one I/O thread.
func (c *connections) unbind() error {
	if err := c.socket.Unbind(c.endpoint); err != nil {
		return fmt.Errorf("unbind: %w", err)
	}
	return nil
}

// close ends the monitor before its reader: an I/O thread with an event for a
// reader that has gone would block.
func (c *connections) close() {
	c.socket.Monitor("", 0)
	c.monitor.SetLinger(0)
	c.monitor.Close()
}

// marker is a connection of our own.
type marker struct{ connection *net.TCPConn }

// mark connects to the bound socket.
func (c *connections) mark(ctx context.Context) (*marker, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	if address.Addr().IsUnspecified() {
		address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), address.Port())
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp4", address.String())
	if err != nil {
		return nil, fmt.Errorf("connect the marker: %w", err)
	}
	return &marker{connection.(*net.TCPConn)}, nil
}

// is reports whether the descriptor is the accepted side of the marker.
func (m *marker) is(descriptor int) bool {
	peer, err := unix.Getpeername(descriptor)
	if err != nil || addrPort(peer) != m.connection.LocalAddr().(*net.TCPAddr).AddrPort() {
		return false
	}
	own, err := unix.Getsockname(descriptor)
	return err == nil && addrPort(own) == m.connection.RemoteAddr().(*net.TCPAddr).AddrPort()
}

// reset ends the marker without ceremony: the side that ends a connection
// first waits out TIME_WAIT, which after many attempts would use up the ports.
func (m *marker) reset() {
	m.connection.SetLinger(0)
	m.connection.Close()
}

func addrPort(address unix.Sockaddr) netip.AddrPort {
	switch address := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(address.Addr), uint16(address.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(address.Addr).Unmap(), uint16(address.Port))
	default:
		return netip.AddrPort{}
	}
}
