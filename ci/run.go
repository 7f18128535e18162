package ci

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

type runCommand struct {
	selectionFlags
	outFlag
	engineFlags
	archiveFlag
	bindingFlags
	Repeat   int     `help:"Attempt every cell N times. Without it, until it is decided." placeholder:"N"`
	Seed     *uint64 `help:"What all payloads are made from. Without it, random and recorded." placeholder:"N"`
	Parallel int     `help:"Attempts at once. Without it, as many as there are cores for, by the CPU time that they take." placeholder:"N"`
	Resume   string  `help:"Go on with an unfinished run: its name, or last. What was selected, it knows." placeholder:"RUN"`
	// RepeatRun is about whole runs, Repeat about attempts within one.
	RepeatRun int  `help:"Make N whole runs, each afresh, and report the verdicts on which they differ." placeholder:"N"`
	Fresh     bool `help:"Reuse no attempt of an earlier run. A run that began so goes on so."`
	Publish   bool `help:"Write results/published, the README's table and an entry of results/history, if the run is complete, without a selection, and its controls are right."`
}

func (runCommand) Help() string {
	return `Each run has a folder with its record, published.json, report.md and report.html. A second
run reuses the attempts of earlier ones in the same out directory as far as nothing changed that they
depend on, and says how many.

Ctrl-C stops cleanly: what finished is recorded and --resume goes on with it. A second Ctrl-C gives up
at once; what is then left running is swept by the next run.

` + exitStatusTable
}

// closeLimit bounds the clean-up at the end of a run.
const closeLimit = 30 * time.Second

// priorRuns is how many earlier runs are searched for attempts to reuse. Each
// costs reading its record; more than a few back, images have changed.
const priorRuns = 10

// runPlan is a run that is about to begin or to go on.
type runPlan struct {
	sources
	folder  runFolder
	header  matrix.Header
	plan    matrix.Plan
	trees   map[string]*source.Tree // of bindings, as they were when the run began
	record  *results.Record
	resumed *results.State // nil: a new run
}

func (c *runCommand) Run(s *session) error {
	if err := c.checkFlags(); err != nil {
		return err
	}
	if c.RepeatRun > 0 {
		return c.repeatRun(s)
	}
	_, err := c.once(s)
	return err
}

// repeatRun makes whole runs and compares their verdicts. A run that ends
// otherwise than well ends it.
func (c *runCommand) repeatRun(s *session) error {
	c.Fresh = true
	var made []history.Snapshot
	for range c.RepeatRun {
		run, err := c.once(s)
		if err != nil {
			return err
		}
		published, err := results.FromRecord(run.folder.file(run.header.Run, recordName), s.catalogue, run.targets)
		if err != nil {
			return fmt.Errorf("reading run %s again: %w", run.header.Run, err)
		}
		made = append(made, history.SnapshotOf(published))
	}
	differences := history.Disagreements(made...)
	if s.json {
		var runs []string
		for _, run := range made {
			runs = append(runs, run.ID)
		}
		var broken error
		newEventWriter(s.out, func(err error) { broken = err }).write(eventLine{Event: "compared", Time: time.Now(), Runs: runs, Differences: &differences})
		if broken != nil {
			return fmt.Errorf("writing events to standard output: %w", broken)
		}
	}
	if len(differences) == 0 {
		fmt.Fprintf(s.err, "%s agree on every verdict\n", count(len(made), "run", "runs"))
		return nil
	}
	var lines []string
	for _, difference := range differences {
		lines = append(lines, "  "+difference.Text())
	}
	return &exitError{exitUnexpected, fmt.Errorf("%d runs differ on %s\n%s", len(made), count(len(differences), "verdict", "verdicts"), strings.Join(lines, "\n"))}
}

// once makes one whole run.
func (c *runCommand) once(s *session) (_ *runPlan, err error) {
	run, err := c.begin(s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if run.record != nil {
			err = errors.Join(err, run.record.Close())
		}
	}()
	wanted := c.Runtime
	if run.resumed != nil {
		// A record holds what one runtime found.
		wanted = run.header.Runtime
	}
	chosen, why, err := s.chooseEngine(wanted)
	if err != nil {
		return nil, err
	}
	return run, c.perform(s, run, chosen, why)
}

