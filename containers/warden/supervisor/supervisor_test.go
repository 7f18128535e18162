//go:build linux

package supervisor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// What TestMain builds once for all tests.
var (
	wardenProgram string
	misbehave     string
	quick         string // a static program that does nothing
	preload       string // stands in for the witness
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "warden-test-")
		if err == nil {
			defer os.RemoveAll(folder)
			err = build(folder)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(folder string) (err error) {
	program, err := warden.Build(context.Background(), "../../..", folder)
	if err != nil {
		return err
	}
	wardenProgram = program.Path
	misbehave, quick, preload = filepath.Join(folder, "misbehave"), filepath.Join(folder, "quick"), filepath.Join(folder, "witness.so")
	if err := os.WriteFile(filepath.Join(folder, "quick.c"), []byte("int main (void) { return 0; }\n"), 0o644); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", misbehave, "testdata/misbehave.c"},
		{"-static", "-O2", "-o", quick, filepath.Join(folder, "quick.c")},
		{"-shared", "-fPIC", "-Wall", "-Werror", "-o", preload, "testdata/witness.c"},
	} {
		if output, err := exec.Command("gcc", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("a C compiler is needed (apt-get install gcc libc6-dev): gcc %s: %w\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	return nil
}

// process is a warden started for a test.
type process struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	folder string // its TMPDIR
}

func (p *process) Read(buffer []byte) (int, error)  { return p.out.Read(buffer) }
func (p *process) Write(buffer []byte) (int, error) { return p.in.Write(buffer) }
func (p *process) Close() error {
	err := p.in.Close()
	// The warden's output ends when it does, which ends the Read under way.
	return err
}

func startProcess(tb testing.TB, env ...string) *process {
	tb.Helper()
	return startCommand(tb, exec.Command(wardenProgram), env...)
}

func startCommand(tb testing.TB, command *exec.Cmd, env ...string) *process {
	tb.Helper()
	p := &process{Cmd: command, folder: tb.TempDir()}
	p.Env = append(append(os.Environ(), "TMPDIR="+p.folder), env...)
	p.Stderr = os.Stderr
	var err error
	p.in, err = p.StdinPipe()
	require.NoError(tb, err)
	p.out, err = p.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, p.Start())
	tb.Cleanup(func() {
		p.in.Close()
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.Wait()
		left, err := os.ReadDir(p.folder)
		assert.NoError(tb, err)
		assert.Empty(tb, left, "the warden left scratch folders")
	})
	return p
}

func start(tb testing.TB, env ...string) (*warden.Client, *process) {
	tb.Helper()
	p := startProcess(tb, env...)
	client, err := warden.NewClient(tb.Context(), p)
	require.NoError(tb, err)
	return client, p
}

func task(way ...string) matrix.Task {
	return matrix.Task{
		Command: append([]string{misbehave}, way...),
		Bounds:  matrix.Bounds{Wall: 30 * time.Second, CPU: 60 * time.Second, MemoryMiB: 1024, Output: 1 << 20, Processes: 64},
	}
}

// What stands still with its warden is given the time that it missed. The warden
// alone is stopped here, from the probe's first word until one that comes when its
// time was over.
func TestTimeInWhichTheWardenStoodStillDoesNotCount(t *testing.T) {
	for _, row := range []struct {
		name     string
		children int
	}{
		{"where it waits", 0},
		{"where it looks", 200}, // which takes it some milliseconds
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			client, process := start(t)
			folder := t.TempDir()
			begun, stopped, late := filepath.Join(folder, "begun"), filepath.Join(folder, "stopped"), filepath.Join(folder, "late")
			slow := task()
			slow.Command = []string{"sh", "-c", `
				i=0; all=; while test $i -lt "$1"; do sleep 60 & all="$all $!" i=$((i + 1)); done
				touch "$2"; until test -e "$3"; do sleep 0.01; done; sleep 9; touch "$4"; sleep 1; test -z "$all" || kill $all; wait`,
				"sh", strconv.Itoa(row.children), begun, stopped, late}
			slow.Bounds.Wall, slow.Bounds.Processes = 8*time.Second, row.children+8
			var account matrix.Account
			var err error
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				account, err = client.Run(t.Context(), slow)
			}()
			require.Eventually(t, func() bool { _, err := os.Stat(begun); return err == nil }, 6*time.Second, time.Millisecond)
			for looks := row.children == 0; !looks; {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.Process.Pid))
				require.NoError(t, err)
				looks = bytes.Contains(stat, []byte(") R "))
			}
			require.NoError(t, process.Process.Signal(unix.SIGSTOP))
			require.NoError(t, os.WriteFile(stopped, nil, 0o644))
			assert.Eventually(t, func() bool { _, err := os.Stat(late); return err == nil }, 30*time.Second, 10*time.Millisecond)
			require.NoError(t, process.Process.Signal(unix.SIGCONT))
			<-ended
			require.NoError(t, err)
			assert.Equal(t, matrix.Exited, account.Ending)
			assert.Less(t, account.Wall, slow.Bounds.Wall)
			assert.Positive(t, account.Wall)
		})
	}
}

