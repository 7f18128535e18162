package results

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Markdown renders the results as a document: the table, then for each client
// what is red and why, and what only a technique mends.
func Markdown(published Published) string {
	v := viewOf(published)
	var b strings.Builder
	b.WriteString("# zmqmatrix\n\n" + escapeMarkdown(published.Run.summary()) + "; " + escapeMarkdown(published.controlsHeld()) + ".\n\n")
	b.WriteString(MarkdownTable(published))
	b.WriteString("\nA fraction counts the features of a group that pass by their best technique, out of those measured.\n\n")
	for _, q := range v.questions() {
		fmt.Fprintf(&b, "- %s (%s): %s\n", q.title, codeMarkdown(q.feature), q.asks)
	}
	for _, client := range published.Targets {
		red, mended := v.findings(client)
		if len(red)+len(mended) == 0 && client.NotRun == "" && client.Error == "" && client.Trusted {
			continue
		}
		fmt.Fprintf(&b, "\n## %s, %s\n\n", escapeMarkdown(titled(client)), escapeMarkdown(client.Binding))
		switch {
		case client.NotRun != "":
			fmt.Fprintf(&b, "Not run: %s\n", escapeMarkdown(stopped(client.NotRun)))
			continue
		case client.Error != "":
			fmt.Fprintf(&b, "Could not be prepared, by no fault of the client: %s\n", escapeMarkdown(stopped(client.Error)))
			continue
		case !client.Trusted:
			fmt.Fprintf(&b, "Its word “unsupported” is not believed: %s\n\n", escapeMarkdown(stopped(client.Distrust)))
		}
		for _, found := range append(red, mended...) {
			fmt.Fprintf(&b, "- %s\n", found.sentence(escapeMarkdown, codeMarkdown, "**"))
		}
	}
	return b.String()
}

// titled is a client's implementation for people: "Steel Bank Common Lisp
// 2.2.9.debian (sbcl@bookworm)".
func titled(client Client) string {
	text := client.Title
	if client.Version != "" {
		text += " " + client.Version
	}
	return visible(strings.TrimSpace(text + " (" + client.Target + ")"))
}

// sentence says a finding in one or two sentences. escape and code make text
// and names fit for where it stands; strong encloses the outcome.
func (f finding) sentence(escape, code func(string) string, strong string) string {
	names := func(list []string) string {
		quoted := make([]string, len(list))
		for i, name := range list {
			quoted[i] = code(name)
		}
		return strings.Join(quoted, ", ")
	}
	outcome := strong + string(f.cell.Outcome) + strong
	if place := where(f.cell); place != "" {
		outcome += " (" + place + ")"
	}
	reason := escape(stopped(f.cell.Reason))
	if f.cell.Cause != "" {
		reason += " " + escape(stopped(f.cell.Cause))
	}
	if f.mended != "" {
		advice := ""
		if text := techniqueAdvice[f.mended]; text != "" {
			advice = " " + escape(text)
		}
		return fmt.Sprintf("%s %s: %spass%s with %s. With %s: %s: %s%s", mark(matrix.Pass), names(f.features), strong, strong,
			code(f.mended), code(f.cell.Technique), outcome, reason, advice)
	}
	text := fmt.Sprintf("%s %s: %s: %s", mark(f.cell.Outcome), names(f.features), outcome, reason)
	if len(f.tried) > 1 {
		text += " Tried: " + names(f.tried) + "."
	}
	return text
}

// MarkdownTable renders the table alone, as it stands in README.md: a row for
// each client, the questions of 2010 first, then the groups.
func MarkdownTable(published Published) string {
	v := viewOf(published)
	header := []string{"implementation", "version", "binding"}
	questions := v.questions()
	for _, q := range questions {
		header = append(header, q.title)
	}
	for _, group := range v.groups {
		header = append(header, escapeMarkdown(group)+" features")
	}
	rows := [][]string{header}
	for _, client := range published.Targets {
		row := []string{escapeMarkdown(client.Target), escapeMarkdown(client.Version), escapeMarkdown(client.Binding)}
		for _, q := range questions {
			best, _ := v.best(client, q.feature)
			row = append(row, mark(best.Outcome)+" "+escapeMarkdown(orNotRun(best.Outcome))+strings.TrimPrefix(label(best, codeMarkdown), string(best.Outcome)))
		}
		for _, group := range v.groups {
			row = append(row, v.tally(client, group).String())
		}
		rows = append(rows, row)
	}
	return alignMarkdown(rows)
}

// orNotRun names a cell that was never planned.
func orNotRun(outcome matrix.Outcome) string {
	if outcome == "" {
		return string(matrix.NotRun)
	}
	return string(outcome)
}

// alignMarkdown lays a table out so that its source can be read too.
func alignMarkdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text), 3)
		}
	}
	var b strings.Builder
	for number, row := range rows {
		for i, text := range row {
			b.WriteString("| " + text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)) + " ")
		}
		b.WriteString("|\n")
		if number == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

var markdownEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "#", `\#`, "!", `\!`, "$", `\$`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;",
	"://", `:\//`, "www.", `www\.`, // links of their own accord
)

// escapeMarkdown makes text stand for itself within a line of GitHub's
// Markdown, in a table too.
func escapeMarkdown(text string) string { return markdownEscapes.Replace(visible(text)) }

// codeMarkdown is a name as code. In a table a bar ends the cell, and within
// code a backtick ends it: a name with either stands as text.
func codeMarkdown(name string) string {
	if name == "" || strings.ContainsAny(name, "`|\\<>&") || visible(name) != name {
		return escapeMarkdown(name)
	}
	return "`" + name + "`"
}
