package feature

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const (
	sourceZeroCopy = "zmq_msg_init_data(3); libzmq src/encoder.hpp, encode(): what does not fit the batch buffer is sent from the message's own memory"
	sourceReceive  = "zmq_msg_data(3)"
)

// Indices of the payloads that are not those of the tcp messages; see
// targets/PROBE.md.
const (
	inprocIndex = 1_000_000
	copyIndex   = 500_000
)

// What libzmq copies of a large body even so: the first octets of each message
// go through its batch buffer (out_batch_size in src/config.hpp, 8192), which
// they share with the frame's header of 9 octets.
const (
	batchOctets  = 8192
	headerOctets = 9
)

// wirePercent is how much of what could be sent without a copy must have been.
// Not all: a retry after a full socket buffer may begin in the batch buffer.
const wirePercent = 97

// memoryBoundMiB is how much the resident size may grow while some 168 MiB are
// sent with at most 16 MiB under way: far above a collector's slack, far below
// a leak of everything.
const memoryBoundMiB = 112

// holding is how a feature holds and releases what it sends.
type holding struct {
	array    bool // must be a first-class array of the language
	callback bool // released by a callback of the client's on the I/O thread
	counted  bool // releases are counted
	kept     bool // all memory is kept until the end, so that its size says nothing
}

// zeroCopies is the group zero-copy/*.
func zeroCopies() []matrix.Feature {
	send := func(name, requirement string, timing bool, params map[string]string, held holding) matrix.Feature {
		all := map[string]string{
			"count": "384", "sizes": "65536,262144,1048576", "gc-every": "24", "window": "16",
			"copy-count": "8", "copy-size": "262144", "inproc-size": "262144",
		}
		maps.Copy(all, params)
		return matrix.Feature{
			Name:        name,
			Requirement: requirement,
			Source:      sourceZeroCopy,
			Method: "Five points, all of them: over inproc the receiver's data is at the sender's address and shows a store made after the send; over tcp every digest is right with full GCs in flight; " +
				"the witness saw the kernel being given the arrays' own addresses, byte position by byte position; each buffer is released once, where the client releases it, and memory stays bounded, where it does not keep it all; and an ordinary copying send fails the first and third.",
			Version: 2,
			Params:  all,
			Lane: []matrix.SocketSpec{
				{Name: "sink", Role: matrix.RoleSink, Count: number(all["count"]), Sizes: numbers(all["sizes"]), Parts: 1},
				{Name: "copy", Role: matrix.RoleSink, Count: number(all["copy-count"]), Sizes: numbers(all["copy-size"]), Parts: 1},
			},
			Witness:  true,
			Attempts: severalAttempts,
			Timing:   timing,
			Wall:     40 * time.Second,
			Judge:    func(e matrix.Evidence) matrix.Finding { return judgeSend(e, held) },
		}
	}
	return []matrix.Feature{
		send("zero-copy/callback-free",
			"A first-class array in non-moving memory is sent with zmq_msg_init_data and freed by a client callback from the I/O thread, with GCs in flight: the definition of 2010.",
			true, nil, holding{array: true, callback: true, counted: true}),
		send("zero-copy/deferred-free",
			"The free function is C and only queues; the client drains the queue on its own thread and releases the array.",
			true, nil, holding{array: true, counted: true}),
		send("zero-copy/native-free",
			"Foreign memory is sent with zmq_msg_init_data and libc's free as the free function: no callback at all.",
			false, nil, holding{}),
		send("zero-copy/kept-alive",
			"Memory is sent with zmq_msg_init_data without a free function; the client keeps the memory until it knows that libzmq is done with it.",
			false, nil, holding{counted: true, kept: true}),
		send("zero-copy/wire",
			"Of bodies of 1 MiB sent with zmq_msg_init_data, the kernel is given buffer addresses inside the array for nearly all bytes.",
			false, map[string]string{"count": "48", "sizes": "1048576", "gc-every": "8"}, holding{counted: true, kept: true}),
		{
			Name:        "zero-copy/receive-in-place",
			Requirement: "A received payload is read at zmq_msg_data's address, as an array where the runtime can, without a copy.",
			Source:      sourceReceive,
			Method:      "The client checks out each body at zmq_msg_data's address; a store by C is seen through its view, a store through the view is seen by C, and a copy of the body shows neither.",
			Version:     1,
			Params:      map[string]string{"count": "8", "size": "65536"},
			Lane:        []matrix.SocketSpec{{Name: "source", Role: matrix.RoleSource, Count: 8, Sizes: []int{65536}, Parts: 1}},
			Wall:        30 * time.Second,
			Judge:       judgeReceiveInPlace,
		},
	}
}

// number and numbers read the catalogue's own literals; one that is no number
// becomes 0, which the tests of the catalogue rule out.
func number(text string) int {
	value, _ := strconv.Atoi(text)
	return value
}

func numbers(text string) []int {
	var values []int
	for _, part := range splitList(text) {
		values = append(values, number(part))
	}
	return values
}

