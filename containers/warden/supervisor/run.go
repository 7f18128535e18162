//go:build linux

package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const (
	// pollEvery is how long a bound on memory, processes or CPU time can stay
	// broken unseen. A look costs some 50 µs of a core: a quarter of a percent.
	pollEvery = 20 * time.Millisecond
	// standstill is how late the warden must be, for no work of its own, to take it
	// that its container, or the machine, stood still meanwhile.
	standstill = 2 * time.Second
	// straysGrace is how long what outlives a probe must have been there, asleep, to
	// count as left behind: one that is just ending is not. Waiting costs nothing
	// where there are none.
	straysGrace = 100 * time.Millisecond
	// stirringGrace is how long they may all in all if they are not asleep, or
	// others each time: on a machine that has other work, one that is about to end
	// waits for a core. Nor is a dead one asleep: it has died since the last look,
	// or its last thread waits for a core.
	stirringGrace = time.Second
	// killAgain is how long what was killed may take before it is looked for
	// anew; usually its end is signalled before.
	killAgain = 5 * time.Millisecond
	// killGrace is how long killing may take. Only a process that sits in an
	// uninterruptible system call needs more, and then this warden can't vouch
	// for the next run.
	killGrace = 10 * time.Second
	// drainGrace is how long the outputs may stay open when all of the probe's
	// processes are gone: only a process outside could hold them.
	drainGrace = 2 * time.Second
	// floodFactor times its bound of standard output, a probe is killed. Below
	// it is only cut: chatter is no crime.
	floodFactor = 4
)

// probe is one run under way. It is used by the main thread alone.
type probe struct {
	request warden.Request
	scratch string
	pid     int
	group   bool // whether the pid's group may still be killed: not once it was reaped
	started time.Time
	worked  time.Duration // CPU time of ours by then
	desk    *desk

	stdout *head
	stderr *tail
	peak   peak
	tracer *tracer // nil unless traced

	exited  bool          // the probe is a zombie
	broke   matrix.Ending // the first bound that was broken
	wall    time.Duration
	paused  time.Duration // spent on the dossier of a crash, while the probe was stopped, or frozen with it
	reaped  time.Duration // CPU time of orphans that were reaped
	cpu     time.Duration // of all its processes, at the last look
	dossier *matrix.Dossier
}

// run runs the request and accounts for it; a core file that was asked for goes
// to send.
func run(desk *desk, request warden.Request, send func(warden.CoreChunk) error) (account *matrix.Account, err error) {
	scratch, err := os.MkdirTemp("", "probe-")
	if err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w", err)
	}
	defer func() {
		err = errors.Join(err, remove(scratch))
		for _, folder := range desk.sweep {
			err = errors.Join(err, empty(folder))
		}
	}()
	p := &probe{request: request, scratch: scratch, desk: desk}
	counter, before := readOOMKills(), spent()
	if err := p.start(); err != nil {
		return nil, err
	}
	p.watch()
	strays := 0
	if p.broke == "" && !desk.over {
		strays = p.awaitStrays()
	}
	status, usage, err := p.finish()
	if err != nil {
		return nil, err
	}
	if desk.over {
		return nil, errors.New("given up")
	}
	account = &matrix.Account{
		Wall:    p.wall,
		User:    time.Duration(usage.Utime.Nano()),
		System:  time.Duration(usage.Stime.Nano()),
		PeakRSS: p.peak.highest(usage.Maxrss << 10),
		Strays:  strays,
		Dossier: p.dossier,
	}
	// Of what the probe did not wait for itself, as far as it was seen.
	account.User += max(0, p.cpu-account.User-account.System)
	account.BaselineRSS = p.stdout.baseline
	account.Stdout, account.StdoutLost = p.stdout.kept, p.stdout.lost
	account.Stderr, account.StderrLost = p.stderr.kept, p.stderr.lost
	starved := status.Signal() == unix.SIGKILL && readOOMKills().more(counter)
	if err := p.conclude(account, status, starved); err != nil {
		return nil, err
	}
	if request.Witness != "" {
		account.WitnessCalls, account.WitnessLost, err = readWitness(p.witnessFile(), request.Witness)
		// One that went wrong may have died before the witness was there, or as
		// it wrote: how it ended counts, and needs no witness.
		if err != nil && account.Ending == matrix.Exited && account.Code == 0 {
			return nil, err
		}
	}
	if request.Core && status.Signaled() {
		account.CoreMissing = sendCore(scratch, status, send)
	}
	account.Supervision = max(0, spent()-before-account.User-account.System)
	return account, nil
}

// spent is the CPU time of this process and all that it has reaped.
func spent() time.Duration {
	var total int64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		// It fails for nothing but a wrong argument.
		_ = unix.Getrusage(who, &usage)
		total += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return time.Duration(total)
}

