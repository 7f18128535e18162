package targets

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARequirementIsACommandOrAFile(t *testing.T) {
	folder := t.TempDir()
	module, command := filepath.Join(folder, "module"), filepath.Join(folder, "some-command")
	require.NoError(t, os.WriteFile(module, nil, 0o644))
	require.NoError(t, os.WriteFile(command, nil, 0o755))
	t.Setenv("PATH", folder)
	for requirement, want := range map[string]string{"some-command": command, module: module, folder: folder} {
		got, err := Locate(requirement)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := Locate("module")
	require.ErrorIs(t, err, exec.ErrNotFound, "a file that is no command is not looked for on the PATH")
	_, err = Locate(filepath.Join(folder, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}
