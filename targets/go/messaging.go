//go:build cgo

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// patience is how long a receive waits before it is an error.
const patience = 10 * time.Second

// errTimeout is what a receive returns that waited in vain.
var errTimeout = errors.New("nothing came in time")

// pattern is a kind of socket.
type pattern string

const (
	req  pattern = "REQ"
	rep  pattern = "REP"
	push pattern = "PUSH"
	pull pattern = "PULL"
	pub  pattern = "PUB"
	sub  pattern = "SUB"
)

// messenger is a binding's context, for the features of messaging.
type messenger interface {
	// connect makes a socket that keeps what it has to send when it is closed,
	// subscribed to the topics.
	connect(kind pattern, endpoint string, topics ...string) (peer, error)
	// close waits until everything is sent.
	close() error
}

// peer is a connected socket.
type peer interface {
	sendMessage(frames ...[]byte) error
	// receiveMessage returns errTimeout when nothing came within the limit.
	receiveMessage(limit time.Duration) ([][]byte, error)
	close() error
}

// messagingFeatures are the features of messaging over a binding.
func messagingFeatures(open func() (messenger, error)) map[string]feature {
	over := func(run func(*task, *report, messenger) error) feature {
		return feature{techniques: []string{"plain"}, run: func(t *task, r *report) error {
			m, err := open()
			if err != nil {
				return fmt.Errorf("make a context: %w", err)
			}
			return run(t, r, m)
		}}
	}
	return map[string]feature{
		"messaging/req-rep":   over(messagingReqRep),
		"messaging/push-pull": over(messagingPushPull),
		"messaging/multipart": over(messagingMultipart),
		"messaging/pub-sub":   over(messagingPubSub),
	}
}

func digest(frames [][]byte) string {
	var digests []string
	for _, frame := range frames {
		digests = append(digests, fmt.Sprintf("%08x", crc32.ChecksumIEEE(frame)))
	}
	return strings.Join(digests, "+")
}

// closeAll closes the peers, and then the context.
func closeAll(r *report, m messenger, peers ...peer) error {
	r.step("close and terminate")
	for _, p := range peers {
		if err := p.close(); err != nil {
			return fmt.Errorf("close a socket: %w", err)
		}
	}
	if err := m.close(); err != nil {
		return fmt.Errorf("terminate the context: %w", err)
	}
	return nil
}

func messagingReqRep(t *task, r *report, m messenger) error {
	count, sizes := t.number("count"), t.numbers("sizes")
	asking, err := m.connect(req, t.endpoint("replier"))
	if err != nil {
		return err
	}
	answering, err := m.connect(rep, t.endpoint("requester"))
	if err != nil {
		return err
	}
	var replies, requests []string
	for i := range count {
		r.step("request %d", i)
		if err := asking.sendMessage(matrix.Payload(t.seed, i, sizes[i%len(sizes)])); err != nil {
			return fmt.Errorf("send request %d: %w", i, err)
		}
		reply, err := asking.receiveMessage(patience)
		if err != nil {
			return fmt.Errorf("receive reply %d: %w", i, err)
		}
		replies = append(replies, digest(reply))
	}
	for i := range count {
		r.step("reply %d", i)
		request, err := answering.receiveMessage(patience)
		if err != nil {
			return fmt.Errorf("receive request %d: %w", i, err)
		}
		requests = append(requests, digest(request))
		if err := answering.sendMessage(matrix.Payload(t.seed, 100_000+i, sizes[i%len(sizes)])); err != nil {
			return fmt.Errorf("send reply %d: %w", i, err)
		}
	}
	if err := closeAll(r, m, asking, answering); err != nil {
		return err
	}
	r.text("replies.digests", strings.Join(replies, ","), "digest")
	r.text("requests.digests", strings.Join(requests, ","), "digest")
	return nil
}

func messagingPushPull(t *task, r *report, m messenger) error {
	digests, _, err := pushAndPull(t, r, m, 1)
	if err != nil {
		return err
	}
	r.text("received.digests", strings.Join(digests, ","), "digest")
	return nil
}

