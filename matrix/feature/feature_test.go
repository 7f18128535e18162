package feature

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// perfect builds the evidence of a client that does everything right.
type perfect struct {
	matrix.Evidence
	circumstances
}

// circumstances are what differs from one attempt to the next.
type circumstances struct {
	seed    uint64
	address uint64 // where arrays lie
	port    int    // of the lane's first socket
	thread  int    // the main thread; others follow
}

func (p *perfect) observe(key string, value any, unit string) {
	if whole, ok := value.(int); ok {
		value = json.Number(fmt.Sprint(whole))
	}
	p.Report.Observations = append(p.Report.Observations, matrix.Observation{Key: key, Value: value, Unit: unit})
}

func (p *perfect) saw(socket string, messages ...[][]byte) {
	var account matrix.SocketAccount
	var rolling matrix.Rolling
	for _, frames := range messages {
		rolling.Add(frames...)
		account.Received++
		for _, frame := range frames {
			account.Bytes += int64(len(frame))
		}
		account.Digests = append(account.Digests, matrix.MessageDigest(frames...))
	}
	account.Rolling, account.Peers = rolling.Sum(), 1
	p.Seen.Sockets[socket] = account
}

func (p *perfect) sent(socket string, count int) {
	account, received := p.Seen.Sockets[socket]
	if !received {
		p.saw(socket)
		account = p.Seen.Sockets[socket]
	}
	account.Sent = int64(count)
	p.Seen.Sockets[socket] = account
}

var usual = circumstances{seed: 7, address: firstAddress, port: firstPort, thread: mainThread}

const (
	mainThread   = 100
	firstPort    = 4000
	batch        = 0x600000000000 // where libzmq's batch buffer lies
	copies       = 0x650000000000 // where copied bodies lie
	firstAddress = 0x7f0000000000 // where arrays lie
)

// catalogue is All with fewer and smaller messages where a judge makes them all
// again.
func catalogue() []matrix.Feature {
	features := All()
	for i, feature := range features {
		fewer := map[string]string{}
		switch {
		case feature.Params["copy-count"] != "":
			// No two features alike, so that none can answer for another by chance.
			fewer = map[string]string{"count": "6", "sizes": "65536,131072", "gc-every": "3", "copy-count": "2", "copy-size": "65536", "inproc-size": "4096"}
			if feature.Name == "zero-copy/wire" {
				fewer["count"], fewer["sizes"] = "3", "131072"
			}
		case strings.HasPrefix(feature.Name, "callback/io-"):
			fewer["count"], fewer["size"] = "16", "16384"
			if feature.Name == "callback/io-thread" {
				fewer["count"] = "9"
			}
		case feature.Group() == "messaging":
			fewer["count"] = "8"
		}
		feature.Params, feature.Lane = maps.Clone(feature.Params), slices.Clone(feature.Lane)
		maps.Copy(feature.Params, fewer)
		for k, socket := range feature.Lane {
			count, sizes := "count", "sizes"
			switch {
			case socket.Name == "copy":
				count, sizes = "copy-count", "copy-size"
			case feature.Params[sizes] == "":
				sizes = "size"
			}
			feature.Lane[k].Count, feature.Lane[k].Sizes = number(feature.Params[count]), numbers(feature.Params[sizes])
		}
		features[i] = feature
	}
	return features
}

func catalogued(t testing.TB, name string) matrix.Feature {
	t.Helper()
	for _, feature := range catalogue() {
		if feature.Name == name {
			return feature
		}
	}
	require.FailNow(t, "no such feature", name)
	return matrix.Feature{}
}

// passing is evidence that passes the feature, built from the contract of
// targets/PROBE.md and from nothing of the judge.
func passing(t testing.TB, feature matrix.Feature) matrix.Evidence {
	t.Helper()
	return passingWith(t, feature, usual)
}

