package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
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
	Shard    string  `help:"Run one part of the plan: INDEX/COUNT, such as 2/3. merge joins all of them." placeholder:"I/N"`
	// Durations are the plan command's too, which has others to fall back on.
	Durations string `help:"What plan --shards --json printed, for every machine to cut the plan alike; or a record.jsonl or published.json, to cut it by. Without it, by results/published/latest.json." placeholder:"FILE" type:"path"`
	Resume    string `help:"Go on with an unfinished run: its name, or last. What was selected, it knows." placeholder:"RUN"`
	// RepeatRun is about whole runs, Repeat about attempts within one.
	RepeatRun int  `help:"Make N whole runs, each afresh, and report the verdicts on which they differ; how an unsound cell ended may differ by chance." placeholder:"N"`
	Fresh     bool `help:"Reuse no attempt of an earlier run. A run that began so goes on so."`
	Publish   bool `help:"Write results/published, the README's table and an entry of results/history, if the run is complete, without a selection, and its controls are right."`
}

func (runCommand) Help() string {
	return `Each run has a folder with its record, published.json, report.md and report.html. A second
run reuses the attempts of earlier ones in the same out directory as far as nothing changed that they
depend on, and says how many.

Ctrl-C stops cleanly: what finished is recorded and --resume goes on with it. A second Ctrl-C gives up
at once; what is then left running is swept by the next run.

With --shard it is one part of a run: the clients of some targets, and the controls. The same selection
and durations give the same parts everywhere; the published results come with the source, and zmqmatrix
plan --shards N --json makes a file for --durations. The record says which shard it is.

` + exitStatusTable
}

