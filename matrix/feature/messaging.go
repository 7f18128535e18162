package feature

import (
	"fmt"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Indices of the payloads that a replying client makes; see targets/PROBE.md.
const replyIndex = 100_000

// framesPerMessage is the distance between the payload indices of two
// multipart messages.
const framesPerMessage = 16

// messaging is the group messaging/*. The sizes stand around the places where
// libzmq changes its ways: 0, the frame header's 255, its own small-message
// storage, the batch buffer of 8192.
func messaging() []matrix.Feature {
	const count = 32
	sizes, sizeList := []int{1, 255, 256, 8192, 65536, 0, 33}, "1,255,256,8192,65536,0,33"
	params := func(parts string) map[string]string {
		return map[string]string{"count": "32", "sizes": sizeList, "parts": parts}
	}
	socket := func(name string, role matrix.Role, parts int) matrix.SocketSpec {
		return matrix.SocketSpec{Name: name, Role: role, Count: count, Sizes: sizes, Parts: parts}
	}
	return []matrix.Feature{
		{
			Name:        "messaging/req-rep",
			Requirement: "As REQ and as REP, requests and replies arrive byte for byte, in turn.",
			Source:      "RFC 28/REQREP",
			Method:      "32 exchanges each way; each side's account of what it received is compared with what the other made.",
			Version:     1,
			Params:      params("1"),
			Lane:        []matrix.SocketSpec{socket("replier", matrix.RoleReplier, 1), socket("requester", matrix.RoleRequester, 1)},
			Wall:        30 * time.Second,
			Judge:       judgeReqRep,
		},
		{
			Name:        "messaging/push-pull",
			Requirement: "As PUSH and as PULL, messages arrive byte for byte and in order.",
			Source:      "RFC 30/PIPELINE",
			Method:      "32 messages each way, of 0 to 64 KiB.",
			Version:     1,
			Params:      params("1"),
			Lane:        []matrix.SocketSpec{socket("sink", matrix.RoleSink, 1), socket("source", matrix.RoleSource, 1)},
			Wall:        30 * time.Second,
			Judge:       judgePushPull,
		},
		{
			Name:        "messaging/pub-sub",
			Requirement: "As PUB and as SUB, a subscriber gets every message of the topics it subscribed to, and none of another.",
			Source:      "RFC 29/PUBSUB",
			Method:      "After a handshake that shows both ways joined, 64 messages each way, of which every other has a topic that is subscribed to.",
			Version:     1,
			Params:      params("1"),
			Lane:        []matrix.SocketSpec{socket("pubsub", matrix.RolePubSub, 1)},
			Wall:        30 * time.Second,
			Judge:       judgePubSub,
		},
		{
			Name:        "messaging/multipart",
			Requirement: "Messages of several frames arrive whole, with the same frames.",
			Source:      "zmq_msg_send(3), ZMQ_SNDMORE; zmq_getsockopt(3), ZMQ_RCVMORE",
			Method:      "32 messages of 3 frames each way, of 0 to 64 KiB; digests are over each frame's length and bytes.",
			Version:     1,
			Params:      params("3"),
			Lane:        []matrix.SocketSpec{socket("sink", matrix.RoleSink, 3), socket("source", matrix.RoleSource, 3)},
			Wall:        30 * time.Second,
			Judge:       judgePushPull,
		},
	}
}

// frames makes message i of a stream.
func (f *facts) frames(seed uint64, i int) [][]byte {
	sizes, parts := f.paramList("sizes"), int(f.param("parts"))
	if parts == 1 {
		return [][]byte{matrix.Payload(seed, i, int(sizes[i%len(sizes)]))}
	}
	var frames [][]byte
	for j := range parts {
		frames = append(frames, matrix.Payload(seed, i*framesPerMessage+j, int(sizes[(i*parts+j)%len(sizes)])))
	}
	return frames
}

// stream yields count messages made by make.
func (f *facts) stream(message func(i int) [][]byte) func(yield func(frames ...[]byte)) {
	return func(yield func(frames ...[]byte)) {
		for i := range int(f.param("count")) {
			yield(message(i)...)
		}
	}
}

func judgeReqRep(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count, sizes := int(f.param("count")), f.paramList("sizes")
	replier, _ := f.socket("replier")
	requester, _ := f.socket("requester")
	f.exchanged("replier", int64(count), f.stream(func(i int) [][]byte { return f.frames(f.Seed, i) }))
	f.exchanged("requester", int64(count), f.stream(func(i int) [][]byte {
		return [][]byte{matrix.Payload(f.Seed, replyIndex+i, int(sizes[i%len(sizes)]))}
	}))
	f.checksums("replies.digests", f.expectedChecksums(replier.Seed))
	f.checksums("requests.digests", f.expectedChecksums(requester.Seed))
	return f.finding()
}

// expectedChecksums is what a client must report of a stream from the endpoint:
// messages' frames joined by "+".
func (f *facts) expectedChecksums(seed uint64) []string {
	var expected []string
	for i := range int(f.param("count")) {
		var frames []string
		for _, frame := range f.frames(seed, i) {
			frames = append(frames, checksum(frame))
		}
		expected = append(expected, strings.Join(frames, "+"))
	}
	return expected
}

func judgePushPull(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count := f.param("count")
	source, _ := f.socket("source")
	f.departed("source", count)
	f.arrived("sink", f.stream(func(i int) [][]byte { return f.frames(f.Seed, i) }))
	f.checksums("received.digests", f.expectedChecksums(source.Seed))
	if parts := f.param("parts"); parts > 1 {
		got := f.text("received.parts", "list")
		f.require(got == strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d,", parts), int(count)), ","),
			"the client received messages of %s frames, all have %d", got, parts)
	}
	return f.finding()
}

func judgePubSub(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count, sizes := int(f.param("count")), f.paramList("sizes")
	publisher, _ := f.socket("pubsub")
	_, subscribed := f.socket("pubsub-in")
	// What answers the handshake, and the end, are not counted as sent.
	f.departed("pubsub", 2*int64(count))
	size := func(i int) int { return int(sizes[i%len(sizes)]) }
	f.arrived("pubsub-in", func(yield func(frames ...[]byte)) {
		for i := 0; i < 2*count; i += 2 {
			yield([]byte("match"), matrix.Payload(f.Seed, i, size(i)))
		}
	})
	f.require(subscribed.Topics["end"] == 1, "the endpoint's subscriber saw the end %d times, not once", subscribed.Topics["end"])
	// Messages of one frame are counted here alone.
	f.require(subscribed.Topics["match"] == int64(count), "the endpoint's subscriber was sent %d messages of topic match, %d of them as they should be", subscribed.Topics["match"], count)
	f.exercised(subscribed.Topics["sync"] > 0, "the endpoint's subscriber saw no handshake")
	for topic, number := range subscribed.Topics {
		switch topic {
		case "sync", "match", "end":
		default:
			f.require(false, "the endpoint's subscriber was sent %d messages of topic %q, which it did not subscribe to", number, topic)
		}
	}
	var expected []string
	for i := 1; i < 2*count; i += 2 {
		expected = append(expected, checksum(matrix.Payload(publisher.Seed, i, size(i))))
	}
	f.checksums("received.digests", expected)
	f.none("received.other", "messages that the client got without having subscribed to them")
	return f.finding()
}
