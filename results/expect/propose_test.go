package expect_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

func TestPropose(t *testing.T) {
	for name, test := range map[string]struct {
		cells, base, rules []string
	}{
		"nothing-unexpected": {cells: []string{reqRep + "/plain=pass", pubSub + "/plain=unsupported"}},
		"one-cell":           {cells: []string{reqRep + "/plain=crash", pubSub + "/plain=pass"}},
		"a-whole-group":      {cells: []string{reqRep + "/plain=crash", pubSub + "/plain=crash", io + "/plain=pass"}},
		"a-group-in-every-version": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=crash", trixie + "/plain=crash", io + "/plain=pass", ecl + "/plain=pass"},
		},
		"two-outcomes": {cells: []string{reqRep + "/plain=crash", pubSub + "/plain=fail", io + "/plain=pass", ecl + "/plain=crash"}},
		"not-what-was-not-measured": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=not-run", ecl + "/plain=error"},
		},
		"rules-that-are-right-stay": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=fail", ecl + "/plain=pass"},
			rules: []string{rule(reqRep, "[crash, hang]", "until: 2027-01-31"), rule(ecl, "fail")},
		},
		"rules-that-are-wrong-go": {
			cells: []string{reqRep + "/plain=hang", pubSub + "/plain=pass", io + "/plain=crash", ecl + "/plain=fail"},
			rules: []string{
				rule(reqRep, "crash"), rule(pubSub, "crash", "strict: true"), rule(io, "crash", "until: 2026-01-01"),
				rule("sblc/pzmq/messaging/*", "fail"), rule(ecl, "fail"), rule("'ecl@*/*/*/*'", "crash"),
			},
		},
		"a-demand-on-a-technique-goes": {
			cells: []string{io + "/plain=crash", io + "/unblock-signals=pass"}, rules: []string{rule(io+"/plain", "pass")},
		},
		"only-what-the-change-broke": {
			cells: []string{reqRep + "/plain=crash", pubSub + "/plain=crash", io + "/plain=unsupported"},
			base:  []string{reqRep + "/plain=pass", pubSub + "/plain=crash", io + "/plain=pass"},
		},
		"a-reason-that-needs-quoting": {cells: []string{"sbcl@bookworm/pzmq/messaging/it's: a #name/plain=crash"}},
		"a-name-with-a-globs-characters": {
			cells: []string{"sbcl@bookworm/pzmq/messaging/[a*?/plain=crash", "sbcl@bookworm/pzmq/messaging/[ab/plain=pass"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			question := expect.Question{Published: published(t, test.cells...), Rules: parse(t, test.rules...), Today: today}
			if test.base != nil {
				base := published(t, test.base...)
				question.Base = &base
			}
			proposed, err := expect.Propose(question)
			require.NoError(t, err)
			golden(t, "proposed-"+name+".yaml", string(proposed))
			question.Rules, err = expect.Parse("proposed.yaml", proposed)
			require.NoError(t, err)
			report, err := expect.Judge(question)
			require.NoError(t, err)
			assert.Zero(t, report.Breaking())
		})
	}
}

func TestOneRuleSpeaksOfOneCause(t *testing.T) {
	const same = "ecl@bookworm/pzmq/callback/same-thread"
	measured := published(t, reqRep+"/plain=crash", pubSub+"/plain=flaky", io+"/plain=crash", "sbcl@bookworm/pzmq/callback/same-thread/plain=pass", same+"/plain=crash", ecl+"/plain=pass")
	measured.Cells[0].Cause, measured.Cells[1].Cause = "damages the heap", "damages the heap"
	measured.Cells[2].Cause, measured.Cells[4].Cause = "blocks signals", "blocks signals"
	proposed, err := expect.Propose(expect.Question{Published: measured, Today: today})
	require.NoError(t, err)
	rules, err := expect.Parse("e.yaml", proposed)
	require.NoError(t, err)
	require.Len(t, rules.List, 2)
	assert.Equal(t, "sbcl@bookworm/pzmq/messaging/*", rules.List[0].Cells[0].String())
	assert.Equal(t, []matrix.Outcome{matrix.Flaky, matrix.Crash}, rules.List[0].Outcomes)
	require.Len(t, rules.List[1].Cells, 2)
	assert.Equal(t, io, rules.List[1].Cells[0].String())
	assert.Equal(t, same, rules.List[1].Cells[1].String())
	assert.Equal(t, "proposed, as measured: crash: blocks signals (one of 2)", rules.List[1].Reason)
}

func TestAProposalStatesNothingOfWhatIsOnlyKnown(t *testing.T) {
	proposed, err := expect.Propose(expect.Question{
		Published: published(t, reqRep+"/plain=crash", pubSub+"/plain=crash"), Today: today,
		Known: []matrix.Cell{
			{Target: "sbcl@trixie", Binding: "pzmq", Feature: "messaging/req-rep", Technique: "plain"},
			{Target: "sbcl@bookworm", Binding: "pzmq", Feature: "messaging/multipart", Technique: "plain"},
		},
	})
	require.NoError(t, err)
	assert.NotContains(t, string(proposed), "*")
}

