package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/docker"
	"github.com/zmqmatrix/zmqmatrix/containers/local"
	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Engine is a runtime that can be chosen.
type Engine struct {
	Name      string
	Available func(context.Context) error // nil error: Auto may choose it
	Open      func(context.Context, OpenOptions) (matrix.Runtime, error)
}

// OpenOptions are what every runtime is opened with.
type OpenOptions struct {
	Root     string // of the checkout
	CacheDir string
	RunID    string
	Log      io.Writer
	Sources  map[string]*source.Tree // of bindings that were given a folder, by their names
	Cores    bool                    // probes may leave core files
	// For docker alone.
	CopyBuilds, StaleArchive bool
}

// Engines are the runtimes, in the order in which Auto tries them.
func Engines() []Engine {
	return []Engine{
		{"docker", docker.Available, func(ctx context.Context, o OpenOptions) (matrix.Runtime, error) {
			return docker.New(ctx, docker.Options{
				Root: o.Root, CacheDir: o.CacheDir, RunID: o.RunID, Log: o.Log, Copy: o.CopyBuilds, StaleArchive: o.StaleArchive, Sources: o.Sources, Cores: o.Cores,
			})
		}},
		{"local", func(context.Context) error { return nil }, func(ctx context.Context, o OpenOptions) (matrix.Runtime, error) {
			return local.New(ctx, local.Options{Root: o.Root, CacheDir: o.CacheDir, RunID: o.RunID, Log: o.Log, Sources: o.Sources, Cores: o.Cores})
		}},
	}
}

// Auto is the name that stands for the first engine that is available.
const Auto = "auto"

// Choose picks an engine by name, or the first that is available, and says why
// in one line.
func Choose(ctx context.Context, engines []Engine, name string) (Engine, string, error) {
	var reasons string
	var names []string
	for _, engine := range engines {
		names = append(names, engine.Name)
		if name != Auto && name != engine.Name {
			continue
		}
		err := engine.Available(ctx)
		switch {
		case err == nil && name != Auto:
			return engine, "runtime " + engine.Name + ", as asked", nil
		case err == nil && reasons == "":
			return engine, "runtime " + engine.Name + ": it answers, and isolates clients best", nil
		case err == nil:
			return engine, "runtime " + engine.Name + ", because " + reasons, nil
		case name != Auto:
			return engine, "", fmt.Errorf("the runtime %s can't be used: %w\n`zmqmatrix doctor` says what is missing, the runtime auto takes another", engine.Name, err)
		}
		problem, _ := MendOf(err)
		reasons += engine.Name + " can't be used: " + problem
	}
	if name != Auto {
		return Engine{}, "", fmt.Errorf("there is no runtime %q; there are %s, and %s for the first of them that can be used", name, strings.Join(names, ", "), Auto)
	}
	return Engine{}, "", fmt.Errorf("no runtime can be used: %s; `zmqmatrix doctor` says what is missing", reasons)
}

// MendOf takes the command that mends it off an engine's error, whose line
// begins with "Run: ".
func MendOf(err error) (problem, mend string) {
	problem, advice, _ := strings.Cut(err.Error(), "\n")
	return problem, strings.TrimPrefix(advice, "Run: ")
}

// CacheDir is where runtimes keep what may be thrown away: builds, base
// images' archives.
func CacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a cache directory: %w; set HOME or XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(base, "zmqmatrix")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	return dir, nil
}

// closeLimit bounds the clean-up at the end of a run.
const closeLimit = 30 * time.Second

// Close closes a runtime, also after the context's end, and adds to err what it
// could not remove, as a *LeftError.
func Close(ctx context.Context, runtime matrix.Runtime, err error) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if closeErr := runtime.Close(closing); closeErr != nil {
		return errors.Join(err, &LeftError{closeErr})
	}
	return err
}

// LeftError is that something a run started may still be there.
type LeftError struct{ err error }

func (e *LeftError) Error() string {
	return fmt.Sprintf("removing what was started: %v; the next run sweeps it", e.err)
}
func (e *LeftError) Unwrap() error { return e.err }
