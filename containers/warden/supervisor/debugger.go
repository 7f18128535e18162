//go:build linux

package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const (
	// debuggerGrace is how long a backtrace may take: gdb reads the symbols of
	// every library of the probe first, which takes it a second or two.
	debuggerGrace = 10 * time.Second
	// backtraceBytes of it are kept: 30 frames of some 50 threads.
	backtraceBytes = 256 << 10
	// backtraceFrames of each thread: a runaway recursion has a million alike.
	backtraceFrames = "30"
)

// instructionsFollow stands between the backtraces and the instructions in the
// debugger's output.
const instructionsFollow = "@instructions"

// debug asks the debugger for the C backtrace of every thread and for the
// instruction at its program counter. What is missing is said in words.
func debug(pid int, scratch string) (text, instructions, missing string) {
	gdb, err := exec.LookPath("gdb")
	if err != nil {
		return "", "", "no backtrace: gdb is not installed here"
	}
	ctx, cancel := context.WithTimeout(context.Background(), debuggerGrace)
	defer cancel()
	command := exec.CommandContext(ctx, gdb, "-batch", "-nx",
		"-iex", "set debuginfod enabled off", "-iex", "set width 0",
		"-p", strconv.Itoa(pid), "-ex", "thread apply all bt "+backtraceFrames,
		"-ex", `echo \n`+instructionsFollow+`\n`, "-ex", "thread apply all -c x/i $pc")
	// A debugger that is asked to interrupt itself lets go of the probe; one
	// that is killed may leave it half attached.
	command.Cancel = func() error { return command.Process.Signal(unix.SIGINT) }
	command.WaitDelay = time.Second
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + scratch, "TMPDIR=" + scratch, "LC_ALL=C"}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var out, said limited
	command.Stdout, command.Stderr = &out, &said
	err = command.Run()
	// What comes before the first thread is about reading symbols.
	shown, instructions, _ := strings.Cut(out.String(), "\n"+instructionsFollow+"\n")
	if start := strings.Index(shown, "\nThread "); start >= 0 {
		text = strings.TrimSpace(shown[start+1:])
		if end := strings.LastIndex(text, "\n[Inferior "); end >= 0 {
			text = strings.TrimSpace(text[:end])
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		missing = fmt.Sprintf("the backtrace is not whole: gdb took more than %s", debuggerGrace)
	case text == "" && err != nil:
		missing = fmt.Sprintf("no backtrace: gdb: %v: %s", err, lastLines(said.String()))
	case text == "":
		missing = "no backtrace: gdb says: " + lastLines(said.String())
	}
	return text, instructions, missing
}

// examine adds to a dossier what the debugger can tell of its threads, and of
// the one that the signal is for, which is 0 of a hang.
func examine(dossier *matrix.Dossier, pid, thread int, scratch string) {
	var instructions string
	dossier.Backtrace, instructions, dossier.Missing = debug(pid, scratch)
	dossier.Instruction = instructionOf(instructions, thread)
	starts := threadStarts(dossier.Backtrace)
	for i := range dossier.Threads {
		if state := &dossier.Threads[i]; state.ID != pid {
			state.Start = starts[state.ID]
		}
	}
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// limited keeps the first backtraceBytes written to it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(chunk []byte) (int, error) {
	l.Buffer.Write(chunk[:min(len(chunk), max(0, backtraceBytes-l.Len()))])
	return len(chunk), nil
}

// hangDossier is what can be known of a probe that did not end in time, before
// it is killed.
func (p *probe) hangDossier() *matrix.Dossier {
	dossier := &matrix.Dossier{Threads: p.threads()}
	if p.tracer != nil {
		if err := p.tracer.release(p); err != nil {
			dossier.Missing = fmt.Sprintf("no backtrace: letting go of the traced probe: %v", err)
			return dossier
		}
	}
	examine(dossier, p.pid, 0, p.scratch)
	return dossier
}
