package ci

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/results"
)

func TestAReportGoesWhereItIsTold(t *testing.T) {
	content := func(there int) []byte { return append([]byte("report"), byte('0'+there)) }
	read := func(t *testing.T, path string) string {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(data)
	}
	t.Run("nowhere, without a name", func(t *testing.T) { require.NoError(t, writeReport("", "", nil)) })
	t.Run("into a folder that is not there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a", "b.xml")
		require.NoError(t, writeReport(path, outputVariable, content))
		assert.Equal(t, "report0", read(t, path))
	})
	t.Run("in place of what was there", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "b.xml")
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
		require.NoError(t, writeReport(path, outputVariable, content))
		assert.Equal(t, "report0", read(t, path))
	})
	t.Run("behind what the step wrote so far", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "out")
		require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o644))
		t.Setenv(outputVariable, path)
		t.Chdir(filepath.Dir(path))
		require.NoError(t, writeReport("./out", outputVariable, content))
		assert.Equal(t, "old\nreport4", read(t, path))
		require.NoError(t, writeReport("out", stepSummaryVariable, content))
		assert.Equal(t, "report0", read(t, path), "it is not the file of that variable")
	})
	t.Run("into what is no file", func(t *testing.T) {
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		defer reader.Close()
		link := filepath.Join(t.TempDir(), "stdout")
		require.NoError(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", writer.Fd()), link))
		require.NoError(t, writeReport(link, "", content))
		require.NoError(t, writer.Close())
		got, err := io.ReadAll(reader)
		require.NoError(t, err)
		assert.Equal(t, "report0", string(got))
		info, err := os.Lstat(link)
		require.NoError(t, err)
		assert.Equal(t, os.ModeSymlink, info.Mode().Type(), "the link is still one")
	})
	t.Run("not into a folder", func(t *testing.T) { require.ErrorContains(t, writeReport(t.TempDir(), "", content), "it is a folder") })
}

func TestAFileIsNamedAsTheRepositoryHasIt(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "sub"), 0o755))
	t.Chdir(filepath.Join(root, "sub"))
	t.Setenv(workspaceVariable, root)
	assert.Equal(t, "sub/e.yaml", inRepository("e.yaml"))
	assert.Equal(t, "e.yaml", inRepository("../e.yaml"))
	assert.Equal(t, "sub/e.yaml", inRepository(filepath.Join(root, "sub", "e.yaml")))
	assert.Empty(t, inRepository("../../e.yaml"))
	assert.Empty(t, inRepository(""))
	// The reusable workflow checks the caller out into a folder.
	require.NoError(t, os.MkdirAll(filepath.Join(root, "checkout", ".git"), 0o755))
	assert.Equal(t, "e.yaml", inRepository("../checkout/e.yaml"))
	assert.Equal(t, "a/b/e.yaml", inRepository("../checkout/a/b/e.yaml"))
	assert.Equal(t, "sub/e.yaml", inRepository("e.yaml"))
	t.Setenv(workspaceVariable, "")
	assert.Equal(t, "e.yaml", inRepository("e.yaml"), "outside of a workflow, from here on")
}

// What is no terminal gets neither colour nor line breaks; what is one gets both,
// unless NO_COLOR is set.
func TestTheTableHasColourOnATerminalAlone(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer file.Close()
	assert.Equal(t, results.TerminalOptions{}, terminalOptions(file))
	terminal := openTerminal(t, 100)
	assert.Equal(t, results.TerminalOptions{Width: 100, Color: true}, terminalOptions(terminal))
	t.Setenv("NO_COLOR", "1")
	assert.Equal(t, results.TerminalOptions{Width: 100}, terminalOptions(terminal))
}

// openTerminal is a pseudo-terminal of so many columns.
func openTerminal(t *testing.T, columns uint16) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return terminal
}
