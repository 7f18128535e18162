package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// past is the history as pages ask for it. Without one there is nothing to ask
// for.
type past struct {
	history *history.History
	place   map[string]int // of an entry, by its name
	// last is the entry that the results are; -1 where the history has them not.
	last int
	// changed are the changes by entry, recent those of the last mostEntries publications by entry, oldest
	// first, and newest those of a feature, an implementation or a binding, newest
	// first and mostChanges at most. The cells with which the history begins are
	// no changes.
	changed, recent [][]history.Change
	newest          struct{ feature, implementation, binding map[string][]history.Change }
}

func pastOf(all *history.History, published results.Published) past {
	p := past{history: all, last: -1, place: map[string]int{}}
	if all == nil {
		return p
	}
	for i, entry := range all.Entries {
		p.place[entry.ID] = i
	}
	if at, found := all.Find(history.SnapshotOf(published).ID); found {
		p.last = at
	}
	p.gather()
	return p
}

// gather looks at every cell once.
func (p *past) gather() {
	p.changed = p.history.ChangesByEntry()
	p.recent = slices.Clone(p.changed[max(0, p.entries()-mostEntries):])
	if len(p.recent) == p.entries() && p.entries() > 0 {
		p.recent[0] = nil // that the history begins is no change
	}
	p.newest.feature, p.newest.implementation, p.newest.binding = map[string][]history.Change{}, map[string][]history.Change{}, map[string][]history.Change{}
	for _, entry := range slices.Backward(p.recent) {
		for _, change := range entry {
			implementation, _, _ := strings.Cut(change.Target, "@")
			for _, of := range []struct {
				index map[string][]history.Change
				name  string
			}{{p.newest.feature, change.Feature}, {p.newest.implementation, implementation}, {p.newest.binding, change.Binding}} {
				if len(of.index[of.name]) < mostChanges {
					of.index[of.name] = append(of.index[of.name], change)
				}
			}
		}
	}
}

// entries counts the publications.
func (p past) entries() int {
	if p.history == nil {
		return 0
	}
	return len(p.history.Entries)
}

// day is when an entry's run was.
func (p past) day(entry int) string {
	return p.history.Entries[entry].Run.Started.UTC().Format(time.DateOnly)
}

// changes are a cell's.
func (p past) changes(cell matrix.Cell) []history.Change {
	if p.history == nil {
		return nil
	}
	return p.history.Changes(cell)
}

// changedLast tells whether any of the changes came with the results, where
// others were published before.
func (p past) changedLast(changes []history.Change) bool {
	if p.last < 1 || len(changes) == 0 {
		return false
	}
	return p.place[changes[len(changes)-1].Since] == p.last
}

// stretch is a time in which a cell had one outcome: the entries from begin to
// before end.
type stretch struct {
	begin, end int
	outcome    matrix.Outcome
}

// stretches are a cell's through the history. Times in which it said nothing are
// left out.
func (p past) stretches(changes []history.Change) []stretch {
	var all []stretch
	for _, change := range changes {
		at := p.place[change.Since]
		if len(all) > 0 && all[len(all)-1].end == p.entries() {
			all[len(all)-1].end = at
		}
		if change.After == nil {
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].end == at && all[last].outcome == change.After.Outcome {
			all[last].end = p.entries()
			continue
		}
		all = append(all, stretch{at, p.entries(), change.After.Outcome})
	}
	return all
}

// passesSince is the entry from which on some technique of a feature has passed
// in every publication until today; -1 if none does now.
func (p past) passesSince(techniques [][]stretch) int {
	since := p.entries()
	for found := true; found; {
		found = false
		for _, technique := range techniques {
			for _, s := range technique {
				if s.outcome == matrix.Pass && s.begin < since && s.end >= since {
					since, found = s.begin, true
				}
			}
		}
	}
	if since == p.entries() {
		return -1
	}
	return since
}

// sinceWords says since when a feature passes: "2026-11-25, the first
// publication", or "" where it does not pass or there is no history.
func (p past) sinceWords(techniques [][]stretch) string {
	if p.last < 0 || p.last != p.entries()-1 {
		return ""
	}
	switch entry := p.passesSince(techniques); {
	case entry < 0:
		return ""
	case entry == 0:
		return p.day(0) + ", the first publication"
	default:
		return p.day(entry)
	}
}

// span says which publications the history has: "3 publications, 2026-11-25 to
// 2027-02-01".
func (p past) span() string {
	switch count := p.entries(); count {
	case 0:
		return ""
	case 1:
		return "1 publication, " + p.day(0)
	default:
		return fmt.Sprintf("%d publications, %s to %s", count, p.day(0), p.day(count-1))
	}
}
