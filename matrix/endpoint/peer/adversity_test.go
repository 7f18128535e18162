//go:build cgo

package peer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
)

var sinkSpec = matrix.SocketSpec{Name: "sink", Role: matrix.RoleSink}

// dial connects to a lane's socket without ZeroMQ.
func dial(t testing.TB, address string) net.Conn {
	connection, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}

// goodRound sends three messages by a well-behaved client, which must arrive
// whatever came before.
func goodRound(t testing.TB, ours *peer.Peer, lane matrix.Lane) matrix.SocketAccount {
	probe := newClient(t)
	socket := probe.connect(zmq4.PUSH, lane.Endpoints["sink"])
	var sent [][][]byte
	for i := range 3 {
		sent = append(sent, message(clientSeed, i, 1, 100))
		send(t, socket, sent[i]...)
	}
	probe.end()
	account := closeLane(t, ours, lane)["sink"]
	for _, digest := range expectation(sent...).Digests {
		assert.Contains(t, account.Digests, digest)
	}
	return account
}

// greeting30 and ready30 are what a PUSH begins with in ZMTP 3.0 (RFC 23):
// signature, version, mechanism, as-server and filler; then its READY.
var greeting30 = "\xff" + zeros(8) + "\x7f" + "\x03\x00" + "NULL" + zeros(16) + "\x00" + zeros(31)

const ready30 = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"

// shake is the handshake of a PUSH on a connection without ZeroMQ.
func shake(connection net.Conn) error {
	if _, err := io.WriteString(connection, greeting30+ready30); err != nil {
		return err
	}
	// Its READY must have come before anything else is sent.
	answer := make([]byte, len(greeting30)+2)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, connection, int64(answer[len(answer)-1]))
	return err
}

func zeros(count int) string { return strings.Repeat("\x00", count) }

func TestGarbageOnAZeroMQPortHurtsNobody(t *testing.T) {
	for _, garbage := range []struct{ name, bytes, failure string }{
		{"nothing", "", "ended before the ZMTP handshake"},
		{"half a signature", greeting30[:5], "ended before the ZMTP handshake"},
		{"half a greeting", greeting30[:20], "ended before the ZMTP handshake"},
		{"a greeting and no more", greeting30, "ended before the ZMTP handshake"},
		{"an unknown mechanism", strings.Replace(greeting30, "NULL", "NONE", 1), "the ZMTP handshake"},
		{"a command that is none", greeting30 + "\x04\x04\x03BAD", "the ZMTP handshake"},
		{"a web browser", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "ended before the ZMTP handshake"},
		{"zeros", zeros(100_000), ""},
		{"ones", strings.Repeat("\xff", 100_000), ""},
	} {
		t.Run(strings.ReplaceAll(garbage.name, " ", "_"), func(t *testing.T) {
			ours := newPeer(t)
			spoil := func() matrix.Lane {
				lane := openLane(t, ours, sinkSpec)
				connection := dial(t, lane.Endpoints["sink"])
				// The endpoint may hang up before all is written.
				_, _ = io.WriteString(connection, garbage.bytes)
				require.NoError(t, connection.Close())
				return lane
			}
			account := closeLane(t, ours, spoil())["sink"]
			assert.Equal(t, 1, account.Peers)
			assert.Zero(t, account.Received)
			assert.Contains(t, account.Error, garbage.failure)
			account = goodRound(t, ours, spoil())
			assert.Equal(t, 2, account.Peers)
			assert.EqualValues(t, 3, account.Received)
		})
	}
}

func TestOversizedFrameEndsItsConnectionOnly(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, sinkSpec)
	connection := dial(t, lane.Endpoints["sink"])
	require.NoError(t, shake(connection))
	_, err := connection.Write([]byte("\x00\x05first" + "\x02" + string(
		binary.BigEndian.AppendUint64(nil, endpoint.MaxFrameSize+1)) + "the start of too much"))
	require.NoError(t, err)
	require.NoError(t, connection.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = io.Copy(io.Discard, connection)
	require.False(t, os.IsTimeout(err), "the endpoint hangs up")
	account := goodRound(t, ours, lane)
	assert.Equal(t, int64(4), account.Received)
	assert.Equal(t, matrix.MessageDigest([]byte("first")), account.Digests[0], "what came before the frame counts")
}

func TestPortScannedSourceStillSendsToTheClient(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "source", Role: matrix.RoleSource, Seed: endpointSeed, Count: 10, Sizes: []int{10}})
	for range 20 {
		dial(t, lane.Endpoints["source"]).Close()
	}
	probe := newClient(t)
	socket := probe.connect(zmq4.PULL, lane.Endpoints["source"])
	for i := range 10 {
		require.Equal(t, message(endpointSeed, i, 1, 10), receive(t, socket))
	}
	probe.end()
	assert.Equal(t, 21, closeLane(t, ours, lane)["source"].Peers)
}

