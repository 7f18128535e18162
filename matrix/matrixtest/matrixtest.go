// Package matrixtest is the matrix as subtests of go test, and the common
// endpoint for tests of one's own.
//
// # The matrix
//
// [Run] measures cells and makes each a subtest:
//
//	func TestMatrix(t *testing.T) {
//		matrixtest.Run(t, matrixtest.Options{Bindings: []string{"pzmq"}, BindingSources: map[string]string{"pzmq": "."}})
//	}
//
// The subtest of the cell sbcl@bookworm/cffi/zero-copy/callback-free/plain is
// TestMatrix/sbcl@bookworm,cffi/zero-copy/callback-free/plain: a client is one
// element of the name, so that -run, which matches element by element, selects as
// one reads it:
//
//	go test -run 'TestMatrix/sbcl.*/zero-copy' ./...           # a group, of every binding of every SBCL
//	go test -run 'TestMatrix/,cffi$' ./...                     # the raw bindings of the Lisps
//	go test -run 'TestMatrix/./messaging/req-rep$' ./...       # one feature, of all clients
//	go test -skip 'TestMatrix/./callback' ./...
//
// What -run and -skip leave out is not planned, prepared or attempted. Beside
// what was asked for every run has its controls: the C client, for the same
// features, and the clients that misbehave on purpose. If one of them is not
// judged as it must be, the test fails as a whole, and no subtest of it counts.
// Clients are prepared once each, and attempts go on at several of them at once,
// while the subtests are reported one after the other.
//
// # What a subtest says
//
// A feature's verdict is its best technique's, among the techniques that were
// selected, and it stands at that technique's subtest. There the test fails if
// the verdict is fail, crash, hang or flaky, and says requirement, reason, where
// the evidence is and how to measure it again. A further technique that does not
// pass is skipped, with what it came to: a red plain that a workaround mends is
// no failure of the feature, and a feature that no technique provides fails once.
// Verdicts of the outcomes unsupported and not-run are skipped with their reason,
// error fails as an error of the harness. If nothing could be had here at all,
// the test itself is skipped.
//
// What is known is said in zmqmatrix.expect.yaml, by the rules of `zmqmatrix
// gate`: a known failure is skipped, a pass that no rule knows is told and fails
// where the rule is strict, and what is otherwise than a rule has it fails.
//
// # The flags of go test
//
//   - -short leaves one feature of each group: the first in the catalogue that
//     one attempt decides.
//   - -count given makes the attempts of all selected cells afresh, each time, and asks
//     their clients anew who they are.
//     Without it, attempts of the last ten runs are reused as far as nothing has
//     changed that they depend on, and reported as such. The controls' are reused
//     in any case.
//   - -timeout: the run is ended in time before it, what finished is recorded and
//     what runs is removed; the next test run goes on from there.
//   - -parallel given is how many attempts are made at once; without it, as many
//     as there are cores for.
//   - -failfast ends the run with the first subtest that fails.
//   - -artifacts keeps the evidence of what did not pass with the subtest's other
//     artifacts, too.
//
// The go command shows a passed result again, as "(cached)", if it sees no change.
// It does not see what lies outside of the test's module, such as an
// implementation, so that a run whose Options.Out is within the module is never
// cached; with another, say -count=1.
//
// # The endpoint
//
// [Endpoint] is for who writes a ZeroMQ client in Go: it opens a lane of the
// endpoint that every client of the matrix talks to, and tells what the endpoint
// saw. It needs a Go toolchain, gcc, pkg-config and libzmq's headers, and neither
// a container nor libzmq in the tested module itself.
package matrixtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// Options choose what is measured and how; the zero value is all that `zmqmatrix
// run` measures.
type Options struct {
	// Targets, Bindings, Features and Techniques choose cells by globs: "sbcl",
	// "sbcl@trixie", "cl-*", "zero-copy", "zero-copy/wire". Empty ones choose all,
	// a target without a variant its default one.
	Targets, Bindings, Features, Techniques []string
	// AllVariants means every variant of a target named without one.
	AllVariants bool
	// BindingSources are the folders that bindings are taken from, by the
	// bindings' names; without one a binding is fetched where that is possible.
	BindingSources map[string]string
	// Runtime is docker or local; "" or auto is docker where an engine answers,
	// else local.
	Runtime string
	// Out is where the runs are kept, in Out/runs; "" is zmqmatrix-results in the
	// test's folder. The commands show, explain and diff read it (--out). Of runs
	// made by tests the last twenty are kept.
	Out string
	// Expect is the file of expectations; "" is zmqmatrix.expect.yaml in the test's
	// folder, if that is there.
	Expect string
	// Repeat attempts every cell so often; 0: until it is decided.
	Repeat int
	// Seed is what all payloads are made from; 0: random, and recorded.
	Seed uint64
}

