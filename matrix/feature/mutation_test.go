package feature

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// provesNothing lists what of a passing evidence can change and leave it a
// pass, each with the reason why it may. All else, a field that is added
// tomorrow included, must not: a mutation that survives without standing here
// fails the test, and so does a line here that no mutation needs.
var provesNothing = []struct {
	features string // regular expressions, each of the whole
	place    string
	change   string
	reason   string
}{
	// What was asked, as far as the report does not repeat it.
	{`.*`, `cell\.(target|technique)`, `.*`,
		"the runner's word on whom it asked, and how: the report names neither"},
	{`.*`, `sockets\[(sink|copy)\]\.seed`, `.*`,
		"makes what the endpoint sends, and a sink sends nothing"},
	{`.*`, `lane\.id`, `.*`,
		"by which the runner asked for the account, which is there"},
	{`messaging/.*|zero-copy/receive-in-place`, `lane\.endpoints\[[a-z-]+\]`, `.*`,
		"where the client was sent: that its messages came there is in the account"},
	{`callback/io-.*|zero-copy/.*`, `lane\.endpoints\[[a-z-]+\]`, `(chopped host|other host)`,
		"the witness knows a socket by its port"},

	// Who spoke.
	{`.*`, `report\.hello\.(protocol|implementation|version|binding_version|libzmq|threads|pid)`, `.*`,
		"who speaks, which is shown: no requirement depends on it, and the parser holds the protocol"},
	{`.*`, `report\.hello\.collector`, `.*`,
		"any word but none asks for collections; that an ordinary array moved contradicts the others, and that one collected contradicts none"},
	{`.*`, `report\.steps.*`, `.*`,
		"what was about to happen, for when it does not"},
	{`.*`, `report\.closing\.(reason|condition)`, `.*`,
		"no part of done, which the parser holds it to"},
	{`.*`, `report\.observations`, `one more`,
		"a key that no judge reads"},

	// What the warden measured.
	{`.*`, `account\.(wall|user|system|supervision)`, `.*`,
		"its bounds are the warden's, which says so by the ending"},
	{`.*`, `account\.(stderr|stderr_lost|dossier.*)`, `.*`,
		"free text, and what is known of a crash that was none"},
	{`.*`, `account\.-`, `.*`,
		"the report is what was read of it"},
	{`(callback|messaging|binding)/.*|static-area/(address-stable|shared-view|pin)|zero-copy/(kept-alive|wire|receive-in-place)`, `account\.(peak|baseline)_rss`, `.*`,
		"bounded memory is required where memory is released meanwhile"},
	{`.*`, `account\.(peak|baseline)_rss`, `(one more|one less)`,
		"far from the bound"},
	{`callback/(same|foreign|concurrent|masked)-.*|(messaging|static-area|binding)/.*|zero-copy/receive-in-place`, `account\.(witness|witness_lost)`, `.*`,
		"no witness is asked for"},

	// What the endpoint saw.
	{`.*`, `seen\.sockets\[[a-z-]+\]\.peers`, `(one more|a great deal more)`,
		"a client may connect again; what arrived is what counts"},
	{`.*`, `seen\.sockets\[(sink|copy|source|replier|requester|pubsub)\]\.topics`, `.*`,
		"only a SUB has topics"},
	{`messaging/pub-sub`, `seen\.sockets\[pubsub-in\]\.topics\[sync\]`, `(one more|one less|a great deal more)`,
		"it is published until it is answered"},

	// What the witness saw.
	{`callback/io-.*|zero-copy/.*`, `account\.witness\[[a-z]+\]\.call`, `.*`,
		"libzmq may call whichever it likes"},
	{`zero-copy/(deferred-free|native-free|kept-alive|wire)`, `account\.witness\[[a-z]+\]\.thread`, `.*`,
		"no callback's thread is compared with it"},
	{`zero-copy/callback-free`, `account\.witness\[control\]\.thread`, `.*`,
		"what is copied frees nothing of the client's"},
	{`callback/io-.*`, `account\.witness\[[a-z]+\]\.address`, `.*`,
		"who sends is asked, and not from where"},
	{`callback/io-.*|zero-copy/.*`, `account\.witness\[[a-z]+\]\.length`, `(one more|a great deal more)`,
		"the kernel may take less than it is offered"},
	{`zero-copy/.*`, `account\.witness\[(handshake|batch|control)\]\.address`, `.*`,
		"what is copied lies anywhere but in the array"},
	{`callback/io-.*|zero-copy/.*`, `account\.witness\[(handshake|control)\](\.result|\.length|\.peer)?`, `.*`,
		"a handshake is as long as its peers' properties are"},
	{`zero-copy/.*`, `account\.witness\[(batch|control)\]\.result`, `one less`,
		"of the first message's is the same as of the handshake's, and of the control it does not matter which octets are not the array's"},
	{`callback/io-.*`, `account\.witness\[(batch|body)\]\.result`, `one less`,
		"an octet that is missed is missed in the handshake"},
	{`callback/io-.*`, `account\.witness`, `.* swapped|one more`,
		"in what order libzmq's thread sent is not asked, and a call that failed sent none"},
	{`zero-copy/.*`, `account\.witness`, `((batch|handshake) and (batch|handshake)|control and control|body and control) swapped|one more`,
		"the sockets' streams are apart, the handshake's bytes not told apart, and a call that failed sent none"},

	// What the client saw.
	{`callback/.*|zero-copy/.*`, `report\.observations\[gc\.during\]\.value`, `(one more|one less|a great deal more)`,
		"at least three are asked for where any are"},
	{`callback/(same-thread|foreign-thread|io-thread)`, `report\.observations\[gc\.during\]\.value`, `none|.*",.*`,
		"none are asked for"},
	{`static-area/.*`, `report\.observations\[gc\.count\]\.value`, `(one more|a great deal more)`,
		"at least so many are asked for"},
	{`static-area/.*`, `report\.observations\[(ordinary|unpinned)\.moved\]\.value`, `(one more|one less|none)`,
		"whether the collector moves at all, which a pass is read with"},
	{`callback/(foreign|concurrent|masked)-threads?|callback/io-.*|zero-copy/.*`, `report\.observations\[thread\.main\]\.value`, `(one more|one less|a great deal more|as text|longer|shorter)`,
		"any thread but those that called may be the main one"},
	{`.*`, `report\.observations\[thread\.(main|callers|ran-on)\]\.value`, `(as text|as a number|twice|reversed)`,
		"the same threads in other words"},
	{`callback/io-.*`, `report\.observations\[thread\.names\]\.value`, `(longer|shorter|twice)`,
		"any name of libzmq's, which begins with ZMQ"},
	{`zero-copy/.*`, `report\.observations\[copy\.inproc\.(array|received)-address\]\.value`, `(longer|shorter)`,
		"what was copied lies anywhere but at the array's address"},
	{`zero-copy/.*`, `report\.observations`, `copy\.inproc\.array-address and copy\.inproc\.received-address swapped`,
		"they are two, whichever is which"},
	{`zero-copy/.*`, `report\.observations\[copy\.arrays\]\.value`, `(reversed|other address)`,
		"no octet of a copying send comes from any of them"},
	{`zero-copy/(native-free|kept-alive|wire)`, `report\.observations\[(memory|array\.first-class)\]\.value`, `(foreign|negated)`,
		"these hold in foreign memory too, which a pass is read with"},
	{`zero-copy/receive-in-place`, `report\.observations\[view\.kind\]\.value`, `foreign`,
		"reading through the foreign interface is reading in place, which a pass is read with"},
	{`zero-copy/receive-in-place`, `report\.observations\[store\.view-to-c\]\.value`, `unknown`,
		"a view may be one that can only be read, which a pass is read with"},
	{`binding/loads`, `report\.observations\[loads\.by\]\.value`, `(longer|shorter|twice|foreign)`,
		"who compiled it, which a pass is read with"},
	{`binding/loads`, `report\.observations\[loads\.style-warnings\]\.value`, `(one more|one less|none|a great deal more)`,
		"style is no requirement, and a pass is read with it"},
	{`binding/version`, `report\.observations\[version\.own\]\.value`, `.*`,
		"of its own version a binding says what it likes, or nothing"},
	{`binding/message-size`, `report\.observations\[size\.believed\]\.value`, `(one more|a great deal more)`,
		"more than the library's is enough, and a pass is read with it"},
	{`binding/message-size`, `report\.observations\[size\.touched\]\.value`, `one less`,
		"libzmq need not write all of it"},
	{`binding/message-size`, `report\.observations\[size\.library\]\.value`, `unknown`,
		"a library from before ZMQ_MSG_T_SIZE can't say"},
	{`binding/errors`, `report\.observations\[[a-z]+\.condition\]\.value`, `.*`,
		"the error's name, for people"},
}