func TestClosingWaitsForWhatAnExitedClientWrote(t *testing.T) {
	// ZMTP 1.0 has no handshake to wait for: these clients are gone while
	// their connections may still be in the kernel's queue.
	const identity, hello = "\x01\x00", "\x06\x00hello"
	ours := newPeer(t)
	for range 50 {
		lane := openLane(t, ours, sinkSpec)
		for range 16 {
			connection := dial(t, lane.Endpoints["sink"])
			_, err := io.WriteString(connection, identity+hello)
			require.NoError(t, err)
			// Half-closed, so that what the endpoint writes is no reason for
			// a reset.
			require.NoError(t, connection.(*net.TCPConn).CloseWrite())
		}
		account := closeLane(t, ours, lane)["sink"]
		require.Empty(t, account.Error)
		require.Empty(t, account.Fault)
		require.EqualValues(t, 16, account.Received)
		require.Equal(t, 16, account.Peers)
	}
}

func TestClosingEndsWithinItsLimit(t *testing.T) {
	// The limit is 2 s; the rest is for a machine that is busy with all else.
	const limit = 10 * time.Second
	sizes := []int{1 << 20}
	for _, spec := range []matrix.SocketSpec{
		{Role: matrix.RoleSink},
		{Role: matrix.RoleSource, Count: 1000, Sizes: sizes},
		{Role: matrix.RoleReplier, Sizes: sizes},
		{Role: matrix.RoleRequester, Count: 10, Sizes: sizes},
		{Role: matrix.RolePubSub, Count: 10, Sizes: sizes},
	} {
		spec.Name = "socket"
		t.Run(string(spec.Role)+"/nobody_came", func(t *testing.T) {
			t.Parallel()
			ours := newPeer(t)
			lane := openLane(t, ours, spec)
			start := time.Now()
			for name, account := range closeLane(t, ours, lane) {
				assert.Empty(t, account.Error, name)
				assert.Empty(t, account.Fault, name)
				assert.Zero(t, account.Peers, name)
			}
			assert.Less(t, time.Since(start), 2*time.Second, "it does not wait for nobody")
		})
		t.Run(string(spec.Role)+"/the_client_is_still_there", func(t *testing.T) {
			t.Parallel()
			ours := newPeer(t)
			lane := openLane(t, ours, spec)
			connection := dial(t, lane.Endpoints["socket"])
			_, err := connection.Write([]byte(greeting30))
			require.NoError(t, err)
			start := time.Now()
			account := closeLane(t, ours, lane)["socket"]
			assert.Contains(t, account.Fault, "1 of its connections were still open")
			assert.Less(t, time.Since(start), limit)
		})
	}
	t.Run("flood", func(t *testing.T) {
		t.Parallel()
		ours := newPeer(t)
		lane := openLane(t, ours, sinkSpec)
		flooding := newClient(t).connect(zmq4.PUSH, lane.Endpoints["sink"])
		require.NoError(t, flooding.SetLinger(0))
		require.NoError(t, flooding.SetSndtimeo(100*time.Millisecond))
		ctx, stop := context.WithCancel(t.Context())
		begun, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			body := make([]byte, 1000)
			for sent := 0; ctx.Err() == nil; sent++ {
				_, _ = flooding.SendBytes(body, 0) // EAGAIN, when the lane has gone
				if sent == 10_000 {
					close(begun) // past what the client's own queue holds
				}
			}
		}()
		<-begun
		start := time.Now()
		account := closeLane(t, ours, lane)["sink"]
		taken := time.Since(start)
		stop()
		<-ended
		assert.Less(t, taken, limit)
		assert.Positive(t, account.Received)
		assert.Contains(t, account.Fault, "still open")
	})
}

func TestFloodIsReceivedInBoundedMemory(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, sinkSpec)
	before := resident(t)
	runSelf(t, "send", lane.Endpoints["sink"], "1048576", "600")
	assert.Less(t, resident(t)-before, int64(300<<20))
	assert.EqualValues(t, 600, closeLane(t, ours, lane)["sink"].Received)
}

// resident is the process's resident size in bytes, proc(5).
func resident(t testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	var size, pages int64
	_, err = fmt.Sscan(string(text), &size, &pages)
	require.NoError(t, err)
	return pages * int64(os.Getpagesize())
}