// checkFlags refuses combinations that contradict themselves.
func (c *runCommand) checkFlags() error {
	switch {
	case c.Repeat < 0:
		return usagef("--repeat %d: want at least 1", c.Repeat)
	case c.RepeatRun < 0 || c.RepeatRun == 1:
		return usagef("--repeat-run %d: want at least 2, to compare", c.RepeatRun)
	case c.RepeatRun > 0 && (c.Resume != "" || c.Publish):
		return usagef("--repeat-run makes new runs and compares them: leave out --resume and --publish")
	case c.Parallel < 0:
		return usagef("--parallel %d: want at least 1", c.Parallel)
	case c.Publish && c.Resume == "" && !c.empty():
		return usagef("--publish writes the results of a full run; leave the selection out")
	case c.Resume != "" && (!c.empty() || c.AllVariants || c.Repeat != 0 || c.Seed != nil):
		return usagef("--resume goes on with what was selected then: leave out --target, --binding, --feature, --technique, --all-variants, --repeat and --seed")
	}
	return nil
}

// begin makes the plan of a new run, or opens the record of one to resume.
func (c *runCommand) begin(s *session) (*runPlan, error) {
	from, err := s.sources()
	if err != nil {
		return nil, err
	}
	if err := c.keep(from.targets); err != nil {
		return nil, err
	}
	run := &runPlan{sources: from}
	if run.folder, err = c.folder(from); err != nil {
		return nil, err
	}
	if c.Publish && !from.checkout {
		return nil, usagef("--publish writes into the checkout that it is run in, and this is none: the targets come from %s", from.root)
	}
	if c.Resume != "" {
		return run, c.resume(s, run)
	}
	run.header = matrix.Header{
		Run: newRunID(time.Now()), Tool: s.version, Started: time.Now().UTC(),
		Selection: c.selection(), Repeat: c.Repeat, Fresh: c.Fresh, Seed: randomSeed(),
	}
	if c.Seed != nil {
		run.header.Seed = *c.Seed
	}
	if run.trees, err = c.trees(from.targets); err != nil {
		return nil, err
	}
	run.header.Sources = origins(run.trees)
	run.plan, err = matrix.MakePlan(from.targets, s.catalogue, run.header.Selection)
	return run, err
}

// randomSeed is short enough to be typed.
func randomSeed() uint64 {
	var random [4]byte
	rand.Read(random[:])
	return uint64(binary.BigEndian.Uint32(random[:]))
}

func (c *runCommand) resume(s *session, run *runPlan) error {
	name, err := run.folder.find(c.Resume)
	if err != nil {
		return err
	}
	record, state, err := results.ResumeRecord(run.folder.file(name, recordName))
	switch {
	case errors.Is(err, results.ErrComplete):
		return &exitError{exitUsage, fmt.Errorf("%w; `zmqmatrix show %s` prints it", err, name)}
	case err != nil:
		return err
	}
	refuse := func(err error) error { return errors.Join(err, record.Close()) }
	header := state.Header
	switch {
	case header.Run == "":
		return refuse(fmt.Errorf("run %s ended before anything was recorded; start a new run", name))
	case !mayResume(header.Tool, s.version):
		return refuse(fmt.Errorf("run %s was made by zmqmatrix %s, and this is %s: resume it with that one, or start a new run, which reuses what it may", name, header.Tool, s.version))
	case c.Runtime != "auto" && c.Runtime != header.Runtime:
		return refuse(usagef("run %s was made with the runtime %s: it can't go on with %s; start a new run", name, header.Runtime, c.Runtime))
	}
	plan, err := matrix.MakePlan(run.targets, s.catalogue, header.Selection)
	if err != nil {
		return refuse(fmt.Errorf("planning run %s again: %w", name, err))
	}
	if plan.Digest != header.PlanDigest {
		return refuse(fmt.Errorf("run %s had other cells than its selection gives today: a target or the catalogue was changed; start a new run, which reuses what it may", name))
	}
	if run.trees, err = c.resumeTrees(run.targets, name, header.Sources); err != nil {
		return refuse(err)
	}
	run.header, run.plan, run.record, run.resumed = header, plan, record, state
	return nil
}

// perform runs the plan in the chosen runtime, and shows and writes what comes
// of it.
func (c *runCommand) perform(s *session, run *runPlan, chosen engine, why string) error {
	id := run.header.Run
	board := newBoard("run "+id+" · "+chosen.name, run.plan, s.catalogue, time.Now())
	// JSON lines on the same terminal would tear a screen apart.
	plain := s.json && term.IsTerminal(int(s.out.Fd()))
	show := newProgress(s.err, plain, board)
	complete := false
	defer func() { show.Close(complete) }()

	ctx, release := interruptible(s,
		func() { show.Stopping(); show.Say("stopping: what is under way is ended and removed") },
		func() {
			show.Say("still stopping; another Ctrl-C gives up, and leaves what runs to be swept by the next run")
		},
		func() { show.Close(false) })
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	observers := []func(matrix.Event){show.Observe}
	var events *eventWriter
	if s.json {
		events = newEventWriter(s.out, func(err error) { cancel(fmt.Errorf("writing events to standard output: %w", err)) })
		observers = append(observers, events.Observe)
		events.write(eventLine{
			Event: "started", Time: time.Now(), Schema: EventsSchema, Run: id, Dir: filepath.Dir(run.folder.file(id, recordName)),
			Runtime: chosen.name, PlanDigest: run.plan.Digest, Cells: run.plan.Cells,
		})
	}
	show.Say(printable(why))
	tally := &tally{ran: map[matrix.Client]bool{}}
	observers = append(observers, tally.Observe)

	footer, err := c.measure(ctx, s, run, chosen, show, func(event matrix.Event) {
		for _, observe := range observers {
			observe(event)
		}
	})
	if err != nil {
		err = c.stopped(ctx, run, tally, err)
	} else {
		complete = true
		show.Close(true)
		err = c.conclude(s, run, tally, footer)
	}
	if events != nil {
		status := exitStatus(err)
		line := eventLine{Event: "finished", Time: time.Now(), Exit: &status}
		if err != nil {
			line.Text = err.Error()
		}
		if complete {
			line.Footer = &footer
		}
		events.write(line)
	}
	return err
}

