package matrixtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// control is what is measured beside everything.
const control = "reference@one/libzmq"

// attemptedCells are the subtests' names of what was attempted in the folder,
// without the controls that were not asked for.
func attemptedCells(t *testing.T, folder string, withControl bool) (names []string) {
	for _, line := range lines(t, folder, attemptedLog) {
		cell, err := matrix.ParseCell(line)
		require.NoError(t, err)
		if cell.Target != "controls@one" && (withControl || cell.Client().String() != control) {
			names = append(names, Name(cell))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestFlagsSelectAsPackageTestingDoes has package testing choose among all names,
// and compares what is attempted with the same flags.
func TestFlagsSelectAsPackageTestingDoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flags []string
		cells int
	}{
		{nil, 14},
		{[]string{"-run=TestMatrix"}, 14},
		{[]string{"-run=TestMatrix/tiny.*/zero-copy"}, 2},
		{[]string{"-run=TestMatrix/tiny.*/zero"}, 2},
		{[]string{"-run=TestMatrix/cffi"}, 5},
		{[]string{"-run=TestMatrix/,cffi$/callback"}, 3},
		{[]string{"-run=^TestMatrix$/^tiny@one,pzmq$/^callback$/^foreign-thread$/^plain$"}, 1},
		{[]string{"-run=TestMatrix/./messaging/req-rep"}, 3},
		{[]string{"-run=TestMatrix/.//same"}, 3},
		{[]string{"-run=TestMatrix/tiny@one,(cffi|pzmq)/(zero-copy|messaging)"}, 4},
		{[]string{"-run=Nothing|TestMatrix/reference/messaging|TestMatrix/pzmq/zero-copy"}, 2},
		{[]string{"-run=TestMatrix/[,/]cffi"}, 5},
		{[]string{`-run=TestMatrix/tiny\@one/callback`}, 6},
		{[]string{"-run=TestMatrix/]|TestMatrix/pzmq/messaging"}, 1},
		{[]string{"-run=TestMatrix/pzmq/messaging/req-rep/plain/deeper"}, 1},
		{[]string{"-run=TestMatrix/tiny/call back"}, 0},
		{[]string{"-run=TestMatrix/nowhere"}, 0},
		{[]string{"-skip=TestMatrix/tiny"}, 4},
		{[]string{"-skip=TestMatrix/./callback|TestMatrix/./zero-copy"}, 3},
		{[]string{"-skip=TestMatrix/pzmq/callback/foreign-thread/plain/deeper"}, 14},
		{[]string{"-skip=TestMatrix/pzmq/x/y/z/deeper|TestMatrix/pzmq"}, 9},
		{[]string{"-run=TestMatrix/cffi", "-skip=TestMatrix/./callback/foreign"}, 3},
	} {
		t.Run(strings.Join(test.flags, " "), func(t *testing.T) {
			t.Parallel()
			chosen := inner(t, t.TempDir(), "names", test.flags...)
			folder := t.TempDir()
			end := inner(t, folder, "green", test.flags...)
			require.Zero(t, end.code, end.output)
			assert.ElementsMatch(t, chosen.cells(""), end.cells("PASS"), end.output)
			assert.Len(t, end.cells("PASS"), test.cells, end.output)
			assert.Subset(t, attemptedCells(t, folder, true), end.cells("PASS"))
			asked := slices.DeleteFunc(end.cells("PASS"), func(name string) bool { return strings.HasPrefix(name, "reference") })
			assert.ElementsMatch(t, asked, attemptedCells(t, folder, false), "no more than that is attempted")
		})
	}
}

func TestWhatIsLeftOutIsNotPrepared(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	end := inner(t, folder, "green", "-run=TestMatrix/tiny.*,cffi/zero-copy")
	require.Zero(t, end.code, end.output)
	assert.ElementsMatch(t, []string{"tiny@one/cffi", control, "controls@one/bad"}, lines(t, folder, preparedLog), "each once")
	assert.ElementsMatch(t, []string{"tiny@one/cffi/zero-copy/wire/plain", control + "/zero-copy/wire/plain", "controls@one/bad/callback/same-thread/dies"},
		lines(t, folder, attemptedLog))
	assert.NoFileExists(t, filepath.Join(folder, openMark))
}

func TestNothingIsOpenedForNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	end := inner(t, folder, "green", "-run=TestMatrix/sbcl")
	assert.Zero(t, end.code, end.output)
	assert.Equal(t, map[string]string{"TestMatrix": "SKIP"}, end.status)
	assert.Contains(t, end.output, `no cell is left of 14 by -run "TestMatrix/sbcl"; a subtest is named like TestMatrix/reference@one,libzmq/callback/foreign-thread/plain`)
	assert.Empty(t, lines(t, folder, preparedLog))
	assert.NoDirExists(t, filepath.Join(folder, "zmqmatrix-results"))
}

