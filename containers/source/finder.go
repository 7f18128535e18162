package source

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// FetchScript fetches a system from Quicklisp, through the Debian package that
// brings it; its arguments are the system and a folder.
//
//go:embed quicklisp.sh
var FetchScript string

// FetchPackages are the Debian packages that FetchScript needs.
var FetchPackages = []string{"sbcl", "cl-quicklisp"}

// fetchTime bounds a fetch, in which what it needs may have to be installed. The
// script itself gives up sooner where nothing answers.
const fetchTime = 5 * time.Minute

// Finder finds the sources of a run's bindings: a named folder's tree, or what
// the runtime can fetch. Its methods may be called by several goroutines.
type Finder struct {
	Named map[string]*Tree // by the binding's name
	// Fetch runs FetchScript for a system and an empty folder.
	Fetch func(ctx context.Context, system, folder string) error
	// Scratch is a folder for what is fetched.
	Scratch string

	mutex   sync.Mutex
	fetched map[string]*Tree // by the system
	failed  error
}

// Find is the tree of a binding that comes from elsewhere. One that can't be
// had is matrix.ErrUnavailable, with what to do. What can't be reached once is
// not tried again in this run: every client would wait for the same refusal.
func (f *Finder) Find(ctx context.Context, binding matrix.Binding) (*Tree, error) {
	if tree := f.Named[binding.Name]; tree != nil {
		return tree, nil
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if tree := f.fetched[binding.System]; tree != nil {
		return tree, nil
	}
	if f.failed == nil {
		tree, err := f.fetch(ctx, binding.System)
		if err == nil {
			if f.fetched == nil {
				f.fetched = map[string]*Tree{}
			}
			f.fetched[binding.System] = tree
			return tree, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f.failed = err
	}
	return nil, fmt.Errorf("%w: the ASDF system %s comes from Quicklisp, which can't be reached here; give its directory with --binding-source %s=DIR (%s)",
		matrix.ErrUnavailable, binding.System, binding.Name, lastLine(f.failed))
}

// lastLine is what a command's error ends with; the rest is in the run's log.
func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

func (f *Finder) fetch(ctx context.Context, system string) (*Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	folder, err := os.MkdirTemp(f.Scratch, "fetched-")
	if err != nil {
		return nil, fmt.Errorf("folder for what is fetched: %w", err)
	}
	defer os.RemoveAll(folder)
	if err := f.Fetch(ctx, system, folder); err != nil {
		return nil, err
	}
	from, err := os.ReadFile(filepath.Join(folder, "from"))
	if err != nil {
		return nil, fmt.Errorf("what was fetched: %w", err)
	}
	// What lies beside says when it was fetched and by whom: no source.
	return Read(filepath.Join(folder, "software"), string(from), system)
}
