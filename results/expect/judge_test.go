package expect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

const (
	reqRep  = "sbcl@bookworm/pzmq/messaging/req-rep"
	pubSub  = "sbcl@bookworm/pzmq/messaging/pub-sub"
	io      = "sbcl@bookworm/pzmq/callback/io-thread"
	ecl     = "ecl@bookworm/pzmq/messaging/req-rep"
	trixie  = "sbcl@trixie/pzmq/messaging/req-rep"
	breaks  = "!"
	allPzmq = "'*/pzmq/messaging/*'"
)

// found writes findings as NAME kind, with breaks behind what breaks the build.
func found(report expect.Report) []string {
	var lines []string
	for _, finding := range report.Findings {
		line := finding.Name() + " " + string(finding.Kind)
		if finding.Breaks {
			line += breaks
		}
		lines = append(lines, line)
	}
	return lines
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		cells, base, rules []string
		want               []string
	}{
		"an unexpected failure breaks the build": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=pass"},
			want:  []string{reqRep + " unexpected-failure!", pubSub + " pass"},
		},
		"so does every way to go wrong": {
			cells: []string{reqRep + "/plain=fail", pubSub + "/plain=hang", io + "/plain=flaky"},
			want:  []string{reqRep + " unexpected-failure!", pubSub + " unexpected-failure!", io + " unexpected-failure!"},
		},
		"a known failure does not": {
			cells: []string{reqRep + "/plain=crash"}, rules: []string{rule(reqRep, "crash")},
			want: []string{reqRep + " known-failure"},
		},
		"what is said to be unsupported is no failure": {
			cells: []string{reqRep + "/plain=unsupported"},
			want:  []string{reqRep + " unsupported"},
		},
		"unless a rule demands a pass": {
			cells: []string{reqRep + "/plain=unsupported", pubSub + "/plain=pass"}, rules: []string{rule(allPzmq, "pass")},
			want: []string{reqRep + " unexpected-failure!", pubSub + " pass"},
		},
		"an unexpected pass is reported": {
			cells: []string{reqRep + "/plain=pass"}, rules: []string{rule(reqRep, "crash")},
			want: []string{reqRep + " unexpected-pass"},
		},
		"and breaks the build where the rule says so": {
			cells: []string{reqRep + "/plain=pass"}, rules: []string{rule(reqRep, "crash", "strict: true")},
			want: []string{reqRep + " unexpected-pass!"},
		},
		"an outcome that is not the known one breaks the build": {
			cells: []string{reqRep + "/plain=hang", pubSub + "/plain=unsupported"}, rules: []string{rule(allPzmq, "crash")},
			want: []string{reqRep + " changed-outcome!", pubSub + " changed-outcome!"},
		},
		"of several known outcomes each is known": {
			cells: []string{reqRep + "/plain=flaky", pubSub + "/plain=pass"}, rules: []string{rule(allPzmq, "[pass, flaky]")},
			want: []string{reqRep + " known-failure", pubSub + " pass"},
		},
		"every rule about a verdict must know its outcome": {
			cells: []string{reqRep + "/plain=fail"}, rules: []string{rule(allPzmq, "[crash, fail]"), rule(reqRep, "crash")},
			want: []string{reqRep + " changed-outcome!"},
		},
		"the harness's errors and what is not run say nothing of the client": {
			cells: []string{reqRep + "/plain=error", pubSub + "/plain=not-run"}, rules: []string{rule(allPzmq, "crash", "strict: true")},
			want: []string{reqRep + " error", pubSub + " not-run"},
		},
		"a feature is judged by its best technique": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=pass"},
			want:  []string{io + " pass"},
		},
		"a technique is judged where a rule is about it": {
			cells: []string{io + "/plain=pass", io + "/unblock-signals=hang"}, rules: []string{rule(io+"/unblock-*", "crash")},
			want: []string{io + " pass", io + "/unblock-signals changed-outcome!"},
		},
		"a technique may be held to pass": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=pass"}, rules: []string{rule(io+"/plain", "pass")},
			want: []string{io + " pass", io + "/plain unexpected-failure!"},
		},
		"a rule about the best technique is about the feature, that has no rule": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=hang"}, rules: []string{rule(io+"/plain", "crash")},
			want: []string{io + " known-failure"},
		},
		"and beside one about the feature it is about the technique": {
			cells: []string{io + "/plain=crash"}, rules: []string{rule(io+"/plain", "crash"), rule(io, "[crash, hang]")},
			want: []string{io + " known-failure", io + "/plain known-failure"},
		},
		"a target without a variant means each": {
			cells: []string{reqRep + "/plain=crash", trixie + "/plain=crash", ecl + "/plain=crash"}, rules: []string{rule("sbcl/pzmq/messaging/*", "crash")},
			want: []string{reqRep + " known-failure", trixie + " known-failure", ecl + " unexpected-failure!"},
		},
		"a target with a variant means that one": {
			cells: []string{reqRep + "/plain=crash", trixie + "/plain=crash"}, rules: []string{rule("sbcl@trixie/pzmq/messaging/*", "crash")},
			want: []string{reqRep + " unexpected-failure!", trixie + " known-failure"},
		},
		"against a base, what the change broke breaks the build": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=unsupported", io + "/plain=flaky"},
			base:  []string{reqRep + "/plain=pass", pubSub + "/plain=pass", io + "/plain=pass"},
			want:  []string{reqRep + " unexpected-failure!", pubSub + " unexpected-failure!", io + " unexpected-failure!"},
		},
		"against a base, what was so before does not": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=unsupported", io + "/plain=pass"},
			base:  []string{reqRep + "/plain=crash", pubSub + "/plain=unsupported", io + "/plain=pass"},
			want:  []string{reqRep + " unchanged", pubSub + " unsupported", io + " pass"},
		},
		"against a base, what goes wrong in another way is told": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=unsupported"},
			base:  []string{reqRep + "/plain=fail", pubSub + "/plain=hang"},
			want:  []string{reqRep + " changed-outcome", pubSub + " changed-outcome"},
		},
		"against a base, what was not offered and goes wrong now breaks the build": {
			cells: []string{reqRep + "/plain=fail"}, base: []string{reqRep + "/plain=unsupported"},
			want: []string{reqRep + " unexpected-failure!"},
		},
		"against a base, what the change mended is told": {
			cells: []string{reqRep + "/plain=pass", pubSub + "/plain=pass"}, base: []string{reqRep + "/plain=crash", pubSub + "/plain=unsupported"},
			want: []string{reqRep + " unexpected-pass", pubSub + " unexpected-pass"},
		},
		"against a base, what the change mended breaks the build where the rule says so": {
			cells: []string{reqRep + "/plain=pass"}, base: []string{reqRep + "/plain=crash"}, rules: []string{rule(reqRep, "crash", "strict: true")},
			want: []string{reqRep + " unexpected-pass!"},
		},
		"against a base, what passed before is not mended": {
			cells: []string{reqRep + "/plain=pass"}, base: []string{reqRep + "/plain=pass"}, rules: []string{rule(reqRep, "crash", "strict: true")},
			want: []string{reqRep + " unchanged"},
		},
		"against a base, a rule still makes known what changed": {
			cells: []string{reqRep + "/plain=crash"}, base: []string{reqRep + "/plain=pass"}, rules: []string{rule(reqRep, "crash")},
			want: []string{reqRep + " known-failure"},
		},
		"against a base, a pass that may be is no news": {
			cells: []string{reqRep + "/plain=pass"}, base: []string{reqRep + "/plain=flaky"}, rules: []string{rule(reqRep, "[pass, flaky]")},
			want: []string{reqRep + " pass"},
		},
		"against a base, a rule about one technique does not make known that another no longer passes": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=crash"}, rules: []string{rule(io+"/plain", "crash")},
			base: []string{io + "/plain=crash", io + "/unblock-signals=pass"},
			want: []string{io + " unexpected-failure!"},
		},
		"against a base, a rule about one technique makes known that it no longer passes": {
			cells: []string{io + "/plain=crash"}, rules: []string{rule(io+"/plain", "crash")}, base: []string{io + "/plain=pass"},
			want: []string{io + " known-failure"},
		},
		"where the base says nothing the rules alone decide": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=crash", io + "/plain=crash", ecl + "/plain=pass"},
			base:  []string{reqRep + "/plain=not-run", pubSub + "/plain=error", ecl + "/plain=pass"},
			want:  []string{reqRep + " unexpected-failure!", pubSub + " unexpected-failure!", io + " unexpected-failure!", ecl + " pass"},
		},
		"a technique is compared with the base's": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=pass"}, rules: []string{rule(io+"/plain", "pass")},
			base: []string{io + "/plain=crash", io + "/unblock-signals=pass"},
			want: []string{io + " pass", io + "/plain unchanged"},
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			question := expect.Question{Published: published(t, test.cells...), Rules: parse(t, test.rules...), Today: today}
			if test.base != nil {
				base := published(t, test.base...)
				question.Base = &base
			}
			report, err := expect.Judge(question)
			require.NoError(t, err)
			assert.Equal(t, test.want, found(report))
			count := 0
			for _, kind := range expect.Kinds {
				count += report.Count(kind)
			}
			assert.Equal(t, len(report.Findings), count, "every kind is counted")
			assert.Equal(t, strings.Count(strings.Join(test.want, ""), breaks), report.Breaking())
		})
	}
}

