// Package ci is the command line: it reads what a person or a workflow asks
// for, chooses where clients run, and shows what comes of it.
package ci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// The exit statuses of the command.
const (
	exitOK          = 0
	exitUnexpected  = 1 // verdicts
	exitUsage       = 2
	exitHarness     = 3 // harness or environment
	exitNothingRan  = 4
	exitMisjudged   = 5 // the controls: the run is invalid
	exitStatusTable = `Exit status:
  0  the run is complete and its controls came out right. Red cells are results,
     not failures: ` + "`zmqmatrix gate`" + ` holds them to expectations
  1  with --repeat-run, runs differ on a verdict; diff: the two do
  2  the command line is wrong
  3  the harness or the environment failed: cells of the outcome error, no
     engine, a full disk; also after Ctrl-C
  4  nothing ran: no selected client can be had here
  5  a control came out otherwise than it must: the run is invalid`
)

// exitError ends the command with a status that is not exitHarness.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitStatus is the status that an error ends the command with.
func exitStatus(err error) int {
	var exit *exitError
	var selection *matrix.SelectionError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.status
	case errors.As(err, &selection), errors.Is(err, path.ErrBadPattern):
		return exitUsage
	}
	return exitHarness
}

// house is what the commands work with. Tests put a fake in place of the
// runtimes, and a small catalogue.
type house struct {
	catalogue []matrix.Feature
	engines   []measure.Engine // in the order in which "auto" tries them
	version   string
	now       func() time.Time
	out, err  *os.File
}

// engineFlags choose where clients run.
type engineFlags struct {
	Runtime      string `enum:"${runtimes}" default:"auto" help:"Where clients run: ${enum}. auto takes docker where an engine answers, else local."`
	CopyBuilds   bool   `help:"docker: hand sources to builds as copies, for an engine whose socket is here and whose disk is not."`
	StaleArchive bool   `help:"docker: accept a Debian suite whose archive is past its validity date."`
}

// options are the engines' own; the others are the run's.
func (f engineFlags) options() measure.OpenOptions {
	return measure.OpenOptions{CopyBuilds: f.CopyBuilds, StaleArchive: f.StaleArchive}
}

// archiveFlag names upstream release files that targets are made from.
type archiveFlag struct {
	Archive map[string]string `mapsep:"none" help:"Release file that a target is made from, where it can't or shall not be fetched: ccl=FILE, ccl@1.12.2=FILE. It is verified, and kept for later runs." placeholder:"TARGET=FILE"`
}

// keep verifies the files and puts them where runtimes look for them.
func (f archiveFlag) keep(known []matrix.Target) error {
	if len(f.Archive) == 0 {
		return nil
	}
	cache, err := measure.CacheDir()
	if err != nil {
		return err
	}
	store := release.NewStore(cache, nil)
	for _, name := range slices.Sorted(maps.Keys(f.Archive)) {
		archive, err := archiveNamed(known, name)
		if err != nil {
			return err
		}
		var other *release.DigestError
		switch err := store.Keep(f.Archive[name], archive.SHA256); {
		case errors.As(err, &other), errors.Is(err, fs.ErrNotExist):
			return usagef("--archive %s: %w", name, err)
		case err != nil:
			return fmt.Errorf("--archive %s: %w", name, err)
		}
	}
	return nil
}

// archiveNamed finds the release file of ccl, which is that of its default
// variant, or of ccl@1.12.2.
func archiveNamed(known []matrix.Target, name string) (matrix.Archive, error) {
	var names []string
	for _, target := range known {
		for _, variant := range target.Variants {
			archive := target.ArchiveOf(variant)
			if archive == nil {
				continue
			}
			full := target.Name + "@" + variant.Name
			if name == full || name == target.Name && variant.Default {
				return *archive, nil
			}
			names = append(names, full)
		}
	}
	if len(names) == 0 {
		return matrix.Archive{}, usagef("--archive %s: no target is made from a release file", name)
	}
	return matrix.Archive{}, usagef("--archive %s: no such target is made from a release file; these are: %s", name, strings.Join(names, ", "))
}

// Main runs the command and returns its exit status.
func Main(ctx context.Context, args []string, out, err *os.File) int {
	h := &house{catalogue: feature.All(), engines: measure.Engines(), version: measure.Version(), now: time.Now, out: out, err: err}
	return h.main(ctx, args)
}

