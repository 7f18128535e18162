// Package report shows what a gate found where people and CI systems look: a
// terminal, a step summary, annotations, step outputs, JUnit XML and JSON. Each
// form is a pure function of the findings; what clients said is escaped in it.
package report

import (
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// Gate is what a gate found.
type Gate struct {
	Published results.Published
	Report    expect.Report
	Rules     expect.Rules
	BaseRun   string // the run that it was compared with, "" without
	// Ran says that a client which was asked for could be had here.
	Ran bool
}

// Bounds of what one finding shows of a client's words, in bytes; the results
// have the rest.
const (
	mostName   = 300
	mostReason = 500
	mostReplay = 600
)

// mostLines is how many rules the notes name of those that they are about.
const mostLines = 20

// words are a kind of finding, one and several.
var words = map[expect.Kind][2]string{
	expect.UnexpectedFailure: {"unexpected failure", "unexpected failures"},
	expect.ChangedOutcome:    {"changed outcome", "changed outcomes"},
	expect.UnexpectedPass:    {"unexpected pass", "unexpected passes"},
	expect.HarnessError:      {"harness error", "harness errors"},
	expect.KnownFailure:      {"known failure", "known failures"},
	expect.Unchanged:         {"unchanged since the base", "unchanged since the base"},
	expect.Unsupported:       {"unsupported", "unsupported"},
	expect.NotRun:            {"not run", "not run"},
	expect.Pass:              {"pass", "pass"},
}

func counted(count int, kind expect.Kind) string {
	if count == 1 {
		return "1 " + words[kind][0]
	}
	return fmt.Sprintf("%d %s", count, words[kind][1])
}

// capital is a word as it begins a heading.
func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// Totals counts the findings in one line.
func (g Gate) Totals() string {
	var parts []string
	for _, kind := range expect.Kinds {
		if count := g.Report.Count(kind); count > 0 {
			parts = append(parts, counted(count, kind))
		}
	}
	if len(parts) == 0 {
		return "no verdict"
	}
	return strings.Join(parts, ", ")
}

// name is the finding's cell.
func name(finding expect.Finding) string { return results.Shown(finding.Name(), mostName) }

// reason is why the outcome is what it is, "" if nothing is known.
func reason(finding expect.Finding) string { return results.Shown(finding.Why(), mostReason) }

// replay is the command that measures the cell again.
func replay(finding expect.Finding) string { return results.Shown(finding.Cell.Replay, mostReplay) }

// place is where a rule stands, for people: "zmqmatrix.expect.yaml:7".
func (g Gate) place(rule expect.Rule) string {
	return fmt.Sprintf("%s:%d", results.Shown(g.Rules.File, mostName), rule.Line)
}

// because says why the finding is of its kind, "" if the kind says it all.
func (g Gate) because(finding expect.Finding) string {
	rule, base := "", ""
	if finding.Rule != nil {
		rule = fmt.Sprintf("%s (%s)", results.Shown(finding.Rule.Text(), mostReason), g.place(*finding.Rule))
	}
	if finding.Base != "" {
		base = fmt.Sprintf("in the base: %s", finding.Base)
	}
	both := strings.Trim(rule+"; "+base, "; ")
	switch finding.Kind {
	case expect.UnexpectedFailure:
		if both == "" {
			return "no rule says that this is known"
		}
	case expect.UnexpectedPass:
		if rule != "" {
			return both + "; take the rule out, or add pass to its outcomes"
		}
	case expect.HarnessError:
		return "the harness failed, which says nothing about the client"
	case expect.Pass, expect.NotRun, expect.Unsupported:
		return base
	}
	return both
}

// issue is the link of the rule that decides the finding, "" without one.
func issue(finding expect.Finding) string {
	if finding.Rule == nil || finding.Rule.Proposed() {
		return ""
	}
	return results.Shown(finding.Rule.Issue, mostReason)
}

// lines are all that a finding's cell is said to be, but its name.
func (g Gate) lines(finding expect.Finding) []string {
	measured := finding.Measured()
	if why := reason(finding); why != "" {
		measured += ": " + why
	}
	said := []string{measured}
	for _, line := range []string{g.because(finding), issue(finding)} {
		if line != "" {
			said = append(said, line)
		}
	}
	if command := replay(finding); command != "" {
		said = append(said, "measure it again: "+command)
	}
	return said
}

// Text is the gate's answer for a terminal: what a person has to look at, then
// how many there are of everything.
func Text(gate Gate) string {
	var b strings.Builder
	for _, finding := range gate.Report.Ordered() {
		if !worthALook(finding) {
			continue
		}
		sign := "!"
		if finding.Breaks {
			sign = "✗"
		}
		fmt.Fprintf(&b, "%s %s: %s\n", sign, words[finding.Kind][0], name(finding))
		for _, line := range gate.lines(finding) {
			b.WriteString("  " + line + "\n")
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString(gate.Totals() + "\n")
	for _, note := range gate.notes() {
		b.WriteString(note + "\n")
	}
	return b.String()
}

// worthALook tells what is not as it is known to be.
func worthALook(finding expect.Finding) bool {
	switch finding.Kind {
	case expect.UnexpectedFailure, expect.ChangedOutcome, expect.UnexpectedPass, expect.HarnessError:
		return true
	}
	return false
}

// notes are what is to be known beside the findings.
func (g Gate) notes() []string {
	var notes []string
	if g.BaseRun != "" {
		notes = append(notes, "compared with run "+results.Shown(g.BaseRun, mostName)+": only what differs from it is unexpected")
	}
	if idle := g.Report.Idle; len(idle) > 0 {
		var lines []string
		for _, rule := range idle[:min(len(idle), mostLines)] {
			lines = append(lines, fmt.Sprint(rule.Line))
		}
		if more := len(idle) - mostLines; more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more", more))
		}
		notes = append(notes, fmt.Sprintf("rules of %s on what was not measured here, by their lines: %s", results.Shown(g.Rules.File, mostName), strings.Join(lines, ", ")))
	}
	proposed := g.Rules.Proposed()
	for _, problem := range proposed[:min(len(proposed), mostLines)] {
		notes = append(notes, problem.Error())
	}
	if more := len(proposed) - mostLines; more > 0 {
		notes = append(notes, fmt.Sprintf("and so are %d more", more))
	}
	return notes
}
