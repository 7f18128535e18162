package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Sample is a run and how often the attempts of its cells ended in which way.
type Sample struct {
	Snapshot
	Endings map[matrix.Cell]map[matrix.Outcome]int
}

// SampleOf reads the attempts of a record, which its published results sum up.
func SampleOf(record string, published results.Published) (Sample, error) {
	sample := Sample{SnapshotOf(published), map[matrix.Cell]map[matrix.Outcome]int{}}
	for line, err := range results.ReadRecord(record) {
		if err != nil {
			return Sample{}, err
		}
		if line.Attempt == nil || !line.Attempt.Counts() {
			continue
		}
		cell := line.Attempt.Evidence.Cell
		if sample.Endings[cell] == nil {
			sample.Endings[cell] = map[matrix.Outcome]int{}
		}
		sample.Endings[cell][line.Attempt.Finding.Outcome]++
	}
	return sample, nil
}

// Disagreement is a cell on whose verdict runs of the same differ.
type Disagreement struct {
	matrix.Cell
	// Verdicts are the cell's outcomes and rates by run, in the runs' order;
	// empty where a run said nothing.
	Verdicts []RunVerdict `json:"verdicts"`
	// Chance: the cell is sound in none of the runs, and its attempts may have ended
	// in these ways so often in one and the same client: what is undefined ends as it
	// likes. Three attempts of each run never show that it is another.
	Chance bool `json:"chance,omitempty"`
}

// RunVerdict is what one run made of a cell.
type RunVerdict struct {
	Run      string                 `json:"run"`
	Outcome  matrix.Outcome         `json:"outcome,omitempty"`
	Attempts int                    `json:"attempts"`
	Passes   int                    `json:"passes"`
	Endings  map[matrix.Outcome]int `json:"endings,omitempty"`
	Reason   string                 `json:"reason,omitempty"`
}

// Disagreements lists the cells on which runs of the same plan disagree, by name.
// Rates may differ, and so may words; outcomes and layers may not.
func Disagreements(runs ...Sample) []Disagreement {
	found := []Disagreement{}
	differ := map[matrix.Cell]bool{}
	for _, run := range runs {
		for _, change := range Diff(runs[0].Snapshot, run.Snapshot) {
			if change.OfVerdict() {
				differ[change.Cell] = true
			}
		}
	}
	for _, cell := range slices.SortedFunc(maps.Keys(differ), byCell) {
		disagreement := Disagreement{Cell: cell, Chance: chance(cell, runs)}
		for _, run := range runs {
			verdict := RunVerdict{Run: run.ID}
			if said := statement(run.Cells, cell); said != nil {
				verdict = RunVerdict{run.ID, said.Outcome, said.Attempts, said.Passes, run.Endings[cell], said.Reason}
			}
			disagreement.Verdicts = append(disagreement.Verdicts, verdict)
		}
		found = append(found, disagreement)
	}
	return found
}

// unlikely is the probability below which chance is no explanation. A run has a
// hundred cells or so to which it applies.
const unlikely = 0.001

// chance reports whether the cell is unsound in all runs, by the same layer, and
// chance may explain in which ways its attempts ended.
func chance(cell matrix.Cell, runs []Sample) bool {
	for i, run := range runs {
		said := statement(run.Cells, cell)
		if said == nil || said.Layer != statement(runs[0].Cells, cell).Layer {
			return false
		}
		switch said.Outcome {
		case matrix.Fail, matrix.Crash, matrix.Hang, matrix.Flaky:
		default:
			return false
		}
		for _, other := range runs[:i] {
			if !likely(run.Endings[cell], other.Endings[cell]) {
				return false
			}
		}
	}
	return true
}

// likely reports whether attempts that ended in these ways may be of one client.
// Without attempts nothing shows that they are.
func likely(a, b map[matrix.Outcome]int) bool {
	total := func(endings map[matrix.Outcome]int) (sum int) {
		for _, times := range endings {
			sum += times
		}
		return sum
	}
	ofA, ofB := total(a), total(b)
	if ofA == 0 || ofB == 0 {
		return false
	}
	for _, ending := range slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))) {
		if fisher(a[ending], ofA, b[ending], ofB) < unlikely {
			return false
		}
	}
	return true
}

// fisher is the probability that x of n and y of m, or anything less likely, come
// about by one and the same rate: Fisher's exact test, of both sides.
func fisher(x, n, y, m int) float64 {
	choose := func(n, k int) float64 {
		all, _ := math.Lgamma(float64(n + 1))
		chosen, _ := math.Lgamma(float64(k + 1))
		left, _ := math.Lgamma(float64(n - k + 1))
		return all - chosen - left
	}
	sum := x + y
	probability := func(x int) float64 { return math.Exp(choose(n, x) + choose(m, sum-x) - choose(n+m, sum)) }
	const rounding = 1 + 1e-7
	observed, p := probability(x)*rounding, 0.0
	for i := max(0, sum-m); i <= min(n, sum); i++ {
		if each := probability(i); each <= observed {
			p += each
		}
	}
	return p
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