// mutator changes one place of evidence after the other, in place, tells of
// each change and undoes it.
type mutator struct {
	// changed is called while the evidence is changed.
	changed func(place, change string)
	// written are called after a place was set, innermost last: what a map
	// holds can't be set where it is.
	written []func()
}

func (m *mutator) tell(place, change string) {
	for _, write := range slices.Backward(m.written) {
		write()
	}
	m.changed(place, change)
}

// set tries other values of a place.
func (m *mutator) set(place string, at reflect.Value, others map[string]any) {
	before := reflect.New(at.Type()).Elem()
	before.Set(at)
	for _, change := range slices.Sorted(maps.Keys(others)) {
		other := reflect.Zero(at.Type())
		if others[change] != nil {
			other = reflect.ValueOf(others[change]).Convert(at.Type())
		}
		if reflect.DeepEqual(other.Interface(), before.Interface()) {
			continue
		}
		at.Set(other)
		m.tell(place, change)
	}
	at.Set(before)
	for _, write := range slices.Backward(m.written) {
		write()
	}
}

// mutate changes whatever is at the place. It fails for a kind that evidence
// does not have today, so that one it will have is not passed over.
func (m *mutator) mutate(t *testing.T, place string, at reflect.Value) {
	t.Helper()
	switch value := at.Interface().(type) {
	case []byte:
		m.set(place, at, map[string]any{"one more": append(slices.Clone(value), 'x')})
		return
	case matrix.Observation:
		m.set(place+".key", at.FieldByName("Key"), map[string]any{"longer": value.Key + "x", "none": ""})
		m.set(place+".unit", at.FieldByName("Unit"), map[string]any{"longer": value.Unit + "x", "none": "", "text": "text", "count": "count"})
		m.set(place+".value", at.FieldByName("Value"), otherValues(value.Value))
		return
	}
	switch at.Kind() {
	case reflect.Bool:
		m.set(place, at, map[string]any{"negated": !at.Bool()})
	case reflect.Int, reflect.Int64:
		m.set(place, at, map[string]any{"one more": at.Int() + 1, "one less": at.Int() - 1, "none": 0, "negative": -at.Int() - 1, "a great deal more": at.Int() + 1<<30})
	case reflect.Uint64:
		m.set(place, at, map[string]any{"one more": at.Uint() + 1, "one less": at.Uint() - 1, "none": 0, "a great deal more": at.Uint() + 1<<30})
	case reflect.String:
		text := at.String()
		m.set(place, at, map[string]any{"none": "", "longer": text + "0", "shorter": text[:max(0, len(text)-1)], "other": "other"})
		if scheme, port, found := strings.Cut(text, "endpoint:"); found {
			m.set(place, at, map[string]any{"other host": scheme + "elsewhere:" + port})
		}
	case reflect.Pointer:
		m.set(place, at, map[string]any{"none": reflect.Zero(at.Type()).Interface(), "an empty one": reflect.New(at.Type().Elem()).Interface()})
		if !at.IsNil() {
			m.mutate(t, place, at.Elem())
		}
	case reflect.Struct:
		for i := range at.NumField() {
			m.mutate(t, strings.TrimPrefix(place+"."+nameOf(at.Type().Field(i)), "."), at.Field(i))
		}
	case reflect.Map:
		m.mutateMap(t, place, at)
	case reflect.Slice:
		m.mutateSlice(t, place, at)
	default:
		require.FailNow(t, "evidence has a kind that is not mutated", "%s: %s", place, at.Type())
	}
}

