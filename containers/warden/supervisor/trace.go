//go:build linux

package supervisor

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// freezeGrace is how long the threads of a crashing probe may take to stop for
// the debugger. A thread in an uninterruptible call, or one that waits for a
// vforked child, does not stop.
const freezeGrace = 2 * time.Second

// newbornStops is for how many stops a new thread's system calls are followed, two
// for each. A thread begins with every signal blocked, by the C library, and what it
// blocks for good it blocks first, as libzmq's I/O threads do. Looks from time to time
// may see the one and miss the other.
const newbornStops = 32

// syscallStop is the signal of a thread that is stopped at a system call.
const syscallStop = unix.SIGTRAP | 0x80

// tracer follows the threads of one probe with ptrace, so that the signal that
// kills it is seen when it is about to. It changes no signal, and is used for
// extra attempts only, since tracing changes how threads are scheduled. All its
// methods run on the main thread: ptrace(2) obeys the attaching thread alone.
type tracer struct {
	pid     int
	threads map[int]bool // traced; the value says whether it is stopped now
	makers  map[int]int  // of the threads whose beginning was seen
	newborn map[int]int  // the stops at system calls that are left
	// When it was last looked at, the probe had handlers for these signals, and
	// each thread blocked these. No look is from after a fault that kills.
	handled []unix.Signal
	masks   map[int][]unix.Signal
}

// attach takes over a probe that ForkExec has stopped before its first
// instruction. What ForkExec can do is PTRACE_TRACEME, under which a stop of
// the whole process can't be told from a signal; so the probe is let go into a
// stop and seized there.
func attach(pid int) (*tracer, error) {
	var status unix.WaitStatus
	if _, err := wait(pid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
		return nil, fmt.Errorf("trace the probe: it did not stop at its start: status %#x: %w", uint32(status), err)
	}
	if err := ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(unix.SIGSTOP)); err != nil {
		return nil, fmt.Errorf("trace the probe: detach: %w", err)
	}
	if _, err := wait(pid, &status, unix.WALL|unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		return nil, fmt.Errorf("trace the probe: it did not stop again: status %#x: %w", uint32(status), err)
	}
	// Not FORK: a child of the probe is no part of what its crash is about.
	const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	if err := ptrace(unix.PTRACE_SEIZE, pid, 0, options); err != nil {
		return nil, fmt.Errorf("trace the probe: seize: %w", err)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		return nil, fmt.Errorf("trace the probe: go on: %w", err)
	}
	return &tracer{pid: pid, threads: map[int]bool{pid: false}, makers: map[int]int{}, newborn: map[int]int{}, masks: map[int][]unix.Signal{}}, nil
}

// forget drops a thread that has ended, and says whether it was one.
func (t *tracer) forget(thread int) bool {
	_, known := t.threads[thread]
	delete(t.threads, thread)
	delete(t.makers, thread)
	delete(t.newborn, thread)
	delete(t.masks, thread)
	return known
}

// look notes which signals the probe handles and which its threads block. With a
// fault under way it notes nothing: the kernel may have changed both for its sake,
// for the thread that faulted and for the others.
func (t *tracer) look() {
	handled, first := []unix.Signal(nil), true
	masks := map[int][]unix.Signal{}
	for thread := range t.threads {
		text, err := readProc(threadFile(t.pid, thread, "status"))
		if err != nil {
			continue // it has ended
		}
		if slices.ContainsFunc(deliverable(text), isFault) {
			return
		}
		// A thread that faulted before this was read shows it below.
		if first {
			handled, first = signalSet(text, "SigCgt:"), false
		}
		masks[thread] = signalSet(text, "SigBlk:")
	}
	for thread, stopped := range t.threads {
		if !stopped && t.faulted(thread) {
			return
		}
	}
	if !first {
		t.handled = handled
	}
	maps.Copy(t.masks, masks)
}

// lookAt notes which signals a stopped thread blocks.
func (t *tracer) lookAt(thread int) {
	if text, err := readProc(threadFile(t.pid, thread, "status")); err == nil {
		t.masks[thread] = signalSet(text, "SigBlk:")
	}
}

// faulted reports whether the thread is stopped with a fault, which may not have
// been taken yet.
func (t *tracer) faulted(thread int) bool {
	info, err := signalInfo(thread)
	// An event is a SIGTRAP whose code has the event in its second byte.
	return err == nil && isFault(info.signal) && info.code > 0 && info.code < 1<<8 && info.code != int(syscallStop)
}

// faults are the signals that an instruction causes.
var faults = []unix.Signal{unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP}

func isFault(signal unix.Signal) bool { return slices.Contains(faults, signal) }