func passingWith(t testing.TB, feature matrix.Feature, where circumstances) matrix.Evidence {
	t.Helper()
	mainThread, ioThread := where.thread, where.thread+2
	address := fmt.Sprintf("%#x", where.address+0x1000)
	p := &perfect{circumstances: where, Evidence: matrix.Evidence{
		Cell: matrix.Cell{Target: "x@y", Binding: "b", Feature: feature.Name, Technique: "plain"},
		Seed: where.seed, Params: maps.Clone(feature.Params), Sockets: slices.Clone(feature.Lane),
	}}
	p.Report.Hello = &matrix.Hello{Protocol: matrix.Protocol, Implementation: "X", Binding: "b", Seed: strconv.FormatUint(where.seed, 10), Collector: "moving"}
	p.Report.Closing.Type = matrix.ClosingDone
	p.Account = matrix.Account{Ending: matrix.Exited, PeakRSS: 20 << 20, BaselineRSS: 10 << 20}
	if len(p.Sockets) > 0 {
		p.Lane.Endpoints, p.Seen.Sockets = map[string]string{}, map[string]matrix.SocketAccount{}
	}
	for i := range p.Sockets {
		p.Sockets[i].Seed, p.Sockets[i].Sizes = uint64(1000+i)*where.seed, slices.Clone(p.Sockets[i].Sizes)
		p.Lane.Endpoints[p.Sockets[i].Name] = fmt.Sprintf("tcp://endpoint:%d", where.port+i)
		if p.Sockets[i].Role == matrix.RolePubSub {
			p.Lane.Endpoints[p.Sockets[i].Name+"-in"] = fmt.Sprintf("tcp://endpoint:%d", where.port+100+i)
		}
	}
	param := func(key string) int { return number(feature.Params[key]) }
	switch name := feature.Name; {
	case strings.HasPrefix(name, "callback/io-"):
		p.observe("frees.once", param("count"), "count")
		p.observe("frees.repeated", 0, "count")
		p.observe("frees.unknown", 0, "count")
		p.observe("frees.wrong-pointer", 0, "count")
		p.observe("thread.main", mainThread, "thread")
		p.observe("thread.ran-on", fmt.Sprint(ioThread), "thread")
		p.observe("thread.names", "ZMQbg/IO/0", "list")
		p.observe("gc.during", 16, "count")
		inCallback := 0
		if every := param("gc-every"); every > 0 {
			inCallback = param("count") / every
		}
		p.observe("gc.in-callback", inCallback, "count")
		p.sends("sink", param("count"), numbers(feature.Params["size"]), 0, true)
	case strings.HasPrefix(name, "callback/"):
		calls := param("threads") * param("calls")
		p.observe("calls.made", calls, "count")
		p.observe("calls.right", calls, "count")
		p.observe("calls.seen", calls, "count")
		p.observe("calls.repeated", 0, "count")
		p.observe("thread.main", mainThread, "thread")
		callers := any(mainThread)
		if name != "callback/same-thread" {
			var ids []string
			for i := range param("threads") {
				ids = append(ids, fmt.Sprint(ioThread+i))
			}
			callers = strings.Join(ids, ",")
		}
		p.observe("thread.callers", callers, "thread")
		p.observe("thread.ran-on", callers, "thread")
		p.observe("gc.during", 9, "count")
		inCallback := 0
		if every := param("gc-every"); every > 0 {
			inCallback = calls / every
		}
		p.observe("gc.in-callback", inCallback, "count")
		if name == "callback/masked-thread" {
			p.observe("mask.blocked", 29, "count")
		}
	case name == "static-area/address-stable":
		for _, size := range numbers(feature.Params["sizes"]) {
			key := func(k string) string { return fmt.Sprintf("array.%d.%s", size, k) }
			p.observe(key("first-class"), true, "flag")
			p.observe(key("address-before"), address, "address")
			p.observe(key("address-after"), address, "address")
			p.observe(key("mismatches"), 0, "count")
			p.observe(key("array-mismatches"), 0, "count")
			p.observe(key("write-seen"), true, "flag")
		}
		p.observe("ordinary.moved", 2, "count")
		p.observe("gc.count", 5, "count")
	case name == "static-area/shared-view":
		p.observe("array.first-class", true, "flag")
		p.observe("c.mismatches", 0, "count")
		p.observe("client.mismatches", 0, "count")
		p.observe("gc.count", 8, "count")
	case name == "static-area/release":
		p.observe("allocated", 10000, "count")
		p.observe("released", 10000, "count")
		p.observe("wrong", 0, "count")
	case name == "static-area/pin":
		p.observe("pinned.address-before", address, "address")
		p.observe("pinned.address-after", address, "address")
		p.observe("mismatches", 0, "count")
		p.observe("gc.count", 5, "count")
		p.observe("unpinned.moved", 1, "count")
	case name == "zero-copy/receive-in-place":
		p.sent("source", 8)
		p.receives("received.digests", p.Sockets[0].Seed, 8, func(i int) int { return i }, func(int) int { return 65536 })
		p.observe("views.in-place", 8, "count")
		p.observe("store.c-to-view", 8, "count")
		p.observe("store.view-to-c", 8, "count")
		p.observe("copy.seen", 0, "count")
		p.observe("view.kind", "array", "text")
	case strings.HasPrefix(name, "zero-copy/"):
		before := matrix.Payload(p.Seed, 1000000, param("inproc-size"))[param("inproc-size")/2]
		p.observe("inproc.array-address", address, "address")
		p.observe("inproc.received-address", address, "address")
		p.observe("inproc.stored", int(before^255), "count")
		p.observe("inproc.seen", int(before^255), "count")
		p.observe("copy.inproc.array-address", address, "address")
		p.observe("copy.inproc.received-address", fmt.Sprintf("%#x", where.address+0x101000), "address")
		p.observe("copy.inproc.stored", int(before^255), "count")
		p.observe("copy.inproc.seen", int(before), "count")
		p.observe("tcp.arrays", p.sends("sink", param("count"), numbers(feature.Params["sizes"]), 0, true), "list")
		p.observe("copy.arrays", p.sends("copy", param("copy-count"), numbers(feature.Params["copy-size"]), 500000, false), "list")
		once := param("count")
		if name == "zero-copy/native-free" {
			once = -1
		}
		p.observe("release.once", once, "count")
		p.observe("release.repeated", 0, "count")
		p.observe("release.unknown", 0, "count")
		p.observe("memory", "array", "text")
		p.observe("array.first-class", true, "flag")
		p.observe("thread.main", mainThread, "thread")
		ranOn, inCallback := "", 0
		if name == "zero-copy/callback-free" {
			ranOn, inCallback = fmt.Sprint(ioThread), param("count")/param("gc-every")
		}
		p.observe("thread.ran-on", ranOn, "thread")
		p.observe("gc.during", 16, "count")
		p.observe("gc.in-callback", inCallback, "count")
	case name == "messaging/req-rep":
		count, sizes := param("count"), numbers(feature.Params["sizes"])
		size := func(i int) int { return sizes[i%len(sizes)] }
		p.saw("replier", stream(count, func(i int) [][]byte { return [][]byte{matrix.Payload(p.Seed, i, size(i))} })...)
		p.saw("requester", stream(count, func(i int) [][]byte { return [][]byte{matrix.Payload(p.Seed, 100000+i, size(i))} })...)
		p.sent("replier", count)
		p.sent("requester", count)
		p.receives("replies.digests", p.Sockets[0].Seed, count, func(i int) int { return i }, size)
		p.receives("requests.digests", p.Sockets[1].Seed, count, func(i int) int { return i }, size)
	case name == "messaging/push-pull":
		count, sizes := param("count"), numbers(feature.Params["sizes"])
		size := func(i int) int { return sizes[i%len(sizes)] }
		p.saw("sink", stream(count, func(i int) [][]byte { return [][]byte{matrix.Payload(p.Seed, i, size(i))} })...)
		p.sent("source", count)
		p.receives("received.digests", p.Sockets[1].Seed, count, func(i int) int { return i }, size)
	case name == "messaging/multipart":
		count, sizes := param("count"), numbers(feature.Params["sizes"])
		message := func(seed uint64, i int) [][]byte {
			var frames [][]byte
			for j := range 3 {
				frames = append(frames, matrix.Payload(seed, i*16+j, sizes[(i*3+j)%len(sizes)]))
			}
			return frames
		}
		p.saw("sink", stream(count, func(i int) [][]byte { return message(p.Seed, i) })...)
		p.sent("source", count)
		var messages, parts []string
		for i := range count {
			var frames []string
			for _, frame := range message(p.Sockets[1].Seed, i) {
				frames = append(frames, checksum(frame))
			}
			messages, parts = append(messages, strings.Join(frames, "+")), append(parts, "3")
		}
		p.observe("received.digests", strings.Join(messages, ","), "digest")
		p.observe("received.parts", strings.Join(parts, ","), "list")
	case name == "messaging/pub-sub":
		count, sizes := param("count"), numbers(feature.Params["sizes"])
		size := func(i int) int { return sizes[i%len(sizes)] }
		p.saw("pubsub-in", stream(count, func(i int) [][]byte { return [][]byte{[]byte("match"), matrix.Payload(p.Seed, 2*i, size(2*i))} })...)
		account := p.Seen.Sockets["pubsub-in"]
		account.Topics = map[string]int64{"sync": 3, "match": int64(count), "end": 1}
		p.Seen.Sockets["pubsub-in"] = account
		p.sent("pubsub", 2*count)
		p.receives("received.digests", p.Sockets[0].Seed, count, func(i int) int { return 2*i + 1 }, size)
		p.observe("received.other", 0, "count")
	case name == "binding/loads":
		p.observe("loads.by", "X 1.0", "text")
		p.observe("loads.warnings", 0, "count")
		p.observe("loads.style-warnings", 2, "count")
		p.observe("loads.conflicts", 0, "count")
		p.observe("loads.first-warning", "", "text")
		p.observe("loads.first-conflict", "", "text")
	case name == "binding/version":
		p.observe("version.binding", "4.3.4", "text")
		p.observe("version.library", "4.3.4", "text")
		p.observe("version.own", "0.1.0", "text")
	case name == "binding/message-size":
		p.observe("size.believed", 64, "bytes")
		p.observe("size.library", 64, "bytes")
		p.observe("size.touched", 64, "bytes")
	case name == "binding/errors":
		for errno, value := range map[string]int{"eagain": 11, "efsm": 156384763, "eaddrinuse": 98, "eterm": 156384765} {
			p.observe(errno+".missing", "", "text")
			p.observe(errno+".signalled", true, "flag")
			p.observe(errno+".condition", "B-ERROR", "text")
			p.observe(errno+".own", true, "flag")
			p.observe(errno+".number", value, "count")
		}
	default:
		require.FailNow(t, "no perfect evidence for", name)
	}
	return p.Evidence
}

