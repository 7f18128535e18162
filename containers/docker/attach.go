package docker

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// stderrKept is how much of a container's standard error is kept for the day
// it fails, in bytes: a Go panic with its goroutines fits.
const stderrKept = 64 << 10

// attachment is a container's standard streams as one io.ReadWriteCloser: what
// is written goes to its standard input, what is read is its standard output.
// Standard error is kept aside. Closing it ends the container's input, at which
// a warden and an endpoint exit.
type attachment struct {
	*io.PipeReader
	connection client.HijackedResponse
	stderr     *lastBytes
	ended      chan struct{} // closed when the container's streams have ended
	closing    sync.Once
}

// attach connects to a container that has not been started yet, so that no
// byte is missed.
func attach(ctx context.Context, api client.APIClient, id string) (*attachment, error) {
	result, err := api.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return nil, fmt.Errorf("attach to container %.12s: %w", id, err)
	}
	reader, writer := io.Pipe()
	a := &attachment{
		PipeReader: reader,
		connection: result.HijackedResponse,
		stderr:     &lastBytes{limit: stderrKept},
		ended:      make(chan struct{}),
	}
	go func() {
		defer close(a.ended)
		_, err := stdcopy.StdCopy(writer, a.stderr, a.connection.Reader)
		writer.CloseWithError(err) // nil reads as io.EOF
	}()
	return a, nil
}

func (a *attachment) Write(data []byte) (int, error) { return a.connection.Conn.Write(data) }

// CloseWrite ends the container's standard input and leaves its output open.
func (a *attachment) CloseWrite() error { return a.connection.CloseWrite() }

func (a *attachment) Close() error {
	a.closing.Do(func() {
		// Closing the connection ends the input as well, for it is attached
		// once; said first, it reaches the container before the engine notices.
		_ = a.connection.CloseWrite()
		a.connection.Close()
		a.PipeReader.Close()
		<-a.ended
	})
	return nil
}

// demultiplex puts both streams of a container into one.
func demultiplex(both io.Writer, multiplexed io.Reader) error {
	_, err := stdcopy.StdCopy(both, both, multiplexed)
	return err
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	limit int
	mutex sync.Mutex
	kept  []byte
}

func (l *lastBytes) Write(data []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.kept = append(l.kept, data...)
	if extra := len(l.kept) - l.limit; extra > 0 {
		l.kept = append(l.kept[:0], l.kept[extra:]...)
	}
	return len(data), nil
}

func (l *lastBytes) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return strings.TrimSpace(string(l.kept))
}
