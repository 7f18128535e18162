package matrix

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestConclude(t *testing.T) {
	lane := []SocketSpec{{Name: "sink", Role: RoleSink, Count: 1, Sizes: []int{8}, Parts: 1}}
	feature := Feature{Name: "g/f", Params: map[string]string{"count": "1"}, Lane: lane, Judge: func(Evidence) Finding { return Finding{Outcome: Pass} }}
	asked := func(binding string) Evidence {
		return Evidence{Cell: Cell{Binding: binding, Feature: "g/f"}, Seed: 1, Params: map[string]string{"count": "1"}, Sockets: []SocketSpec{{Name: "sink", Role: RoleSink, Seed: 7, Count: 1, Sizes: []int{8}, Parts: 1}}}
	}
	changed := func(evidence Evidence, change func(*Evidence)) Evidence {
		change(&evidence)
		return evidence
	}
	evidence := func(account Account, stdout string) Evidence {
		return changed(asked("b"), func(e *Evidence) {
			e.Account, e.Report = account, ParseReport([]byte(stdout), account.StdoutLost)
		})
	}
	exited := func(code int) Account { return Account{Ending: Exited, Code: code} }
	const done, unsupported, failed = `{"type":"done"}` + "\n", `{"type":"unsupported","reason":"no X"}` + "\n", `{"type":"failed","reason":"it broke","condition":"TYPE-ERROR"}` + "\n"
	const step = `{"type":"step","text":"send"}` + "\n"
	for name, test := range map[string]struct {
		evidence  Evidence
		untrusted bool
		want      Finding
	}{
		"done is judged":                                  {evidence: evidence(exited(0), helloLine+done), want: Finding{Outcome: Pass}},
		"silent exit is a crash":                          {evidence: evidence(exited(0), ""), want: Finding{Outcome: Crash, Reason: "exited with status 0 without a verdict, before it said hello"}},
		"exit in the middle is a crash":                   {evidence: evidence(exited(3), helloLine+step), want: Finding{Outcome: Crash, Reason: "exited with status 3 without a verdict, at step “send”"}},
		"exit in the middle after garbage":                {evidence: evidence(exited(1), helloLine+"fatal error\n"), want: Finding{Outcome: Crash, Reason: "exited with status 1 without a verdict, before its first step"}},
		"a feature the probe does not know is no verdict": {evidence: evidence(exited(0), helloLine+`{"type":"unsupported","reason":"unknown feature g/f"}`+"\n"), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "the probe does not know the cell (unknown feature g/f), which says nothing about the client: targets/PROBE.md says what to do for it"}},
		"exit status 139 is no signal":                    {evidence: evidence(exited(139), helloLine), want: Finding{Outcome: Crash, Reason: "exited with status 139 without a verdict, before its first step"}},
		"a signal is a crash":                             {evidence: evidence(Account{Ending: Signaled, Signal: "SIGSEGV"}, helloLine+step), want: Finding{Outcome: Crash, Signal: "SIGSEGV", Reason: "died of SIGSEGV, at step “send”"}},
		"a signal after done is a crash":                  {evidence: evidence(Account{Ending: Signaled, Signal: "SIGSEGV"}, helloLine+done), want: Finding{Outcome: Crash, Signal: "SIGSEGV", Reason: `died of SIGSEGV, having said "done", before its first step`}},
		"a status after done is a crash":                  {evidence: evidence(exited(1), helloLine+done), want: Finding{Outcome: Crash, Reason: `said "done", then exited with status 1 instead of 0`}},
		"no end is a hang":                                {evidence: evidence(Account{Ending: EndedWall, Wall: 12 * time.Second}, helloLine+step), want: Finding{Outcome: Hang, Reason: "no end within 12s, at step “send”"}},
		"spinning is a hang":                              {evidence: evidence(Account{Ending: EndedCPU, User: 40 * time.Second}, helloLine), want: Finding{Outcome: Hang, Reason: "no end within its 40s of CPU time, before its first step"}},
		"no end after done is a hang":                     {evidence: evidence(Account{Ending: EndedWall, Wall: 12 * time.Second}, helloLine+done), want: Finding{Outcome: Hang, Reason: "no end within 12s, before its first step"}},
		"killed for memory is a crash":                    {evidence: evidence(Account{Ending: EndedMemory, PeakRSS: 2 << 30}, helloLine), want: Finding{Outcome: Crash, Reason: "killed at its memory limit, 2048 MiB resident, before its first step"}},
		"a flood is the probe's fault":                    {evidence: evidence(Account{Ending: EndedOutput}, helloLine), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "killed for flooding its output"}},
		"garbage is the probe's fault":                    {evidence: evidence(exited(0), "gurgle\n"), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "the probe broke the report's protocol: line 1: not a JSON object: \"gurgle\""}},
		"unsupported is believed":                         {evidence: evidence(exited(0), helloLine+unsupported), want: Finding{Outcome: Unsupported, Reason: "no X"}},
		"unsupported of a liar is not":                    {evidence: evidence(exited(0), helloLine+unsupported), untrusted: true, want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "said unsupported (no X), but its word can't be trusted: it did not say so of a feature that does not exist"}},
		"failed has reason and condition":                 {evidence: evidence(exited(0), helloLine+step+failed), want: Finding{Outcome: Fail, Reason: "it broke (TYPE-ERROR), at step “send”"}},
		"a binding that does not load is the binding's":   {evidence: evidence(exited(0), helloLine+`{"type":"failed","reason":"b does not load: no X","condition":"LOAD-ERROR"}`+"\n"), want: Finding{Outcome: Fail, Layer: LayerBinding, Reason: "b does not load: no X (LOAD-ERROR), before its first step"}},
		"children left behind":                            {evidence: evidence(Account{Ending: Exited, Strays: 2}, helloLine+done), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "left 2 processes behind"}},
		"another binding":                                 {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Cell.Binding = "c" }), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: `the probe speaks for binding "b", not for "c"`}},
		"another attempt's report":                        {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Seed = 2 }), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: `the report is of an attempt with the seed "1", not of this one, whose seed is 2`}},
		"an exit by a signal is no account":               {evidence: evidence(Account{Ending: Exited, Signal: "SIGSEGV"}, helloLine+done), want: Finding{Outcome: Error, Reason: "the warden accounts for an exit by signal SIGSEGV, which is none"}},
		"a report that lost its end":                      {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Account.StdoutLost = 5 }), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: "the probe broke the report's protocol: 5 bytes of its output are lost"}},
		"done by nobody":                                  {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Report.Hello = nil }), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: `the probe said "done", and not who it is`}},
		"another word than done":                          {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Report.Closing.Type = "finished" }), want: Finding{Outcome: Fail, Layer: LayerProbe, Reason: `the probe closed with "finished", which is no verdict`}},
		"another feature's evidence":                      {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Cell.Feature = "g/other" }), want: Finding{Outcome: Error, Reason: `the evidence is of another task than the judge's: of feature "g/other", not "g/f"`}},
		"evidence by other parameters":                    {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Params = map[string]string{"count": "2"} }), want: Finding{Outcome: Error, Reason: "the evidence is of another task than the judge's: its parameters are map[count:2], not map[count:1]"}},
		"evidence by another lane":                        {evidence: changed(evidence(exited(0), helloLine+done), func(e *Evidence) { e.Sockets = nil }), want: Finding{Outcome: Error, Reason: "the evidence is of another task than the judge's: its lane has the sockets [], not [{sink sink 0 1 [8] 1 false}]"}},
		"the harness's fault is an error":                 {evidence: Evidence{HarnessError: "no lane"}, want: Finding{Outcome: Error, Reason: "no lane"}},
		"an unknown ending is an error":                   {evidence: evidence(Account{Ending: "melted"}, ""), want: Finding{Outcome: Error, Reason: `the warden accounts for an ending "melted" that this zmqmatrix does not know`}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, Conclude(feature, !test.untrusted, test.evidence))
		})
	}
}

