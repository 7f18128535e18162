package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// maxWaiting bounds the requests being worked on: every lane may be closing
// while as many are asked for. Past it the stream is not read, which its
// writer feels.
const maxWaiting = 2 * MaxLanes

// Serve answers the requests that arrive on stream out of lanes, each in its
// own goroutine, until the stream ends (nil), can't be read or written (the
// error) or ctx is done, which needs a stream that the caller closes. The
// lanes are left to the caller to close.
func Serve(ctx context.Context, stream io.ReadWriter, greeting Greeting, lanes matrix.Endpoint) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	// Closing what is left open can take long; whoever asked is gone.
	defer working.Wait()
	defer cancel()

	replies := &replyWriter{stream: stream}
	if err := replies.write(greeting); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	slots := make(chan struct{}, maxWaiting)
	lines := newLineReader(stream, MaxRequestLine)
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errLineTooLong):
			if err := replies.write(Reply{Error: "read request: " + err.Error()}); err != nil {
				return fmt.Errorf("reply: %w", err)
			}
			continue
		case errors.Is(err, errLineCut):
			return replies.write(Reply{Error: "read request: " + err.Error()})
		case err != nil:
			return fmt.Errorf("read request: %w", err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue // someone typing
		}
		request, err := ParseRequest(line)
		if err != nil {
			if err := replies.write(Reply{ID: request.ID, Error: err.Error()}); err != nil {
				return fmt.Errorf("reply: %w", err)
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		working.Go(func() {
			defer func() { <-slots }()
			if replies.write(answer(ctx, request, lanes)) != nil {
				cancel()
			}
		})
	}
}

func answer(ctx context.Context, request Request, lanes matrix.Endpoint) Reply {
	reply := Reply{ID: request.ID}
	switch request.Op {
	case OpOpen:
		lane, err := lanes.Open(ctx, matrix.LaneRequest{Sockets: request.Sockets})
		if err != nil {
			reply.Error = err.Error()
			return reply
		}
		reply.Lane = &lane
	case OpClose:
		account, err := lanes.CloseLane(ctx, request.Lane)
		if err != nil {
			reply.Error = err.Error()
			return reply
		}
		reply.Account = &account
	}
	return reply
}

// replyWriter writes whole lines from many goroutines.
type replyWriter struct {
	mutex  sync.Mutex
	stream io.Writer
}

func (w *replyWriter) write(value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	_, err = w.stream.Write(append(line, '\n'))
	return err
}
