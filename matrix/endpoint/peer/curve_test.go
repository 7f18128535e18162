//go:build cgo

package peer_test

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const curveCount = 12

// curveSizes are on both sides of what libzmq sends in one piece.
var curveSizes = []int{0, 1, 64, 8192, 70_000}

// curveSpecs are a lane whose two sockets are secured, or not.
func curveSpecs(secured bool) []matrix.SocketSpec {
	return []matrix.SocketSpec{
		{Name: "source", Role: matrix.RoleSource, Seed: endpointSeed, Count: curveCount, Sizes: curveSizes, Curve: secured},
		{Name: "sink", Role: matrix.RoleSink, Curve: secured},
	}
}

var curveClientFolder string

// curveClient is the C client's program.
var curveClient = sync.OnceValues(func() (string, error) {
	program := filepath.Join(curveClientFolder, "curve_client")
	output, err := exec.Command("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/curve_client.c", "-lzmq").CombinedOutput()
	if err != nil {
		return string(output), err
	}
	return program, nil
})

// runCurveClient has C go through the lane with these keys, or with none, and
// returns what it received and what its monitors told of each side.
func runCurveClient(t *testing.T, lane matrix.Lane, keys *matrix.CurveKeys) (received [][]byte, told map[string][]string) {
	t.Helper()
	program, err := curveClient()
	require.NoError(t, err, program)
	arguments := []string{lane.Endpoints["source"], lane.Endpoints["sink"], strconv.Itoa(curveCount)}
	if keys != nil {
		arguments = append(arguments, keys.Server, keys.Public, keys.Secret)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, program, arguments...).Output()
	require.NoError(t, err)
	told = map[string][]string{}
	for line := range strings.Lines(string(output)) {
		side, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if side != "received" {
			told[side] = append(told[side], what)
			continue
		}
		body, err := hex.DecodeString(what)
		require.NoError(t, err)
		received = append(received, body)
	}
	return received, told
}

func strangersKeys(t *testing.T) (public, secret string) {
	public, secret, err := zmq4.NewCurveKeypair()
	require.NoError(t, err)
	return public, secret
}

// requireThrough holds both ways to what was sent, byte for byte.
func requireThrough(t *testing.T, received [][]byte, accounts map[string]matrix.SocketAccount) {
	t.Helper()
	var sent [][]byte
	forwarded := [][][]byte{{[]byte("knock")}}
	for i := range curveCount {
		body := message(endpointSeed, i, 1, curveSizes...)
		sent, forwarded = append(sent, body[0]), append(forwarded, body)
	}
	require.Equal(t, sent, received, "what the endpoint sent")
	sink := accounts["sink"]
	sink.Curve = nil
	assert.Equal(t, expectation(forwarded...), sink, "what the client sent")
	assert.EqualValues(t, curveCount, accounts["source"].Sent)
}

func TestSecuredLaneLetsTheLanesKeysThroughBothWays(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, curveSpecs(true)...)
	require.NotNil(t, lane.Curve)
	received, told := runCurveClient(t, lane, lane.Curve)
	accounts := closeLane(t, ours, lane)
	requireThrough(t, received, accounts)
	for _, name := range []string{"source", "sink"} {
		assert.Equal(t, []string{"succeeded 0"}, told[name])
		assert.Equal(t, &matrix.CurveAccount{Accepted: 1, Refused: map[matrix.Refusal]int{}}, accounts[name].Curve, name)
		assert.Empty(t, accounts[name].Error, name)
	}
}

func TestSecuredLaneRefuses(t *testing.T) {
	for _, intruder := range []struct {
		name string
		keys func(t *testing.T, lanes matrix.CurveKeys) *matrix.CurveKeys
		// Any of these: who hangs up first is chance where both sides see it.
		refusals []matrix.Refusal
		told     string // by the client's own monitor
	}{
		{"an_unknown_client_key", func(t *testing.T, keys matrix.CurveKeys) *matrix.CurveKeys {
			keys.Public, keys.Secret = strangersKeys(t)
			return &keys
		}, []matrix.Refusal{matrix.RefusedKey}, "failed-auth 0x190"}, // 400, as ZAP has it
		{"a_public_key_without_its_secret", func(t *testing.T, keys matrix.CurveKeys) *matrix.CurveKeys {
			_, keys.Secret = strangersKeys(t)
			return &keys
		}, []matrix.Refusal{matrix.RefusedCipher}, "failed"},
		{"a_wrong_server_key", func(t *testing.T, keys matrix.CurveKeys) *matrix.CurveKeys {
			keys.Server, _ = strangersKeys(t)
			return &keys
		}, []matrix.Refusal{matrix.RefusedCipher}, "failed"},
		{"no_CURVE_at_all", func(*testing.T, matrix.CurveKeys) *matrix.CurveKeys { return nil },
			[]matrix.Refusal{matrix.RefusedMechanism, matrix.RefusedUnfinished}, "failed"},
	} {
		t.Run(intruder.name, func(t *testing.T) {
			ours := newPeer(t)
			lane := openLane(t, ours, curveSpecs(true)...)
			received, told := runCurveClient(t, lane, intruder.keys(t, *lane.Curve))
			accounts := closeLane(t, ours, lane)
			assert.Empty(t, received)
			for _, name := range []string{"source", "sink"} {
				account := accounts[name]
				assert.Zero(t, account.Received, name)
				assert.Zero(t, account.Sent, name)
				assert.Equal(t, 1, account.Peers, name)
				assert.Empty(t, account.Error, "a refusal is no error of the socket")
				require.NotNil(t, account.Curve)
				assert.Zero(t, account.Curve.Accepted, name)
				require.Len(t, account.Curve.Refused, 1, name)
				for refusal, times := range account.Curve.Refused {
					assert.Contains(t, intruder.refusals, refusal, name)
					assert.Equal(t, 1, times, name)
				}
				require.NotEmpty(t, told[name])
				assert.True(t, strings.HasPrefix(told[name][0], intruder.told), told[name])
			}
		})
	}
}

