package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// TerminalOptions fit the table to the terminal.
type TerminalOptions struct {
	Width int  // columns; 0: as many as it needs
	Color bool // colour, beside a sign and a word that say the same
}

// Terminal renders the results for a terminal: the table in the widest form
// that fits, then what is red and why, and what only a technique mends. It
// depends on nothing but its arguments. What clients said is printed with its
// control characters escaped.
func Terminal(published Published, options TerminalOptions) string {
	v := viewOf(published)
	paint := painter(options.Color)
	var b strings.Builder
	b.WriteString(v.terminalTable(options.Width, paint))
	b.WriteString("\n")
	for _, row := range v.rows() {
		var lines []string
		for _, saying := range sayings(row) {
			lines = append(lines, "· "+visible(saying))
		}
		red, mended := v.findings(row)
		for _, found := range append(red, mended...) {
			lines = append(lines, found.sentence(visible, visible, ""))
		}
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", visible(row.name()+"/"+row.newest().Binding+dagger(row)))
		for _, line := range lines {
			b.WriteString(wrapped(line, options.Width))
		}
	}
	b.WriteString("\n" + wrappedHeading(published.Run.summary(), options.Width))
	b.WriteString(wrappedHeading(published.controlsHeld(), options.Width))
	return b.String()
}

// painter colours text by outcome, or leaves it as it is.
func painter(color bool) func(matrix.Outcome, string) string {
	return func(outcome matrix.Outcome, plain string) string {
		code := ""
		switch outcome {
		case matrix.Pass:
			code = "32"
		case matrix.Fail, matrix.Crash, matrix.Hang:
			code = "31"
		case matrix.Flaky, matrix.Unsupported:
			code = "33"
		case matrix.Error:
			code = "35"
		}
		if !color || code == "" {
			return plain
		}
		return "\x1b[" + code + "m" + plain + "\x1b[0m"
	}
}

// terminalTable is the table in the first form that fits: techniques named,
// outcomes alone, or a block for each client.
func (v view) terminalTable(width int, paint func(matrix.Outcome, string) string) string {
	for _, named := range []bool{true, false} {
		rendered := v.terminalGrid(named, paint)
		if width <= 0 || text.LongestLineLen(rendered) <= width {
			return rendered
		}
	}
	var b strings.Builder
	for _, row := range v.rows() {
		b.WriteString(wrappedHeading(visible(strings.Join(strings.Fields(row.name()+" "+row.versions()+" "+row.newest().Binding+dagger(row)), " ")), width))
		for _, q := range v.questions() {
			best, _ := v.best(v.spans(row, q.Feature)[0].newest(), q.Feature)
			b.WriteString(paint(best.Outcome, wrapped(q.Title+": "+visible(v.verdicts(row, q.Feature, visible, visible)), width)))
		}
		for _, group := range v.groups {
			b.WriteString(wrapped(visible(group)+": "+v.tallies(row, group, visible), width))
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func outcomeText(best Cell) string {
	if best.Outcome == "" {
		return string(matrix.NotRun)
	}
	return label(best, func(name string) string { return name })
}

func (v view) terminalGrid(named bool, paint func(matrix.Outcome, string) string) string {
	writer := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.SeparateColumns, style.Options.DrawBorder = false, false
	style.Color = table.ColorOptions{}
	rows := v.rows()
	several := severalVariants(rows)
	header := table.Row{"client", "version", "binding"}
	if several {
		header = table.Row{"client", "versions", "libzmq", "binding"}
	}
	if !named {
		header = table.Row{"client"}
	}
	for _, q := range v.questions() {
		header = append(header, q.Title)
	}
	for _, group := range v.groups {
		header = append(header, visible(group))
	}
	if !named {
		style.Box.PaddingLeft = ""
		for i := range header {
			header[i] = strings.NewReplacer(" ", "\n", "-", "-\n").Replace(header[i].(string))
		}
	}
	writer.SetStyle(style)
	writer.AppendHeader(header)
	for _, row := range rows {
		line := table.Row{visible(row.name() + dagger(row)), visible(row.versions()), visible(row.newest().Binding)}
		switch {
		case !named:
			line = table.Row{visible(row.name() + " " + row.newest().Binding + dagger(row))}
		case several:
			line = slices.Insert(line, 2, any(visible(row.libzmq())))
		}
		for _, q := range v.questions() {
			var parts []string
			for _, span := range v.spans(row, q.Feature) {
				best, words := v.verdictOf(span, q.Feature, visible)
				if !named {
					words = shortWord(best.Outcome)
				}
				parts = append(parts, paint(best.Outcome, mark(best.Outcome)+" "+visible(words))+versionsBelow(span))
			}
			line = append(line, strings.Join(parts, "\n"))
		}
		for _, group := range v.groups {
			var parts []string
			for _, span := range v.tallySpans(row, group) {
				parts = append(parts, paintTally(v.tally(span.newest(), group), named, paint)+versionsBelow(span))
			}
			line = append(line, strings.Join(parts, "\n"))
		}
		writer.AppendRow(line)
	}
	lines := strings.Split(writer.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// dagger marks a row that somebody else measured; below the table stands who.
func dagger(r row) string {
	if r.foreign() {
		return " †"
	}
	return ""
}

// versionsBelow are a span's versions on a line of their own, so that a column
// stays as narrow as its words.
func versionsBelow(s span) string {
	if s.when == "" {
		return ""
	}
	return "\n  " + visible(s.when)
}

func paintTally(tally tally, named bool, paint func(matrix.Outcome, string) string) string {
	words := tally.String()
	if !named && tally.said > 0 {
		words = fmt.Sprintf("%d/%d", tally.passes, tally.said)
	}
	switch {
	case tally.said == 0:
		return words
	case tally.passes == tally.said:
		return paint(matrix.Pass, words)
	}
	return paint(matrix.Fail, words)
}

// wrapped is a line's text below a heading: indented, broken between words,
// and its further lines indented more.
func wrapped(line string, width int) string {
	const indent, more = "  ", "  "
	if width > 2*len(indent+more) {
		line = text.WrapSoft(line, width-len(indent+more))
	}
	lines := strings.Split(line, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return indent + strings.Join(lines, "\n"+indent+more) + "\n"
}

// hanging is text that stands beside its name, broken between words.
func hanging(name, line string, width int) string {
	columns := text.StringWidthWithoutEscSequences(name)
	if width > 2*columns {
		line = text.WrapSoft(line, width-columns)
	}
	lines := strings.Split(line, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return name + strings.Join(lines, "\n"+strings.Repeat(" ", columns)) + "\n"
}

// wrappedHeading is wrapped without an indentation.
func wrappedHeading(line string, width int) string {
	if width > 0 {
		line = text.WrapSoft(line, width)
	}
	lines := strings.Split(line, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}
