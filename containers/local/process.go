//go:build linux

package local

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endGrace is how long a process may take to end when its standard input has:
// the warden itself gives what it kills ten seconds.
const endGrace = 15 * time.Second

// complaintBytes of what a process says on standard error are kept to explain
// its end.
const complaintBytes = 4 << 10

// starter starts processes on one thread that lives as long as it: the kernel
// sends a child its parent-death signal when the thread that started it ends,
// and Go ends threads when it likes.
type starter struct {
	jobs chan func()
}

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) stop() { close(s.jobs) }

// child is a process that is spoken to over its standard streams. As a stream
// it reads the process's output and writes its input; Close ends the process.
type child struct {
	name    string
	command *exec.Cmd
	in, out *os.File
	said    complaint
	ended   chan struct{} // closed when the process was reaped
	closing sync.Once
	forget  func()
}

// start starts a process with temp as its folder for temporary files. When this
// process dies, however it does, the child's input ends and it is sent the
// signal.
func (s *starter) start(name string, whenOrphaned unix.Signal, temp string, log *lineWriter, program string, arguments ...string) (*child, error) {
	inChild, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inChild.Close()
	out, outChild, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer outChild.Close()
	c := &child{name: name, command: exec.Command(program, arguments...), in: in, out: out, ended: make(chan struct{}), forget: func() {}}
	c.said = complaint{name: name, log: log}
	c.command.Stdin, c.command.Stdout, c.command.Stderr = inChild, outChild, &c.said
	c.command.Env = append(os.Environ(), "TMPDIR="+temp)
	// A group of its own: an interrupt from the terminal is for the runner,
	// which then ends its children in order.
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.Signal(whenOrphaned)}
	// Strays could hold standard error open.
	c.command.WaitDelay = time.Second
	started := make(chan error)
	s.jobs <- func() { started <- c.command.Start() }
	if err := <-started; err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		// How it ended is in explain; that it was killed is no error.
		_ = c.command.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) Read(buffer []byte) (int, error)  { return c.out.Read(buffer) }
func (c *child) Write(buffer []byte) (int, error) { return c.in.Write(buffer) }

// Close ends the process by ending its input, or kills it when it does not end.
func (c *child) Close() error {
	var err error
	c.closing.Do(func() {
		c.in.Close()
		limit := time.NewTimer(endGrace)
		defer limit.Stop()
		select {
		case <-c.ended:
		case <-limit.C:
			err = fmt.Errorf("the %s did not end within %s and was killed", c.name, endGrace)
			_ = c.command.Process.Kill()
			<-c.ended
		}
		c.out.Close()
		c.forget()
	})
	return err
}

// explain adds to an error what the process said last and how it ended.
func (c *child) explain(err error) error {
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	how := ""
	select {
	case <-c.ended:
		how = ": " + c.command.ProcessState.String()
	case <-limit.C:
	}
	if said := c.said.last(); said != "" {
		how += ": " + said
	}
	return fmt.Errorf("the %s: %w%s", c.name, err, how)
}

// complaint passes a process's standard error on, line by line, and keeps its
// end.
type complaint struct {
	name string
	log  *lineWriter

	mu   sync.Mutex
	kept []byte
	line []byte
}

func (c *complaint) Write(chunk []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, chunk...)
	c.kept = c.kept[max(0, len(c.kept)-complaintBytes):]
	c.line = append(c.line, chunk...)
	for {
		line, rest, ok := bytes.Cut(c.line, []byte("\n"))
		if !ok {
			break
		}
		c.log.say("%s: %s", c.name, line)
		c.line = rest
	}
	return len(chunk), nil
}

func (c *complaint) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(string(c.kept))
}

var _ io.ReadWriteCloser = (*child)(nil)