// In ZMTP 1.0 messages need no handshake, so that there is none to refuse.
func TestSecuredLaneHasNoDoorForClientsWithoutHandshake(t *testing.T) {
	const identity, hello = "\x01\x00", "\x06\x00hello"
	ours := newPeer(t)
	for _, secured := range []bool{true, false} {
		lane := openLane(t, ours, curveSpecs(secured)...)
		connection := dial(t, lane.Endpoints["sink"])
		_, err := io.WriteString(connection, identity+hello)
		require.NoError(t, err)
		require.NoError(t, connection.(*net.TCPConn).CloseWrite())
		account := closeLane(t, ours, lane)["sink"]
		if !secured {
			assert.EqualValues(t, 1, account.Received, "elsewhere the same bytes are a message")
			continue
		}
		assert.Zero(t, account.Received)
		assert.Equal(t, &matrix.CurveAccount{Refused: map[matrix.Refusal]int{matrix.RefusedUnfinished: 1}}, account.Curve)
	}
}

func TestUnsecuredLanesAreOpenToAll(t *testing.T) {
	ours := newPeer(t)
	lane := openLane(t, ours, curveSpecs(false)...)
	assert.Nil(t, lane.Curve)
	received, told := runCurveClient(t, lane, nil)
	accounts := closeLane(t, ours, lane)
	requireThrough(t, received, accounts)
	assert.Equal(t, []string{"succeeded 0"}, told["sink"])
	assert.Nil(t, accounts["sink"].Curve)
	assert.Nil(t, accounts["source"].Curve)
}

func TestALanesKeysAreGoodForThatLaneOnly(t *testing.T) {
	ours := newPeer(t)
	other := openLane(t, ours, curveSpecs(true)...)
	// Past all contexts of the peer: another lane of the same one is among these.
	for range 4 {
		lane := openLane(t, ours, curveSpecs(true)...)
		assert.NotEqual(t, other.Curve.Server, lane.Curve.Server)
		keys := *lane.Curve
		keys.Public, keys.Secret = other.Curve.Public, other.Curve.Secret
		received, _ := runCurveClient(t, lane, &keys)
		account := closeLane(t, ours, lane)["sink"]
		assert.Empty(t, received)
		assert.Zero(t, account.Received)
		assert.Equal(t, &matrix.CurveAccount{Refused: map[matrix.Refusal]int{matrix.RefusedKey: 1}}, account.Curve)
	}
}

func TestEveryRoleCanBeSecured(t *testing.T) {
	sizes := []int{100}
	for _, spec := range []matrix.SocketSpec{
		{Role: matrix.RoleReplier, Seed: endpointSeed, Count: 1, Sizes: sizes},
		{Role: matrix.RoleRequester, Seed: endpointSeed, Count: 1, Sizes: sizes},
		{Role: matrix.RolePubSub, Seed: endpointSeed, Count: 1, Sizes: sizes},
	} {
		t.Run(string(spec.Role), func(t *testing.T) {
			spec.Name, spec.Curve = "socket", true
			ours := newPeer(t)
			lane := openLane(t, ours, spec)
			probe := newClient(t)
			probe.keys = lane.Curve
			body := message(clientSeed, 0, 1, 50)
			switch spec.Role {
			case matrix.RoleReplier:
				socket := probe.connect(zmq4.REQ, lane.Endpoints["socket"])
				send(t, socket, body...)
				require.Equal(t, message(endpointSeed, 0, 1, sizes...), receive(t, socket))
			case matrix.RoleRequester:
				socket := probe.connect(zmq4.REP, lane.Endpoints["socket"])
				require.Equal(t, message(endpointSeed, 0, 1, sizes...), receive(t, socket))
				send(t, socket, body...)
			case matrix.RolePubSub:
				subscriber := probe.connect(zmq4.SUB, lane.Endpoints["socket"], "synced")
				synchronize(t, probe.connect(zmq4.PUB, lane.Endpoints["socket-in"]), subscriber)
			}
			probe.end()
			for name, account := range closeLane(t, ours, lane) {
				assert.Equal(t, &matrix.CurveAccount{Accepted: 1, Refused: map[matrix.Refusal]int{}}, account.Curve, name)
				assert.Empty(t, account.Error, name)
			}
		})
	}
}

// This is why the peer has an authenticator of its own.
func TestTheBindingsAuthenticatorLetsEverybodyIntoOtherContexts(t *testing.T) {
	require.NoError(t, zmq4.AuthStart())
	t.Cleanup(zmq4.AuthStop)
	serverPublic, serverSecret := strangersKeys(t)
	friend, _ := strangersKeys(t)
	zmq4.AuthCurveAdd("guarded", friend)
	server := newClient(t)
	socket, err := server.context.NewSocket(zmq4.PULL)
	require.NoError(t, err)
	server.sockets = append(server.sockets, socket)
	require.NoError(t, socket.ServerAuthCurve("guarded", serverSecret))
	require.NoError(t, socket.Bind("tcp://127.0.0.1:*"))
	address, err := socket.GetLastEndpoint()
	require.NoError(t, err)
	stranger := newClient(t)
	stranger.keys = &matrix.CurveKeys{Server: serverPublic}
	stranger.keys.Public, stranger.keys.Secret = strangersKeys(t)
	send(t, stranger.connect(zmq4.PUSH, address), []byte("I am in"))
	assert.Equal(t, [][]byte{[]byte("I am in")}, receive(t, socket))
}