// conclude says how the probe ended: by the bound that it broke, else by its
// exact wait status. That the kernel killed for want of memory (starved) is no
// ending of the probe's unless it had as much as it may: the kernel counts the
// whole group's kills, whoever took the memory, and the probe is the first to go.
func (p *probe) conclude(account *matrix.Account, status unix.WaitStatus, starved bool) error {
	bounds := p.request.Bounds
	signal := status.Signal()
	switch {
	case p.broke != "":
		account.Ending = p.broke
	case status.Exited():
		account.Ending, account.Code = matrix.Exited, status.ExitStatus()
	case starved:
		if account.PeakRSS < int64(bounds.MemoryMiB)<<20 {
			return fmt.Errorf("the kernel killed the probe, which had %d of its %d MiB, as memory ran out around it", account.PeakRSS>>20, bounds.MemoryMiB)
		}
		account.Ending = matrix.EndedMemory
	case bounds.CPU > 0 && brokeKernelCPU(bounds.CPU, account.User+account.System, signal):
		account.Ending = matrix.EndedCPU
	default:
		account.Ending, account.Signal = matrix.Signaled, signalName(signal)
	}
	return nil
}

// start starts the probe's process.
func (p *probe) start() error {
	env := p.environment()
	program, err := findProgram(p.request.Command[0], env["PATH"])
	if err != nil {
		return fmt.Errorf("start %s: %w", p.request.Command[0], err)
	}
	if p.request.Witness != "" {
		if _, err := os.Stat(p.request.Witness); err != nil {
			return fmt.Errorf("preload the witness: %w", err)
		}
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the probe's standard input: %w", err)
	}
	defer unix.Close(null)
	stdout, stdoutEnd, err := pipe()
	if err != nil {
		return fmt.Errorf("make the probe's standard output: %w", err)
	}
	defer unix.Close(stdoutEnd)
	stderr, stderrEnd, err := pipe()
	if err != nil {
		unix.Close(stdout)
		return fmt.Errorf("make the probe's standard error: %w", err)
	}
	defer unix.Close(stderrEnd)
	var list []string
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	p.started, p.worked = time.Now(), ownCPU()
	p.pid, err = syscall.ForkExec(program, p.request.Command, &syscall.ProcAttr{
		Dir:   p.scratch,
		Env:   list,
		Files: []uintptr{uintptr(null), uintptr(stdoutEnd), uintptr(stderrEnd)},
		Sys: &syscall.SysProcAttr{
			Setsid:    true, // which also makes a process group of its own
			Pdeathsig: syscall.SIGKILL,
			Ptrace:    p.request.Trace,
		},
	})
	if err != nil {
		unix.Close(stdout)
		unix.Close(stderr)
		return fmt.Errorf("start %s: %w%s", program, err, hint(program, err))
	}
	p.group = true
	chooseForOOM(p.pid)
	p.peak.floor = ownPeakRSS()
	output := p.request.Bounds.Output
	if output == 0 {
		output = warden.MaxOutput
	}
	p.stdout = &head{stream: stream{descriptor: stdout}, limit: output, firstLine: func() int64 { return p.peak.firstLine(p.pid) }}
	p.stderr = &tail{stream: stream{descriptor: stderr}, limit: output}
	if err := limitCPU(p.pid, p.request.Bounds.CPU); err != nil {
		return errors.Join(err, p.abandon())
	}
	if p.request.Trace {
		if p.tracer, err = attach(p.pid); err != nil {
			return errors.Join(err, p.abandon())
		}
	}
	return nil
}

// pipe makes a pipe whose reading end does not block, while its writing end
// does, as every program expects of its standard output.
func pipe() (reading, writing int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, 0, err
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		return 0, 0, errors.Join(err, unix.Close(ends[0]), unix.Close(ends[1]))
	}
	return ends[0], ends[1], nil
}

// abandon kills a probe that can't be watched.
func (p *probe) abandon() error {
	_, _, err := p.finish()
	return err
}

// environment is the probe's whole environment: what the request gives, and
// what no program can do without.
func (p *probe) environment() map[string]string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := map[string]string{"PATH": path, "HOME": p.scratch, "TMPDIR": p.scratch}
	for key, value := range p.request.Env {
		env[key] = value
	}
	if p.request.Witness != "" {
		env["LD_PRELOAD"], env["ZM_WITNESS"] = p.request.Witness, p.witnessFile()
	}
	return env
}

func (p *probe) witnessFile() string { return filepath.Join(p.scratch, ".witness") }

// findProgram is the file to execute: the command itself if it has a slash,
// else the first such executable on the path.
func findProgram(command, path string) (string, error) {
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			return "", errors.New("a command with a slash must be an absolute path: the probe's folder is a fresh one")
		}
		info, err := os.Stat(command)
		switch {
		case err != nil:
			return "", err
		case info.IsDir():
			return "", &fs.PathError{Op: "execute", Path: command, Err: unix.EISDIR}
		}
		return command, nil
	}
	for _, folder := range filepath.SplitList(path) {
		candidate := filepath.Join(folder, command)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%w, which is %s", exec.ErrNotFound, path)
}