func stream(count int, message func(i int) [][]byte) [][][]byte {
	var messages [][][]byte
	for i := range count {
		messages = append(messages, message(i))
	}
	return messages
}

func (p *perfect) receives(key string, seed uint64, count int, index, size func(i int) int) {
	var digests []string
	for i := range count {
		digests = append(digests, checksum(matrix.Payload(seed, index(i), size(index(i)))))
	}
	p.observe(key, strings.Join(digests, ","), "digest")
}

// sends plays libzmq's way of putting large bodies on the wire: the header and
// the first octets of a body from its batch buffer, the rest from the body.
func (p *perfect) sends(socket string, count int, sizes []int, index int, shared bool) (arrays string) {
	port, ioThread := portOf(p.Lane.Endpoints[socket]), p.thread+2
	call := func(address uint64, length int) {
		p.Account.WitnessCalls = append(p.Account.WitnessCalls, matrix.WitnessCall{
			Call: "send", Peer: port, Thread: ioThread, Address: address, Length: int64(length), Result: int64(length),
		})
	}
	call(batch, 10)
	call(batch+10, 54)
	call(batch, 27)
	var places []string
	var messages [][][]byte
	for i := range count {
		size := sizes[i%len(sizes)]
		// Eight places in turn, as an allocator that uses memory again does.
		address := p.address + uint64(i%8*(2<<20))
		places = append(places, fmt.Sprintf("%#x+%d", address, size))
		messages = append(messages, [][]byte{matrix.Payload(p.Seed, index+i, size)})
		from := address
		if !shared {
			from = copies
		}
		call(batch, 8192)
		half := (size - 8183) / 2
		call(from+8183, half)
		call(from+8183+uint64(half), size-8183-half)
	}
	p.saw(socket, messages...)
	return strings.Join(places, ",")
}

