package matrix_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/fake"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// memory records lines and gives them back as prior attempts.
type memory struct {
	mu    sync.Mutex
	lines []matrix.Line
	fail  error // returned from the line after the next failAfter
	after int
}

func (m *memory) Append(line matrix.Line) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil && len(m.lines) >= m.after {
		return m.fail
	}
	m.lines = append(m.lines, line)
	return nil
}

func (m *memory) verdicts() map[string]matrix.Verdict {
	verdicts := map[string]matrix.Verdict{}
	for _, line := range m.lines {
		if line.Verdict != nil {
			verdicts[line.Verdict.Cell.String()] = *line.Verdict
		}
	}
	return verdicts
}

// recorded are all attempts, those of the negative probes included.
func (m *memory) recorded() []matrix.Attempt {
	var attempts []matrix.Attempt
	for _, line := range m.lines {
		if line.Attempt != nil {
			attempts = append(attempts, *line.Attempt)
		}
	}
	return attempts
}

// attempts are those of cells.
func (m *memory) attempts() []matrix.Attempt {
	return slices.DeleteFunc(m.recorded(), func(attempt matrix.Attempt) bool { return negativeProbe(attempt) })
}

func negativeProbe(attempt matrix.Attempt) bool {
	return strings.HasPrefix(attempt.Evidence.Cell.Feature, "zz")
}

// prior gives a record's attempts to another run.
type prior struct {
	attempts []matrix.Attempt
	from     string
}

func (p prior) Attempts(cell matrix.Cell, key string) ([]matrix.Attempt, error) {
	var found []matrix.Attempt
	for _, attempt := range p.attempts {
		if attempt.Evidence.Cell.Client() == cell.Client() && attempt.Key == key {
			attempt.ReusedFrom = p.from
			found = append(found, attempt)
		}
	}
	return found, nil
}

func target(name, role string, bindings ...matrix.Binding) matrix.Target {
	return matrix.Target{
		Name: name, Role: role, Title: name, Bindings: bindings,
		Variants: []matrix.Variant{{Name: "one", Suite: "bookworm", Default: true}, {Name: "two", Suite: "trixie"}},
		Limits:   matrix.Limits{MemoryMiB: 100, Processes: 10, TimeFactor: 2},
		Techniques: map[string][]string{
			"g/*": {"plain"}, "g/thread": {"plain", "mended"},
		},
	}
}

func binding(name string, raw bool) matrix.Binding {
	return matrix.Binding{Name: name, Raw: raw, Command: []string{"{dir}/probe", name}, Witness: "{dir}/witness.so"}
}

func catalogue() []matrix.Feature {
	pass := func(matrix.Evidence) matrix.Finding { return matrix.Finding{Outcome: matrix.Pass} }
	return []matrix.Feature{
		{Name: "g/simple", Version: 1, Wall: time.Second, Judge: pass, Params: map[string]string{"some-size": "3"}},
		{Name: "g/thread", Version: 1, Wall: time.Second, Judge: pass, Timing: true},
		{Name: "h/lane", Version: 1, Wall: time.Second, Witness: true, Judge: pass, Lane: []matrix.SocketSpec{
			{Name: "sink", Role: matrix.RoleSink, Count: 1, Sizes: []int{1}}, {Name: "second-one", Role: matrix.RoleSource, Count: 1, Sizes: []int{1}},
		}},
	}
}

func targets() []matrix.Target {
	return []matrix.Target{
		target("a", "", binding("raw", true), binding("high", false)),
		target("c", matrix.RolePositiveControl, binding("libzmq", true)),
	}
}

func options(t testing.TB, script fake.Script, recorder matrix.Recorder) matrix.Options {
	t.Helper()
	plan, err := matrix.MakePlan(targets(), catalogue(), matrix.Selection{})
	require.NoError(t, err)
	return matrix.Options{
		Plan: plan, Catalogue: catalogue(), Runtime: fake.New(script), Recorder: recorder,
		Header: matrix.Header{Run: "run1", Tool: "test", Seed: 42},
	}
}

// only answers for one cell and lets all others pass.
func only(cell string, answer func(attempt fake.Attempt) (fake.Answer, error)) func(context.Context, fake.Attempt) (fake.Answer, error) {
	return func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		if strings.Join([]string{attempt.Client.String(), attempt.Feature, attempt.Technique}, "/") == cell {
			return answer(attempt)
		}
		return fake.Passing(ctx, attempt)
	}
}

func TestRunDecidesEveryCell(t *testing.T) {
	record := &memory{}
	options := options(t, fake.Script{}, record)
	footer, err := matrix.Run(t.Context(), options)
	require.NoError(t, err)
	assert.Equal(t, map[matrix.Outcome]int{matrix.Pass: 12}, footer.Counts)
	assert.Equal(t, 12, options.Plan.Cells)
	assert.Equal(t, 4, len(footer.Controls))
	assert.Equal(t, 3*(1+11+11+1), footer.Attempts, "timing-dependent cells are attempted eleven times")
	assert.Zero(t, options.Runtime.(*fake.Runtime).Open(), "places and endpoint are closed")
	assert.Equal(t, matrix.LineHeader, record.lines[0].Type)
	assert.Equal(t, matrix.LineFooter, record.lines[len(record.lines)-1].Type)
	for _, line := range record.lines {
		if line.Client != nil {
			assert.True(t, line.Client.Trusted, line.Client.Client)
			assert.Equal(t, "fake:"+line.Client.Client.String(), line.Client.Image)
		}
	}
}

func TestTaskIsWhatTheContractSays(t *testing.T) {
	var seen fake.Attempt
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: only("a@one/high/h/lane/plain", func(attempt fake.Attempt) (fake.Answer, error) {
		seen = attempt
		return fake.Passing(context.Background(), attempt)
	})}, &memory{}))
	require.NoError(t, err)
	assert.Equal(t, []string{"/fake/probe", "high"}, seen.Task.Command)
	assert.Equal(t, "/fake/witness.so", seen.Task.Witness)
	assert.Equal(t, "1", seen.Task.Env["ZM_PROTOCOL"])
	assert.Equal(t, seen.Task.Env["ZM_ENDPOINT_SINK"], seen.Task.Env["ZM_ENDPOINT"], "the first socket")
	assert.Contains(t, seen.Task.Env["ZM_ENDPOINT_SECOND_ONE"], "tcp://")
	assert.NotEmpty(t, seen.Task.Env["ZM_SEED"])
	for _, socket := range seen.Lane {
		assert.NotEqual(t, seen.Task.Env["ZM_SEED"], fmt.Sprint(socket.Seed), "the endpoint's seeds are not the client's to know")
		assert.NotContains(t, fmt.Sprint(seen.Task.Env), fmt.Sprint(socket.Seed))
	}
	assert.Equal(t, 100, seen.Task.Bounds.MemoryMiB)
	assert.GreaterOrEqual(t, seen.Task.Bounds.Wall, 2*time.Second, "feature's limit times the target's factor")
}

