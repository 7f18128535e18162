package matrixtest

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/local"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// Role is one socket that the endpoint binds, and what it does there. The
// constructors beside it make one of each; what they leave out may be set: Name,
// by which the socket is found where a lane has several of a role; Seed, which
// makes the bytes that the endpoint sends; Parts, the frames of a message; Curve,
// for a CURVE server. See matrix/endpoint/peer for all that a role does.
type Role = matrix.SocketSpec

// Sink is a PULL, "sink": it receives and digests.
func Sink() Role { return Role{Role: matrix.RoleSink} }

// Source is a PUSH, "source": it sends so many messages to the first that
// connects, of these sizes in bytes, in turn.
func Source(count int, sizes ...int) Role {
	return Role{Role: matrix.RoleSource, Count: count, Sizes: sizes}
}

// Replier is a REP, "replier": it digests every request and answers with a message
// of these sizes, in turn.
func Replier(sizes ...int) Role { return Role{Role: matrix.RoleReplier, Sizes: sizes} }

// Requester is a REQ, "requester": it sends so many requests of these sizes, one
// after the other, and digests the replies.
func Requester(count int, sizes ...int) Role {
	return Role{Role: matrix.RoleRequester, Count: count, Sizes: sizes}
}

// PubSub are two sockets: "pubsub", a PUB to subscribe to, and "pubsub-in", a SUB
// to publish to. The PUB answers a message "sync" at the SUB with "synced", and
// "end" with 2 × count messages of a topic frame, "other" or "match", and a body
// of these sizes, and then "match.end".
func PubSub(count int, sizes ...int) Role {
	return Role{Role: matrix.RolePubSub, Count: count, Sizes: sizes}
}

// Lane is an open lane of the endpoint, for one test.
type Lane struct {
	// Roles are the lane's, with all that was left out filled in.
	Roles []Role
	// Curve are the keys of its secured sockets, nil if it has none.
	Curve *matrix.CurveKeys

	t        testing.TB
	lane     matrix.Lane
	endpoint matrix.Endpoint
	closed   bool
	account  matrix.LaneAccount
}

// Endpoint opens a lane with these roles on the common endpoint, a process of its
// own that listens on the loopback interface, and closes it when the test is
// over. The first test to ask builds the endpoint, if need be, and starts it; it
// ends with the last that has a lane. What is missing for that fails the test, and
// says what it is.
func Endpoint(t testing.TB, roles ...Role) *Lane {
	t.Helper()
	return common.lane(t, roles)
}

// Address is where the socket of that name listens: "tcp://127.0.0.1:40001". The
// name is its role's, unless it was given another.
func (l *Lane) Address(socket string) string {
	l.t.Helper()
	address, known := l.lane.Endpoints[socket]
	if !known {
		l.t.Fatalf("the lane has no socket %q; it has %s", socket, strings.Join(slices.Sorted(maps.Keys(l.lane.Endpoints)), ", "))
	}
	return address
}

// Frame is what the endpoint sends on the socket as that frame of that message,
// both counted from 0.
func (l *Lane) Frame(socket string, message, part int) []byte {
	l.t.Helper()
	i := slices.IndexFunc(l.Roles, func(role Role) bool { return role.Name == socket })
	if i < 0 || len(l.Roles[i].Sizes) == 0 {
		l.t.Fatalf("the lane has no socket %q that sends", socket)
	}
	return l.Roles[i].AppendFrame(nil, message, part)
}

// Close closes the lane when all that its clients sent has arrived, and returns
// what the endpoint saw, by socket. The clients are to close their sockets before,
// letting them linger, and with libzmq to terminate their contexts, which waits for
// that: of a client that has not connected yet the endpoint knows nothing. A
// connection that is open two seconds later is in the account's Error. A further
// call returns the same.
func (l *Lane) Close() matrix.LaneAccount {
	l.t.Helper()
	if !l.closed {
		l.closed = true
		// Without the test's own context, which is over in its clean-up.
		ctx, cancel := context.WithTimeout(context.Background(), endpointTimeout)
		defer cancel()
		var err error
		if l.account, err = l.endpoint.CloseLane(ctx, l.lane.ID); err != nil {
			l.t.Errorf("closing the endpoint's lane: %v", err)
		}
	}
	return l.account
}

