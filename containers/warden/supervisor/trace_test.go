//go:build linux

package supervisor

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
)

// trace starts a program of misbehave.c under a tracer, whose methods the test then
// calls as the supervisor does, but when it likes.
func trace(t *testing.T, way string) (*probe, *tracer) {
	program := filepath.Join(t.TempDir(), "misbehave")
	output, err := exec.Command("gcc", "-std=gnu11", "-O1", "-pthread", "-o", program, "testdata/misbehave.c").CombinedOutput()
	require.NoError(t, err, "%s", output)
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	pid, err := syscall.ForkExec(program, []string{program, way}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		var status unix.WaitStatus
		for reaped := 0; reaped != pid || !status.Signaled(); {
			reaped, err = wait(-1, &status, unix.WALL, nil)
			require.NoError(t, err)
		}
	})
	tracer, err := attach(pid)
	require.NoError(t, err)
	ended := stream{ended: true}
	return &probe{
		pid: pid, tracer: tracer, stdout: &head{stream: ended}, stderr: &tail{stream: ended},
		desk: &desk{in: -1, event: -1, lines: warden.NewLines(strings.NewReader(""), 1)},
	}, tracer
}

// follow handles the stops of the traced threads, one by one, until one is reached
// for which the test waits. That one is left as it is.
func follow(t *testing.T, p *probe, until func(siginfo) bool) (thread int) {
	limit := time.AfterFunc(time.Minute, func() { _ = unix.Kill(p.pid, unix.SIGKILL) })
	defer limit.Stop()
	for {
		require.NoError(t, unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|unix.WALL, nil))
		state, err := peek(unix.WEXITED | unix.WSTOPPED)
		require.NoError(t, err)
		require.False(t, state.exited, "the program ended, or what the test waits for did not come in a minute")
		if info, err := signalInfo(state.pid); err == nil && until(info) {
			return state.pid
		}
		p.tracer.stopped(p, state.pid)
	}
}

// other is the thread that is not the first.
func other(t *testing.T, tracer *tracer) int {
	for thread := range tracer.threads {
		if thread != tracer.pid {
			return thread
		}
	}
	require.Fail(t, "there is no other thread")
	return 0
}

func TestNewThreadsAreFollowed(t *testing.T) {
	p, tracer := trace(t, "segv")
	follow(t, p, func(info siginfo) bool { return info.signal == unix.SIGSEGV })
	// Nobody has looked since it began, with every signal blocked.
	mask, seen := tracer.masks[other(t, tracer)]
	require.True(t, seen)
	assert.Empty(t, mask)
}

func TestLookDuringFault(t *testing.T) {
	p, tracer := trace(t, "segv-beside-another")
	follow(t, p, func(info siginfo) bool { return info.signal == unix.SIGSEGV })
	hit := other(t, tracer) // the first thread faults as well, for want of the handler
	status, err := readProc(threadFile(p.pid, hit, "status"))
	require.NoError(t, err)
	require.NotContains(t, signalSet(status, "SigCgt:"), unix.SIGSEGV, "the kernel has taken the handler away")
	require.NotContains(t, signalSet(status, "SigBlk:"), unix.SIGSEGV)
	tracer.look()
	assert.Contains(t, tracer.handled, unix.SIGSEGV)
	assert.Contains(t, tracer.masks[hit], unix.SIGSEGV)
	assert.True(t, tracer.forced(hit, unix.SIGSEGV, tracer.blocked(hit)))
}

// A fault that waits to be delivered is under way, too.
func TestLookBeforeFault(t *testing.T) {
	p, tracer := trace(t, "sleep")
	require.NoError(t, ptrace(unix.PTRACE_INTERRUPT, p.pid, 0, 0))
	stopped := follow(t, p, func(info siginfo) bool { return info.code>>8 == unix.PTRACE_EVENT_STOP })
	before := []unix.Signal{unix.SIGUSR1}
	tracer.handled, tracer.masks[stopped] = before, before
	require.NoError(t, unix.Tgkill(p.pid, stopped, unix.SIGSEGV))
	tracer.look()
	assert.Equal(t, before, tracer.handled)
	assert.Equal(t, before, tracer.masks[stopped])
}

func TestFreezeTakesPendingSignals(t *testing.T) {
	p, tracer := trace(t, "sleep")
	// It is stopped for the tracer's sake when a signal of its own comes.
	require.NoError(t, ptrace(unix.PTRACE_INTERRUPT, p.pid, 0, 0))
	stopped := follow(t, p, func(info siginfo) bool { return info.code>>8 == unix.PTRACE_EVENT_STOP })
	require.NoError(t, unix.Tgkill(p.pid, stopped, unix.SIGSEGV))
	held, err := tracer.freeze(p)
	require.NoError(t, err)
	assert.Equal(t, map[int]unix.Signal{stopped: unix.SIGSEGV}, held)
	require.NoError(t, tracer.letGo(held))
	var status unix.WaitStatus
	_, err = wait(p.pid, &status, unix.WALL|unix.WUNTRACED, nil)
	require.NoError(t, err)
	assert.True(t, status.Stopped() && status.StopSignal() == unix.SIGSTOP, "the debugger finds it alive: %#x", uint32(status))
}
