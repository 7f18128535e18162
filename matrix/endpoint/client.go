package endpoint

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

// ErrGone is the end of the control stream: the endpoint exited, was killed,
// or the client was closed. The error that wraps it says which was seen.
var ErrGone = errors.New("the endpoint is gone")

// ErrVersion is an endpoint that speaks another version of the protocol.
var ErrVersion = errors.New("the endpoint speaks another version")

// ErrGarbled is a stream that carries something else than the protocol.
var ErrGarbled = errors.New("the endpoint's stream is garbled")

// answerTime is how long the endpoint may take to answer: closing a lane takes
// it two seconds at most, a loaded machine some more. One that needs longer is
// broken, or the way to it is, and waiting for it would hang the run.
const answerTime = time.Minute

// Client drives an endpoint over its control stream. It is a
// matrix.Endpoint; all its methods may be called at once.
type Client struct {
	greeting Greeting
	stream   io.ReadWriteCloser
	writes   chan []byte

	gone    chan struct{} // closed when the stream has ended; then why is set
	why     error
	readers sync.WaitGroup
	closing sync.Once

	mutex sync.Mutex
	next  int64
	calls map[int64]chan Reply // nil channel: nobody waits any more
}

var _ matrix.Endpoint = (*Client)(nil)

// NewClient reads the greeting and takes over the stream, whose Close must
// end a Read and a Write that are under way, as pipes' and connections' do.
// With an error the stream has been closed.
func NewClient(ctx context.Context, stream io.ReadWriteCloser) (*Client, error) {
	client := &Client{
		stream: stream,
		writes: make(chan []byte),
		gone:   make(chan struct{}),
		calls:  map[int64]chan Reply{},
	}
	lines := newLineReader(stream, MaxReplyLine)
	greeted := make(chan error, 1)
	client.readers.Go(func() {
		err := client.readGreeting(lines)
		greeted <- err
		if err == nil {
			err = client.readReplies(lines)
		}
		client.end(err)
	})
	client.readers.Go(client.writeRequests)
	select {
	case err := <-greeted:
		if err != nil {
			client.end(err)
			return nil, fmt.Errorf("read the endpoint's greeting: %w", err)
		}
		return client, nil
	case <-ctx.Done():
		client.end(ctx.Err())
		return nil, fmt.Errorf("read the endpoint's greeting: %w", ctx.Err())
	}
}

// Greeting is what the endpoint said of itself.
func (c *Client) Greeting() Greeting { return c.greeting }

// Open opens a lane. A lane whose opening was no longer waited for is closed
// when it is known.
func (c *Client) Open(ctx context.Context, request matrix.LaneRequest) (matrix.Lane, error) {
	if err := CheckLane(request); err != nil {
		return matrix.Lane{}, err
	}
	reply, err := c.call(ctx, Request{Op: OpOpen, Sockets: request.Sockets})
	if err != nil {
		return matrix.Lane{}, fmt.Errorf("open a lane: %w", err)
	}
	if reply.Lane == nil {
		return matrix.Lane{}, fmt.Errorf("open a lane: %w: the reply has no lane", ErrGarbled)
	}
	return *reply.Lane, nil
}

// CloseLane closes a lane and returns what the endpoint saw on it.
func (c *Client) CloseLane(ctx context.Context, id string) (matrix.LaneAccount, error) {
	reply, err := c.call(ctx, Request{Op: OpClose, Lane: id})
	if err != nil {
		return matrix.LaneAccount{}, fmt.Errorf("close lane %s: %w", id, err)
	}
	if reply.Account == nil {
		return matrix.LaneAccount{}, fmt.Errorf("close lane %s: %w: the reply has no account", id, ErrGarbled)
	}
	return *reply.Account, nil
}

// Close ends the control stream, at which the endpoint closes its lanes; one
// that was started for this stream exits.
func (c *Client) Close(ctx context.Context) error {
	c.end(errors.New("this side closed the stream"))
	ended := make(chan struct{})
	go func() {
		c.readers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the endpoint's stream: %w", ctx.Err())
	}
}