func TestCatalogue(t *testing.T) {
	name := regexp.MustCompile(`^[a-z-]+/[a-z-]+$`)
	seen := map[string]bool{}
	for _, feature := range All() {
		t.Run(feature.Name, func(t *testing.T) {
			assert.Regexp(t, name, feature.Name)
			assert.False(t, seen[feature.Name], "named twice")
			seen[feature.Name] = true
			assert.NotEmpty(t, feature.Requirement)
			assert.NotEmpty(t, feature.Source)
			assert.NotEmpty(t, feature.Method)
			assert.Positive(t, feature.Version)
			assert.Positive(t, feature.Wall)
			assert.NotNil(t, feature.Judge)
			for key, value := range feature.Params {
				assert.Regexp(t, `^[a-z-]+$`, key)
				assert.Regexp(t, `^[0-9]+(,[0-9]+)*$`, value)
			}
			for _, socket := range feature.Lane {
				assert.Positive(t, socket.Count)
				assert.NotEmpty(t, socket.Sizes)
			}
		})
	}
}

func TestPerfectClientPasses(t *testing.T) {
	for _, feature := range catalogue() {
		t.Run(feature.Name, func(t *testing.T) {
			finding := matrix.Conclude(feature, true, passing(t, feature))
			assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
		})
	}
}

