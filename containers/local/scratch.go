//go:build linux

package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// scratchPrefix begins the names of scratch folders in the cache folder.
const scratchPrefix = "run-"

// scratch is the folder of one run's temporary files, CACHE/run-ID.RANDOM. Its
// owner holds a lock on the file "owner" in it as long as it lives, whatever way
// it dies: unlike a process id, a lock can't become another's.
type scratch struct {
	folder string
	temp   string // for the wardens
	owner  *os.File
}

// newScratch makes the folder under a name that sweep ignores, and renames it
// when it is locked.
func newScratch(cache, run string) (*scratch, error) {
	aside, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	s := &scratch{folder: filepath.Join(cache, scratchPrefix+run+strings.TrimPrefix(filepath.Base(aside), "new"))}
	s.temp = filepath.Join(s.folder, "temp")
	err = os.Mkdir(filepath.Join(aside, "temp"), 0o700)
	if err == nil {
		s.owner, err = os.OpenFile(filepath.Join(aside, "owner"), os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err == nil {
		_, err = fmt.Fprintf(s.owner, "%d\n", os.Getpid()) // for people
	}
	if err == nil {
		err = unix.Flock(int(s.owner.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		err = os.Rename(aside, s.folder)
	}
	if err != nil {
		if s.owner != nil {
			s.owner.Close()
		}
		return nil, errors.Join(fmt.Errorf("scratch folder: %w", err), os.RemoveAll(aside))
	}
	return s, nil
}

func (s *scratch) remove() error {
	defer s.owner.Close()
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove the scratch folder: %w", err)
	}
	return nil
}

// sweep kills the processes and removes the scratch folders of runs whose owner
// is dead, and returns these folders. A live run's are locked.
func sweep(cache string) (swept []string, err error) {
	folders, globErr := filepath.Glob(filepath.Join(cache, scratchPrefix+"*"))
	if globErr != nil {
		return nil, globErr
	}
	for _, folder := range folders {
		owner, openErr := os.OpenFile(filepath.Join(folder, "owner"), os.O_RDWR, 0)
		if openErr != nil {
			if !errors.Is(openErr, os.ErrNotExist) {
				err = errors.Join(err, openErr)
				continue
			}
			// Half removed: the owner was past its end.
		} else if unix.Flock(int(owner.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			owner.Close()
			continue
		}
		killUsers(folder)
		if removeErr := os.RemoveAll(folder); removeErr != nil {
			err = errors.Join(err, removeErr)
		} else {
			swept = append(swept, folder)
		}
		if openErr == nil {
			owner.Close()
		}
	}
	return swept, err
}

// killUsers kills the processes that were told to keep their temporary files in
// the folder. Usually there are none: the end of its input ends a warden, and
// that its probes. But a warden may be killed, too.
func killUsers(folder string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil {
			continue
		}
		for _, variable := range bytes.Split(environment, []byte{0}) {
			if bytes.HasPrefix(variable, []byte("TMPDIR="+folder+"/")) {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}
