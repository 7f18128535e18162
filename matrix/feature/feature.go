// Package feature is the catalogue: what a ZeroMQ client should be able to do,
// one file per group. Each feature states its requirement, the requirement's
// source and its judge, a pure function of an attempt's evidence. What a probe
// must do for each is written in targets/PROBE.md.
package feature

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// All is the catalogue in the order in which it is attempted and shown.
func All() []matrix.Feature {
	return slices.Concat(callbacks(), staticAreas(), zeroCopies(), messaging(), bindings())
}

// collectorNone is what a client without a garbage collector says of itself;
// nothing is asked of collections that it can't make.
const collectorNone = "none"

// facts reads an attempt's evidence and gathers what is wrong with it, each kind
// apart: wrong behaviour is the client's, a report that lacks what it must have
// the probe's, and circumstances that did not come about are nobody's.
type facts struct {
	matrix.Evidence
	wrong       []string // behaviour that breaks the requirement
	malformed   []string // observations that are missing or of the wrong kind
	unexercised []string // circumstances without which nothing can be concluded
	notes       []string // what a pass should be read with
}

func read(evidence matrix.Evidence) *facts {
	f := &facts{Evidence: evidence}
	keys := map[string]bool{}
	for _, observation := range f.Report.Observations {
		f.wellFormed(!keys[observation.Key], "%s is observed more than once", observation.Key)
		keys[observation.Key] = true
	}
	for _, name := range slices.Sorted(maps.Keys(f.Seen.Sockets)) {
		_, opened := f.Lane.Endpoints[name]
		f.exercised(opened, "the endpoint accounts for a socket %q, which the lane does not have", name)
	}
	secured := map[string]bool{}
	for _, socket := range f.Sockets {
		secured[socket.Name] = socket.Curve
	}
	f.exercised((f.Lane.Curve != nil) == slices.ContainsFunc(f.Sockets, func(socket matrix.SocketSpec) bool { return socket.Curve }),
		"the lane has keys and no secured socket, or the other way round")
	for _, name := range slices.Sorted(maps.Keys(f.Seen.Sockets)) {
		f.exercised((f.Seen.Sockets[name].Curve != nil) == secured[strings.TrimSuffix(name, "-in")],
			"the endpoint accounts for handshakes of socket %q that is not secured, or the other way round", name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Lane.Endpoints)) {
		_, accounted := f.Seen.Sockets[name]
		f.exercised(accounted, "the endpoint has no account of socket %q", name)
	}
	return f
}

// finding sums up. A malformed report comes first, since all else was read from
// it; wrong behaviour that was seen stands, whatever was not; and an attempt
// that did not exercise the feature is no statement about the client.
func (f *facts) finding() matrix.Finding {
	switch {
	case len(f.malformed) > 0:
		return matrix.Finding{Outcome: matrix.Fail, Layer: matrix.LayerProbe, Reason: "the report can't be judged: " + summary(f.malformed)}
	case len(f.wrong) > 0:
		return matrix.Finding{Outcome: matrix.Fail, Reason: summary(f.wrong)}
	case len(f.unexercised) > 0:
		return matrix.Finding{Outcome: matrix.Error, Reason: "not exercised: " + summary(f.unexercised)}
	}
	return matrix.Finding{Outcome: matrix.Pass, Reason: strings.Join(f.notes, "; ")}
}

// summary joins the first few sentences: the first is usually the cause.
func summary(sentences []string) string {
	const most = 3
	if len(sentences) <= most {
		return strings.Join(sentences, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(sentences[:most], "; "), len(sentences)-most)
}

// require notes wrong behaviour unless it holds.
func (f *facts) require(holds bool, format string, arguments ...any) {
	if !holds {
		f.wrong = append(f.wrong, fmt.Sprintf(format, arguments...))
	}
}

// wellFormed notes a mistake of the probe unless it holds.
func (f *facts) wellFormed(holds bool, format string, arguments ...any) {
	if !holds {
		f.malformed = append(f.malformed, fmt.Sprintf(format, arguments...))
	}
}

// exercised notes, unless it holds, that the feature was not put to the test.
func (f *facts) exercised(holds bool, format string, arguments ...any) {
	if !holds {
		f.unexercised = append(f.unexercised, fmt.Sprintf(format, arguments...))
	}
}

func (f *facts) note(format string, arguments ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, arguments...))
}