// nameOf is a field as it stands in a record.
func nameOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "" {
		return field.Name
	}
	return name
}

func (m *mutator) mutateMap(t *testing.T, place string, at reflect.Value) {
	t.Helper()
	zero := reflect.Zero(at.Type().Elem())
	if at.IsNil() {
		extended := reflect.MakeMap(at.Type())
		extended.SetMapIndex(reflect.ValueOf("extra"), zero)
		m.set(place, at, map[string]any{"one more": extended.Interface()})
		return
	}
	m.set(place, at, map[string]any{"none": reflect.Zero(at.Type()).Interface()})
	extra := reflect.ValueOf("extra")
	at.SetMapIndex(extra, zero)
	m.tell(place, "one more")
	at.SetMapIndex(extra, reflect.Value{})
	for _, key := range at.MapKeys() {
		before := at.MapIndex(key)
		inner := fmt.Sprintf("%s[%s]", place, key)
		at.SetMapIndex(key, reflect.Value{})
		m.tell(inner, "dropped")
		at.SetMapIndex(extra, before)
		m.tell(inner, "renamed")
		at.SetMapIndex(extra, reflect.Value{})
		for _, other := range at.MapKeys() {
			if taken := at.MapIndex(other); !reflect.DeepEqual(taken.Interface(), before.Interface()) {
				at.SetMapIndex(key, taken)
				at.SetMapIndex(other, before)
				m.tell(inner, "swapped with "+other.String())
				at.SetMapIndex(other, taken)
			}
		}
		element := reflect.New(before.Type()).Elem()
		element.Set(before)
		m.written = append(m.written, func() { at.SetMapIndex(key, element) })
		m.mutate(t, inner, element)
		m.written = m.written[:len(m.written)-1]
		at.SetMapIndex(key, before)
	}
}

