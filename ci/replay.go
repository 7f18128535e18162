package ci

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

type replayCommand struct {
	engineFlags
	archiveFlag
	bindingFlags
	Cell  string  `arg:"" help:"TARGET/BINDING/GROUP/FEATURE[/TECHNIQUE]; without a technique, the target's first."`
	Seed  *uint64 `help:"The run's seed, as its results give it: the first attempt then has the same bytes." placeholder:"N"`
	Trace bool    `help:"Follow the probe with ptrace, so that a crash leaves a dossier. The watcher changes timing."`
	Core  string  `help:"Keep the core file of a crash in this folder: core.N, of attempt N." placeholder:"DIR"`
	Keep  bool    `help:"Leave the client up after the attempt, for a look inside, until Ctrl-C."`
}

func (replayCommand) Help() string {
	return `The attempt is not recorded. Its limits are the feature's own, not scaled from the control's
time. A client that crashes is attempted once more under trace, for a dossier.

Exit status: 0 whatever the attempt came to, 2 the command line is wrong, 3 the harness or the
environment failed, also after Ctrl-C, 4 the client can't be had here.`
}

// replayed is one attempt as replay saw it, and prints it with --json.
type replayed struct {
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"`
	Seed    uint64            `json:"seed"` // of the run
	Stdout  string            `json:"stdout"`
	Again   string            `json:"again"` // the command that repeats it
	// Core is the file with the crash's core, CoreMissing why there is none
	// though it was asked for.
	Core        string `json:"core,omitempty"`
	CoreMissing string `json:"core_missing,omitempty"`
	matrix.Attempt
}

func (c *replayCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	if err := c.keep(from.targets); err != nil {
		return err
	}
	plan, err := planOfCell(from.targets, s.catalogue, c.Cell)
	if err != nil {
		return err
	}
	trees, err := c.trees(from.targets)
	if err != nil {
		return err
	}
	chosen, why, err := s.chooseEngine(c.Runtime)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.err, printable(why))
	ctx, release := interruptible(s,
		func() { fmt.Fprintln(s.err, "stopping: what is under way is ended and removed") },
		func() { fmt.Fprintln(s.err, "still stopping; another Ctrl-C gives up") },
		func() {})
	defer release()
	err = c.replay(ctx, s, from.root, plan, trees, chosen)
	var left *measure.LeftError
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && !errors.As(err, &left) {
		return errInterrupted
	}
	return err
}

// planOfCell plans one cell and nothing beside it.
func planOfCell(known []matrix.Target, catalogue []matrix.Feature, text string) (matrix.Plan, error) {
	asked, err := matrix.ParseCell(text)
	if err != nil {
		return matrix.Plan{}, &exitError{exitUsage, err}
	}
	if strings.ContainsAny(text, "*?[\\") {
		return matrix.Plan{}, usagef("replay takes one cell, and %q is a glob; `zmqmatrix run` takes globs", text)
	}
	selection := matrix.Selection{Targets: []string{asked.Target}, Bindings: []string{asked.Binding}, Features: []string{asked.Feature}}
	if asked.Technique != "" {
		selection.Techniques = []string{asked.Technique}
	}
	if slices.ContainsFunc(known, func(target matrix.Target) bool {
		return target.Role == matrix.RoleNegativeControl && strings.HasPrefix(asked.Target+"@", target.Name+"@")
	}) {
		// Those can't be selected, for they are in every plan.
		selection = matrix.Selection{}
	}
	plan, err := matrix.MakePlan(known, catalogue, selection)
	if err != nil {
		return matrix.Plan{}, err
	}
	plan.Clients, plan.Controls = slices.Concat(plan.Clients, plan.Controls), nil
	plan.Clients = slices.DeleteFunc(plan.Clients, func(client matrix.PlannedClient) bool {
		return client.Client().Target != asked.Target && client.Target.Name != asked.Target || client.Binding.Name != asked.Binding
	})
	// Without a variant the default one is meant.
	slices.SortStableFunc(plan.Clients, func(a, b matrix.PlannedClient) int {
		switch {
		case a.Variant.Default == b.Variant.Default:
			return 0
		case a.Variant.Default:
			return -1
		}
		return 1
	})
	if len(plan.Clients) == 0 {
		return matrix.Plan{}, &matrix.SelectionError{}
	}
	plan.Clients = plan.Clients[:1]
	client := &plan.Clients[0]
	if client.Target.Role == matrix.RoleNegativeControl {
		client.Target.Role = "" // it is looked at, and nothing is judged by it
	}
	// Controls are planned with cells that were not asked for, too.
	client.Cells = slices.DeleteFunc(slices.Clone(client.Cells), func(cell matrix.Cell) bool {
		return cell.Feature != asked.Feature || asked.Technique != "" && cell.Technique != asked.Technique
	})
	if len(client.Cells) == 0 {
		return matrix.Plan{}, &matrix.SelectionError{}
	}
	client.Cells = client.Cells[:1]
	plan.Cells = 1
	return plan, nil
}

