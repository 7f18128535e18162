package report

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// Output is a value that a workflow's step hands to later ones.
type Output struct{ Name, Value string }

// Counts are the outputs of what a gate found: how many findings there are of
// each kind, how many break the build, and all of it in a line.
func Counts(gate Gate) []Output {
	outputs := []Output{
		{"breaking", fmt.Sprint(gate.Report.Breaking())},
		{"verdicts", fmt.Sprint(len(gate.Report.Findings))},
	}
	for _, kind := range expect.Kinds {
		outputs = append(outputs, Output{outputNames[kind], fmt.Sprint(gate.Report.Count(kind))})
	}
	return append(outputs, Output{"totals", gate.Totals()}, Output{"run", gate.Published.Run.ID})
}

// outputNames are the counts' names, which workflows rely on.
var outputNames = map[expect.Kind]string{
	expect.UnexpectedFailure: "unexpected-failures",
	expect.ChangedOutcome:    "changed-outcomes",
	expect.UnexpectedPass:    "unexpected-passes",
	expect.HarnessError:      "errors",
	expect.KnownFailure:      "known-failures",
	expect.Unchanged:         "unchanged",
	expect.Unsupported:       "unsupported",
	expect.NotRun:            "not-run",
	expect.Pass:              "passes",
}

// Outputs writes them as GitHub's runner reads its file of outputs. A value may
// be anything: it ends at a line that nobody can have foreseen.
func Outputs(outputs []Output) string {
	var b strings.Builder
	for _, output := range outputs {
		end := "zmqmatrix_" + rand.Text()
		fmt.Fprintf(&b, "%s<<%s\n%s\n%s\n", output.Name, end, output.Value, end)
	}
	return b.String()
}
