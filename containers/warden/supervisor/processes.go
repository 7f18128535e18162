//go:build linux

package supervisor

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100
// on every Linux architecture that Go supports.
const clockTick = 10 * time.Millisecond

var pageSize = int64(os.Getpagesize())

// process is what /proc/PID/stat says.
type process struct {
	pid      int
	name     string
	zombie   bool
	runnable bool          // its first thread runs, waits for a core or is in the kernel where no signal ends it
	rss      int64         // bytes; the kernel counts in batches per core, so it may be some 100 KiB off
	cpu      time.Duration // user and system time, its own and that of children it waited for
}

// tree sums up processes.
type tree struct {
	processes int // living ones; threads don't count
	rss       int64
	largest   int64 // the largest resident size of one process
	cpu       time.Duration
}

func (t *tree) add(p process) {
	t.cpu += p.cpu
	if p.zombie {
		return
	}
	t.processes++
	// Pages that several processes share count for each: what a group really
	// holds can only be found by walking its page tables, which takes longer
	// than the limit needs to be exact.
	t.rss += p.rss
	t.largest = max(t.largest, p.rss)
}

// descendants lists the process and all below it, as far as they can be seen
// while they come and go.
func descendants(root int) []process {
	var all []process
	known := map[int]bool{}
	waiting := []int{root}
	for len(waiting) > 0 {
		pid := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if known[pid] {
			continue
		}
		known[pid] = true
		if found, err := readProcess(pid); err == nil {
			all = append(all, found)
		}
		below, _ := children(pid)
		waiting = append(waiting, below...)
	}
	return all
}

// children lists a process's children. Those of this process belong to its main
// thread, see Serve; in others every thread may have some.
func children(pid int) ([]int, error) {
	folder := "/proc/" + strconv.Itoa(pid) + "/task/"
	threads := []string{strconv.Itoa(pid)}
	if pid != unix.Getpid() {
		opened, err := os.Open(folder)
		if err != nil {
			return nil, err
		}
		threads, err = opened.Readdirnames(-1)
		opened.Close()
		if err != nil {
			return nil, err
		}
	}
	var all []int
	var failed error
	for _, thread := range threads {
		text, err := readProc(folder + thread + "/children")
		if err != nil {
			failed = err
			continue
		}
		for _, word := range bytes.Fields(text) {
			if child, err := strconv.Atoi(string(word)); err == nil {
				all = append(all, child)
			}
		}
	}
	return all, failed
}

// readProc reads a file of /proc. os.ReadFile would register it with the
// poller, which costs more than the reading.
func readProc(path string) ([]byte, error) {
	descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(descriptor)
	var text []byte
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(descriptor, buffer)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return text, nil
		default:
			text = append(text, buffer[:n]...)
		}
	}
}

// readProcess reads /proc/PID/stat, whose fields proc(5) numbers from 1; the
// name, in parentheses, may hold blanks and parentheses itself.
func readProcess(pid int) (process, error) {
	text, err := readProc("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	fields := strings.Fields(string(text[end+1:]))
	const first = 3 // field 3 is fields[0]
	if len(fields) <= 24-first {
		return process{}, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	number := func(field int) int64 {
		value, _ := strconv.ParseInt(fields[field-first], 10, 64)
		return value
	}
	return process{
		pid:      pid,
		name:     string(text[open+1 : end]),
		zombie:   fields[0] == "Z" || fields[0] == "X",
		runnable: fields[0] == "R" || fields[0] == "D",
		rss:      number(24) * pageSize,
		cpu:      time.Duration(number(14)+number(15)+number(16)+number(17)) * clockTick,
	}, nil
}

// describe names processes for an error.
func describe(processes []process, probe int) string {
	var names []string
	for _, p := range processes {
		if p.pid != unix.Getpid() {
			names = append(names, fmt.Sprintf("%s (%d)", p.name, p.pid))
		}
	}
	if len(names) == 0 {
		names = append(names, strconv.Itoa(probe))
	}
	return strings.Join(names, ", ")
}

// peak finds a probe's highest resident size.
//
// The exact number is what the kernel says when the probe is reaped
// (ru_maxrss). But the kernel carries the size of the address space that called
// execve into it, and that was ours, as a probe is forked without a copy
// (fs/exec.c, exec_mmap). So below our own highest size the number says
// nothing, and the highest of the samples is taken: the high-water mark
// (VmHWM) read at the first line of output and at every look. It may be too low
// by what a probe takes and gives back after the last look. Without any sample,
// which needs a probe that ended silently within the first look, our own size is
// returned: an upper bound.
type peak struct {
	floor   int64 // our own highest resident size, bytes
	sampled int64
}

// firstLine samples the moment of the first line of output, and returns the
// resident size: that of the largest process, since a probe may be wrapped in
// a script.
func (p *peak) firstLine(pid int) int64 {
	var all tree
	for _, process := range descendants(pid) {
		all.add(process)
	}
	p.sample(pid, all.largest)
	return all.largest
}

// sample notes the size of the largest process.
func (p *peak) sample(pid int, largest int64) {
	p.sampled = max(p.sampled, largest)
	if p.sampled > p.floor {
		return // ru_maxrss will be exact
	}
	if text, err := readProc("/proc/" + strconv.Itoa(pid) + "/status"); err == nil {
		p.sampled = max(p.sampled, highWaterMark(text))
	}
}

func (p *peak) highest(maxrss int64) int64 {
	if maxrss > p.floor || p.sampled == 0 {
		return max(maxrss, p.sampled)
	}
	return p.sampled
}

// statusField finds a line of /proc/PID/status.
func statusField(text []byte, key string) (string, bool) {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// ownPeakRSS is the highest resident size of this process's address space, in
// bytes. Its own ru_maxrss would not do: that carries, in turn, the size of
// whatever started it.
func ownPeakRSS() int64 {
	text, err := readProc("/proc/self/status")
	if err != nil {
		return math.MaxInt64 // trust no ru_maxrss
	}
	return highWaterMark(text)
}

// highWaterMark is VmHWM of /proc/PID/status in bytes, 0 where there is none.
func highWaterMark(status []byte) int64 {
	mark, _ := statusField(status, "VmHWM:")
	kibibytes, _ := strconv.ParseInt(strings.TrimSuffix(mark, " kB"), 10, 64)
	return kibibytes << 10
}