// Nor does it where the warden still starts the probe: who is started stops it at once.
func TestTimeInWhichTheWardenStoodStillAtTheStartDoesNotCount(t *testing.T) {
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			client, _ := start(t)
			ask := task()
			ask.Command = []string{"sh", "-c", "kill -STOP $PPID; sleep 3; kill -CONT $PPID"}
			ask.Bounds.Wall = 2500 * time.Millisecond
			account, err := client.Run(t.Context(), ask)
			require.NoError(t, err)
			assert.Equal(t, matrix.Exited, account.Ending)
		})
	}
}

// The time of a slow debugger is taken off once.
func TestASlowDebuggerCostsTheProbeNothing(t *testing.T) {
	gdb, err := exec.LookPath("gdb")
	require.NoError(t, err)
	slow := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(slow, "gdb"), []byte("#!/bin/sh\nsleep 3\nexec "+gdb+" \"$@\"\n"), 0o755))
	client, _ := start(t, "PATH="+slow+":"+os.Getenv("PATH"))
	ask := task("segv")
	ask.Trace = true
	account, err := client.Run(t.Context(), ask)
	require.NoError(t, err)
	assert.Equal(t, "SIGSEGV", account.Signal)
	require.NotNil(t, account.Dossier)
	assert.Contains(t, account.Dossier.Backtrace, "main")
	assert.Positive(t, account.Wall)
	assert.Less(t, account.Wall, 3*time.Second)
}

// Where all may write nothing of one probe is left to the next, be it locked.
func TestNothingIsLeftInSharedFolders(t *testing.T) {
	shared := []string{t.TempDir(), t.TempDir()}
	command := exec.Command(wardenProgram, warden.SweepFlag, shared[0], warden.SweepFlag, shared[1])
	client, err := warden.NewClient(t.Context(), startCommand(t, command))
	require.NoError(t, err)
	leave := task()
	leave.Command = []string{"sh", "-c", `for d in "$@"; do test -z "$(ls -A $d)" || exit 9; echo > $d/.file; mkdir -p $d/a/b; ln -s / $d/link; chmod 0 $d/a; done`, "sh", shared[0], shared[1]}
	for range 2 {
		account, err := client.Run(t.Context(), leave)
		require.NoError(t, err)
		assert.Equal(t, matrix.Exited, account.Ending)
		assert.Zero(t, account.Code)
		for _, folder := range shared {
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			assert.Empty(t, left)
		}
	}
	assert.DirExists(t, "/etc", "what a link points at stays")

	command = exec.Command(wardenProgram, warden.SweepFlag, filepath.Join(t.TempDir(), "gone"))
	client, err = warden.NewClient(t.Context(), startCommand(t, command))
	require.NoError(t, err)
	_, err = client.Run(t.Context(), task("exit", "0"))
	assert.ErrorContains(t, err, "remove what the probe left")
}

func runTask(tb testing.TB, task matrix.Task) matrix.Account {
	tb.Helper()
	client, _ := start(tb)
	account, err := client.Run(tb.Context(), task)
	require.NoError(tb, err)
	return account
}

func TestEndings(t *testing.T) {
	client, _ := start(t)
	for _, test := range []struct {
		name   string
		way    []string
		ending matrix.Ending
		code   int
		signal string
	}{
		{"exit status 0", []string{"exit", "0"}, matrix.Exited, 0, ""},
		{"exit status 139 is no signal", []string{"exit", "139"}, matrix.Exited, 139, ""},
		{"segmentation violation", []string{"segv"}, matrix.Signaled, 0, "SIGSEGV"},
		{"segmentation violation in a masked thread", []string{"segv-thread"}, matrix.Signaled, 0, "SIGSEGV"},
		{"abort", []string{"abort"}, matrix.Signaled, 0, "SIGABRT"},
		{"division by zero", []string{"fpe"}, matrix.Signaled, 0, "SIGFPE"},
		{"illegal instruction", []string{"ill"}, matrix.Signaled, 0, "SIGILL"},
		{"bus error", []string{"bus"}, matrix.Signaled, 0, "SIGBUS"},
		{"broken pipe", []string{"raise", "13"}, matrix.Signaled, 0, "SIGPIPE"},
		{"kill by itself is no bound", []string{"raise", "9"}, matrix.Signaled, 0, "SIGKILL"},
		{"real-time signal", []string{"raise", "36"}, matrix.Signaled, 0, "SIGRTMIN+2"},
		{"handled segmentation violations are no end", []string{"recover"}, matrix.Exited, 0, ""},
		{"stopped and continued", []string{"stop-and-go"}, matrix.Exited, 0, ""},
		{"closes its output and goes on", []string{"close-stdout"}, matrix.Exited, 7, ""},
		{"takes its rights away from its folder", []string{"lock-scratch"}, matrix.Exited, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			account, err := client.Run(t.Context(), task(test.way...))
			require.NoError(t, err)
			assert.Equal(t, test.ending, account.Ending)
			assert.Equal(t, test.code, account.Code)
			assert.Equal(t, test.signal, account.Signal)
			assert.Zero(t, account.Strays)
			assert.Nil(t, account.Dossier, "untraced, only a hang leaves one")
			assert.Positive(t, account.Wall)
			assert.Positive(t, account.PeakRSS)
		})
	}
}

