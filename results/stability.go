package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Difference is a cell whose verdicts differ between whole runs of the same.
type Difference struct {
	matrix.Cell
	// Verdicts are the cell's outcomes and rates by run, in the runs' order;
	// empty where a run has none.
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

// Differences lists the cells on which runs of the same plan disagree, in the
// plan's order. Rates may differ; outcomes and layers may not.
func Differences(runs ...Published) []Difference {
	differences := []Difference{}
	byRun := make([]map[matrix.Cell]Cell, len(runs))
	var order []matrix.Cell
	known := map[matrix.Cell]bool{}
	for i, run := range runs {
		byRun[i] = map[matrix.Cell]Cell{}
		for _, cell := range run.Cells {
			byRun[i][cell.Key()] = cell
			if !known[cell.Key()] {
				known[cell.Key()] = true
				order = append(order, cell.Key())
			}
		}
	}
	for _, name := range order {
		difference := Difference{Cell: name}
		for i, run := range runs {
			cell := byRun[i][name]
			difference.Verdicts = append(difference.Verdicts, RunVerdict{Run: run.Run.ID, Outcome: cell.Outcome, Attempts: cell.Attempts, Passes: cell.Passes, Reason: cell.Reason})
		}
		first := byRun[0][name]
		if slices.ContainsFunc(byRun, func(cells map[matrix.Cell]Cell) bool {
			return cells[name].Outcome != first.Outcome || cells[name].Layer != first.Layer
		}) {
			differences = append(differences, difference)
		}
	}
	return differences
}

// Text is the difference in a line: "sbcl@sid/cffi/…/plain: pass (11 of 11), then
// flaky (19 of 20)".
func (d Difference) Text() string {
	var verdicts []string
	for _, verdict := range d.Verdicts {
		text := "no verdict"
		if verdict.Outcome != "" {
			text = fmt.Sprintf("%s (%d of %d passed)", verdict.Outcome, verdict.Passes, verdict.Attempts)
		}
		verdicts = append(verdicts, text)
	}
	return visible(d.Cell.String() + ": " + strings.Join(verdicts, ", then "))
}
