// Package measure makes a run, whoever asks for it: it chooses where clients
// run, opens runtime and record, finds what earlier runs know, and has the plan
// run.
package measure

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Run is a run that is about to begin or to go on.
type Run struct {
	Root    string // of the module's source tree
	Folder  Runs
	Header  matrix.Header
	Plan    matrix.Plan
	Trees   map[string]*source.Tree // of bindings, as they were when the run began
	Record  *results.Record         // nil until it is begun; the caller closes it
	Resumed *results.State          // nil: a new run
}

// Options say how a run is made.
type Options struct {
	Catalogue []matrix.Feature
	Engine    Engine
	// Open has the engine's own options; the others are the run's.
	Open     OpenOptions
	Parallel int // as in matrix.Options
	// Anew says of which cells no attempt of an earlier run is reused; nil: of
	// none.
	Anew    func(matrix.Cell) bool
	Observe func(matrix.Event)
	// Log is written what the engine and builds print, beside the run's own
	// file; nil: that file alone.
	Log io.Writer
	// Say is told what a person should know, by any goroutine. The text may hold
	// what others said.
	Say func(text string)
}

// priorRuns is how many earlier runs are searched for attempts to reuse. Each
// costs reading its record; more than a few back, images have changed.
const priorRuns = 10

// Dir is the run's own folder.
func (r *Run) Dir() string { return filepath.Join(string(r.Folder), r.Header.Run) }

// RecordPath is where the run's record is.
func (r *Run) RecordPath() string { return r.Folder.File(r.Header.Run, RecordName) }

// Measure opens the runtime, runs the plan in it and closes it, also after the
// context's end.
func (r *Run) Measure(ctx context.Context, options Options) (footer matrix.Footer, err error) {
	if err := os.MkdirAll(r.Dir(), 0o755); err != nil {
		return footer, fmt.Errorf("making the run's folder: %w", err)
	}
	logFile, err := os.OpenFile(r.Folder.File(r.Header.Run, EngineLogName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return footer, fmt.Errorf("opening the engine's log: %w", err)
	}
	defer logFile.Close()
	open := options.Open
	open.Root, open.RunID, open.Sources, open.Log = r.Root, r.Header.Run, r.Trees, logFile
	if options.Log != nil {
		open.Log = io.MultiWriter(logFile, options.Log)
	}
	if open.CacheDir, err = CacheDir(); err != nil {
		return footer, err
	}
	if r.Resumed != nil {
		options.Say(fmt.Sprintf("resuming run %s: %d attempts are recorded, %d of %d cells decided", r.Header.Run, r.Resumed.Attempts, r.Resumed.Decided, r.Plan.Cells))
	}
	prior := &laterPrior{anew: options.Anew}
	prior.reading.Go(func() { prior.found, prior.err = r.prior(options.Say) })
	defer func() { err = errors.Join(err, prior.close()) }()
	runtime, err := options.Engine.Open(ctx, open)
	if err != nil {
		return footer, fmt.Errorf("opening the runtime %s: %w", options.Engine.Name, err)
	}
	defer func() { err = Close(ctx, runtime, err) }()
	if r.Record == nil {
		if r.Record, err = results.OpenRecord(r.RecordPath()); err != nil {
			return footer, fmt.Errorf("beginning the record: %w", err)
		}
	}
	took, _, err := Durations(r.Root, r.Folder, r.Plan)
	if err != nil {
		options.Say(fmt.Sprintf("the order may make the run longer: %v", err))
	}
	return matrix.Run(ctx, matrix.Options{
		Plan: r.Plan, Catalogue: options.Catalogue, Runtime: runtime, Recorder: r.Record, Prior: prior, Took: func(cell matrix.Cell) time.Duration { return took[cell] },
		Header: r.Header, Resumed: r.Resumed != nil, Parallel: options.Parallel, Repeat: r.Header.Repeat, Observe: options.Observe,
	})
}

// laterPrior is what earlier runs attempted, records of megabytes that are read
// while the runtime and the clients are made ready, but for the cells that are to
// be attempted anew.
type laterPrior struct {
	reading sync.WaitGroup
	found   *results.Prior
	err     error // of the reading
	anew    func(matrix.Cell) bool
}

// Attempts implements matrix.Prior.
func (p *laterPrior) Attempts(cell matrix.Cell, key string) ([]matrix.Attempt, error) {
	p.reading.Wait()
	if p.err != nil || p.anew != nil && p.anew(cell) {
		return nil, p.err
	}
	return p.found.Attempts(cell, key)
}

func (p *laterPrior) close() error {
	p.reading.Wait()
	if p.found == nil {
		return nil
	}
	return p.found.Close()
}

// prior finds the attempts to reuse: those of the resumed run, and those of
// earlier runs unless they are not wanted.
func (r *Run) prior(say func(string)) (*results.Prior, error) {
	id := r.Header.Run
	resumed := ""
	if r.Resumed != nil {
		resumed = r.RecordPath()
	}
	var earlier []string
	if !r.Header.Fresh {
		runs, err := r.Folder.List()
		if err != nil {
			return nil, err
		}
		for _, name := range runs {
			if name != id && len(earlier) < priorRuns {
				earlier = append(earlier, r.Folder.File(name, RecordName))
			}
		}
	}
	prior, err := results.PriorOf(resumed, earlier...)
	if err != nil {
		return nil, fmt.Errorf("reading the attempts made before: %w", err)
	}
	for _, skipped := range prior.Skipped() {
		var version *results.VersionError
		if !errors.As(skipped, &version) {
			say("not reused: " + skipped.Error())
		}
	}
	return prior, nil
}

// RandomSeed is short enough to be typed.
func RandomSeed() uint64 {
	var random [4]byte
	rand.Read(random[:])
	return uint64(binary.BigEndian.Uint32(random[:]))
}
