package results

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), string(got), "%s differs; if that is meant, run the test with -update", name)
}

// The sample's clients and their verdicts are invented: no implementation of
// these names exists.
var sampleFeatures = []matrix.Feature{
	{Name: "callback/same-thread", Requirement: "C calls a client function on the calling thread.", Source: "zmq_msg_init_data(3)", Method: "Counted calls.", Version: 1},
	{Name: "callback/io-thread-gc", Requirement: "libzmq's own I/O thread runs the free function, with full GCs.", Source: "zmq_msg_init_data(3)", Method: "Counted frees.", Version: 1, Timing: true},
	{Name: "static-area/address-stable", Requirement: "Arrays keep address and content over full GCs.", Source: "the issue of 2010", Method: "Addresses compared.", Version: 2},
	{Name: "zero-copy/callback-free", Requirement: "An array is sent without a copy and freed by a callback.", Source: "src/msg.cpp", Method: "Five points.", Version: 1, Timing: true},
	{Name: "zero-copy/deferred-free", Requirement: "The free function only queues.", Source: "src/msg.cpp", Method: "Five points.", Version: 1},
	{Name: "messaging/req-rep", Requirement: "Both views agree, byte for byte.", Source: "zmq_socket(3)", Method: "Digests.", Version: 1},
}

var sampleTargets = []matrix.Target{
	{
		Name: "c", Title: "C", Family: "c", Licence: "MPL-2.0", Homepage: "https://example.org/c", Role: matrix.RolePositiveControl,
		Variants: []matrix.Variant{{Name: "one", Suite: "one", Default: true}},
		Bindings: []matrix.Binding{{Name: "libzmq", Title: "libzmq", Raw: true}},
	},
	{
		Name: "quick", Title: "Quick Lisp Machine", Family: "common-lisp", Licence: "none", Homepage: "https://example.org/quick",
		Variants:   []matrix.Variant{{Name: "one", Suite: "one", Packages: []string{"quick"}, Default: true}},
		Bindings:   []matrix.Binding{{Name: "ffi", Title: "raw", Raw: true}, {Name: "zed", Title: "Zed"}},
		Techniques: map[string][]string{"callback/*": {"plain", "unblock-signals"}, "zero-copy/*": {"plain", "unblock-signals", "pin"}},
	},
	{
		Name: "slow", Title: "Slow", Family: "common-lisp", Licence: "none",
		Variants: []matrix.Variant{{Name: "one", Suite: "one", Default: true}},
		Bindings: []matrix.Binding{{Name: "ffi", Title: "raw", Raw: true}},
	},
	{
		Name: "vendor", Title: "Vendor", Family: "common-lisp", Licence: "commercial",
		Variants: []matrix.Variant{{Name: "one", Suite: "one", Default: true}},
		Bindings: []matrix.Binding{{Name: "ffi", Title: "raw", Raw: true}},
	},
}

var sampleStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sampleHeader opens the sample's record.
func sampleHeader(t testing.TB, selection matrix.Selection) (matrix.Header, matrix.Plan) {
	t.Helper()
	plan, err := matrix.MakePlan(sampleTargets, sampleFeatures, selection)
	require.NoError(t, err)
	return matrix.Header{
		Schema: matrix.RecordSchema, Run: "20260102T030405Z-made", Tool: "v0-test", Started: sampleStart, Runtime: "fake",
		Environment: matrix.Environment{Host: "Linux 6.1 x86_64", Cores: 2, Engine: "a script", EndpointDigest: "sha256:e"},
		PlanDigest:  plan.Digest, Cells: plan.Cells, Seed: 7, Selection: selection,
	}, plan
}