func (m *mutator) mutateSlice(t *testing.T, place string, at reflect.Value) {
	t.Helper()
	before := reflect.New(at.Type()).Elem()
	before.Set(at)
	try := func(place, change string, parts ...reflect.Value) {
		changed := reflect.MakeSlice(at.Type(), 0, before.Len()+1)
		for _, part := range parts {
			changed = reflect.AppendSlice(changed, part)
		}
		at.Set(changed)
		m.tell(place, change)
		at.Set(before)
	}
	length := before.Len()
	one := func(i int) reflect.Value { return before.Slice(i, i+1) }
	try(place, "one more", before, reflect.MakeSlice(at.Type(), 1, 1))
	if length > 0 {
		try(place, "none")
	}
	for i := range length {
		inner := fmt.Sprintf("%s[%s]", place, elementName(before.Index(i)))
		try(inner, "dropped", before.Slice(0, i), before.Slice(i+1, length))
		try(inner, "twice", before.Slice(0, i+1), before.Slice(i, length))
		if i+1 < length && !reflect.DeepEqual(before.Index(i).Interface(), before.Index(i+1).Interface()) && at.Type() != reflect.TypeFor[[]matrix.Observation]() {
			try(place, elementName(before.Index(i))+" and "+elementName(before.Index(i+1))+" swapped",
				before.Slice(0, i), one(i+1), one(i), before.Slice(i+2, length))
		}
		m.mutate(t, inner, at.Index(i))
	}
}

// elementName is what a list's element is called in a place: its own name, or
// what kind of call the witness saw, by where the perfect client puts it.
func elementName(at reflect.Value) string {
	switch value := at.Interface().(type) {
	case matrix.Observation:
		return value.Key
	case matrix.SocketSpec:
		return value.Name
	case matrix.WitnessCall:
		switch {
		case value.Peer != firstPort:
			return "control"
		case value.Address >= firstAddress:
			return "body"
		case value.Length < batchOctets:
			return "handshake"
		}
		return "batch"
	}
	return ""
}

