package ci

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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

// controlModule is a tree of the module whose only target is the real C client.
func controlModule(t *testing.T) string {
	root := shellModule(t, nil)
	require.NoError(t, os.CopyFS(filepath.Join(root, "targets", "c"), os.DirFS(filepath.Join("..", "targets", "c"))))
	return root
}

// chaos is what disturbs small runs of the real C client, and how much.
type chaos struct {
	root  string   // of the runs' module
	flags []string // of run, that choose the runtime
	// start starts the command.
	start func(args ...string) *eventsRun
	// disturbances are by name; each breaks something of the run under way and
	// says whether there was anything to break.
	disturbances map[string]func(random *rand.Rand, run *eventsRun) bool
	times        int // disturbances in all
	// left is what is still there of runs that have ended, however they did;
	// it must become empty by itself.
	left func() []string
}

// killRunner is the disturbance that needs no runtime.
func killRunner(t *testing.T) func(*rand.Rand, *eventsRun) bool {
	return func(_ *rand.Rand, run *eventsRun) bool {
		require.NoError(t, run.cmd.Process.Kill())
		return true
	}
}

// disturb breaks what it may at random moments, and shows that, however a run
// was disturbed, once it is complete its record holds every attempt that ended,
// once, its verdicts are those of an undisturbed one, and nothing of it is left.
func (c chaos) disturb(t *testing.T) {
	arguments := append([]string{"run", "--json", "--target", "c", "--feature", "messaging,callback/same-thread", "--repeat", "8", "--seed", "1"}, c.flags...)
	undisturbed := c.start(append(arguments, "--out", "undisturbed")...)
	_, status := undisturbed.end(t)
	require.Zero(t, status, "%s", undisturbed.stderr.String())
	want := verdictsOf(t, filepath.Join(c.root, "undisturbed"))
	require.NotEmpty(t, want)

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(1, seed))
	t.Logf("seed %d", seed)
	var names []string
	for name := range c.disturbances {
		names = append(names, name)
	}
	slices.Sort(names)
	done := map[string]int{}
	for round, times := 0, c.times; times > 0; round++ {
		out := "disturbed-" + strconv.Itoa(round)
		args := append(arguments, "--out", out, "--fresh")
		recorded := map[matrix.Cell]map[int]time.Time{}
		for complete := false; !complete; {
			run := c.start(args...)
			last := eventLine{}
			for more := true; more; {
				for moment := 1 + random.IntN(25); moment > 0 && more; moment-- {
					var line eventLine
					if line, more = run.next(t); more {
						last = line
					}
				}
				if !more || times == 0 {
					continue
				}
				name := names[random.IntN(len(names))]
				if c.disturbances[name](random, run) {
					done[name]++
					times--
				}
			}
			rest, status := run.end(t)
			if rest.Event != "" {
				last = rest
			}
			// Killed, or complete with cells that lost too many attempts in a row:
			// a further run attempts those again.
			require.Contains(t, []int{-1, exitOK, exitHarness}, status, "%s", run.stderr.String())
			require.Eventually(t, func() bool { return len(c.left()) == 0 }, time.Minute, 20*time.Millisecond, "%v", c.left())

			records, err := filepath.Glob(filepath.Join(c.root, out, "runs", "*", measure.RecordName))
			require.NoError(t, err)
			if len(records) == 0 {
				continue // ended before anything was recorded
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
				require.NoError(t, os.RemoveAll(filepath.Join(c.root, out)))
				args, recorded = append(arguments, "--out", out, "--fresh"), map[matrix.Cell]map[int]time.Time{}
			case state.Footer == nil:
				args, recorded = []string{"run", "--json", "--resume", "last", "--out", out}, now
			case state.Footer.Counts[matrix.Error] > 0:
				if status != -1 { // not killed after its last line
					require.Equal(t, exitHarness, status, "%s", run.stderr.String())
					require.NotNil(t, last.Footer, "%s", run.stderr.String())
					require.Positive(t, last.Footer.Counts[matrix.Error])
				}
				require.NoError(t, os.RemoveAll(filepath.Join(c.root, out)))
				args, recorded = append(arguments, "--out", out, "--fresh"), map[matrix.Cell]map[int]time.Time{}
			default:
				complete = true
			}
		}
		assert.Equal(t, want, verdictsOf(t, filepath.Join(c.root, out)))
	}
	t.Logf("done: %v", done)
	assert.NotEmpty(t, done)
}

// TestChaosOnTheHost kills runners, endpoints and wardens.
func TestChaosOnTheHost(t *testing.T) {
	t.Parallel()
	root, cache := controlModule(t), t.TempDir()
	kill := func(program string) func(*rand.Rand, *eventsRun) bool {
		return func(random *rand.Rand, _ *eventsRun) bool {
			pids := runningWith(t, cache, program)
			if len(pids) == 0 {
				return false
			}
			// It may have ended by itself meanwhile.
			_ = syscall.Kill(pids[random.IntN(len(pids))], syscall.SIGKILL)
			return true
		}
	}
	c := chaos{
		root: root, flags: []string{"--runtime", "local"}, times: 8,
		start: func(args ...string) *eventsRun { return startCommand(t, realCommand(t, root, cache, nil, args...)) },
		disturbances: map[string]func(*rand.Rand, *eventsRun) bool{
			"runner killed": killRunner(t), "endpoint killed": kill("zmqmatrix-endpoint"), "warden killed": kill("zmqmatrix-warden"),
		},
		left: func() []string { return processesWith(t, cache) },
	}
	if soaking() {
		c.times = 100
	}
	c.disturb(t)
	scratch := func() []string {
		found, err := filepath.Glob(filepath.Join(cache, "zmqmatrix", "run-*"))
		require.NoError(t, err)
		return found
	}
	if len(scratch()) > 0 {
		// Of killed runners: the next start sweeps them.
		sweep := c.start("run", "--json", "--runtime", "local", "--target", "c", "--feature", "callback/same-thread", "--out", "sweep")
		_, status := sweep.end(t)
		require.Zero(t, status, "%s", sweep.stderr.String())
	}
	assert.Empty(t, scratch())
}
