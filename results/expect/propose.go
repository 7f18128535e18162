package expect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// proposedIssue stands where a person has to put a link. The name is one that
// never leads anywhere (RFC 2606).
const proposedIssue = "https://example.invalid/replace-with-the-issue"

// mostReason bounds what a proposed rule quotes of a client, in bytes.
const mostReason = 300

// ErrUnnameable says that a cell's name is one that no glob can name.
var ErrUnnameable = errors.New("no glob can name the cell")

// Propose writes the file of rules with which the same question has nothing
// that breaks the build: those of the question's rules that are right, as they
// are, and new ones for the rest. A new rule matches no cell, among those of the
// results and the known ones, but those that break the build and have its
// outcome.
func Propose(question Question) ([]byte, error) {
	kept, left, err := keep(question)
	if err != nil {
		return nil, err
	}
	question.Rules = kept
	report, err := Judge(question)
	if err != nil {
		return nil, err
	}
	proposed := writtenRules{Schema: Schema, Rules: []writtenRule{}}
	for _, rule := range kept.List {
		proposed.Rules = append(proposed.Rules, rule.written())
	}
	added, err := cover(question, report)
	if err != nil {
		return nil, err
	}
	proposed.Rules = append(proposed.Rules, added...)
	var file bytes.Buffer
	fmt.Fprintf(&file, "# Proposed by zmqmatrix gate: with these rules nothing in run %s breaks the build.\n", results.Shown(question.Published.Run.ID, 100))
	if len(added) > 0 {
		file.WriteString("# Of each new one say why it is known, link the issue, and give it a last day with until: 2027-01-31.\n")
	}
	for _, why := range left {
		fmt.Fprintf(&file, "# Left out: %s\n", why)
	}
	if err := yaml.NewEncoder(&file, yaml.IndentSequence(true), yaml.UseSingleQuote(true)).Encode(proposed); err != nil {
		return nil, fmt.Errorf("writing the proposal: %w", err)
	}
	// What a person is to put into a repository is held to what reads it there.
	if question.Rules, err = Parse("the proposal", file.Bytes()); err != nil {
		return nil, err
	}
	if report, err = Judge(question); err != nil {
		return nil, err
	}
	if breaking := report.Breaking(); breaking > 0 {
		return nil, fmt.Errorf("the proposal leaves %d verdicts unexpected", breaking)
	}
	return file.Bytes(), nil
}

// keep leaves out the rules that are mistakes, and those that a finding which
// breaks the build rests on, and says why of each.
func keep(question Question) (Rules, []string, error) {
	judge, verdicts, err := newJudge(question)
	if err != nil {
		return Rules{}, nil, err
	}
	wrong := map[int]string{}
	for _, verdict := range verdicts {
		for _, finding := range judge.verdict(verdict) {
			if rule := finding.Rule; finding.Breaks && rule != nil && wrong[rule.number] == "" {
				wrong[rule.number] = fmt.Sprintf("line %d, %s: %s is %s", rule.Line, rule.says(), results.Shown(finding.Name(), 200), finding.Cell.Outcome)
			}
		}
	}
	for _, mistake := range judge.mistakes() {
		wrong[mistake.rule.number] = fmt.Sprintf("line %d: %s", mistake.rule.Line, mistake.problem.Problem)
	}
	kept := question.Rules
	kept.List = nil
	var left []string
	for _, rule := range question.Rules.List {
		if why := wrong[rule.number]; why != "" {
			left = append(left, why)
		} else {
			kept.List = append(kept.List, rule)
		}
	}
	return kept, left, nil
}

// written is the rule as it stands in a file.
func (r Rule) written() writtenRule {
	written := writtenRule{Reason: r.Reason, Issue: r.Issue, Until: r.Until, Strict: r.Strict}
	for _, glob := range r.Cells {
		written.Cells = append(written.Cells, glob.text)
	}
	for _, outcome := range r.Outcomes {
		written.Outcome = append(written.Outcome, string(outcome))
	}
	return written
}

