//go:build linux

package supervisor

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// threads are the probe's threads and what each is doing, the first one first.
func (p *probe) threads() []matrix.ThreadState {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(p.pid) + "/task")
	if err != nil {
		return nil
	}
	var ids []int
	for _, entry := range entries {
		if id, err := strconv.Atoi(entry.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var states []matrix.ThreadState
	for _, id := range ids[:min(len(ids), matrix.MaxThreads)] {
		name, err := readProc(threadFile(p.pid, id, "comm"))
		if err != nil {
			continue // it has ended
		}
		state := matrix.ThreadState{ID: id, Name: strings.TrimSuffix(string(name), "\n")}
		if status, err := readProc(threadFile(p.pid, id, "status")); err == nil {
			call, _ := readProc(threadFile(p.pid, id, "syscall"))
			letter, _ := statusField(status, "State:")
			state.State = stateInWords(letter, string(call))
		}
		if p.tracer != nil {
			state.Maker = p.tracer.makers[id]
		}
		states = append(states, state)
	}
	return states
}

// stateInWords is a thread's state, "S (sleeping)", and its system call, both as
// in /proc. The call is empty where the kernel does not tell it. That the tracer
// has stopped a thread is no state of its own.
func stateInWords(state, call string) string {
	in := ""
	if number, err := strconv.ParseUint(strings.SplitN(strings.TrimSpace(call), " ", 2)[0], 10, 32); err == nil {
		in = " in " + callName(uintptr(number))
	}
	switch {
	case strings.HasPrefix(state, "R"):
		return matrix.StateRunning
	case strings.HasPrefix(state, "S"):
		return "asleep" + in
	case strings.HasPrefix(state, "D"):
		return "asleep" + in + ", uninterruptibly"
	case strings.HasPrefix(state, "T"):
		return "stopped"
	case strings.HasPrefix(state, "Z"), strings.HasPrefix(state, "X"):
		return "ended"
	}
	return ""
}

// calls are the system calls that a thread may sleep in and that every
// architecture has; oldCalls those that newer ones lack.
var calls = map[uintptr]string{
	unix.SYS_FUTEX: "futex", unix.SYS_READ: "read", unix.SYS_READV: "readv", unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev",
	unix.SYS_NANOSLEEP: "nanosleep", unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep", unix.SYS_PPOLL: "ppoll", unix.SYS_PSELECT6: "pselect6",
	unix.SYS_EPOLL_PWAIT: "epoll_pwait", unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_RT_SIGSUSPEND: "rt_sigsuspend",
	unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait", unix.SYS_ACCEPT: "accept", unix.SYS_ACCEPT4: "accept4", unix.SYS_CONNECT: "connect",
	unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg",
}

func callName(number uintptr) string {
	if name := calls[number]; name != "" {
		return name
	}
	if name := oldCalls[number]; name != "" {
		return name
	}
	return fmt.Sprintf("system call %d", number)
}

var (
	threadHeader = regexp.MustCompile(`^Thread \d+ .*?\(LWP (\d+)\).*:$`)
	frameLine    = regexp.MustCompile(`^#\d+ +(?:0x[0-9a-f]+ in )?(\S.*?) \(.*\)(?: from (\S+)| at (\S+?):\d+)?$`)
)

// byThread splits the debugger's words on each thread.
func byThread(text string) map[int][]string {
	blocks := map[int][]string{}
	thread := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if found := threadHeader.FindStringSubmatch(line); found != nil {
			thread, _ = strconv.Atoi(found[1])
		} else if thread != 0 && line != "" {
			blocks[thread] = append(blocks[thread], line)
		}
	}
	return blocks
}

// wordBytes bounds what is taken of one line of the debugger's.
const wordBytes = 200

// threadStarts are the outermost functions of the threads' backtraces past the C
// library's. A backtrace that does not reach clone is cut or lost, and its
// outermost frame no beginning.
func threadStarts(backtrace string) map[int]string {
	starts := map[int]string{}
	for thread, lines := range byThread(backtrace) {
		cloned := false
		for _, line := range slices.Backward(lines) {
			frame := frameLine.FindStringSubmatch(line)
			if frame == nil {
				break
			}
			function, place := frame[1], path.Base(frame[2]+frame[3])
			if !cloned {
				if cloned = strings.Contains(function, "clone"); !cloned {
					break
				}
				continue
			}
			if function == "start_thread" || strings.HasPrefix(place, "libc.so") || strings.HasPrefix(place, "libpthread") {
				continue
			}
			switch {
			case function == "??" && place == ".": // neither is known
			case function == "??":
				starts[thread] = place
			case place == ".":
				starts[thread] = function
			default:
				starts[thread] = function + " in " + place
			}
			starts[thread] = starts[thread][:min(len(starts[thread]), wordBytes)]
			break
		}
		if starts[thread] == "" {
			delete(starts, thread)
		}
	}
	return starts
}

// instructionOf is the instruction that the debugger shows for the thread:
// "=> 0x401136 <main+4>:\tmovb   $0x1,0x10(%rax)".
func instructionOf(text string, thread int) string {
	for _, line := range byThread(text)[thread] {
		if shown, ok := strings.CutPrefix(line, "=> "); ok {
			if _, instruction, ok := strings.Cut(shown, ":\t"); ok {
				instruction = strings.Join(strings.Fields(instruction), " ")
				return instruction[:min(len(instruction), wordBytes)]
			}
		}
	}
	return ""
}
