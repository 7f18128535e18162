package targets

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Locate finds what target.yaml's local.requires names: a command on the PATH,
// or, where no command would tell, a file by its absolute path. Its error is
// that of the search.
func Locate(requirement string) (string, error) {
	if filepath.IsAbs(requirement) {
		_, err := os.Stat(requirement)
		return requirement, err
	}
	return exec.LookPath(requirement)
}
