package ci

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// eventsRun is a run in its own process, whose events are read as they come.
type eventsRun struct {
	cmd    *exec.Cmd
	events *bufio.Scanner
	stderr bytes.Buffer
}

func startRun(t *testing.T, dir string, env []string, args ...string) *eventsRun {
	return startCommand(t, command(t, dir, env, append([]string{"run", "--json"}, args...)...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *eventsRun {
	run := &eventsRun{cmd: cmd}
	run.cmd.Stderr = &run.stderr
	out, err := run.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, run.cmd.Start())
	run.events = bufio.NewScanner(out)
	run.events.Buffer(nil, 1<<20)
	return run
}

// next reads the next event; false at the end of the output.
func (r *eventsRun) next(t *testing.T) (eventLine, bool) {
	if !r.events.Scan() {
		return eventLine{}, false
	}
	var line eventLine
	require.NoError(t, json.Unmarshal(r.events.Bytes(), &line), "%s", r.events.Bytes())
	return line, true
}

// end reads what is left and returns the last event and the exit status.
func (r *eventsRun) end(t *testing.T) (last eventLine, status int) {
	for line, more := r.next(t); more; line, more = r.next(t) {
		last = line
	}
	r.cmd.Wait()
	return last, r.cmd.ProcessState.ExitCode()
}

func TestEventsHoldToTheirSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("schema", "events.json"))
	require.NoError(t, err)
	dir := t.TempDir()
	checkout(t, dir)
	run := startRun(t, dir, []string{"FAKE_ANSWERS=tiny@bookworm/cffi/callback=crash tiny@bookworm/pzmq/=unavailable"})
	seen := map[string]int{}
	for line, more := run.next(t); more; line, more = run.next(t) {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(run.events.Bytes()))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(instance), "%s", run.events.Bytes())
		seen[line.Event]++
	}
	require.NoError(t, run.cmd.Wait(), "%s", run.stderr.String())
	assert.Equal(t, 1, seen["started"])
	assert.Equal(t, 3, seen["preparing"])
	assert.Equal(t, 3, seen["prepared"])
	assert.Equal(t, 14, seen["verdict"])
	assert.Equal(t, 1, seen["finished"])
	assert.Positive(t, seen["attempting"])
	assert.GreaterOrEqual(t, seen["attempt"], seen["attempting"])
}

// TestInterruptStopsCleanly sends a signal at several moments of a run.
func TestInterruptStopsCleanly(t *testing.T) {
	// A test that is itself run under nohup would hand its deafness for
	// hangups down, which the command respects.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	for _, test := range []struct {
		event  string
		after  int // the how manieth such event
		signal os.Signal
	}{
		{"started", 1, syscall.SIGINT},
		{"preparing", 2, syscall.SIGINT},
		{"prepared", 1, syscall.SIGTERM},
		{"attempting", 1, syscall.SIGINT},
		{"attempting", 7, syscall.SIGHUP},
		{"verdict", 3, syscall.SIGINT},
	} {
		t.Run(fmt.Sprintf("%v_at_%s_%d", test.signal, test.event, test.after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			checkout(t, dir)
			open := filepath.Join(dir, "open")
			slow := []string{"FAKE_SLOW=20ms", "FAKE_OPEN=" + open}
			if test.event == "started" || test.event == "preparing" {
				slow[0] = "FAKE_SLOW=10m" // the signal comes before it matters
			}
			run := startRun(t, dir, slow)
			for n := 0; n < test.after; {
				line, more := run.next(t)
				require.True(t, more, "the run ended before the signal: %s", run.stderr.String())
				if line.Event == test.event {
					n++
				}
			}
			began := time.Now()
			require.NoError(t, run.cmd.Process.Signal(test.signal))
			last, status := run.end(t)
			assert.Less(t, time.Since(began), patience)
			assert.Equal(t, exitHarness, status, "%s", run.stderr.String())
			assert.Equal(t, "finished", last.Event)
			assert.Nil(t, last.Footer)
			assert.NoFileExists(t, open, "the runtime was closed")
			assert.NotContains(t, run.stderr.String(), "left open")
			assert.Contains(t, run.stderr.String(), "interrupted")
			if strings.Contains(run.stderr.String(), "before anything was recorded") {
				return
			}
			assert.Contains(t, run.stderr.String(), "resume with: zmqmatrix run --resume 2")
			resumed := startRun(t, dir, nil, "--resume", "last")
			last, status = resumed.end(t)
			assert.Zero(t, status, "%s", resumed.stderr.String())
			require.NotNil(t, last.Footer)
			assert.Equal(t, 14, last.Footer.Counts[matrix.Pass])
		})
	}
}

func TestSecondInterruptGivesUp(t *testing.T) {
	dir := t.TempDir()
	checkout(t, dir)
	run := startRun(t, dir, []string{"FAKE_SLOW=10m", "FAKE_STUBBORN=1"})
	for line, more := run.next(t); line.Event != "attempting"; line, more = run.next(t) {
		require.True(t, more)
	}
	require.NoError(t, run.cmd.Process.Signal(syscall.SIGINT))
	ended := make(chan struct{})
	go func() { defer close(ended); run.end(t) }()
	ticker := time.NewTicker(sameSignal)
	defer ticker.Stop()
	for limit := time.After(patience); ; {
		select {
		case <-ended:
			assert.Equal(t, exitHarness, run.cmd.ProcessState.ExitCode())
			return
		case <-limit:
			require.NoError(t, run.cmd.Process.Kill())
			t.Fatal("the second signal did not end the process")
		case <-ticker.C:
			run.cmd.Process.Signal(syscall.SIGINT)
		}
	}
}