func (c *replayCommand) replay(ctx context.Context, s *session, root string, plan matrix.Plan, trees map[string]*source.Tree, chosen measure.Engine) (err error) {
	cell := plan.Clients[0].Cells[0]
	header := matrix.Header{Run: measure.NewRunID(time.Now()), Tool: s.version, Started: time.Now().UTC(), Seed: measure.RandomSeed()}
	if c.Seed != nil {
		header.Seed = *c.Seed
	}
	cache, err := measure.CacheDir()
	if err != nil {
		return err
	}
	if c.Core != "" {
		if err := os.MkdirAll(c.Core, 0o755); err != nil {
			return fmt.Errorf("--core: %w", err)
		}
	}
	log := &lineWriter{each: func(line string) { fmt.Fprintln(s.err, printable(line)) }}
	options := c.options()
	options.Root, options.CacheDir, options.RunID, options.Log, options.Sources = root, cache, header.Run, log, trees
	options.Cores = c.Core != ""
	opened, err := chosen.Open(ctx, options)
	if err != nil {
		return fmt.Errorf("opening the runtime %s: %w", chosen.Name, err)
	}
	watched := &watchedRuntime{Runtime: opened, cell: cell, trace: c.Trace, keep: c.Keep, cores: c.Core}
	defer func() { err = measure.Close(ctx, watched, err) }()
	var verdict *matrix.Verdict
	var found matrix.Finding // of the last attempt
	number := 0
	var printing error
	_, err = matrix.Run(ctx, matrix.Options{
		Plan: plan, Catalogue: s.catalogue, Runtime: watched, Recorder: nowhere{}, Header: header, Repeat: 1, Parallel: 1,
		Observe: func(event matrix.Event) {
			switch event.Kind {
			case matrix.EventPreparing, matrix.EventAttempting:
				name := event.Client.String()
				if event.Kind == matrix.EventAttempting {
					name = "attempting " + event.Cell.String()
				} else {
					name = "preparing " + name
				}
				fmt.Fprintln(s.err, printable(name))
			case matrix.EventPrepared:
				fmt.Fprintln(s.err, printable(accountLine(event.Account)))
			case matrix.EventAttempt:
				made := watched.made(number)
				number++
				found = event.Attempt.Finding
				shown := replayed{
					Command: made.task.Command, Env: made.task.Env, Seed: header.Seed,
					Stdout: string(made.account.Stdout), Attempt: *event.Attempt, Again: c.again(cell, header.Seed),
					Core: made.core, CoreMissing: made.account.CoreMissing,
				}
				shown.Traced = made.task.Trace
				if s.json {
					printing = errors.Join(printing, s.printJSON(shown))
				} else {
					s.print("%s", shown.text())
				}
			case matrix.EventVerdict:
				verdict = event.Verdict
			}
		},
	})
	if err != nil {
		return err
	}
	if c.Keep && verdict.Attempts > 0 {
		fmt.Fprintf(s.err, "the client stays up until Ctrl-C; in docker: docker ps --filter label=zmqmatrix.run=%s\n", header.Run)
		<-ctx.Done()
	}
	switch {
	case verdict.Outcome == matrix.NotRun:
		return &exitError{exitNothingRan, fmt.Errorf("%s can't be had here: %s", cell.Client(), verdict.Reason)}
	case verdict.Outcome == matrix.Error && found.Outcome != matrix.Hang:
		// A hang is no verdict without a control that passed, and was seen all the same.
		return fmt.Errorf("the harness failed: %s", verdict.Reason)
	}
	return printing
}