// What an endpoint did not manage is held against nobody, nor does it hide what
// no endpoint can bring about.
func TestAFaultOfTheEndpointIsNoVerdict(t *testing.T) {
	fails := func(Evidence) Finding { return Finding{Outcome: Fail, Reason: "the endpoint received 380 of 384"} }
	passes := func(Evidence) Finding { return Finding{Outcome: Pass} }
	const done, unsupported, failed = `{"type":"done"}` + "\n", `{"type":"unsupported","reason":"no X"}` + "\n", `{"type":"failed","reason":"no reply","condition":"TIMEOUT"}` + "\n"
	exited := Account{Ending: Exited}
	for name, test := range map[string]struct {
		judge   func(Evidence) Finding
		account Account
		stdout  string
		want    Outcome
	}{
		"messages that are missing": {fails, exited, helloLine + done, Error},
		"nothing that is missing":   {passes, exited, helloLine + done, Error},
		"a client that gave up":     {passes, exited, helloLine + failed, Error},
		"a client that waited":      {passes, Account{Ending: EndedWall, Wall: time.Second}, helloLine, Error},
		"a crash is a crash":        {passes, Account{Ending: Signaled, Signal: "SIGSEGV"}, helloLine, Crash},
		"unsupported stays":         {passes, exited, helloLine + unsupported, Unsupported},
		"the probe's fault stays":   {passes, exited, "gurgle\n", Fail},
		"not loading stays":         {passes, exited, helloLine + `{"type":"failed","reason":"b does not load: no X","condition":"LOAD-ERROR"}` + "\n", Fail},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := Evidence{Cell: Cell{Binding: "b", Feature: "g/f"}, Seed: 1, Account: test.account, Report: ParseReport([]byte(test.stdout), 0)}
			feature := Feature{Name: "g/f", Judge: test.judge}
			evidence.Seen = LaneAccount{Sockets: map[string]SocketAccount{"sink": {Fault: "the listener did not close in time"}}}
			finding := Conclude(feature, true, evidence)
			assert.Equal(t, test.want, finding.Outcome, finding.Reason)
			if test.want == Error {
				assert.Equal(t, `the endpoint's socket "sink": the listener did not close in time`, finding.Reason)
			}
			evidence.Seen = LaneAccount{}
			assert.NotEqual(t, Error, Conclude(feature, true, evidence).Outcome)
		})
	}
}

