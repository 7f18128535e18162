//go:build cgo

package peer_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/xxh3"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
)

const clientSeed, endpointSeed = 11, 4711

func newPeer(t testing.TB) *peer.Peer {
	ours, err := peer.New(peer.Options{Bind: "127.0.0.1"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ours.Close(context.Background())) })
	return ours
}

func openLane(t testing.TB, ours *peer.Peer, specs ...matrix.SocketSpec) matrix.Lane {
	lane, err := ours.Open(t.Context(), matrix.LaneRequest{Sockets: specs})
	require.NoError(t, err)
	return lane
}

func closeLane(t testing.TB, ours *peer.Peer, lane matrix.Lane) map[string]matrix.SocketAccount {
	account, err := ours.CloseLane(t.Context(), lane.ID)
	require.NoError(t, err)
	return account.Sockets
}

// client is a ZeroMQ context of its own, as a probe's is. Its end sends what
// is still to be sent.
type client struct {
	t       testing.TB
	context *zmq4.Context
	sockets []*zmq4.Socket
	keys    *matrix.CurveKeys // nil: no CURVE
}

func newClient(t testing.TB) *client {
	context, err := zmq4.NewContext()
	require.NoError(t, err)
	c := &client{t: t, context: context}
	t.Cleanup(c.end)
	return c
}

func (c *client) connect(kind zmq4.Type, address string, subscriptions ...string) *zmq4.Socket {
	socket, err := c.context.NewSocket(kind)
	require.NoError(c.t, err)
	require.NoError(c.t, socket.SetRcvtimeo(10*time.Second))
	require.NoError(c.t, socket.SetLinger(10*time.Second))
	if c.keys != nil {
		require.NoError(c.t, socket.ClientAuthCurve(c.keys.Server, c.keys.Public, c.keys.Secret))
	}
	for _, subscription := range subscriptions {
		require.NoError(c.t, socket.SetSubscribe(subscription))
	}
	require.NoError(c.t, socket.Connect(address))
	c.sockets = append(c.sockets, socket)
	return socket
}

func (c *client) end() {
	for _, socket := range c.sockets {
		socket.Close()
	}
	c.sockets = nil
	c.context.Term()
}

func receive(t testing.TB, socket *zmq4.Socket) [][]byte {
	frames, err := socket.RecvMessageBytes(0)
	require.NoError(t, err)
	return frames
}

func send(t testing.TB, socket *zmq4.Socket, frames ...[]byte) {
	_, err := socket.SendMessage(frames)
	require.NoError(t, err)
}

// message is message i of a stream, as PROBE.md has it, written out anew here.
func message(seed uint64, i, parts int, sizes ...int) [][]byte {
	if parts == 1 {
		return [][]byte{matrix.Payload(seed, i, sizes[i%len(sizes)])}
	}
	var frames [][]byte
	for j := range parts {
		frames = append(frames, matrix.Payload(seed, i*16+j, sizes[(i*parts+j)%len(sizes)]))
	}
	return frames
}

// expectation is the account of messages that arrived as sent.
func expectation(messages ...[][]byte) matrix.SocketAccount {
	account := matrix.SocketAccount{Peers: 1}
	var stream []byte // matrix.Rolling's, written out anew here
	for _, frames := range messages {
		account.Received++
		for j, frame := range frames {
			account.Bytes += int64(len(frame))
			header := uint64(len(frame))
			if j == 0 {
				header |= 1 << 63
			}
			stream = append(binary.BigEndian.AppendUint64(stream, header), frame...)
		}
		if account.Received <= matrix.MaxDigests {
			account.Digests = append(account.Digests, matrix.MessageDigest(frames...))
		}
	}
	sum := xxh3.Hash128(stream).Bytes()
	account.Rolling = hex.EncodeToString(sum[:])
	return account
}