// clone makes evidence that can be changed without changing its origin.
func clone(evidence matrix.Evidence) matrix.Evidence {
	evidence.Report.Observations = slices.Clone(evidence.Report.Observations)
	evidence.Account.WitnessCalls = slices.Clone(evidence.Account.WitnessCalls)
	evidence.Seen.Sockets = maps.Clone(evidence.Seen.Sockets)
	evidence.Sockets = slices.Clone(evidence.Sockets)
	return evidence
}

func TestZeroCopyProof(t *testing.T) {
	feature := catalogued(t, "zero-copy/callback-free")
	value := func(e *matrix.Evidence, key string, value any) {
		for i := range e.Report.Observations {
			if e.Report.Observations[i].Key == key {
				e.Report.Observations[i].Value = value
			}
		}
	}
	of := func(e *matrix.Evidence, key string) any {
		for _, observation := range e.Report.Observations {
			if observation.Key == key {
				return observation.Value
			}
		}
		return nil
	}
	for name, test := range map[string]struct {
		change  func(e *matrix.Evidence)
		outcome matrix.Outcome
		reason  string
	}{
		"another address over inproc": {func(e *matrix.Evidence) {
			value(e, "inproc.received-address", "0x7f0000009000")
		}, matrix.Fail, "not at the array's"},
		"a store that is not seen": {func(e *matrix.Evidence) {
			value(e, "inproc.seen", of(e, "copy.inproc.seen"))
		}, matrix.Fail, "does not see a store"},
		"copies on the wire": {func(e *matrix.Evidence) {
			for i := range e.Account.WitnessCalls {
				e.Account.WitnessCalls[i].Address += 1 << 40
			}
		}, matrix.Fail, "the kernel was given 0 of"},
		"copies at addresses that other arrays had": {func(e *matrix.Evidence) {
			for i := range e.Account.WitnessCalls {
				if call := &e.Account.WitnessCalls[i]; call.Address >= firstAddress {
					call.Address = firstAddress + (call.Address-firstAddress+2<<20)%(16<<20)
				}
			}
		}, matrix.Fail, "the kernel was given 0 of"},
		"no witness": {func(e *matrix.Evidence) {
			e.Account.WitnessCalls = nil
		}, matrix.Error, "the witness saw 0 octets"},
		"a control that is zero-copy too": {func(e *matrix.Evidence) {
			value(e, "copy.inproc.seen", of(e, "copy.inproc.stored"))
		}, matrix.Error, "the proof proves nothing"},
		"a leak": {func(e *matrix.Evidence) { e.Account.PeakRSS = 170 << 20 }, matrix.Fail, "grew by 160 MiB"},
		"a second release": {func(e *matrix.Evidence) {
			value(e, "release.repeated", json.Number("1"))
		}, matrix.Fail, "released more than once"},
		"callbacks on a thread that sends nothing": {func(e *matrix.Evidence) {
			value(e, "thread.ran-on", "4711")
		}, matrix.Fail, "no I/O thread"},
		"wrong behaviour stands, whatever was not exercised": {func(e *matrix.Evidence) {
			value(e, "gc.during", json.Number("0"))
			value(e, "release.once", json.Number("5"))
		}, matrix.Fail, "released exactly once: 5 of 6"},
		"callbacks on the main thread": {func(e *matrix.Evidence) {
			value(e, "thread.ran-on", fmt.Sprint(mainThread))
		}, matrix.Fail, "ran on the main thread"},
		"no collections": {func(e *matrix.Evidence) {
			value(e, "gc.during", json.Number("2"))
		}, matrix.Error, "only 2 full GCs"},
		"foreign memory": {func(e *matrix.Evidence) {
			value(e, "memory", "foreign")
			value(e, "array.first-class", false)
		}, matrix.Fail, "not a first-class array"},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := clone(passing(t, feature))
			test.change(&evidence)
			finding := matrix.Conclude(feature, true, evidence)
			assert.Equal(t, test.outcome, finding.Outcome)
			assert.Contains(t, finding.Reason, test.reason)
		})
	}
}