func TestSubtestsSay(t *testing.T) {
	t.Parallel()
	const pzmq = "tiny@one,pzmq/zero-copy/wire/plain"
	for _, test := range []struct {
		scenario, cell, status string
		failed                 []string // all that failed
		says, never            []string
	}{
		{"crash", pzmq, "FAIL", []string{pzmq}, []string{
			"crash: died of SIGSEGV", "requirement what zero-copy/wire requires", "layer       binding", "evidence    /",
			"again       zmqmatrix run --fresh --target tiny@one --binding pzmq --feature zero-copy/wire --technique plain",
			"alone       go test -count=1 -run '^TestMatrix$/^tiny@one,pzmq$/^zero-copy$/^wire$/^plain$'",
		}, []string{"techniques"}},
		{"mended", "tiny@one,cffi/callback/foreign-thread/plain", "SKIP", nil, []string{
			"crash: died of SIGSEGV", "the feature's verdict is that of its best technique, unblock-signals: pass", "techniques  plain crash, unblock-signals pass",
		}, nil},
		{"mended", "tiny@one,cffi/callback/foreign-thread/unblock-signals", "PASS", nil, []string{"pass, 20 of 20 attempts, the longest"}, nil},
		{"hopeless", "tiny@one,cffi/callback/foreign-thread/plain", "SKIP", []string{"tiny@one,cffi/callback/foreign-thread/unblock-signals"}, []string{
			"the feature's verdict is that of its best technique, unblock-signals: fail",
		}, nil},
		{"hopeless", "tiny@one,cffi/callback/foreign-thread/unblock-signals", "FAIL", []string{"tiny@one,cffi/callback/foreign-thread/unblock-signals"}, []string{
			"fail: errno 11", "techniques  plain crash, unblock-signals fail",
		}, nil},
		{"unsupported", pzmq, "SKIP", nil, []string{"unsupported: pzmq has no such thing"}, []string{"evidence "}},
		{"unavailable", pzmq, "SKIP", nil, []string{"not-run: not available here: no licence was given"}, []string{"evidence "}},
		{"error", pzmq, "FAIL", []string{pzmq}, []string{"error of the harness, which says nothing of the client: ", "the warden does not answer"}, nil},
		{"hostile", pzmq, "FAIL", []string{pzmq}, []string{`fail: \x1b[2J`}, []string{"\x1b", "\n::error", " ::error", "\n--- PASS: TestMatrix (0.00s)\n"}},
	} {
		t.Run(test.scenario+" "+test.cell, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			end := inner(t, folder, test.scenario)
			assert.Equal(t, test.status, end.status["TestMatrix/"+test.cell], end.output)
			assert.ElementsMatch(t, test.failed, end.cells("FAIL"))
			assert.Equal(t, len(test.failed) > 0, end.code != 0)
			for _, text := range test.says {
				assert.Contains(t, end.output, text)
			}
			for _, text := range test.never {
				assert.NotContains(t, end.output, text)
			}
			evidence := filepath.Join(folder, "zmqmatrix-results", "runs", "*", "evidence", strings.ReplaceAll(test.cell, "/", ".")+".txt")
			files, err := filepath.Glob(evidence)
			require.NoError(t, err)
			if slices.Contains(test.failed, test.cell) {
				require.Len(t, files, 1)
				text, err := os.ReadFile(files[0])
				require.NoError(t, err)
				assert.Contains(t, string(text), "requirement")
				assert.Contains(t, end.output, files[0])
			}
			assert.NoFileExists(t, filepath.Join(folder, openMark))
		})
	}
}