func TestRedCells(t *testing.T) {
	dies := func(attempt fake.Attempt) (fake.Answer, error) { return fake.Dies(attempt, "SIGSEGV"), nil }
	for name, test := range map[string]struct {
		cell   string
		answer func(fake.Attempt) (fake.Answer, error)
		want   matrix.Verdict
		traced int
	}{
		"crash in the raw layer is the runtime's": {"a@one/raw/g/simple/plain", dies, matrix.Verdict{
			Outcome: matrix.Crash, Reason: "died of SIGSEGV, before its first step", Signal: "SIGSEGV", Layer: matrix.LayerRuntime, Attempts: 3}, 3},
		"a dossier is enough": {"a@one/raw/g/simple/plain", func(attempt fake.Attempt) (fake.Answer, error) {
			answer := fake.Dies(attempt, "SIGSEGV")
			if attempt.Task.Trace {
				answer.Account.Dossier = &matrix.Dossier{Signal: "SIGSEGV", Backtrace: "#0"}
			}
			return answer, nil
		}, matrix.Verdict{
			Outcome: matrix.Crash, Reason: "died of SIGSEGV, before its first step", Signal: "SIGSEGV", Layer: matrix.LayerRuntime, Attempts: 3}, 1},
		"crash above a green raw layer is the binding's": {"a@one/high/g/simple/plain", dies, matrix.Verdict{
			Outcome: matrix.Crash, Reason: "died of SIGSEGV, before its first step", Signal: "SIGSEGV", Layer: matrix.LayerBinding, Attempts: 3}, 3},
		"garbage is the probe's": {"a@one/raw/g/simple/plain", func(fake.Attempt) (fake.Answer, error) {
			return fake.Answer{Account: matrix.Account{Ending: matrix.Exited, Stdout: []byte("?\n")}}, nil
		}, matrix.Verdict{Outcome: matrix.Fail, Reason: "the probe broke the report's protocol: line 1: not a JSON object: \"?\"", Layer: matrix.LayerProbe, Attempts: 3}, 0},
		"flaky": {"a@one/raw/g/thread/plain", func(attempt fake.Attempt) (fake.Answer, error) {
			if attempt.Number%2 == 0 {
				return dies(attempt)
			}
			return fake.Passing(context.Background(), attempt)
		}, matrix.Verdict{Outcome: matrix.Flaky, Reason: "of 20 attempts: 10 pass, 10 crash; crash: died of SIGSEGV, before its first step", Signal: "SIGSEGV", Layer: matrix.LayerRuntime, Attempts: 20, Passes: 10}, 3},
		"a place that breaks is prepared again": {"a@one/raw/g/simple/plain", func(attempt fake.Attempt) (fake.Answer, error) {
			if attempt.Number == 1 {
				return fake.Answer{}, errors.New("warden gone")
			}
			return fake.Passing(context.Background(), attempt)
		}, matrix.Verdict{Outcome: matrix.Pass, Attempts: 1, Passes: 1}, 0},
		"a place that always breaks is an error": {"a@one/raw/g/simple/plain", func(fake.Attempt) (fake.Answer, error) {
			return fake.Answer{}, errors.New("warden gone")
		}, matrix.Verdict{Outcome: matrix.Error, Reason: "running the probe: warden gone"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			record := &memory{}
			options := options(t, fake.Script{Answer: only(test.cell, test.answer)}, record)
			_, err := matrix.Run(t.Context(), options)
			require.NoError(t, err)
			got := record.verdicts()[test.cell]
			test.want.Cell, _ = matrix.ParseCell(test.cell)
			got.Slowest = 0
			assert.Equal(t, test.want, got)
			traced := 0
			for _, attempt := range record.attempts() {
				if attempt.Traced {
					traced++
				}
			}
			assert.Equal(t, test.traced, traced)
			assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
		})
	}
}

// Under a debugger a crash can become a loop.
func TestAnAttemptForADossierIsNotGivenTheWholeLimit(t *testing.T) {
	features := catalogue()
	features[0].Wall = time.Hour
	plan, err := matrix.MakePlan(targets(), features, matrix.Selection{})
	require.NoError(t, err)
	limits := map[bool][]time.Duration{}
	script := fake.Script{Answer: only("a@one/raw/g/simple/plain", func(attempt fake.Attempt) (fake.Answer, error) {
		limits[attempt.Task.Trace] = append(limits[attempt.Task.Trace], attempt.Task.Bounds.Wall)
		return fake.Dies(attempt, "SIGSEGV"), nil
	})}
	_, err = matrix.Run(t.Context(), matrix.Options{
		Plan: plan, Catalogue: features, Runtime: fake.New(script), Recorder: &memory{}, Header: matrix.Header{Run: "run1", Tool: "test"},
	})
	require.NoError(t, err)
	assert.Len(t, limits[false], 3)
	for _, limit := range limits[false] {
		assert.GreaterOrEqual(t, limit, time.Hour)
	}
	assert.Len(t, limits[true], 3)
	for _, limit := range limits[true] {
		assert.GreaterOrEqual(t, limit, 30*time.Second)
		assert.Less(t, limit, time.Minute)
	}
}

// What writes over memory spares some features now and then: one pass of a
// feature does not say that it is sound where another of its group is not.
func TestAPassBesideAnUnsoundFeatureOfItsGroupIsDoubted(t *testing.T) {
	run := func(died func(fake.Attempt) bool) map[string]matrix.Verdict {
		record := &memory{}
		_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			if attempt.Client.String() == "a@one/high" && died(attempt) {
				return fake.Dies(attempt, "SIGABRT"), nil
			}
			return fake.Passing(ctx, attempt)
		}}, record))
		require.NoError(t, err)
		return record.verdicts()
	}
	thread := func(attempt fake.Attempt) bool { return attempt.Feature == "g/thread" }

	verdicts := run(thread)
	assert.Equal(t, matrix.Crash, verdicts["a@one/high/g/thread/plain"].Outcome)
	assert.Equal(t, matrix.Crash, verdicts["a@one/high/g/thread/mended"].Outcome)
	passed := verdicts["a@one/high/g/simple/plain"]
	mixed := runMixed(t)
	assert.Equal(t, matrix.Fail, mixed["a@one/high/g/thread/plain"].Outcome)
	assert.Equal(t, 11, mixed["a@one/high/g/simple/plain"].Attempts, "beside what crashes only now and then, and fails else")
	assert.Equal(t, matrix.Pass, passed.Outcome)
	assert.Equal(t, 11, passed.Attempts)
	assert.Equal(t, 1, verdicts["a@one/high/h/lane/plain"].Attempts, "another group")
	assert.Equal(t, 1, verdicts["a@one/raw/g/simple/plain"].Attempts, "another client")

	verdicts = run(func(attempt fake.Attempt) bool {
		return thread(attempt) || attempt.Feature == "g/simple" && attempt.Number%3 == 0
	})
	spared := verdicts["a@one/high/g/simple/plain"]
	assert.Equal(t, matrix.Flaky, spared.Outcome)
	assert.Equal(t, 20, spared.Attempts)
	assert.Equal(t, 14, spared.Passes)
	assert.Equal(t, matrix.LayerBinding, spared.Layer)

	verdicts = run(func(attempt fake.Attempt) bool { return attempt.Feature == "g/simple" && attempt.Number == 3 })
	assert.Equal(t, matrix.Pass, verdicts["a@one/high/g/simple/plain"].Outcome, "nothing had it attempted so often")

	verdicts = run(func(attempt fake.Attempt) bool { return thread(attempt) && attempt.Technique == "plain" })
	assert.Equal(t, matrix.Pass, verdicts["a@one/high/g/thread/mended"].Outcome)
	assert.Equal(t, 11, verdicts["a@one/high/g/simple/plain"].Attempts, "by the technique that crashes")

	verdicts = run(func(attempt fake.Attempt) bool { return thread(attempt) && attempt.Technique == "mended" })
	assert.Equal(t, matrix.Pass, verdicts["a@one/high/g/thread/plain"].Outcome)
	assert.Equal(t, 1, verdicts["a@one/high/g/simple/plain"].Attempts, "by another technique, where one passes")

	record := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: only("a@one/high/g/thread/plain", func(attempt fake.Attempt) (fake.Answer, error) {
		return fake.Answer{Account: matrix.Account{Ending: matrix.EndedWall, Wall: time.Second}}, nil
	})}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.Hang, record.verdicts()["a@one/high/g/thread/plain"].Outcome)
	assert.Equal(t, 1, record.verdicts()["a@one/high/g/simple/plain"].Attempts, "a hang that a technique mends breaks nothing else")
}