// judgeSend judges the zero-copy sends: the five points of the proof.
func judgeSend(evidence matrix.Evidence, held holding) matrix.Finding {
	f := read(evidence)
	count, sizes := int(f.param("count")), f.paramList("sizes")
	copyCount, copySize := int(f.param("copy-count")), f.param("copy-size")
	if len(f.malformed) > 0 {
		return f.finding()
	}
	bodies := make([]int64, count)
	for i := range bodies {
		bodies[i] = sizes[i%len(sizes)]
	}
	copies := make([]int64, copyCount)
	for i := range copies {
		copies[i] = copySize
	}

	// 1 and 5: inproc, and that an ordinary send would have shown otherwise.
	f.sameMemory("inproc.", true)
	f.sameMemory("copy.inproc.", false)
	// 2: what arrived.
	f.arrived("sink", func(yield func(frames ...[]byte)) {
		body := make([]byte, maximum(bodies))
		for i, size := range bodies {
			matrix.FillPayload(body[:size], f.Seed, i)
			yield(body[:size])
		}
	})
	f.arrived("copy", func(yield func(frames ...[]byte)) {
		for i, size := range copies {
			yield(matrix.Payload(f.Seed, copyIndex+i, int(size)))
		}
	})
	f.collected("gc.during", minimumCollections)
	every := int64(0)
	if held.callback {
		every = f.param("gc-every")
	}
	f.collectedInCallback(every, int64(count))
	// 3 and 5: what the kernel was given.
	sent, front, seen := f.sends("sink", bodies)
	if arrays, complete := f.arrays("tcp.arrays", bodies); complete && seen {
		given, could := given(sent, front, arrays), int64(0)
		for _, size := range bodies {
			could += max(0, size-batchOctets)
		}
		f.require(given*100 >= could*wirePercent, "the kernel was given %d of the %d octets that libzmq can send without a copy from the arrays' own addresses", given, could)
	}
	copySent, front, copySeen := f.sends("copy", copies)
	if arrays, complete := f.arrays("copy.arrays", copies); complete && copySeen {
		given := given(copySent, front, arrays)
		f.exercised(given == 0, "the witness takes %d octets of an ordinary copying send for the array's own: it proves nothing", given)
	}
	// 4: released once, and memory bounded.
	if held.counted {
		f.equal("release.once", int64(count), "buffers released exactly once")
	} else {
		once := f.countOrUnknown("release.once")
		f.wellFormed(once == unknownCount, "release.once is %d of a free function that counts nothing", once)
	}
	f.none("release.repeated", "buffers released more than once")
	f.none("release.unknown", "releases of a buffer that was never sent")
	if !held.kept {
		f.boundedMemory(memoryBoundMiB)
	}
	if held.callback {
		f.onIOThread("thread.ran-on")
		f.onSendingThread("thread.ran-on", sent)
	} else {
		mainThread, ranOn := f.threads("thread.main"), f.threads("thread.ran-on")
		f.wellFormed(len(mainThread) == 1, "thread.main is %v, not one thread", mainThread)
		f.wellFormed(len(ranOn) == 0, "free functions of the client's ran on threads %v, and this is a way without any", ranOn)
	}
	f.memory(held.array)
	return f.finding()
}

func maximum(sizes []int64) int64 {
	most := int64(0)
	for _, size := range sizes {
		most = max(most, size)
	}
	return most
}

// sameMemory judges what the probe saw over inproc: with shared, the receiver
// has the sender's memory; without, it must not, or the proof proves nothing.
func (f *facts) sameMemory(prefix string, shared bool) {
	size := int(f.param("inproc-size"))
	sent, received := f.address(prefix+"array-address"), f.address(prefix+"received-address")
	stored, seen := f.count(prefix+"stored"), f.count(prefix+"seen")
	before := int64(matrix.Payload(f.Seed, inprocIndex, size)[size/2])
	f.wellFormed(stored == before^255, "%sstored is %d, want the complement of %d", prefix, stored, before)
	if shared {
		f.require(sent == received, "over inproc the receiver has the data at %#x, not at the array's %#x", received, sent)
		f.require(seen == stored, "over inproc the receiver does not see a store made after the send: %d instead of %d", seen, stored)
		return
	}
	f.exercised(sent != received && seen == before, "an ordinary copying send over inproc shows the sender's memory: the proof proves nothing")
}

// block is where an array lay.
type block struct {
	address uint64
	size    int64
}

// arrays reads a list of "0xADDRESS+SIZE", one per message.
func (f *facts) arrays(key string, sizes []int64) ([]block, bool) {
	parts := splitList(f.text(key, "list"))
	f.wellFormed(len(parts) == len(sizes), "%s lists %d of %d arrays", key, len(parts), len(sizes))
	var blocks []block
	for i, part := range parts {
		address, size, _ := strings.Cut(part, "+")
		start, err := strconv.ParseUint(address, 0, 64)
		length, sizeError := strconv.ParseInt(size, 10, 64)
		valid := err == nil && sizeError == nil && start != 0 && i < len(sizes) && length == sizes[i]
		f.wellFormed(valid, "%s: message %d is %q", key, i, part)
		if !valid {
			return nil, false
		}
		blocks = append(blocks, block{start, length})
	}
	return blocks, len(blocks) == len(sizes)
}