func TestManyLanesAtOnce(t *testing.T) {
	ours := newPeer(t)
	var working errgroup.Group
	for k := range 64 {
		working.Go(func() error {
			for range 3 {
				lane, err := ours.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{sinkSpec, {Name: "copy", Role: matrix.RoleSink}}})
				if err != nil {
					return err
				}
				connection, err := net.Dial("tcp", strings.TrimPrefix(lane.Endpoints["sink"], "tcp://"))
				if err != nil {
					return err
				}
				body := fmt.Sprintf("lane %3d", k)
				if err := shake(connection); err != nil {
					return err
				}
				fmt.Fprint(connection, "\x00\x08"+body)
				connection.(*net.TCPConn).CloseWrite()
				account, err := ours.CloseLane(t.Context(), lane.ID)
				connection.Close()
				if err != nil {
					return err
				}
				assert.Equal(t, expectation([][]byte{[]byte(body)}), account.Sockets["sink"])
				assert.Zero(t, account.Sockets["copy"].Peers)
			}
			return nil
		})
	}
	require.NoError(t, working.Wait())
}

func TestNothingIsLeftBehind(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	ours := newPeer(t)
	round := func() {
		lane := openLane(t, ours, sinkSpec, matrix.SocketSpec{Name: "pubsub", Role: matrix.RolePubSub, Count: 1, Sizes: []int{1}})
		connection := dial(t, lane.Endpoints["sink"])
		connection.Close()
		closeLane(t, ours, lane)
	}
	for range 2 * runtime.NumCPU() { // each context starts its threads with its first socket
		round()
	}
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	for range 500 {
		round()
	}
	// libzmq closes sockets in a thread of its own.
	assert.Eventually(t, func() bool {
		return descriptors() <= fds+2 && runtime.NumGoroutine() <= goroutines+2
	}, 5*time.Second, 10*time.Millisecond, "descriptors %d → %d, goroutines %d → %d", fds, descriptors(), goroutines, runtime.NumGoroutine())
}

func TestCloseDropsOpenLanesAtOnce(t *testing.T) {
	ours, err := peer.New(peer.Options{Bind: "127.0.0.1"})
	require.NoError(t, err)
	lane := openLane(t, ours, sinkSpec)
	dial(t, lane.Endpoints["sink"]) // stays
	start := time.Now()
	require.NoError(t, ours.Close(context.Background()))
	assert.Less(t, time.Since(start), time.Second)
	_, err = ours.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{sinkSpec}})
	assert.ErrorIs(t, err, endpoint.ErrGone)
}

func TestLanesAreBounded(t *testing.T) {
	ours := newPeer(t)
	for range endpoint.MaxLanes {
		openLane(t, ours, sinkSpec)
	}
	_, err := ours.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{sinkSpec}})
	assert.ErrorContains(t, err, "256 lanes are open")
}

func TestLanesListenWhereTold(t *testing.T) {
	ours, err := peer.New(peer.Options{Bind: "0.0.0.0", Advertise: "endpoint.test"})
	require.NoError(t, err)
	defer ours.Close(context.Background())
	lane := openLane(t, ours, sinkSpec)
	assert.Regexp(t, `^tcp://endpoint\.test:[0-9]+$`, lane.Endpoints["sink"])
	lane.Endpoints["sink"] = strings.Replace(lane.Endpoints["sink"], "endpoint.test", "127.0.0.1", 1)
	assert.Empty(t, goodRound(t, ours, lane).Error)

	_, err = peer.New(peer.Options{Bind: "localhost"})
	assert.ErrorContains(t, err, "not an IPv4 address")
}

// BenchmarkLane is what an attempt pays for its lane: opening and closing it,
// and a client that connects, writes and goes.
func BenchmarkLane(b *testing.B) {
	ours := newPeer(b)
	var opening, closing time.Duration
	for b.Loop() {
		start := time.Now()
		lane := openLane(b, ours, sinkSpec)
		opening += time.Since(start)
		connection, err := net.Dial("tcp", strings.TrimPrefix(lane.Endpoints["sink"], "tcp://"))
		require.NoError(b, err)
		require.NoError(b, shake(connection))
		fmt.Fprint(connection, "\x00\x05hello")
		connection.(*net.TCPConn).CloseWrite()
		start = time.Now()
		account := closeLane(b, ours, lane)["sink"]
		closing += time.Since(start)
		connection.Close()
		require.EqualValues(b, 1, account.Received, account.Error)
	}
	b.ReportMetric(float64(opening.Microseconds())/float64(b.N), "µs/open")
	b.ReportMetric(float64(closing.Microseconds())/float64(b.N), "µs/close")
}