// cover makes a rule for each of the few globs that cover what breaks the build.
// Only verdicts on features do: one on a technique is only judged because of a
// rule, which is left out by now.
func cover(question Question, report Report) ([]writtenRule, error) {
	open := map[matrix.Cell]matrix.Outcome{}
	for _, finding := range report.Findings {
		if finding.Breaks {
			open[featureOf(finding.Cell.Key())] = finding.Cell.Outcome
		}
	}
	globs, err := globsOver(question, open)
	if err != nil {
		return nil, err
	}
	var rules []writtenRule
	for _, finding := range report.Findings {
		cell := featureOf(finding.Cell.Key())
		if _, left := open[cell]; !left {
			continue
		}
		var best *cellGlob
		most := 0
		for _, text := range candidates(cell) {
			glob := globs[text]
			if glob.mixed {
				continue
			}
			glob.cells = slices.DeleteFunc(glob.cells, func(covered matrix.Cell) bool { _, left := open[covered]; return !left })
			if len(glob.cells) > most { // the narrowest of those that cover as many
				best, most = glob, len(glob.cells)
			}
		}
		reason := "proposed, as measured: " + measured(finding.Cell)
		if why := why(finding.Cell); why != "" {
			reason += ": " + results.Shown(why, mostReason)
		}
		if most > 1 {
			reason += fmt.Sprintf(" (one of %d)", most)
		}
		rules = append(rules, writtenRule{
			Cells: oneOrMore{best.text}, Outcome: oneOrMore{string(finding.Cell.Outcome)}, Reason: reason, Issue: proposedIssue,
		})
		for _, covered := range best.cells {
			delete(open, covered)
		}
	}
	return rules, nil
}

// cellGlob is a glob that a rule could have.
type cellGlob struct {
	text    string
	cells   []matrix.Cell // of one outcome, that no rule covers yet
	outcome matrix.Outcome
	mixed   bool // it matches others as well
}

// globsOver are the globs that match what is open, by their text.
func globsOver(question Question, open map[matrix.Cell]matrix.Outcome) (map[string]*cellGlob, error) {
	globs := map[string]*cellGlob{}
	for _, best := range question.Published.Best {
		cell := matrix.Cell{Target: best.Target, Binding: best.Binding, Feature: best.Feature}
		outcome, is := open[cell]
		if !is {
			continue
		}
		if !nameable(cell) {
			return nil, fmt.Errorf("%w %s: its name has a slash or a character that does not show itself", ErrUnnameable, results.Shown(cell.String(), 300))
		}
		for _, text := range candidates(cell) {
			glob := globs[text]
			if glob == nil {
				glob = &cellGlob{text: text, outcome: outcome}
				globs[text] = glob
			}
			glob.cells = append(glob.cells, cell)
			glob.mixed = glob.mixed || glob.outcome != outcome
		}
	}
	if len(globs) == 0 {
		return globs, nil
	}
	others := slices.Clone(question.Known)
	for _, cell := range question.Published.Cells {
		others = append(others, cell.Key())
	}
	for _, cell := range others {
		cell = featureOf(cell)
		if _, is := open[cell]; is {
			continue
		}
		for _, text := range candidates(cell) {
			if glob := globs[text]; glob != nil {
				glob.mixed = true
			}
		}
	}
	return globs, nil
}

// nameable reports whether a glob can name the cell: its name is what
// matrix.ParseCell reads as that cell, in characters that show themselves.
func nameable(cell matrix.Cell) bool {
	name := strings.TrimSuffix(cell.String(), "/")
	parsed, err := matrix.ParseCell(name)
	return err == nil && parsed == cell && results.Shown(name, len(name)) == name
}

// candidates are the globs over a client's feature, from its name alone to all
// there are.
func candidates(cell matrix.Cell) []string {
	implementation, _, variant := strings.Cut(cell.Target, "@")
	group, name, _ := strings.Cut(cell.Feature, "/")
	targets := []string{literal(cell.Target)}
	if variant {
		targets = append(targets, literal(implementation)+"@*")
	}
	targets = append(targets, "*")
	bindings := []string{literal(cell.Binding), "*"}
	features := []string{literal(group) + "/" + literal(name), literal(group) + "/*", "*/*"}
	var globs []string
	for wide := range len(targets) + len(bindings) + len(features) - 2 {
		for t, target := range targets {
			for b, binding := range bindings {
				for f, feature := range features {
					if t+b+f == wide {
						globs = append(globs, target+"/"+binding+"/"+feature)
					}
				}
			}
		}
	}
	return globs
}

var literals = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// literal is the pattern that matches the name alone.
func literal(name string) string { return literals.Replace(name) }