// otherValues are values that an observation could have instead.
func otherValues(value any) map[string]any {
	switch value := value.(type) {
	case bool:
		return map[string]any{"negated": !value, "text": strconv.FormatBool(value), "number": json.Number("1")}
	case json.Number:
		whole, _ := value.Int64()
		number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
		return map[string]any{
			"one more": number(whole + 1), "one less": number(whole - 1), "none": number(0), "unknown": number(-1), "negative": number(-whole - 7),
			"a great deal more": number(whole + 1<<40), "no whole number": json.Number("1.5"), "past 64 bits": json.Number("9223372036854775808"),
			"as text": string(value), "flag": true, "nothing": nil,
		}
	case string:
		others := map[string]any{
			"none": "", "longer": value + "0", "shorter": value[:max(0, len(value)-1)], "foreign": "foreign", "number": json.Number("7"), "flag": true,
		}
		parts := strings.Split(value, ",")
		for i := range parts {
			others[fmt.Sprintf("without part %d", i)] = strings.Join(slices.Delete(slices.Clone(parts), i, i+1), ",")
		}
		others["twice"] = value + "," + value
		slices.Reverse(parts)
		others["reversed"] = strings.Join(parts, ",")
		if _, err := strconv.Atoi(value); err == nil {
			others["as a number"] = json.Number(value)
		}
		if addressed := regexp.MustCompile(`0x[0-9a-f]+\+`); addressed.MatchString(value) {
			others["other address"] = addressed.ReplaceAllString(value, "0x10+")
		}
		return others
	}
	return nil
}

// survivors judges each mutation, and yields those that are still a pass.
func survivors(t *testing.T, feature matrix.Feature, evidence matrix.Evidence) [][2]string {
	t.Helper()
	var passed [][2]string
	judged := 0
	judge := func(place, change string) {
		judged++
		if matrix.Conclude(feature, true, evidence).Outcome == matrix.Pass {
			passed = append(passed, [2]string{place, change})
		}
	}
	mutator := &mutator{changed: judge}
	mutator.mutate(t, "", reflect.ValueOf(&evidence).Elem())
	// Two observations of a kind with each other's values.
	observations := evidence.Report.Observations
	for i := range observations {
		for j := range i {
			a, b := &observations[i], &observations[j]
			if a.Unit != b.Unit || reflect.DeepEqual(a.Value, b.Value) {
				continue
			}
			a.Value, b.Value = b.Value, a.Value
			judge("report.observations", b.Key+" and "+a.Key+" swapped")
			a.Value, b.Value = b.Value, a.Value
		}
	}
	require.Greater(t, judged, 100)
	require.Equal(t, matrix.Pass, matrix.Conclude(feature, true, evidence).Outcome, "a mutation was not undone")
	return passed
}

func TestNoMutationOfAPassPasses(t *testing.T) {
	whole := func(expression string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + expression + `)$`) }
	needed := make([]bool, len(provesNothing))
	for _, feature := range catalogue() {
		t.Run(feature.Name, func(t *testing.T) {
			for _, passed := range survivors(t, feature, passing(t, feature)) {
				allowed := false
				for i, allowance := range provesNothing {
					if whole(allowance.features).MatchString(feature.Name) && whole(allowance.place).MatchString(passed[0]) && whole(allowance.change).MatchString(passed[1]) {
						needed[i], allowed = true, true
					}
				}
				assert.True(t, allowed, "still a pass: %s: %s", passed[0], passed[1])
			}
		})
	}
	for i, allowance := range provesNothing {
		assert.True(t, needed[i], "no mutation needs the allowance for %s of %s: %s", allowance.place, allowance.features, allowance.change)
	}
}

// recorded is the same cell's evidence from another attempt: other seeds,
// other addresses, other threads, another lane.
func recorded(t *testing.T, feature matrix.Feature) matrix.Evidence {
	t.Helper()
	return passingWith(t, feature, circumstances{seed: 8, address: 0x7e0000000000, port: 5000, thread: 200})
}

// parts are what one attempt's evidence is put together from, by different
// witnesses.
var parts = map[string]func(into *matrix.Evidence, from matrix.Evidence){
	"seed":    func(into *matrix.Evidence, from matrix.Evidence) { into.Seed = from.Seed },
	"sockets": func(into *matrix.Evidence, from matrix.Evidence) { into.Sockets = from.Sockets },
	"lane":    func(into *matrix.Evidence, from matrix.Evidence) { into.Lane = from.Lane },
	"report":  func(into *matrix.Evidence, from matrix.Evidence) { into.Report = from.Report },
	"seen":    func(into *matrix.Evidence, from matrix.Evidence) { into.Seen = from.Seen },
	"account": func(into *matrix.Evidence, from matrix.Evidence) { into.Account = from.Account },
}