// again is the command that repeats the attempt, with what was given to this
// one.
func (c *replayCommand) again(cell matrix.Cell, seed uint64) string {
	command := fmt.Sprintf("zmqmatrix replay %s --seed %d", cell, seed)
	if c.Runtime != "auto" {
		command += " --runtime " + c.Runtime
	}
	if folder, named := c.BindingSource[cell.Binding]; named {
		command += " --binding-source " + results.ShellWord(cell.Binding+"="+folder)
	}
	return command
}

// nowhere records nothing: a replay leaves no run behind.
type nowhere struct{}

func (nowhere) Append(matrix.Line) error { return nil }

// watchedRuntime notes what the cell's probe was asked and what came of it,
// before the runner makes evidence of it.
type watchedRuntime struct {
	matrix.Runtime
	cell        matrix.Cell
	trace, keep bool
	cores       string // the folder for core files, "" for none

	mu       sync.Mutex
	attempts []watchedAttempt
	kept     []matrix.Place
}

type watchedAttempt struct {
	task    matrix.Task
	account matrix.Account
	core    string
}

func (r *watchedRuntime) made(number int) watchedAttempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number >= len(r.attempts) { // the harness failed before the probe began
		return watchedAttempt{}
	}
	return r.attempts[number]
}

func (r *watchedRuntime) Prepare(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (matrix.Place, error) {
	place, err := r.Runtime.Prepare(ctx, target, variant, binding)
	if err != nil {
		return nil, err
	}
	return &watchedPlace{Place: place, runtime: r}, nil
}

func (r *watchedRuntime) Close(ctx context.Context) error {
	var err error
	for _, place := range r.kept {
		err = errors.Join(err, place.Close(ctx))
	}
	return errors.Join(err, r.Runtime.Close(ctx))
}

type watchedPlace struct {
	matrix.Place
	runtime *watchedRuntime
}

func (p *watchedPlace) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	ours := task.Env["ZM_FEATURE"] == p.runtime.cell.Feature // and not the negative probe
	task.Trace = task.Trace || ours && p.runtime.trace
	core := &coreFile{}
	if ours && p.runtime.cores != "" {
		p.runtime.mu.Lock()
		core.path = filepath.Join(p.runtime.cores, fmt.Sprintf("core.%d", len(p.runtime.attempts)+1))
		p.runtime.mu.Unlock()
		task.Core = core
	}
	account, err := p.Place.Run(ctx, task)
	kept, closing := core.close()
	err = errors.Join(err, closing)
	if ours {
		p.runtime.mu.Lock()
		p.runtime.attempts = append(p.runtime.attempts, watchedAttempt{task, account, kept})
		p.runtime.mu.Unlock()
	}
	return account, err
}

// coreFile is a core file that is made when there is something to write to it.
type coreFile struct {
	path string
	file *os.File
}

func (c *coreFile) open() (err error) {
	if c.file == nil {
		c.file, err = os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	return err
}

func (c *coreFile) WriteAt(data []byte, offset int64) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	return c.file.WriteAt(data, offset)
}

func (c *coreFile) Truncate(size int64) error {
	if err := c.open(); err != nil {
		return err
	}
	return c.file.Truncate(size)
}

// close returns the file's path, "" if none was made.
func (c *coreFile) close() (string, error) {
	if c.file == nil {
		return "", nil
	}
	return c.path, c.file.Close()
}

func (p *watchedPlace) Close(ctx context.Context) error {
	if !p.runtime.keep {
		return p.Place.Close(ctx)
	}
	p.runtime.mu.Lock()
	defer p.runtime.mu.Unlock()
	p.runtime.kept = append(p.runtime.kept, p.Place)
	return nil
}

