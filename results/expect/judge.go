package expect

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Kind is what a verdict is in the light of the rules.
type Kind string

// The kinds, what a person must see first at the front.
const (
	UnexpectedFailure Kind = "unexpected-failure" // it does not pass, and nothing says that this is known
	ChangedOutcome    Kind = "changed-outcome"    // it does not pass, otherwise than a rule or the base says
	UnexpectedPass    Kind = "unexpected-pass"    // it passes, and a rule or the base says that it does not
	HarnessError      Kind = "error"              // the harness's fault: nothing is said of the client
	KnownFailure      Kind = "known-failure"      // as a rule says
	Unchanged         Kind = "unchanged"          // not as the rules have it, but as in the base: not of this change
	Unsupported       Kind = "unsupported"        // the client says so, and no rule says anything
	NotRun            Kind = "not-run"            // nothing is said of the client
	Pass              Kind = "pass"
)

// Kinds lists every kind in that order.
var Kinds = []Kind{UnexpectedFailure, ChangedOutcome, UnexpectedPass, HarnessError, KnownFailure, Unchanged, Unsupported, NotRun, Pass}

// Finding is one verdict in the light of the rules.
type Finding struct {
	Kind   Kind
	Breaks bool // the build
	// Cell has the verdict. If Feature is set it is the best technique's, and
	// the verdict is the client's on the feature; otherwise it is on the
	// technique alone.
	Cell    results.Cell
	Feature bool
	Rule    *Rule          // the one that decides it, nil without
	Base    matrix.Outcome // the base's, "" where it says nothing
}

// Name is the cell's, without a technique if the finding is on the feature.
func (f Finding) Name() string {
	if f.Feature {
		return strings.TrimSuffix(featureOf(f.Cell.Key()).String(), "/")
	}
	return f.Cell.Key().String()
}

// Measured is the cell's outcome in words: "crash (SIGSEGV, layer binding)".
func (f Finding) Measured() string { return measured(f.Cell) }