func (c *Client) call(ctx context.Context, request Request) (Reply, error) {
	answered := make(chan Reply, 1)
	c.mutex.Lock()
	c.next++
	request.ID = c.next
	c.calls[request.ID] = answered
	c.mutex.Unlock()

	line, err := json.Marshal(request)
	if err != nil {
		c.forget(request.ID)
		return Reply{}, fmt.Errorf("encode request: %w", err)
	}
	if len(line) > MaxRequestLine {
		c.forget(request.ID)
		return Reply{}, fmt.Errorf("the request has %d bytes, at most %d", len(line), MaxRequestLine)
	}
	patience := time.NewTimer(answerTime)
	defer patience.Stop()
	select {
	case c.writes <- append(line, '\n'):
	case <-c.gone:
		return Reply{}, c.why
	case <-patience.C:
		return Reply{}, c.giveUp()
	case <-ctx.Done():
		c.forget(request.ID)
		return Reply{}, ctx.Err()
	}
	select {
	case <-patience.C:
		return Reply{}, c.giveUp()
	case reply := <-answered:
		if reply.Error != "" {
			return Reply{}, fmt.Errorf("the endpoint says: %s", reply.Error)
		}
		return reply, nil
	case <-c.gone:
		// The reply may have been the stream's last line.
		select {
		case reply := <-answered:
			if reply.Error == "" {
				return reply, nil
			}
			return Reply{}, fmt.Errorf("the endpoint says: %s", reply.Error)
		default:
			return Reply{}, c.why
		}
	case <-ctx.Done():
		c.abandon(request.ID, answered)
		return Reply{}, ctx.Err()
	}
}

// giveUp ends the stream to an endpoint that does not answer.
func (c *Client) giveUp() error {
	c.end(fmt.Errorf("%w: it did not answer within %v", ErrGone, answerTime))
	return c.why
}

func (c *Client) forget(id int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.calls, id)
}

// abandon leaves a call that was sent; its reply, if it is a lane, is still
// to be closed, whether it comes later or came just now.
func (c *Client) abandon(id int64, answered chan Reply) {
	c.mutex.Lock()
	if _, waiting := c.calls[id]; waiting {
		c.calls[id] = nil
		c.mutex.Unlock()
		return
	}
	c.mutex.Unlock()
	c.closeUnwanted(<-answered)
}

// closeUnwanted closes the lane of a reply that nobody waits for.
func (c *Client) closeUnwanted(reply Reply) {
	if reply.Lane == nil {
		return
	}
	go func() {
		// Ends with the reply or with the stream; there is nobody to tell.
		_, _ = c.CloseLane(context.Background(), reply.Lane.ID)
	}()
}

func (c *Client) readGreeting(lines *lineReader) error {
	line, err := readLine(lines)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &c.greeting); err != nil || c.greeting.Endpoint == 0 {
		return fmt.Errorf("%w: it greets with %s", ErrGarbled, quote(line))
	}
	if c.greeting.Endpoint != Version {
		return fmt.Errorf("%w: %d, this is %d", ErrVersion, c.greeting.Endpoint, Version)
	}
	return nil
}

// readReplies hands out replies until the stream ends, and says how it ended.
func (c *Client) readReplies(lines *lineReader) error {
	for {
		line, err := readLine(lines)
		if err != nil {
			return err
		}
		var reply Reply
		if err := json.Unmarshal(line, &reply); err != nil {
			return fmt.Errorf("%w: no reply: %s", ErrGarbled, quote(line))
		}
		c.mutex.Lock()
		answered, known := c.calls[reply.ID]
		delete(c.calls, reply.ID)
		if answered != nil {
			answered <- reply
		}
		c.mutex.Unlock()
		if !known {
			return fmt.Errorf("%w: a reply to request %d, which is not open: %s", ErrGarbled, reply.ID, quote(line))
		}
		if answered == nil {
			c.closeUnwanted(reply)
		}
	}
}

func readLine(lines *lineReader) ([]byte, error) {
	line, err := lines.next()
	switch {
	case errors.Is(err, errLineTooLong):
		return nil, fmt.Errorf("%w: %w", ErrGarbled, err)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: its stream ended", ErrGone)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return line, nil
}

func (c *Client) writeRequests() {
	for {
		select {
		case line := <-c.writes:
			if _, err := c.stream.Write(line); err != nil {
				c.end(fmt.Errorf("%w: write request: %w", ErrGone, err))
				return
			}
		case <-c.gone:
			return
		}
	}
}

// end closes the stream, once, and tells all who wait why.
func (c *Client) end(why error) {
	c.closing.Do(func() {
		if !errors.Is(why, ErrGone) && !errors.Is(why, ErrGarbled) && !errors.Is(why, ErrVersion) {
			why = fmt.Errorf("%w: %w", ErrGone, why)
		}
		c.why = why
		close(c.gone)
		c.stream.Close()
	})
}

// quote shows the start of a line of unknown content.
func quote(line []byte) string {
	const limit = 80
	if len(line) > limit {
		return fmt.Sprintf("%q…", line[:limit])
	}
	return fmt.Sprintf("%q", line)
}
