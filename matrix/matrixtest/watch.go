package matrixtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// watch keeps of a run under way what its subtests wait for and tell.
type watch struct {
	planned   *planned
	catalogue []matrix.Feature
	asked     map[matrix.Cell]bool
	controls  map[matrix.Client]bool // the positive ones

	mu        sync.Mutex    // guards what follows
	changed   chan struct{} // closed, and replaced, when something of it has
	clients   []matrix.Line
	verdicts  []matrix.Line
	decisions map[matrix.Cell]*matrix.Verdict
	attempts  map[matrix.Cell][]matrix.Line // of cells that were asked for and are not told yet
	misjudged []string                      // controls
	over      bool
	footer    matrix.Footer
	err       error
}

func newWatch(p *planned, catalogue []matrix.Feature) *watch {
	w := &watch{
		planned: p, catalogue: catalogue, asked: p.asked(), controls: map[matrix.Client]bool{}, changed: make(chan struct{}),
		decisions: map[matrix.Cell]*matrix.Verdict{}, attempts: map[matrix.Cell][]matrix.Line{},
	}
	for _, client := range p.Plan.Clients {
		w.controls[client.Client()] = client.Control
	}
	return w
}

// change changes what mu guards and tells those who wait.
func (w *watch) change(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits until the condition, which is asked under mu, holds.
func (w *watch) until(ctx context.Context, holds func() bool) error {
	for {
		w.mu.Lock()
		now, changed := holds(), w.changed
		w.mu.Unlock()
		if now {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// observe is told what happens in the run.
func (w *watch) observe(event matrix.Event) {
	switch event.Kind {
	case matrix.EventPrepared:
		w.change(func() {
			w.clients = append(w.clients, matrix.Line{Type: matrix.LineClient, Client: event.Account})
		})
	case matrix.EventAttempt:
		if w.asked[event.Cell] {
			w.change(func() {
				w.attempts[event.Cell] = append(w.attempts[event.Cell], matrix.Line{Type: matrix.LineAttempt, Attempt: event.Attempt})
			})
		}
	case matrix.EventVerdict:
		w.change(func() {
			verdict := event.Verdict
			w.verdicts = append(w.verdicts, matrix.Line{Type: matrix.LineVerdict, Verdict: verdict})
			w.decisions[event.Cell] = verdict
			if w.controls[event.Cell.Client()] {
				w.misjudge(matrix.ControlResult{Name: event.Cell.String(), Expected: matrix.Pass, Outcome: verdict.Outcome, Reason: verdict.Reason})
			}
		})
	case matrix.EventControl:
		w.change(func() { w.misjudge(*event.Control) })
	}
}

func (w *watch) misjudge(control matrix.ControlResult) {
	if control.Misread() {
		w.misjudged = append(w.misjudged, control.Text())
	}
}

// end is told what the run came to.
func (w *watch) end(footer matrix.Footer, err error) {
	w.change(func() { w.over, w.footer, w.err = true, footer, err })
}

// wait waits for the run's end.
func (w *watch) wait() (matrix.Footer, error) {
	// The run has its own context, and ends with it.
	_ = w.until(context.Background(), func() bool { return w.over })
	return w.footer, w.err
}

// decided is how many cells have a verdict.
func (w *watch) decided() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.decisions)
}

// notRun are the reasons why nothing could be had that was asked for, or none if
// something could.
func (w *watch) notRun() (reasons []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for cell := range w.asked {
		verdict := w.decisions[cell]
		if verdict == nil || verdict.Outcome != matrix.NotRun {
			return nil
		}
		reasons = append(reasons, cell.Client().String()+": "+verdict.Reason)
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

// tellable reports whether it is known what the cell's subtest has to say: a pass
// speaks for itself, all else depends on the feature's other techniques. The
// caller holds mu.
func (w *watch) tellable(cell matrix.Cell) bool {
	verdict := w.decisions[cell]
	if verdict == nil {
		return false
	}
	for other := range w.asked {
		if verdict.Outcome != matrix.Pass && other.Client() == cell.Client() && other.Feature == cell.Feature && w.decisions[other] == nil {
			return false
		}
	}
	return true
}

// report waits for what the subtest of the cell has to say, and says it.
func (w *watch) report(t *testing.T, cell matrix.Cell, flags flags) {
	t.Helper()
	err := w.until(t.Context(), func() bool { return w.over || w.tellable(cell) })
	if err != nil {
		t.Fatal(shown(err.Error()))
	}
	lines, verdict, misjudged := w.linesOf(cell)
	switch {
	case verdict == nil:
		t.Skip("not decided: the run ended before")
	case len(misjudged) > 0:
		t.Fatal(shown("the run is invalid, no verdict of it can be believed: the control " + strings.Join(misjudged, "\nthe control ")))
	}
	published, err := results.FromLines(lines, w.catalogue, w.planned.targets)
	if err != nil {
		t.Fatal(shown(err.Error()))
	}
	judged, err := w.planned.judge(published)
	if err != nil {
		t.Fatal(shown(err.Error()))
	}
	said := sayingOf(published, judged, w.planned.rules.File, *verdict)
	if said.evidence {
		if said.file, err = w.keep(t, published, cell, flags); err != nil {
			t.Error(shown(err.Error()))
		}
	}
	switch text := said.text(t.Name()); {
	case said.fails:
		t.Error(text)
	case said.skips:
		t.Skip(text)
	default:
		t.Log(text)
	}
}

// linesOf takes what is known of the cell, in the form of the record.
func (w *watch) linesOf(cell matrix.Cell) (lines []matrix.Line, verdict *matrix.Verdict, misjudged []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines = append(lines, matrix.Line{Type: matrix.LineHeader, Header: &w.planned.Header})
	lines = slices.Concat(lines, w.clients, w.attempts[cell], w.verdicts)
	delete(w.attempts, cell)
	return lines, w.decisions[cell], w.misjudged
}

// keep writes all that is known of the cell into a file of the run's folder, and
// where artifacts are wanted beside the test's others.
func (w *watch) keep(t *testing.T, published results.Published, cell matrix.Cell, flags flags) (string, error) {
	text, err := results.Explain(published, cell)
	if err != nil {
		return "", err
	}
	folders := []string{filepath.Join(w.planned.Dir(), "evidence")}
	if flags.artifacts {
		folders = append(folders, t.ArtifactDir())
	}
	name := strings.ReplaceAll(Name(cell), "/", ".") + ".txt"
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", fmt.Errorf("keeping the evidence: %w", err)
		}
		if err := results.ReplaceFile(filepath.Join(folder, name), []byte(text)); err != nil {
			return "", fmt.Errorf("keeping the evidence: %w", err)
		}
	}
	return filepath.Join(folders[0], name), nil
}