// What is spared now and then is so in three attempts of ten, or in none of three.
func TestAFailureBesideAFlakyFeatureOfItsGroupIsDoubted(t *testing.T) {
	run := func(wrong func(fake.Attempt) bool) map[string]matrix.Verdict {
		record := &memory{}
		_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			if attempt.Client.String() == "a@one/high" && wrong(attempt) {
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "other bytes"}), nil
			}
			return fake.Passing(ctx, attempt)
		}}, record))
		require.NoError(t, err)
		return record.verdicts()
	}
	plain := func(attempt fake.Attempt) bool { return attempt.Technique == "plain" }

	verdicts := run(func(attempt fake.Attempt) bool {
		return plain(attempt) && (attempt.Feature == "g/simple" && attempt.Number < 5 || attempt.Feature == "g/thread" && attempt.Number%2 == 0)
	})
	assert.Equal(t, matrix.Flaky, verdicts["a@one/high/g/thread/plain"].Outcome)
	spared := verdicts["a@one/high/g/simple/plain"]
	assert.Equal(t, matrix.Flaky, spared.Outcome)
	assert.Equal(t, 20, spared.Attempts)
	assert.Equal(t, 16, spared.Passes)

	verdicts = run(func(attempt fake.Attempt) bool {
		return attempt.Feature == "g/simple" || plain(attempt) && attempt.Feature == "g/thread" && attempt.Number%2 == 0
	})
	assert.Equal(t, matrix.Fail, verdicts["a@one/high/g/simple/plain"].Outcome)
	assert.Equal(t, 11, verdicts["a@one/high/g/simple/plain"].Attempts)

	verdicts = run(func(attempt fake.Attempt) bool {
		return attempt.Feature == "g/simple" || attempt.Technique == "mended" && attempt.Feature == "g/thread" && attempt.Number%2 == 0
	})
	assert.Equal(t, 3, verdicts["a@one/high/g/simple/plain"].Attempts, "another technique is flaky")

	verdicts = run(func(attempt fake.Attempt) bool { return attempt.Feature == "g/simple" && attempt.Number < 5 })
	assert.Equal(t, matrix.Fail, verdicts["a@one/high/g/simple/plain"].Outcome, "nothing had it attempted so often")
	assert.Equal(t, 3, verdicts["a@one/high/g/simple/plain"].Attempts)
}

// runMixed runs a client one of whose features fails, and crashes one time of four.
func runMixed(t *testing.T) map[string]matrix.Verdict {
	record := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		switch {
		case attempt.Client.String() != "a@one/high" || attempt.Feature != "g/thread":
			return fake.Passing(ctx, attempt)
		case attempt.Number%4 == 0:
			return fake.Dies(attempt, "SIGABRT"), nil
		}
		return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "other bytes"}), nil
	}}, record))
	require.NoError(t, err)
	return record.verdicts()
}

// A raw client that is red by its probe's fault does not put a binding's fault on
// the runtime under both.
func TestAProbesFaultIsComparedWithNothing(t *testing.T) {
	record := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		answer, err := fake.Passing(ctx, attempt)
		switch {
		case attempt.Feature != "g/simple":
		case attempt.Client.String() == "a@one/raw":
			answer.Account.Strays = 1
		case attempt.Client.String() == "a@one/high":
			return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "other bytes"}), nil
		}
		return answer, err
	}}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.LayerProbe, record.verdicts()["a@one/raw/g/simple/plain"].Layer)
	verdict := record.verdicts()["a@one/high/g/simple/plain"]
	assert.Equal(t, matrix.Fail, verdict.Outcome)
	assert.NotEqual(t, matrix.LayerRuntime, verdict.Layer)
}

func TestTheCellsOfAClientThatIsLostForGoodAreErrors(t *testing.T) {
	prepared, record := 0, &memory{}
	footer, err := matrix.Run(t.Context(), options(t, fake.Script{
		Prepare: func(_ context.Context, client matrix.Client) error {
			if client.String() != "a@one/raw" {
				return nil
			}
			if prepared++; prepared > 1 {
				return errors.New("the engine has no room")
			}
			return nil
		},
		Answer: only("a@one/raw/g/simple/plain", func(fake.Attempt) (fake.Answer, error) {
			return fake.Answer{}, errors.New("warden gone")
		}),
	}, record))
	require.NoError(t, err)
	for _, cell := range []string{"g/simple/plain", "g/thread/plain", "g/thread/mended", "h/lane/plain"} {
		verdict := record.verdicts()["a@one/raw/"+cell]
		assert.Equal(t, matrix.Error, verdict.Outcome, cell)
		if cell != "g/simple/plain" {
			assert.Equal(t, "the engine has no room", verdict.Reason, cell)
		}
	}
	assert.Equal(t, map[matrix.Outcome]int{matrix.Pass: 8, matrix.Error: 4}, footer.Counts, "nobody else is touched")
}

// untidy is a runtime whose places can't be closed in time.
type untidy struct{ *fake.Runtime }

func (r untidy) Prepare(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (matrix.Place, error) {
	place, err := r.Runtime.Prepare(ctx, target, variant, binding)
	return untidyPlace{place}, err
}

type untidyPlace struct{ matrix.Place }

func (p untidyPlace) Close(context.Context) error { return context.DeadlineExceeded }

func TestARunWhoseCellsAreDecidedIsCompleteHoweverSlowTheCleanUp(t *testing.T) {
	record := &memory{}
	options := options(t, fake.Script{}, record)
	options.Runtime = untidy{options.Runtime.(*fake.Runtime)}
	footer, err := matrix.Run(t.Context(), options)
	require.NoError(t, err)
	assert.Equal(t, map[matrix.Outcome]int{matrix.Pass: 12}, footer.Counts)
	assert.Equal(t, matrix.LineFooter, record.lines[len(record.lines)-1].Type)
}

func TestLayerComparesTheSameTechniqueFirst(t *testing.T) {
	record := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		if attempt.Client.Target == "a@one" && attempt.Feature == "g/thread" && attempt.Technique == "plain" {
			return fake.Dies(attempt, "SIGSEGV"), nil
		}
		return fake.Passing(ctx, attempt)
	}}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.Pass, record.verdicts()["a@one/raw/g/thread/mended"].Outcome)
	assert.Equal(t, matrix.LayerRuntime, record.verdicts()["a@one/high/g/thread/plain"].Layer, "the raw layer dies of it, too")
}

func TestUnsupportedIsBelievedOnlyAfterTheNegativeProbe(t *testing.T) {
	for name, test := range map[string]struct {
		says string // of the feature that does not exist; empty: done
		want matrix.Outcome
	}{
		"honest":                    {"unknown feature ", matrix.Unsupported},
		"says done of everything":   {"", matrix.Fail},
		"unsupported of everything": {"not today, whatever it is: ", matrix.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			record := &memory{}
			_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
				switch {
				case attempt.Client.Target != "a@one":
				case strings.HasPrefix(attempt.Feature, "zz") && test.says == "":
					return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingDone}), nil
				case strings.HasPrefix(attempt.Feature, "zz"):
					return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: test.says + attempt.Feature}), nil
				case attempt.Feature == "g/simple":
					return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "no"}), nil
				}
				return fake.Passing(ctx, attempt)
			}}, record))
			require.NoError(t, err)
			assert.Equal(t, test.want, record.verdicts()["a@one/raw/g/simple/plain"].Outcome)
		})
	}
}

