package history

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Kind is in what way a cell's verdict changed.
type Kind string

// The kinds. A cell that was not run, or failed by the harness's fault, says
// nothing of its client: it is as if it were not there.
const (
	Broken        Kind = "broken"         // passed, and is red
	Mended        Kind = "mended"         // was red, and passes
	ReasonChanged Kind = "reason-changed" // red both times, or passed both times, but the outcome, the layer, the signal or the reason is another
	New           Kind = "new"            // says something, and did not
	Gone          Kind = "gone"           // said something, and does not
)

// Kinds lists every kind, in the order in which they are told.
var Kinds = []Kind{Broken, Mended, ReasonChanged, New, Gone}

// Change is a cell whose verdict is not what it was, and what else is not.
type Change struct {
	matrix.Cell
	Kind Kind `json:"kind"`
	// Before and After are nil where the cell said nothing.
	Before *Verdict `json:"before,omitempty"`
	After  *Verdict `json:"after,omitempty"`
	// Since names the entry that has After, and Until the last that has Before.
	// Of a cell that is gone Since has nothing to say; of a new one Until is left
	// out in a history, where there is none.
	Until string `json:"until,omitempty"`
	Since string `json:"since"`
	// Else is what else differs between the two; nothing of a cell that one of
	// them does not have.
	Else []Difference `json:"else"`
}

// Difference is one thing that was not the same: "image", "libzmq".
type Difference struct {
	What   string `json:"what"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// OfVerdict tells a change of the outcome or the layer, of which runs of the
// same things may not disagree, from one of the reason or the signal alone, of
// which they may: both tell where a crash happened to come.
func (c Change) OfVerdict() bool {
	return c.Kind != ReasonChanged || c.Before.Outcome != c.After.Outcome || c.Before.Layer != c.After.Layer
}

// Comparison is two runs compared, for programs: matrix/schema/diff.json.
type Comparison struct {
	Schema  string   `json:"schema"` // "zmqmatrix/diff/v1"
	Before  Entry    `json:"before"`
	After   Entry    `json:"after"`
	Differ  int      `json:"differ"` // changes of a verdict
	Changes []Change `json:"changes"`
}

// Compare compares two runs.
func Compare(a, b Snapshot) Comparison {
	comparison := Comparison{Schema: "zmqmatrix/diff/v1", Before: a.Entry, After: b.Entry, Changes: Diff(a, b)}
	for _, change := range comparison.Changes {
		if change.OfVerdict() {
			comparison.Differ++
		}
	}
	return comparison
}

// Diff lists the cells on which b is not what a was, by kind, then by name.
func Diff(a, b Snapshot) []Change {
	changes := []Change{}
	compare := func(cell matrix.Cell) {
		before, after := statement(a.Cells, cell), statement(b.Cells, cell)
		if change, changed := changeOf(cell, before, after); changed {
			change.Until, change.Since = a.ID, b.ID
			if before != nil && after != nil {
				change.Else = differences(a.side(cell), b.side(cell))
			}
			changes = append(changes, change)
		}
	}
	for cell := range b.Cells {
		compare(cell)
	}
	for cell := range a.Cells {
		if _, both := b.Cells[cell]; !both {
			compare(cell)
		}
	}
	slices.SortFunc(changes, byKind)
	return changes
}

func byKind(a, b Change) int {
	return cmp.Or(cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)), byCell(a.Cell, b.Cell))
}

// statement is a cell's verdict if it says something.
func statement(cells map[matrix.Cell]Verdict, cell matrix.Cell) *Verdict {
	if verdict, there := cells[cell]; there && verdict.says() {
		return &verdict
	}
	return nil
}

// changeOf compares two statements.
func changeOf(cell matrix.Cell, before, after *Verdict) (Change, bool) {
	change := Change{Cell: cell, Before: before, After: after, Else: []Difference{}}
	switch {
	case before == nil && after == nil:
		return change, false
	case before == nil:
		change.Kind = New
	case after == nil:
		change.Kind = Gone
	case before.Outcome == matrix.Pass && after.Outcome != matrix.Pass:
		change.Kind = Broken
	case before.Outcome != matrix.Pass && after.Outcome == matrix.Pass:
		change.Kind = Mended
	case before.Outcome != after.Outcome, before.Layer != after.Layer, before.Signal != after.Signal, before.Reason != after.Reason:
		change.Kind = ReasonChanged
	default:
		return change, false
	}
	return change, true
}

// side is what a cell's verdict was found with, in one run.
type side struct {
	run     results.Run
	client  Client
	feature int // version
}

func (s Snapshot) side(cell matrix.Cell) side {
	return side{s.Run, s.Clients[cell.Client()], s.Features[cell.Feature]}
}

// source is of a binding that comes from elsewhere.
func (s side) source() string {
	if s.client.Source == nil {
		return ""
	}
	return results.SourceText(*s.client.Source)
}

// measuredBy is who measured the client and in which run of theirs, "" for the
// run itself.
func (s side) measuredBy() string {
	if s.client.MeasuredBy == nil {
		return ""
	}
	return s.client.MeasuredBy.Name + ", key " + s.client.MeasuredBy.Key
}

// unknown is what the results don't say of somebody else's run.
const unknown = "not known"

// differences lists what is not the same on both sides, what is nearest to the
// client first.
func differences(before, after side) []Difference {
	found := []Difference{}
	add := func(what, before, after string) {
		if before != after {
			found = append(found, Difference{what, before, after})
		}
	}
	add("implementation", before.client.Version, after.client.Version)
	add("binding", before.client.BindingVersion, after.client.BindingVersion)
	add("source", before.source(), after.source())
	add("libzmq", before.client.Libzmq, after.client.Libzmq)
	add("image", before.client.Image, after.client.Image)
	add("feature version", strconv.Itoa(before.feature), strconv.Itoa(after.feature))
	add("measured by", before.measuredBy(), after.measuredBy())
	for _, of := range []struct {
		what string
		run  func(results.Run) string
		// theirs is the same of a contributor's run; nil: the results don't say.
		theirs func(results.Contributor) string
	}{
		{"tool", func(r results.Run) string { return r.Tool }, func(c results.Contributor) string { return c.Tool }},
		{"runtime", func(r results.Run) string { return r.Runtime }, func(c results.Contributor) string { return c.Runtime }},
		{"host", func(r results.Run) string { return r.Host }, func(c results.Contributor) string { return c.Host }},
		{"cores", func(r results.Run) string { return strconv.Itoa(r.Cores) }, nil},
		{"engine", func(r results.Run) string { return r.Engine }, nil},
		{"endpoint", func(r results.Run) string { return r.Endpoint }, nil},
		{"seed", seedOf, nil},
	} {
		value := func(s side) string {
			switch {
			case s.client.MeasuredBy == nil:
				return of.run(s.run)
			case of.theirs == nil:
				return unknown
			}
			return of.theirs(*s.client.MeasuredBy)
		}
		add(of.what, value(before), value(after))
	}
	return found
}

// seedOf is a run's seed; those of runs that were joined with it are not known.
func seedOf(run results.Run) string {
	text := strconv.FormatUint(run.Seed, 10)
	if slices.ContainsFunc(run.Merged, func(merged results.MergedRun) bool { return merged.Key == "" }) {
		text += ", or a joined run's"
	}
	return text
}