func TestSurroundings(t *testing.T) {
	ask := task("surroundings")
	ask.Env = map[string]string{"ZM_SEED": "42"}
	client, process := start(t, "SECRET=not for probes")
	account, err := client.Run(t.Context(), ask)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(account.Stdout)), "\n")
	assert.Equal(t, "core=1 handled=0 blocked=0 descriptors=0 leader=1 group=1 stdin=0 nonblocking=0 dumpable=1", lines[0])
	var cwd, home, tmp string
	_, err = fmt.Sscanf(lines[1], "cwd=%s home=%s tmp=%s", &cwd, &home, &tmp)
	require.NoError(t, err)
	assert.Equal(t, cwd, home)
	assert.Equal(t, cwd, tmp)
	assert.Equal(t, process.folder, filepath.Dir(cwd))
	assert.NoDirExists(t, cwd)
	var env []string
	for _, line := range lines[2:] {
		if text, ok := strings.CutPrefix(line, "env "); ok {
			env = append(env, text)
		}
	}
	assert.ElementsMatch(t, []string{"ZM_SEED=42", "PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + tmp}, env)
	assert.Equal(t, "TracerPid:\t0", lines[len(lines)-1], "an untraced probe is not traced")

	// The kernel's limit of CPU time is set as soon as the probe has started,
	// which a traced probe can't outrun.
	ask.Trace = true
	account, err = client.Run(t.Context(), ask)
	require.NoError(t, err)
	assert.Contains(t, string(account.Stdout), "\ncpu=61\n")
	assert.Contains(t, string(account.Stdout), fmt.Sprintf("\nTracerPid:\t%d\n", process.Process.Pid))
}

// atItsHang is a time in which a probe comes to where it hangs, on a busy machine too.
const atItsHang = time.Second

func TestWallLimit(t *testing.T) {
	for _, way := range []string{"sleep", "spin", "ignore-term"} {
		t.Run(way, func(t *testing.T) {
			ask := task(way)
			ask.Bounds.Wall = atItsHang
			account := runTask(t, ask)
			assert.Equal(t, matrix.EndedWall, account.Ending)
			assert.Empty(t, account.Signal)
			assert.GreaterOrEqual(t, account.Wall, ask.Bounds.Wall)
			assert.Less(t, account.Wall, 10*time.Second, "the debugger's time is not the probe's")
			assert.Greater(t, account.Supervision, 5*time.Millisecond, "a debugger takes more to begin")
			require.NotNil(t, account.Dossier)
			assert.Empty(t, account.Dossier.Missing)
			assert.Contains(t, account.Dossier.Backtrace, "main")
			require.Len(t, account.Dossier.Threads, 1)
			thread := account.Dossier.Threads[0]
			assert.Equal(t, "misbehave", thread.Name)
			assert.Equal(t, map[bool]string{true: "running", false: "asleep in pause"}[way == "spin"], thread.State)
			assert.Empty(t, thread.Start, "of the process's first thread all is known")
		})
	}
	t.Run("without a debugger the dossier says so", func(t *testing.T) {
		client, _ := start(t, "PATH=/nowhere")
		ask := task("sleep")
		ask.Bounds.Wall = atItsHang
		account, err := client.Run(t.Context(), ask)
		require.NoError(t, err)
		assert.Equal(t, matrix.EndedWall, account.Ending)
		require.NotNil(t, account.Dossier)
		assert.Equal(t, "no backtrace: gdb is not installed here", account.Dossier.Missing)
		require.Len(t, account.Dossier.Threads, 1)
		assert.Equal(t, "asleep in pause", account.Dossier.Threads[0].State)
	})
	t.Run("every thread is told of", func(t *testing.T) {
		for _, trace := range []bool{false, true} {
			ask := task("hang-in-threads")
			ask.Bounds.Wall, ask.Trace = atItsHang, trace
			account := runTask(t, ask)
			require.NotNil(t, account.Dossier)
			threads := account.Dossier.Threads
			require.Len(t, threads, 3)
			first := threads[0].ID
			maker := map[bool]int{true: first, false: 0}[trace]
			assert.Equal(t, []matrix.ThreadState{
				{ID: first, Name: "misbehave", State: "asleep in futex"},
				{ID: threads[1].ID, Name: "bystander", State: "asleep in pause", Start: "sleep_in_thread in misbehave.c", Maker: maker},
				{ID: threads[2].ID, Name: "misbehave", State: "running", Start: "spin_in_thread in misbehave.c", Maker: maker},
			}, threads)
		}
	})
	t.Run("a traced probe, too", func(t *testing.T) {
		ask := task("sleep")
		ask.Bounds.Wall, ask.Trace = atItsHang, true
		account := runTask(t, ask)
		assert.Equal(t, matrix.EndedWall, account.Ending)
		require.NotNil(t, account.Dossier)
		assert.Empty(t, account.Dossier.Missing)
		assert.Contains(t, account.Dossier.Backtrace, "sleep_on")
	})
}

func TestCPULimit(t *testing.T) {
	for _, way := range []string{"spin", "spin-in-child"} {
		t.Run(way, func(t *testing.T) {
			ask := task(way)
			ask.Bounds.CPU = 300 * time.Millisecond
			account := runTask(t, ask)
			assert.Equal(t, matrix.EndedCPU, account.Ending)
			assert.Less(t, account.Wall, 20*time.Second)
			assert.GreaterOrEqual(t, account.User+account.System, 290*time.Millisecond)
			if way == "spin" {
				require.NotNil(t, account.Dossier, "to compute without end is to hang, too")
				assert.Equal(t, "running", account.Dossier.Threads[0].State)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	ask := task("hog", "512")
	ask.Bounds.MemoryMiB = 64
	account := runTask(t, ask)
	assert.Equal(t, matrix.EndedMemory, account.Ending)
	assert.Greater(t, account.PeakRSS, int64(64<<20))
	assert.Less(t, account.PeakRSS, int64(400<<20))

	ask.Command[2] = "32"
	account = runTask(t, ask)
	assert.Equal(t, matrix.Exited, account.Ending)
	assert.Greater(t, account.PeakRSS, int64(32<<20))
}

func TestBaselineIsTheSizeAtTheFirstLine(t *testing.T) {
	account := runTask(t, task("hello-then-grow", "100"))
	assert.Equal(t, matrix.Exited, account.Ending)
	assert.Positive(t, account.BaselineRSS)
	assert.Less(t, account.BaselineRSS, int64(20<<20))
	assert.Greater(t, account.PeakRSS, account.BaselineRSS+(100<<20)-(1<<20))
}

// A warden that a large process started still knows a smaller probe's exact
// peak: the starter's size, which the kernel carries along, is not its own.
func TestPeakUnderALargeStarter(t *testing.T) {
	ballast := make([]byte, 128<<20)
	for k := 0; k < len(ballast); k += os.Getpagesize() {
		ballast[k] = 1
	}
	for range 5 { // without that knowledge it hangs on when the last look was
		account := runTask(t, task("hog", "48"))
		assert.Equal(t, matrix.Exited, account.Ending)
		assert.Greater(t, account.PeakRSS, int64(48<<20))
		assert.Less(t, account.PeakRSS, int64(100<<20))
	}
	runtime.KeepAlive(ballast)
}

// A probe smaller than the warden is not reported with the warden's size.
func TestPeakOfASmallProbeIsItsOwn(t *testing.T) {
	client, process := start(t)
	account, err := client.Run(t.Context(), task("hello-then-grow", "1"))
	require.NoError(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	own, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	assert.Less(t, account.PeakRSS, own<<10)
	assert.Greater(t, account.PeakRSS, int64(1<<20))
	assert.GreaterOrEqual(t, account.PeakRSS, account.BaselineRSS)
}

func TestProcessLimit(t *testing.T) {
	ask := task("fork-bomb", "7")
	ask.Bounds.Processes = 16
	account := runTask(t, ask)
	assert.Equal(t, matrix.EndedProcesses, account.Ending)
}

func TestOutput(t *testing.T) {
	client, _ := start(t)
	run := func(t *testing.T, task matrix.Task) matrix.Account {
		account, err := client.Run(t.Context(), task)
		require.NoError(t, err)
		return account
	}
	t.Run("a flood ends the probe", func(t *testing.T) {
		ask := task("flood", strconv.Itoa(1<<30))
		ask.Bounds.Output = 100_000
		account := run(t, ask)
		assert.Equal(t, matrix.EndedOutput, account.Ending)
		assert.Len(t, account.Stdout, 100_000)
		assert.Greater(t, account.StdoutLost, int64(300_000))
		assert.Less(t, account.StdoutLost, int64(4<<20))
	})
	t.Run("a little too much is cut and counted", func(t *testing.T) {
		ask := task("flood", "300000")
		ask.Bounds.Output = 100_000
		account := run(t, ask)
		assert.Equal(t, matrix.Exited, account.Ending)
		assert.Len(t, account.Stdout, 100_000)
		assert.EqualValues(t, 200_000, account.StdoutLost)
	})
	t.Run("of standard error the end is kept", func(t *testing.T) {
		ask := task("flood-stderr", strconv.Itoa(8<<20))
		ask.Bounds.Output = 1000
		account := run(t, ask)
		assert.Equal(t, matrix.Exited, account.Ending)
		assert.Len(t, account.Stderr, 1000)
		assert.True(t, strings.HasSuffix(string(account.Stderr), "ethe end"))
		assert.EqualValues(t, 8<<20+7-1000, account.StderrLost)
	})
	t.Run("a last line needs no newline", func(t *testing.T) {
		account := run(t, task("no-newline"))
		assert.Equal(t, "no newline at all", string(account.Stdout))
		assert.Equal(t, 3, account.Code)
		assert.Zero(t, account.BaselineRSS)
	})
	t.Run("the largest bound there is", func(t *testing.T) {
		ask := task("flood", strconv.Itoa(warden.MaxOutput))
		ask.Bounds.Output = warden.MaxOutput
		account := run(t, ask)
		assert.Len(t, account.Stdout, warden.MaxOutput)
		assert.Zero(t, account.StdoutLost)
	})
}

func TestStrays(t *testing.T) {
	client, process := start(t)
	t.Run("daemons are counted, killed, and do not hold the outputs open", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("daemons", "3"))
		require.NoError(t, err)
		assert.Equal(t, matrix.Exited, account.Ending)
		assert.Equal(t, "left\n", string(account.Stdout))
		assert.Equal(t, 3, account.Strays)
		assert.Less(t, account.Wall, 2*time.Second)
	})
	t.Run("one that is handed from parent to parent is not overlooked", func(t *testing.T) {
		for range 20 {
			account, err := client.Run(t.Context(), task("generations", "30"))
			require.NoError(t, err)
			require.Equal(t, 1, account.Strays)
		}
	})
	t.Run("nor are several that come to an end taken for one that stays", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("relay", "4"))
		require.NoError(t, err)
		assert.Zero(t, account.Strays)
	})
	t.Run("one whose first thread has ended is counted and killed", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("headless-child", "3600000"))
		require.NoError(t, err)
		assert.Equal(t, 1, account.Strays)
	})
	t.Run("one whose first thread has ended and whose second ends soon is none", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("headless-child", "300"))
		require.NoError(t, err)
		assert.Zero(t, account.Strays)
	})
	t.Run("a child that is just ending is none", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("brief-child"))
		require.NoError(t, err)
		assert.Zero(t, account.Strays)
	})
	t.Run("nor one that ended while the warden was kept from looking", func(t *testing.T) {
		// In a wait, and in the middle of a look, which is at another time each run.
		for moment := 1500 * time.Microsecond; moment < 3*time.Millisecond; moment += 125 * time.Microsecond {
			stopped := time.AfterFunc(moment, func() {
				assert.NoError(t, process.Process.Signal(unix.SIGSTOP))
				time.Sleep(150 * time.Millisecond)
				assert.NoError(t, process.Process.Signal(unix.SIGCONT))
			})
			account, err := client.Run(t.Context(), task("brief-child"))
			stopped.Stop()
			require.NoError(t, err)
			assert.Zero(t, account.Strays)
		}
	})
	t.Run("nor one that still has to wait for a core", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("busy-child", "150"))
		require.NoError(t, err)
		assert.Zero(t, account.Strays)
	})
	t.Run("one that works on and on is", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("busy-child", "3600000"))
		require.NoError(t, err)
		assert.Equal(t, 1, account.Strays)
	})
	assert.Empty(t, childrenOf(t, process.Process.Pid))
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	require.NoError(t, err)
	var all []int
	for _, word := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(word)
		require.NoError(t, err)
		all = append(all, child)
	}
	return all
}