func TestAnswersToTheNegativeProbeAreReused(t *testing.T) {
	client := matrix.Client{Target: "a@one", Binding: "raw"}
	answering := func(seed uint64, prior matrix.Prior, answer func(attempt fake.Attempt) fake.Answer) (record *memory, asked int) {
		record = &memory{}
		options := options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			if attempt.Client == client && strings.HasPrefix(attempt.Feature, "zz") {
				asked++
				return answer(attempt), nil
			}
			return fake.Passing(ctx, attempt)
		}}, record)
		options.Prior, options.Header.Seed = prior, seed
		_, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		return record, asked
	}
	account := func(record *memory) matrix.ClientAccount {
		for _, line := range record.lines {
			if line.Client != nil && line.Client.Client == client {
				return *line.Client
			}
		}
		require.Fail(t, "it has no account")
		return matrix.ClientAccount{}
	}
	honest := func(attempt fake.Attempt) fake.Answer {
		answer, err := fake.Passing(t.Context(), attempt)
		require.NoError(t, err)
		return answer
	}
	boast := func(attempt fake.Attempt) fake.Answer {
		return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingDone})
	}
	dead := func(fake.Attempt) fake.Answer {
		return fake.Answer{Account: matrix.Account{Ending: matrix.Signaled, Signal: "SIGSEGV"}}
	}
	trusted, _ := answering(1, nil, honest)
	distrusted, _ := answering(2, nil, boast)
	require.NotEmpty(t, account(distrusted).Distrust)
	for _, attempt := range trusted.recorded() {
		if negativeProbe(attempt) {
			assert.Equal(t, matrix.Unsupported, attempt.Finding.Outcome, "as it must: no reader of the record is to find a failure")
		}
	}
	silent, asked := answering(3, nil, dead)
	assert.Equal(t, 3, asked)
	assert.Len(t, silent.recorded(), len(silent.attempts())+3+2, "every try is recorded")

	t.Run("whatever the seed", func(t *testing.T) {
		record, asked := answering(4, prior{trusted.recorded(), "run0"}, boast)
		assert.Zero(t, asked)
		assert.True(t, account(record).Trusted)
		assert.Equal(t, account(trusted).Hello, account(record).Hello)
	})
	t.Run("distrust stays", func(t *testing.T) {
		record, asked := answering(4, prior{distrusted.recorded(), "run0"}, honest)
		assert.Zero(t, asked)
		assert.False(t, account(record).Trusted)
		assert.Equal(t, account(distrusted).Distrust, account(record).Distrust)
	})
	t.Run("but not where answers disagree", func(t *testing.T) {
		both := prior{append(trusted.recorded(), distrusted.recorded()...), "run0"}
		record, asked := answering(4, both, honest)
		assert.Equal(t, 1, asked)
		assert.True(t, account(record).Trusted)
		record, asked = answering(4, both, boast)
		assert.Equal(t, 1, asked)
		assert.False(t, account(record).Trusted)
	})
	t.Run("but not where one came of a fault", func(t *testing.T) {
		noise := func(attempt fake.Attempt) fake.Answer {
			answer := honest(attempt)
			answer.Account.Stdout = append([]byte("a line of the debugger's\n"), answer.Account.Stdout...)
			return answer
		}
		failure := func(attempt fake.Attempt) fake.Answer {
			return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "no room"})
		}
		for _, fault := range []func(fake.Attempt) fake.Answer{noise, failure} {
			before, _ := answering(5, nil, fault)
			record, asked := answering(6, prior{before.recorded(), "run0"}, honest)
			assert.Equal(t, 1, asked)
			assert.True(t, account(record).Trusted)
		}
	})
	t.Run("but not where it gave none", func(t *testing.T) {
		record, asked := answering(4, prior{silent.recorded(), "run0"}, honest)
		assert.Equal(t, 1, asked)
		assert.True(t, account(record).Trusted)
	})
	t.Run("a resumed run goes on counting", func(t *testing.T) {
		record := &memory{}
		options := options(t, fake.Script{}, record)
		options.Resumed, options.Prior, options.Header.Seed = true, prior{silent.recorded(), ""}, 3
		options.Header.Environment = silent.lines[0].Header.Environment
		_, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		probes := slices.DeleteFunc(record.recorded(), func(attempt matrix.Attempt) bool { return !negativeProbe(attempt) })
		require.Len(t, probes, 1)
		assert.Equal(t, 4, probes[0].Number)
	})
}

// A probe of ours that can't start must not look like a client that crashes. What
// stands on a raw client that starts is held to that.
func TestARawClientWhoseProbeNeverStartsIsAnError(t *testing.T) {
	silent := fake.Answer{Account: matrix.Account{Ending: matrix.Signaled, Signal: "SIGSEGV"}}
	for name, test := range map[string]struct {
		binding string
		starts  int // the introduction that is answered
		want    matrix.Outcome
		asked   int // features, of the one that never starts
	}{
		"never":                  {"raw", 0, matrix.Error, 0},
		"at the third time":      {"raw", 3, matrix.Pass, 1},
		"a binding that does so": {"high", 0, matrix.Crash, 3},
		"a binding that does so, but at the third time": {"high", 3, matrix.Pass, 1},
	} {
		t.Run(name, func(t *testing.T) {
			record := &memory{}
			var mutex sync.Mutex
			introductions, asked := 0, 0
			_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
				if attempt.Client != (matrix.Client{Target: "a@one", Binding: test.binding}) {
					return fake.Passing(ctx, attempt)
				}
				mutex.Lock()
				defer mutex.Unlock()
				if strings.HasPrefix(attempt.Feature, "zz") {
					introductions++
				} else if attempt.Feature == "g/simple" && !attempt.Task.Trace {
					asked++
				}
				if test.starts == 0 || introductions < test.starts {
					return silent, nil
				}
				return fake.Passing(ctx, attempt)
			}}, record))
			require.NoError(t, err)
			verdict := record.verdicts()["a@one/"+test.binding+"/g/simple/plain"]
			assert.Equal(t, test.want, verdict.Outcome)
			assert.Equal(t, test.asked, asked)
			if test.want == matrix.Error {
				assert.Equal(t, "the probe does not start, and that may be its own fault: died of SIGSEGV, before it said hello", verdict.Reason)
				assert.Equal(t, matrix.Pass, record.verdicts()["a@one/high/g/simple/plain"].Outcome)
			}
		})
	}
}

func TestHangIsOnlySaidWhereTheControlPasses(t *testing.T) {
	hangs := func(clients ...string) func(context.Context, fake.Attempt) (fake.Answer, error) {
		return func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			answer, err := fake.Passing(ctx, attempt)
			if attempt.Feature == "g/simple" && slices.Contains(clients, attempt.Client.Target) {
				answer.Account.Ending = matrix.EndedWall
			}
			return answer, err
		}
	}
	record := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{Answer: hangs("a@one")}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.Hang, record.verdicts()["a@one/raw/g/simple/plain"].Outcome)
	assert.Equal(t, matrix.LayerRuntime, record.verdicts()["a@one/raw/g/simple/plain"].Layer)

	record = &memory{}
	_, err = matrix.Run(t.Context(), options(t, fake.Script{Answer: hangs("a@one", "c@one")}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.Hang, record.verdicts()["c@one/libzmq/g/simple/plain"].Outcome)
	assert.Equal(t, matrix.Error, record.verdicts()["a@one/raw/g/simple/plain"].Outcome)
}

func TestUnavailableClientsAreNotRun(t *testing.T) {
	record := &memory{}
	footer, err := matrix.Run(t.Context(), options(t, fake.Script{Prepare: func(_ context.Context, client matrix.Client) error {
		switch client.Binding {
		case "raw":
			return fmt.Errorf("no licence: %w", matrix.ErrUnavailable)
		case "high":
			return errors.New("the Dockerfile fails")
		}
		return nil
	}}, record))
	require.NoError(t, err)
	assert.Equal(t, matrix.NotRun, record.verdicts()["a@one/raw/g/simple/plain"].Outcome)
	assert.Contains(t, record.verdicts()["a@one/raw/g/simple/plain"].Reason, "no licence")
	assert.Equal(t, matrix.Error, record.verdicts()["a@one/high/g/simple/plain"].Outcome)
	assert.Equal(t, 4, footer.Counts[matrix.NotRun])
}