func TestAMisjudgedControlFailsTheWhole(t *testing.T) {
	t.Parallel()
	for scenario, text := range map[string]string{
		"good-control":  "the run is invalid, no verdict of it can be believed: the control controls@one/bad/callback/same-thread/dies must be crash and is pass",
		"bad-reference": "the run is invalid, no verdict of it can be believed: the control reference@one/libzmq/messaging/req-rep/plain must be pass and is fail: errno 11",
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			end := inner(t, t.TempDir(), scenario, "-run=TestMatrix/tiny")
			assert.Equal(t, 1, end.code)
			assert.Equal(t, "FAIL", end.status["TestMatrix"])
			assert.Contains(t, end.output, text)
		})
	}
}

func TestIfNothingCanBeHadTheTestIsSkipped(t *testing.T) {
	t.Parallel()
	end := inner(t, t.TempDir(), "only-not-run")
	assert.Zero(t, end.code, end.output)
	assert.Equal(t, "SKIP", end.status["TestMatrix"])
	assert.Contains(t, end.output, "nothing ran, no selected client can be had here:")
	assert.Contains(t, end.output, "tiny@one/pzmq: not available here: no licence was given")
	assert.Len(t, end.cells("SKIP"), 10)
}

func TestShortLeavesOneFeatureOfEachGroup(t *testing.T) {
	t.Parallel()
	end := inner(t, t.TempDir(), "green", "-short")
	require.Zero(t, end.code, end.output)
	var names []string
	for _, client := range []string{"reference@one,libzmq", "tiny@one,cffi", "tiny@one,pzmq"} {
		for _, feature := range []string{"callback/same-thread", "zero-copy/wire", "messaging/req-rep"} {
			names = append(names, client+"/"+feature+"/plain")
		}
	}
	assert.ElementsMatch(t, names, end.cells(""))
}

func TestOptionsChooseCells(t *testing.T) {
	t.Parallel()
	end := inner(t, t.TempDir(), "chosen")
	require.Zero(t, end.code, end.output)
	assert.Equal(t, []string{"tiny@one,pzmq/messaging/req-rep/plain"}, end.cells(""))
}

func TestAMistakeFailsBeforeAnythingIsPrepared(t *testing.T) {
	t.Parallel()
	for scenario, text := range map[string]string{
		"less-than-none": "Options.Repeat is -1: want at least 1",
		"no-such":        `no binding matches "pzqm"; did you mean pzmq?`,
		"no-engine":      `there is no runtime "dokcer"; there are fake, and auto for the first of them that can be used`,
	} {
		t.Run(scenario, func(t *testing.T) {
			folder := t.TempDir()
			end := inner(t, folder, scenario)
			assert.Equal(t, map[string]string{"TestMatrix": "FAIL"}, end.status)
			assert.Contains(t, end.output, text)
			assert.Empty(t, lines(t, folder, preparedLog))
		})
	}
}

func TestRunIsCalledOnceInATest(t *testing.T) {
	t.Parallel()
	end := inner(t, t.TempDir(), "twice", "-run=TestMatrix/tiny@one,pzmq$")
	assert.Equal(t, 1, end.code)
	assert.Contains(t, end.output, "5 of 5 cells were measured and have no subtest: is matrixtest.Run called twice in TestMatrix?")
}

func TestAttemptsAreReusedUntilCounted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const one = "-run=TestMatrix/tiny@one,pzmq/zero-copy"
	attempts := func(flags ...string) []string {
		require.NoError(t, os.RemoveAll(filepath.Join(folder, attemptedLog)))
		require.NoError(t, os.RemoveAll(filepath.Join(folder, startedLog)))
		end := inner(t, folder, "green", append(flags, one)...)
		require.Zero(t, end.code, end.output)
		return lines(t, folder, attemptedLog)
	}
	assert.Len(t, attempts(), 3, "the cell and the controls'")
	assert.Len(t, lines(t, folder, startedLog), 3)
	assert.Empty(t, attempts(), "nothing has changed")
	assert.Empty(t, lines(t, folder, startedLog), "nor is anything started for it")
	assert.Equal(t, []string{"tiny@one/pzmq/zero-copy/wire/plain"}, attempts("-count=1"), "the cell afresh")
	assert.Equal(t, []string{"tiny@one/pzmq"}, lines(t, folder, startedLog))
	assert.Len(t, attempts("-count=3"), 3, "each time")
}

