package results

import (
	"fmt"
	"maps"
	"slices"
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
		fmt.Fprintf(&b, "- %s (%s): %s\n", q.Title, codeMarkdown(q.Feature), q.Asks)
	}
	rows := v.rows()
	if severalVariants(rows) {
		b.WriteString("\nRanges are over the versions that the table lists, and claim nothing of others.\n\n## Every variant\n\n")
		b.WriteString(v.markdownTable(variantsOf(rows), true))
	}
	for _, row := range rows {
		client := row.newest()
		red, mended := v.findings(row)
		said := sayings(row)
		if len(red)+len(mended)+len(said) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s, %s\n\n", escapeMarkdown(row.title()), escapeMarkdown(client.Binding))
		for _, saying := range said {
			fmt.Fprintf(&b, "%s\n\n", escapeMarkdown(saying))
		}
		for _, found := range append(red, mended...) {
			fmt.Fprintf(&b, "- %s\n", found.sentence(escapeMarkdown, codeMarkdown, "**"))
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
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

// title is a row's implementation for people; of several variants without their
// versions, which the table lists.
func (r row) title() string {
	if r.single() {
		return titled(r.clients[0])
	}
	return visible(r.clients[0].Title + " (" + r.name() + ")")
}

// sayings are what is to be known of a row's clients beside their cells: which
// source of a binding from elsewhere was measured, by whom, and why nothing was
// or can be believed.
func sayings(r row) []string {
	var said []string
	sources := map[string]bool{}
	for _, client := range r.clients {
		if client.Source != nil {
			sources["Measured: "+client.bindingAndSource()+"."] = true
		}
	}
	said = append(said, slices.Sorted(maps.Keys(sources))...)
	for _, client := range r.all() {
		saying := ""
		switch {
		case client.NotRun != "":
			saying = "Not run: " + stopped(client.NotRun)
		case client.Error != "":
			saying = "Could not be prepared, by no fault of the client: " + stopped(client.Error)
		case !client.Trusted:
			saying = "Its word “unsupported” is not believed: " + stopped(client.Distrust)
		}
		if client.MeasuredBy != nil {
			saying = strings.TrimSpace("Measured by " + client.MeasuredBy.credit() + ", not by this run. " + saying)
		}
		if saying != "" && !r.single() {
			saying = visible(client.Target) + ": " + saying
		}
		if saying != "" {
			said = append(said, saying)
		}
	}
	return said
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
	if f.happened != "" {
		reason += " " + escape(sentence(f.happened))
	}
	if f.cell.Cause != "" {
		reason += " " + escape(stopped(f.cell.Cause))
	}
	if f.mended != "" {
		advice := ""
		if text := techniqueAdvice[f.mended]; text != "" {
			advice = " " + escape(text)
		}
		return fmt.Sprintf("%s %s%s: %spass%s with %s. With %s: %s: %s%s", mark(matrix.Pass), names(f.features), f.in(escape), strong, strong,
			code(f.mended), code(f.cell.Technique), outcome, reason, advice)
	}
	text := fmt.Sprintf("%s %s%s: %s: %s", mark(f.cell.Outcome), names(f.features), f.in(escape), outcome, reason)
	if len(f.tried) > 1 {
		text += " Tried: " + names(f.tried) + "."
	}
	return text
}

// in says which versions a finding is of, if it is not all of the row.
func (f finding) in(escape func(string) string) string {
	if f.versions == "" {
		return ""
	}
	return " in " + escape(f.versions)
}

// MarkdownTable renders the table alone, as it stands in README.md: a row for
// each implementation and binding, the questions of 2010 first, then the
// groups.
func MarkdownTable(published Published) string {
	v := viewOf(published)
	rows := v.rows()
	several := severalVariants(rows)
	measured := slices.DeleteFunc(slices.Clone(rows), row.absent)
	if len(measured) == 0 {
		return v.markdownTable(rows, several)
	}
	return v.markdownTable(measured, several) + absentMarkdown(rows)
}

// absentMarkdown names the rows that the table leaves out, where they would be
// most of it.
func absentMarkdown(rows []row) string {
	var names []string
	bindings := map[string][]string{}
	for _, row := range rows {
		if !row.absent() {
			continue
		}
		if bindings[row.name()] == nil {
			names = append(names, row.name())
		}
		bindings[row.name()] = append(bindings[row.name()], escapeMarkdown(row.newest().Binding))
	}
	if len(names) == 0 {
		return ""
	}
	for i, name := range names {
		names[i] = escapeMarkdown(name) + " (" + strings.Join(bindings[name], ", ") + ")"
	}
	return "\nNot run, and therefore not in the table: " + strings.Join(names, "; ") + ".\n"
}

// markdownTable also shows libzmq's versions where several of them were measured.
func (v view) markdownTable(rows []row, several bool) string {
	header := []string{"implementation", "version", "binding"}
	if several {
		header = []string{"implementation", "versions", "libzmq", "binding"}
	}
	questions := v.questions()
	for _, q := range questions {
		header = append(header, q.Title)
	}
	for _, group := range v.groups {
		header = append(header, escapeMarkdown(group)+" features")
	}
	foreign := slices.ContainsFunc(rows, func(r row) bool { return r.foreign() })
	if foreign {
		header = append(header, "measured by")
	}
	lines := [][]string{header}
	for _, row := range rows {
		line := []string{escapeMarkdown(row.name()), escapeMarkdown(row.versions()), escapeMarkdown(row.newest().Binding)}
		if several {
			line = slices.Insert(line, 2, escapeMarkdown(row.libzmq()))
		}
		for _, q := range questions {
			line = append(line, v.verdicts(row, q.Feature, escapeMarkdown, codeMarkdown))
		}
		for _, group := range v.groups {
			line = append(line, v.tallies(row, group, escapeMarkdown))
		}
		if foreign {
			line = append(line, escapeMarkdown(row.measuredBy()))
		}
		lines = append(lines, line)
	}
	return alignMarkdown(lines)
}

// alignMarkdown lays a table out so that its source can be read too.
func alignMarkdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text), 3)
		}
	}
	// A last column of whole sentences is left ragged.
	last := len(widths) - 1
	widths[last] = min(widths[last], 40)
	var b strings.Builder
	for number, row := range rows {
		for i, text := range row {
			b.WriteString("| " + text + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text))) + " ")
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

// MarkdownText is a stranger's text for a line of another package's document.
func MarkdownText(text string) string { return escapeMarkdown(text) }

// MarkdownCode is a stranger's name for it, as code where it can be.
func MarkdownCode(name string) string { return codeMarkdown(name) }

// codeMarkdown is a name as code. In a table a bar ends the cell, and within
// code a backtick ends it: a name with either stands as text.
func codeMarkdown(name string) string {
	if name == "" || strings.ContainsAny(name, "`|\\<>&") || visible(name) != name {
		return escapeMarkdown(name)
	}
	return "`" + name + "`"
}
