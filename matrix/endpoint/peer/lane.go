//go:build cgo

package peer

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// closeLimit is how long closing a lane waits for its clients to go. A client
// that has exited takes a fraction of a millisecond; one that is still there
// after this is a hang that the harness has overlooked, and it would rather
// have an account that says so than none.
const closeLimit = 2 * time.Second

// lane is one open lane. Its goroutine, run, owns all but the channels.
type lane struct {
	context *guarded
	bind    string
	keys    *laneKeys // nil without a secured socket
	ports   []*port
	poller  *poller

	closing chan closing  // what close hands to run
	markers []*marker     // run's, once closing
	ended   chan struct{} // closed when run has ended
	account matrix.LaneAccount
}

// closing is the order to close a lane. Without markers the lane is dropped.
type closing struct {
	markers  []*marker // by port
	failures []error   // by port: why there is no marker
	limit    time.Time
}

// port is one bound socket of a lane.
type port struct {
	name        string
	socket      *zmq4.Socket
	handle      unsafe.Pointer
	connections *connections
	actor       actor
	tally       *tally
	more        bool // there may be work that no change will tell of
	broken      bool // the last step failed

	marker  *marker // still to be accepted
	settled bool    // all that was written to it is in the socket's queue or taken
	unbound bool
}

// openLane binds the sockets and starts the lane.
func openLane(context *guarded, bind string, specs []matrix.SocketSpec) (*lane, error) {
	l := &lane{
		context: context,
		bind:    bind,
		closing: make(chan closing, 1),
		ended:   make(chan struct{}),
	}
	for _, spec := range specs {
		if spec.Curve && l.keys == nil {
			var err error
			if l.keys, err = context.admit(); err != nil {
				return nil, fmt.Errorf("socket %q: %w", spec.Name, err)
			}
		}
		if err := l.cast(spec); err != nil {
			l.free()
			return nil, fmt.Errorf("socket %q: %w", spec.Name, err)
		}
	}
	sockets := make([]*zmq4.Socket, 0, 2*len(l.ports))
	for _, port := range l.ports {
		sockets = append(sockets, port.socket, port.connections.monitor)
	}
	poller, err := newPoller(sockets)
	if err != nil {
		l.free()
		return nil, err
	}
	l.poller = poller
	go l.run()
	return l, nil
}

// add makes one socket and binds it, when its actor is ready for what comes.
func (l *lane) add(name string, secured bool, kind zmq4.Type, hwm int, cast func(*port) (actor, error)) (err error) {
	socket, err := l.context.NewSocket(kind)
	if err != nil {
		return fmt.Errorf("make a %v socket: %w", kind, err)
	}
	port := &port{name: name, socket: socket, tally: &tally{}, more: true}
	l.ports = append(l.ports, port)
	if port.handle, err = handleOf(socket); err != nil {
		return err
	}
	err = errors.Join(
		socket.SetLinger(0),
		socket.SetMaxmsgsize(endpoint.MaxFrameSize),
		socket.SetRcvhwm(hwm),
		socket.SetSndhwm(hwm),
	)
	if err != nil {
		return fmt.Errorf("set options: %w", err)
	}
	if secured {
		if err := l.keys.secure(port); err != nil {
			return err
		}
	}
	if port.connections, err = watchConnections(l.context.Context, socket, secured); err != nil {
		return err
	}
	if port.actor, err = cast(port); err != nil {
		port.actor = nil
		return err
	}
	if err := socket.Bind("tcp://" + l.bind + ":*"); err != nil {
		return fmt.Errorf("bind on %s: %w", l.bind, err)
	}
	if port.connections.endpoint, err = socket.GetLastEndpoint(); err != nil {
		return fmt.Errorf("read where it is bound: %w", err)
	}
	return nil
}

// endpoints are the addresses of the lane's ports, as a client on another
// host would reach them.
func (l *lane) endpoints(advertise string) (map[string]string, error) {
	endpoints := map[string]string{}
	for _, port := range l.ports {
		address, err := port.connections.address()
		if err != nil {
			return nil, fmt.Errorf("socket %q: %w", port.name, err)
		}
		endpoints[port.name] = fmt.Sprintf("tcp://%s:%d", advertise, address.Port())
	}
	return endpoints, nil
}

// close closes the lane and returns its account when all that its clients
// wrote is in it. It is called once. If ctx ends first the lane goes on
// closing.
func (l *lane) close(ctx context.Context) (matrix.LaneAccount, error) {
	limit := time.Now().Add(closeLimit)
	dialing, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	order := closing{markers: make([]*marker, len(l.ports)), failures: make([]error, len(l.ports)), limit: limit}
	for k, port := range l.ports {
		order.markers[k], order.failures[k] = port.connections.mark(dialing)
	}
	l.stop(order)
	select {
	case <-l.ended:
		return l.account, nil
	case <-ctx.Done():
		return matrix.LaneAccount{}, fmt.Errorf("wait for the lane to close: %w", ctx.Err())
	}
}

// drop closes the lane without waiting for its clients.
func (l *lane) drop() {
	l.stop(closing{limit: time.Now()})
	<-l.ended
}