func TestExpectationsHold(t *testing.T) {
	t.Parallel()
	const rule = "schema: zmqmatrix/expect/v1\nrules:\n  - cells: tiny/pzmq/zero-copy/wire\n    outcome: %s\n    reason: the array moves\n    issue: https://example.org/7\n%s"
	const cell = "TestMatrix/tiny@one,pzmq/zero-copy/wire/plain"
	for _, test := range []struct {
		name, scenario, rules, status string
		says                          []string
	}{
		{"a_known_failure_is_skipped", "crash", fmt.Sprintf(rule, "crash", ""), "SKIP", []string{"crash: died of SIGSEGV", "known as crash: the array moves (zmqmatrix.expect.yaml:3, https://example.org/7)"}},
		{"another_failure_than_the_known_one_fails", "crash", fmt.Sprintf(rule, "hang", ""), "FAIL", []string{"otherwise than known as hang: the array moves"}},
		{"an_unexpected_pass_is_told", "green", fmt.Sprintf(rule, "crash", ""), "PASS", []string{"that is not expected: known as crash: the array moves"}},
		{"an_unexpected_pass_fails_where_the_rule_is_strict", "green", fmt.Sprintf(rule, "crash", "    strict: true\n"), "FAIL", []string{"the rule can go"}},
		{"what_was_demanded_fails", "unsupported", fmt.Sprintf(rule, "pass", ""), "FAIL", []string{"unsupported: pzmq has no such thing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "zmqmatrix.expect.yaml"), []byte(test.rules), 0o644))
			end := inner(t, folder, test.scenario, "-run=TestMatrix/pzmq")
			assert.Equal(t, test.status, end.status[cell], end.output)
			assert.Equal(t, test.status == "FAIL", end.code != 0)
			for _, text := range test.says {
				assert.Contains(t, end.output, text)
			}
		})
	}
	t.Run("a_mistake_in_them_fails_before_anything_is_prepared", func(t *testing.T) {
		folder := t.TempDir()
		mistaken := strings.Replace(fmt.Sprintf(rule, "crash", ""), "tiny/pzmq", "tiny/pzqm", 1)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "zmqmatrix.expect.yaml"), []byte(mistaken), 0o644))
		end := inner(t, folder, "green")
		assert.Equal(t, map[string]string{"TestMatrix": "FAIL"}, end.status)
		assert.Contains(t, end.output, "zmqmatrix.expect.yaml:3:")
		assert.Empty(t, lines(t, folder, preparedLog))
	})
	t.Run("a_rule_about_cells_that_run_leaves_out_is_no_mistake", func(t *testing.T) {
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "zmqmatrix.expect.yaml"), []byte(fmt.Sprintf(rule, "crash", "")), 0o644))
		end := inner(t, folder, "green", "-run=TestMatrix/cffi/messaging")
		assert.Zero(t, end.code, end.output)
	})
}

func TestARunEndsBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	end := inner(t, folder, "slow", "-timeout=10s")
	assert.Equal(t, 1, end.code)
	assert.NotContains(t, end.output, "panic: test timed out")
	assert.Contains(t, end.output, "stopped in time before go test's -timeout, with ")
	assert.Equal(t, "PASS", end.status["TestMatrix/tiny@one,cffi/messaging/req-rep/plain"], "what was decided is told")
	assert.Equal(t, "SKIP", end.status["TestMatrix/tiny@one,pzmq/messaging/req-rep/plain"])
	assert.Contains(t, end.output, "not decided: the run ended before")
	assert.NoFileExists(t, filepath.Join(folder, openMark), "the runtime was closed")
	record := theRecord(t, folder)
	state, err := results.Inspect(record)
	require.NoError(t, err)
	assert.Nil(t, state.Footer)
	assert.Positive(t, state.Attempts)

	before := len(lines(t, folder, attemptedLog))
	end = inner(t, folder, "green")
	assert.Zero(t, end.code, end.output)
	fresh := lines(t, folder, attemptedLog)[before:]
	assert.NotEmpty(t, fresh)
	for _, cell := range fresh {
		assert.True(t, strings.HasPrefix(cell, "tiny@one/pzmq/"), "the next run goes on: %s was attempted again", cell)
	}
}