// text is all that is known of the attempt, for people.
func (r replayed) text() string {
	var out strings.Builder
	section := func(title string) { fmt.Fprintf(&out, "\n%s\n", title) }
	block := func(text string) {
		for _, line := range strings.Split(printableLines(text), "\n") {
			fmt.Fprintf(&out, "  %s\n", line)
		}
	}
	evidence, account := r.Evidence, r.Evidence.Account
	title := fmt.Sprintf("attempt %d", r.Number)
	if r.Traced {
		title += ", under trace"
	}
	fmt.Fprintf(&out, "%s: %s", title, r.Finding.Outcome)
	if r.Finding.Reason != "" {
		fmt.Fprintf(&out, ": %s", printable(r.Finding.Reason))
	}
	fmt.Fprintf(&out, " (%s)\n", seconds(r.Duration))

	section("task")
	fmt.Fprintf(&out, "  %s\n", printable(strings.Join(r.Command, " ")))
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		fmt.Fprintf(&out, "  %s=%s\n", name, printable(r.Env[name]))
	}
	section("report")
	if r.Stdout == "" {
		block("(nothing)")
	} else {
		block(r.Stdout)
	}
	if evidence.Report.Violation != "" {
		block("breaks the protocol: " + evidence.Report.Violation)
	}
	if len(account.Stderr) > 0 {
		section("standard error")
		block(string(account.Stderr))
	}
	section("endpoint")
	if len(evidence.Sockets) == 0 {
		block("(this feature has no lane)")
	}
	for _, socket := range evidence.Sockets {
		seen := evidence.Seen.Sockets[socket.Name]
		line := fmt.Sprintf("%s (%s): %d received, %d bytes; %d sent; %s", socket.Name, socket.Role,
			seen.Received, seen.Bytes, seen.Sent, count(seen.Peers, "peer", "peers"))
		if seen.Curve != nil {
			line += "; " + results.HandshakesInWords(*seen.Curve)
		}
		if seen.Error != "" {
			line += "; " + seen.Error
		}
		block(line)
	}
	section("account")
	ending := string(account.Ending)
	switch account.Ending {
	case matrix.Exited:
		ending = fmt.Sprintf("exited with status %d", account.Code)
	case matrix.Signaled:
		ending = "killed by " + account.Signal
	}
	block(fmt.Sprintf("%s after %s; user %s, system %s; peak memory %.1f MiB",
		ending, seconds(account.Wall), seconds(account.User), seconds(account.System), float64(account.PeakRSS)/(1<<20)))
	if account.Strays > 0 {
		block(fmt.Sprintf("%s left behind, killed", count(account.Strays, "process", "processes")))
	}
	if len(account.WitnessCalls) > 0 {
		block(fmt.Sprintf("the witness saw %d calls of send and its kin", int64(len(account.WitnessCalls))+account.WitnessLost))
	}
	if dossier := account.Dossier; dossier != nil {
		section("dossier")
		if happened := results.DossierInWords(*dossier); happened != "" {
			block("happened: " + happened)
		}
		for _, fact := range results.DossierFacts(*dossier) {
			block(fact[0] + ": " + fact[1])
		}
		if dossier.Backtrace != "" {
			block(dossier.Backtrace)
		}
	}
	if r.Core != "" || r.CoreMissing != "" {
		section("core file")
		if r.Core != "" {
			block(r.Core + ", for a debugger where the client's programs are: its image or this host")
		}
		if r.CoreMissing != "" {
			block("none: " + r.CoreMissing)
		}
	}
	if evidence.HarnessError != "" {
		section("harness error")
		block(evidence.HarnessError)
	}
	section("finding")
	finding := string(r.Finding.Outcome)
	if r.Finding.Layer != "" {
		finding += " [" + string(r.Finding.Layer) + "]"
	}
	if r.Finding.Reason != "" {
		finding += ": " + r.Finding.Reason
	}
	block(finding)
	block("again with the same bytes: " + r.Again)
	return out.String()
}
