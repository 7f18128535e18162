package results

import (
	"slices"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// View is published results as a site of many pages looks at them: the rows,
// verdicts and words are those of Page.
type View struct {
	view
	rows []Row
}

// ViewOf looks at results whose cells have pages at link.
func ViewOf(published Published, link Linker) *View {
	v := &View{view: viewOf(published)}
	v.link = link
	for _, row := range v.view.rows() {
		newest := row.newest()
		v.rows = append(v.rows, Row{
			Name: row.name(), Title: row.title(), Versions: row.versions(), Libzmq: row.libzmq(), Newest: newest, Clients: row.all(),
			Absent: row.absent(), Several: !row.single(), row: row,
		})
	}
	return v
}

// Linked is the same with pages elsewhere.
func (v *View) Linked(link Linker) *View {
	linked := *v
	linked.link = link
	return &linked
}

// Row is one implementation with one binding, in every version that was
// measured.
type Row struct {
	Name     string // the target of a single version, else the implementation
	Title    string
	Versions string // that were measured, and of several those that were not
	Libzmq   string
	Newest   Client   // of the newest version that was measured
	Clients  []Client // of all versions, oldest first
	Absent   bool     // nothing of it could be had
	Several  bool     // it has several versions
	row      row
}

// Rows are what was measured first, in the results' order, and then the rest.
func (v *View) Rows() []Row { return v.rows }

// Groups are the features' groups in their order.
func (v *View) Groups() []string { return v.groups }

// Questions are those of 2010 whose features were measured.
func (v *View) Questions() []Question { return v.questions() }

// Summary is the run in one line, and whether its controls held.
func (v *View) Summary() (run, controls string) {
	return v.Run.summary(), v.controlsHeld()
}

// Verdict is a row's on a feature. Its link is "" where there is no cell.
func (v *View) Verdict(r Row, feature Feature) RowVerdict {
	return v.rowVerdict(r.row, feature)
}

// VerdictOf is one client's on a feature.
func (v *View) VerdictOf(client Client, feature Feature) RowVerdict {
	return v.rowVerdict(row{clients: []Client{client}}, feature)
}

// Best is a client's best technique for a feature.
func (v *View) Best(client Client, feature string) (Cell, bool) { return v.best(client, feature) }

// Detail is what is known of a client's feature.
func (v *View) Detail(client Client, feature Feature) (CellDetail, bool) {
	return v.pageDetail(client, feature)
}

// Techniques are a client's cells of a feature, in the order of preference.
func (v *View) Techniques(client Client, feature string) []Cell {
	return v.cells[client.Key()][feature]
}

// Findings are what a reader should know of a row beyond its verdicts.
func (v *View) Findings(r Row) RowFindings { return v.pageFindings(r.row) }

// Cause is why a feature is red, or why it needs a technique, in a sentence; ""
// for one that passes as it is.
func (v *View) Cause(best Cell) string { return v.causeOf(best) }

// Tally counts the features of a group that pass in a row's newest version, and
// says so for every version.
func (v *View) Tally(r Row, group string) (text string, passes, measured int) {
	newest := v.tally(r.Newest, group)
	return v.tallies(r.row, group, visible), newest.passes, newest.said
}

// Features are those of a group.
func (v *View) Features(group string) []Feature { return v.inGroup[group] }

// Summaries are what a client comes to, as Summaries lists it.
func (v *View) Summaries(client Client) []Summary { return v.summaries(client) }

// Seeds are the answers to the question of 2010.
func (v *View) Seeds() (SeedsShown, error) { return seedsPageOf(v.Published, v.link) }

// Mark is an outcome's sign, which stands beside the word and never alone.
func Mark(outcome matrix.Outcome) string { return mark(outcome) }

// EscapeMarkdown makes text stand for itself within a line of GitHub's Markdown.
func EscapeMarkdown(text string) string { return escapeMarkdown(text) }

// Anchor joins names to an identifier that needs no escape in an attribute or in
// an address.
func Anchor(names ...string) string { return anchor(names...) }

// Shortened is evidence of which every text has at most so many bytes, and what
// is told in lists is left out but for its beginning.
func (e Evidence) Shortened(most int) *Evidence {
	shown := most / mostName
	if len(e.Observations) > shown {
		e.ObservationsLeft += len(e.Observations) - shown
		e.Observations = e.Observations[:shown]
	}
	e.Endpoint = e.Endpoint[:min(len(e.Endpoint), shown)]
	e.Stderr = boundedTail(e.Stderr, most)
	e.LastStep, e.HarnessError = bounded(e.LastStep, most), bounded(e.HarnessError, most)
	if e.Dossier != nil {
		dossier := *e.Dossier
		dossier.Backtrace, dossier.Missing = bounded(dossier.Backtrace, most), bounded(dossier.Missing, most)
		dossier.Threads = dossier.Threads[:min(len(dossier.Threads), shown)]
		dossier.Blocked = dossier.Blocked[:min(len(dossier.Blocked), shown)]
		e.Dossier = &dossier
	}
	return &e
}

// Unfit says why results must not be shown as if they could be relied on: nil of
// those of a finished run whose controls were judged as they must be.
func (p Published) Unfit() error {
	switch {
	case p.Run.Finished.IsZero():
		return ErrUnfinished
	case len(p.Controls) == 0 || slices.ContainsFunc(p.Controls, func(control matrix.ControlResult) bool { return !control.Held() }):
		return ErrMisjudged
	}
	return nil
}