// house is what Run works with. Tests put fake runtimes in its place, and a small
// catalogue.
type house struct {
	catalogue []matrix.Feature
	engines   []measure.Engine
	// load finds the targets and the source tree that they are in.
	load func() (root string, found []matrix.Target, err error)
}

var standard = house{catalogue: feature.All(), engines: measure.Engines(), load: loadTargets}

func loadTargets() (root string, found []matrix.Target, err error) {
	here, err := os.Getwd()
	if err != nil {
		return "", nil, fmt.Errorf("finding the working directory: %w", err)
	}
	if root, err = targets.RootOfTest(here); err != nil {
		return "", nil, err
	}
	found, err = targets.Load(root)
	return root, found, err
}

// Run measures the chosen cells and makes each a subtest of t. It returns when all
// are reported and the run is over. It is called once in a test, which may be
// parallel to others.
func Run(t *testing.T, options Options) {
	t.Helper()
	standard.run(t, options, readFlags())
}

// Name is the name of a cell's subtest, below the test's own.
func Name(cell matrix.Cell) string { return clientName(cell.Client()) + "/" + partName(cell) }

func clientName(client matrix.Client) string { return client.Target + "," + client.Binding }

// partName is what a cell's name has below its client's.
func partName(cell matrix.Cell) string { return cell.Feature + "/" + cell.Technique }

// planned is a run that is about to begin.
type planned struct {
	measure.Run
	targets []matrix.Target
	clients []matrix.PlannedClient // that were asked for, with their selected cells
	rules   expect.Rules
	known   []matrix.Cell // that rules may be about
	ours    bool          // the folder of runs is the default one
}

// asked are the cells that were asked for.
func (p *planned) asked() map[matrix.Cell]bool {
	asked := map[matrix.Cell]bool{}
	for _, client := range p.clients {
		for _, cell := range client.Cells {
			asked[cell] = true
		}
	}
	return asked
}

// has tells whether cells of the client were asked for.
func (p *planned) has(client matrix.Client) bool {
	return slices.ContainsFunc(p.clients, func(planned matrix.PlannedClient) bool { return planned.Client() == client })
}

// errNothing is that the flags of go test leave out every cell.
var errNothing = errors.New("no cell is left")

// plan chooses the cells for the test of that name.
func (h house) plan(test string, options Options, flags flags) (*planned, error) {
	if options.Repeat < 0 {
		return nil, fmt.Errorf("Options.Repeat is %d: want at least 1, or 0 for until it is decided", options.Repeat)
	}
	root, found, err := h.load()
	if err != nil {
		return nil, err
	}
	p := &planned{targets: found, Run: measure.Run{Root: root}}
	selection := matrix.Selection{
		Targets: options.Targets, Bindings: options.Bindings, Features: options.Features, Techniques: options.Techniques, AllVariants: options.AllVariants,
	}
	all, err := matrix.Selected(found, h.catalogue, selection)
	if err != nil {
		return nil, err
	}
	var left []string
	total := 0
	short := shortFeatures(h.catalogue)
	for _, client := range all {
		total += len(client.Cells)
		client.Cells = slices.DeleteFunc(slices.Clone(client.Cells), func(cell matrix.Cell) bool {
			return !flags.enters(test, cell) || flags.short && !short[cell.Feature]
		})
		if len(client.Cells) > 0 {
			p.clients = append(p.clients, client)
		}
		for _, cell := range client.Cells {
			left = append(left, cell.String())
		}
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("%w of %d by %s; a subtest is named like %s", errNothing, total, flags, test+"/"+Name(all[0].Cells[0]))
	}
	if len(left) < total {
		selection.Cells = left
	}
	if p.Plan, err = matrix.MakePlan(found, h.catalogue, selection); err != nil {
		return nil, err
	}
	if err := p.expectations(h, options.Expect); err != nil {
		return nil, err
	}
	if p.Trees, err = measure.ReadBindings(found, options.BindingSources); err != nil {
		return nil, fmt.Errorf("the source of the binding %w", err)
	}
	out := options.Out
	if p.ours = out == ""; p.ours {
		out = "zmqmatrix-results"
	}
	if out, err = filepath.Abs(out); err != nil {
		return nil, fmt.Errorf("finding where runs are kept: %w", err)
	}
	p.Folder = measure.Runs(filepath.Join(out, "runs"))
	p.Header = matrix.Header{
		Run: measure.NewRunID(time.Now()), Tool: measure.Version(), Started: time.Now().UTC(), Selection: selection,
		Repeat: options.Repeat, Seed: options.Seed, Sources: measure.Origins(p.Trees),
	}
	if p.Header.Seed == 0 {
		p.Header.Seed = measure.RandomSeed()
	}
	return p, nil
}