// grammar is the whole command line.
type grammar struct {
	JSON    bool             `name:"json" help:"Print JSON on standard output; text for people goes to standard error."`
	Version kong.VersionFlag `help:"Print the version."`

	Run       runCommand       `cmd:"" help:"Measure: start the clients, attempt every cell, judge, and write the results."`
	Plan      planCommand      `cmd:"" help:"Print what a run would have and is expected to take, and cut it into shards for several machines."`
	List      listCommand      `cmd:"" help:"List targets, bindings, features and techniques, or the cells a run would have."`
	Show      showCommand      `cmd:"" help:"Print the table of a run."`
	Explain   explainCommand   `cmd:"" help:"Say why a cell has its verdict: requirement, attempts, evidence, dossier."`
	Replay    replayCommand    `cmd:"" help:"Attempt one cell now, and print all that is seen of it."`
	Gate      gateCommand      `cmd:"" help:"Hold results to what is known of them, for CI: unexpected verdicts break the build."`
	Diff      diffCommand      `cmd:"" help:"Compare two runs: what broke, what was mended, and what else differs."`
	History   historyCommand   `cmd:"" help:"Say how a cell's verdict came about, over all that was published."`
	Merge     mergeCommand     `cmd:"" help:"Join results of several runs, and those that contributors signed."`
	Publish   publishCommand   `cmd:"" help:"Write the published results as a static site."`
	ServeSite serveSiteCommand `cmd:"" help:"Show the site on this machine."`
	Results   resultsCommand   `cmd:"" help:"Contribute a run: make a key, sign, verify."`
	Doctor    doctorCommand    `cmd:"" help:"Say what works here, what does not, and the command that mends it."`
}

// runtimeNames are the values of --runtime.
func (h *house) runtimeNames() string {
	names := []string{measure.Auto}
	for _, engine := range h.engines {
		names = append(names, engine.Name)
	}
	return strings.Join(names, ",")
}

// session is one command under way.
type session struct {
	*house
	context.Context
	json bool
}

func (h *house) main(ctx context.Context, args []string) int {
	var asked grammar
	parser, err := kong.New(&asked,
		kong.Name("zmqmatrix"),
		kong.Description("Measure which language implementation, with which ZeroMQ binding, can really do what."),
		kong.Writers(h.out, h.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": h.version, "runtimes": h.runtimeNames()},
	)
	if err != nil {
		fmt.Fprintln(h.err, "zmqmatrix: the command line's own grammar:", err)
		return exitHarness
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		help := "zmqmatrix --help"
		var parse *kong.ParseError
		if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
			help = parse.Context.Selected().FullPath() + " --help"
		}
		fmt.Fprintf(h.err, "zmqmatrix: %s; see `%s`\n", printable(err.Error()), help)
		return exitUsage
	}
	err = chosen.Run(&session{house: h, Context: ctx, json: asked.JSON})
	if err != nil {
		fmt.Fprintf(h.err, "zmqmatrix: %s\n", printableLines(err.Error()))
	}
	return exitStatus(err)
}

// printJSON is the answer of a command with --json.
func (s *session) printJSON(value any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}

// print writes text for people, who have nothing to gain from an error when
// they closed the pipe.
func (s *session) print(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// sources are the targets and where they were found.
type sources struct {
	root    string // the module's source tree
	targets []matrix.Target
	// checkout: the working directory is in root, so that results belong
	// there. Otherwise root may be the go command's read-only copy.
	checkout bool
}

// sources finds and reads the targets.
func (s *session) sources() (found sources, err error) {
	here, err := os.Getwd()
	if err != nil {
		return found, fmt.Errorf("finding the working directory: %w", err)
	}
	if found.root, err = targets.Root(here); err != nil {
		return found, err
	}
	inside, err := filepath.Rel(found.root, here)
	found.checkout = err == nil && filepath.IsLocal(inside)
	found.targets, err = targets.Load(found.root)
	return found, err
}

// selectionFlags choose cells.
type selectionFlags struct {
	Target    []string `help:"Targets: sbcl, sbcl@trixie, '*@*'. Without a variant the default one is meant." placeholder:"GLOB"`
	Binding   []string `help:"Bindings: cffi, 'cl-*'." placeholder:"GLOB"`
	Feature   []string `help:"Features: zero-copy/wire, callback, '*/same-*'." placeholder:"GLOB"`
	Technique []string `help:"Techniques: plain." placeholder:"GLOB"`
	Skip      []string `help:"Cells to leave out of those, by the beginning of their names: ecl/cffi/callback, 'gcl/*/*/*/plain'." placeholder:"GLOB"`

	AllVariants bool `help:"Every variant of a target named without one, or of all targets; without it, the default variant of each."`
}

func (f selectionFlags) selection() matrix.Selection {
	return matrix.Selection{Targets: f.Target, Bindings: f.Binding, Features: f.Feature, Techniques: f.Technique, Skip: f.Skip, AllVariants: f.AllVariants}
}

// chooseEngine picks a runtime by name, or the first that is available, and
// says why in one line.
func (s *session) chooseEngine(name string) (measure.Engine, string, error) {
	return measure.Choose(s, s.engines, name)
}
