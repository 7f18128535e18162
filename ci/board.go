package ci

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// board is what the live matrix shows: what is known of a run at one moment.
// Its apply and frame are functions of events and a clock that is handed in.
type board struct {
	title    string
	started  time.Time
	features []string
	rows     []*boardRow
	total    int
	decided  int
	// made counts the decided cells that took at least one new attempt: only
	// they tell how long the rest will take.
	made     int
	attempts time.Time // when the first new attempt began
	stage    string
	log      string // last line that an engine or a build printed
	stopping bool
	busy     map[matrix.Client]string // what each client is at
}

// notePreparing stands in a client's row until it is ready.
const notePreparing = "preparing"

type boardRow struct {
	client matrix.Client
	note   string // stands instead of the cells: being prepared, not run
	open   map[string]int
	best   map[string]matrix.Outcome
	at     string // feature being attempted
}

func newBoard(title string, plan matrix.Plan, catalogue []matrix.Feature, started time.Time) *board {
	b := &board{title: title, started: started, total: plan.Cells, busy: map[matrix.Client]string{}}
	planned := map[string]bool{}
	for _, client := range plan.Clients {
		row := &boardRow{client: client.Client(), open: map[string]int{}, best: map[string]matrix.Outcome{}}
		for _, cell := range client.Cells {
			planned[cell.Feature] = true
			row.open[cell.Feature]++
		}
		b.rows = append(b.rows, row)
	}
	for _, feature := range catalogue {
		if planned[feature.Name] {
			b.features = append(b.features, feature.Name)
		}
	}
	return b
}

func (b *board) apply(event matrix.Event) {
	client := event.Client
	if event.Cell.Target != "" {
		client = event.Cell.Client()
	}
	var row *boardRow
	if i := slices.IndexFunc(b.rows, func(row *boardRow) bool { return row.client == client }); i >= 0 {
		row = b.rows[i]
	}
	switch {
	case event.Kind == matrix.EventStage:
		b.stage = event.Text
	case row == nil:
	case event.Kind == matrix.EventPreparing:
		row.note = notePreparing
		b.busy[client] = strings.TrimSpace("preparing " + event.Text)
	case event.Kind == matrix.EventPrepared:
		// The first client is told of when the last is ready.
		for _, other := range b.rows {
			if other.note == notePreparing {
				other.note = ""
				delete(b.busy, other.client)
			}
		}
		switch {
		case event.Account.NotRun != "":
			row.note = "not-run: " + event.Account.NotRun
		case event.Account.Error != "":
			row.note = "error: " + event.Account.Error
		}
	case event.Kind == matrix.EventAttempting:
		if b.attempts.IsZero() {
			b.attempts = event.Time
		}
		if row.note == notePreparing { // a second time, its place was lost
			row.note = ""
		}
		row.at = event.Cell.Feature
		b.busy[client] = fmt.Sprintf("%s, %s", event.Cell.Feature, event.Cell.Technique)
	case event.Kind == matrix.EventVerdict:
		b.decided++
		if event.Verdict.Attempts > event.Verdict.Reused {
			b.made++
		}
		row.at = ""
		delete(b.busy, client)
		row.open[event.Cell.Feature]--
		known, ok := row.best[event.Cell.Feature]
		if !ok || event.Verdict.Outcome.Rank() < known.Rank() {
			row.best[event.Cell.Feature] = event.Verdict.Outcome
		}
	}
}

// left estimates how long the open cells take, from those that were decided by
// new attempts. It is unknown until five were.
func (b *board) left(now time.Time) (time.Duration, bool) {
	if b.made < 5 || b.attempts.IsZero() || b.decided >= b.total {
		return 0, false
	}
	return now.Sub(b.attempts) / time.Duration(b.made) * time.Duration(b.total-b.decided), true
}

// sign is how an outcome looks in the matrix: one letter, so that the table
// can be read without colour.
type sign struct {
	mark   string
	colour string // SGR parameters
}

var signs = map[matrix.Outcome]sign{
	matrix.Pass:        {"✓", "32"},
	matrix.Flaky:       {"~", "33"},
	matrix.Fail:        {"F", "31"},
	matrix.Crash:       {"C", "31;1"},
	matrix.Hang:        {"H", "35"},
	matrix.Unsupported: {"u", "36"},
	matrix.Error:       {"E", "97;41"},
	matrix.NotRun:      {"-", "90"},
}