func TestAFeatureThatIsAnotherNowIsNotComparedWithTheBase(t *testing.T) {
	base := published(t, reqRep+"/plain=crash", pubSub+"/plain=crash")
	base.Features[0].Version++
	report, err := expect.Judge(expect.Question{Published: published(t, reqRep+"/plain=crash", pubSub+"/plain=crash"), Base: &base})
	require.NoError(t, err)
	assert.Equal(t, []string{reqRep + " unexpected-failure!", pubSub + " unchanged"}, found(report))
}

func TestABaseThatSaysNothingIsRefused(t *testing.T) {
	base := published(t, ecl+"/plain=pass", reqRep+"/plain=not-run")
	_, err := expect.Judge(expect.Question{Published: published(t, reqRep+"/plain=pass"), Base: &base})
	require.ErrorIs(t, err, expect.ErrNothingInCommon)
}

func TestMistakesInRulesAreNamedByTheirLine(t *testing.T) {
	known := []matrix.Cell{
		{Target: "sbcl@trixie", Binding: "cl-zmq", Feature: "messaging/multipart", Technique: "plain"},
		{Target: "ecl@sid", Binding: "cffi", Feature: "callback/io-thread", Technique: "import-thread"},
	}
	for name, test := range map[string]struct {
		rules []string
		want  string
	}{
		"no such target": {
			[]string{rule(reqRep, "crash"), rule("sblc@*/pzmq/messaging/*", "crash")},
			`e.yaml:7:12: rules[1].cells: matches no cell: no target is "sblc@*"; did you mean sbcl?`,
		},
		"no such binding": {
			[]string{rule("sbcl@*/pzm/messaging/*", "crash")},
			`e.yaml:3:12: rules[0].cells: matches no cell: no binding is "pzm"; did you mean pzmq?`,
		},
		"no such feature": {
			[]string{rule("["+reqRep+", sbcl/pzmq/messaging/req-reb]", "crash")},
			`e.yaml:3:51: rules[0].cells[1]: matches no cell: no feature is "messaging/req-reb"; did you mean messaging/req-rep or messaging/pub-sub?`,
		},
		"no such technique": {
			[]string{rule("sbcl/pzmq/messaging/req-rep/plane", "crash")},
			`e.yaml:3:12: rules[0].cells: matches no cell: no technique is "plane"; did you mean plain?`,
		},
		"no such combination": {
			[]string{rule("ecl/pzmq/messaging/req-rep", "crash")},
			"e.yaml:3:12: rules[0].cells: matches no cell: each part of it exists, but no client has them together; `zmqmatrix list cells` shows which do",
		},
		"out of date": {
			[]string{rule(reqRep, "crash", "until: 2026-11-26")},
			"e.yaml:7:12: rules[0].until: out of date: it held until 2026-11-26, and today is 2026-11-27; measure again, then renew the rule or take it out",
		},
		"a contradiction": {
			[]string{rule("sbcl/pzmq/*/*", "crash"), rule("'*/*/messaging/req-*'", "[fail, pass]")},
			"e.yaml:7:12: rules[1].cells: contradicts the rule of line 3: crash there, fail or pass here; both are about sbcl@bookworm/pzmq/messaging/req-rep",
		},
		"a contradiction about what was not measured": {
			[]string{rule("'*/cl-zmq/*/*'", "crash"), rule("sbcl@trixie/cl-zmq/messaging/*", "fail")},
			"e.yaml:7:12: rules[1].cells: contradicts the rule of line 3: crash there, fail here; both are about sbcl@trixie/cl-zmq/messaging/multipart",
		},
		"all of them at once, in the order of the lines": {
			[]string{rule("sblc/pzmq/messaging/*", "crash", "until: 2026-01-01"), rule("sbcl/pzm/messaging/*", "crash")},
			`e.yaml:3:12: rules[0].cells: matches no cell: no target is "sblc"; did you mean sbcl?` + "\n" +
				"e.yaml:7:12: rules[0].until: out of date: it held until 2026-01-01, and today is 2026-11-27; measure again, then renew the rule or take it out\n" +
				`e.yaml:8:12: rules[1].cells: matches no cell: no binding is "pzm"; did you mean pzmq?`,
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			_, err := expect.Judge(expect.Question{
				Published: published(t, reqRep+"/plain=crash", pubSub+"/plain=crash"), Rules: parse(t, test.rules...), Known: known, Today: today,
			})
			require.EqualError(t, err, test.want)
			assert.NotEmpty(t, schema.Problems(err))
			requireHarmless(t, err)
		})
	}
}

