package matrix

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// UnmarshalJSON keeps whole numbers whole.
func (o *Observation) UnmarshalJSON(data []byte) error {
	type plain Observation
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	return decoder.Decode((*plain)(o))
}

// Conclude is what one attempt shows: how the process ended comes first, then
// what it said, then, if it said "done", the feature's own judge. What may have
// gone wrong by a fault of the endpoint's is held against nobody. It is pure.
// trusted says whether the client passed the negative probe.
func Conclude(feature Feature, trusted bool, evidence Evidence) Finding {
	finding := conclude(feature, trusted, evidence)
	switch finding.Outcome {
	case Pass, Fail, Hang:
		// No fault of the endpoint's breaks a report's protocol, or a binding that
		// does not load.
		if finding.Layer != "" {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(evidence.Seen.Sockets)) {
			if fault := evidence.Seen.Sockets[name].Fault; fault != "" {
				return Finding{Outcome: Error, Reason: fmt.Sprintf("the endpoint's socket %q: %s", name, fault)}
			}
		}
	}
	return finding
}

func conclude(feature Feature, trusted bool, evidence Evidence) Finding {
	if evidence.HarnessError != "" {
		return Finding{Outcome: Error, Reason: evidence.HarnessError}
	}
	if other := otherTask(feature, evidence); other != "" {
		return Finding{Outcome: Error, Reason: "the evidence is of another task than the judge's: " + other}
	}
	if finding, ended := concludeEnding(evidence); ended {
		return finding
	}
	report := evidence.Report
	switch {
	case report.Closing.Type == "" && evidence.Account.Code != 0:
		// Before what it printed: a runtime may print its end on standard output.
		return Finding{Outcome: Crash, Reason: fmt.Sprintf("exited with status %d without a verdict%s", evidence.Account.Code, afterStep(report))}
	case report.Violation != "":
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: "the probe broke the report's protocol: " + report.Violation}
	case evidence.Account.StdoutLost != 0:
		// ParseReport says so too; without it a report that lost its end would
		// be read as if it were whole.
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("the probe broke the report's protocol: %d bytes of its output are lost", evidence.Account.StdoutLost)}
	case report.Closing.Type == "":
		return Finding{Outcome: Crash, Reason: "exited with status 0 without a verdict" + afterStep(report)}
	case evidence.Account.Code != 0:
		return Finding{Outcome: Crash, Reason: fmt.Sprintf("said %q, then exited with status %d instead of 0", report.Closing.Type, evidence.Account.Code)}
	case report.Hello == nil:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("the probe said %q, and not who it is", report.Closing.Type)}
	case report.Hello.Binding != evidence.Cell.Binding:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("the probe speaks for binding %q, not for %q", report.Hello.Binding, evidence.Cell.Binding)}
	case report.Hello.Seed != strconv.FormatUint(evidence.Seed, 10):
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("the report is of an attempt with the seed %q, not of this one, whose seed is %d", report.Hello.Seed, evidence.Seed)}
	case evidence.Account.Strays != 0:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("left %d processes behind", evidence.Account.Strays)}
	case report.Closing.Type == ClosingUnsupported && slices.Contains(unknown(evidence.Cell), report.Closing.Reason):
		return unknownCell(evidence)
	case report.Closing.Type == ClosingUnsupported && trusted:
		return Finding{Outcome: Unsupported, Reason: report.Closing.Reason}
	case report.Closing.Type == ClosingUnsupported:
		return distrusted(report.Closing.Reason)
	case report.Closing.Type == ClosingFailed:
		reason := report.Closing.Reason
		if report.Closing.Condition != "" {
			reason += " (" + report.Closing.Condition + ")"
		}
		finding := Finding{Outcome: Fail, Reason: reason + afterStep(report)}
		if strings.HasPrefix(report.Closing.Reason, evidence.Cell.Binding+doesNotLoad) {
			finding.Layer = LayerBinding
		}
		return finding
	case report.Closing.Type != ClosingDone:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: fmt.Sprintf("the probe closed with %q, which is no verdict", report.Closing.Type)}
	}
	finding := feature.Judge(evidence)
	if finding.Outcome == Unsupported && !trusted {
		return distrusted(finding.Reason)
	}
	return finding
}

// distrusted is what an unsupported is worth of a client that also says something
// else of a feature that does not exist.
func distrusted(reason string) Finding {
	return Finding{Outcome: Fail, Layer: LayerProbe, Reason: "said unsupported (" + reason + "), but its word can't be trusted: it did not say so of a feature that does not exist"}
}