func TestSinkAccountsForEveryMessage(t *testing.T) {
	for _, shape := range []struct {
		count, parts int
		sizes        []int
	}{
		{2000, 1, []int{0, 1, 16, 17, 240, 241, 1024}},
		{300, 3, []int{1, 0, 100, 70_000}},
		{2000, 1, []int{256, 257, 0, 3000, 5000, 64}}, // copied and in place, in turns
		{20, 16, []int{33}},
		{5, 1, []int{1 << 20, 1 << 16, 3 << 20}},
		{2, 1500, []int{3}}, // past the frames that are looked at: see below
	} {
		t.Run(fmt.Sprintf("%d_messages_of_%d_frames", shape.count, shape.parts), func(t *testing.T) {
			ours := newPeer(t)
			lane := openLane(t, ours, matrix.SocketSpec{Name: "sink", Role: matrix.RoleSink})
			probe := newClient(t)
			socket := probe.connect(zmq4.PUSH, lane.Endpoints["sink"])
			var sent [][][]byte
			for i := range shape.count {
				frames := message(clientSeed, i, shape.parts, shape.sizes...)
				sent = append(sent, frames)
				send(t, socket, frames...)
			}
			probe.end()
			account := closeLane(t, ours, lane)["sink"]
			if shape.parts > 1024 {
				assert.Equal(t, int64(1), account.Received, "it stops receiving where it can't account for all")
				assert.Contains(t, account.Error, "more than 1024 frames; 476 frames dropped")
				return
			}
			assert.Equal(t, expectation(sent...), account)
		})
	}
}

func TestSourceSendsItsStream(t *testing.T) {
	for _, parts := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d_frames", parts), func(t *testing.T) {
			const count = 3000 // past the high-water marks
			sizes := []int{0, 5, 1000, 5000}
			ours := newPeer(t)
			lane := openLane(t, ours, matrix.SocketSpec{Name: "source", Role: matrix.RoleSource, Seed: endpointSeed, Count: count, Sizes: sizes, Parts: parts})
			probe := newClient(t)
			socket := probe.connect(zmq4.PULL, lane.Endpoints["source"])
			for i := range count {
				require.Equal(t, message(endpointSeed, i, parts, sizes...), receive(t, socket))
			}
			probe.end()
			expected := expectation()
			expected.Sent = count
			assert.Equal(t, expected, closeLane(t, ours, lane)["source"])
		})
	}
}

func TestReplierAnswersEachRequestWithItsMessage(t *testing.T) {
	const count = 50
	sizes := []int{1, 0, 100_000}
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "replier", Role: matrix.RoleReplier, Seed: endpointSeed, Count: count, Sizes: sizes})
	probe := newClient(t)
	socket := probe.connect(zmq4.REQ, lane.Endpoints["replier"])
	var sent [][][]byte
	for i := range count {
		sent = append(sent, message(clientSeed, i, 1, 7, 0, 30_000))
		send(t, socket, sent[i]...)
		require.Equal(t, message(endpointSeed, i, 1, sizes...), receive(t, socket))
	}
	probe.end()
	expected := expectation(sent...)
	expected.Sent = count
	assert.Equal(t, expected, closeLane(t, ours, lane)["replier"])
}

func TestRequesterSendsItsRequestsAndDigestsTheReplies(t *testing.T) {
	const count = 50
	sizes := []int{1, 0, 100_000}
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "requester", Role: matrix.RoleRequester, Seed: endpointSeed, Count: count, Sizes: sizes})
	probe := newClient(t)
	socket := probe.connect(zmq4.REP, lane.Endpoints["requester"])
	var sent [][][]byte
	for i := range count {
		require.Equal(t, message(endpointSeed, i, 1, sizes...), receive(t, socket))
		sent = append(sent, message(clientSeed, 100_000+i, 1, 7, 0, 30_000))
		send(t, socket, sent[i]...)
	}
	probe.end()
	expected := expectation(sent...)
	expected.Sent = count
	assert.Equal(t, expected, closeLane(t, ours, lane)["requester"])
}