// The signs of cells that have no verdict yet.
var (
	signOpen    = sign{"·", "90"}
	signAttempt = sign{"o", "34;1"}
	signNone    = sign{" ", ""} // not in the plan
)

// canvas is how a frame may be drawn.
type canvas struct {
	width, height int
	colour        bool
	ascii         bool // the terminal's character set is not UTF-8
}

// The widths between which a frame adapts: a terminal may be smaller, its
// frame is then cut.
const (
	minWidth  = 20
	minHeight = 4
	// maxBusy bounds the lines that say what is being done, of which there are
	// as many as clients attempted at once.
	maxBusy = 4
)

// frame draws the board: at most height-1 lines of at most width-1 columns, so
// that the cursor never has to leave the lines that will be drawn again.
func (b *board) frame(now time.Time, c canvas) []string {
	c.width, c.height = max(c.width, minWidth), max(c.height, minHeight)
	head := b.head(now, c)
	busy := b.busyLines(c)
	legend := b.legend(c)
	room := c.height - 1 - 1 - len(busy) // head, and the line the cursor rests on
	table := b.table(c)
	if len(table)+len(legend) > room {
		legend = nil
	}
	if len(table) > room {
		table = b.tableCut(table, room, c)
	}
	lines := append([]string{head}, table...)
	lines = append(lines, legend...)
	lines = append(lines, busy...)
	return lines[:min(len(lines), c.height-1)]
}

func (b *board) head(now time.Time, c canvas) string {
	parts := []string{b.title, fmt.Sprintf("%d of %d cells", b.decided, b.total), clock(now.Sub(b.started))}
	switch left, known := b.left(now); {
	case b.stopping:
		parts = append(parts, "stopping")
	case known:
		parts = append(parts, "about "+clock(left)+" left")
	}
	return c.paint(c.fit(strings.Join(parts, " · ")), "1")
}

