package site

import (
	"fmt"
	"html/template"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Measures of the matrix at a glance, in units of its own.
const (
	glanceLabel  = 190 // width of the clients' names
	glanceHead   = 150 // height of the features' names
	glanceSquare = 20
	glanceStep   = 22
	glanceGap    = 8 // between groups
)

// Bounds of the matrix at a glance: beyond the first a square is a group and not
// a feature, beyond the second the rest is on the implementations' pages.
const (
	mostSquares = 1200
	mostGlance  = 60 // rows
)

// glance is the matrix as a picture: a square for each client and feature.
type glance struct {
	Width, Height int
	Columns       []glanceColumn
	Rows          []glanceRow
	Grouped       bool // a square is a group
	Left          int  // rows that are not shown
}

type glanceColumn struct {
	X    int
	Name string
	Head bool // the first of its group
	Over string
}

type glanceRow struct {
	Y             int
	Name, Binding string
	Link          string
	Squares       []glanceSquareOf
}

type glanceSquareOf struct {
	X       int
	Outcome matrix.Outcome
	Sign    string
	Link    template.URL
	Title   string
}

// glance draws the rows that were measured.
func (b *builder) glance() glance {
	g := glance{}
	rows := b.rows
	g.Grouped = len(rows)*len(b.Published.Features) > mostSquares
	if len(rows) > mostGlance {
		g.Left = len(rows) - mostGlance
		rows = rows[:mostGlance]
	}
	x := glanceLabel
	places := map[string]int{} // of features, or groups
	for i, group := range b.view.Groups() {
		if i > 0 {
			x += glanceGap
		}
		if g.Grouped {
			places[group] = x
			g.Columns = append(g.Columns, glanceColumn{X: x, Name: group})
			x += 2 * glanceStep
			continue
		}
		for j, feature := range b.view.Features(group) {
			places[feature.Name] = x
			column := glanceColumn{X: x, Name: shortName(feature), Head: j == 0}
			if j == 0 {
				column.Over = group
			}
			g.Columns = append(g.Columns, column)
			x += glanceStep
		}
	}
	g.Width = x + 4
	for i, row := range rows {
		shown := glanceRow{Y: glanceHead + i*glanceStep, Name: row.Name, Binding: row.Newest.Binding, Link: implementationPage(row.Newest.Implementation) + ".html"}
		for _, group := range b.view.Groups() {
			if g.Grouped {
				text, passes, measured := b.view.Tally(row, group)
				square := glanceSquareOf{X: places[group], Sign: fmt.Sprintf("%d/%d", passes, measured), Title: row.Name + " " + row.Newest.Binding + ", " + group + ": " + text}
				switch {
				case measured == 0:
					square.Outcome, square.Sign = matrix.NotRun, results.Mark(matrix.NotRun)
				case passes == measured:
					square.Outcome = matrix.Pass
				case passes == 0:
					square.Outcome = matrix.Fail
				default:
					square.Outcome = matrix.Flaky
				}
				shown.Squares = append(shown.Squares, square)
				continue
			}
			for _, feature := range b.view.Features(group) {
				verdict := b.view.Verdict(row, feature)
				shown.Squares = append(shown.Squares, glanceSquareOf{
					X: places[feature.Name], Outcome: verdict.Outcome, Sign: results.Mark(verdict.Outcome), Link: verdict.Link,
					Title: row.Name + " " + row.Newest.Binding + ", " + feature.Name + ": " + verdict.Label,
				})
			}
		}
		g.Rows = append(g.Rows, shown)
	}
	g.Height = glanceHead + len(rows)*glanceStep + 4
	return g
}

// Measures of a timeline.
const (
	timelineLabel = 150
	timelineWidth = 560
	timelineLane  = 22
	timelineHead  = 6
	// mostBars bounds a lane: of a cell that changes in every publication the
	// last are drawn.
	mostBars = 100
)

// timeline is a feature's techniques through the publications.
type timeline struct {
	Width, Height int
	First, Last   string // days
	Span          string
	Lanes         []lane
	Left          bool // a lane had more bars
}

type lane struct {
	Y         int
	Technique string
	Bars      []bar
}

type bar struct {
	X, Width int
	Outcome  matrix.Outcome
	Sign     string
	Title    string
}

// timeline draws a lane for each technique.
func (p past) timeline(techniques []string, stretches [][]stretch) timeline {
	if p.entries() == 0 {
		return timeline{}
	}
	t := timeline{Width: timelineLabel + timelineWidth + 8, First: p.day(0), Last: p.day(p.entries() - 1), Span: p.span()}
	at := func(entry int) int { return timelineLabel + entry*timelineWidth/p.entries() }
	for i, technique := range techniques {
		drawn := lane{Y: timelineHead + i*timelineLane, Technique: technique}
		all := stretches[i]
		if len(all) > mostBars {
			all, t.Left = all[len(all)-mostBars:], true
		}
		for _, s := range all {
			until := "today"
			if s.end < p.entries() {
				until = p.day(s.end)
			}
			drawn.Bars = append(drawn.Bars, bar{
				X: at(s.begin), Width: max(3, at(s.end)-at(s.begin)-1), Outcome: s.outcome, Sign: results.Mark(s.outcome),
				Title: fmt.Sprintf("%s: %s from %s to %s", technique, s.outcome, p.day(s.begin), until),
			})
		}
		t.Lanes = append(t.Lanes, drawn)
	}
	t.Height = timelineHead + len(techniques)*timelineLane + 20
	return t
}