func TestAClientThatDoesNotStartIsTriedAgain(t *testing.T) {
	high := matrix.Client{Target: "a@one", Binding: "high"}
	for name, test := range map[string]struct {
		fails  int // so many times
		want   matrix.Outcome
		starts int
	}{
		"once":   {1, matrix.Pass, 2},
		"always": {100, matrix.Error, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var mutex sync.Mutex
			starts, prepared := 0, 0
			record := &memory{}
			options := options(t, fake.Script{
				Prepare: func(_ context.Context, client matrix.Client) error {
					mutex.Lock()
					defer mutex.Unlock()
					if client == high {
						prepared++
					}
					return nil
				},
				Start: func(_ context.Context, client matrix.Client) error {
					mutex.Lock()
					defer mutex.Unlock()
					if client != high {
						return nil
					}
					if starts++; starts <= test.fails {
						return errors.New("the engine is away")
					}
					return nil
				},
			}, record)
			_, err := matrix.Run(t.Context(), options)
			require.NoError(t, err)
			verdict := record.verdicts()["a@one/high/g/simple/plain"]
			assert.Equal(t, test.want, verdict.Outcome)
			assert.Equal(t, test.starts, starts)
			assert.Equal(t, test.starts, prepared, "what did not start is prepared anew")
			if test.want == matrix.Error {
				assert.Equal(t, "the negative probe: making a@one/high ready: the engine is away", verdict.Reason)
			}
			assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
		})
	}
}

func TestSecondRunReusesAttempts(t *testing.T) {
	first := &memory{}
	_, err := matrix.Run(t.Context(), options(t, fake.Script{}, first))
	require.NoError(t, err)
	t.Run("nothing changed", func(t *testing.T) {
		second := &memory{}
		options := options(t, fake.Script{Start: func(_ context.Context, client matrix.Client) error {
			assert.Fail(t, "nothing is left to be run", "%s is started", client)
			return nil
		}}, second)
		options.Prior = prior{first.recorded(), "run0"}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Equal(t, 72, footer.Reused)
		assert.Len(t, second.attempts(), 72, "the new record stands by itself")
		assert.Len(t, second.recorded(), 72+3, "with the negative probes")
		for _, line := range second.lines {
			if line.Client != nil {
				assert.True(t, line.Client.Trusted)
				assert.NotNil(t, line.Client.Hello)
			}
			if line.Attempt != nil {
				assert.Equal(t, "run0", line.Attempt.ReusedFrom)
			}
		}
	})
	t.Run("what has a cell left is started in its turn", func(t *testing.T) {
		second := &memory{}
		var starts []matrix.Client
		options := options(t, fake.Script{Start: func(_ context.Context, client matrix.Client) error {
			starts = append(starts, client)
			if len(starts) == 1 {
				return errors.New("the engine is away")
			}
			return nil
		}}, second)
		options.Prior = prior{slices.DeleteFunc(first.recorded(), func(attempt matrix.Attempt) bool {
			return attempt.Evidence.Cell.String() == "a@one/high/g/simple/plain"
		}), "run0"}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Equal(t, 71, footer.Reused)
		high := matrix.Client{Target: "a@one", Binding: "high"}
		assert.Equal(t, []matrix.Client{high, high}, starts)
		assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
		assert.Equal(t, matrix.Pass, second.verdicts()["a@one/high/g/simple/plain"].Outcome)
		made := slices.DeleteFunc(second.attempts(), func(attempt matrix.Attempt) bool { return attempt.ReusedFrom != "" })
		require.Len(t, made, 2)
		assert.Equal(t, "making a@one/high ready: the engine is away", made[0].Evidence.HarnessError)
	})
	t.Run("while others start, and nothing is attempted until they have", func(t *testing.T) {
		high := matrix.Client{Target: "a@one", Binding: "high"}
		judged, started := make(chan struct{}), make(chan struct{})
		options := options(t, fake.Script{
			Digest: func(client matrix.Client) string {
				if client == high {
					return "another"
				}
				return "fake:" + client.String()
			},
			Start: func(_ context.Context, client matrix.Client) error {
				if client != high {
					return nil
				}
				select {
				case <-judged:
				case <-time.After(10 * time.Second):
					assert.Fail(t, "what is recorded waits for the start")
				}
				close(started)
				return nil
			},
		}, &memory{})
		options.Prior = prior{slices.DeleteFunc(first.recorded(), func(attempt matrix.Attempt) bool {
			return attempt.Evidence.Cell.String() == "c@one/libzmq/h/lane/plain"
		}), "run0"}
		options.Observe = func(event matrix.Event) {
			switch {
			case event.Kind == matrix.EventVerdict && event.Cell.String() == "a@one/raw/g/simple/plain":
				close(judged)
			case event.Kind == matrix.EventAttempting:
				select {
				case <-started:
				default:
					assert.Fail(t, "attempted before all have started", "%s", event.Cell)
				}
			}
		}
		_, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
	})
	t.Run("but none that could not be judged", func(t *testing.T) {
		earlier := first.recorded()
		for i := range earlier {
			if earlier[i].Evidence.Cell.String() == "a@one/raw/g/simple/plain" {
				earlier[i].Evidence.Account.Ending = "melted"
			}
		}
		options := options(t, fake.Script{}, &memory{})
		options.Prior = prior{earlier, "run0"}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Equal(t, 71, footer.Reused)
		assert.Zero(t, footer.Counts[matrix.Error])
	})
	t.Run("but none that would have more time now", func(t *testing.T) {
		for ending, want := range map[matrix.Ending]int{matrix.EndedWall: 71, matrix.EndedCPU: 71, matrix.Exited: 72} {
			for limit, reused := range map[time.Duration]int{time.Millisecond: want, 100 * time.Hour: 72} {
				earlier := first.recorded()
				for i := range earlier {
					if account := &earlier[i].Evidence.Account; earlier[i].Evidence.Cell.String() == "a@one/raw/g/simple/plain" {
						account.Ending, account.Wall, account.User = ending, limit, limit
					}
				}
				options := options(t, fake.Script{}, &memory{})
				options.Prior = prior{earlier, "run0"}
				footer, err := matrix.Run(t.Context(), options)
				require.NoError(t, err)
				assert.Equal(t, reused, footer.Reused, "%s after %v", ending, limit)
			}
		}
	})
	t.Run("another image", func(t *testing.T) {
		options := options(t, fake.Script{Digest: func(client matrix.Client) string { return "new" }}, &memory{})
		options.Prior = prior{first.recorded(), "run0"}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Zero(t, footer.Reused)
	})
	t.Run("another confinement", func(t *testing.T) {
		options := options(t, fake.Script{Confinement: "new"}, &memory{})
		options.Prior = prior{first.recorded(), "run0"}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Zero(t, footer.Reused)
	})
	t.Run("another grant", func(t *testing.T) {
		second := &memory{}
		options := options(t, fake.Script{}, second)
		options.Prior = prior{first.recorded(), "run0"}
		needs := &matrix.Needs{Personality: []uint32{0x40000}, Reason: "it turns its own address space randomization off"}
		for i := range options.Plan.Clients {
			options.Plan.Clients[i].Target.Needs = needs
		}
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Zero(t, footer.Reused)
		for _, line := range second.lines {
			if line.Client != nil {
				assert.Equal(t, needs, line.Client.Granted, "the record says what it was given")
			}
		}
	})
	t.Run("resumed", func(t *testing.T) {
		second := &memory{}
		options := options(t, fake.Script{}, second)
		options.Resumed, options.Prior = true, prior{first.recorded()[:8], ""}
		options.Header.Environment = first.lines[0].Header.Environment
		footer, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		assert.Equal(t, 72, footer.Attempts)
		assert.Len(t, second.recorded(), 72+3-8, "what is recorded is not recorded again")
		assert.NotEqual(t, matrix.LineHeader, second.lines[0].Type)
	})
}