func TestPubSubFollowsTheProbeContract(t *testing.T) {
	const count = 600
	sizes := []int{10, 0, 2000}
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "pubsub", Role: matrix.RolePubSub, Seed: endpointSeed, Count: count, Sizes: sizes})
	probe := newClient(t)
	subscriber := probe.connect(zmq4.SUB, lane.Endpoints["pubsub"], "synced", "match")
	publisher := probe.connect(zmq4.PUB, lane.Endpoints["pubsub-in"])
	syncs := synchronize(t, publisher, subscriber)

	send(t, publisher, []byte("synced")) // arrives by its prefix, means nothing
	var matching [][][]byte
	for i := range 2 * count {
		topic, body := []byte("match"), message(clientSeed, i, 1, sizes...)[0]
		if i%2 == 1 {
			topic = []byte("other")
		} else {
			matching = append(matching, [][]byte{topic, body})
		}
		send(t, publisher, topic, body)
		if i%500 == 499 {
			// A PUB's own queue holds 1000 and drops the rest: let it go out.
			syncs += synchronize(t, publisher, subscriber)
		}
	}
	send(t, publisher, []byte("end"))

	received := 0
	for {
		frames := receive(t, subscriber)
		if len(frames) == 1 && string(frames[0]) == "synced" {
			continue
		}
		if len(frames) == 1 {
			require.Equal(t, "match.end", string(frames[0]))
			break
		}
		i := 2*received + 1
		require.Equal(t, [][]byte{[]byte("match"), matrix.Payload(endpointSeed, i, sizes[i%3])}, frames)
		received++
	}
	probe.end()
	accounts := closeLane(t, ours, lane)
	assert.Equal(t, count, received)

	expected := expectation(matching...)
	expected.Topics = map[string]int64{"sync": accounts["pubsub-in"].Topics["sync"], "synced": 1, "match": count, "end": 1}
	assert.Equal(t, expected, accounts["pubsub-in"])
	assert.LessOrEqual(t, accounts["pubsub-in"].Topics["sync"], int64(syncs), "no more than were sent")
	published := expectation()
	published.Sent = 2 * count
	assert.Equal(t, published, accounts["pubsub"])
}

// synchronize publishes sync every 20 ms until synced arrives, and returns how
// many it published.
func synchronize(t testing.TB, publisher, subscriber *zmq4.Socket) int {
	require.NoError(t, subscriber.SetRcvtimeo(20*time.Millisecond))
	defer subscriber.SetRcvtimeo(10 * time.Second)
	for sent := 1; sent <= 500; sent++ {
		send(t, publisher, []byte("sync"))
		if frames, err := subscriber.RecvMessage(0); err == nil {
			require.Equal(t, []string{"synced"}, frames)
			return sent
		}
	}
	require.Fail(t, "no synced in 10 s")
	return 0
}

func TestTopicsAreBounded(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "pubsub", Role: matrix.RolePubSub, Sizes: []int{0}})
	probe := newClient(t)
	subscriber := probe.connect(zmq4.SUB, lane.Endpoints["pubsub"], "synced")
	publisher := probe.connect(zmq4.PUB, lane.Endpoints["pubsub-in"])
	synchronize(t, publisher, subscriber)
	send(t, publisher, []byte("match\xff\x00"), nil)
	for i := range 200 {
		send(t, publisher, fmt.Appendf(nil, "match%d", i), nil)
	}
	probe.end()
	account := closeLane(t, ours, lane)["pubsub-in"]
	assert.Equal(t, int64(201), account.Received)
	assert.Len(t, account.Topics, matrix.MaxTopics)
	assert.Equal(t, int64(1), account.Topics[`"match\xff\x00"`])
}

func TestPubSubPublishesItsLastMessageWhateverTheCount(t *testing.T) {
	const count = 20_000 // far past libzmq's default high-water mark
	ours := newPeer(t)
	lane := openLane(t, ours, matrix.SocketSpec{Name: "pubsub", Role: matrix.RolePubSub, Seed: endpointSeed, Count: count, Sizes: []int{64}})
	probe := newClient(t)
	subscriber := probe.connect(zmq4.SUB, lane.Endpoints["pubsub"], "synced", "match")
	publisher := probe.connect(zmq4.PUB, lane.Endpoints["pubsub-in"])
	synchronize(t, publisher, subscriber)
	send(t, publisher, []byte("end"))
	received := 0
	for {
		frames := receive(t, subscriber)
		if string(frames[0]) == "match.end" {
			break
		}
		if len(frames) == 2 {
			received++
		}
	}
	assert.Equal(t, count, received)
}