// otherTask says in what the evidence is not that of a task of the feature, as
// it was asked. A recorded attempt is found by a digest; a judge that went by
// the evidence's own word on what was asked would take fewer calls, or another
// feature's, for those required.
func otherTask(feature Feature, evidence Evidence) string {
	switch {
	case evidence.Cell.Feature != feature.Name:
		return fmt.Sprintf("of feature %q, not %q", evidence.Cell.Feature, feature.Name)
	case !maps.Equal(evidence.Params, feature.Params):
		return fmt.Sprintf("its parameters are %v, not %v", evidence.Params, feature.Params)
	case !slices.EqualFunc(evidence.Sockets, feature.Lane, func(opened, wanted SocketSpec) bool {
		// The seed is made for each attempt.
		return opened.Name == wanted.Name && opened.Role == wanted.Role && opened.Count == wanted.Count &&
			opened.Parts == wanted.Parts && opened.Curve == wanted.Curve && slices.Equal(opened.Sizes, wanted.Sizes)
	}):
		return fmt.Sprintf("its lane has the sockets %v, not %v", evidence.Sockets, feature.Lane)
	}
	return ""
}

// doesNotLoad follows the binding's name in the reason of every feature of a
// binding that could not be loaded into the probe; see targets/PROBE.md. No
// comparison with another layer is needed then.
const doesNotLoad = " does not load: "

// unknown are the reasons with which a probe says that it does not know what it
// was asked for; see targets/PROBE.md.
func unknown(cell Cell) []string {
	return []string{"unknown feature " + cell.Feature, "unknown technique " + cell.Technique}
}

// unknownCell is the finding on a probe that says so, and else did all as it must.
func unknownCell(evidence Evidence) Finding {
	return Finding{Outcome: Fail, Layer: LayerProbe, Reason: "the probe does not know the cell (" + evidence.Report.Closing.Reason + "), which says nothing about the client: targets/PROBE.md says what to do for it"}
}

// concludeEnding finds what the way the process ended says by itself.
func concludeEnding(evidence Evidence) (Finding, bool) {
	account, where := evidence.Account, afterStep(evidence.Report)
	switch account.Ending {
	case Exited:
		if account.Signal != "" {
			return Finding{Outcome: Error, Reason: fmt.Sprintf("the warden accounts for an exit by signal %s, which is none", account.Signal)}, true
		}
		return Finding{}, false
	case Signaled:
		said := ""
		if closing := evidence.Report.Closing.Type; closing != "" {
			said = fmt.Sprintf(", having said %q", closing)
		}
		return Finding{Outcome: Crash, Signal: account.Signal, Reason: "died of " + account.Signal + said + where}, true
	case EndedWall:
		return Finding{Outcome: Hang, Reason: fmt.Sprintf("no end within %s%s", account.Wall.Round(time.Second), where)}, true
	case EndedCPU:
		return Finding{Outcome: Hang, Reason: fmt.Sprintf("no end within its %s of CPU time%s", (account.User + account.System).Round(time.Second), where)}, true
	case EndedMemory:
		return Finding{Outcome: Crash, Reason: fmt.Sprintf("killed at its memory limit, %d MiB resident%s", account.PeakRSS>>20, where)}, true
	case EndedOutput:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: "killed for flooding its output"}, true
	case EndedProcesses:
		return Finding{Outcome: Fail, Layer: LayerProbe, Reason: "killed at its limit of processes" + where}, true
	}
	return Finding{Outcome: Error, Reason: fmt.Sprintf("the warden accounts for an ending %q that this zmqmatrix does not know", account.Ending)}, true
}

func afterStep(report Report) string {
	if step := report.LastStep(); step != "" {
		return ", at step “" + step + "”"
	}
	if report.Hello == nil {
		return ", before it said hello"
	}
	return ", before its first step"
}

// How sure a verdict on a timing-dependent cell must be, by the interval of the
// rate at which the cell passes (PassRate). A cell whose attempts agree is decided
// when the interval lies on one side of the rate; one whose attempts disagree is
// flaky, and goes on to manyAttempts, so that its rate means something.
const (
	// passingRate takes 11 passes of 11. A cell that passes nine times of ten is
	// then taken for one that always does in 0.31 of the cases.
	passingRate = 0.75
	// suspectRate is for a technique of a feature of which another went wrong in
	// this client: what mends undefined behaviour nearly always does not mend it.
	// 20 passes of 20; nine times of ten is then taken for always in 0.12.
	suspectRate = 0.86
	// failingRate is the most that a cell that never passed may pass: 11 of 11.
	failingRate = 0.25
	// doubt is how often a cell whose rate lies on the other side shows the same.
	doubt = 0.05
)