// A judge's unsupported goes by the client's word too.
func TestAJudgesUnsupportedNeedsATrustedClient(t *testing.T) {
	feature := Feature{Name: "g/f", Judge: func(Evidence) Finding { return Finding{Outcome: Unsupported, Reason: "EFSM: no"} }}
	evidence := Evidence{Cell: Cell{Binding: "b", Feature: "g/f"}, Seed: 1, Account: Account{Ending: Exited}, Report: ParseReport([]byte(helloLine+`{"type":"done"}`+"\n"), 0)}
	assert.Equal(t, Finding{Outcome: Unsupported, Reason: "EFSM: no"}, Conclude(feature, true, evidence))
	distrusted := Conclude(feature, false, evidence)
	assert.Equal(t, Fail, distrusted.Outcome)
	assert.Equal(t, LayerProbe, distrusted.Layer)
	assert.Contains(t, distrusted.Reason, "said unsupported (EFSM: no), but its word can't be trusted")
}

func TestDecide(t *testing.T) {
	plain, timing := Feature{Name: "g/plain"}, Feature{Name: "g/timing", Timing: true}
	pass, fail, crash := Finding{Outcome: Pass}, Finding{Outcome: Fail, Reason: "wrong"}, Finding{Outcome: Crash, Reason: "died", Signal: "SIGSEGV"}
	unsupported, harness := Finding{Outcome: Unsupported, Reason: "no X"}, Finding{Outcome: Error, Reason: "engine gone"}
	times := func(n int, finding Finding) []Finding {
		var all []Finding
		for range n {
			all = append(all, finding)
		}
		return all
	}
	for name, test := range map[string]struct {
		feature  Feature
		findings []Finding
		repeat   int
		doubt    Doubt
		outcome  Outcome
		more     bool
		dossier  bool
		reason   string
	}{
		"nothing yet":                            {plain, nil, 0, 0, "", true, false, ""},
		"one pass decides":                       {plain, times(1, pass), 0, 0, Pass, false, false, ""},
		"one timing-dependent pass does not":     {timing, times(10, pass), 0, 0, Pass, true, false, ""},
		"eleven do":                              {timing, times(11, pass), 0, 0, Pass, false, false, ""},
		"not where another technique went wrong": {timing, times(19, pass), 0, DoubtTechnique, Pass, true, false, ""},
		"there twenty do":                        {timing, times(20, pass), 0, DoubtTechnique, Pass, false, false, ""},
		"what is the same each time passes once there, too":          {plain, times(1, pass), 0, DoubtTechnique, Pass, false, false, ""},
		"but not where another feature of the group is unsound":      {plain, times(10, pass), 0, DoubtGroup, Pass, true, false, ""},
		"there eleven do, too":                                       {plain, times(11, pass), 0, DoubtGroup, Pass, false, false, ""},
		"which doubts no failure":                                    {plain, times(3, fail), 0, DoubtGroup, Fail, false, false, "wrong"},
		"but where another passes now and then three are too few":    {plain, times(10, fail), 0, DoubtFlaky, Fail, true, false, "wrong"},
		"eleven are not":                                             {plain, times(11, fail), 0, DoubtFlaky, Fail, false, false, "wrong"},
		"nor of hangs, long as they take":                            {plain, times(3, Finding{Outcome: Hang, Reason: "no end"}), 0, DoubtFlaky, Hang, true, false, "no end"},
		"which doubts no pass":                                       {plain, times(1, pass), 0, DoubtFlaky, Pass, false, false, ""},
		"both doubts take the longer":                                {timing, times(19, pass), 0, DoubtTechnique | DoubtGroup, Pass, true, false, ""},
		"and finds what is spared now and then":                      {plain, append(times(1, pass), crash), 0, DoubtGroup, Flaky, true, false, "of 2 attempts: 1 pass, 1 crash; crash: died"},
		"a pass that must come three times":                          {Feature{Name: "g/several", Attempts: 3}, times(2, pass), 0, 0, Pass, true, false, ""},
		"unsupported decides at once, even then":                     {Feature{Name: "g/several", Attempts: 3}, times(1, unsupported), 0, 0, Unsupported, false, false, "no X"},
		"unsupported decides at once":                                {timing, times(1, unsupported), 0, 0, Unsupported, false, false, "no X"},
		"one failure does not decide":                                {plain, times(1, fail), 0, 0, Fail, true, false, "wrong"},
		"three do":                                                   {plain, times(3, fail), 0, 0, Fail, false, false, "wrong"},
		"three crashes ask for a dossier":                            {plain, times(3, crash), 0, 0, Crash, false, true, "died"},
		"disagreement goes on":                                       {timing, append(times(4, pass), crash), 0, 0, Flaky, true, false, "of 5 attempts: 4 pass, 1 crash; crash: died"},
		"and ends flaky":                                             {timing, append(times(19, pass), crash), 0, 0, Flaky, false, true, "of 20 attempts: 19 pass, 1 crash; crash: died"},
		"never passing, in different ways, is the most frequent one": {plain, append(times(2, fail), crash), 0, 0, Fail, false, true, "of 3 attempts: 2 fail, 1 crash; fail: wrong"},
		"and needs no rate of each":                                  {timing, append(times(9, fail), crash), 0, 0, Fail, true, false, "of 10 attempts: 9 fail, 1 crash; fail: wrong"},
		"and the gravest of several as frequent":                     {timing, append(times(10, fail), times(10, crash)...), 0, 0, Crash, false, true, "of 20 attempts: 10 fail, 10 crash; crash: died"},
		"unsupported once is flaky":                                  {plain, append(times(19, fail), unsupported), 0, 0, Flaky, false, false, "of 20 attempts: 19 fail, 1 unsupported; fail: wrong"},
		"a timing-dependent crash takes eleven":                      {timing, times(10, crash), 0, 0, Crash, true, false, "died"},
		"and no more":                                                {timing, times(11, crash), 0, 0, Crash, false, true, "died"},
		"a hang takes three":                                         {timing, times(3, Finding{Outcome: Hang, Reason: "no end"}), 0, 0, Hang, false, false, "no end"},
		"repeat is exact":                                            {plain, times(2, pass), 3, 0, Pass, true, false, ""},
		"and stops":                                                  {plain, times(3, pass), 3, 0, Pass, false, false, ""},
		"a harness error is tried again":                             {plain, times(1, harness), 0, 0, Error, true, false, "engine gone"},
		"three of them are an error":                                 {plain, times(3, harness), 0, 0, Error, false, false, "engine gone"},
		"too few attempts because of harness errors are an error":    {timing, append(times(3, harness), pass), 0, 0, Error, false, false, "engine gone"},
		"a harness error beside a pass is not counted":               {plain, []Finding{harness, pass}, 0, 0, Pass, false, false, ""},
		"harness errors never make a cell flaky":                     {timing, append(times(1, harness), times(11, pass)...), 0, 0, Pass, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			decision := Decide(test.feature, Cell{}, test.findings, test.repeat, test.doubt)
			assert.Equal(t, test.outcome, decision.Verdict.Outcome)
			assert.Equal(t, test.more, decision.More, "more")
			assert.Equal(t, test.dossier, decision.Dossier, "dossier")
			assert.Equal(t, test.reason, decision.Verdict.Reason)
		})
	}
}