// hint says what the kernel's word means for a file that is there.
func hint(program string, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return " (the file is there: its interpreter or dynamic loader is not)"
	case errors.Is(err, unix.EACCES):
		return " (is it executable?)"
	case errors.Is(err, unix.ENOEXEC):
		return " (neither a program of this architecture nor a script that begins with #!)"
	}
	return ""
}

// watch waits until the probe has ended, breaks a bound, or nobody waits for it
// any more.
func (p *probe) watch() {
	wall := p.request.Bounds.Wall
	look := time.Now().Add(pollEvery)
	awake, worked := time.Duration(0), p.worked // when we last knew the time
	for {
		limit := time.Until(look)
		if wall > 0 {
			limit = min(limit, wall-p.elapsed())
		}
		limit = max(limit, 0)
		p.wait(limit)
		// We may have stood still anywhere since, not only where we waited. What we
		// have done since is no stop, however much there was to look at.
		now, cpu := p.elapsed(), ownCPU()
		still := stoodStill(now - awake - limit - (cpu - worked))
		p.paused += still
		awake, worked = now-still, cpu
		// Whatever woke us: a probe that has ended broke no bound.
		p.reap()
		switch {
		case p.desk.over:
			return
		case p.exited:
			p.wall = awake
			return
		case wall > 0 && awake >= wall:
			p.broke = matrix.EndedWall
		case p.stdout.flooded():
			p.broke = matrix.EndedOutput
		case !time.Now().Before(look):
			look = time.Now().Add(pollEvery)
			if p.tracer != nil {
				p.tracer.look()
			}
			p.broke = p.brokenBound()
		}
		if p.broke != "" {
			p.wall = awake
			if p.broke == matrix.EndedWall || p.broke == matrix.EndedCPU {
				p.dossier = p.hangDossier()
			}
			return
		}
	}
}

// ownCPU is the CPU time of this thread, which all of the warden's work is done in.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// stoodStill is what of the time by which we are late the probe is not charged.
// Not even a busy machine keeps a process from its turn for so long: it was stopped,
// and the probe may have been, too.
func stoodStill(late time.Duration) time.Duration {
	if late <= standstill {
		return 0
	}
	return late
}

// wait waits until a signal or output comes, at most for so long, and reads the
// output.
func (p *probe) wait(limit time.Duration) {
	descriptors := make([]unix.PollFd, 2, 4)
	for i, stream := range []*stream{&p.stdout.stream, &p.stderr.stream} {
		descriptors[i] = unix.PollFd{Fd: int32(stream.descriptor), Events: unix.POLLIN}
		if stream.ended {
			descriptors[i].Fd = -1 // which poll skips
		}
	}
	p.desk.poll(descriptors, limit)
	if descriptors[0].Revents != 0 {
		p.stdout.read()
	}
	if descriptors[1].Revents != 0 {
		p.stderr.read()
	}
}

// elapsed is how long the probe has been allowed to run.
func (p *probe) elapsed() time.Duration { return time.Since(p.started) - p.paused }

// brokenBound looks at the probe and its descendants.
func (p *probe) brokenBound() matrix.Ending {
	var all tree
	for _, process := range descendants(p.pid) {
		all.add(process)
	}
	p.peak.sample(p.pid, all.largest)
	p.cpu = max(p.cpu, all.cpu+p.reaped)
	bounds := p.request.Bounds
	switch {
	case bounds.Processes > 0 && all.processes > bounds.Processes:
		return matrix.EndedProcesses
	case bounds.MemoryMiB > 0 && all.rss > int64(bounds.MemoryMiB)<<20:
		return matrix.EndedMemory
	case bounds.CPU > 0 && all.cpu+p.reaped > bounds.CPU:
		return matrix.EndedCPU
	}
	return ""
}

// reap reaps orphans, handles what the tracer has to, and notes whether the
// probe has ended. The probe itself stays a zombie: that keeps its process id,
// and with it the group's, from being given to another process while the group
// may still have to be killed.
func (p *probe) reap() {
	options := unix.WEXITED
	if p.tracer != nil {
		options |= unix.WSTOPPED
	}
	for !p.exited {
		state, err := peek(options)
		if err != nil || state.pid == 0 {
			return
		}
		switch {
		case state.exited && state.pid == p.pid:
			p.exited = true
		case state.exited:
			p.reapOther(state.pid)
		default:
			p.tracer.stopped(p, state.pid)
		}
	}
}