// Attempts of a cell that does the same each time, as far as anybody knows, or
// that costs too much for a rate: a hang takes its whole limit each time.
const (
	redAttempts    = 3
	manyAttempts   = 20
	errorAttempts  = 3 // of a cell whose every attempt was the harness's fault
	tracedAttempts = 3 // for a dossier: a crash does not come every time, nor does its backtrace
)

// attemptsFor is how many attempts that all pass show, but for the doubt, that
// the rate is higher.
func attemptsFor(rate float64) int { return int(math.Ceil(math.Log(doubt) / math.Log(rate))) }

// PassRate is the interval in which the rate of a cell lies that passed so often
// of so many attempts: Clopper and Pearson's, each end wrong in 5 % of the cases.
func PassRate(passes, attempts int) (low, high float64) {
	low, high = 0, 1
	if passes > 0 {
		low = mathext.InvRegIncBeta(float64(passes), float64(attempts-passes+1), doubt)
	}
	if passes < attempts {
		high = mathext.InvRegIncBeta(float64(passes+1), float64(attempts-passes), 1-doubt)
	}
	return low, high
}

// Doubt is what casts doubt on a cell whose attempts agree.
type Doubt int

// The doubts.
const (
	// DoubtTechnique: another technique of the feature went wrong in this client.
	DoubtTechnique Doubt = 1 << iota
	// DoubtGroup: a feature of the group crashes, hangs or is flaky in this client,
	// whatever the technique; or one crashes, or fails now and then, by the technique
	// of this cell. What breaks one, such as memory that is written over, is not bound to
	// it, and spares another now and then: cl-zmq's messages are half as large as
	// libzmq's, and passed messaging/push-pull 2 times of 20; GCL's malloc, called
	// on libzmq's threads, let zero-copy/native-free pass 9 times of 20. A hang that
	// a technique mends is one thread waiting for another, and breaks nothing else.
	DoubtGroup
	// DoubtHang: an attempt of the cell hung beside others, which was put down to
	// them. It may have been the cell's own, now and then.
	DoubtHang
	// DoubtFlaky, on a cell that never passed: another feature of the group passes now
	// and then by the technique of this cell. What spares one may spare this one, and
	// three attempts miss it often: cl-zmq's messaging/pub-sub on ECL hung 3 times of
	// 3 in one run, and passed 14 times of 20 in another.
	DoubtFlaky
)

// Decision is what a cell's attempts come to so far.
type Decision struct {
	Verdict Verdict
	// More says that another attempt is needed.
	More bool
	// Dossier says that the cell is decided, crashed, and that an attempt
	// under trace would tell where.
	Dossier bool
}

// Decide concludes from a cell's findings in order. With repeat > 0 exactly so
// many attempts are made, whatever they show. It is pure.
func Decide(feature Feature, cell Cell, findings []Finding, repeat int, doubt Doubt) Decision {
	verdict := Verdict{Cell: cell}
	counts := map[Outcome]int{}
	first := map[Outcome]Finding{}
	errors := 0
	for _, finding := range findings {
		if finding.Outcome == Error {
			errors++
			first[Error] = finding
			continue
		}
		if counts[finding.Outcome] == 0 {
			first[finding.Outcome] = finding
		}
		counts[finding.Outcome]++
		verdict.Attempts++
	}
	verdict.Passes = counts[Pass]
	switch {
	case verdict.Attempts == 0 && errors == 0:
		return Decision{Verdict: verdict, More: true}
	case verdict.Attempts == 0:
		verdict.take(first[Error])
		return Decision{Verdict: verdict, More: errors < errorAttempts}
	}
	need := max(1, feature.Attempts)
	switch {
	case repeat > 0:
		need = repeat
	case len(counts) > 1 && counts[Pass]+counts[Unsupported] > 0:
		need = manyAttempts
	case counts[Unsupported] > 0:
		need = 1
	case counts[Pass] == 0 && (feature.Timing && counts[Hang] == 0 || doubt&DoubtFlaky != 0):
		need = attemptsFor(1 - failingRate)
	case counts[Pass] == 0:
		need = redAttempts
	case doubt&DoubtHang != 0, feature.Timing && doubt&DoubtTechnique != 0:
		need = max(need, attemptsFor(suspectRate))
	case feature.Timing, doubt&DoubtGroup != 0:
		need = max(need, attemptsFor(passingRate))
	}
	worst := mostFrequentRed(counts)
	switch {
	case len(counts) == 1:
		for outcome := range counts {
			verdict.take(first[outcome])
		}
	case counts[Pass] == 0 && counts[Unsupported] == 0:
		// It never passed, and only the way in which it did not differs: that
		// is no flaky cell, which somebody might hope to see pass.
		verdict.take(first[worst])
		verdict.Reason = disagreement(counts, first[worst], verdict.Attempts)
	default:
		verdict.take(first[worst])
		verdict.Outcome, verdict.Reason = Flaky, disagreement(counts, first[worst], verdict.Attempts)
	}
	more := verdict.Attempts < need && errors < errorAttempts
	if !more && verdict.Attempts < need {
		// Too few attempts to decide it, since the others could not be made.
		verdict.take(first[Error])
	}
	return Decision{
		Verdict: verdict,
		More:    more,
		Dossier: !more && counts[Crash] > 0,
	}
}