// awaitEnd waits for the end of a process that is not our child.
func awaitEnd(t *testing.T, descriptor int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 1, n, "the process goes on")
		return
	}
}

// sleeping starts a probe with a daemon under the warden, by hand, and returns
// pidfds of both when they are there.
func sleeping(t *testing.T, p *process) []int {
	t.Helper()
	request, err := json.Marshal(warden.Request{ID: 1, Op: warden.OpRun, Command: []string{misbehave, "daemons-and-sleep"}})
	require.NoError(t, err)
	_, err = p.Write(append(request, '\n'))
	require.NoError(t, err)
	var found []int
	require.Eventually(t, func() bool {
		found = childrenOf(t, p.Process.Pid)
		return len(found) == 2
	}, 10*time.Second, 5*time.Millisecond)
	var descriptors []int
	for _, pid := range found {
		descriptor, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(descriptor) })
		descriptors = append(descriptors, descriptor)
	}
	return descriptors
}

func TestTheEndOfTheInputKillsEverything(t *testing.T) {
	p := startProcess(t)
	descriptors := sleeping(t, p)
	require.NoError(t, p.in.Close())
	for _, descriptor := range descriptors {
		awaitEnd(t, descriptor)
	}
	rest, err := io.ReadAll(p.out)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(rest), "\n"), "only the greeting")
}

