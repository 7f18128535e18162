//go:build cgo

package peer

/*
#cgo pkg-config: libzmq
#include <zmq.h>

// libzmq 4.3 has the option in every build, and its header only in those with
// the draft interface.
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

static int enforce_zap_domain(void *socket) {
	int on = 1;
	return zmq_setsockopt(socket, ZMQ_ZAP_ENFORCE_DOMAIN, &on, sizeof on);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// guarded is a ZeroMQ context with an authenticator of its own (ZAP, RFC 27),
// which decides who gets into the secured sockets of its lanes.
//
// pebbe/zmq4 brings one, but AuthStart binds it in the default context only.
// In every other context a CURVE server then has nobody to ask, and libzmq
// lets every client in that knows the server's key.
type guarded struct {
	*zmq4.Context

	mutex    sync.Mutex
	admitted map[string]string // by ZAP domain: the public key of its one client, as octets
}

// zapEndpoint is where libzmq looks for the authenticator in a context.
const zapEndpoint = "inproc://zeromq.zap.01"

// domains numbers the lanes' ZAP domains, by which the authenticator tells
// them apart.
var domains atomic.Uint64

// guard starts the authenticator, which ends with its context.
func (g *guarded) guard() error {
	g.admitted = map[string]string{}
	socket, err := g.NewSocket(zmq4.REP)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	if err := errors.Join(socket.SetLinger(0), socket.Bind(zapEndpoint)); err != nil {
		socket.Close()
		return fmt.Errorf("bind %s: %w", zapEndpoint, err)
	}
	go func() {
		// Whoever asks an authenticator that has gone is refused: see secure.
		defer socket.Close()
		for {
			request, err := socket.RecvMessageBytes(0)
			if err != nil { // ETERM
				return
			}
			if _, err := socket.SendMessage(g.answer(request)); err != nil {
				return
			}
		}
	}()
	return nil
}

// answer is the ZAP reply to a request: version, request id, status code and
// text, user id and metadata.
func (g *guarded) answer(request [][]byte) [][]byte {
	// Version, request id, domain, address, identity, mechanism, and for CURVE
	// the client's public key.
	const version, id, domain, mechanism, key, frames = 0, 1, 2, 5, 6, 7
	refuse := func(code, text string) [][]byte {
		reply := [][]byte{[]byte("1.0"), nil, []byte(code), []byte(text), nil, nil}
		if len(request) > id {
			reply[id] = request[id]
		}
		return reply
	}
	if len(request) != frames || string(request[version]) != "1.0" || string(request[mechanism]) != "CURVE" {
		return refuse("500", "not a CURVE request of ZAP 1.0")
	}
	g.mutex.Lock()
	admitted, known := g.admitted[string(request[domain])]
	g.mutex.Unlock()
	if !known || admitted != string(request[key]) {
		return refuse("400", "not the lane's client key")
	}
	return [][]byte{[]byte("1.0"), request[id], []byte("200"), []byte("OK"), []byte("client"), nil}
}

// laneKeys are a lane's keys and the domain that its secured sockets share.
type laneKeys struct {
	domain string
	secret string // the server's
	keys   matrix.CurveKeys
}

// client is what the lane's client is told of them.
func (k *laneKeys) client() *matrix.CurveKeys {
	if k == nil {
		return nil
	}
	return &k.keys
}

// admit makes the keys of a lane, and has the authenticator let its client in.
func (g *guarded) admit() (*laneKeys, error) {
	if !zmq4.HasCurve() {
		return nil, errors.New("this libzmq was built without CURVE")
	}
	k := &laneKeys{domain: fmt.Sprintf("lane-%d", domains.Add(1))}
	var err error
	if k.keys.Server, k.secret, err = zmq4.NewCurveKeypair(); err != nil {
		return nil, fmt.Errorf("make the server's keys: %w", err)
	}
	if k.keys.Public, k.keys.Secret, err = zmq4.NewCurveKeypair(); err != nil {
		return nil, fmt.Errorf("make the client's keys: %w", err)
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.admitted[k.domain] = zmq4.Z85decode(k.keys.Public)
	return k, nil
}

// dismiss forgets a lane that has closed.
func (g *guarded) dismiss(k *laneKeys) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	delete(g.admitted, k.domain)
}

// secure makes the port's socket a CURVE server before it is bound.
func (k *laneKeys) secure(p *port) error {
	err := errors.Join(p.socket.SetCurveServer(1), p.socket.SetCurveSecretkey(k.secret), p.socket.SetZapDomain(k.domain))
	if err != nil {
		return fmt.Errorf("make it a CURVE server: %w", err)
	}
	// Without an authenticator a domain means nothing, unless it is enforced
	// (libzmq, curve_server.cpp, process_initiate).
	if rc, err := C.enforce_zap_domain(p.handle); rc != 0 {
		return fmt.Errorf("enforce its ZAP domain: %w", err)
	}
	return nil
}

// refusalOf is the reason for a failed handshake behind the value of
// ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL.
func refusalOf(value int) matrix.Refusal {
	switch value {
	case C.ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
		return matrix.RefusedCipher
	case C.ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
		return matrix.RefusedMechanism
	}
	return matrix.RefusedProtocol
}

// curve is the account of the handshakes, nil of a socket that is not secured.
// Every connection is in it: one that no event spoke of never got so far.
func (c *connections) curve() *matrix.CurveAccount {
	if !c.secured {
		return nil
	}
	account := &matrix.CurveAccount{Accepted: c.shaken, Refused: c.refused}
	told := c.shaken
	for _, times := range c.refused {
		told += times
	}
	// A connection that breaks the protocol after its handshake is told of twice.
	if c.accepted > told {
		account.Refused[matrix.RefusedUnfinished] = c.accepted - told
	}
	return account
}