func (v *Verdict) take(finding Finding) {
	v.Outcome, v.Reason, v.Signal, v.Layer = finding.Outcome, finding.Reason, finding.Signal, finding.Layer
}

// mostFrequentRed is the most frequent outcome that is not a pass; of several as
// frequent, the gravest.
func mostFrequentRed(counts map[Outcome]int) Outcome {
	var most Outcome
	for _, outcome := range []Outcome{Crash, Hang, Fail, Unsupported} {
		if counts[outcome] > counts[most] {
			most = outcome
		}
	}
	return most
}

// disagreement says how often which outcome came, and what the first attempt of
// the most frequent red one showed.
func disagreement(counts map[Outcome]int, shown Finding, attempts int) string {
	var parts []string
	for _, outcome := range Outcomes {
		if counts[outcome] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[outcome], outcome))
		}
	}
	return fmt.Sprintf("of %d attempts: %s; %s: %s", attempts, strings.Join(parts, ", "), shown.Outcome, shown.Reason)
}

// CheckControl compares a negative control's verdict with what it must be. A
// verdict that is right for a wrong reason is misjudged too: a client that exits
// with status 139 is no crash by SIGSEGV. It is pure.
func CheckControl(expected Expectation, verdict Verdict) ControlResult {
	result := ControlResult{Name: verdict.Cell.String(), Expected: expected.Outcome, Outcome: verdict.Outcome, Reason: verdict.Reason}
	if verdict.Outcome != expected.Outcome {
		return result
	}
	says, err := regexp.Compile(expected.Reason)
	switch {
	case err != nil:
		result.Misjudged = fmt.Sprintf("what its reason must say is no regular expression: %v", err)
	case verdict.Signal != expected.Signal:
		result.Misjudged = fmt.Sprintf("its signal is %q and must be %q", verdict.Signal, expected.Signal)
	case expected.Layer != "" && verdict.Layer != expected.Layer:
		result.Misjudged = fmt.Sprintf("its layer is %q and must be %q", verdict.Layer, expected.Layer)
	case !says.MatchString(verdict.Reason):
		result.Misjudged = fmt.Sprintf("its reason does not say %q", expected.Reason)
	}
	return result
}

// Compared is what the same feature came to one and two layers down: by the same
// technique where that was tried there, else by the best one. The empty outcome
// means that it was not measured.
type Compared struct {
	Control   Outcome // the positive control
	Raw       Outcome // the raw binding of the same target
	RawReason string
}

// InferLayer names the layer of a red cell by comparison, or nothing where the
// evidence does not say. What neither a binding nor its implementation has is the
// implementation's lack only if both say the same.
func InferLayer(verdict Verdict, isControl, isRaw bool, compared Compared) Layer {
	switch {
	case !verdict.Outcome.Red():
		return ""
	case isControl:
		// Nothing lies below the control but libzmq and the environment, and
		// one red cell can't tell these apart.
		return ""
	case compared.Control != Pass:
		return ""
	case isRaw:
		return LayerRuntime
	case compared.Raw == Pass:
		return LayerBinding
	case compared.Raw == Unsupported && verdict.Outcome == Unsupported && compared.RawReason != verdict.Reason:
		return ""
	case compared.Raw == verdict.Outcome:
		return LayerRuntime
	}
	return ""
}