func TestReaderThatGoesAwayStopsTheRun(t *testing.T) {
	dir := t.TempDir()
	checkout(t, dir)
	open := filepath.Join(dir, "open")
	cmd := command(t, dir, []string{"FAKE_SLOW=20ms", "FAKE_OPEN=" + open}, "run", "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = bufio.NewReaderSize(out, 16).ReadByte()
	require.NoError(t, err)
	require.NoError(t, out.Close())
	cmd.Wait()
	assert.Equal(t, exitHarness, cmd.ProcessState.ExitCode(), "%s", stderr.String())
	assert.Contains(t, stderr.String(), "writing events to standard output")
	assert.NoFileExists(t, open)
}

// TestKillLosesNoFinishedAttempt kills a run at random moments and resumes it
// until it is complete: every attempt that was in the record stays there and is
// not made again.
func TestKillLosesNoFinishedAttempt(t *testing.T) {
	dir := t.TempDir()
	checkout(t, dir)
	begun := filepath.Join(dir, "begun")
	env := []string{"FAKE_SLOW=2ms", "FAKE_LOG=" + begun, "FAKE_ANSWERS=tiny@bookworm/pzmq/=fail tiny@bookworm/cffi/callback=crash"}
	random := rand.New(rand.NewPCG(1, uint64(os.Getpid())))
	type numbered struct {
		cell   matrix.Cell
		number int
		traced bool
	}
	var record string
	recorded := map[numbered]time.Time{}
	kills := 0
	args := []string{"--seed", "1"}
	for complete := false; !complete; {
		run := startRun(t, dir, env, args...)
		// Each process makes a few new attempts, and dies a few events after
		// the last.
		attempts, events := random.IntN(7), 1+random.IntN(6)
		for events > 0 {
			line, more := run.next(t)
			if line.Event == "attempting" {
				attempts--
			}
			if attempts <= 0 {
				events--
			}
			if record == "" && line.Event == "started" {
				record = filepath.Join(line.Dir, measure.RecordName)
			}
			if complete = line.Event == "finished"; complete || !more {
				break
			}
		}
		if !complete {
			require.NoError(t, run.cmd.Process.Kill())
			kills++
			require.Less(t, kills, 200, "the run goes on")
		}
		_, status := run.end(t)
		if complete {
			require.Zero(t, status, "%s", run.stderr.String())
		}
		if state, err := results.Inspect(record); err == nil && state.Header.Run != "" {
			args = []string{"--resume", "last"}
			// Killed after the footer, before it could say so.
			complete = complete || state.Footer != nil
		} else {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "results")))
			record = ""
			continue
		}
		now := map[numbered]time.Time{}
		for line, err := range results.ReadRecord(record) {
			require.NoError(t, err)
			if line.Type == matrix.LineAttempt {
				key := numbered{line.Attempt.Evidence.Cell, line.Attempt.Number, line.Attempt.Traced}
				require.NotContains(t, now, key, "an attempt is recorded twice")
				now[key] = line.Attempt.Started
			}
		}
		for key, started := range recorded {
			require.True(t, started.Equal(now[key]), "%v was recorded and is not any more", key)
		}
		recorded = now
	}
	log, err := os.ReadFile(begun)
	require.NoError(t, err)
	made := strings.Count(string(log), "\n") // but for the negative probes
	maps.DeleteFunc(recorded, func(key numbered, _ time.Time) bool { return strings.HasPrefix(key.cell.Feature, "zz") })
	t.Logf("%d kills, %d attempts recorded, %d begun", kills, len(recorded), made)
	// Two clients at a time: so many attempts can be under way at a kill.
	assert.LessOrEqual(t, made, len(recorded)+2*kills)
	assert.Positive(t, kills)

	untouched := t.TempDir()
	checkout(t, untouched)
	run := startRun(t, untouched, env, "--seed", "1")
	_, status := run.end(t)
	require.Zero(t, status)
	assert.Equal(t, verdictsOf(t, filepath.Join(untouched, "results")), verdictsOf(t, filepath.Join(dir, "results")))
}

// verdictsOf are the verdicts of the one run in an out directory.
func verdictsOf(t *testing.T, out string) map[matrix.Cell]matrix.Outcome {
	records, err := filepath.Glob(filepath.Join(out, "runs", "*", measure.RecordName))
	require.NoError(t, err)
	require.Len(t, records, 1)
	verdicts := map[matrix.Cell]matrix.Outcome{}
	for line, err := range results.ReadRecord(records[0]) {
		require.NoError(t, err)
		if line.Type == matrix.LineVerdict {
			verdicts[line.Verdict.Cell] = line.Verdict.Outcome
		}
	}
	return verdicts
}