func (l *lane) stop(order closing) {
	l.closing <- order
	// It fails only when the count would pass 2^64-2.
	_ = l.poller.wake()
}

// run plays the lane's roles until it is closed.
func (l *lane) run() {
	defer close(l.ended)
	defer l.free()
	order, err := l.perform()
	l.markers = order.markers
	if err == nil {
		err = l.settle(order)
	}
	l.account = matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{}}
	for _, port := range l.ports {
		if err != nil {
			port.tally.fault(err.Error())
		}
		port.report()
		l.account.Sockets[port.name] = port.tally.finish()
	}
}

// perform plays the roles until the order to close comes, and returns it. An
// error is the reason why the roles were not played to the end.
func (l *lane) perform() (closing, error) {
	// A pipe tells of a message only to a reader that has found it empty.
	for _, port := range l.ports {
		if err := port.connections.read(); err != nil {
			return <-l.closing, err
		}
	}
	for {
		if err := l.round(-1); err != nil {
			return <-l.closing, err
		}
		select {
		case order := <-l.closing:
			return order, nil
		default:
		}
	}
}

// settle plays on until what the clients wrote has arrived, or the limit has
// passed.
func (l *lane) settle(order closing) error {
	for k := range order.markers {
		l.ports[k].marker = order.markers[k]
		if err := order.failures[k]; err != nil {
			l.ports[k].tally.fault(err.Error())
		}
	}
	for {
		waiting := false
		for _, port := range l.ports {
			if err := port.advance(); err != nil {
				port.tally.fault(err.Error())
				port.broken = true
			}
			waiting = waiting || !port.settled
		}
		left := time.Until(order.limit)
		if !waiting || left <= 0 {
			break
		}
		if err := l.round(left); err != nil {
			return err
		}
	}
	for _, port := range l.ports {
		port.drain()
	}
	return nil
}

// advance takes the port a step nearer to settled: the marker has been
// accepted, then all connections have ended, then the listener has.
func (p *port) advance() error {
	if p.settled || p.broken {
		p.settled = true
		return nil
	}
	if p.marker != nil {
		passed, err := p.connections.passed(p.marker)
		if err != nil || !passed {
			return err
		}
		p.marker = nil
	}
	if len(p.connections.open) > 0 {
		return nil
	}
	if !p.unbound {
		// Unbinding may take in a change of the socket without telling.
		p.unbound, p.more = true, true
		return p.connections.unbind()
	}
	p.settled = p.connections.closed
	return nil
}

// drain takes what is left in the socket's queue, which is finite: nobody is
// connected any more. What could still be sent has nobody to go to.
func (p *port) drain() {
	switch open := len(p.connections.open); {
	case p.broken:
	case p.settled:
		for more := true; more; {
			var err error
			if more, err = p.actor.step(); err != nil {
				p.tally.fail(err.Error())
				return
			}
		}
	case p.marker != nil:
		p.tally.fault("the marker was not accepted in time")
	case open > 0:
		p.tally.fault(fmt.Sprintf("%d of its connections were still open %v after the lane was to close", open, closeLimit))
	default:
		p.tally.fault("the listener did not close in time")
	}
}

// round waits until there is something to do, for limit or without end, and
// does some of it.
func (l *lane) round(limit time.Duration) error {
	for _, port := range l.ports {
		if port.more {
			limit = 0
		}
	}
	if err := l.poller.wait(limit); err != nil {
		return err
	}
	for k, port := range l.ports {
		if l.poller.changed(2*k + 1) {
			if err := port.connections.read(); err != nil {
				return err
			}
		}
		if port.broken || !port.more && !l.poller.changed(2*k) {
			continue
		}
		var err error
		if port.more, err = port.actor.step(); err != nil {
			// The others go on; this one only keeps up with its connections.
			port.tally.fail(err.Error())
			port.more, port.broken = false, true
		}
	}
	return nil
}

// report puts what the connections show into the account.
func (p *port) report() {
	account := &p.tally.account
	account.Peers = p.connections.accepted
	account.Curve = p.connections.curve()
	for text, times := range p.connections.failures {
		p.tally.fail(fmt.Sprintf("%d connections %s", times, text))
	}
	// Where messages went by, those were old clients.
	if unshaken := p.connections.unshaken; unshaken > 0 && !p.connections.secured && account.Received == 0 && account.Sent == 0 {
		p.tally.fail(fmt.Sprintf("%d connections ended before the ZMTP handshake did", unshaken))
	}
}

// free closes the lane's sockets; a lane that failed to open has only some.
func (l *lane) free() {
	for _, port := range l.ports {
		if port.connections != nil {
			port.connections.close()
		}
	}
	for _, marker := range l.markers {
		if marker != nil {
			marker.reset()
		}
	}
	for _, port := range l.ports {
		port.socket.Close()
		if port.actor != nil {
			port.actor.free()
		}
	}
	if l.poller != nil {
		l.poller.free()
	}
	if l.keys != nil {
		l.context.dismiss(l.keys)
	}
}
