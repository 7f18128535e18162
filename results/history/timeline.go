package history

import (
	"slices"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Timelines are how the verdicts of some cells came about, for programs:
// matrix/schema/timelines.json.
type Timelines struct {
	Schema  string     `json:"schema"` // "zmqmatrix/timelines/v1"
	Entries []Entry    `json:"entries"`
	Cells   []Timeline `json:"cells"`
}

// Timeline is one cell's changes, oldest first.
type Timeline struct {
	matrix.Cell
	Changes []Change `json:"changes"`
}

// Timelines tells how the verdicts of the cells came about.
func (h *History) Timelines(cells ...matrix.Cell) Timelines {
	lines := Timelines{Schema: "zmqmatrix/timelines/v1", Entries: h.Entries, Cells: []Timeline{}}
	for _, cell := range cells {
		lines.Cells = append(lines.Cells, Timeline{cell, h.Changes(cell)})
	}
	return lines
}

// Changes is how a cell's verdict came about, oldest first: it begins with New.
// Where a cell said nothing for a while the verdict after it is compared with the
// one before it.
func (h *History) Changes(cell matrix.Cell) []Change {
	changes := []Change{}
	var last *Verdict // statement
	lastEntry := -1   // that has it
	gone := false
	for i, point := range h.cells[cell] {
		var now *Verdict
		if point.there && point.value.says() {
			now = &h.cells[cell][i].value
		}
		if last != nil && !gone {
			lastEntry = point.entry - 1
		}
		switch {
		case now == nil && (last == nil || gone):
		case now == nil:
			change, _ := changeOf(cell, last, nil)
			changes = append(changes, h.between(change, lastEntry, point.entry))
			gone = true
		default:
			change, changed := changeOf(cell, last, now)
			if gone && !(changed && change.OfVerdict()) {
				change.Kind, changed = New, true // it is back, if only in other words
			}
			if changed {
				changes = append(changes, h.between(change, lastEntry, point.entry))
			}
			last, gone = now, false
		}
	}
	return changes
}

// between tells when a change was, and what else differs; before is -1 where
// the cell had said nothing yet.
func (h *History) between(change Change, before, after int) Change {
	change.Since = h.Entries[after].ID
	if before < 0 {
		return change
	}
	change.Until = h.Entries[before].ID
	if change.After != nil {
		change.Else = differences(h.side(change.Cell, before), h.side(change.Cell, after))
	}
	return change
}

func (h *History) side(cell matrix.Cell, entry int) side {
	client, _ := at(h.clients[cell.Client()], entry)
	feature, _ := at(h.features[cell.Feature], entry)
	return side{h.Entries[entry].Run, client, feature}
}

// ChangesByEntry is Changes of all cells, by the entry that has them: what each
// publication changed, in the order of Diff.
func (h *History) ChangesByEntry() [][]Change {
	place := make(map[string]int, len(h.Entries))
	for i, entry := range h.Entries {
		place[entry.ID] = i
	}
	all := make([][]Change, len(h.Entries))
	for cell := range h.cells {
		for _, change := range h.Changes(cell) {
			i := place[change.Since]
			all[i] = append(all[i], change)
		}
	}
	for _, changes := range all {
		slices.SortFunc(changes, byKind)
	}
	return all
}