// forced reports whether the thread blocked the fault that is about to kill the
// probe. The kernel has covered the tracks: it unblocks such a signal and takes
// its handler away (kernel/signal.c, force_sig_info_to_task). That the handler
// has gone is no proof by itself: the kernel takes it away from all threads, so
// that another thread's fault, which it could have handled, kills as well; or a
// handler has given itself up. So the thread must have blocked the signal when it
// was last looked at, and still block others of its kind: unblocking comes for all
// of them.
func (t *tracer) forced(thread int, signal unix.Signal, blocked []unix.Signal) bool {
	others := func(other unix.Signal) bool { return other != signal && isFault(other) }
	return isFault(signal) && slices.Contains(t.handled, signal) &&
		slices.Contains(t.masks[thread], signal) && slices.ContainsFunc(blocked, others)
}

// stopped handles one stop of a child.
func (t *tracer) stopped(p *probe, thread int) {
	var status unix.WaitStatus
	reaped, err := wait(thread, &status, unix.WALL|unix.WNOHANG|unix.WUNTRACED, nil)
	if err != nil || reaped != thread || !status.Stopped() {
		return
	}
	if !isThread(t.pid, thread) {
		// An orphan that stopped, which is its own affair, or a child made by
		// clone with an unusual exit signal, which is traced against our wish.
		_ = ptrace(unix.PTRACE_DETACH, thread, 0, 0)
		return
	}
	if _, known := t.threads[thread]; !known {
		t.newborn[thread] = newbornStops
	}
	t.threads[thread] = true
	signal := status.StopSignal()
	event := int(status) >> 16
	switch {
	case event == unix.PTRACE_EVENT_STOP && stopsProcess(signal):
		// The whole process is stopped, and is to stay so until SIGCONT.
		t.resume(unix.PTRACE_LISTEN, thread, 0)
	case event != 0:
		if event == unix.PTRACE_EVENT_CLONE {
			if made, err := unix.PtraceGetEventMsg(thread); err == nil {
				t.makers[int(made)] = thread
			}
		}
		t.look()
		t.goOn(thread, 0)
	case signal == syscallStop:
		t.lookAt(thread)
		if t.newborn[thread]--; t.newborn[thread] <= 0 {
			delete(t.newborn, thread)
		}
		t.goOn(thread, 0)
	case p.dossier == nil && t.fatal(thread, signal):
		p.dossier = t.crash(p, thread, signal)
	default:
		t.lookAt(thread)
		t.goOn(thread, signal)
	}
}

// goOn lets a stopped thread execute.
func (t *tracer) goOn(thread int, signal unix.Signal) {
	request := unix.PTRACE_CONT
	if t.newborn[thread] > 0 {
		request = unix.PTRACE_SYSCALL
	}
	t.resume(request, thread, signal)
}

// resume lets a stopped thread go on; one that has been killed meanwhile is
// gone, and will be reaped.
func (t *tracer) resume(request, thread int, signal unix.Signal) {
	t.threads[thread] = false
	_ = ptrace(request, thread, 0, uintptr(signal))
}

func stopsProcess(signal unix.Signal) bool {
	return signal == unix.SIGSTOP || signal == unix.SIGTSTP || signal == unix.SIGTTIN || signal == unix.SIGTTOU
}

// fatal reports whether the signal that is about to be delivered to the thread
// will end the process: it is neither caught nor ignored, and its default
// action is to terminate. That the disposition tells the truth here is the
// kernel's doing: a synchronous signal that is blocked or ignored has its
// disposition reset and is unblocked before it is queued
// (kernel/signal.c, force_sig_info_to_task).
func (t *tracer) fatal(thread int, signal unix.Signal) bool {
	switch signal {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH:
		return false
	}
	if stopsProcess(signal) {
		return false
	}
	text, err := readProc(threadFile(t.pid, thread, "status"))
	if err != nil {
		return false
	}
	for _, key := range []string{"SigCgt:", "SigIgn:"} {
		if slices.Contains(signalSet(text, key), signal) {
			return false
		}
	}
	return true
}

// crash collects the dossier of a probe whose thread is stopped with a fatal
// signal, and then has it die of that signal.
func (t *tracer) crash(p *probe, thread int, signal unix.Signal) *matrix.Dossier {
	began := time.Now()
	defer func() { p.paused += time.Since(began) }()
	threads := p.threads()
	held, frozen := t.freeze(p)
	held[thread] = signal
	// Where several threads are about to kill the probe, it is the fault that
	// took the handler away that the others die of.
	hit := thread
	for _, other := range slices.Sorted(maps.Keys(held)) {
		if t.fatal(other, held[other]) && t.forced(other, held[other], t.blocked(other)) && !t.forced(hit, held[hit], t.blocked(hit)) {
			hit = other
		}
	}
	dossier := t.describe(hit, held[hit])
	dossier.Threads = threads
	failed := t.letGo(held)
	if failed = cmp.Or(frozen, failed); failed != nil {
		dossier.Missing = fmt.Sprintf("no backtrace: stopping the other threads: %v", failed)
	} else {
		examine(dossier, t.pid, hit, p.scratch)
	}
	// The debugger has let go, and the process is still stopped. The thread
	// finds its signal first when it goes on.
	_ = unix.Tgkill(t.pid, hit, held[hit])
	_ = unix.Kill(t.pid, unix.SIGCONT)
	return dossier
}