func TestARuleHoldsOnItsLastDay(t *testing.T) {
	question := expect.Question{Published: published(t, reqRep+"/plain=crash"), Rules: parse(t, rule(reqRep, "crash", "until: 2026-11-27"))}
	east := time.FixedZone("", 14*60*60)
	question.Today = time.Date(2026, 11, 28, 13, 59, 59, 0, east) // 23:59:59 in UTC
	_, err := expect.Judge(question)
	require.NoError(t, err)
	question.Today = question.Today.Add(time.Second)
	_, err = expect.Judge(question)
	require.ErrorContains(t, err, "out of date")
}

func TestRulesOnWhatWasNotMeasuredAreIdle(t *testing.T) {
	rules := parse(t, rule("sbcl@trixie/pzmq/messaging/*", "crash"), rule(pubSub, "crash"), rule(io, "crash"), rule(reqRep, "crash"))
	report, err := expect.Judge(expect.Question{
		Published: published(t, reqRep+"/plain=crash", pubSub+"/plain=not-run", io+"/plain=error"), Rules: rules, Today: today,
		Known: []matrix.Cell{{Target: "sbcl@trixie", Binding: "pzmq", Feature: "messaging/req-rep", Technique: "plain"}},
	})
	require.NoError(t, err)
	var lines []int
	for _, idle := range report.Idle {
		lines = append(lines, idle.Line)
	}
	assert.Equal(t, []int{3, 7, 11}, lines)
}

func TestResultsThatContradictThemselvesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*results.Published){
		"a best technique that has no cell":       func(p *results.Published) { p.Best[0].Technique = "pin" },
		"a best technique of another outcome":     func(p *results.Published) { p.Best[0].Outcome = matrix.Pass },
		"a verdict that is left out":              func(p *results.Published) { p.Best = p.Best[1:] },
		"a verdict that is there twice":           func(p *results.Published) { p.Best = append(p.Best, p.Best[0]) },
		"a cell that is there twice":              func(p *results.Published) { p.Cells = append(p.Cells, p.Cells[0]) },
		"a cell that would make the other a pass": func(p *results.Published) { p.Cells = append(p.Cells, p.Cells[0]); p.Cells[2].Outcome = matrix.Pass },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			spoilt := published(t, reqRep+"/plain=crash", pubSub+"/plain=pass")
			spoil(&spoilt)
			_, err := expect.Judge(expect.Question{Published: spoilt})
			require.ErrorIs(t, err, expect.ErrInconsistent)
			good := published(t, reqRep+"/plain=pass")
			_, err = expect.Judge(expect.Question{Published: good, Base: &spoilt})
			require.ErrorIs(t, err, expect.ErrInconsistent)
			require.ErrorContains(t, err, "the base")
		})
	}
}

func TestWhatBreaksTheBuildComesFirst(t *testing.T) {
	report, err := expect.Judge(expect.Question{
		Published: published(t, "a@1/b/g/pass/plain=pass", "a@1/b/g/known/plain=fail", "a@1/b/g/error/plain=error", "a@1/b/g/mended/plain=pass",
			"a@1/b/g/strict/plain=pass", "a@1/b/g/red/plain=hang", "a@1/b/g/other/plain=hang", "a@1/b/g/red2/plain=crash"),
		Rules: parse(t, rule("a@1/b/g/known", "fail"), rule("a@1/b/g/mended", "fail"), rule("a@1/b/g/strict", "fail", "strict: true"), rule("a@1/b/g/other", "fail")),
	})
	require.NoError(t, err)
	ordered := found(expect.Report{Findings: report.Ordered()})
	assert.Equal(t, []string{
		"a@1/b/g/red unexpected-failure!", "a@1/b/g/red2 unexpected-failure!", "a@1/b/g/other changed-outcome!", "a@1/b/g/strict unexpected-pass!",
		"a@1/b/g/mended unexpected-pass", "a@1/b/g/error error", "a@1/b/g/known known-failure", "a@1/b/g/pass pass",
	}, ordered)
	assert.Len(t, report.Findings, 8)
	assert.Equal(t, "a@1/b/g/pass pass", found(report)[0], "the report's own order stays")
}

// BenchmarkJudge judges a large matrix by many rules.
func BenchmarkJudge(b *testing.B) {
	var cells, rules []string
	for target := range 100 {
		for feature := range 100 {
			for _, technique := range []string{"plain", "pin"} {
				cells = append(cells, fmt.Sprintf("t%d@1/b/g/f%d/%s=crash", target, feature, technique))
			}
		}
		rules = append(rules, rule(fmt.Sprintf("t%d@*/b/g/*", target), "crash"), rule(fmt.Sprintf("'t%d/*/*/f?/pin'", target), "crash"))
	}
	question := expect.Question{Published: published(b, cells...), Rules: parse(b, rules...), Today: today}
	for b.Loop() {
		report, err := expect.Judge(question)
		require.NoError(b, err)
		require.Zero(b, report.Breaking())
	}
}