// reapOther takes the wait status of a child that is not the probe: an orphan,
// or a traced thread that ended, whose CPU time is the probe's anyway.
func (p *probe) reapOther(pid int) (reaped bool) {
	var usage unix.Rusage
	if got, err := wait(pid, nil, unix.WALL|unix.WNOHANG, &usage); err != nil || got == 0 {
		return false
	}
	if p.tracer == nil || !p.tracer.forget(pid) {
		p.reaped += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return true
}

// awaitStrays gives what outlives the probe a moment to end by itself, and
// counts what does not. That nothing is left is believed only when nothing is
// seen, not even a dead process: while one ends its children become ours, and
// who looks then finds them neither here nor there. From one look to the next no
// more than pollEvery counts: had we been stopped, they may have been, too, or one
// that was seen asleep may have died since.
func (p *probe) awaitStrays() int {
	var passed, asleep time.Duration // in all, and since the same are there, and sleep
	var before []process
	looked := time.Now()
	for {
		step := min(time.Since(looked), pollEvery)
		looked = time.Now()
		reaped := p.reapOthers()
		others := p.others()
		passed, asleep = passed+step, asleep+step
		if reaped || !sleepOn(before, others) {
			asleep = 0
		}
		before = others
		if len(others) == 0 || p.desk.over || asleep >= straysGrace || passed >= stirringGrace {
			living := 0
			for _, process := range others {
				if !process.zombie {
					living++
				}
			}
			// The dead ones can't be reaped: their threads live.
			return cmp.Or(living, len(others))
		}
		if !reaped {
			p.wait(pollEvery)
		}
	}
}

// sleepOn tells whether the same processes are there as before, all asleep.
func sleepOn(before, others []process) bool {
	return slices.EqualFunc(before, others, func(one, other process) bool {
		return one.pid == other.pid && !other.runnable && !other.zombie
	})
}

// reapOthers reaps every dead child but the probe, if there is any.
func (p *probe) reapOthers() (reaped bool) {
	found, err := children(unix.Getpid())
	if err != nil {
		return false
	}
	for _, pid := range found {
		if pid != p.pid && p.reapOther(pid) {
			reaped = true
		}
	}
	return reaped
}

// finish kills all that is left of the run, reaps it and reads the rest of the
// outputs.
func (p *probe) finish() (status unix.WaitStatus, usage unix.Rusage, err error) {
	defer p.stdout.close()
	defer p.stderr.close()
	until := time.Now().Add(killGrace)
	for {
		settled := p.exited
		left := p.others()
		if len(left) > 0 || !p.exited {
			p.kill(left)
		}
		if p.tracer != nil {
			p.reap() // its threads' ends are ours to take
		}
		if p.group {
			reaped, waitErr := wait(p.pid, &status, unix.WALL|unix.WNOHANG, &usage)
			if waitErr == nil && reaped == p.pid && (status.Exited() || status.Signaled()) {
				p.group, p.exited = false, true
			}
		}
		// With nobody left but the probe, and that dead when we looked, there is
		// nobody who could have started another, or left one to us.
		if settled && len(left) == 0 && !p.group {
			break
		}
		p.reapOthers()
		if time.Now().After(until) {
			return status, usage, fmt.Errorf("processes of the probe can't be killed within %s: %s", killGrace, describe(left, p.pid))
		}
		p.wait(killAgain)
	}
	// Now that nobody holds the other ends, reading comes to an end.
	until = time.Now().Add(drainGrace)
	for p.stdout.read(); !p.stdout.ended && time.Now().Before(until); {
		p.wait(time.Until(until))
	}
	for p.stderr.read(); !p.stderr.ended && time.Now().Before(until); {
		p.wait(time.Until(until))
	}
	return status, usage, nil
}

// others lists our descendants, zombies included, but for the probe.
func (p *probe) others() []process {
	if p.exited {
		// Only then is the list of our children all there is to see, and
		// usually it holds the probe alone.
		if found, err := children(unix.Getpid()); err == nil && (len(found) == 0 || len(found) == 1 && found[0] == p.pid) {
			return nil
		}
	}
	var others []process
	for _, process := range descendants(unix.Getpid()) {
		if process.pid != p.pid && process.pid != unix.Getpid() {
			others = append(others, process)
		}
	}
	return others
}

// kill kills the whole group at once: the kernel lets no process of it fork past
// this. What left the group is killed one by one.
func (p *probe) kill(others []process) {
	if p.group {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
	for _, process := range others {
		// A dead one too, whose threads may live.
		_ = unix.Kill(process.pid, unix.SIGKILL)
	}
}

// remove removes what the probe left, even where it took its own rights away.
func remove(path string) error {
	err := os.RemoveAll(path)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove what the probe left: %w", err)
	}
	return nil
}

// empty removes all that is in a folder.
func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("remove what the probe left: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, remove(filepath.Join(folder, entry.Name())))
	}
	return errors.Join(errs...)
}
