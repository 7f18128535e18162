package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// answerTime is how long an engine may take to say that it is there. A local
// one answers in milliseconds, one behind ssh in a second or two.
const answerTime = 15 * time.Second

// defaultSocket is where an engine on this machine listens unless it is told
// otherwise (dockerd's manual, "Daemon socket option").
const defaultSocket = "/var/run/docker.sock"

// Available says why no engine can be used here and the command that mends it,
// or nil if one answers.
func Available(ctx context.Context) error {
	provider, err := connect(ctx)
	if err != nil {
		return err
	}
	return provider.Close()
}

// connect finds the engine as testcontainers does and asks what it is.
func connect(ctx context.Context) (*testcontainers.DockerProvider, error) {
	quietTestcontainers()
	type answer struct {
		provider *testcontainers.DockerProvider
		err      error
	}
	// The library's constructor takes no context and may wait for an engine
	// that accepts and never answers.
	answers := make(chan answer, 1)
	go func() {
		provider, err := testcontainers.NewDockerProvider()
		if err == nil {
			_, err = provider.Client().Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		}
		if err == nil {
			err = notAnother(ctx, os.Getenv("DOCKER_HOST"), provider.Client().DaemonHost())
		}
		answers <- answer{provider, err}
	}()
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	select {
	case got := <-answers:
		if got.err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("docker engine: %w", ctx.Err())
		}
		if got.err != nil {
			return nil, look().explain(got.err)
		}
		return got.provider, nil
	case <-timer.C:
		return nil, look().explain(fmt.Errorf("no answer within %v", answerTime))
	case <-ctx.Done():
		return nil, fmt.Errorf("docker engine: %w", ctx.Err())
	}
}

// notAnother holds the library to the engine that DOCKER_HOST names. When that
// one does not answer, the library takes any other that it finds, without a
// word, and a run meant for one machine would measure another. Its own
// configuration may rightly name another one than a DOCKER_HOST that answers.
func notAnother(ctx context.Context, asked, taken string) error {
	if asked == "" || taken == asked {
		return nil
	}
	direct, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	_, err = direct.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	return errors.Join(err, direct.Close())
}

// signs is what can be seen of an engine that does not answer.
type signs struct {
	host      string // DOCKER_HOST
	socketErr error  // from connecting to the default socket
	installed bool   // the engine's program is on the PATH
	user      string
}

func look() signs {
	seen := signs{host: os.Getenv("DOCKER_HOST"), user: os.Getenv("USER")}
	if seen.host == "" {
		seen.socketErr = tryUnixSocket(defaultSocket)
	}
	for _, program := range []string{"dockerd", "docker"} {
		if _, err := exec.LookPath(program); err == nil {
			seen.installed = true
		}
	}
	return seen
}

func tryUnixSocket(path string) error {
	descriptor, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(descriptor)
	return syscall.Connect(descriptor, &syscall.SockaddrUnix{Name: path})
}

// explain is the error for people: what is wrong, and the command that mends it.
func (s signs) explain(cause error) error {
	user := s.user
	if user == "" {
		user = "$USER"
	}
	switch {
	case s.host != "":
		return fmt.Errorf("the docker engine at DOCKER_HOST=%s does not answer: %w\nRun: unset DOCKER_HOST, to use an engine on this machine, or docker version, to see what that one says", s.host, cause)
	case errors.Is(s.socketErr, fs.ErrPermission):
		return fmt.Errorf("the docker engine runs, but this user may not use it (%s): %w\nRun: sudo usermod -aG docker %s, then log in again", defaultSocket, s.socketErr, user)
	case errors.Is(s.socketErr, fs.ErrNotExist) && !s.installed:
		return fmt.Errorf("no docker engine is installed: %w\nRun: sudo apt-get install docker.io", firstLine(cause))
	case s.socketErr != nil:
		return fmt.Errorf("the docker engine is installed but not running: %w\nRun: sudo systemctl start docker (without systemd: sudo service docker start)", s.socketErr)
	}
	return fmt.Errorf("the docker engine does not answer as it should: %w\nRun: docker version, to see what it says", cause)
}

// firstLine shortens the library's list of all the places where it looked.
func firstLine(err error) error {
	line, rest, _ := strings.Cut(err.Error(), "\n")
	if rest == "" {
		return err
	}
	return errors.New(line)
}