// clock is a duration as minutes and seconds.
func clock(d time.Duration) string {
	seconds := int(d.Round(time.Second).Seconds())
	if seconds >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// busyLines says what is being done: one line per client at work, then what
// the engine last printed.
func (b *board) busyLines(c canvas) []string {
	var lines []string
	for _, row := range b.rows {
		if what := b.busy[row.client]; what != "" && len(lines) < maxBusy {
			lines = append(lines, c.fit("  "+row.client.String()+": "+what))
		}
	}
	if len(b.busy) > maxBusy {
		lines[maxBusy-1] = c.fit(fmt.Sprintf("  … and %d more clients", len(b.busy)-maxBusy+1))
	}
	if len(lines) == 0 && b.stage != "" {
		lines = append(lines, c.fit("  "+b.stage))
	}
	if b.log != "" && b.attempts.IsZero() {
		lines = append(lines, c.paint(c.fit("  "+b.log), "90"))
	}
	return lines
}

func (b *board) legend(c canvas) []string {
	seen := map[matrix.Outcome]bool{}
	for _, row := range b.rows {
		for outcome := range maps.Values(row.best) {
			seen[outcome] = true
		}
	}
	line := c.line()
	for _, outcome := range matrix.Outcomes {
		if seen[outcome] {
			line.add(c.mark(signs[outcome]), signs[outcome].colour)
			line.add(" "+string(outcome)+"  ", "")
		}
	}
	line.add(c.mark(signAttempt), signAttempt.colour)
	line.add(" under way  ", "")
	line.add(c.mark(signOpen), signOpen.colour)
	line.add(" to come", "")
	return []string{line.String()}
}

// table has a line of group names and one line per client. A feature's column
// is two wide where the terminal allows it, else one.
func (b *board) table(c canvas) []string {
	nameWidth := 0
	for _, row := range b.rows {
		nameWidth = max(nameWidth, text.StringWidth(row.client.String()))
	}
	type group struct {
		name     string
		features []string
	}
	var groups []group
	for _, name := range b.features {
		prefix, _, _ := strings.Cut(name, "/")
		if len(groups) == 0 || groups[len(groups)-1].name != prefix {
			groups = append(groups, group{name: prefix})
		}
		last := &groups[len(groups)-1]
		last.features = append(last.features, name)
	}
	column := 2
	if nameWidth+2+2*len(b.features)+len(groups) > c.width-1 {
		column = 1
	}
	nameWidth = min(nameWidth, max(8, c.width-1-2-column*len(b.features)-len(groups)))

	header := c.line()
	header.add(strings.Repeat(" ", nameWidth+2), "")
	for i, group := range groups {
		name := group.name
		if i < len(groups)-1 {
			name = pad(name, column*len(group.features))
		}
		header.add(name, "4")
		header.add(" ", "")
	}
	lines := []string{header.String()}
	for _, row := range b.rows {
		line := c.line()
		line.add(pad(printable(row.client.String()), nameWidth)+"  ", "")
		if row.note != "" {
			line.add(printable(row.note), "90")
			lines = append(lines, line.String())
			continue
		}
		for _, group := range groups {
			for _, feature := range group.features {
				sign := row.sign(feature)
				line.add(c.mark(sign), sign.colour)
				line.add(strings.Repeat(" ", column-1), "")
			}
			line.add(" ", "")
		}
		lines = append(lines, line.String())
	}
	return lines
}

// tableCut keeps the group names and as many rows as fit, those at work first.
func (b *board) tableCut(table []string, room int, c canvas) []string {
	if room < 3 {
		return table[:max(0, min(room, len(table)))]
	}
	keep := map[int]bool{}
	for _, busy := range []bool{true, false} {
		for i, row := range b.rows {
			if (b.busy[row.client] != "") == busy && len(keep) < room-2 {
				keep[i] = true
			}
		}
	}
	cut := table[:1:1]
	for i := range b.rows {
		if keep[i] {
			cut = append(cut, table[1+i])
		}
	}
	return append(cut, c.fit(fmt.Sprintf("… and %d more clients", len(b.rows)-len(keep))))
}

// sign shows a feature by its best technique as soon as one passed, else when
// all techniques are decided.
func (r *boardRow) sign(feature string) sign {
	open, planned := r.open[feature]
	best, any := r.best[feature]
	switch {
	case !planned:
		return signNone
	case any && (best == matrix.Pass || open == 0):
		return signs[best]
	case r.at == feature:
		return signAttempt
	}
	return signOpen
}

// pad makes text exactly width columns wide.
func pad(s string, width int) string {
	s = text.Trim(s, width)
	return s + strings.Repeat(" ", max(0, width-text.StringWidth(s)))
}

// fit makes foreign text one line that fits.
func (c canvas) fit(s string) string {
	s = printable(s)
	if c.ascii {
		s = asciiOnly(s)
	}
	if text.StringWidth(s) <= c.width-1 {
		return s
	}
	dots := "…"
	if c.ascii {
		dots = "..."
	}
	return text.Trim(s, c.width-1-text.StringWidth(dots)) + dots
}

func (c canvas) paint(s, colour string) string {
	if !c.colour || colour == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// mark is the sign, in ASCII where the terminal knows no more.
func (c canvas) mark(s sign) string {
	if !c.ascii {
		return s.mark
	}
	switch s.mark {
	case "✓":
		return "P"
	case "·":
		return "."
	}
	return s.mark
}

// asciiOnly replaces what our own text has beyond ASCII, and writes out the
// rest.
func asciiOnly(s string) string {
	s = strings.NewReplacer("·", "|", "…", "...", "→", "->").Replace(s)
	var out strings.Builder
	for _, r := range s {
		if r < 0x80 {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// canvasLine collects coloured pieces of one line and cuts it at the width.
type canvasLine struct {
	canvas canvas
	out    strings.Builder
	used   int
}

func (c canvas) line() *canvasLine { return &canvasLine{canvas: c} }

func (l *canvasLine) add(piece, colour string) {
	if l.canvas.ascii {
		piece = asciiOnly(piece)
	}
	piece = text.Trim(piece, max(0, l.canvas.width-1-l.used))
	l.used += text.StringWidth(piece)
	if strings.TrimSpace(piece) == "" {
		colour = ""
	}
	l.out.WriteString(l.canvas.paint(piece, colour))
}

func (l *canvasLine) String() string { return strings.TrimRight(l.out.String(), " ") }
