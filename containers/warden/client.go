package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// ErrGone marks the end of the stream: the warden exited, was killed, or the
// client was closed. Nothing can be run by this client any more.
var ErrGone = errors.New("the warden is gone")

// ErrVersion marks a warden that speaks another version of the protocol.
var ErrVersion = errors.New("the warden speaks another version of the protocol")

// replyGrace is how much longer than the wall limit of a run its reply may
// take: ten seconds for the debugger, ten for killing, and a loaded machine. A
// warden that needs longer is broken, and waiting for it would hang the run.
const replyGrace = 60 * time.Second

// coreGrace is how long writing, reading and sending a core file may take on
// top of that: 2 GiB through base64 took half a minute here.
const coreGrace = 5 * time.Minute

// Client asks one warden to run probes.
type Client struct {
	stream  io.ReadWriteCloser
	replies chan Reply
	done    chan struct{} // closed when reading has ended
	ended   chan struct{} // closed when the stream was given up; why is set before

	running sync.Mutex // held while a run is under way
	next    int64

	closing sync.Once
	why     error
}

// NewClient reads the greeting and takes over the stream, whose Close must end
// a Read and a Write that are under way, as pipes' and connections' do. With an
// error the stream has been closed.
func NewClient(ctx context.Context, stream io.ReadWriteCloser) (*Client, error) {
	client := &Client{stream: stream, replies: make(chan Reply), done: make(chan struct{}), ended: make(chan struct{})}
	greeted := make(chan error, 1)
	go func() {
		defer close(client.done)
		lines := NewLines(stream, MaxReplyLine)
		err := readGreeting(lines)
		greeted <- err
		if err == nil {
			err = client.read(lines)
		}
		client.end(err)
	}()
	select {
	case err := <-greeted:
		if err != nil {
			<-client.done
			return nil, fmt.Errorf("read the warden's greeting: %w", err)
		}
		return client, nil
	case <-ctx.Done():
		client.end(fmt.Errorf("%w: %w", ErrGone, ctx.Err()))
		return nil, fmt.Errorf("read the warden's greeting: %w", ctx.Err())
	}
}

func readGreeting(lines *Lines) error {
	line, err := lines.Next()
	if err != nil {
		return streamError(err)
	}
	// The version is read first and leniently: another version may greet with
	// other keys, and that it is another version is what has to be said.
	var version struct {
		Warden int `json:"warden"`
	}
	if err := json.Unmarshal(line, &version); err != nil || version.Warden == 0 {
		return fmt.Errorf("%s is no warden's greeting", excerpt(line))
	}
	if version.Warden != Version {
		return fmt.Errorf("%w: it speaks %d, this program %d: rebuild the image with this program", ErrVersion, version.Warden, Version)
	}
	if err := Decode(line, &Greeting{}); err != nil {
		return fmt.Errorf("%s: %w", excerpt(line), err)
	}
	return nil
}

// read hands replies to Run until the stream ends or breaks.
func (c *Client) read(lines *Lines) error {
	for {
		line, err := lines.Next()
		if err != nil {
			return streamError(err)
		}
		var reply Reply
		if err := Decode(line, &reply); err != nil {
			return fmt.Errorf("%w: its reply %s: %w", ErrGone, excerpt(line), err)
		}
		answers := 0
		for _, has := range []bool{reply.Account != nil, reply.Error != "", reply.Core != nil} {
			if has {
				answers++
			}
		}
		if answers != 1 {
			return fmt.Errorf("%w: its reply %s has not exactly one of account, error and core", ErrGone, excerpt(line))
		}
		select {
		case c.replies <- reply:
		case <-c.ended:
			return ErrGone
		}
	}
}

// Run runs the task in one fresh process. An error is the harness's fault: what
// could not be started, or a warden that is gone. A context that ends closes
// the client, which kills the probe.
func (c *Client) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	c.running.Lock()
	defer c.running.Unlock()
	if task.Bounds.Wall > 0 {
		limit := task.Bounds.Wall + replyGrace
		if task.Core != nil {
			limit += coreGrace
		}
		limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the warden did not answer within %s", limit))
		defer cancel()
		ctx = limited
	}
	c.next++
	request, err := json.Marshal(Request{
		ID: c.next, Op: OpRun, Command: task.Command, Env: task.Env, Witness: task.Witness, Bounds: task.Bounds, Trace: task.Trace,
		Core: task.Core != nil,
	})
	if err != nil {
		return matrix.Account{}, fmt.Errorf("encode the task: %w", err)
	}
	if len(request) > MaxRequestLine {
		return matrix.Account{}, fmt.Errorf("the task has %d bytes, at most %d", len(request), MaxRequestLine)
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.stream.Write(append(request, '\n'))
		written <- err
	}()
	var keeping error
	for {
		select {
		case err := <-written:
			if err != nil {
				// If the reader saw the end first, its reason holds.
				c.end(fmt.Errorf("%w: write a request: %w", ErrGone, err))
				return matrix.Account{}, c.why
			}
			written = nil
		case reply := <-c.replies:
			switch {
			case reply.ID != c.next:
				err := fmt.Errorf("%w: it answered request %d instead of %d: %s", ErrGone, reply.ID, c.next, reply.Error)
				c.end(err)
				return matrix.Account{}, err
			case reply.Error != "":
				return matrix.Account{}, fmt.Errorf("the warden: %s", reply.Error)
			case reply.Core != nil:
				if task.Core == nil {
					err := fmt.Errorf("%w: it sent a core file that nobody asked for", ErrGone)
					c.end(err)
					return matrix.Account{}, err
				}
				// What can't be kept is still taken: the account follows.
				if keeping == nil {
					keeping = keepCore(task.Core, *reply.Core)
				}
				continue
			case keeping != nil:
				return matrix.Account{}, fmt.Errorf("keep the core file: %w", keeping)
			}
			account := *reply.Account
			account.Stdout, account.CoreMissing = reply.Stdout, reply.CoreMissing
			return account, nil
		case <-c.ended:
			return matrix.Account{}, c.why
		case <-ctx.Done():
			err := context.Cause(ctx)
			c.end(fmt.Errorf("%w: closed, as a run was given up: %w", ErrGone, err))
			return matrix.Account{}, err
		}
	}
}

// keepCore writes one chunk; an empty one is the file's end.
func keepCore(file matrix.CoreFile, chunk CoreChunk) error {
	if len(chunk.Data) == 0 {
		return file.Truncate(chunk.Offset)
	}
	_, err := file.WriteAt(chunk.Data, chunk.Offset)
	return err
}

// Close ends the stream, at which the warden kills what it runs and exits.
func (c *Client) Close() error {
	c.end(fmt.Errorf("%w: closed by this side", ErrGone))
	<-c.done
	return nil
}

// end closes the stream; the first reason holds.
func (c *Client) end(why error) {
	c.closing.Do(func() {
		c.why = why
		close(c.ended)
		c.stream.Close()
	})
}

func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: its output ended", ErrGone)
	}
	return fmt.Errorf("%w: read its output: %w", ErrGone, err)
}

// excerpt shows the start of a line of unknown content.
func excerpt(line []byte) string {
	const most = 120
	if len(line) > most {
		return fmt.Sprintf("%q…", line[:most])
	}
	return fmt.Sprintf("%q", line)
}