func TestHowMuchIsLeftForCleanUp(t *testing.T) {
	t.Parallel()
	for left, grace := range map[time.Duration]time.Duration{
		10 * time.Minute: 30 * time.Second,
		time.Minute:      leastGrace,
		10 * time.Second: 5 * time.Second,
		-time.Second:     -500 * time.Millisecond,
	} {
		assert.Equal(t, grace, graceOf(left), "%s", left)
	}
}

func TestASignalStopsCleanlyAndEndsTheProcess(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	command := innerCommand(t, folder, "slow", "-run=TestMatrix/pzmq/messaging")
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	require.NoError(t, command.Start())
	begun := func() bool {
		return slices.Contains(lines(t, folder, attemptedLog), "tiny@one/pzmq/messaging/req-rep/plain")
	}
	require.Eventually(t, begun, 30*time.Second, 10*time.Millisecond)
	assert.FileExists(t, filepath.Join(folder, openMark))
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	command.Wait()
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	assert.Equal(t, syscall.SIGTERM, status.Signal(), "%s", output.String())
	assert.Contains(t, output.String(), "matrixtest: terminated: what is under way is ended and removed")
	assert.NoFileExists(t, filepath.Join(folder, openMark), "the runtime was closed")
}

func TestFailFastEndsTheRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// What hangs comes after the failure in the subtests' order.
	scenario := "fails-then-hangs"
	end := inner(t, folder, scenario, "-failfast")
	assert.Equal(t, 1, end.code)
	assert.Equal(t, []string{"tiny@one,cffi/callback/foreign-thread/unblock-signals"}, end.cells("FAIL"), end.output)
	assert.NotContains(t, end.cells(""), "tiny@one,pzmq/messaging/req-rep/plain")
	assert.NoFileExists(t, filepath.Join(folder, openMark))
}

func TestParallelIsHowManyAttemptsAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	end := inner(t, folder, "green", "-parallel=1")
	require.Zero(t, end.code, end.output)
	for line, err := range results.ReadRecord(theRecord(t, folder)) {
		require.NoError(t, err)
		if line.Type == matrix.LineAttempt {
			assert.False(t, line.Attempt.Shared, "nothing else was under way")
		}
	}
}

func TestArtifactsHaveTheEvidence(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	end := inner(t, folder, "crash", "-artifacts", "-outputdir="+folder)
	assert.Equal(t, 1, end.code)
	var found []string
	require.NoError(t, filepath.WalkDir(filepath.Join(folder, "_artifacts"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, filepath.Base(path))
		}
		return err
	}))
	assert.Equal(t, []string{"tiny@one,pzmq.zero-copy.wire.plain.txt"}, found)
}

func TestOldRunsOfTestsAreRemoved(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	runs := filepath.Join(folder, "zmqmatrix-results", "runs")
	for i := range keptRuns + 3 {
		dir := filepath.Join(runs, fmt.Sprintf("20200101T0000%02dZ-aaaaaa", i))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		if i != 1 { // that one somebody made with the command
			require.NoError(t, os.WriteFile(filepath.Join(dir, markName), []byte("TestMatrix\n"), 0o644))
		}
	}
	end := inner(t, folder, "chosen")
	require.Zero(t, end.code, end.output)
	left, err := os.ReadDir(runs)
	require.NoError(t, err)
	assert.Len(t, left, keptRuns+1)
	assert.Equal(t, "20200101T000001Z-aaaaaa", left[0].Name())
	assert.Equal(t, "20200101T000004Z-aaaaaa", left[1].Name())
	ignored, err := os.ReadFile(filepath.Join(folder, "zmqmatrix-results", ".gitignore"))
	require.NoError(t, err)
	assert.Equal(t, "*\n", string(ignored))
}

func theRecord(t *testing.T, folder string) string {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(folder, "zmqmatrix-results", "runs", "*", measure.RecordName))
	require.NoError(t, err)
	require.Len(t, records, 1)
	return records[0]
}