// expectations reads the rules and holds them to be without mistakes before
// anything is measured.
func (p *planned) expectations(h house, path string) (err error) {
	file := path
	if file == "" {
		file = expect.FileName
	}
	if p.rules, err = expect.Read(file); err != nil {
		if path == "" && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	everything, err := matrix.MakePlan(p.targets, h.catalogue, matrix.Selection{AllVariants: true})
	if err != nil {
		return err
	}
	for _, client := range everything.Clients {
		p.known = append(p.known, client.Cells...)
	}
	_, err = p.judge(results.Published{})
	return err
}

// judge says what the rules make of results.
func (p *planned) judge(published results.Published) (expect.Report, error) {
	return expect.Judge(expect.Question{Published: published, Rules: p.rules, Known: p.known, Today: time.Now()})
}

// shortFeatures are those that are left with -short: of each group the first that
// one attempt decides, or else its first.
func shortFeatures(catalogue []matrix.Feature) map[string]bool {
	chosen := map[string]matrix.Feature{}
	for _, feature := range catalogue {
		if known, there := chosen[feature.Group()]; !there || known.Timing && !feature.Timing {
			chosen[feature.Group()] = feature
		}
	}
	short := map[string]bool{}
	for _, feature := range chosen {
		short[feature.Name] = true
	}
	return short
}

func (h house) run(t *testing.T, options Options, flags flags) {
	t.Helper()
	var engine measure.Engine
	var why string
	var unusable error
	var choosing sync.WaitGroup
	defer choosing.Wait()
	ctx, stop, release := stoppable(t)
	defer release()
	// Whether an engine answers is found out while the cells are chosen.
	choosing.Go(func() { engine, why, unusable = measure.Choose(ctx, h.engines, cmp.Or(options.Runtime, measure.Auto)) })
	p, err := h.plan(t.Name(), options, flags)
	if errors.Is(err, errNothing) {
		t.Skip(shown(err.Error()))
	}
	if err != nil {
		t.Fatal(shown(err.Error()))
	}
	if choosing.Wait(); unusable != nil {
		t.Fatal(shown(unusable.Error()))
	}
	t.Log(shown(why))
	if p.ours {
		if err := ignored(filepath.Dir(string(p.Folder))); err != nil {
			t.Fatal(shown(err.Error()))
		}
	}

	watch := newWatch(p, h.catalogue)
	asked := p.asked()
	said := make(chan string, 16)
	go func() {
		defer close(said)
		footer, err := p.Measure(ctx, measure.Options{
			Catalogue: h.catalogue, Engine: engine, Parallel: flags.parallel, Observe: watch.observe,
			Anew: func(cell matrix.Cell) bool {
				return flags.counted && (asked[cell] || cell.NegativeProbe() && p.has(cell.Client()))
			},
			Say: func(text string) { said <- text },
		})
		if p.Record != nil {
			err = errors.Join(err, p.Record.Close())
		}
		watch.end(footer, err)
	}()
	told := make(chan struct{})
	go func() {
		defer close(told)
		for text := range said {
			t.Log(shown(text))
		}
	}()
	// Whatever happens to the subtests, nothing runs when the test is over.
	defer func() { <-told }()
	defer stop(errSubtestsOver)

	entered := 0
	for _, client := range p.clients {
		t.Run(clientName(client.Client()), func(t *testing.T) {
			t.Helper()
			for _, cell := range client.Cells {
				t.Run(partName(cell), func(t *testing.T) {
					t.Helper()
					entered++
					watch.report(t, cell, flags)
				})
				if flags.failFast && t.Failed() {
					stop(errFailFast)
				}
			}
		})
	}
	footer, err := watch.wait()
	h.conclude(ctx, t, p, watch, footer, err)
	if stopped := context.Cause(ctx); stopped == nil && entered < len(asked) {
		t.Errorf("%d of %d cells were measured and have no subtest: is matrixtest.Run called twice in %s?", len(asked)-entered, len(asked), t.Name())
	}
}

// conclude fails the test for what is no cell's, and leaves the run's folder as it
// is to be found.
func (h house) conclude(ctx context.Context, t *testing.T, p *planned, watch *watch, footer matrix.Footer, err error) {
	t.Helper()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		var left *measure.LeftError
		if errors.As(err, &left) {
			t.Error(shown(left.Error()))
		}
		if !errors.Is(cause, errFailFast) {
			t.Error(shown(fmt.Sprintf("%v, with %d of %d cells decided; what finished is recorded in %s, and the next run goes on from there",
				cause, watch.decided(), p.Plan.Cells, p.RecordPath())))
		}
	} else if left := (*measure.LeftError)(nil); errors.As(err, &left) && !footer.Finished.IsZero() {
		t.Error(shown(left.Error()))
	} else if err != nil {
		t.Error(shown(fmt.Sprintf("the run broke off, with %d of %d cells decided: %v\nwhat the engine printed is in %s",
			watch.decided(), p.Plan.Cells, err, p.Folder.File(p.Header.Run, measure.EngineLogName))))
	}
	misjudged, unattempted := matrix.ControlsAmiss(footer.Controls)
	for _, control := range misjudged {
		t.Error(shown("the run is invalid, no verdict of it can be believed: the control " + control.Text()))
	}
	for _, control := range unattempted {
		t.Error(shown("the run is incomplete, a control could not be attempted: " + control.Text()))
	}
	if err := p.mark(t.Name()); err != nil {
		t.Error(shown(err.Error()))
	}
	if footer.Finished.IsZero() {
		return
	}
	t.Log(shown(fmt.Sprintf("%d attempts, %d of them reused from earlier runs; record: %s", footer.Attempts, footer.Reused, p.RecordPath())))
	if reasons := watch.notRun(); len(reasons) > 0 && !t.Failed() {
		t.Skip(shown("nothing ran, no selected client can be had here:\n" + strings.Join(reasons, "\n")))
	}
}