// pending reports whether a signal of the thread's own waits to be delivered. One
// that another process sent to the whole probe may be delivered to any thread, and
// is not waited for.
func (t *tracer) pending(thread int) bool {
	text, err := readProc(threadFile(t.pid, thread, "status"))
	return err == nil && len(deliverable(text)) > 0
}

// deliverable are the signals of a thread's own that wait and are not blocked.
func deliverable(status []byte) []unix.Signal {
	blocked := signalSet(status, "SigBlk:")
	return slices.DeleteFunc(signalSet(status, "SigPnd:"), func(signal unix.Signal) bool {
		return slices.Contains(blocked, signal)
	})
}

// blocked are the signals that the thread blocks now.
func (t *tracer) blocked(thread int) []unix.Signal {
	text, err := readProc(threadFile(t.pid, thread, "status"))
	if err != nil {
		return nil
	}
	return signalSet(text, "SigBlk:")
}

// describe is what can be known of the signal that the thread is stopped with.
func (t *tracer) describe(thread int, signal unix.Signal) *matrix.Dossier {
	dossier := &matrix.Dossier{Signal: signalName(signal), Main: thread == t.pid}
	if name, err := readProc(threadFile(t.pid, thread, "comm")); err == nil {
		dossier.Thread = fmt.Sprintf("%s (%d)", strings.TrimSpace(string(name)), thread)
	}
	blocked := t.blocked(thread)
	for _, signal := range blocked {
		dossier.Blocked = append(dossier.Blocked, signalName(signal))
	}
	if info, err := signalInfo(thread); err == nil {
		dossier.Code = codeName(signal, info.code)
		switch {
		case info.code <= 0:
			dossier.Sender = matrix.SenderOther
			if info.sender == t.pid {
				dossier.Sender = matrix.SenderSelf
			}
		case isFault(signal):
			dossier.Forced = t.forced(thread, signal, blocked)
			if info.code != siKernel {
				t.describeAddress(dossier, thread, info.address)
			}
		}
	}
	return dossier
}

// siginfo is what the kernel says of the signal that a thread is stopped with. It has
// a sender or an address, depending on its code.
type siginfo struct {
	signal  unix.Signal
	code    int
	sender  int
	address uint64
}

func signalInfo(thread int) (siginfo, error) {
	// siginfo_t: si_signo, si_code at 8; si_addr, si_pid at 16 on 64-bit systems.
	var info [128]byte
	if err := ptrace(unix.PTRACE_GETSIGINFO, thread, 0, uintptr(unsafe.Pointer(&info[0]))); err != nil {
		return siginfo{}, err
	}
	number := func(offset int) int { return int(int32(binary.NativeEndian.Uint32(info[offset:]))) }
	return siginfo{unix.Signal(number(0)), number(8), number(16), binary.NativeEndian.Uint64(info[16:])}, nil
}

// describeAddress says what was done to which page, as far as it can be known.
func (t *tracer) describeAddress(dossier *matrix.Dossier, thread int, address uint64) {
	dossier.Address = fmt.Sprintf("%#x", address)
	if dossier.Signal != "SIGSEGV" {
		return // the page's rights have no part in it
	}
	maps, err := readProc(fmt.Sprintf("/proc/%d/maps", t.pid))
	if err != nil {
		return
	}
	dossier.Page = pageRights(maps, address)
	var registers syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(thread, &registers); err == nil {
		dossier.Access = accessOf(dossier.Code, dossier.Page, address, registers.PC())
	}
}

// pageRights are the rights of the page at the address, from /proc/PID/maps.
func pageRights(maps []byte, address uint64) string {
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		first, end, _ := strings.Cut(fields[0], "-")
		from, fromErr := strconv.ParseUint(first, 16, 64)
		to, toErr := strconv.ParseUint(end, 16, 64)
		if fromErr == nil && toErr == nil && from <= address && address < to {
			return fields[1]
		}
	}
	return matrix.PageNone
}

// longestInstruction is x86's; those of other architectures are shorter.
const longestInstruction = 15

// accessOf is how the instruction at counter used the address when it faulted
// there. The kernel knows, but tells only the process's own handler. What may be
// read, and is not being executed, can be denied to a store alone.
func accessOf(code, rights string, address, counter uint64) matrix.Access {
	readable, writable, executable := strings.HasPrefix(rights, "r"), strings.Contains(rights, "w"), strings.Contains(rights, "x")
	fetched := counter <= address && address-counter < longestInstruction
	switch {
	case address == counter && !executable:
		return matrix.AccessExecute
	case code == "SEGV_ACCERR" && !fetched && readable && !writable:
		return matrix.AccessWrite
	}
	return ""
}