// runPlan is a run that is about to begin or to go on.
type runPlan struct {
	sources
	measure.Run
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
	var made []history.Sample
	for range c.RepeatRun {
		run, err := c.once(s)
		if err != nil {
			return err
		}
		published, err := results.FromRecord(run.RecordPath(), s.catalogue, run.targets)
		if err != nil {
			return fmt.Errorf("reading run %s again: %w", run.Header.Run, err)
		}
		sample, err := history.SampleOf(run.RecordPath(), published)
		if err != nil {
			return fmt.Errorf("reading run %s again: %w", run.Header.Run, err)
		}
		made = append(made, sample)
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
	var differ, chance []string
	for _, difference := range differences {
		if difference.Chance {
			chance = append(chance, "  "+difference.Text())
		} else {
			differ = append(differ, "  "+difference.Text())
		}
	}
	runs := count(len(made), "run", "runs")
	all := "every verdict"
	if len(chance) > 0 {
		fmt.Fprintf(s.err, "%s found these cells unsound, each in ways that chance may explain:\n%s\n", runs, strings.Join(chance, "\n"))
		all = "every other verdict"
	}
	if len(differ) == 0 {
		fmt.Fprintf(s.err, "%s agree on %s\n", runs, all)
		return nil
	}
	return &exitError{exitUnexpected, fmt.Errorf("%s differ on %s\n%s", runs, count(len(differ), "verdict", "verdicts"), strings.Join(differ, "\n"))}
}

// once makes one whole run.
func (c *runCommand) once(s *session) (_ *runPlan, err error) {
	run, err := c.begin(s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if run.Record != nil {
			err = errors.Join(err, run.Record.Close())
		}
	}()
	wanted := c.Runtime
	if run.Resumed != nil {
		// A record holds what one runtime found.
		wanted = run.Header.Runtime
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
	case c.Durations != "" && c.Shard == "":
		return usagef("--durations says where a plan is cut: give --shard too")
	case c.Publish && c.Shard != "":
		return usagef("--publish writes the results of a full run, and a shard is a part of one: leave it out, and publish all shards with `zmqmatrix merge --publish`")
	case c.Publish && c.Resume == "" && c.selection().Partial():
		return usagef("--publish writes the results of a full run; leave the selection out")
	case c.Resume != "" && (c.selection().Partial() || c.AllVariants || c.Repeat != 0 || c.Seed != nil || c.Shard != ""):
		return usagef("--resume goes on with what was selected then: leave out --target, --binding, --feature, --technique, --skip, --all-variants, --repeat, --seed and --shard")
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
	run := &runPlan{sources: from, Run: measure.Run{Root: from.root}}
	if run.Folder, err = c.folder(from); err != nil {
		return nil, err
	}
	if c.Publish && !from.checkout {
		return nil, usagef("--publish writes into the checkout that it is run in, and this is none: the targets come from %s", from.root)
	}
	if c.Resume != "" {
		return run, c.resume(s, run)
	}
	run.Header = matrix.Header{
		Run: measure.NewRunID(time.Now()), Tool: s.version, Started: time.Now().UTC(),
		Selection: c.selection(), Repeat: c.Repeat, Fresh: c.Fresh, Seed: measure.RandomSeed(),
	}
	if c.Seed != nil {
		run.Header.Seed = *c.Seed
	}
	if run.Trees, err = c.trees(from.targets); err != nil {
		return nil, err
	}
	run.Header.Sources = measure.Origins(run.Trees)
	if run.Plan, err = matrix.MakePlan(from.targets, s.catalogue, run.Header.Selection); err != nil {
		return nil, err
	}
	if c.Shard == "" {
		return run, nil
	}
	if run.Header.Shard, err = s.shardOf(from, run.Plan, c.Shard, c.Durations); err != nil {
		return nil, err
	}
	run.Plan, err = run.Plan.Part(*run.Header.Shard)
	return run, err
}

func (c *runCommand) resume(s *session, run *runPlan) error {
	name, err := findRun(run.Folder, c.Resume)
	if err != nil {
		return err
	}
	record, state, err := results.ResumeRecord(run.Folder.File(name, measure.RecordName))
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
	case !measure.MayResume(header.Tool, s.version):
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
	if header.Shard != nil {
		if plan, err = plan.Part(*header.Shard); err != nil {
			return refuse(fmt.Errorf("planning run %s again: %w", name, err))
		}
	}
	if run.Trees, err = c.resumeTrees(run.targets, name, header.Sources); err != nil {
		return refuse(err)
	}
	// What it goes on without, the record need not say.
	header.Fresh = header.Fresh || c.Fresh
	run.Header, run.Plan, run.Record, run.Resumed = header, plan, record, state
	return nil
}

// perform runs the plan in the chosen runtime, and shows and writes what comes
// of it.
func (c *runCommand) perform(s *session, run *runPlan, chosen measure.Engine, why string) error {
	id := run.Header.Run
	title, shard := "run "+id+" · "+chosen.Name, ""
	if run.Header.Shard != nil {
		shard = run.Header.Shard.String()
		title += " · shard " + shard
	}
	board := newBoard(title, run.Plan, s.catalogue, time.Now())
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
			Event: "started", Time: time.Now(), Schema: EventsSchema, Run: id, Dir: run.Dir(),
			Runtime: chosen.Name, PlanDigest: run.Plan.Digest, Shard: shard, Cells: run.Plan.Cells,
		})
	}
	show.Say(printable(why))
	if run.Header.Shard != nil {
		show.Say(printable(shardLine(*run.Header.Shard)))
	}
	tally := &tally{ran: map[matrix.Client]bool{}}
	observers = append(observers, tally.Observe)

	footer, err := run.Measure(ctx, measure.Options{
		Catalogue: s.catalogue, Engine: chosen, Open: c.options(), Parallel: c.Parallel,
		Log: &lineWriter{each: show.Log}, Say: func(text string) { show.Say(printable(text)) },
		Observe: func(event matrix.Event) {
			for _, observe := range observers {
				observe(event)
			}
		},
	})
	var left *measure.LeftError
	if err != nil && (footer.Finished.IsZero() || !errors.As(err, &left)) {
		err = c.stopped(ctx, run, tally, err)
	} else {
		// Complete, though something of it may be left on the engine.
		complete = true
		show.Close(true)
		if err = c.conclude(s, run, tally, footer); left != nil {
			err = errors.Join(err, left)
		}
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

// stopped explains a run that has no footer, and how to go on with it.
func (c *runCommand) stopped(ctx context.Context, run *runPlan, tally *tally, err error) error {
	// After a cancellation every layer reports its own; the cause is what
	// happened. What could not be removed is told in any case.
	var left *measure.LeftError
	errors.As(err, &left)
	cause := context.Cause(ctx)
	if cause != nil {
		err = cause
	}
	folder := run.Dir()
	resume := "zmqmatrix run --resume " + run.Header.Run
	if c.Out != "" {
		resume += " --out " + c.Out
	}
	state, inspecting := results.Inspect(run.RecordPath())
	begun := inspecting == nil && state.Header.Run != ""
	interrupted := errors.Is(cause, errInterrupted)
	switch {
	case !begun && interrupted:
		err = fmt.Errorf("%w before anything was recorded", err)
	case !begun:
		err = fmt.Errorf("%w\nnothing was recorded; what the engine printed is in %s", err, filepath.Join(folder, measure.EngineLogName))
	case interrupted:
		err = fmt.Errorf("%w with %d of %d cells decided; what finished is recorded\nresume with: %s", err, tally.count(), run.Plan.Cells, resume)
	default:
		err = fmt.Errorf("%w\nthe run is not finished; what finished is recorded in %s\nresume with: %s", err, folder, resume)
	}
	if !begun && run.Record != nil {
		// An empty record is no run, and nothing could go on with it.
		err = errors.Join(err, run.Record.Close(), os.Remove(run.RecordPath()))
		run.Record = nil
	}
	if cause != nil && left != nil {
		err = errors.Join(err, left)
	}
	return err
}

// conclude writes what a complete run found, prints its table and decides the
// exit status.
func (c *runCommand) conclude(s *session, run *runPlan, tally *tally, footer matrix.Footer) error {
	id := run.Header.Run
	record := run.RecordPath()
	// The footer is on the disk before anything is made from it.
	closing := run.Record.Close()
	run.Record = nil
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
	if err := writeResults(run.Dir(), resultNames{publishedName, markdownName, pageName}, published); err != nil {
		return fmt.Errorf("%w\nthe run is complete and recorded: `zmqmatrix show %s` prints its table, and a further run reuses its attempts and writes the reports again", err, id)
	}
	fmt.Fprintf(s.err, "%d attempts, %d of them reused from earlier runs; report: %s\n",
		footer.Attempts, footer.Reused, filepath.Join(run.Dir(), pageName))
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
	selected, err := matrix.Selected(run.targets, catalogue, run.Header.Selection)
	misjudged, unjudged := controlsOf(footer.Controls)
	switch {
	case err != nil:
		return fmt.Errorf("telling what was selected: %w", err)
	case misjudged != nil:
		return misjudged
	case !slices.ContainsFunc(selected, func(client matrix.PlannedClient) bool { return tally.ran[client.Client()] }):
		return &exitError{exitNothingRan, fmt.Errorf("nothing ran: no selected client can be had here (the lines above say why); `zmqmatrix doctor` says what is missing")}
	case unjudged != nil:
		return unjudged
	case footer.Counts[matrix.Error] > 0:
		return fmt.Errorf("the harness failed in %s of the outcome error; `zmqmatrix explain CELL` says how, and a further run attempts them again", count(footer.Counts[matrix.Error], "cell", "cells"))
	}
	return nil
}

// controlsOf are errors about controls that did not come out as they must: the
// run is invalid where one was misjudged, and incomplete where one could not be
// attempted.
func controlsOf(controls []matrix.ControlResult) (misjudged, unjudged error) {
	texts := func(controls []matrix.ControlResult) string {
		var lines []string
		for _, control := range controls {
			lines = append(lines, "  "+printable(control.Text()))
		}
		return strings.Join(lines, "\n")
	}
	wrong, missing := matrix.ControlsAmiss(controls)
	if len(wrong) > 0 {
		misjudged = &exitError{exitMisjudged, fmt.Errorf("the run is invalid, no verdict of it can be believed: %s misjudged\n%s", count(len(wrong), "control is", "controls are"), texts(wrong))}
	}
	if len(missing) > 0 {
		unjudged = fmt.Errorf("the run is incomplete: %s not be attempted\n%s\n`zmqmatrix doctor` says what is missing", count(len(missing), "control could", "controls could"), texts(missing))
	}
	return misjudged, unjudged
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