func TestPassRate(t *testing.T) {
	for _, row := range []struct {
		passes, attempts int
		low, high        float64
	}{
		// All or none: the rate whose power is the doubt.
		{11, 11, 0.7616, 1},
		{10, 10, 0.7411, 1},
		{20, 20, 0.8609, 1},
		{0, 11, 0, 0.2384},
		{0, 3, 0, 0.6316},
		{1, 1, 0.05, 1},
		// By bisection of the binomial distribution.
		{37, 40, 0.8174, 0.9792},
		{10, 20, 0.3020, 0.6980},
		{0, 0, 0, 1},
	} {
		low, high := PassRate(row.passes, row.attempts)
		assert.InDelta(t, row.low, low, 1e-4, "%d of %d", row.passes, row.attempts)
		assert.InDelta(t, row.high, high, 1e-4, "%d of %d", row.passes, row.attempts)
	}
	assert.Equal(t, 11, attemptsFor(passingRate))
	assert.Equal(t, 11, attemptsFor(1-failingRate))
	assert.Equal(t, 20, attemptsFor(suspectRate))
}

func TestCheckControl(t *testing.T) {
	expected := Expectation{Outcome: Crash, Signal: "SIGSEGV", Layer: LayerProbe, Reason: "^died of SIG"}
	crashed := Verdict{Outcome: Crash, Signal: "SIGSEGV", Layer: LayerProbe, Reason: "died of SIGSEGV"}
	for name, row := range map[string]struct {
		change    func(*Verdict)
		held      bool
		misjudged string
	}{
		"as it must be":      {func(*Verdict) {}, true, ""},
		"another outcome":    {func(v *Verdict) { v.Outcome = Pass }, false, ""},
		"another signal":     {func(v *Verdict) { v.Signal = "SIGABRT" }, false, `its signal is "SIGABRT" and must be "SIGSEGV"`},
		"no signal":          {func(v *Verdict) { v.Signal = "" }, false, `its signal is "" and must be "SIGSEGV"`},
		"another layer":      {func(v *Verdict) { v.Layer = "" }, false, `its layer is "" and must be "probe"`},
		"for another reason": {func(v *Verdict) { v.Reason = "exited with status 139" }, false, `its reason does not say "^died of SIG"`},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := crashed
			row.change(&verdict)
			result := CheckControl(expected, verdict)
			assert.Equal(t, row.held, result.Held())
			assert.Equal(t, row.misjudged, result.Misjudged)
		})
	}
	// What is not expected may be anything, but for the signal.
	assert.True(t, CheckControl(Expectation{Outcome: Fail}, Verdict{Outcome: Fail, Layer: LayerRuntime, Reason: "x"}).Held())
	assert.False(t, CheckControl(Expectation{Outcome: Crash}, crashed).Held())
}

