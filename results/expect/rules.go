// Package expect judges published results by what is known of them: rules in a
// file say which cells don't pass, why, and where that is followed up. It
// derives no verdict of its own.
package expect

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// Schema names the version of the file; matrix/schema/expect.json describes it.
const Schema = "zmqmatrix/expect/v1"

// FileName is where rules are looked for when no file is named.
const FileName = "zmqmatrix.expect.yaml"

// Rule says what is known of cells.
type Rule struct {
	Cells    []Glob
	Outcomes []matrix.Outcome // known ones; pass alone: they must pass
	Reason   string
	Issue    string // https://…
	Until    string // "2027-01-31", the last day in UTC on which it holds; "" without end
	Strict   bool   // a pass that it does not know breaks the build

	Line   int // of the file, from 1
	number int // in the file, from 0
}

// knows reports whether the outcome is one that the rule lets stand.
func (r Rule) knows(outcome matrix.Outcome) bool { return slices.Contains(r.Outcomes, outcome) }

// demands reports whether the rule's cells must pass.
func (r Rule) demands() bool { return len(r.Outcomes) == 1 && r.Outcomes[0] == matrix.Pass }

// Proposed reports whether nobody has put an issue in the place of the one that
// Propose wrote.
func (r Rule) Proposed() bool { return r.Issue == proposedIssue }

// outcomes lists the known ones in words: "crash or flaky".
func (r Rule) outcomes() string {
	words := make([]string, len(r.Outcomes))
	for i, outcome := range r.Outcomes {
		words[i] = string(outcome)
	}
	return strings.Join(words, " or ")
}

// says is what the rule says of its cells, without the reason.
func (r Rule) says() string {
	if r.demands() {
		return "must pass"
	}
	return "known as " + r.outcomes()
}

// Text is what the rule says, in words.
func (r Rule) Text() string { return r.says() + ": " + r.Reason }

// Rules are a file's. The zero value knows nothing.
type Rules struct {
	File string // "" for none
	List []Rule

	document *schema.Document
}

// problem is a mistake in a part of a rule.
func (r Rules) problem(rule Rule, problem string, path ...any) *schema.Error {
	return r.document.Problem(problem, append([]any{"rules", rule.number}, path...)...)
}

// cellsPath leads to one of a rule's globs: a single one may stand alone.
func cellsPath(globs, number int) []any {
	if globs == 1 {
		return []any{"cells"}
	}
	return []any{"cells", number}
}

// Proposed are the rules that still have what Propose put in the place of an
// issue, one mistake for each.
func (r Rules) Proposed() []*schema.Error {
	var problems []*schema.Error
	for _, rule := range r.List {
		if rule.Proposed() {
			problems = append(problems, r.problem(rule, "as gate --propose wrote it: say why it is known, and in which issue", "issue"))
		}
	}
	return problems
}

// Read reads a file of rules. A file that is not there is os.ErrNotExist; what
// is wrong in it are the mistakes of package matrix/schema.
func Read(path string) (Rules, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Rules{}, fmt.Errorf("reading expectations: %w", err)
	}
	return Parse(path, data)
}

// oneOrMore is a text or a list of them.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// writtenRules are the rules as they stand in the file.
type writtenRules struct {
	Schema string        `json:"schema"`
	Rules  []writtenRule `json:"rules"`
}

type writtenRule struct {
	Cells   oneOrMore `json:"cells"`
	Outcome oneOrMore `json:"outcome"`
	Reason  string    `json:"reason"`
	Issue   string    `json:"issue"`
	Until   string    `json:"until,omitempty"`
	Strict  bool      `json:"strict,omitempty"`
}

// Parse reads rules from the content of a file, which is only named in mistakes.
// Which rules fit the results is Judge's to find out.
func Parse(file string, data []byte) (Rules, error) {
	document, err := schema.ReadYAML(schema.Expect, file, data)
	if err != nil {
		return Rules{}, err
	}
	asJSON, err := document.JSON()
	if err != nil {
		return Rules{}, err
	}
	var written writtenRules
	if err := json.Unmarshal(asJSON, &written); err != nil {
		return Rules{}, fmt.Errorf("reading %s: %w", file, err)
	}
	rules := Rules{File: file, document: document}
	var problems []*schema.Error
	for number, from := range written.Rules {
		rule := Rule{
			Reason: strings.TrimSpace(from.Reason), Issue: from.Issue, Until: from.Until, Strict: from.Strict,
			Line: document.Problem("", "rules", number).Line, number: number,
		}
		for _, outcome := range from.Outcome {
			rule.Outcomes = append(rule.Outcomes, matrix.Outcome(outcome))
		}
		if rule.Reason == "" {
			problems = append(problems, rules.problem(rule, "it is blank: say why the outcome is known", "reason"))
		}
		if rule.Strict && rule.knows(matrix.Pass) {
			problems = append(problems, rules.problem(rule, "strict is about a pass that is not known, and pass is among the known outcomes", "strict"))
		}
		rule.Cells = make([]Glob, len(from.Cells))
		for i, text := range from.Cells {
			if rule.Cells[i], err = parseGlob(text); err != nil {
				problems = append(problems, rules.problem(rule, err.Error(), cellsPath(len(from.Cells), i)...))
			}
		}
		rules.List = append(rules.List, rule)
	}
	problems = append(problems, rules.repeated()...)
	if err := schema.Join(problems...); err != nil {
		return Rules{}, err
	}
	return rules, nil
}

// repeated finds globs that stand twice: two rules on just the same cells
// contradict each other or say in two places what belongs in one.
func (r Rules) repeated() []*schema.Error {
	var problems []*schema.Error
	first := map[string]Rule{}
	for _, rule := range r.List {
		for i, glob := range rule.Cells {
			other, twice := first[glob.text]
			if !twice || glob.text == "" {
				first[glob.text] = rule
				continue
			}
			problem := fmt.Sprintf("the glob stands in line %d already: one rule has to say all of it", other.Line)
			if contradict(other, rule) {
				problem = contradiction(other, rule)
			}
			problems = append(problems, r.problem(rule, problem, cellsPath(len(rule.Cells), i)...))
		}
	}
	return problems
}

// contradict reports whether no outcome is known to both rules.
func contradict(a, b Rule) bool { return !slices.ContainsFunc(a.Outcomes, b.knows) }

// contradiction says how a rule contradicts an earlier one.
func contradiction(earlier, later Rule) string {
	return fmt.Sprintf("contradicts the rule of line %d: %s there, %s here", earlier.Line, earlier.outcomes(), later.outcomes())
}
