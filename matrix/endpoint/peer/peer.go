//go:build cgo

package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"sync"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// maxSockets is libzmq's limit of sockets in one context, monitors and their
// readers counted, raised from 1023: all lanes with all sockets in the pubsub
// role are 12288.
const maxSockets = 16384

// Options say where a peer's lanes are.
type Options struct {
	// Bind is the IPv4 address that lanes listen on.
	Bind string
	// Advertise is the host in the addresses given to clients; Bind if empty.
	Advertise string
}

// Peer is a matrix.Endpoint in this process.
type Peer struct {
	options  Options
	contexts []*guarded

	mutex  sync.Mutex
	opened uint64
	lanes  map[string]*lane // nil: being opened
	closed bool
	closes sync.WaitGroup
}

var _ matrix.Endpoint = (*Peer)(nil)

// New makes a peer without lanes.
func New(options Options) (*Peer, error) {
	address, err := netip.ParseAddr(options.Bind)
	if err != nil || !address.Is4() {
		return nil, fmt.Errorf("bind %q: not an IPv4 address", options.Bind)
	}
	if options.Advertise == "" {
		options.Advertise = options.Bind
	}
	keepMemory()
	peer := &Peer{options: options, lanes: map[string]*lane{}}
	// One I/O thread per context, for connections.unbind; so for more threads
	// more contexts. As many as cores could all be busy with lanes at once;
	// past four the clients need the cores more.
	for range min(runtime.NumCPU(), 4) {
		zeromq, err := zmq4.NewContext()
		if err != nil {
			peer.Close(context.Background())
			return nil, fmt.Errorf("make a ZeroMQ context: %w", err)
		}
		guarded := &guarded{Context: zeromq}
		peer.contexts = append(peer.contexts, guarded)
		if err := errors.Join(zeromq.SetIoThreads(1), zeromq.SetMaxSockets(maxSockets)); err != nil {
			peer.Close(context.Background())
			return nil, fmt.Errorf("set the ZeroMQ context's options: %w", err)
		}
		if err := guarded.guard(); err != nil {
			peer.Close(context.Background())
			return nil, fmt.Errorf("authenticate in the ZeroMQ context: %w", err)
		}
	}
	return peer, nil
}

// Libzmq is the version of the library, "4.3.4".
func Libzmq() string {
	major, minor, patch := zmq4.Version()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

// Open opens a lane.
func (p *Peer) Open(_ context.Context, request matrix.LaneRequest) (matrix.Lane, error) {
	if err := endpoint.CheckLane(request); err != nil {
		return matrix.Lane{}, err
	}
	p.mutex.Lock()
	if p.closed {
		p.mutex.Unlock()
		return matrix.Lane{}, fmt.Errorf("open: %w", endpoint.ErrGone)
	}
	if len(p.lanes) == endpoint.MaxLanes {
		p.mutex.Unlock()
		return matrix.Lane{}, fmt.Errorf("open: %d lanes are open, no more than that", endpoint.MaxLanes)
	}
	p.opened++
	id := strconv.FormatUint(p.opened, 10)
	zeromq := p.contexts[p.opened%uint64(len(p.contexts))]
	p.lanes[id] = nil
	p.closes.Add(1) // Close waits for what is being opened
	p.mutex.Unlock()
	defer p.closes.Done()

	lane, err := openLane(zeromq, p.options.Bind, request.Sockets)
	var endpoints map[string]string
	if err == nil {
		if endpoints, err = lane.endpoints(p.options.Advertise); err != nil {
			lane.drop()
		}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil {
		delete(p.lanes, id)
		return matrix.Lane{}, fmt.Errorf("open: %w", err)
	}
	if p.closed {
		delete(p.lanes, id)
		lane.drop()
		return matrix.Lane{}, fmt.Errorf("open: %w", endpoint.ErrGone)
	}
	p.lanes[id] = lane
	return matrix.Lane{ID: id, Endpoints: endpoints, Curve: lane.keys.client()}, nil
}

// CloseLane waits until what the clients wrote has arrived, at most
// closeLimit, and closes the lane.
func (p *Peer) CloseLane(ctx context.Context, id string) (matrix.LaneAccount, error) {
	p.mutex.Lock()
	lane := p.lanes[id]
	if lane == nil {
		p.mutex.Unlock()
		return matrix.LaneAccount{}, fmt.Errorf("close: there is no lane %.40q", id)
	}
	delete(p.lanes, id)
	p.closes.Add(1)
	p.mutex.Unlock()
	go func() {
		<-lane.ended
		p.closes.Done()
	}()
	return lane.close(ctx)
}

// Close drops all lanes, whatever is under way on them, and waits for their
// sockets to close.
func (p *Peer) Close(ctx context.Context) error {
	p.mutex.Lock()
	lanes := p.lanes
	p.closed, p.lanes = true, map[string]*lane{}
	p.mutex.Unlock()
	done := make(chan error, 1)
	go func() {
		for _, lane := range lanes {
			if lane != nil {
				lane.drop()
			}
		}
		p.closes.Wait()
		var errs []error
		for _, zeromq := range p.contexts {
			errs = append(errs, zeromq.Term())
		}
		done <- errors.Join(errs...)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("terminate ZeroMQ: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the lanes: %w", ctx.Err())
	}
}