// observed finds an observation with its unit.
func (f *facts) observed(key, unit string) (any, bool) {
	for _, observation := range f.Report.Observations {
		if observation.Key != key {
			continue
		}
		if observation.Unit != unit {
			f.wellFormed(false, "%s is in %q, not in %q", key, observation.Unit, unit)
			return nil, false
		}
		return observation.Value, true
	}
	f.wellFormed(false, "the probe did not observe %s", key)
	return nil, false
}

func (f *facts) whole(key, unit string) int64 {
	value, ok := f.observed(key, unit)
	if !ok {
		return 0
	}
	number, ok := value.(json.Number)
	if !ok {
		f.wellFormed(false, "%s is %v, not a number", key, value)
		return 0
	}
	whole, err := number.Int64()
	f.wellFormed(err == nil, "%s is %v, not a whole number", key, number)
	return whole
}

// count reads a number of things, which is never below zero.
func (f *facts) count(key string) int64 {
	got := f.whole(key, "count")
	f.wellFormed(got >= 0, "%s is %d", key, got)
	return got
}

// unknownCount is observed instead of a count that the client can't know.
const unknownCount = -1

// countOrUnknown is count where unknownCount is an answer.
func (f *facts) countOrUnknown(key string) int64 {
	if got := f.whole(key, "count"); got == unknownCount {
		return got
	}
	return f.count(key)
}

func (f *facts) text(key, unit string) string {
	value, ok := f.observed(key, unit)
	if !ok {
		return ""
	}
	text, ok := value.(string)
	f.wellFormed(ok, "%s is %v, not a string", key, value)
	return text
}

func (f *facts) flag(key string) bool {
	value, ok := f.observed(key, "flag")
	if !ok {
		return false
	}
	flag, ok := value.(bool)
	f.wellFormed(ok, "%s is %v, not a boolean", key, value)
	return flag
}

// address reads an address, which is never zero.
func (f *facts) address(key string) uint64 {
	text := f.text(key, "address")
	address, err := strconv.ParseUint(text, 0, 64)
	f.wellFormed(err == nil && address != 0, "%s is %q, not an address", key, text)
	return address
}