// given counts, of the calls that sent the arrays over one connection after so
// many octets of handshake, the body octets for which the kernel was given the very address
// that the octet has in its array. The octets that one connection sends are one
// stream: the handshake, then for each message a header of 9 octets and its
// body. So the place of each send in the stream says which octet of which
// array it must have been, and memory that is used again can't pass for it.
func given(calls []matrix.WitnessCall, handshake int64, arrays []block) int64 {
	given, position, message, start := int64(0), int64(0), 0, handshake
	for _, call := range calls {
		for offset := int64(0); offset < call.Result && message < len(arrays); {
			at := position + offset
			array := arrays[message]
			bodyStart, bodyEnd := start+headerOctets, start+headerOctets+array.size
			switch {
			case at >= bodyEnd:
				start, message = bodyEnd, message+1
			case at < bodyStart:
				offset += min(bodyStart-at, call.Result-offset)
			default:
				length := min(bodyEnd-at, call.Result-offset)
				if call.Address+uint64(offset) == array.address+uint64(at-bodyStart) {
					given += length
				}
				offset += length
			}
		}
		position += call.Result
	}
	return given
}

// sends are the calls in which the witness saw the kernel take octets for the
// socket, and how many octets of handshake came before those of the messages.
func (f *facts) sends(socket string, bodies []int64) (calls []matrix.WitnessCall, handshake int64, ok bool) {
	port := portOf(f.Lane.Endpoints[socket])
	f.exercised(port > 0, "the lane has no port for socket %q", socket)
	f.exercised(f.Account.WitnessLost == 0, "the witness lost %d calls", f.Account.WitnessLost)
	sent, messages := int64(0), int64(0)
	for _, call := range f.Account.WitnessCalls {
		if call.Peer == port && call.Result > 0 {
			f.exercised(call.Result <= call.Length, "the witness saw the kernel take %d octets of %d", call.Result, call.Length)
			calls = append(calls, call)
			sent += call.Result
		}
	}
	for _, body := range bodies {
		messages += headerOctets + body
	}
	handshake = sent - messages
	// A ZMTP 3 greeting has 64 octets, and a READY command follows.
	valid := handshake >= 64 && handshake < 1024
	f.exercised(valid, "the witness saw %d octets sent to %q, of which %d are messages: the rest is no handshake", sent, socket, messages)
	return calls, handshake, port > 0 && valid
}

// onSendingThread requires that callbacks ran on no thread but that on which the
// witness saw everything sent to the socket: libzmq's I/O thread, of which the
// probes' contexts have one.
func (f *facts) onSendingThread(key string, calls []matrix.WitnessCall) {
	var senders []int64
	for _, call := range calls {
		senders = append(senders, int64(call.Thread))
	}
	slices.Sort(senders)
	senders = slices.Compact(senders)
	if len(senders) == 0 {
		return // that nothing was seen is missed where it is asked
	}
	f.exercised(len(senders) == 1, "the witness saw threads %v send, want libzmq's one I/O thread", senders)
	for _, thread := range f.threads(key) {
		f.require(slices.Contains(senders, thread), "a free function ran on thread %d, and libzmq sent on %v: no I/O thread", thread, senders)
	}
}

// portOf is the port of "tcp://host:port".
func portOf(endpoint string) int {
	_, port, _ := strings.Cut(strings.TrimPrefix(endpoint, "tcp://"), ":")
	return number(port)
}

// memory requires a first-class array where the feature is about one, and notes
// it where the client has none.
func (f *facts) memory(array bool) {
	kind, firstClass := f.text("memory", "text"), f.flag("array.first-class")
	f.wellFormed(kind == "array" || kind == "foreign", "memory is %q, not array or foreign", kind)
	switch {
	case array:
		f.require(kind == "array" && firstClass, "what was sent is not a first-class array of the language")
	case kind == "foreign":
		f.note("in foreign memory, not in an array of the language")
	}
}

func judgeReceiveInPlace(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count, size := f.param("count"), int(f.param("size"))
	spec, _ := f.socket("source")
	f.departed("source", count)
	var expected []string
	for i := range int(count) {
		expected = append(expected, checksum(matrix.Payload(spec.Seed, i, size)))
	}
	f.checksums("received.digests", expected)
	f.equal("views.in-place", count, "bodies viewed at zmq_msg_data's own address")
	f.equal("store.c-to-view", count, "stores by C that the view showed")
	// Of a view that allows no stores it can't be known: what is required is to
	// read in place, and stores by C show that.
	if f.countOrUnknown("store.view-to-c") == unknownCount {
		f.note("through a view that can't be written")
	} else {
		f.equal("store.view-to-c", count, "stores through the view that C saw")
	}
	copied := f.count("copy.seen")
	f.exercised(copied == 0, "%d copies changed with the message: the proof proves nothing", copied)
	kind := f.text("view.kind", "text")
	f.wellFormed(kind == "array" || kind == "foreign", "view.kind is %q, not array or foreign", kind)
	if kind == "foreign" {
		f.note("through the foreign interface, not as an array of the language")
	}
	return f.finding()
}