func TestTerminationKillsEverything(t *testing.T) {
	p := startProcess(t)
	descriptors := sleeping(t, p)
	require.NoError(t, p.Process.Signal(unix.SIGTERM))
	for _, descriptor := range descriptors {
		awaitEnd(t, descriptor)
	}
}

func TestAProbeDiesWithItsWarden(t *testing.T) {
	p := startProcess(t)
	request, err := json.Marshal(warden.Request{ID: 1, Op: warden.OpRun, Command: []string{misbehave, "ignore-term"}})
	require.NoError(t, err)
	_, err = p.Write(append(request, '\n'))
	require.NoError(t, err)
	var found []int
	require.Eventually(t, func() bool {
		found = childrenOf(t, p.Process.Pid)
		return len(found) == 1
	}, 10*time.Second, 5*time.Millisecond)
	descriptor, err := unix.PidfdOpen(found[0], 0)
	require.NoError(t, err)
	defer unix.Close(descriptor)
	require.NoError(t, p.Process.Kill())
	awaitEnd(t, descriptor)
	// Killed so, it can't clean up; who started it does.
	left, err := filepath.Glob(filepath.Join(p.folder, "*"))
	require.NoError(t, err)
	for _, folder := range left {
		require.NoError(t, os.RemoveAll(folder))
	}
}

