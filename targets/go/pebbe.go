//go:build cgo

package main

import (
	"errors"
	"fmt"
	"maps"
	"syscall"
	"time"

	zmq "github.com/pebbe/zmq4"
)

// What pebbe/zmq4 v1.4.0 does not offer, by its zmq4.go.
const (
	pebbeNoCallback = "pebbe/zmq4 has no zmq_msg_init_data: it gives libzmq no function of the client to call"
	pebbeNoMemory   = "pebbe/zmq4 has no interface to memory: it takes and returns ordinary byte slices, which it copies"
	pebbeNoInitData = "pebbe/zmq4 has no zmq_msg_init_data: Send and SendBytes call zmq_send, which copies"
	pebbeNoMessage  = "pebbe/zmq4 has no zmq_msg_t: RecvBytes has one of its own inside, of the size in zmq.h (cgo's C.zmq_msg_t), and gives no way to ask for it"
	pebbeNoMsgData  = "pebbe/zmq4 has no zmq_msg_data: Recv and RecvBytes copy the body and close the message"
)

func pebbeBinding() binding {
	features := map[string]feature{
		"callback/same-thread":        {missing: pebbeNoCallback},
		"callback/foreign-thread":     {missing: pebbeNoCallback},
		"callback/concurrent-threads": {missing: pebbeNoCallback},
		"callback/masked-thread":      {missing: pebbeNoCallback},
		"callback/io-thread":          {missing: pebbeNoCallback},
		"callback/io-thread-gc":       {missing: pebbeNoCallback},
		"static-area/address-stable":  {missing: pebbeNoMemory},
		"static-area/shared-view":     {missing: pebbeNoMemory},
		"static-area/release":         {missing: pebbeNoMemory},
		"static-area/pin":             {missing: pebbeNoMemory},
		"zero-copy/callback-free":     {missing: pebbeNoInitData},
		"zero-copy/deferred-free":     {missing: pebbeNoInitData},
		"zero-copy/native-free":       {missing: pebbeNoInitData},
		"zero-copy/kept-alive":        {missing: pebbeNoInitData},
		"zero-copy/wire":              {missing: pebbeNoInitData},
		"zero-copy/receive-in-place":  {missing: pebbeNoMsgData},
		"binding/loads":               {techniques: []string{"plain"}, run: bindingLoads},
		"binding/version":             {techniques: []string{"plain"}, run: bindingVersion(pebbeVersion)},
		"binding/message-size":        {missing: pebbeNoMessage},
		"binding/errors":              {techniques: []string{"plain"}, run: bindingErrors(pebbeErrors)},
	}
	maps.Copy(features, messagingFeatures(func() (messenger, error) {
		context, err := zmq.NewContext()
		return pebbeContext{context}, err
	}))
	return binding{name: "pebbe", module: "github.com/pebbe/zmq4", features: features, libzmq: pebbeVersion}
}

func pebbeVersion() string {
	major, minor, patch := zmq.Version()
	return fmt.Sprintf("%d.%d.%d", major, minor, patch)
}

type pebbeContext struct{ context *zmq.Context }

func (c pebbeContext) close() error { return c.context.Term() }

func (c pebbeContext) connect(kind pattern, endpoint string, topics ...string) (peer, error) {
	kinds := map[pattern]zmq.Type{req: zmq.REQ, rep: zmq.REP, push: zmq.PUSH, pull: zmq.PULL, pub: zmq.PUB, sub: zmq.SUB}
	socket, err := c.context.NewSocket(kinds[kind])
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	// -1 ms is without end: pebbe/zmq4 hands on durations in milliseconds.
	if err := socket.SetLinger(-1); err != nil {
		return nil, fmt.Errorf("set linger: %w", err)
	}
	for _, topic := range topics {
		if err := socket.SetSubscribe(topic); err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	if err := socket.Connect(endpoint); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", endpoint, err)
	}
	return pebbePeer{socket}, nil
}

type pebbePeer struct{ socket *zmq.Socket }

func (p pebbePeer) close() error { return p.socket.Close() }

func (p pebbePeer) sendMessage(frames ...[]byte) error {
	_, err := p.socket.SendMessage(frames)
	return err
}

func (p pebbePeer) receiveMessage(limit time.Duration) ([][]byte, error) {
	if err := p.socket.SetRcvtimeo(limit); err != nil {
		return nil, fmt.Errorf("set the limit of a receive: %w", err)
	}
	frames, err := p.socket.RecvMessageBytes(0)
	if errors.Is(err, zmq.Errno(syscall.EAGAIN)) {
		return nil, errTimeout
	}
	return frames, err
}