// threads reads one thread id or a comma list of them.
func (f *facts) threads(key string) []int64 {
	value, ok := f.observed(key, "thread")
	if !ok {
		return nil
	}
	var ids []int64
	for _, text := range splitList(fmt.Sprint(value)) {
		id, err := strconv.ParseInt(text, 10, 64)
		f.wellFormed(err == nil && id > 0, "%s has %q, not a thread id", key, text)
		ids = append(ids, id)
	}
	return ids
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// param is a parameter of the catalogue's own: one that is missing or no number
// is a mistake in this package, which the tests of the catalogue rule out.
func (f *facts) param(key string) int64 {
	value, err := strconv.ParseInt(f.Params[key], 10, 64)
	f.wellFormed(err == nil, "parameter %s is %q", key, f.Params[key])
	return value
}

func (f *facts) paramList(key string) []int64 {
	var values []int64
	for _, text := range splitList(f.Params[key]) {
		value, err := strconv.ParseInt(text, 10, 64)
		f.wellFormed(err == nil, "parameter %s is %q", key, f.Params[key])
		values = append(values, value)
	}
	f.wellFormed(len(values) > 0, "parameter %s is empty", key)
	return values
}

// collects says whether the client has a collector, so that collections can be
// asked of it.
func (f *facts) collects() bool {
	return f.Report.Hello != nil && f.Report.Hello.Collector != collectorNone
}

// severalAttempts is for features in which a collector or a second thread takes
// part, but which don't need the machine to themselves: a cell that passes nine
// times of ten fails one of three attempts with a probability of 0.27.
const severalAttempts = 3

// minimumCollections is how many full collections must have fallen into the
// time that matters, for "with GCs in flight" to mean anything.
const minimumCollections = 3

// collected requires that enough full collections fell into the right time, and
// none where the client says that it has no collector: that word excuses it.
func (f *facts) collected(key string, least int64) {
	got := f.count(key)
	if f.collects() {
		f.exercised(got >= least, "only %d full GCs (%s), want %d", got, key, least)
		return
	}
	f.wellFormed(got == 0, "the client says that it has no collector, and did %d full GCs (%s)", got, key)
}

// equal requires a count to be exactly what it should be.
func (f *facts) equal(key string, want int64, meaning string) {
	got := f.count(key)
	f.require(got == want, "%s: %d of %d (%s)", meaning, got, want, key)
}

// none requires a count to be zero.
func (f *facts) none(key, meaning string) {
	got := f.count(key)
	f.require(got == 0, "%s: %d (%s)", meaning, got, key)
}

// socket returns what the endpoint was asked to do and saw on a socket.
func (f *facts) socket(name string) (matrix.SocketSpec, matrix.SocketAccount) {
	var spec matrix.SocketSpec
	for _, opened := range f.Sockets {
		if opened.Name == name {
			spec = opened
		}
	}
	seen, ok := f.Seen.Sockets[name]
	f.exercised(ok, "the endpoint was to have a socket %q, and has no account of it", name)
	f.exercised(seen.Error == "", "the endpoint's socket %q: %s", name, seen.Error)
	f.exercised(!ok || seen.Peers > 0, "nobody connected to the endpoint's socket %q", name)
	return spec, seen
}

// nothing is what arrives on a socket that only sends.
func nothing(func(frames ...[]byte)) {}

// exchanged requires that exactly the messages expected reached the endpoint's
// socket, in order and byte for byte, and that it sent as many as it was to.
func (f *facts) exchanged(name string, sent int64, expected func(yield func(frames ...[]byte))) {
	_, seen := f.socket(name)
	var rolling matrix.Rolling
	count, octets, wrong, shown := int64(0), int64(0), int64(0), int64(0)
	expected(func(frames ...[]byte) {
		rolling.Add(frames...)
		for _, frame := range frames {
			octets += int64(len(frame))
		}
		if count < int64(len(seen.Digests)) {
			shown++
			if seen.Digests[count] != matrix.MessageDigest(frames...) {
				wrong++
			}
		}
		count++
	})
	f.require(seen.Received == count, "the endpoint received %d of %d messages on %q", seen.Received, count, name)
	f.require(wrong == 0, "%d of %d messages on %q arrived with other bytes or in another order", wrong, shown, name)
	f.require(seen.Received != count || wrong > 0 || seen.Rolling == rolling.Sum() && seen.Bytes == octets, "the bytes that arrived on %q are not those sent", name)
	digests := min(seen.Received, matrix.MaxDigests)
	f.exercised(int64(len(seen.Digests)) == digests, "the endpoint has digests of %d of %d messages on %q", len(seen.Digests), digests, name)
	f.exercised(seen.Sent == sent, "the endpoint sent %d of %d messages on %q", seen.Sent, sent, name)
}

// arrived is exchanged for a socket that only receives.
func (f *facts) arrived(name string, expected func(yield func(frames ...[]byte))) {
	f.exchanged(name, 0, expected)
}

// departed is exchanged for a socket that only sends.
func (f *facts) departed(name string, sent int64) { f.exchanged(name, sent, nothing) }

// checksum is the CRC-32 that a client reports of a body.
func checksum(body []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(body)) }

// checksums requires the client's list of CRC-32s to be that of the messages
// expected.
func (f *facts) checksums(key string, expected []string) {
	got := splitList(f.text(key, "digest"))
	f.require(len(got) == len(expected), "the client received %d of %d messages (%s)", len(got), len(expected), key)
	for i := range min(len(got), len(expected)) {
		if got[i] != expected[i] {
			f.require(false, "message %d that the client received has other bytes than were sent (%s: %s, sent %s)", i, key, got[i], expected[i])
			return
		}
	}
}
