//go:build linux

package supervisor_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// The kernel of the machine decides where core files go.
func TestACoreFileIsSentOrItsLackExplained(t *testing.T) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	require.NoError(t, err)
	client, err := warden.NewClient(t.Context(), startCommand(t, exec.Command(wardenProgram, warden.CoreFlag)))
	require.NoError(t, err)
	attempt := func(ask matrix.Task) (matrix.Account, *os.File) {
		core, err := os.Create(filepath.Join(t.TempDir(), "core"))
		require.NoError(t, err)
		t.Cleanup(func() { core.Close() })
		ask.Core = core
		account, err := client.Run(t.Context(), ask)
		require.NoError(t, err)
		return account, core
	}
	run := func(way ...string) (matrix.Account, *os.File) { return attempt(task(way...)) }
	account, core := run("segv")
	assert.Equal(t, "SIGSEGV", account.Signal)
	if strings.ContainsAny(string(pattern), "|/") {
		assert.Contains(t, account.CoreMissing, "core_pattern is ")
	} else {
		require.Empty(t, account.CoreMissing)
		file, err := elf.NewFile(core)
		require.NoError(t, err)
		assert.Equal(t, elf.ET_CORE, file.Type)
		last := uint64(0)
		for _, segment := range file.Progs {
			last = max(last, segment.Off+segment.Filesz)
		}
		info, err := core.Stat()
		require.NoError(t, err)
		assert.EqualValues(t, last, info.Size(), "it is whole")

		// One that is dead before its warden has looked at it has one too.
		atOnce := task("segv")
		atOnce.Command = []string{"sh", "-c", "kill -SEGV $$"}
		for range 20 {
			account, _ := attempt(atOnce)
			require.Empty(t, account.CoreMissing)
		}
	}
	account, _ = run("raise", "13")
	assert.Equal(t, "SIGPIPE", account.Signal)
	assert.Contains(t, account.CoreMissing, "a signal that leaves none")
	account, _ = run("exit", "0")
	assert.Empty(t, account.CoreMissing)

	// Who does not ask gets none, and nothing of one is left.
	account, err = client.Run(t.Context(), task("segv"))
	require.NoError(t, err)
	assert.Equal(t, "SIGSEGV", account.Signal)
	assert.Empty(t, account.CoreMissing)
}

func TestWithoutItsFlagAWardenLetsNoProbeLeaveACoreFile(t *testing.T) {
	ask := task("segv")
	core, err := os.Create(filepath.Join(t.TempDir(), "core"))
	require.NoError(t, err)
	defer core.Close()
	ask.Core = core
	account := runTask(t, ask)
	assert.Equal(t, "SIGSEGV", account.Signal)
	assert.Contains(t, account.CoreMissing, "the kernel wrote none")
}
