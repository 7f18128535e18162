//go:build linux

// Package supervisor is the process side of the warden: it runs probes, one
// fresh process each, holds them to their bounds, kills all that is left of
// them, and accounts for how each ended.
//
// It is the first process of a container, or an ordinary process on the host
// that makes itself the reaper of its orphans. Either way every process that a
// probe starts stays its descendant, whatever session or group it moves to, and
// is its child once all between them have died. So what is left of a run is what
// its list of children says, and a run is over when that list is empty.
package supervisor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
)

// Options say what a warden lets its probes do.
type Options struct {
	Cores bool // leave core files
	// Sweep are folders that a probe may write in and that are emptied after it.
	Sweep []string
}

// Serve greets and answers requests until in ends or the process is told to
// terminate; what runs then is killed. It must be called on the process's main
// thread, locked to it, for three reasons: the kernel sends a probe's
// parent-death signal when the thread that started it ends, and the main thread
// ends last; orphans are handed to the main thread, so that its list of children
// is the whole list; and ptrace obeys only the thread that attached.
//
// That thread does everything itself, in one loop around poll: on a machine
// whose cores are busy with probes, each handing over between threads would wait
// its turn.
func Serve(in, out *os.File, options Options) error {
	if unix.Gettid() != unix.Getpid() {
		return errors.New("the supervisor must run on the main thread")
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	// A probe has the same user, for a debugger's sake, and could otherwise trace
	// this process, or write into its memory or its output what the runner takes for
	// an account. Probes are programs of their own, which begin dumpable again.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep probes out of the supervisor: %w", err)
	}
	if _, err := children(unix.Getpid()); err != nil {
		return fmt.Errorf("list own children, which needs a kernel with CONFIG_PROC_CHILDREN: %w", err)
	}
	if err := limitForGood(options.Cores); err != nil {
		return err
	}
	if err := keepDescriptors(); err != nil {
		return err
	}
	// Its descriptor, as Fd has it, blocks; poll says when a read will not.
	desk := &desk{in: int(in.Fd()), lines: warden.NewLines(in, warden.MaxRequestLine), sweep: options.Sweep}
	if err := desk.listenToSignals(); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	if err := encoder.Encode(warden.Greeting{Warden: warden.Version, PID: os.Getpid()}); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	for !desk.over {
		line, ok, err := desk.lines.Buffered()
		if !ok {
			desk.poll(nil, -1)
			continue
		}
		var reply warden.Reply
		if err != nil {
			reply.Error = fmt.Sprintf("not a request: %v", err)
		} else {
			reply = answer(desk, line, encoder)
		}
		if desk.over {
			break
		}
		if err := encoder.Encode(reply); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
	return nil
}

// answer does what the line asks for. A core file goes out before the reply
// that it returns.
func answer(desk *desk, line []byte, out *json.Encoder) warden.Reply {
	request, err := parse(line)
	reply := warden.Reply{ID: request.ID}
	if err == nil {
		reply.Account, err = run(desk, request, func(chunk warden.CoreChunk) error {
			return out.Encode(warden.Reply{ID: request.ID, Core: &chunk})
		})
	}
	if err != nil {
		reply.Account, reply.Error = nil, err.Error()
	} else {
		reply.Stdout, reply.CoreMissing = reply.Account.Stdout, reply.Account.CoreMissing
	}
	return reply
}

// desk is where requests and signals come in.
type desk struct {
	in      int
	lines   *warden.Lines
	event   int         // an eventfd: readable after a signal
	stopped atomic.Bool // told to terminate
	sweep   []string    // folders to empty after a run
	// over says that nobody will ask, or wait for an answer, any more.
	over bool
}

// listenToSignals has signals end a poll. The one that a child sends is usually
// delivered to the main thread, and ends its poll at once; for the moments in
// which that thread is elsewhere, it is also written to the eventfd.
func (d *desk) listenToSignals() error {
	var err error
	if d.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make an eventfd: %w", err)
	}
	// Caught, not ignored: an ignored signal would be ignored in the probes,
	// too. A broken pipe is then an error of the write.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	go func() {
		one := binary.NativeEndian.AppendUint64(nil, 1)
		for received := range signals {
			if received != unix.SIGCHLD {
				d.stopped.Store(true)
			}
			// It fails only when the count is at its maximum: readable anyway.
			_, _ = unix.Write(d.event, one)
		}
	}()
	return nil
}

// poll waits until one of the descriptors is ready, a signal came, or the limit
// is over; a negative limit is none. It takes in what was asked meanwhile.
func (d *desk) poll(descriptors []unix.PollFd, limit time.Duration) {
	// The caller's come first, and see what happened to them.
	all := append(descriptors, unix.PollFd{Fd: int32(d.event), Events: unix.POLLIN})
	// A client asks for one run at a time; one that has a whole line's length
	// waiting is let wait itself.
	if d.lines.Waiting() <= warden.MaxRequestLine {
		all = append(all, unix.PollFd{Fd: int32(d.in), Events: unix.POLLIN})
	}
	var timeout *unix.Timespec
	if limit >= 0 {
		spec := unix.NsecToTimespec(limit.Nanoseconds())
		timeout = &spec
	}
	// An interrupted poll is a signal, which the caller looks after.
	if _, err := unix.Ppoll(all, timeout, nil); err == nil {
		copy(descriptors, all)
		own := all[len(descriptors):]
		if own[0].Revents != 0 {
			var count [8]byte
			_, _ = unix.Read(d.event, count[:])
		}
		if len(own) > 1 && own[1].Revents != 0 && d.lines.Fill() != nil {
			d.over = true
		}
	} else {
		for i := range descriptors {
			descriptors[i].Revents = 0
		}
	}
	if d.stopped.Load() {
		d.over = true
	}
}

func parse(line []byte) (warden.Request, error) {
	var request warden.Request
	if err := warden.Decode(line, &request); err != nil {
		// The id is worth having even so: the asker waits for it.
		var id struct{ ID int64 }
		_ = json.NewDecoder(bytes.NewReader(line)).Decode(&id)
		return warden.Request{ID: id.ID}, fmt.Errorf("not a request: %w", err)
	}
	return request, check(request)
}

// check holds a request to what the protocol allows.
func check(request warden.Request) error {
	bounds := request.Bounds
	switch {
	case request.Op != warden.OpRun:
		return fmt.Errorf("unknown op %q; this warden knows %q", request.Op, warden.OpRun)
	case len(request.Command) == 0 || request.Command[0] == "":
		return errors.New("the request has no command")
	case bounds.Wall < 0 || bounds.CPU < 0 || bounds.MemoryMiB < 0 || bounds.Output < 0 || bounds.Processes < 0:
		return errors.New("a bound is negative; 0 means none")
	case bounds.Output > warden.MaxOutput:
		return fmt.Errorf("an output bound of %d bytes, at most %d", bounds.Output, warden.MaxOutput)
	}
	return nil
}