// measure opens the runtime, runs the plan in it and closes it, also after
// Ctrl-C.
func (c *runCommand) measure(ctx context.Context, s *session, run *runPlan, chosen engine, show progress, observe func(matrix.Event)) (footer matrix.Footer, err error) {
	id := run.header.Run
	if err := os.MkdirAll(filepath.Join(string(run.folder), id), 0o755); err != nil {
		return footer, fmt.Errorf("making the run's folder: %w", err)
	}
	log, err := os.OpenFile(run.folder.file(id, engineLogName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return footer, fmt.Errorf("opening the engine's log: %w", err)
	}
	defer log.Close()
	cache, err := cacheDir()
	if err != nil {
		return footer, err
	}
	prior, err := c.prior(run, show)
	if err != nil {
		return footer, err
	}
	defer func() { err = errors.Join(err, prior.Close()) }()
	runtime, err := chosen.open(ctx, c.options(openOptions{
		Root: run.root, CacheDir: cache, RunID: id, Sources: run.trees,
		Log: io.MultiWriter(log, &lineWriter{each: show.Log}),
	}))
	if err != nil {
		return footer, fmt.Errorf("opening the runtime %s: %w", chosen.name, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if closeErr := runtime.Close(closing); closeErr != nil {
			err = errors.Join(err, &leftError{closeErr})
		}
	}()
	if run.record == nil {
		if run.record, err = results.OpenRecord(run.folder.file(id, recordName)); err != nil {
			return footer, fmt.Errorf("beginning the record: %w", err)
		}
	}
	took, err := c.took(run)
	if err != nil {
		return footer, err
	}
	return matrix.Run(ctx, matrix.Options{
		Plan: run.plan, Catalogue: s.catalogue, Runtime: runtime, Recorder: run.record, Prior: prior, Took: took,
		Header: run.header, Resumed: run.resumed != nil, Parallel: c.Parallel, Repeat: run.header.Repeat, Observe: observe,
	})
}

// leftError is that something the run started may still be there.
type leftError struct{ err error }

func (e *leftError) Error() string {
	return fmt.Sprintf("removing what was started: %v; the next run sweeps it", e.err)
}
func (e *leftError) Unwrap() error { return e.err }

// prior finds the attempts to reuse: those of the resumed run, and those of
// earlier runs unless they are not wanted.
func (c *runCommand) prior(run *runPlan, show progress) (*results.Prior, error) {
	id := run.header.Run
	resumed := ""
	if run.resumed != nil {
		resumed = run.folder.file(id, recordName)
		show.Say(fmt.Sprintf("resuming run %s: %d attempts are recorded, %d of %d cells decided", id, run.resumed.Attempts, run.resumed.Decided, run.plan.Cells))
	}
	var earlier []string
	if !c.Fresh && !run.header.Fresh {
		runs, err := run.folder.runs()
		if err != nil {
			return nil, err
		}
		for _, name := range runs {
			if name != id && len(earlier) < priorRuns {
				earlier = append(earlier, run.folder.file(name, recordName))
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
			show.Say("not reused: " + printable(skipped.Error()))
		}
	}
	return prior, nil
}

// tookRuns is how many earlier runs are asked what cells took. It only decides
// which client goes first, so that the last full run or two will do.
const tookRuns = 3

// took is what each cell's attempts took in the newest run that attempted it.
func (c *runCommand) took(run *runPlan) (func(matrix.Cell) time.Duration, error) {
	runs, err := run.folder.runs()
	if err != nil {
		return nil, err
	}
	durations := map[matrix.Cell]time.Duration{}
	for _, name := range slices.Backward(runs[:min(len(runs), tookRuns)]) {
		// A record that can't be read costs nothing but a worse order.
		for line, err := range results.ReadRecord(run.folder.file(name, recordName)) {
			if err != nil {
				break
			}
			if verdict := line.Verdict; verdict != nil && verdict.Slowest > 0 {
				durations[verdict.Cell] = time.Duration(max(1, verdict.Attempts)) * verdict.Slowest
			}
		}
	}
	return func(cell matrix.Cell) time.Duration { return durations[cell] }, nil
}

// stopped explains a run that has no footer, and how to go on with it.
func (c *runCommand) stopped(ctx context.Context, run *runPlan, tally *tally, err error) error {
	// After a cancellation every layer reports its own; the cause is what
	// happened. What could not be removed is told in any case.
	var left *leftError
	errors.As(err, &left)
	cause := context.Cause(ctx)
	if cause != nil {
		err = cause
	}
	folder := filepath.Dir(run.folder.file(run.header.Run, recordName))
	resume := "zmqmatrix run --resume " + run.header.Run
	if c.Out != "" {
		resume += " --out " + c.Out
	}
	state, inspecting := results.Inspect(filepath.Join(folder, recordName))
	begun := inspecting == nil && state.Header.Run != ""
	interrupted := errors.Is(cause, errInterrupted)
	switch {
	case !begun && interrupted:
		err = fmt.Errorf("%w before anything was recorded", err)
	case !begun:
		err = fmt.Errorf("%w\nnothing was recorded; what the engine printed is in %s", err, filepath.Join(folder, engineLogName))
	case interrupted:
		err = fmt.Errorf("%w with %d of %d cells decided; what finished is recorded\nresume with: %s", err, tally.count(), run.plan.Cells, resume)
	default:
		err = fmt.Errorf("%w\nthe run is not finished; what finished is recorded in %s\nresume with: %s", err, folder, resume)
	}
	if !begun && run.record != nil {
		// An empty record is no run, and nothing could go on with it.
		err = errors.Join(err, run.record.Close(), os.Remove(filepath.Join(folder, recordName)))
		run.record = nil
	}
	if cause != nil && left != nil {
		err = errors.Join(err, left)
	}
	return err
}

// conclude writes what a complete run found, prints its table and decides the
// exit status.
func (c *runCommand) conclude(s *session, run *runPlan, tally *tally, footer matrix.Footer) error {
	id := run.header.Run
	record := run.folder.file(id, recordName)
	// The footer is on the disk before anything is made from it.
	closing := run.record.Close()
	run.record = nil
	if closing != nil {
		return closing
	}
	published, err := results.FromRecord(record, s.catalogue, run.targets)
	if err != nil {
		return fmt.Errorf("gathering the results: %w", err)
	}
	if !s.json {
		s.print("%s", results.Terminal(published, terminalOptions(s.out)))
	}
	if err := writeResults(filepath.Dir(record), resultNames{publishedName, markdownName, pageName}, published); err != nil {
		return fmt.Errorf("%w\nthe run is complete and recorded: `zmqmatrix show %s` prints its table, and a further run reuses its attempts and writes the reports again", err, id)
	}
	fmt.Fprintf(s.err, "%d attempts, %d of them reused from earlier runs; report: %s\n",
		footer.Attempts, footer.Reused, filepath.Join(filepath.Dir(record), pageName))
	if footer.Bound != nil {
		fmt.Fprintln(s.err, boundLine(*footer.Bound))
	}
	if err := verdictOn(run, s.catalogue, tally, footer); err != nil {
		return err
	}
	if c.Publish {
		return publish(s, run, record)
	}
	return nil
}

// boundLine says how near the run came to its lower bound.
func boundLine(bound matrix.Bound) string {
	if bound.Ratio == 0 {
		return "took " + seconds(bound.Wall)
	}
	why := fmt.Sprintf("%s of CPU time on %s", seconds(bound.CPU), count(bound.Cores, "core", "cores"))
	if bound.Lower == bound.Chain {
		why = fmt.Sprintf("%s's own chain", bound.Longest)
	}
	return fmt.Sprintf("took %s, %.2f times the lower bound of %s: %s", seconds(bound.Wall), bound.Ratio, seconds(bound.Lower), why)
}

// verdictOn is the exit status of a complete run, as an error that says why it
// is not 0.
func verdictOn(run *runPlan, catalogue []matrix.Feature, tally *tally, footer matrix.Footer) error {
	var misjudged, unjudged []string
	for _, control := range footer.Controls {
		text := "  " + printable(control.Text())
		switch {
		case control.Held():
		case control.Outcome == matrix.Error || control.Outcome == matrix.NotRun:
			unjudged = append(unjudged, text)
		default:
			misjudged = append(misjudged, text)
		}
	}
	selected, err := selected(run, catalogue)
	switch {
	case err != nil:
		return err
	case len(misjudged) > 0:
		return &exitError{exitMisjudged, fmt.Errorf("the run is invalid, no verdict of it can be believed: %s misjudged\n%s", count(len(misjudged), "control is", "controls are"), strings.Join(misjudged, "\n"))}
	case !slices.ContainsFunc(selected, func(client matrix.Client) bool { return tally.ran[client] }):
		return &exitError{exitNothingRan, fmt.Errorf("nothing ran: no selected client can be had here (the lines above say why); `zmqmatrix doctor` says what is missing")}
	case len(unjudged) > 0:
		return fmt.Errorf("the run is incomplete: %s not be attempted\n%s\n`zmqmatrix doctor` says what is missing", count(len(unjudged), "control could", "controls could"), strings.Join(unjudged, "\n"))
	case footer.Counts[matrix.Error] > 0:
		return fmt.Errorf("the harness failed in %s of the outcome error; `zmqmatrix explain CELL` says how, and a further run attempts them again", count(footer.Counts[matrix.Error], "cell", "cells"))
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// tally counts what the exit status depends on.
type tally struct {
	mu      sync.Mutex
	decided int
	ran     map[matrix.Client]bool // a client with a cell that is not not-run
}

func (t *tally) Observe(event matrix.Event) {
	if event.Kind != matrix.EventVerdict {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decided++
	if event.Verdict.Outcome != matrix.NotRun {
		t.ran[event.Cell.Client()] = true
	}
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.decided
}

// selected are the clients that were asked for, without a positive control that
// is only there for comparison: the same plan, if no target were a control.
func selected(run *runPlan, catalogue []matrix.Feature) ([]matrix.Client, error) {
	targets := slices.Clone(run.targets)
	for i := range targets {
		if targets[i].Role == matrix.RolePositiveControl {
			targets[i].Role = ""
		}
	}
	plan, err := matrix.MakePlan(targets, catalogue, run.header.Selection)
	if err != nil {
		return nil, fmt.Errorf("telling what was selected: %w", err)
	}
	var clients []matrix.Client
	for _, client := range plan.Clients {
		clients = append(clients, client.Client())
	}
	return clients, nil
}
