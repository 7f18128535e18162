package matrixtest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// saying is what a subtest says of its cell: it fails, is skipped, or passes.
type saying struct {
	fails, skips bool
	headline     string
	evidence     bool // there is something to look at
	file         string
	cell         results.Cell
	feature      results.Feature
	techniques   []results.Cell // of the feature, if there are several
}

// sayingOf decides it. The results hold the verdicts that there are; of the
// cell's feature they are all, or the cell passes. rules is the file of the rules.
func sayingOf(published results.Published, judged expect.Report, rules string, verdict matrix.Verdict) saying {
	said := saying{}
	for _, cell := range published.Cells {
		if cell.Key() == verdict.Cell {
			said.cell = cell
		}
		if cell.Key().Client() == verdict.Client() && cell.Feature == verdict.Feature {
			said.techniques = append(said.techniques, cell)
		}
	}
	for _, feature := range published.Features {
		if feature.Name == verdict.Feature {
			said.feature = feature
		}
	}
	outcome := said.cell.Outcome
	said.evidence = outcome != matrix.Pass && outcome != matrix.NotRun && outcome != matrix.Unsupported
	what := string(outcome)
	if said.cell.Reason != "" {
		what += ": " + said.cell.Reason
	}
	// What breaks comes first.
	ordered := judged.Ordered()
	i := slices.IndexFunc(ordered, func(finding expect.Finding) bool { return finding.Cell.Key() == verdict.Cell })
	switch {
	case outcome == matrix.Error:
		said.fails, said.headline = true, "error of the harness, which says nothing of the client: "+said.cell.Reason
	case i < 0 && outcome == matrix.Pass:
		said.headline = passed(verdict)
	case i < 0:
		// The feature's verdict is another technique's.
		said.skips, said.headline = true, fmt.Sprintf("%s\nthe feature's verdict is that of its best technique, %s", what, said.best())
	default:
		said.find(ordered[i], rules, what, verdict)
	}
	return said
}

// find says what the rules make of the verdict.
func (s *saying) find(finding expect.Finding, rules, what string, verdict matrix.Verdict) {
	rule := ""
	if finding.Rule != nil {
		rule = fmt.Sprintf("%s (%s:%d, %s)", finding.Rule.Text(), rules, finding.Rule.Line, finding.Rule.Issue)
	}
	s.fails = finding.Breaks
	switch finding.Kind {
	case expect.Pass:
		s.headline = passed(verdict)
	case expect.UnexpectedPass:
		s.headline = passed(verdict) + "\nthat is not expected: " + rule + "; the rule can go"
	case expect.KnownFailure:
		s.headline = what + "\n" + rule
	case expect.ChangedOutcome:
		s.headline = what + "\notherwise than " + rule
	default:
		s.headline = what
		if rule != "" {
			s.headline += "\nagainst " + rule
		}
	}
	s.skips = !s.fails && finding.Kind != expect.Pass && finding.Kind != expect.UnexpectedPass
}

// best is the feature's best technique and what it came to.
func (s *saying) best() string {
	best := slices.MinFunc(s.techniques, func(a, b results.Cell) int { return cmp.Compare(a.Outcome.Rank(), b.Outcome.Rank()) })
	return fmt.Sprintf("%s: %s", best.Technique, best.Outcome)
}

// passed is a pass, and what it rests on.
func passed(verdict matrix.Verdict) string {
	text := fmt.Sprintf("pass, %d of %d attempts", verdict.Passes, verdict.Attempts)
	if verdict.Reused > 0 {
		text += fmt.Sprintf(", %d of them reused", verdict.Reused)
	}
	return text + ", the longest " + verdict.Slowest.Round(time.Millisecond).String()
}

// text is the saying for the test's output. All that a client said in it is made
// harmless.
func (s *saying) text(test string) string {
	var out strings.Builder
	out.WriteString(shown(s.headline))
	if !s.evidence {
		return out.String()
	}
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&out, "\n%-11s %s", name, shown(text))
		}
	}
	line("requirement", s.feature.Requirement)
	line("layer", string(s.cell.Layer))
	line("cause", s.cell.Cause)
	if len(s.techniques) > 1 {
		var outcomes []string
		for _, cell := range s.techniques {
			outcomes = append(outcomes, cell.Technique+" "+string(cell.Outcome))
		}
		line("techniques", strings.Join(outcomes, ", "))
	}
	line("evidence", s.file)
	line("again", s.cell.Replay)
	line("alone", "go test -count=1 -run "+results.ShellWord(exactly(test)))
	return out.String()
}

// exactly is the pattern for -run that selects the test alone.
func exactly(test string) string {
	elements := strings.Split(test, "/")
	for i, element := range elements {
		elements[i] = "^" + regexp.QuoteMeta(element) + "$"
	}
	return strings.Join(elements, "/")
}

// mostLine bounds a line of the test's output, in bytes; the evidence has the
// rest.
const mostLine = 2000

// shown is text of several lines as the test's output may have it.
func shown(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = results.Shown(line, mostLine)
	}
	return strings.Join(lines, "\n")
}