func TestResumedElsewhereIsRefused(t *testing.T) {
	record := &memory{}
	options := options(t, fake.Script{Cores: 4}, record)
	options.Resumed = true
	options.Header.Environment = matrix.Environment{Host: "fake", Cores: 2, Engine: "fake", EndpointDigest: "fake-endpoint"}
	_, err := matrix.Run(t.Context(), options)
	require.EqualError(t, err, "run run1 was begun on something else: its number of cores was 2 and is 4; start a new run, which reuses what it may")
	assert.Empty(t, record.lines, "the record has one environment, which would not be that of what follows")
	assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
}

// Whole runs with other techniques beside a cell attempt it more often than a run
// of the cell alone needs. What they saw go wrong must not be passed over.
func TestReuseCountsAllThatIsRecorded(t *testing.T) {
	const name = "a@one/raw/g/thread/plain"
	first := &memory{}
	long := options(t, fake.Script{Answer: only(name, func(attempt fake.Attempt) (fake.Answer, error) {
		if attempt.Number > 18 {
			return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "late"}), nil
		}
		return fake.Passing(t.Context(), attempt)
	})}, first)
	long.Repeat = 20
	_, err := matrix.Run(t.Context(), long)
	require.NoError(t, err)

	second := &memory{}
	short := options(t, fake.Script{}, second)
	short.Prior = prior{first.recorded(), "run0"}
	_, err = matrix.Run(t.Context(), short)
	require.NoError(t, err)
	verdict := second.verdicts()[name]
	assert.Equal(t, matrix.Flaky, verdict.Outcome, "%s", verdict.Reason)
	assert.Equal(t, 20, verdict.Attempts)
	assert.Equal(t, 18, verdict.Passes)
}

func TestCancelledRunHasNoFooterAndLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	record := &memory{}
	options := options(t, fake.Script{Answer: only("a@one/raw/g/thread/plain", func(attempt fake.Attempt) (fake.Answer, error) {
		cancel()
		return fake.Answer{}, ctx.Err()
	})}, record)
	_, err := matrix.Run(ctx, options)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
	for _, line := range record.lines {
		assert.NotEqual(t, matrix.LineFooter, line.Type)
		if line.Attempt != nil {
			assert.NotEqual(t, matrix.Error, line.Attempt.Finding.Outcome, "an attempt that was cut short is not recorded")
		}
	}
}

func TestFullDiskEndsTheRun(t *testing.T) {
	full := errors.New("no space left on device")
	options := options(t, fake.Script{}, &memory{fail: full, after: 9})
	_, err := matrix.Run(t.Context(), options)
	require.ErrorIs(t, err, full)
	assert.Zero(t, options.Runtime.(*fake.Runtime).Open())
}

// company notes which attempts had others beside them.
type company struct {
	mu      sync.Mutex
	running map[string]int // attempts under way, by client and feature
	most    int
	beside  map[string]bool // "client feature number" of attempts that did not have the machine to themselves
}

func (c *company) watch(attempt fake.Attempt, answer func() (fake.Answer, error)) (fake.Answer, error) {
	name := fmt.Sprintf("%s %s %s %d", attempt.Client, attempt.Feature, attempt.Technique, attempt.Number)
	c.mu.Lock()
	c.running[name]++
	c.most = max(c.most, len(c.running))
	if len(c.running) > 1 {
		for other := range c.running {
			c.beside[other] = true
		}
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, name)
	}()
	time.Sleep(time.Millisecond) // so that attempts meet
	return answer()
}

func newCompany() *company { return &company{running: map[string]int{}, beside: map[string]bool{}} }

func TestATimingDependentCellThatGoesWrongHasTheMachineToItself(t *testing.T) {
	seen := newCompany()
	_, record := runAll(t, fake.Script{Cores: 3, Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		return seen.watch(attempt, func() (fake.Answer, error) {
			answer, err := fake.Passing(ctx, attempt)
			if attempt.Feature == "g/thread" && attempt.Client.Target == "a@one" {
				answer = fake.Dies(attempt, "SIGSEGV")
			}
			answer.Account.User = answer.Account.Wall
			return answer, err
		})
	}})
	assert.Equal(t, 3, seen.most, "as many at once as there are cores for")
	alone := 0
	for _, attempt := range record.attempts() {
		cell := attempt.Evidence.Cell
		name := fmt.Sprintf("%s %s %s %d", cell.Client(), cell.Feature, cell.Technique, attempt.Number)
		// Once: what goes wrong alone is no fault of others, who need not wait for the rest.
		if wrong := cell.Target == "a@one" && cell.Feature == "g/thread"; wrong && attempt.Number == 2 {
			alone++
			assert.False(t, attempt.Shared, name)
		} else {
			assert.True(t, attempt.Shared, name)
		}
		if !attempt.Shared {
			assert.False(t, seen.beside[name], name)
		}
	}
	assert.Equal(t, 2*2, alone, "each binding's techniques")
	assert.Equal(t, 11, record.verdicts()["a@one/raw/g/thread/plain"].Attempts)
}

// The others are stopped once for what of a group must be alone, which comes when
// all else of it has been attempted.
func TestAttemptsThatMustBeAloneArePutOff(t *testing.T) {
	_, record := runAll(t, fake.Script{Cores: 2, Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		if attempt.Feature == "g/thread" && attempt.Client.String() == "a@one/raw" {
			return fake.Dies(attempt, "SIGSEGV"), nil
		}
		return fake.Passing(ctx, attempt)
	}})
	var order []string
	for _, attempt := range record.attempts() {
		if cell := attempt.Evidence.Cell; cell.Client().String() == "a@one/raw" && attempt.Number <= 3 && !attempt.Traced {
			order = append(order, fmt.Sprintf("%s %s %d %t", cell.Feature, cell.Technique, attempt.Number, attempt.Shared))
		}
	}
	assert.Equal(t, []string{
		"g/simple plain 1 true",
		"g/thread plain 1 true", "g/thread mended 1 true",
		"g/thread plain 2 false", "g/thread mended 2 false",
		"g/thread plain 3 true", "g/thread mended 3 true",
		// In doubt for the company of its group, and then the next group.
		"g/simple plain 2 true", "g/simple plain 3 true",
		"h/lane plain 1 true",
	}, order)
	for _, technique := range []string{"plain", "mended"} {
		verdict := record.verdicts()["a@one/raw/g/thread/"+technique]
		assert.Equal(t, matrix.Crash, verdict.Outcome)
		assert.Equal(t, 11, verdict.Attempts)
	}
}

