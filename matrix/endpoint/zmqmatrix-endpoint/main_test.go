//go:build cgo

package main_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

var binary string

func TestMain(m *testing.M) {
	directory, err := os.MkdirTemp("", "zmqmatrix-endpoint")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(directory, "zmqmatrix-endpoint")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	status := 1
	if build.Run() == nil {
		status = m.Run()
	}
	os.RemoveAll(directory)
	os.Exit(status)
}

// pipes are the two ends of a process's standard streams as one.
type pipes struct {
	io.Reader
	io.WriteCloser
	output io.Closer
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.output.Close()) }

func start(t *testing.T, arguments ...string) (*exec.Cmd, pipes) {
	command := exec.CommandContext(t.Context(), binary, arguments...)
	input, err := command.StdinPipe()
	require.NoError(t, err)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	return command, pipes{output, input, output}
}

// wait is the exit of a process that should be about to exit.
func wait(t *testing.T, command *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		command.Process.Kill()
		require.Fail(t, "the endpoint does not exit")
		return nil
	}
}

var sinkRequest = matrix.LaneRequest{Sockets: []matrix.SocketSpec{{Name: "sink", Role: matrix.RoleSink}}}

// exchange opens a lane, sends a message to it and closes it.
func exchange(t *testing.T, client *endpoint.Client) {
	lane, err := client.Open(t.Context(), sinkRequest)
	require.NoError(t, err)
	zeromq, err := zmq4.NewContext()
	require.NoError(t, err)
	socket, err := zeromq.NewSocket(zmq4.PUSH)
	require.NoError(t, err)
	require.NoError(t, socket.Connect(lane.Endpoints["sink"]))
	_, err = socket.SendBytes([]byte("hello"), 0)
	require.NoError(t, err)
	require.NoError(t, socket.Close())
	require.NoError(t, zeromq.Term())
	account, err := client.CloseLane(t.Context(), lane.ID)
	require.NoError(t, err)
	assert.Equal(t, []string{matrix.MessageDigest([]byte("hello"))}, account.Sockets["sink"].Digests)
	assert.Empty(t, account.Sockets["sink"].Error)
}

func TestItIsDrivenOverPipesAndExitsWhenItsInputEnds(t *testing.T) {
	command, stream := start(t)
	client, err := endpoint.NewClient(t.Context(), stream)
	require.NoError(t, err)
	assert.Equal(t, command.Process.Pid, client.Greeting().PID)
	exchange(t, client)
	_, err = client.Open(t.Context(), sinkRequest) // left open
	require.NoError(t, err)
	require.NoError(t, client.Close(t.Context()))
	assert.NoError(t, wait(t, command))
}

func TestItsClientHearsOfItsDeath(t *testing.T) {
	command, stream := start(t)
	client, err := endpoint.NewClient(t.Context(), stream)
	require.NoError(t, err)
	require.NoError(t, command.Process.Kill())
	_, err = client.Open(t.Context(), sinkRequest)
	assert.ErrorIs(t, err, endpoint.ErrGone)
	assert.Error(t, wait(t, command))
}

func TestItExitsWhenInterrupted(t *testing.T) {
	command, stream := start(t)
	client, err := endpoint.NewClient(t.Context(), stream)
	require.NoError(t, err)
	_, err = client.Open(t.Context(), sinkRequest)
	require.NoError(t, err)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	assert.NoError(t, wait(t, command))
}

func TestControlConnectionsHaveLanesOfTheirOwn(t *testing.T) {
	command := exec.CommandContext(t.Context(), binary, "--control", "127.0.0.1:0")
	output, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(output)
	require.True(t, lines.Scan())
	address := lines.Text()[strings.LastIndex(lines.Text(), " ")+1:]
	go io.Copy(io.Discard, output)

	connect := func() *endpoint.Client {
		connection, err := net.Dial("tcp", address)
		require.NoError(t, err)
		client, err := endpoint.NewClient(t.Context(), connection)
		require.NoError(t, err)
		return client
	}
	first, second := connect(), connect()
	lane, err := first.Open(t.Context(), sinkRequest)
	require.NoError(t, err)
	_, err = second.CloseLane(t.Context(), lane.ID)
	assert.ErrorContains(t, err, "there is no lane")
	require.NoError(t, first.Close(t.Context()))
	assert.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", strings.TrimPrefix(lane.Endpoints["sink"], "tcp://"))
		if err == nil {
			connection.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond, "the first connection's lane is closed")
	exchange(t, second)
	require.NoError(t, second.Close(context.Background()))
	require.NoError(t, command.Process.Signal(os.Interrupt))
	assert.NoError(t, wait(t, command))
}

func TestItRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, arguments := range [][]string{{"--no-such-flag"}, {"serve"}} {
		output, err := exec.CommandContext(t.Context(), binary, arguments...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 2, exit.ExitCode(), string(output))
	}
	output, err := exec.CommandContext(t.Context(), binary, "--bind", "nowhere").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.ExitCode())
	assert.Contains(t, string(output), `bind "nowhere": not an IPv4 address`)
}
