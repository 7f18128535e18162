package expect

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

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
// results and the known ones, but such as break the build.
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
	proposed.write(&file)
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

// write writes the rules as YAML. goccy/go-yaml's encoder (v1.19.2) does not: it
// puts escapes between single quotation marks, where they are none, and leaves
// .inf a number.
func (w writtenRules) write(file *bytes.Buffer) {
	fmt.Fprintf(file, "schema: %s\n", scalar(w.Schema))
	if len(w.Rules) == 0 {
		file.WriteString("rules: []\n")
		return
	}
	file.WriteString("rules:\n")
	for _, rule := range w.Rules {
		fmt.Fprintf(file, "  - cells:%s\n    outcome:%s\n    reason: %s\n    issue: %s\n",
			rule.Cells.scalars(), rule.Outcome.scalars(), scalar(rule.Reason), scalar(rule.Issue))
		if rule.Until != "" {
			fmt.Fprintf(file, "    until: %s\n", rule.Until)
		}
		if rule.Strict {
			file.WriteString("    strict: true\n")
		}
	}
}

// scalars is what follows a key: a single text alone, several as a list.
func (o oneOrMore) scalars() string {
	if len(o) == 1 {
		return " " + scalar(o[0])
	}
	var list strings.Builder
	for _, text := range o {
		list.WriteString("\n      - " + scalar(text))
	}
	return list.String()
}

// plainScalar is what needs no quotation marks: outcomes, most globs and links.
var plainScalar = regexp.MustCompile(`^(pass|flaky|fail|crash|hang|unsupported|[a-z][A-Za-z0-9@*_.-]*:?/[A-Za-z0-9@*/_.-]+)$`)

// scalar is a text as YAML has it, on one line in which everything shows itself.
func scalar(text string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case plainScalar.MatchString(text):
		return text
	case !strings.ContainsFunc(text, hidden):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var quoted strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			quoted.WriteString(`\` + string(r))
		case !hidden(r):
			quoted.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&quoted, `\u%04x`, r)
		default:
			fmt.Fprintf(&quoted, `\U%08x`, r)
		}
	}
	return `"` + quoted.String() + `"`
}

// cover makes rules of the few globs that cover what breaks the build; those of
// the same outcomes for the same reason share one. Only verdicts on features
// break it: one on a technique is only judged because of a rule, which is left
// out by now.
func cover(question Question, report Report) ([]writtenRule, error) {
	open := map[matrix.Cell]results.Cell{}
	for _, finding := range report.Findings {
		if finding.Breaks {
			open[featureOf(finding.Cell.Key())] = finding.Cell
		}
	}
	globs, err := globsOver(question, open)
	if err != nil {
		return nil, err
	}
	type saying struct{ outcomes, why string }
	places := map[saying]int{}
	var rules []writtenRule
	var verdicts []int // that each rule is about
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
			covers := 0
			for _, covered := range glob.cells {
				if _, left := open[covered]; left {
					covers++
				}
			}
			if covers > most { // the narrowest of those that cover as many
				best, most = glob, covers
			}
		}
		outcomes := best.outcomes()
		said := saying{strings.Join(outcomes, " "), why(finding.Cell)}
		place, known := places[said]
		if !known {
			place = len(rules)
			places[said] = place
			reason := "proposed, as measured: " + measured(finding.Cell)
			if said.why != "" {
				reason += ": " + results.Shown(said.why, mostReason)
			}
			rules = append(rules, writtenRule{Outcome: outcomes, Reason: reason, Issue: proposedIssue})
			verdicts = append(verdicts, 0)
		}
		rules[place].Cells = append(rules[place].Cells, best.text)
		verdicts[place] += most
		for _, covered := range best.cells {
			delete(open, covered)
		}
	}
	for i, count := range verdicts {
		if count > 1 {
			rules[i].Reason += fmt.Sprintf(" (one of %d)", count)
		}
	}
	return rules, nil
}

// cellGlob is a glob that a rule could have.
type cellGlob struct {
	text  string
	cells []matrix.Cell // that break the build, alike
	found map[matrix.Outcome]bool
	like  results.Cell // the first of them
	mixed bool         // it matches others as well
}

// outcomes are those of the glob's cells.
func (g *cellGlob) outcomes() oneOrMore {
	var outcomes oneOrMore
	for _, outcome := range matrix.Outcomes {
		if g.found[outcome] {
			outcomes = append(outcomes, string(outcome))
		}
	}
	return outcomes
}

// alike reports whether one rule may speak of both cells: they came to the same
// outcome, or people found that they have the same cause, which may show in
// several ways.
func alike(a, b results.Cell) bool {
	if a.Cause != "" || b.Cause != "" {
		return a.Cause == b.Cause
	}
	return a.Outcome == b.Outcome
}

// globsOver are the globs that match what is open, by their text.
func globsOver(question Question, open map[matrix.Cell]results.Cell) (map[string]*cellGlob, error) {
	globs := map[string]*cellGlob{}
	for _, best := range question.Published.Best {
		cell := matrix.Cell{Target: best.Target, Binding: best.Binding, Feature: best.Feature}
		measured, is := open[cell]
		if !is {
			continue
		}
		if !nameable(cell) {
			return nil, fmt.Errorf("%w %s: its name has a slash or a character that does not show itself", ErrUnnameable, results.Shown(cell.String(), 300))
		}
		for _, text := range candidates(cell) {
			glob := globs[text]
			if glob == nil {
				glob = &cellGlob{text: text, found: map[matrix.Outcome]bool{}, like: measured}
				globs[text] = glob
			}
			glob.cells = append(glob.cells, cell)
			glob.found[measured.Outcome] = true
			glob.mixed = glob.mixed || !alike(glob.like, measured)
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
