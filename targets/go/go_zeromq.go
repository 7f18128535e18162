//go:build cgo

package main

import (
	stdcontext "context"
	"fmt"
	"maps"
	"time"

	zmq "github.com/go-zeromq/zmq4"
)

// What go-zeromq/zmq4 v0.17.0 does not offer, by its conn.go, msg.go,
// null_security.go and internal/inproc/conn.go. Without a security mechanism
// conn.send does hand the caller's own frame to net.Conn, whose write is a
// system call of Go's: no witness library sees it.
const (
	goZeromqNoC        = "go-zeromq/zmq4 is pure Go: it has no zmq_msg_init_data and calls no function of the client's from C"
	goZeromqNoMemory   = "go-zeromq/zmq4 has no interface to memory: it takes and returns ordinary byte slices"
	goZeromqNoFree     = "go-zeromq/zmq4 has no zmq_msg_init_data: a Msg has frames and no free function to say when they are done with"
	goZeromqNoInitData = "go-zeromq/zmq4 has no zmq_msg_init_data: over inproc the receiver reads the frame into a slice of its own, and over tcp the frame is written by Go's own system calls, which the witness does not see"
	goZeromqNoLibzmq   = "go-zeromq/zmq4 is pure Go: it has no libzmq below, and no zmq_version or zmq_msg_t"
	goZeromqNoErrno    = "go-zeromq/zmq4 has no error numbers: its errors are texts and those of the packages net, io and context"
	goZeromqNoMsgData  = "go-zeromq/zmq4 has no zmq_msg_data: there is no message memory beside the slice that Recv returns, into which the connection was read"
)

func goZeromqBinding() binding {
	features := map[string]feature{
		"callback/same-thread":        {missing: goZeromqNoC},
		"callback/foreign-thread":     {missing: goZeromqNoC},
		"callback/concurrent-threads": {missing: goZeromqNoC},
		"callback/masked-thread":      {missing: goZeromqNoC},
		"callback/io-thread":          {missing: goZeromqNoC},
		"callback/io-thread-gc":       {missing: goZeromqNoC},
		"static-area/address-stable":  {missing: goZeromqNoMemory},
		"static-area/shared-view":     {missing: goZeromqNoMemory},
		"static-area/release":         {missing: goZeromqNoMemory},
		"static-area/pin":             {missing: goZeromqNoMemory},
		"zero-copy/callback-free":     {missing: goZeromqNoFree},
		"zero-copy/deferred-free":     {missing: goZeromqNoFree},
		"zero-copy/native-free":       {missing: goZeromqNoFree},
		"zero-copy/kept-alive":        {missing: goZeromqNoInitData},
		"zero-copy/wire":              {missing: goZeromqNoInitData},
		"zero-copy/receive-in-place":  {missing: goZeromqNoMsgData},
		"binding/loads":               {techniques: []string{"plain"}, run: bindingLoads},
		"binding/version":             {missing: goZeromqNoLibzmq},
		"binding/message-size":        {missing: goZeromqNoLibzmq},
		"binding/errors":              {missing: goZeromqNoErrno},
	}
	maps.Copy(features, messagingFeatures(func() (messenger, error) { return goZeromqMessenger{}, nil }))
	return binding{
		name:     "go-zeromq",
		module:   "github.com/go-zeromq/zmq4",
		libzmq:   func() string { return "" },
		features: features,
	}
}

// goZeromqMessenger has no state: go-zeromq's sockets share nothing, and a send
// returns when the connection was written.
type goZeromqMessenger struct{}

func (goZeromqMessenger) close() error { return nil }

func (goZeromqMessenger) connect(kind pattern, endpoint string, topics ...string) (peer, error) {
	makers := map[pattern]func(stdcontext.Context, ...zmq.Option) zmq.Socket{
		req: zmq.NewReq, rep: zmq.NewRep, push: zmq.NewPush, pull: zmq.NewPull, pub: zmq.NewPub, sub: zmq.NewSub,
	}
	socket := makers[kind](stdcontext.Background())
	if err := socket.Dial(endpoint); err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	for _, topic := range topics {
		if err := socket.SetOption(zmq.OptionSubscribe, topic); err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	return &goZeromqPeer{socket: socket, received: make(chan received)}, nil
}

type received struct {
	message zmq.Msg
	err     error
}

// goZeromqPeer receives in a goroutine, for go-zeromq has no limit for Recv. A
// receive that was given up goes on, and the next one gets its message.
type goZeromqPeer struct {
	socket    zmq.Socket
	received  chan received
	receiving bool
}

func (p *goZeromqPeer) close() error { return p.socket.Close() }

func (p *goZeromqPeer) sendMessage(frames ...[]byte) error {
	if len(frames) == 1 {
		return p.socket.Send(zmq.NewMsg(frames[0]))
	}
	return p.socket.SendMulti(zmq.NewMsgFrom(frames...))
}

func (p *goZeromqPeer) receiveMessage(limit time.Duration) ([][]byte, error) {
	if !p.receiving {
		p.receiving = true
		go func() {
			message, err := p.socket.Recv()
			p.received <- received{message, err}
		}()
	}
	select {
	case next := <-p.received:
		p.receiving = false
		return next.message.Frames, next.err
	case <-time.After(limit):
		return nil, errTimeout
	}
}
