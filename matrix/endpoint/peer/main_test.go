//go:build cgo

package peer_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer/baseline"
)

// selfVariable makes this test binary do a baseline's work instead of testing:
// the sender and the plain receiver are then processes of their own.
const selfVariable = "ZMQMATRIX_BASELINE"

func TestMain(m *testing.M) {
	if work := os.Getenv(selfVariable); work != "" {
		if err := baselineWork(strings.Fields(work)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	folder, err := os.MkdirTemp("", "peer-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	curveClientFolder = folder
	status := m.Run()
	os.RemoveAll(folder)
	os.Exit(status)
}

// baselineWork is "send ADDRESS SIZE COUNT" or "receive COUNT".
func baselineWork(words []string) error {
	count, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return err
	}
	if words[0] == "send" {
		size, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		return baseline.Send(words[1], size, count)
	}
	sink, err := baseline.Open()
	if err != nil {
		return err
	}
	defer sink.Close()
	fmt.Println(sink.Address)
	if err := sink.Receive(count); err != nil {
		return err
	}
	fmt.Println("received")
	return nil
}

func self(t testing.TB, work ...string) *exec.Cmd {
	path, err := os.Executable()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), path)
	command.Env = append(os.Environ(), selfVariable+"="+strings.Join(work, " "))
	command.Stderr = os.Stderr
	return command
}

func runSelf(t testing.TB, work ...string) {
	require.NoError(t, self(t, work...).Run())
}
