package ci

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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

// soaking says that the long forms of tests are wanted: `make soak`.
func soaking() bool { return os.Getenv("ZMQMATRIX_SOAK") != "" }

// runningWith are the processes of a program whose environment has the text.
func runningWith(t *testing.T, text, program string) (found []int) {
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, entry := range entries {
		environment, err := os.ReadFile(entry)
		if err != nil || !bytes.Contains(environment, []byte(text)) {
			continue // another's, or one that has just ended
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(entry), "cmdline"))
		name, _, _ := bytes.Cut(command, []byte{0})
		if strings.HasPrefix(filepath.Base(string(name)), program) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
			require.NoError(t, err)
			found = append(found, pid)
		}
	}
	return found
}

// TestChaosOnTheHost kills runners, endpoints and wardens at random moments of
// small runs of the real C client. However a run was disturbed, once it is
// complete its record holds every attempt that ended, once, its verdicts are
// those of an undisturbed one, and nothing of it is left.
func TestChaosOnTheHost(t *testing.T) {
	kills := 12
	if soaking() {
		kills = 100
	}
	root, cache := shellModule(t, nil), t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(root, "targets", "c"), os.DirFS(filepath.Join("..", "targets", "c"))))
	arguments := []string{"run", "--json", "--runtime", "local", "--target", "c", "--feature", "messaging,callback/same-thread", "--repeat", "8", "--seed", "1"}
	start := func(args ...string) *eventsRun { return startCommand(t, realCommand(t, root, cache, nil, args...)) }

	undisturbed := start(append(arguments, "--out", "undisturbed")...)
	_, status := undisturbed.end(t)
	require.Zero(t, status, "%s", undisturbed.stderr.String())
	want := verdictsOf(t, filepath.Join(root, "undisturbed"))
	require.NotEmpty(t, want)

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(1, seed))
	t.Logf("seed %d", seed)
	died := map[string]int{}
	for round := 0; kills > 0; round++ {
		out := "disturbed-" + strconv.Itoa(round)
		args := append(arguments, "--out", out, "--fresh")
		recorded := map[matrix.Cell]map[int]time.Time{}
		for complete := false; !complete; {
			run := start(args...)
			last := eventLine{}
			for more := true; more; {
				for moment := 1 + random.IntN(25); moment > 0 && more; moment-- {
					var line eventLine
					if line, more = run.next(t); more {
						last = line
					}
				}
				if !more || kills == 0 {
					continue
				}
				victim := []string{"runner", "zmqmatrix-endpoint", "zmqmatrix-warden"}[random.IntN(3)]
				if victim == "runner" {
					require.NoError(t, run.cmd.Process.Kill())
				} else if pids := runningWith(t, cache, victim); len(pids) > 0 {
					// It may have ended by itself meanwhile.
					_ = syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL)
				} else {
					continue
				}
				died[victim]++
				kills--
			}
			rest, status := run.end(t)
			if rest.Event != "" {
				last = rest
			}
			// Killed, or complete with cells that lost too many attempts in a row:
			// a further run attempts those again.
			require.Contains(t, []int{-1, exitOK, exitHarness}, status, "%s", run.stderr.String())
			require.Eventually(t, func() bool { return len(processesWith(t, cache)) == 0 }, 20*time.Second, 20*time.Millisecond, "%v", processesWith(t, cache))

			records, err := filepath.Glob(filepath.Join(root, out, "runs", "*", measure.RecordName))
			require.NoError(t, err)
			if len(records) == 0 {
				continue // killed before anything was recorded
			}
			now := map[matrix.Cell]map[int]time.Time{}
			state, err := results.Inspect(records[len(records)-1])
			require.NoError(t, err)
			for line, err := range results.ReadRecord(records[len(records)-1]) {
				require.NoError(t, err)
				if line.Type != matrix.LineAttempt {
					continue
				}
				cell := line.Attempt.Evidence.Cell
				if now[cell] == nil {
					now[cell] = map[int]time.Time{}
				}
				require.NotContains(t, now[cell], line.Attempt.Number, "an attempt is recorded twice: %s", cell)
				now[cell][line.Attempt.Number] = line.Attempt.Started
			}
			for cell, attempts := range recorded {
				for number, started := range attempts {
					require.True(t, started.Equal(now[cell][number]), "attempt %d of %s was recorded and is not any more", number, cell)
				}
			}
			switch {
			case state.Header.Run == "":
				require.NoError(t, os.RemoveAll(filepath.Join(root, out)))
				args, recorded = append(arguments, "--out", out, "--fresh"), map[matrix.Cell]map[int]time.Time{}
			case state.Footer == nil:
				args, recorded = []string{"run", "--json", "--resume", "last", "--out", out}, now
			case state.Footer.Counts[matrix.Error] > 0:
				require.Positive(t, last.Footer.Counts[matrix.Error])
				require.NoError(t, os.RemoveAll(filepath.Join(root, out)))
				args, recorded = append(arguments, "--out", out, "--fresh"), map[matrix.Cell]map[int]time.Time{}
			default:
				complete = true
			}
		}
		assert.Equal(t, want, verdictsOf(t, filepath.Join(root, out)))
	}
	t.Logf("killed: %v", died)
	scratch, err := filepath.Glob(filepath.Join(cache, "zmqmatrix", "run-*"))
	require.NoError(t, err)
	if len(scratch) > 0 {
		// Of killed runners: the next start sweeps them.
		sweep := start(append(arguments, "--out", "sweep")...)
		_, status := sweep.end(t)
		require.Zero(t, status, "%s", sweep.stderr.String())
		scratch, err = filepath.Glob(filepath.Join(cache, "zmqmatrix", "run-*"))
		require.NoError(t, err)
	}
	assert.Empty(t, scratch)
	assert.Positive(t, died["runner"]+died["zmqmatrix-endpoint"]+died["zmqmatrix-warden"])
}
