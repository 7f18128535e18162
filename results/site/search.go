package site

import (
	"encoding/json"
	"fmt"
	"html/template"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// searchShown is the page of every cell. Its lines are for readers without
// scripts; with them search.js shows what cells.js has.
type searchShown struct {
	frame
	Filters []filter
	Columns []string
	Lines   []searchLine
	Left    bool // there are more lines than are shown
	Legend  []matrix.Outcome
}

type filter struct{ Name, Label string }

type searchLine struct {
	Target, Binding, Feature string
	Outcome                  matrix.Outcome
	Text                     string
	Layer                    matrix.Layer
	Since                    string
	Link                     template.URL
}

// filters are selects of the form; search.js fills them from its data by these
// names.
var filters = []filter{
	{"implementation", "Implementation"}, {"binding", "Binding"}, {"group", "Group"}, {"outcome", "Outcome"}, {"layer", "Layer"}, {"technique", "Technique"},
}

// searchColumns are what lines can be sorted by.
var searchColumns = []string{"client", "binding", "feature", "verdict", "layer", "changed"}

// mostLines bounds the lines for readers without scripts.
const mostLines = 600

func (b *builder) searchPage() error {
	shown := searchShown{frame: b.frame("search", "search", "Search"), Filters: filters, Columns: searchColumns, Legend: matrix.Outcomes}
	for _, row := range b.rows {
		for _, client := range row.Clients {
			for _, feature := range b.Published.Features {
				best, ok := b.view.Best(client, feature.Name)
				if !ok {
					continue
				}
				if len(shown.Lines) == mostLines {
					shown.Left = true
					return b.putPage("search.html", templates()["search"], shown)
				}
				verdict := b.view.VerdictOf(client, feature)
				day, _ := b.lastChange(client, feature.Name)
				shown.Lines = append(shown.Lines, searchLine{
					Target: client.Target, Binding: client.Binding, Feature: feature.Name,
					Outcome: verdict.Outcome, Text: verdict.Label, Layer: best.Layer, Since: day, Link: verdict.Link,
				})
			}
		}
	}
	return b.putPage("search.html", templates()["search"], shown)
}

// lastChange is the day of the newest change of any of a feature's techniques,
// and whether it came with these results.
func (b *builder) lastChange(client results.Client, feature string) (day string, last bool) {
	newest := -1
	for _, cell := range b.view.Techniques(client, feature) {
		changes := b.past.changes(cell.Key())
		if len(changes) > 0 {
			newest = max(newest, b.past.place[changes[len(changes)-1].Since])
		}
		last = last || b.past.changedLast(changes)
	}
	if newest >= 0 {
		day = b.past.day(newest)
	}
	return day, last
}

// searchIndex is cells.js: lists of names, and the cells as places in them, so
// that a hundred thousand cells are a few megabytes.
type searchIndex struct {
	Clients    [][4]string       `json:"clients"`  // target, implementation, binding, where its pages are
	Features   [][3]string       `json:"features"` // name, group, page within a client's
	Outcomes   []matrix.Outcome  `json:"outcomes"`
	Marks      map[string]string `json:"marks"`
	Techniques []string          `json:"techniques"` // the first is plain, which goes without saying
	Layers     []string          `json:"layers"`
	Words      []string          `json:"words"` // why
	Days       []string          `json:"days"`
	// Cells have eight numbers each: client, feature, outcome, technique, layer,
	// words, day, and 1 if it changed in the last run.
	Cells []int `json:"cells"`
}

// places are the distinct names of a list.
type places struct {
	names []string
	at    map[string]int
}

func (p *places) of(name string) int {
	if p.at == nil {
		p.at = map[string]int{}
	}
	at, known := p.at[name]
	if !known {
		at = len(p.names)
		p.at[name] = at
		p.names = append(p.names, name)
	}
	return at
}

// searchData writes cells.js.
func (b *builder) searchData() error {
	index := searchIndex{Outcomes: matrix.Outcomes, Marks: map[string]string{}, Clients: [][4]string{}, Features: [][3]string{}, Cells: []int{}}
	for _, outcome := range matrix.Outcomes {
		index.Marks[string(outcome)] = results.Mark(outcome)
	}
	var techniques, layers, words, days places
	techniques.of("plain")
	layers.of("")
	for _, feature := range b.Published.Features {
		index.Features = append(index.Features, [3]string{
			results.Shown(feature.Name, mostWord), results.Shown(feature.Group, mostWord), featureSegments(feature.Name) + ".html",
		})
	}
	for _, row := range b.view.Rows() {
		for _, client := range row.Clients {
			index.Clients = append(index.Clients, [4]string{
				results.Shown(client.Target, mostWord), results.Shown(client.Implementation, mostWord), results.Shown(client.Binding, mostWord),
				page("cells", segment(client.Target), segment(client.Binding)) + "/",
			})
			for i, feature := range b.Published.Features {
				best, ok := b.view.Best(client, feature.Name)
				if !ok {
					continue
				}
				technique := 0
				if best.Outcome == matrix.Pass || best.Outcome == matrix.Flaky {
					technique = techniques.of(results.Shown(best.Technique, mostWord))
				}
				day, changed := b.lastChange(client, feature.Name)
				index.Cells = append(index.Cells, len(index.Clients)-1, i, best.Outcome.Rank(), technique,
					layers.of(string(best.Layer)), words.of(results.Shown(b.view.Cause(best), mostWord)), days.of(day), map[bool]int{true: 1}[changed])
			}
		}
	}
	index.Techniques, index.Layers, index.Words, index.Days = techniques.names, layers.names, words.names, days.names
	// The encoding escapes what ends a script or a line of it.
	data, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("encoding what the site searches: %w", err)
	}
	return b.put("cells.js", fmt.Appendf(nil, "window.zmqmatrixCells = %s;\n", data))
}