func measured(cell results.Cell) string {
	text := string(cell.Outcome)
	if cell.Outcome == matrix.Flaky {
		text = fmt.Sprintf("%s %d/%d", text, cell.Passes, cell.Attempts)
	}
	var more []string
	if cell.Signal != "" {
		more = append(more, results.Shown(cell.Signal, 50))
	}
	if cell.Layer != "" {
		more = append(more, "layer "+results.Shown(string(cell.Layer), 50))
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text
}

// Why is why the outcome is what it is: the cause that people found, or else the
// reason that the judge gave.
func (f Finding) Why() string { return why(f.Cell) }

func why(cell results.Cell) string { return cmp.Or(cell.Cause, cell.Reason) }

// Report is what the rules make of results.
type Report struct {
	// Findings are in the order of the results: one for each client and feature,
	// and one for each further technique that a rule is about.
	Findings []Finding
	// Idle are rules on cells of which these results say nothing: not selected,
	// not run, or the harness failed.
	Idle []Rule
}

// Count is how many findings are of the kind.
func (r Report) Count(kind Kind) int {
	count := 0
	for _, finding := range r.Findings {
		if finding.Kind == kind {
			count++
		}
	}
	return count
}

// Breaking is how many findings break the build.
func (r Report) Breaking() int {
	count := 0
	for _, finding := range r.Findings {
		if finding.Breaks {
			count++
		}
	}
	return count
}

// Ordered are the findings with what a person must see first at the front: what
// breaks the build, then by kind, then in the order of the results.
func (r Report) Ordered() []Finding {
	ordered := slices.Clone(r.Findings)
	place := map[Kind]int{}
	for i, kind := range Kinds {
		place[kind] = i
	}
	rank := func(finding Finding) int {
		if finding.Breaks {
			return place[finding.Kind] - len(Kinds)
		}
		return place[finding.Kind]
	}
	slices.SortStableFunc(ordered, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return ordered
}

// Question is what Judge is asked.
type Question struct {
	Published results.Published
	// Base are results of before a change; then only what differs from them can
	// be unexpected. Nil: the rules alone decide.
	Base  *results.Published
	Rules Rules
	// Known are the cells that a run may have. A rule on one of them that these
	// results don't have is idle; on any other it is a mistake.
	Known []matrix.Cell
	Today time.Time // rules that ended before are mistakes
}

// Why results can't be judged.
var (
	// ErrInconsistent: the best techniques are not those of the cells.
	ErrInconsistent = errors.New("the results contradict themselves")
	// ErrNothingInCommon: the base measured nothing of what is judged.
	ErrNothingInCommon = errors.New("the base says nothing of these results")
)

// Judge says what the results' verdicts are in the light of the rules. It is
// pure. Mistakes in the rules are those of package matrix/schema: a rule that
// matches no cell, contradicts another or is out of date.
func Judge(question Question) (Report, error) {
	judge, verdicts, err := newJudge(question)
	if err != nil {
		return Report{}, err
	}
	var report Report
	for _, verdict := range verdicts {
		report.Findings = append(report.Findings, judge.verdict(verdict)...)
	}
	var problems []*schema.Error
	for _, mistake := range judge.mistakes() {
		problems = append(problems, mistake.problem)
	}
	if err := schema.Join(problems...); err != nil {
		return Report{}, err
	}
	for _, rule := range question.Rules.List {
		if judge.idle[rule.number] {
			report.Idle = append(report.Idle, rule)
		}
	}
	return report, nil
}

// newJudge prepares a judgement of the results' verdicts.
func newJudge(question Question) (*judge, []verdict, error) {
	verdicts, err := verdictsOf(question.Published)
	if err != nil {
		return nil, nil, err
	}
	judge := &judge{Question: question, ofClient: map[matrix.Client][]claim{}, matched: map[*Glob]bool{}, idle: map[int]bool{}}
	if question.Base != nil {
		if judge.base, err = baseOf(*question.Base, question.Published); err != nil {
			return nil, nil, fmt.Errorf("the base: %w", err)
		}
		if !judge.base.meets(verdicts) {
			return nil, nil, fmt.Errorf("%w: it has none of their verdicts; was it made from another selection?", ErrNothingInCommon)
		}
	}
	for _, rule := range question.Rules.List {
		judge.idle[rule.number] = true
	}
	return judge, verdicts, nil
}

// verdict is a client's on a feature: the cells of its techniques, and which of
// them is the best.
type verdict struct {
	cells []results.Cell
	best  int
}

// verdictsOf are the published verdicts, in their order. Every cell must belong
// to one, and its best technique must be there: what is missing could not be
// judged, and would pass for a pass.
func verdictsOf(published results.Published) ([]verdict, error) {
	type subject struct {
		client  matrix.Client
		feature string
	}
	cells := map[subject][]results.Cell{}
	for _, cell := range published.Cells {
		of := subject{cell.Key().Client(), cell.Feature}
		if slices.ContainsFunc(cells[of], func(other results.Cell) bool { return other.Technique == cell.Technique }) {
			return nil, fmt.Errorf("%w: the cell %s is there twice", ErrInconsistent, results.Shown(cell.Key().String(), 200))
		}
		cells[of] = append(cells[of], cell)
	}
	var verdicts []verdict
	for i, best := range published.Best {
		of := subject{matrix.Client{Target: best.Target, Binding: best.Binding}, best.Feature}
		found := verdict{cells: cells[of]}
		found.best = slices.IndexFunc(found.cells, func(cell results.Cell) bool {
			return cell.Technique == best.Technique && cell.Outcome == best.Outcome
		})
		if found.best < 0 {
			return nil, fmt.Errorf("%w: best[%d] names %s of %s by %s as %s, and there is no such cell", ErrInconsistent, i,
				results.Shown(best.Feature, 100), results.Shown(of.client.String(), 100), results.Shown(best.Technique, 100), best.Outcome)
		}
		delete(cells, of)
		verdicts = append(verdicts, found)
	}
	for _, cell := range published.Cells {
		if _, left := cells[subject{cell.Key().Client(), cell.Feature}]; left {
			return nil, fmt.Errorf("%w: there are cells of %s of %s, and no best technique", ErrInconsistent,
				results.Shown(cell.Feature, 100), results.Shown(cell.Key().Client().String(), 100))
		}
	}
	return verdicts, nil
}

// base is what results of before a change say.
type base struct {
	features, techniques map[matrix.Cell]matrix.Outcome // of features without a technique in the key
}

// baseOf leaves out what the base can't be compared in: verdicts that say
// nothing of the client, and features that were another then.
func baseOf(before, now results.Published) (*base, error) {
	verdicts, err := verdictsOf(before)
	if err != nil {
		return nil, err
	}
	versions := map[string]int{}
	for _, feature := range now.Features {
		versions[feature.Name] = feature.Version
	}
	same := map[string]bool{}
	for _, feature := range before.Features {
		version, there := versions[feature.Name]
		same[feature.Name] = there && version == feature.Version
	}
	found := &base{map[matrix.Cell]matrix.Outcome{}, map[matrix.Cell]matrix.Outcome{}}
	for _, verdict := range verdicts {
		for i, cell := range verdict.cells {
			if !same[cell.Feature] || !saysSomething(cell.Outcome) {
				continue
			}
			found.techniques[cell.Key()] = cell.Outcome
			if i == verdict.best {
				found.features[featureOf(cell.Key())] = cell.Outcome
			}
		}
	}
	return found, nil
}

// featureOf is a cell's client and feature.
func featureOf(cell matrix.Cell) matrix.Cell {
	cell.Technique = ""
	return cell
}

// saysSomething reports whether the outcome is a statement about the client.
func saysSomething(outcome matrix.Outcome) bool { return outcome == matrix.Pass || outcome.Red() }

// meets reports whether the base has any of the verdicts.
func (b *base) meets(verdicts []verdict) bool {
	return slices.ContainsFunc(verdicts, func(verdict verdict) bool {
		_, there := b.features[featureOf(verdict.cells[verdict.best].Key())]
		return there
	})
}

// outcome is the base's on a feature or a technique, "" where it says nothing.
func (b *base) outcome(cell results.Cell, feature bool) matrix.Outcome {
	switch {
	case b == nil:
		return ""
	case feature:
		return b.features[featureOf(cell.Key())]
	}
	return b.techniques[cell.Key()]
}

// judge is one judgement under way.
type judge struct {
	Question
	base     *base
	ofClient map[matrix.Client][]claim // that are about the client
	matched  map[*Glob]bool
	idle     map[int]bool // rules, by their number
}

// claim is one of a rule's globs.
type claim struct {
	rule *Rule
	glob *Glob
}

// claims are those about a client. A client's cells stand together, and most
// rules are about few clients.
func (j *judge) claims(client matrix.Client) []claim {
	claims, known := j.ofClient[client]
	if known {
		return claims
	}
	for i := range j.Rules.List {
		rule := &j.Rules.List[i]
		for g := range rule.Cells {
			if glob := &rule.Cells[g]; glob.matchesClient(client) {
				claims = append(claims, claim{rule, glob})
			}
		}
	}
	j.ofClient[client] = claims
	return claims
}

// about are the rules on a client's feature, or on a technique for it, each once
// and in the file's order.
func (j *judge) about(cell matrix.Cell) []*Rule {
	var rules []*Rule
	for _, claim := range j.claims(cell.Client()) {
		if (claim.glob.technique == "") != (cell.Technique == "") || !claim.glob.matchesFeature(cell.Feature) ||
			cell.Technique != "" && !claim.glob.matchesTechnique(cell.Technique) {
			continue
		}
		j.matched[claim.glob] = true
		if !slices.Contains(rules, claim.rule) {
			rules = append(rules, claim.rule)
		}
	}
	return rules
}

// verdict finds what a client's verdict on a feature is, and the verdicts on
// techniques that rules are about. Where no rule is about the feature, one about
// its best technique is: the verdict rests on it.
func (j *judge) verdict(verdict verdict) []Finding {
	best := verdict.cells[verdict.best]
	ofFeature := j.about(featureOf(best.Key()))
	findings := []Finding{{}}
	for i, cell := range verdict.cells {
		ofTechnique := j.about(cell.Key())
		switch {
		case i == verdict.best && len(ofFeature) == 0:
			findings[0] = j.find(cell, true, ofTechnique)
			if findings[0].Kind == KnownFailure && findings[0].Base == matrix.Pass && j.base.outcome(cell, false) != matrix.Pass {
				// It is known that this technique fails. In the base another
				// passed, and of its loss no rule knows.
				findings[0].Kind, findings[0].Breaks = UnexpectedFailure, true
			}
		case len(ofTechnique) > 0:
			findings = append(findings, j.find(cell, false, ofTechnique))
		}
	}
	if len(ofFeature) > 0 {
		findings[0] = j.find(best, true, ofFeature)
	}
	return findings
}

// find says what one verdict is in the light of the rules about it, and then of
// the base.
func (j *judge) find(cell results.Cell, feature bool, rules []*Rule) Finding {
	finding := Finding{Cell: cell, Feature: feature, Base: j.base.outcome(cell, feature)}
	outcome := cell.Outcome
	if saysSomething(outcome) {
		for _, rule := range rules {
			j.idle[rule.number] = false
		}
	}
	// Every rule must know the outcome; the first that does not decides.
	if len(rules) > 0 {
		finding.Rule = rules[0]
	}
	known := true
	for _, rule := range rules {
		if !rule.knows(outcome) {
			finding.Rule, known = rule, false
			break
		}
	}
	strict := slices.ContainsFunc(rules, func(rule *Rule) bool { return rule.Strict })
	switch {
	case outcome == matrix.Error:
		finding.Kind = HarnessError
	case outcome == matrix.NotRun:
		finding.Kind = NotRun
	case known && outcome == matrix.Pass:
		finding.Kind = Pass
	case known && len(rules) > 0:
		finding.Kind = KnownFailure
	case known && outcome == matrix.Unsupported:
		finding.Kind = Unsupported
	case outcome == matrix.Pass:
		finding.Kind, finding.Breaks = UnexpectedPass, strict
	case finding.Rule == nil || finding.Rule.demands():
		finding.Kind, finding.Breaks = UnexpectedFailure, true
	default:
		finding.Kind, finding.Breaks = ChangedOutcome, true
	}
	if finding.Base != "" && saysSomething(outcome) {
		finding.compare()
	}
	return finding
}

// compare takes back what is not of this change, and adds what is.
func (f *Finding) compare() {
	now := f.Cell.Outcome
	switch f.Kind {
	case UnexpectedFailure, ChangedOutcome:
		switch {
		case f.Base == now:
			f.Kind, f.Breaks = Unchanged, false
		case f.Base != matrix.Pass && f.Base != matrix.Unsupported:
			// It went wrong before, in another way.
			f.Kind, f.Breaks = ChangedOutcome, false
		}
	case UnexpectedPass:
		if f.Base == matrix.Pass {
			f.Kind, f.Breaks = Unchanged, false
		}
	case Unsupported:
		if f.Base == matrix.Pass {
			f.Kind, f.Breaks = UnexpectedFailure, true
		} else if f.Base != now {
			f.Kind = ChangedOutcome
		}
	case Pass:
		if f.Base != matrix.Pass && f.Rule == nil {
			f.Kind = UnexpectedPass
		}
	}
}

// mistake is one in a rule.
type mistake struct {
	rule    *Rule
	problem *schema.Error
}

// mistakes finds the rules that contradict an earlier one, are out of date or
// match nothing.
func (j *judge) mistakes() []mistake {
	var mistakes []mistake
	add := func(rule *Rule, problem string, path ...any) {
		mistakes = append(mistakes, mistake{rule, j.Rules.problem(*rule, problem, path...)})
	}
	cells := j.cells()
	// Looking at all cells marks what each glob matches.
	for _, found := range j.contradictions(cells) {
		add(found.later, contradiction(*found.earlier, *found.later)+"; both are about "+found.about, "cells")
	}
	today := j.Today.UTC().Format(time.DateOnly)
	for i := range j.Rules.List {
		rule := &j.Rules.List[i]
		if rule.Until != "" && rule.Until < today {
			add(rule, fmt.Sprintf("out of date: it held until %s, and today is %s; measure again, then renew the rule or take it out", rule.Until, today), "until")
		}
		for g := range rule.Cells {
			if glob := &rule.Cells[g]; !j.matched[glob] {
				add(rule, glob.whyNothing(cells), cellsPath(len(rule.Cells), g)...)
			}
		}
	}
	return mistakes
}

// cells are all that a rule may be about: those of the results, and known ones.
func (j *judge) cells() []matrix.Cell {
	if len(j.Rules.List) == 0 {
		return nil
	}
	cells := make([]matrix.Cell, 0, len(j.Published.Cells)+len(j.Known))
	for _, cell := range j.Published.Cells {
		cells = append(cells, cell.Key())
	}
	return append(cells, j.Known...)
}

// contradictory are two rules about the same that have no outcome in common.
type contradictory struct {
	earlier, later *Rule
	about          string
}

// contradictions looks at what several rules are about at once: a feature, or a
// technique for it.
func (j *judge) contradictions(cells []matrix.Cell) []contradictory {
	var found []contradictory
	told := map[[2]int]bool{}
	seen := map[matrix.Cell]bool{}
	look := func(subject matrix.Cell) {
		if seen[subject] {
			return
		}
		seen[subject] = true
		rules := j.about(subject)
		for i, later := range rules {
			for _, earlier := range rules[:i] {
				if pair := [2]int{earlier.number, later.number}; contradict(*earlier, *later) && !told[pair] {
					told[pair] = true
					found = append(found, contradictory{earlier, later, results.Shown(strings.TrimSuffix(subject.String(), "/"), 200)})
				}
			}
		}
	}
	for _, cell := range cells {
		look(featureOf(cell))
		look(cell)
	}
	return found
}