// A hang that comes of the company is none: it does not count, until one alone
// shows that it is no such. What sleeps is not kept from running by others, and
// need not be alone; but once is no proof of it either.
func TestAHangBesideOthersIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		always         bool
		again          int // it hangs the first time, and then in this attempt
		cpu            time.Duration
		state          string // of its one thread when its time was up
		counted, alone []bool
	}{
		"only beside others":      {cpu: time.Second},
		"asleep only once":        {},
		"asleep, now and then":    {again: 7},
		"computing, now and then": {again: 7, cpu: time.Second},
		"alone too": {always: true, cpu: time.Second,
			counted: []bool{false, true, true, true}, alone: []bool{false, true, false, false}},
		"kept waiting": {always: true, cpu: 100 * time.Millisecond,
			counted: []bool{false, true, true, true}, alone: []bool{false, true, false, false}},
		"ready to run, on a busy machine": {always: true, cpu: time.Millisecond, state: matrix.StateRunning,
			counted: []bool{false, true, true, true}, alone: []bool{false, true, false, false}},
		"asleep": {always: true, state: "asleep in futex", cpu: 99 * time.Millisecond,
			counted: []bool{false, true, true, true}, alone: []bool{false, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			record := &memory{}
			options := options(t, fake.Script{Answer: only("a@one/raw/g/simple/plain", func(attempt fake.Attempt) (fake.Answer, error) {
				if test.always || attempt.Number == 1 || attempt.Number == test.again {
					dossier := &matrix.Dossier{Threads: []matrix.ThreadState{{ID: 1, State: test.state}}}
					return fake.Answer{Account: matrix.Account{Ending: matrix.EndedWall, Wall: time.Second, User: test.cpu, Dossier: dossier}}, nil
				}
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingDone}), nil
			})}, record)
			_, err := matrix.Run(t.Context(), options)
			require.NoError(t, err)
			verdict := record.verdicts()["a@one/raw/g/simple/plain"]
			var counted, alone []bool
			for _, attempt := range record.attempts() {
				if attempt.Evidence.Cell.String() == "a@one/raw/g/simple/plain" {
					counted, alone = append(counted, attempt.Counts()), append(alone, !attempt.Shared)
				}
			}
			switch {
			case test.always:
				assert.Equal(t, matrix.Hang, verdict.Outcome)
				assert.Equal(t, 3, verdict.Attempts)
				assert.Equal(t, test.counted, counted)
				assert.Equal(t, test.alone, alone)
			case test.again > 0:
				assert.Equal(t, matrix.Flaky, verdict.Outcome)
				assert.Equal(t, 20, verdict.Attempts)
				assert.Equal(t, 19, verdict.Passes)
			default:
				assert.Equal(t, matrix.Pass, verdict.Outcome)
				assert.Equal(t, 20, verdict.Attempts, "one that hung once passes by more than luck")
			}
		})
	}
}

func TestTheFooterHasTheLowerBound(t *testing.T) {
	footer, _ := runAll(t, fake.Script{Cores: 2, Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		answer, err := fake.Passing(ctx, attempt)
		answer.Account.User, answer.Account.System, answer.Account.Supervision = 3*time.Second, time.Second, 2*time.Second
		return answer, err
	}})
	require.NotNil(t, footer.Bound)
	attempts := footer.Attempts + 6 // the negative probes
	assert.Equal(t, time.Duration(attempts)*6*time.Second, footer.Bound.CPU)
	assert.Equal(t, footer.Bound.CPU/2, footer.Bound.Lower, "the fake's wall time is nothing against that")
	assert.Equal(t, 2, footer.Bound.Cores)
	assert.InDelta(t, footer.Bound.Wall.Seconds()/footer.Bound.Lower.Seconds(), footer.Bound.Ratio, 1e-9)
	assert.NotEmpty(t, footer.Bound.Longest)
	assert.Positive(t, footer.Bound.Chain)
}

func TestSeedsAreReproducible(t *testing.T) {
	seeds := func(seed uint64) map[string]uint64 {
		record := &memory{}
		options := options(t, fake.Script{}, record)
		options.Header.Seed = seed
		_, err := matrix.Run(t.Context(), options)
		require.NoError(t, err)
		found := map[string]uint64{}
		for _, attempt := range record.attempts() {
			found[fmt.Sprint(attempt.Evidence.Cell, attempt.Number)] = attempt.Evidence.Seed
			assert.Less(t, attempt.Evidence.Seed, uint64(1)<<32)
		}
		return found
	}
	assert.Equal(t, seeds(1), seeds(1))
	assert.NotEqual(t, seeds(1), seeds(2))
}

func TestPlan(t *testing.T) {
	count := func(selection matrix.Selection) (int, error) {
		plan, err := matrix.MakePlan(targets(), catalogue(), selection)
		return plan.Cells, err
	}
	t.Run("is stable", func(t *testing.T) {
		first, err := matrix.MakePlan(targets(), catalogue(), matrix.Selection{})
		require.NoError(t, err)
		second, err := matrix.MakePlan(targets(), catalogue(), matrix.Selection{})
		require.NoError(t, err)
		assert.Equal(t, first, second)
		assert.True(t, first.Clients[0].Control, "the control comes first")
	})
	for name, test := range map[string]struct {
		selection matrix.Selection
		cells     int
		problem   string
	}{
		"a group by its name":                             {matrix.Selection{Features: []string{"g"}}, 9, ""},
		"one target brings the control":                   {matrix.Selection{Targets: []string{"a"}, Features: []string{"h/lane"}}, 3, ""},
		"a variant":                                       {matrix.Selection{Targets: []string{"a@two"}, Bindings: []string{"raw"}}, 8, ""},
		"a technique leaves the control whole":            {matrix.Selection{Targets: []string{"a"}, Techniques: []string{"mended"}, Features: []string{"g/thread"}}, 4, ""},
		"a target's typing error":                         {matrix.Selection{Targets: []string{"aa"}}, 0, `no target matches "aa"; did you mean a or c?`},
		"a feature's typing error":                        {matrix.Selection{Features: []string{"g/tread"}}, 0, `no feature matches "g/tread"; did you mean g/thread?`},
		"a binding that is nowhere":                       {matrix.Selection{Bindings: []string{"nothing-like-it"}}, 0, `no binding matches "nothing-like-it"; there are high, libzmq, raw`},
		"parts that don't meet":                           {matrix.Selection{Targets: []string{"c"}, Bindings: []string{"high"}}, 0, "the selection matches no cell"},
		"exact cells bring their features of the control": {matrix.Selection{Cells: []string{"a@one/raw/g/thread/mended", "a@one/high/h/lane/plain"}}, 5, ""},
		"exact cells of another suite":                    {matrix.Selection{AllVariants: true, Cells: []string{"a@two/raw/h/lane/plain"}}, 2, ""},
		"an exact cell that the rest does not select":     {matrix.Selection{Bindings: []string{"high"}, Cells: []string{"a@one/high/h/lane/plain", "a@one/raw/h/lane/plain"}}, 0, "of the 2 cells that are named 1 are not among those that the rest of the selection gives"},
		"an exact cell that does not exist":               {matrix.Selection{Cells: []string{"a@one/raw/h/lane/mended"}}, 0, "the selection matches no cell"},
		"an exact cell that is none":                      {matrix.Selection{Cells: []string{"a@one/raw"}}, 0, "want TARGET/BINDING/GROUP/FEATURE"},
		"cells to skip":                                   {matrix.Selection{Features: []string{"g"}, Skip: []string{"a/raw/g/thread", "a@one/high/g/*/plain"}}, 5, ""},
		"all cells to skip":                               {matrix.Selection{Skip: []string{"*/*/*/*"}}, 0, "the selection matches no cell"},
		"a cell to skip that the rest does not select":    {matrix.Selection{Features: []string{"h"}, Skip: []string{"a@one/raw/g/thread"}}, 0, `no selected cell matches "a@one/raw/g/thread"`},
		"the beginning of cells to skip":                  {matrix.Selection{Features: []string{"g"}, Skip: []string{"a/raw"}}, 6, ""},
		"a typing error in cells to skip":                 {matrix.Selection{Skip: []string{"a/row/g"}}, 0, `no selected cell matches "a/row/g"; did you mean a/raw/g`},
		"a cell to skip that is none":                     {matrix.Selection{Skip: []string{"a/raw/g/thread/plain/x"}}, 0, "want TARGET/BINDING/GROUP/FEATURE"},
		"a broken glob of a cell to skip":                 {matrix.Selection{Skip: []string{"a@one/[x/g/*"}}, 0, `cell "a@one/[x/g/*": "[x" is no pattern: syntax error in pattern`},
		"a broken glob":                                   {matrix.Selection{Features: []string{"g/[x"}}, 0, "syntax error in pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			cells, err := count(test.selection)
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.cells, cells)
		})
	}
}