// Saw is what the endpoint saw on one socket, after Close.
func (l *Lane) Saw(socket string) matrix.SocketAccount {
	l.t.Helper()
	saw, known := l.Close().Sockets[socket]
	if !known {
		l.t.Fatalf("the endpoint saw no socket %q; it has %s", socket, strings.Join(slices.Sorted(maps.Keys(l.account.Sockets)), ", "))
	}
	return saw
}

// endpointTimeout bounds what the endpoint may take to close a lane, for which it
// waits two seconds at most, or itself.
const endpointTimeout = 15 * time.Second

// keeper has the endpoint that the tests of a process share, as long as one has a
// lane.
type keeper struct {
	// start starts an endpoint; end ends it and what it needed.
	start func(context.Context) (endpoint matrix.Endpoint, end func(context.Context) error, err error)

	mu       sync.Mutex
	users    int
	endpoint matrix.Endpoint
	end      func(context.Context) error
}

var common = &keeper{start: startEndpoint}

// startEndpoint builds and starts the endpoint as the local runtime does.
func startEndpoint(ctx context.Context) (endpoint matrix.Endpoint, end func(context.Context) error, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the working directory: %w", err)
	}
	root, err := targets.RootOfTest(here)
	if err != nil {
		return nil, nil, err
	}
	cache, err := measure.CacheDir()
	if err != nil {
		return nil, nil, err
	}
	runtime, err := local.New(ctx, local.Options{Root: root, CacheDir: cache, RunID: measure.NewRunID(time.Now())})
	if err != nil {
		return nil, nil, err
	}
	if endpoint, err = runtime.StartEndpoint(ctx); err != nil {
		return nil, nil, measure.Close(ctx, runtime, err)
	}
	return endpoint, func(ctx context.Context) error { return measure.Close(ctx, runtime, endpoint.Close(ctx)) }, nil
}

func (k *keeper) lane(t testing.TB, roles []Role) *Lane {
	t.Helper()
	endpoint, err := k.get(t.Context())
	if err != nil {
		t.Fatal(shown("starting the endpoint: " + err.Error()))
	}
	t.Cleanup(func() {
		if err := k.release(); err != nil {
			t.Error(shown("ending the endpoint: " + err.Error()))
		}
	})
	l := &Lane{Roles: filledIn(t.Name(), roles), t: t, endpoint: endpoint}
	if l.lane, err = endpoint.Open(t.Context(), matrix.LaneRequest{Sockets: l.Roles}); err != nil {
		t.Fatal(shown("opening a lane of the endpoint: " + err.Error()))
	}
	l.Curve = l.lane.Curve
	t.Cleanup(func() { l.Close() })
	return l
}

// filledIn gives the roles what they need and do not say. The seed is the test's
// and the socket's, so that a test that fails does so with the same bytes again.
func filledIn(test string, roles []Role) []Role {
	roles = slices.Clone(roles)
	for i := range roles {
		role := &roles[i]
		role.Name = cmp.Or(role.Name, string(role.Role))
		role.Parts = max(1, role.Parts)
		if role.Seed == 0 {
			hash := fnv.New32a()
			fmt.Fprintf(hash, "%s\x00%s", test, role.Name)
			role.Seed = uint64(hash.Sum32())
		}
	}
	return roles
}

func (k *keeper) get(ctx context.Context) (matrix.Endpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == 0 {
		var err error
		if k.endpoint, k.end, err = k.start(ctx); err != nil {
			return nil, err
		}
	}
	k.users++
	return k.endpoint, nil
}

func (k *keeper) release() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users--; k.users > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endpointTimeout)
	defer cancel()
	end := k.end
	k.endpoint, k.end = nil, nil
	return end(ctx)
}