func TestInferLayer(t *testing.T) {
	for name, test := range map[string]struct {
		outcome      Outcome
		reason       string
		control, raw bool
		compared     Compared
		want         Layer
	}{
		"a pass has none":                      {outcome: Pass, raw: true, compared: Compared{Control: Pass}},
		"an error has none":                    {outcome: Error, raw: true, compared: Compared{Control: Pass}},
		"red in the control can't be told":     {outcome: Fail, control: true, raw: true},
		"green in C, red raw":                  {outcome: Crash, raw: true, compared: Compared{Control: Pass}, want: LayerRuntime},
		"red in C says nothing of the runtime": {outcome: Crash, raw: true, compared: Compared{Control: Fail}},
		"green raw, red in the binding":        {outcome: Unsupported, compared: Compared{Control: Pass, Raw: Pass}, want: LayerBinding},
		"red in another way raw":               {outcome: Unsupported, compared: Compared{Control: Pass, Raw: Crash}},
		"red raw and in the binding":           {outcome: Crash, compared: Compared{Control: Pass, Raw: Crash}, want: LayerRuntime},
		"neither has it, for one reason":       {outcome: Unsupported, reason: "no arrays", compared: Compared{Control: Pass, Raw: Unsupported, RawReason: "no arrays"}, want: LayerRuntime},
		"neither has it, for its own reason":   {outcome: Unsupported, reason: "no function", compared: Compared{Control: Pass, Raw: Unsupported, RawReason: "no arrays"}},
		"both fail, each in its words":         {outcome: Fail, reason: "got 7", compared: Compared{Control: Pass, Raw: Fail, RawReason: "got 8"}, want: LayerRuntime},
		"raw not measured":                     {outcome: Crash, compared: Compared{Control: Pass}},
		"control not measured":                 {outcome: Crash, raw: true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, InferLayer(Verdict{Outcome: test.outcome, Reason: test.reason}, test.control, test.raw, test.compared))
		})
	}
}