// Nothing of another attempt of the same cell can stand in for this one's.
func TestAnotherAttemptsEvidenceDoesNotPass(t *testing.T) {
	// What an attempt leaves that says nothing of which attempt it was. Its seed
	// and its report name each other.
	const (
		without = `callback/(same|foreign|concurrent|masked)-.*|static-area/.*|binding/.*`
		unbound = `messaging/.*|zero-copy/receive-in-place|` + without
	)
	interchangeable := map[string]string{
		"account": unbound,
		"lane":    unbound,                                                                                         // the account shows that the messages came to it
		"seen":    without + `|zero-copy/receive-in-place`,                                                         // where the endpoint only sends
		"sockets": without + `|callback/io-.*|zero-copy/(callback-free|deferred-free|native-free|kept-alive|wire)`, // sinks send nothing
	}
	for _, feature := range catalogue() {
		t.Run(feature.Name, func(t *testing.T) {
			other := recorded(t, feature)
			require.Equal(t, matrix.Pass, matrix.Conclude(feature, true, other).Outcome)
			for name, replace := range parts {
				mixed := passing(t, feature)
				replace(&mixed, other)
				passes := matrix.Conclude(feature, true, mixed).Outcome == matrix.Pass
				allowed := regexp.MustCompile(`^(?:` + interchangeable[name] + `)$`).MatchString(feature.Name)
				assert.Equal(t, allowed, passes, "the other attempt's %s", name)
			}
		})
	}
}

// A client that is asked for one feature and does another one is not believed.
func TestAnotherCellsEvidenceDoesNotPass(t *testing.T) {
	// Asked for the first it does the second, and its memory alone tells: it
	// keeps all of it, which is past the bound with a run's messages; the other
	// way round nothing does.
	byMemory := [][2]string{
		{"zero-copy/deferred-free", "zero-copy/kept-alive"},
		{"zero-copy/kept-alive", "zero-copy/deferred-free"},
	}
	for _, asked := range catalogue() {
		t.Run(asked.Name, func(t *testing.T) {
			for _, done := range catalogue() {
				if done.Name == asked.Name {
					continue
				}
				theirs := passing(t, done)
				assert.Equal(t, matrix.Error, matrix.Conclude(asked, true, theirs).Outcome, "%s: as it was recorded", done.Name)
				relabelled := passing(t, asked)
				relabelled.Report, relabelled.Account = theirs.Report, theirs.Account
				if len(done.Lane) > 0 {
					relabelled.Seen = theirs.Seen
				}
				passes := matrix.Conclude(asked, true, relabelled).Outcome == matrix.Pass
				assert.Equal(t, slices.Contains(byMemory, [2]string{asked.Name, done.Name}), passes, "%s: in its place", done.Name)
			}
		})
	}
	t.Run("what is kept shows in the memory of a run", func(t *testing.T) {
		feature := catalogued(t, "zero-copy/deferred-free")
		for _, real := range All() {
			if real.Name == feature.Name {
				total := int64(0)
				for i := range number(real.Params["count"]) {
					sizes := numbers(real.Params["sizes"])
					total += int64(sizes[i%len(sizes)])
				}
				evidence := passing(t, feature)
				evidence.Account.PeakRSS = evidence.Account.BaselineRSS + total
				assert.Equal(t, matrix.Fail, matrix.Conclude(feature, true, evidence).Outcome)
			}
		}
	})
}

// What stands in a record, a record that was tampered with included, is judged
// and never ends the judge.
func TestEmptyEvidenceIsJudged(t *testing.T) {
	for _, feature := range catalogue() {
		t.Run(feature.Name, func(t *testing.T) {
			empty := matrix.Evidence{Cell: matrix.Cell{Feature: feature.Name}, Params: feature.Params, Sockets: feature.Lane}
			assert.NotEqual(t, matrix.Pass, feature.Judge(empty).Outcome)
			assert.NotEqual(t, matrix.Pass, feature.Judge(matrix.Evidence{}).Outcome)
			assert.NotEqual(t, matrix.Pass, matrix.Conclude(feature, true, matrix.Evidence{}).Outcome)
		})
	}
}