func messagingMultipart(t *task, r *report, m messenger) error {
	digests, parts, err := pushAndPull(t, r, m, t.number("parts"))
	if err != nil {
		return err
	}
	r.text("received.digests", strings.Join(digests, ","), "digest")
	r.text("received.parts", strings.Join(parts, ","), "list")
	return nil
}

// pushAndPull returns digest and number of frames of each message received.
func pushAndPull(t *task, r *report, m messenger, parts int) (digests, received []string, err error) {
	count, sizes := t.number("count"), t.numbers("sizes")
	sink, err := m.connect(push, t.endpoint("sink"))
	if err != nil {
		return nil, nil, err
	}
	source, err := m.connect(pull, t.endpoint("source"))
	if err != nil {
		return nil, nil, err
	}
	for i := range count {
		r.step("send message %d", i)
		var frames [][]byte
		for j := range parts {
			index := i
			if parts > 1 {
				index = i*16 + j
			}
			frames = append(frames, matrix.Payload(t.seed, index, sizes[(i*parts+j)%len(sizes)]))
		}
		if err := sink.sendMessage(frames...); err != nil {
			return nil, nil, fmt.Errorf("send message %d: %w", i, err)
		}
	}
	for i := range count {
		r.step("receive message %d", i)
		frames, err := source.receiveMessage(patience)
		if err != nil {
			return nil, nil, fmt.Errorf("receive message %d: %w", i, err)
		}
		digests = append(digests, digest(frames))
		received = append(received, fmt.Sprint(len(frames)))
	}
	return digests, received, closeAll(r, m, sink, source)
}

func messagingPubSub(t *task, r *report, m messenger) error {
	count, sizes := t.number("count"), t.numbers("sizes")
	subscriber, err := m.connect(sub, t.endpoint("pubsub"), "match", "synced")
	if err != nil {
		return err
	}
	publisher, err := m.connect(pub, t.endpoint("pubsub-in"))
	if err != nil {
		return err
	}
	r.step("wait for synced")
	if err := synchronise(subscriber, publisher); err != nil {
		return err
	}
	for i := range 2 * count {
		r.step("publish message %d", i)
		topic := "match"
		if i%2 == 1 {
			topic = "other"
		}
		if err := publisher.sendMessage([]byte(topic), matrix.Payload(t.seed, i, sizes[i%len(sizes)])); err != nil {
			return fmt.Errorf("publish message %d: %w", i, err)
		}
	}
	if err := publisher.sendMessage([]byte("end")); err != nil {
		return fmt.Errorf("publish the end: %w", err)
	}
	r.step("receive until match.end")
	digests, other, err := receiveUntilEnd(subscriber)
	if err != nil {
		return err
	}
	if err := closeAll(r, m, subscriber, publisher); err != nil {
		return err
	}
	r.text("received.digests", strings.Join(digests, ","), "digest")
	r.count("received.other", other)
	return nil
}

// synchronise publishes sync until a synced shows that the subscriptions of
// both sides are in force.
func synchronise(subscriber, publisher peer) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := publisher.sendMessage([]byte("sync")); err != nil {
			return fmt.Errorf("publish sync: %w", err)
		}
		frames, err := subscriber.receiveMessage(20 * time.Millisecond)
		switch {
		case errors.Is(err, errTimeout):
		case err != nil:
			return fmt.Errorf("wait for synced: %w", err)
		case len(frames) == 1 && string(frames[0]) == "synced":
			return nil
		default:
			return fmt.Errorf("before synced came a message of %d frames", len(frames))
		}
	}
	return fmt.Errorf("wait for synced: %w", errTimeout)
}

// receiveUntilEnd returns the digests of the bodies of topic match, and how
// many other messages came.
func receiveUntilEnd(subscriber peer) (digests []string, other int, err error) {
	for {
		frames, err := subscriber.receiveMessage(patience)
		if err != nil {
			return nil, 0, fmt.Errorf("receive until match.end: %w", err)
		}
		switch topic := string(frames[0]); {
		case len(frames) == 1 && topic == "match.end":
			return digests, other, nil
		case len(frames) == 1 && topic == "synced":
		case len(frames) == 2 && topic == "match":
			digests = append(digests, digest(frames[1:]))
		default:
			other++
		}
	}
}
