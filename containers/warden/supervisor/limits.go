//go:build linux

package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
)

const (
	// openFiles is the usual soft limit: some programs close or select on all
	// descriptors below it, so more is not better. The hard limit lets a
	// runtime that wants more have it.
	openFiles     = 1024
	openFilesHard = 65536
	// fileBytes bounds one file that a probe writes, so that a probe run on the
	// host can't fill its disk.
	fileBytes = 1 << 30
	// coreFileBytes is that bound where core files are wanted: with its holes,
	// a core file is as large as the address space that was reserved.
	coreFileBytes = 1 << 42
)

// limitForGood sets the limits that hold for every probe on this process
// itself, which needs none of what they deny: a child has them from its first
// instruction, with no moment in which it has not.
func limitForGood(cores bool) error {
	core, file := uint64(warden.NoCore), uint64(fileBytes)
	if cores {
		core, file = warden.CoreMiB<<20, coreFileBytes
	}
	for _, limit := range []struct {
		name       string
		resource   int
		soft, hard uint64
	}{
		{"core files", unix.RLIMIT_CORE, core, core},
		{"open files", unix.RLIMIT_NOFILE, openFiles, openFilesHard},
		{"file size", unix.RLIMIT_FSIZE, file, file},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(limit.resource, &now); err != nil {
			return fmt.Errorf("read the limit of %s: %w", limit.name, err)
		}
		hard := min(limit.hard, now.Max)
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: min(limit.soft, hard), Max: hard}); err != nil {
			return fmt.Errorf("limit %s: %w", limit.name, err)
		}
	}
	return nil
}

// keepDescriptors has nothing that this process was given pass on to probes:
// what starts a warden may hold files open without care.
func keepDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	for _, entry := range entries {
		if descriptor, err := strconv.Atoi(entry.Name()); err == nil && descriptor > 2 {
			unix.CloseOnExec(descriptor)
		}
	}
	return nil
}

// kernelCPU is the limit of CPU time that the kernel keeps: a second above the
// bound, rounded up, so that looking (brokenBound), which also counts
// descendants, comes first, and this is for the case that we are starved.
func kernelCPU(bound time.Duration) (soft, hard time.Duration) {
	soft = (bound + 2*time.Second - 1).Truncate(time.Second)
	return soft, soft + time.Second
}

// brokeKernelCPU reports whether the signal is the kernel's word for that limit.
func brokeKernelCPU(bound, spent time.Duration, signal unix.Signal) bool {
	soft, hard := kernelCPU(bound)
	// The kernel looks at each tick, and accounts more finely than it looks.
	return signal == unix.SIGXCPU && spent >= soft-clockTick || signal == unix.SIGKILL && spent >= hard-clockTick
}

// limitCPU sets the kernel's limit on a probe that has just been started. Set on
// ourselves around the fork it would count the time that we have used already,
// and end us.
func limitCPU(pid int, bound time.Duration) error {
	if bound <= 0 {
		return nil
	}
	soft, hard := kernelCPU(bound)
	limit := unix.Rlimit{Cur: uint64(soft / time.Second), Max: uint64(hard / time.Second)}
	if err := unix.Prlimit(pid, unix.RLIMIT_CPU, &limit, nil); err != nil && err != unix.ESRCH {
		return fmt.Errorf("limit the probe's CPU time: %w", err)
	}
	return nil
}

// chooseForOOM has the kernel choose the probe, and what it starts, when memory
// runs out: not the warden that shares its control group, nor others on the host.
// A kernel or container that denies it only loses that preference.
func chooseForOOM(pid int) {
	file, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(file)
	_, _ = unix.Write(file, []byte("1000"))
}

// oomKills counts the processes that the kernel killed for want of memory, in
// this control group and those below it.
type oomKills struct {
	count int64
	known bool
}

func (now oomKills) more(before oomKills) bool {
	return now.known && before.known && now.count > before.count
}

// readOOMKills reads the count of our control group.
func readOOMKills() oomKills {
	text, err := readProc(oomFile())
	if err != nil {
		return oomKills{}
	}
	return parseOOMKills(text)
}

// oomFile finds the file with the count: memory.events of version 2,
// memory.oom_control of version 1 (Linux, Documentation/admin-guide). A
// container sees its group at the root of what is mounted, or at the path that
// /proc/self/cgroup names; the host's processes see it only there. It is empty
// where there is none, as in the host's root group of version 2.
var oomFile = sync.OnceValue(func() string {
	groups, err := readProc("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(groups)) {
		// "4:memory:/docker/1234" or "0::/docker/1234"
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var root, file string
		switch {
		case parts[1] == "memory":
			root, file = "/sys/fs/cgroup/memory", "/memory.oom_control"
		case parts[0] == "0" && parts[1] == "":
			root, file = "/sys/fs/cgroup", "/memory.events"
		default:
			continue
		}
		for _, path := range []string{root + parts[2] + file, root + file} {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	return ""
})

func parseOOMKills(text []byte) oomKills {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			count, err := strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64)
			return oomKills{count: count, known: err == nil}
		}
	}
	return oomKills{}
}
