//go:build cgo

// Command zmqmatrix-endpoint is the common ZeroMQ endpoint as a process of its
// own, so that no client can take the harness down with it.
//
// By default it is driven over standard input and output and exits when the
// input ends. With --control HOST:PORT it listens there instead, for people
// who try it by hand; each connection has its own lanes, closed when it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
)

// maxControls bounds the control connections: each has ZeroMQ contexts of its
// own. One past it waits until another ends.
const maxControls = 16

func main() {
	var options peer.Options
	flag.StringVar(&options.Bind, "bind", "127.0.0.1", "IPv4 `address` that lanes listen on")
	flag.StringVar(&options.Advertise, "advertise", "", "`host` in the addresses handed out (default: the bind address)")
	control := flag.String("control", "-", "`where` requests come from: - is standard input and output, HOST:PORT is listened on")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "zmqmatrix-endpoint: unexpected argument %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, options, *control); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "zmqmatrix-endpoint:", err)
		os.Exit(3)
	}
}

func run(ctx context.Context, options peer.Options, control string) error {
	if control == "-" {
		return serve(ctx, options, standardStreams{})
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", control)
	if err != nil {
		return fmt.Errorf("listen for control connections: %w", err)
	}
	fmt.Fprintln(os.Stderr, "zmqmatrix-endpoint: control at", listener.Addr())
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var serving errgroup.Group
	serving.SetLimit(maxControls)
	for {
		connection, err := listener.Accept()
		if ctx.Err() != nil {
			return serving.Wait()
		}
		if err != nil {
			return fmt.Errorf("accept a control connection: %w", err)
		}
		serving.Go(func() error {
			// One person's broken connection is not another's end.
			if err := serve(ctx, options, connection); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "zmqmatrix-endpoint: control connection %v: %v\n", connection.RemoteAddr(), err)
			}
			return nil
		})
	}
}

// serve answers one control stream with lanes of its own.
func serve(ctx context.Context, options peer.Options, stream io.ReadWriteCloser) error {
	defer context.AfterFunc(ctx, func() { stream.Close() })()
	defer stream.Close()
	lanes, err := peer.New(options)
	if err != nil {
		return err
	}
	greeting := endpoint.Greeting{Endpoint: endpoint.Version, Libzmq: peer.Libzmq(), PID: os.Getpid()}
	err = endpoint.Serve(ctx, stream, greeting, lanes)
	return errors.Join(err, lanes.Close(context.WithoutCancel(ctx)))
}

// standardStreams are standard input and output as one stream.
type standardStreams struct{}

func (standardStreams) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (standardStreams) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (standardStreams) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }
