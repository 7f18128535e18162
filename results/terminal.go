package results

import (
	"fmt"
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
	for _, client := range published.Targets {
		red, mended := v.findings(client)
		var lines []string
		switch {
		case client.NotRun != "":
			lines = append(lines, "· not run: "+stopped(client.NotRun))
		case client.Error != "":
			lines = append(lines, "! could not be prepared, by no fault of the client: "+stopped(client.Error))
		case !client.Trusted:
			lines = append(lines, "! its word “unsupported” is not believed: "+stopped(client.Distrust))
		}
		if client.NotRun == "" && client.Error == "" {
			for _, found := range append(red, mended...) {
				lines = append(lines, found.sentence(visible, visible, ""))
			}
		}
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", visible(client.Key().String()))
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
	for _, client := range v.Targets {
		b.WriteString(wrappedHeading(client.name()+" "+visible(client.Binding), width))
		for _, q := range v.questions() {
			best, _ := v.best(client, q.feature)
			b.WriteString(paint(best.Outcome, wrapped(q.title+": "+mark(best.Outcome)+" "+visible(outcomeText(best)), width)))
		}
		for _, group := range v.groups {
			b.WriteString(wrapped(visible(group)+": "+v.tally(client, group).String(), width))
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
	header := table.Row{"client", "version", "binding"}
	if !named {
		header = table.Row{"client"}
	}
	for _, q := range v.questions() {
		header = append(header, q.title)
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
	for _, client := range v.Targets {
		row := table.Row{visible(client.Target), visible(client.Version), visible(client.Binding)}
		if !named {
			row = table.Row{visible(client.Target + " " + client.Binding)}
		}
		for _, q := range v.questions() {
			best, _ := v.best(client, q.feature)
			words := outcomeText(best)
			if !named {
				words = shortWord(best.Outcome)
			}
			row = append(row, paint(best.Outcome, mark(best.Outcome)+" "+visible(words)))
		}
		for _, group := range v.groups {
			tally := v.tally(client, group)
			words := tally.String()
			if !named && tally.said > 0 {
				words = fmt.Sprintf("%d/%d", tally.passes, tally.said)
			}
			outcome := matrix.Outcome("")
			switch {
			case tally.said > 0 && tally.passes == tally.said:
				outcome = matrix.Pass
			case tally.said > 0:
				outcome = matrix.Fail
			}
			row = append(row, paint(outcome, words))
		}
		writer.AppendRow(row)
	}
	lines := strings.Split(writer.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
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