func TestAGivenUpRunKillsTheProbe(t *testing.T) {
	client, p := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := client.Run(ctx, task("sleep"))
		failed <- err
	}()
	require.Eventually(t, func() bool { return len(childrenOf(t, p.Process.Pid)) == 1 }, 10*time.Second, 5*time.Millisecond)
	descriptor, err := unix.PidfdOpen(childrenOf(t, p.Process.Pid)[0], 0)
	require.NoError(t, err)
	defer unix.Close(descriptor)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	awaitEnd(t, descriptor)
	_, err = client.Run(t.Context(), task("exit", "0"))
	require.ErrorIs(t, err, warden.ErrGone)
}

func TestWhatCanNotBeStarted(t *testing.T) {
	client, _ := start(t)
	folder := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	for _, test := range []struct {
		name, command string
		says          []string
	}{
		{"missing file", "/zm/none", []string{"/zm/none", "no such file"}},
		{"missing command", "no-such-command", []string{"no-such-command", "$PATH"}},
		{"relative path", "bin/probe", []string{"bin/probe", "absolute"}},
		{"script that is not executable", write("plain.sh", "#!/bin/sh\n", 0o644), []string{"plain.sh", "permission denied"}},
		{"script without interpreter line", write("bare.sh", "echo\n", 0o755), []string{"bare.sh", "exec format error"}},
		{"missing interpreter", write("lost.sh", "#!/zm/no-shell\n", 0o755), []string{"lost.sh", "interpreter"}},
		{"folder", folder, []string{folder, "directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.Run(t.Context(), matrix.Task{Command: []string{test.command}})
			require.Error(t, err)
			for _, words := range test.says {
				assert.ErrorContains(t, err, words)
			}
			_, err = client.Run(t.Context(), task("exit", "0"))
			require.NoError(t, err, "the warden goes on")
		})
	}
}

func TestWitness(t *testing.T) {
	client, _ := start(t)
	run := func(lines string) (matrix.Account, error) {
		ask := task("exit", "0")
		ask.Witness, ask.Env = preload, map[string]string{"WITNESS_LINES": lines}
		return client.Run(t.Context(), ask)
	}
	t.Run("its lines are read", func(t *testing.T) {
		account, err := run("sendmsg 5555 77 0x7f0000001000 65536 65000\nsend 0 78 0x10 8 -1\nlost 3\nlost 12\nwrite 1 1")
		require.NoError(t, err)
		assert.Equal(t, []matrix.WitnessCall{
			{Call: "sendmsg", Peer: 5555, Thread: 77, Address: 0x7f0000001000, Length: 65536, Result: 65000},
			{Call: "send", Thread: 78, Address: 0x10, Length: 8, Result: -1},
		}, account.WitnessCalls)
		assert.EqualValues(t, 12, account.WitnessLost)
	})
	t.Run("as many as its cap allows", func(t *testing.T) {
		// More than an environment variable may hold comes from the probe.
		ask := matrix.Task{Command: []string{"/bin/sh", "-c",
			`i=0; while [ $i -lt 1000 ]; do echo "send 1 1 0x1 1 1"; i=$((i+1)); done >block; i=0; while [ $i -lt 101 ]; do cat block; i=$((i+1)); done >>"$ZM_WITNESS"`},
			Witness: preload, Env: map[string]string{"WITNESS_LINES": ""}}
		account, err := client.Run(t.Context(), ask)
		require.NoError(t, err)
		assert.Len(t, account.WitnessCalls, 100_000)
		assert.EqualValues(t, 1000, account.WitnessLost)
	})
	t.Run("a line that is none is an error", func(t *testing.T) {
		_, err := run("send 5555 77 zzz 65536 65000\n")
		require.ErrorContains(t, err, "line 1")
	})
	t.Run("no file is an error that names it", func(t *testing.T) {
		ask := task("exit", "0")
		ask.Witness = preload
		_, err := client.Run(t.Context(), ask)
		require.ErrorContains(t, err, ".witness")
	})
	t.Run("how a probe that went wrong ended counts without it", func(t *testing.T) {
		for signal, way := range map[string][]string{"SIGSEGV": {"segv"}, "": {"exit", "127"}} {
			ask := task(way...)
			ask.Witness = preload
			account, err := client.Run(t.Context(), ask)
			require.NoError(t, err)
			assert.Equal(t, signal, account.Signal)
			assert.Empty(t, account.WitnessCalls)
		}
	})
	t.Run("no library is an error that names it", func(t *testing.T) {
		ask := task("exit", "0")
		ask.Witness = "/zm/none.so"
		_, err := client.Run(t.Context(), ask)
		require.ErrorContains(t, err, "/zm/none.so")
	})
	t.Run("without one nothing is preloaded", func(t *testing.T) {
		account, err := client.Run(t.Context(), task("surroundings"))
		require.NoError(t, err)
		assert.NotContains(t, string(account.Stdout), "LD_PRELOAD")
	})
}