// release hands the probe's threads over to a debugger: a thread has one tracer.
func (t *tracer) release(p *probe) error {
	held, err := t.freeze(p)
	return cmp.Or(err, t.letGo(held))
}

// freeze stops all threads of the probe, and says which signals they were
// stopped with. The caller's, which is stopped already, is not among them.
func (t *tracer) freeze(p *probe) (map[int]unix.Signal, error) {
	held := map[int]unix.Signal{}
	until := time.Now().Add(freezeGrace)
	asked := map[int]bool{}
	for {
		running := 0
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(t.pid) + "/task")
		if err != nil {
			return held, err
		}
		for _, entry := range threads {
			thread, err := strconv.Atoi(entry.Name())
			if err != nil || t.threads[thread] {
				continue
			}
			running++
			if !asked[thread] {
				asked[thread] = true
				_ = ptrace(unix.PTRACE_INTERRUPT, thread, 0, 0)
			}
		}
		if running == 0 {
			return held, nil
		}
		progress := false
		for thread := range asked {
			if t.threads[thread] {
				continue
			}
			var status unix.WaitStatus
			reaped, err := wait(thread, &status, unix.WALL|unix.WNOHANG, nil)
			switch {
			case err != nil || reaped != thread:
			case status.Stopped():
				progress, t.threads[thread] = true, true
				switch {
				case int(status)>>16 == 0 && status.StopSignal() != syscallStop:
					held[thread] = status.StopSignal()
				case t.pending(thread):
					// It stops once more, with the signal, before it is back in
					// the program, at the latest when a call that it is about to
					// make has ended. Left pending, a fault would come before the
					// SIGSTOP of letGo, and kill the probe.
					t.resume(unix.PTRACE_CONT, thread, 0)
				}
			default: // ended
				progress = true
				t.forget(thread)
			}
		}
		if progress {
			continue
		}
		if !time.Now().Before(until) {
			return held, fmt.Errorf("%d threads did not stop within %s", running, freezeGrace)
		}
		p.wait(time.Until(until))
	}
}

// letGo gives the frozen threads up, and leaves the whole process stopped. The
// signals that they were stopped with are given back, but for those that would
// kill the probe before a debugger has seen it.
func (t *tracer) letGo(held map[int]unix.Signal) error {
	// Queued before any thread goes on: none of them executes an instruction.
	if err := unix.Kill(t.pid, unix.SIGSTOP); err != nil {
		return err
	}
	var failed error
	for thread := range t.threads {
		signal := held[thread]
		if signal != 0 && t.fatal(thread, signal) {
			signal = 0
		}
		failed = errors.Join(failed, ptrace(unix.PTRACE_DETACH, thread, 0, uintptr(signal)))
		delete(t.threads, thread)
	}
	return failed
}

func ptrace(request, thread int, address, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(thread), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func threadFile(pid, thread int, name string) string {
	return fmt.Sprintf("/proc/%d/task/%d/%s", pid, thread, name)
}

func isThread(pid, thread int) bool {
	_, err := os.Stat(threadFile(pid, thread, ""))
	return err == nil
}

// signalSet reads a mask of /proc/PID/status: bit n is signal n+1.
func signalSet(status []byte, key string) []unix.Signal {
	value, _ := statusField(status, key)
	mask, err := strconv.ParseUint(value, 16, 64)
	if err != nil {
		return nil
	}
	var set []unix.Signal
	for bit := range 64 {
		if mask>>bit&1 == 1 {
			set = append(set, unix.Signal(bit+1))
		}
	}
	return set
}

// siKernel is the code of a signal that the kernel sends without saying why,
// for example for a non-canonical address: si_addr is then no address.
const siKernel = 0x80

// codeName is si_code in the words of sigaction(2).
func codeName(signal unix.Signal, code int) string {
	switch code {
	case 0:
		return "SI_USER"
	case siKernel:
		return "SI_KERNEL"
	case -1:
		return "SI_QUEUE"
	case -2:
		return "SI_TIMER"
	case -6:
		return "SI_TKILL"
	}
	names := map[unix.Signal][]string{
		unix.SIGILL:  {"ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG", "ILL_COPROC", "ILL_BADSTK"},
		unix.SIGFPE:  {"FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB"},
		unix.SIGSEGV: {"SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"},
		unix.SIGBUS:  {"BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"},
		unix.SIGTRAP: {"TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT"},
	}[signal]
	if code > 0 && code <= len(names) {
		return names[code-1]
	}
	return strconv.Itoa(code)
}