// keptRuns is how many runs of tests are kept: those that attempts are reused
// from, and as many more for a look back.
const keptRuns = 20

// markName is the file in a run's folder that says which test made it.
const markName = "go-test"

// mark notes whose run it was, and removes the oldest runs that tests made.
//
// The go command keeps no result for which a file was read that is younger than
// two seconds (cmd/go/internal/test, modTimeCutoff). This is such a one, where
// runs are kept within the module.
func (p *planned) mark(test string) error {
	if _, err := os.Stat(p.Dir()); err != nil {
		return nil // the run did not come so far
	}
	mark := p.Folder.File(p.Header.Run, markName)
	err := os.WriteFile(mark, []byte(test+"\n"), 0o644)
	if err == nil {
		_, err = os.ReadFile(mark)
	}
	if err != nil {
		return fmt.Errorf("marking the run as a test's: %w", err)
	}
	runs, err := os.ReadDir(string(p.Folder))
	if err != nil {
		return fmt.Errorf("looking for old runs: %w", err)
	}
	kept := 0
	for _, run := range slices.Backward(runs) { // by name, and so by age
		if _, err := os.Stat(p.Folder.File(run.Name(), markName)); err != nil {
			continue
		}
		if kept++; kept > keptRuns {
			if err := os.RemoveAll(filepath.Join(string(p.Folder), run.Name())); err != nil {
				return fmt.Errorf("removing an old run: %w", err)
			}
		}
	}
	return nil
}

// ignored makes the folder that tests leave in the source tree, and has version
// control pass it by.
func ignored(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder where runs are kept: %w; Options.Out names another", err)
	}
	if err := results.ReplaceFile(filepath.Join(folder, ".gitignore"), []byte("*\n")); err != nil {
		return fmt.Errorf("%w; Options.Out names another folder", err)
	}
	return nil
}
