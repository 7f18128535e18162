package feature

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestJudgesOfBindings(t *testing.T) {
	type changes map[string]any
	whole := func(text string) json.Number { return json.Number(text) }
	const silent, missing = "EAGAIN passes without an error", "no zmq_ctx_shutdown"
	for name, test := range map[string]struct {
		feature string
		changes changes
		outcome matrix.Outcome
		reason  string
	}{
		"a pass names the compiler and counts style warnings": {"loads", nil, matrix.Pass, "compiled and loaded by X 1.0; style warnings: 2"},
		"a warning fails": {"loads", changes{"loads.warnings": whole("3"), "loads.first-warning": "undefined variable: Y"},
			matrix.Fail, "warnings: 3 (loads.warnings), the first: undefined variable: Y"},
		"a conflict is named": {"loads", changes{"loads.conflicts": whole("1"), "loads.first-conflict": "IDENTITY of COMMON-LISP"},
			matrix.Fail, "conflicts of names: 1 (loads.conflicts), the first: IDENTITY of COMMON-LISP"},
		"a conflict without a name is no report": {"loads", changes{"loads.conflicts": whole("1")}, matrix.Fail, "the report can't be judged"},
		"a warning without a text is no report":  {"loads", changes{"loads.warnings": whole("1")}, matrix.Fail, "the report can't be judged"},
		"nobody compiled it":                     {"loads", changes{"loads.by": ""}, matrix.Fail, "the report can't be judged: loads.by is empty"},

		"its own version is noted":  {"version", nil, matrix.Pass, "its own version is 0.1.0"},
		"another version":           {"version", changes{"version.binding": "2.1.4"}, matrix.Fail, `the binding says that libzmq is "2.1.4", and it is 4.3.4`},
		"none of its own is no sin": {"version", changes{"version.own": ""}, matrix.Pass, ""},
		"a library without version": {"version", changes{"version.library": ""}, matrix.Fail, "the report can't be judged"},

		"the same size": {"message-size", nil, matrix.Pass, ""},
		"too small":     {"message-size", changes{"size.believed": whole("32")}, matrix.Fail, "it gives a zmq_msg_t 32 octets, and the library's has 64; libzmq wrote 64 octets of a message, for which the binding has 32"},
		"too large is noted": {"message-size", changes{"size.believed": whole("128")},
			matrix.Pass, "128 octets for a message of 64"},
		"an old library that can't say": {"message-size", changes{"size.library": whole("-1"), "size.touched": whole("32")}, matrix.Pass, ""},
		"an old library that writes further": {"message-size", changes{"size.library": whole("-1"), "size.touched": whole("48"), "size.believed": whole("32")},
			matrix.Fail, "libzmq wrote 48 octets of a message, for which the binding has 32"},
		"a guard that saw nothing":            {"message-size", changes{"size.touched": whole("0")}, matrix.Error, "libzmq was not seen to write"},
		"a guard that saw more than is":       {"message-size", changes{"size.touched": whole("80")}, matrix.Fail, "the report can't be judged"},
		"believing in nothing is no report":   {"message-size", changes{"size.believed": whole("0")}, matrix.Fail, "the report can't be judged"},
		"a library of size 0 is no report":    {"message-size", changes{"size.library": whole("0")}, matrix.Fail, "the report can't be judged"},
		"all four errors":                     {"errors", nil, matrix.Pass, ""},
		"an error that nobody hears of":       {"errors", changes{"eagain.signalled": false}, matrix.Fail, silent},
		"an error of another kind":            {"errors", changes{"efsm.own": false}, matrix.Fail, "EFSM arrives as B-ERROR, which is not of the binding's own kind"},
		"an error without a number":           {"errors", changes{"eterm.number": whole("-1")}, matrix.Fail, "ETERM arrives as B-ERROR, which gives no number"},
		"a wrong number":                      {"errors", changes{"eaddrinuse.number": whole("48")}, matrix.Fail, "EADDRINUSE arrives with the number 48, not 98"},
		"one that can't be provoked":          {"errors", changes{"eterm.missing": missing}, matrix.Unsupported, "ETERM: " + missing},
		"a wrong one outweighs a missing one": {"errors", changes{"eterm.missing": missing, "eagain.signalled": false}, matrix.Fail, silent},
	} {
		t.Run(name, func(t *testing.T) {
			feature := catalogued(t, "binding/"+test.feature)
			evidence := clone(passing(t, feature))
			for key, changed := range test.changes {
				at := slices.IndexFunc(evidence.Report.Observations, func(o matrix.Observation) bool { return o.Key == key })
				evidence.Report.Observations[at].Value = changed
			}
			finding := matrix.Conclude(feature, true, evidence)
			assert.Equal(t, test.outcome, finding.Outcome)
			assert.Contains(t, finding.Reason, test.reason)
		})
	}
}

func TestAnErrorThatCantBeProvokedNeedsNothingElse(t *testing.T) {
	feature := catalogued(t, "binding/errors")
	evidence := clone(passing(t, feature))
	evidence.Report.Observations = slices.DeleteFunc(evidence.Report.Observations, func(o matrix.Observation) bool {
		return len(o.Key) > 6 && o.Key[:6] == "eterm." && o.Key != "eterm.missing"
	})
	for i, observation := range evidence.Report.Observations {
		if observation.Key == "eterm.missing" {
			evidence.Report.Observations[i].Value = "no threads"
		}
	}
	finding := matrix.Conclude(feature, true, evidence)
	assert.Equal(t, matrix.Finding{Outcome: matrix.Unsupported, Reason: "ETERM: no threads"}, finding)
}