func TestCrashUnderTrace(t *testing.T) {
	client, _ := start(t)
	for _, test := range []struct {
		way       []string
		signal    string
		code      string
		address   string
		thread    string
		main      bool
		backtrace []string
	}{
		{[]string{"segv"}, "SIGSEGV", "SEGV_MAPERR", "0x10", "misbehave", true, []string{"main", "sleep_in_thread"}},
		{[]string{"segv-thread"}, "SIGSEGV", "SEGV_ACCERR", "0x10000010", "ZMQbg/IO/0", false, []string{"write_to_read_only", "main"}},
		{[]string{"abort"}, "SIGABRT", "SI_TKILL", "", "misbehave", true, []string{"abort", "main"}},
		{[]string{"fpe"}, "SIGFPE", "FPE_INTDIV", "0x", "misbehave", true, []string{"main"}},
		{[]string{"ill"}, "SIGILL", "ILL_", "0x", "misbehave", true, []string{"main"}},
		{[]string{"bus"}, "SIGBUS", "BUS_ADRERR", "0x", "misbehave", true, []string{"main"}},
		{[]string{"raise", "13"}, "SIGPIPE", "SI_TKILL", "", "misbehave", true, []string{"raise", "main"}},
		{[]string{"recover-then-segv"}, "SIGSEGV", "SEGV_MAPERR", "0x0", "misbehave", true, []string{"main"}},
	} {
		t.Run(strings.Join(test.way, " "), func(t *testing.T) {
			ask := task(test.way...)
			ask.Trace = true
			account, err := client.Run(t.Context(), ask)
			require.NoError(t, err)
			assert.Equal(t, matrix.Signaled, account.Ending)
			assert.Equal(t, test.signal, account.Signal)
			require.NotNil(t, account.Dossier)
			dossier := account.Dossier
			assert.Equal(t, test.signal, dossier.Signal)
			assert.True(t, strings.HasPrefix(dossier.Code, test.code), dossier.Code)
			assert.True(t, strings.HasPrefix(dossier.Address, test.address), dossier.Address)
			if test.address == "" {
				assert.Empty(t, dossier.Address)
			}
			assert.True(t, strings.HasPrefix(dossier.Thread, test.thread+" ("), dossier.Thread)
			assert.Equal(t, test.main, dossier.Main)
			assert.Empty(t, dossier.Missing)
			for _, function := range test.backtrace {
				assert.Contains(t, dossier.Backtrace, function)
			}
			if test.main {
				assert.Empty(t, dossier.Blocked)
			} else {
				assert.Contains(t, dossier.Blocked, "SIGBUS")
				assert.Contains(t, dossier.Blocked, "SIGTRAP")
				assert.NotContains(t, dossier.Blocked, "SIGSEGV", "the kernel unblocks the signal that it forces")
			}
			assert.Less(t, account.Wall, 500*time.Millisecond, "the debugger's time is not the probe's")
		})
	}
	for _, test := range []struct {
		way    string
		page   string
		access matrix.Access
		forced bool
		sender matrix.Sender
		start  string // of the thread
	}{
		{"segv", matrix.PageNone, "", false, "", ""},
		{"segv-thread", "r--p", matrix.AccessWrite, false, "", "write_to_read_only in misbehave.c"},
		{"segv-thread-handled", "r--p", matrix.AccessWrite, true, "", "write_to_read_only in misbehave.c"},
		{"segv-handler-gives-up", matrix.PageNone, "", false, "", ""},
		{"segv-beside-another", "r--p", matrix.AccessWrite, true, "", "write_to_read_only in misbehave.c"},
		{"jump-into-data", "rw-p", matrix.AccessExecute, false, "", ""},
		{"abort", "", "", false, matrix.SenderSelf, ""},
		{"fpe", "", "", false, "", ""},
	} {
		t.Run(test.way+" in full", func(t *testing.T) {
			ask := task(test.way)
			ask.Trace = true
			account, err := client.Run(t.Context(), ask)
			require.NoError(t, err)
			require.NotNil(t, account.Dossier)
			dossier := *account.Dossier
			assert.Equal(t, test.page, dossier.Page)
			assert.Equal(t, test.access, dossier.Access)
			assert.Equal(t, test.forced, dossier.Forced)
			assert.Empty(t, dossier.Missing)
			assert.Equal(t, test.sender, dossier.Sender)
			if test.access == matrix.AccessWrite {
				assert.Regexp(t, `^movb +\$0x1,`, dossier.Instruction)
			}
			var hit matrix.ThreadState
			for _, thread := range dossier.Threads {
				if thread.String() == dossier.Thread {
					hit = thread
				}
			}
			assert.Equal(t, test.start, hit.Start)
			assert.Equal(t, dossier.Main, hit.Maker == 0, "who made the others was seen")
		})
	}
	t.Run("what does not crash leaves no dossier", func(t *testing.T) {
		for _, way := range []string{"recover", "stop-and-go", "brief-child", "close-stdout"} {
			ask := task(way)
			ask.Trace = true
			account, err := client.Run(t.Context(), ask)
			require.NoError(t, err)
			assert.Equal(t, matrix.Exited, account.Ending, way)
			assert.Nil(t, account.Dossier, way)
			assert.Zero(t, account.Strays, way)
		}
	})
	t.Run("a traced probe is killed at its bounds", func(t *testing.T) {
		ask := task("fork-bomb", "7")
		ask.Trace, ask.Bounds.Processes = true, 16
		account, err := client.Run(t.Context(), ask)
		require.NoError(t, err)
		assert.Equal(t, matrix.EndedProcesses, account.Ending)
	})
	t.Run("without a debugger all else is told", func(t *testing.T) {
		client, _ := start(t, "PATH=/nowhere")
		ask := task("segv-thread")
		ask.Trace = true
		account, err := client.Run(t.Context(), ask)
		require.NoError(t, err)
		assert.Equal(t, "SIGSEGV", account.Signal)
		require.NotNil(t, account.Dossier)
		assert.Equal(t, "SEGV_ACCERR", account.Dossier.Code)
		assert.Contains(t, account.Dossier.Thread, "ZMQbg/IO/0")
		assert.Equal(t, "no backtrace: gdb is not installed here", account.Dossier.Missing)
	})
}

