package report

import (
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// MostSummary is how much GitHub takes of one step's summary, in bytes; of a
// larger one it shows nothing at all.
const MostSummary = 1 << 20

// mostSaid bounds what the summary's head takes for each of the totals and notes.
const mostSaid = 2000

// section is a part of the summary that can be shortened line by line.
type section struct {
	head, tail string
	lines      []string
	unit       string // what a line is: "verdict"
}

// leftOut is the longest line that says what a section leaves out.
const leftOut = 120

// Summary is what the gate found as Markdown of at most so many bytes: what
// breaks the build first, then what else is not as it is known to be, what is
// known, and the table. What does not fit is left out from behind, and said.
func Summary(gate Gate, most int) string {
	head, sections := gate.summaryHead(), gate.sections()
	reserved := 0
	for _, section := range sections {
		reserved += section.least()
	}
	if len(head)+reserved > most {
		return shortest(gate, most)
	}
	var b strings.Builder
	b.WriteString(head)
	for _, section := range sections {
		// Every section that follows gets its word in, if only to say that it
		// is left out.
		reserved -= section.least()
		section.write(&b, most-b.Len()-reserved)
	}
	return b.String()
}

// least is what a section takes without any of its lines.
func (s section) least() int { return len(s.head) + len(s.tail) + leftOut }

// write adds as many of the section's lines as fit into so many bytes.
func (s section) write(b *strings.Builder, room int) {
	room -= s.least()
	b.WriteString(s.head)
	for i, line := range s.lines {
		if room -= len(line); room < 0 {
			more := len(s.lines) - i
			fmt.Fprintf(b, "\n%d more %s left out: GitHub takes %d KiB of a summary.\n", more, s.unit, MostSummary>>10)
			break
		}
		b.WriteString(line)
	}
	b.WriteString(s.tail)
}

// shortest is the summary where there is no room for more than a sentence.
func shortest(gate Gate, most int) string {
	text := "zmqmatrix: " + results.MarkdownText(gate.Totals()) + "\n"
	if len(text) > most {
		return ""
	}
	return text
}

// verdictInWords is the answer to whether the build breaks.
func (g Gate) verdictInWords() string {
	switch breaking := g.Report.Breaking(); {
	case breaking == 1:
		return "✗ 1 verdict breaks the build"
	case breaking > 1:
		return fmt.Sprintf("✗ %d verdicts break the build", breaking)
	case !g.Ran:
		return "! nothing ran"
	case g.Report.Count(expect.HarnessError) > 0:
		return "! incomplete: the harness failed"
	}
	return "✓ as expected"
}

func (g Gate) summaryHead() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## zmqmatrix: %s\n\n", g.verdictInWords())
	fmt.Fprintf(&b, "Run %s: %s.\n\n", results.MarkdownText(results.Shown(g.Published.Run.ID, mostName)), results.MarkdownText(g.Totals()))
	for _, note := range g.notes() {
		fmt.Fprintf(&b, "- %s\n", results.MarkdownText(results.Shown(note, mostSaid)))
	}
	return b.String()
}

// sections are the parts of the summary, the most important first.
func (g Gate) sections() []section {
	ofKind := map[expect.Kind][]string{}
	for _, finding := range g.Report.Ordered() {
		ofKind[finding.Kind] = append(ofKind[finding.Kind], g.item(finding))
	}
	var sections []section
	for _, kind := range expect.Kinds {
		lines := ofKind[kind]
		if len(lines) == 0 || kind == expect.Pass || kind == expect.NotRun || kind == expect.Unsupported {
			continue
		}
		made := section{head: fmt.Sprintf("\n### %s (%d)\n\n", capital(words[kind][1]), len(lines)), lines: lines, unit: "verdicts are"}
		if kind == expect.KnownFailure || kind == expect.Unchanged {
			made.head = fmt.Sprintf("\n<details><summary>%s (%d)</summary>\n\n", capital(words[kind][1]), len(lines))
			made.tail = "\n</details>\n"
		}
		sections = append(sections, made)
	}
	table := section{head: "\n### Table\n\n", unit: "lines are"}
	table.lines = strings.SplitAfter(strings.TrimSuffix(results.MarkdownTable(g.Published), "\n")+"\n", "\n")
	return append(sections, table)
}

// item is a finding as an item of a list.
func (g Gate) item(finding expect.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s: **%s**", results.MarkdownCode(name(finding)), results.MarkdownText(finding.Measured()))
	if why := reason(finding); why != "" {
		b.WriteString(": " + results.MarkdownText(why))
	}
	if because := g.because(finding); because != "" {
		b.WriteString("<br>" + results.MarkdownText(because))
	}
	if link := issue(finding); link != "" {
		b.WriteString(", " + linkMarkdown(link))
	}
	if command := replay(finding); command != "" && worthALook(finding) {
		b.WriteString("<br>" + results.MarkdownCode(command))
	}
	b.WriteString("\n")
	return b.String()
}

// linkMarkdown is a link that somebody wrote into a rule. Between the brackets
// nothing counts but what would end them.
func linkMarkdown(link string) string {
	if strings.ContainsAny(link, "<>\\ ") {
		return results.MarkdownText(link)
	}
	return "[issue](<" + link + ">)"
}

// SummaryOfRefusal is the summary where nothing was judged, of at most so many
// bytes.
func SummaryOfRefusal(why error, most int) string {
	made := section{head: "## zmqmatrix: nothing was judged\n\n", unit: "lines are"}
	for line := range strings.SplitSeq(why.Error(), "\n") {
		made.lines = append(made.lines, "- "+results.MarkdownText(results.Shown(line, mostSaid))+"\n")
	}
	if made.least() > most {
		return ""
	}
	var b strings.Builder
	made.write(&b, most)
	return b.String()
}
