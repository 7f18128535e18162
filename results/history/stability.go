package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Disagreement is a cell on whose verdict runs of the same differ.
type Disagreement struct {
	matrix.Cell
	// Verdicts are the cell's outcomes and rates by run, in the runs' order;
	// empty where a run said nothing.
	Verdicts []RunVerdict `json:"verdicts"`
}

// RunVerdict is what one run made of a cell.
type RunVerdict struct {
	Run      string         `json:"run"`
	Outcome  matrix.Outcome `json:"outcome,omitempty"`
	Attempts int            `json:"attempts"`
	Passes   int            `json:"passes"`
	Reason   string         `json:"reason,omitempty"`
}

// Disagreements lists the cells on which runs of the same plan disagree, by name.
// Rates may differ, and so may words; outcomes and layers may not.
func Disagreements(runs ...Snapshot) []Disagreement {
	found := []Disagreement{}
	differ := map[matrix.Cell]bool{}
	for _, run := range runs {
		for _, change := range Diff(runs[0], run) {
			if change.OfVerdict() {
				differ[change.Cell] = true
			}
		}
	}
	for _, cell := range slices.SortedFunc(maps.Keys(differ), byCell) {
		disagreement := Disagreement{Cell: cell}
		for _, run := range runs {
			verdict := RunVerdict{Run: run.ID}
			if said := statement(run.Cells, cell); said != nil {
				verdict = RunVerdict{run.ID, said.Outcome, said.Attempts, said.Passes, said.Reason}
			}
			disagreement.Verdicts = append(disagreement.Verdicts, verdict)
		}
		found = append(found, disagreement)
	}
	return found
}

// Text is the disagreement in a line: "sbcl@sid/cffi/…/plain: pass (11 of 11
// passed), then flaky (19 of 20 passed)".
func (d Disagreement) Text() string {
	var verdicts []string
	for _, verdict := range d.Verdicts {
		text := "no verdict"
		if verdict.Outcome != "" {
			text = rate(verdict.Outcome, verdict.Passes, verdict.Attempts)
		}
		verdicts = append(verdicts, text)
	}
	return results.Shown(d.Cell.String(), mostName) + ": " + strings.Join(verdicts, ", then ")
}

func rate(outcome matrix.Outcome, passes, attempts int) string {
	return fmt.Sprintf("%s (%d of %d passed)", outcome, passes, attempts)
}