func TestAViewThatCanOnlyBeReadIsNoted(t *testing.T) {
	feature := catalogued(t, "zero-copy/receive-in-place")
	with := func(values map[string]int) matrix.Finding {
		evidence := clone(passing(t, feature))
		for i, observation := range evidence.Report.Observations {
			if value, ok := values[observation.Key]; ok {
				evidence.Report.Observations[i].Value = json.Number(fmt.Sprint(value))
			}
		}
		return matrix.Conclude(feature, true, evidence)
	}
	finding := with(map[string]int{"store.view-to-c": -1})
	assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
	assert.Contains(t, finding.Reason, "through a view that can't be written")
	for _, key := range []string{"store.c-to-view", "views.in-place"} {
		finding = with(map[string]int{"store.view-to-c": -1, key: 7})
		assert.Equal(t, matrix.Fail, finding.Outcome, "%s is still judged", key)
	}
}

func TestWithoutACollectorNoCollectionsAreAsked(t *testing.T) {
	for _, feature := range catalogue() {
		t.Run(feature.Name, func(t *testing.T) {
			evidence := clone(passing(t, feature))
			hello := *evidence.Report.Hello
			hello.Collector = "none"
			evidence.Report.Hello = &hello
			for i, observation := range evidence.Report.Observations {
				if strings.HasPrefix(observation.Key, "gc.") || strings.HasSuffix(observation.Key, ".moved") {
					evidence.Report.Observations[i].Value = json.Number("0")
				}
			}
			finding := matrix.Conclude(feature, true, evidence)
			assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
		})
	}
}