// sampleVerdict invents what a cell comes to: a finding for each attempt, and
// the verdict's layer.
func sampleVerdict(cell matrix.Cell, feature matrix.Feature) ([]matrix.Finding, matrix.Layer) {
	pass := []matrix.Finding{{Outcome: matrix.Pass}}
	if feature.Timing {
		pass = []matrix.Finding{pass[0], pass[0], pass[0], pass[0], pass[0]}
	}
	thrice := func(finding matrix.Finding) []matrix.Finding { return []matrix.Finding{finding, finding, finding} }
	crash := matrix.Finding{Outcome: matrix.Crash, Signal: "SIGSEGV", Reason: "died of SIGSEGV, at step “send message 3”"}
	switch cell.Client().String() + " " + cell.Feature + " " + cell.Technique {
	case "quick@one/ffi callback/io-thread-gc plain", "quick@one/ffi zero-copy/callback-free plain",
		"quick@one/zed callback/io-thread-gc plain", "quick@one/zed zero-copy/callback-free plain":
		return thrice(crash), matrix.LayerRuntime
	case "quick@one/zed messaging/req-rep plain":
		return thrice(matrix.Finding{Outcome: matrix.Fail, Reason: "3 of 4 replies have a wrong digest"}), matrix.LayerBinding
	case "quick@one/ffi zero-copy/deferred-free plain":
		findings := make([]matrix.Finding, 12)
		for i := range findings {
			findings[i] = pass[0]
		}
		findings[4] = matrix.Finding{Outcome: matrix.Hang, Reason: "no end within 10s, at step “drain”"}
		return findings, matrix.LayerRuntime
	case "quick@one/ffi zero-copy/deferred-free unblock-signals", "quick@one/ffi zero-copy/deferred-free pin":
		return thrice(crash), matrix.LayerRuntime
	case "slow@one/ffi callback/io-thread-gc plain", "slow@one/ffi zero-copy/callback-free plain":
		return []matrix.Finding{{Outcome: matrix.Unsupported, Reason: "it has no threads"}}, matrix.LayerRuntime
	case "slow@one/ffi static-area/address-stable plain":
		return thrice(matrix.Finding{Outcome: matrix.Hang, Reason: "no end within 10s, at step “collect”"}), matrix.LayerRuntime
	case "slow@one/ffi messaging/req-rep plain":
		return thrice(matrix.Finding{Outcome: matrix.Error, Reason: "opening a lane: the endpoint does not answer"}), ""
	}
	return pass, ""
}

// sampleLines is a whole invented run.
func sampleLines(t testing.TB, selection matrix.Selection) []matrix.Line {
	t.Helper()
	header, plan := sampleHeader(t, selection)
	features := map[string]matrix.Feature{}
	for _, feature := range sampleFeatures {
		features[feature.Name] = feature
	}
	lines := []matrix.Line{{Type: matrix.LineHeader, Header: &header}}
	footer := matrix.Footer{Finished: sampleStart.Add(time.Minute), Counts: map[matrix.Outcome]int{}, Controls: []matrix.ControlResult{}}
	at := sampleStart
	for _, client := range plan.Clients {
		account := &matrix.ClientAccount{
			Client: client.Client(), Title: client.Target.Title, Family: client.Target.Family, Suite: client.Variant.Suite,
			Packages: client.Variant.Packages, Raw: client.Binding.Raw, Control: client.Control,
			Image: "sha256:0123456789abcdef", Trusted: true,
			Hello: &matrix.Hello{Protocol: 1, Implementation: client.Target.Title, Version: "1.2.3", Binding: client.Binding.Name, Libzmq: "4.3.4", Threads: true, PID: 7, Seed: "4711", Collector: "moving"},
		}
		if client.Target.Name == "vendor" {
			account.Hello, account.Image, account.Trusted = nil, "", false
			account.NotRun = "not available here: the image vendor/lisp must be supplied"
		}
		lines = append(lines, matrix.Line{Type: matrix.LineClient, Client: account})
		for _, cell := range client.Cells {
			verdict := matrix.Verdict{Cell: cell, Outcome: matrix.NotRun, Reason: account.NotRun}
			if account.NotRun == "" {
				findings, layer := sampleVerdict(cell, features[cell.Feature])
				for given := len(findings); matrix.Decide(features[cell.Feature], cell, findings, 0, 0).More; {
					findings = append(findings, findings[len(findings)%given])
				}
				for i, finding := range findings {
					at = at.Add(20 * time.Millisecond)
					attempt := sampleAttempt(cell, i+1, at, finding)
					lines = append(lines, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt})
				}
				decision := matrix.Decide(features[cell.Feature], cell, findings, 0, 0)
				verdict = decision.Verdict
				verdict.Slowest = 15 * time.Millisecond
				if verdict.Layer == "" {
					verdict.Layer = layer
				}
				if decision.Dossier {
					at = at.Add(20 * time.Millisecond)
					attempt := sampleAttempt(cell, len(findings)+1, at, findings[0])
					attempt.Traced = true
					attempt.Evidence.Account.Dossier = &matrix.Dossier{
						Signal: "SIGSEGV", Address: "0x7f0000001000", Code: "SEGV_ACCERR", Page: "r--p", Access: matrix.AccessWrite,
						Instruction: "mov %rdx,0x1(%rax)", Thread: "ZMQbg/IO/0 (4711)", Forced: true, Blocked: []string{"SIGINT", "SIGUSR2"},
						Threads: []matrix.ThreadState{
							{ID: 4700, Name: "probe", State: "asleep in futex"},
							{ID: 4711, Name: "ZMQbg/IO/0", State: "running", Start: "libzmq.so.5", Maker: 4700},
						},
						Backtrace: "#0 0x00007f in collect ()\n#1 0x00007f in free_function ()",
					}
					lines = append(lines, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt})
				}
			}
			footer.Counts[verdict.Outcome]++
			footer.Attempts += verdict.Attempts
			if client.Control {
				footer.Controls = append(footer.Controls, matrix.ControlResult{Name: cell.String(), Expected: matrix.Pass, Outcome: verdict.Outcome, Reason: verdict.Reason})
			}
			lines = append(lines, matrix.Line{Type: matrix.LineVerdict, Verdict: &verdict})
		}
	}
	return append(lines, matrix.Line{Type: matrix.LineFooter, Footer: &footer})
}