// The protocol, from outside: whatever comes, an answer, and it goes on.
func TestProtocol(t *testing.T) {
	p := startProcess(t)
	lines := warden.NewLines(p.out, warden.MaxReplyLine)
	line, err := lines.Next()
	require.NoError(t, err)
	assert.JSONEq(t, fmt.Sprintf(`{"warden":2,"pid":%d}`, p.Process.Pid), string(line))
	for _, test := range []struct{ name, line, reply string }{
		{"no JSON", `hello`, `"id":0,"error":"not a request: `},
		{"an unknown key", `{"id":7,"op":"run","command":["true"],"colour":"red"}`, `"id":7,"error":"not a request: json: unknown field \"colour\""`},
		{"two objects", `{"id":8,"op":"run"} {}`, `"id":8,"error":"not a request: `},
		{"an unknown op", `{"id":9,"op":"walk"}`, `"id":9,"error":"unknown op \"walk\"; this warden knows \"run\""`},
		{"no command", `{"id":10,"op":"run"}`, `"id":10,"error":"the request has no command"`},
		{"a negative bound", `{"id":11,"op":"run","command":["true"],"bounds":{"wall":-1}}`, `"id":11,"error":"a bound is negative`},
		{"an output bound without measure", `{"id":12,"op":"run","command":["true"],"bounds":{"output":99999999}}`, `"id":12,"error":"an output bound`},
		{"a line too long", strings.Repeat("x", warden.MaxRequestLine+70_000), `"id":0,"error":"not a request: the line is too long`},
		{"an empty line", ``, `"id":0,"error":"not a request: EOF"`},
		{"a run after all that", `{"id":13,"op":"run","command":["true"]}`, `"id":13,"account":{"ending":"exited"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := io.WriteString(p, test.line+"\n")
			require.NoError(t, err)
			line, err := lines.Next()
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(line), "{"+test.reply), string(line))
		})
	}
}

// The warden's cost is what Warden takes above Bare.
func BenchmarkRun(b *testing.B) {
	b.Run("Bare", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, exec.Command(quick).Run())
		}
	})
	b.Run("Warden", func(b *testing.B) {
		client, _ := start(b)
		ask := matrix.Task{Command: []string{quick}, Bounds: task().Bounds}
		for b.Loop() {
			_, err := client.Run(b.Context(), ask)
			require.NoError(b, err)
		}
	})
}