func TestSelectedHasTheControlOnlyWhereItWasAskedFor(t *testing.T) {
	selected := func(selection matrix.Selection) (names []string) {
		clients, err := matrix.Selected(targets(), catalogue(), selection)
		require.NoError(t, err)
		for _, client := range clients {
			assert.False(t, client.Control)
			for _, cell := range client.Cells {
				names = append(names, cell.String())
			}
		}
		return names
	}
	assert.Equal(t, []string{"a@one/raw/g/thread/mended"}, selected(matrix.Selection{Bindings: []string{"raw"}, Techniques: []string{"mended"}}))
	assert.Equal(t, []string{"a@one/raw/h/lane/plain", "a@one/high/h/lane/plain", "c@one/libzmq/h/lane/plain"}, selected(matrix.Selection{Features: []string{"h"}}))
	assert.Len(t, selected(matrix.Selection{Cells: []string{"a@one/raw/h/lane/plain"}}), 1)
}

func TestControlsThatWereNotAttemptedAreNotMisjudged(t *testing.T) {
	right := matrix.ControlResult{Name: "right", Expected: matrix.Crash, Outcome: matrix.Crash}
	wrong := matrix.ControlResult{Name: "wrong", Expected: matrix.Crash, Outcome: matrix.Pass}
	otherSignal := matrix.ControlResult{Name: "signal", Expected: matrix.Crash, Outcome: matrix.Crash, Misjudged: "the signal"}
	absent := matrix.ControlResult{Name: "absent", Expected: matrix.Pass, Outcome: matrix.NotRun}
	broken := matrix.ControlResult{Name: "broken", Expected: matrix.Pass, Outcome: matrix.Error}
	misjudged, unattempted := matrix.ControlsAmiss([]matrix.ControlResult{right, wrong, absent, otherSignal, broken})
	assert.Equal(t, []matrix.ControlResult{wrong, otherSignal}, misjudged)
	assert.Equal(t, []matrix.ControlResult{absent, broken}, unattempted)
}

func TestFramesOfARoleAreMadeFromItsSeed(t *testing.T) {
	single := matrix.SocketSpec{Seed: 9, Sizes: []int{3, 5000, 0}}
	assert.Equal(t, matrix.Payload(9, 4, 5000), single.AppendFrame(nil, 4, 0))
	assert.Equal(t, append([]byte("ab"), matrix.Payload(9, 3, 3)...), single.AppendFrame([]byte("ab"), 3, 0))
	assert.Empty(t, single.AppendFrame(nil, 5, 0))
	several := matrix.SocketSpec{Seed: 9, Sizes: []int{3, 5}, Parts: 3}
	assert.Equal(t, matrix.Payload(9, 2*16+1, 5), several.AppendFrame(nil, 2, 1))
}

func TestPayloadCheckValue(t *testing.T) {
	assert.Equal(t, []byte{0x00, 0x4f, 0xbf, 0xa4, 0x8d, 0x04, 0x93, 0xbd}, matrix.Payload(1, 0, 8))
	body := matrix.Payload(9, 3, 3*4093+5)
	for k := 4093; k < len(body); k++ {
		require.Equal(t, body[k-4093], body[k])
	}
}

// controlsIn are the planned clients that are the control, and the others.
func controlsIn(plan matrix.Plan) (controls, others []string) {
	for _, client := range plan.Clients {
		if client.Control {
			controls = append(controls, client.Client().String())
		} else {
			others = append(others, client.Client().String())
		}
	}
	return controls, others
}

func TestPlanHasTheControlInEverySelectedSuite(t *testing.T) {
	for _, row := range []struct {
		name             string
		selection        matrix.Selection
		controls, others []string
	}{
		{"default variants", matrix.Selection{}, []string{"c@one/libzmq"}, []string{"a@one/raw", "a@one/high"}},
		{"another suite alone", matrix.Selection{Targets: []string{"a@two"}}, []string{"c@two/libzmq"}, []string{"a@two/raw", "a@two/high"}},
		{"both suites", matrix.Selection{Targets: []string{"a@*"}, Bindings: []string{"raw"}}, []string{"c@one/libzmq", "c@two/libzmq"}, []string{"a@one/raw", "a@two/raw"}},
		{"all variants", matrix.Selection{AllVariants: true}, []string{"c@one/libzmq", "c@two/libzmq"}, []string{"a@one/raw", "a@one/high", "a@two/raw", "a@two/high"}},
		{"all variants of one target", matrix.Selection{AllVariants: true, Targets: []string{"a"}, Bindings: []string{"high"}}, []string{"c@one/libzmq", "c@two/libzmq"}, []string{"a@one/high", "a@two/high"}},
		{"a technique that the control has not", matrix.Selection{Techniques: []string{"mended"}, Bindings: []string{"raw"}}, []string{"c@one/libzmq"}, []string{"a@one/raw"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			known := targets()
			known[1].Techniques = nil
			plan, err := matrix.MakePlan(known, catalogue(), row.selection)
			require.NoError(t, err)
			controls, others := controlsIn(plan)
			assert.Equal(t, row.controls, controls)
			assert.Equal(t, row.others, others)
		})
	}
	known := targets()
	known[1].Variants = known[1].Variants[:1]
	plan, err := matrix.MakePlan(known, catalogue(), matrix.Selection{Targets: []string{"a@two"}})
	require.NoError(t, err)
	controls, _ := controlsIn(plan)
	assert.Equal(t, []string{"c@one/libzmq"}, controls, "in a suite without one, the default shows what this machine can do")
}

// runAll runs every variant under the script.
func runAll(t *testing.T, script fake.Script) (matrix.Footer, *memory) {
	record := &memory{}
	options := options(t, script, record)
	var err error
	options.Plan, err = matrix.MakePlan(targets(), catalogue(), matrix.Selection{AllVariants: true})
	require.NoError(t, err)
	footer, err := matrix.Run(t.Context(), options)
	require.NoError(t, err)
	return footer, record
}

func TestLayersComeFromTheControlOfTheSameSuite(t *testing.T) {
	red := map[string]bool{"c@two/libzmq": true, "a@one/raw": true, "a@two/raw": true}
	_, record := runAll(t, fake.Script{Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
		if attempt.Feature == "g/simple" && red[attempt.Client.String()] {
			return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "errno 1"}), nil
		}
		return fake.Passing(ctx, attempt)
	}})
	verdicts := record.verdicts()
	assert.Equal(t, matrix.LayerRuntime, verdicts["a@one/raw/g/simple/plain"].Layer)
	assert.Empty(t, verdicts["a@two/raw/g/simple/plain"].Layer, "that suite's control fails as well")
}

func TestAControlThatCantBeHadFailsNobodyWhereNothingElseRan(t *testing.T) {
	unavailable := func(clients ...string) fake.Script {
		return fake.Script{Prepare: func(_ context.Context, client matrix.Client) error {
			if slices.Contains(clients, client.String()) {
				return fmt.Errorf("%w: another suite", matrix.ErrUnavailable)
			}
			return nil
		}}
	}
	outcomes := func(footer matrix.Footer) map[matrix.Outcome]int {
		counts := map[matrix.Outcome]int{}
		for _, control := range footer.Controls {
			counts[control.Outcome]++
		}
		return counts
	}
	footer, _ := runAll(t, unavailable("c@two/libzmq", "a@two/raw", "a@two/high"))
	assert.Equal(t, map[matrix.Outcome]int{matrix.Pass: 4}, outcomes(footer))
	footer, _ = runAll(t, unavailable("c@two/libzmq", "a@two/raw"))
	assert.Equal(t, map[matrix.Outcome]int{matrix.Pass: 4, matrix.NotRun: 4}, outcomes(footer))
}