func TestWhatProposeWroteIsToldUntilAPersonWroteIt(t *testing.T) {
	question := expect.Question{Published: published(t, reqRep+"/plain=crash", ecl+"/plain=fail", io+"/plain=pass"), Today: today}
	proposed, err := expect.Propose(question)
	require.NoError(t, err)
	rules, err := expect.Parse("e.yaml", proposed)
	require.NoError(t, err)
	require.Len(t, rules.Proposed(), 2)
	assert.Regexp(t, `^e\.yaml:\d+:\d+: rules\[0\]\.issue: as gate --propose wrote it: say why it is known, and in which issue$`, rules.Proposed()[0].Error())
	written := strings.ReplaceAll(string(proposed), "https://example.invalid/replace-with-the-issue", "https://example.org/1")
	rules, err = expect.Parse("e.yaml", []byte(written))
	require.NoError(t, err)
	assert.Empty(t, rules.Proposed())
}

// TestAProposalKeepsWhateverAReasonSays keeps rules whose reasons are made of
// what YAML takes for something else.
func TestAProposalKeepsWhateverAReasonSays(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pieces := strings.Split("a| |\n|\n\n|\t|:|: |#| #|'|\"|\\|-|- |>|*|&|!|%|@|`|{|}|[|]|,|?|~|null|true|1|2026-01-01|1e3|0x1f|.inf|yes|---|...|=|<<|\r|\r\n|"+
		"\u0085|\u2028|\u00a0|\x1b|\x00|\u202e|\u007f|\ufeff|\U000e0041|é|名|\U0001f600", "|")
	kept := 0
	for range 500 {
		reason := ""
		for range 1 + random.IntN(6) {
			reason += pieces[random.IntN(len(pieces))]
		}
		quoted, err := json.Marshal(reason)
		require.NoError(t, err)
		rules, err := expect.Parse("e.yaml", []byte(file("  - cells: "+reqRep+"\n    outcome: crash\n    issue: https://example.org/1\n    reason: "+string(quoted)+"\n")))
		if err != nil {
			require.ErrorContains(t, err, "it is blank", "%q", reason)
			continue
		}
		proposed, err := expect.Propose(expect.Question{Published: published(t, reqRep+"/plain=crash"), Rules: rules, Today: today})
		require.NoError(t, err, "%q", reason)
		again, err := expect.Parse("e.yaml", proposed)
		require.NoError(t, err)
		require.Equal(t, rules.List[0].Reason, again.List[0].Reason, "%s", proposed)
		kept++
	}
	assert.Greater(t, kept, 400)
}

func TestANameThatNoGlobCanNameIsSaid(t *testing.T) {
	odd := published(t, reqRep+"/plain=crash")
	for _, name := range []string{"pz/mq", "pz\x1b[2Jmq", "..", "pz\nmq"} {
		odd.Cells[0].Binding, odd.Best[0].Binding = name, name
		_, err := expect.Propose(expect.Question{Published: odd, Today: today})
		require.ErrorIs(t, err, expect.ErrUnnameable)
		requireHarmless(t, err)
	}
}

// TestAProposalFitsWhateverWasMeasured proposes for random results, again and
// again by the rules of the last time.
func TestAProposalFitsWhateverWasMeasured(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := []matrix.Outcome{matrix.Pass, matrix.Pass, matrix.Pass, matrix.Fail, matrix.Crash, matrix.Hang, matrix.Flaky, matrix.Unsupported, matrix.Error, matrix.NotRun}
	measure := func(spread int) []string {
		var cells []string
		for _, target := range []string{"sbcl@bookworm", "sbcl@trixie", "ecl@bookworm"} {
			for _, binding := range []string{"pzmq", "cl-zmq"} {
				for _, feature := range []string{"messaging/req-rep", "messaging/pub-sub", "callback/io-thread", "callback/same-thread"} {
					for _, technique := range []string{"plain", "unblock-signals"} {
						outcome := outcomes[random.IntN(spread)%len(outcomes)]
						cells = append(cells, target+"/"+binding+"/"+feature+"/"+technique+"="+string(outcome))
					}
				}
			}
		}
		return cells
	}
	var rules expect.Rules
	for round := range 60 {
		question := expect.Question{Published: published(t, measure(3+round%8)...), Rules: rules, Today: today}
		if round%3 == 0 {
			base := published(t, measure(6)...)
			question.Base = &base
		}
		proposed, err := expect.Propose(question)
		require.NoError(t, err, "round %d", round)
		question.Rules, err = expect.Parse("e.yaml", proposed)
		require.NoError(t, err)
		report, err := expect.Judge(question)
		require.NoError(t, err)
		require.Zero(t, report.Breaking(), "round %d:\n%s", round, proposed)
		rules = question.Rules
	}
}