func sampleAttempt(cell matrix.Cell, number int, at time.Time, finding matrix.Finding) matrix.Attempt {
	attempt := matrix.Attempt{
		Number: number, Key: "key of " + cell.String(), Started: at, Duration: 15 * time.Millisecond, Finding: finding,
		Evidence: matrix.Evidence{
			Cell: cell, Seed: uint64(1000 + number), Params: map[string]string{"count": "4"},
			Sockets: []matrix.SocketSpec{{Name: "sink", Role: matrix.RoleSink, Seed: 5, Count: 4, Sizes: []int{64}, Parts: 1}},
			Lane:    matrix.Lane{ID: "l1", Endpoints: map[string]string{"sink": "tcp://127.0.0.1:4000"}},
			Report: matrix.Report{
				Hello:        &matrix.Hello{Protocol: 1, Implementation: "made", Version: "1.2.3", Binding: cell.Binding, Libzmq: "4.3.4", Threads: true, PID: 7, Seed: "4711", Collector: "moving"},
				Steps:        []string{"connect", "send message 3"},
				Observations: []matrix.Observation{{Key: "calls.seen", Value: 4, Unit: "count"}, {Key: "thread.names", Value: "ZMQbg/IO/0", Unit: "list"}},
				Closing:      matrix.Closing{Type: matrix.ClosingDone},
			},
			Seen: matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{"sink": {Received: 4, Bytes: 256, Digests: []string{"00"}, Rolling: "ff", Peers: 1}}},
			Account: matrix.Account{
				Ending: matrix.Exited, Wall: 12500 * time.Microsecond, User: 9 * time.Millisecond, System: time.Millisecond,
				PeakRSS: 45 << 20, BaselineRSS: 40 << 20, Stderr: []byte("a warning\n"),
			},
		},
	}
	switch finding.Outcome {
	case matrix.Crash:
		attempt.Evidence.Report.Closing = matrix.Closing{}
		attempt.Evidence.Account.Ending, attempt.Evidence.Account.Signal = matrix.Signaled, finding.Signal
	case matrix.Hang:
		attempt.Evidence.Report.Closing = matrix.Closing{}
		attempt.Evidence.Account.Ending = matrix.EndedWall
	case matrix.Unsupported:
		attempt.Evidence.Report.Closing = matrix.Closing{Type: matrix.ClosingUnsupported, Reason: finding.Reason}
	case matrix.Error:
		attempt.Evidence = matrix.Evidence{Cell: cell, Seed: attempt.Evidence.Seed, HarnessError: finding.Reason}
	}
	return attempt
}

// writeRecord writes lines as a run does, and returns the record's path.
func writeRecord(t testing.TB, lines []matrix.Line) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "record.jsonl")
	record, err := OpenRecord(path)
	require.NoError(t, err)
	for _, line := range lines {
		require.NoError(t, record.Append(line))
	}
	require.NoError(t, record.Close())
	return path
}

// samplePublished is the sample, published.
func samplePublished(t testing.TB) Published {
	t.Helper()
	published, err := Publish(filepath.Join("testdata", "record.jsonl"), sampleFeatures, sampleTargets)
	require.NoError(t, err)
	return published
}
