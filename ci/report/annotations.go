package report

import (
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// mostAnnotations is how many errors, and how many warnings, GitHub keeps of one
// step (actions/runner, ExecutionContext.cs); what comes after is dropped without
// a word.
const mostAnnotations = 10

// annotation is a workflow command that GitHub shows at a commit. Its texts are
// escaped where it is written.
type annotation struct {
	level   string // "error" or "warning"
	title   string
	message string
	file    string // relative to the repository; "" for none
	line    int
	column  int
}

// String is the command (actions/toolkit, packages/core/src/command.ts).
func (a annotation) String() string {
	var properties []string
	add := func(name, value string) {
		if value != "" {
			properties = append(properties, name+"="+escapeProperty(value))
		}
	}
	add("title", a.title)
	// A name that could not stand in a log as it is leads nowhere.
	if a.file != "" && results.Shown(a.file, len(a.file)) == a.file {
		add("file", a.file)
		if a.line > 0 {
			add("line", fmt.Sprint(a.line))
		}
		if a.column > 0 {
			add("col", fmt.Sprint(a.column))
		}
	}
	return "::" + a.level + " " + strings.Join(properties, ",") + "::" + escapeData(a.message) + "\n"
}

var (
	escapedData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapedProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func escapeData(text string) string     { return escapedData.Replace(text) }
func escapeProperty(text string) string { return escapedProperty.Replace(text) }

// Annotations are workflow commands for GitHub's runner: an error for each
// finding that breaks the build or that the harness failed in, a warning for
// each other that is not as it is known to be and for each rule that a person
// has yet to write. Of more than GitHub shows the last says how many there are.
// A file's name in the repository is "" if it is not in it.
func Annotations(gate Gate, inRepository func(file string) string) string {
	file := inRepository(gate.Rules.File)
	var errors, warnings []annotation
	if !gate.Ran {
		errors = append(errors, annotation{level: "error", title: "Nothing ran", message: "No client that was asked for could be had: " + gate.Totals()})
	}
	for _, finding := range gate.Report.Ordered() {
		if !worthALook(finding) {
			continue
		}
		found := annotation{level: "error", title: capital(words[finding.Kind][0]) + ": " + name(finding), message: strings.Join(gate.lines(finding), "\n")}
		if finding.Rule != nil {
			found.file, found.line = file, finding.Rule.Line
		}
		if finding.Breaks || finding.Kind == expect.HarnessError {
			errors = append(errors, found)
		} else {
			found.level = "warning"
			warnings = append(warnings, found)
		}
	}
	for _, problem := range gate.Rules.Proposed() {
		warnings = append(warnings, annotation{"warning", "An expectation that nobody wrote yet", problem.Problem, file, problem.Line, problem.Column})
	}
	return written(errors) + written(warnings)
}

// written are annotations of one level, as many as are kept.
func written(annotations []annotation) string {
	var b strings.Builder
	for i, annotation := range annotations {
		if more := len(annotations) - i; i == mostAnnotations-1 && more > 1 {
			annotation.title, annotation.file = fmt.Sprintf("And %d more", more), ""
			annotation.message = "GitHub shows the first of a step; the summary and the other reports have them all."
		}
		if i == mostAnnotations {
			break
		}
		b.WriteString(annotation.String())
	}
	return b.String()
}

// Refusal are annotations of why a gate judged nothing: an error for each
// mistake in a file, where it stands, or else one for the whole.
func Refusal(why error, inRepository func(file string) string) string {
	const title = "Nothing was judged"
	var errors []annotation
	for _, problem := range schema.Problems(why) {
		message := problem.Problem
		if problem.Field != "" {
			message = problem.Field + ": " + message
		}
		errors = append(errors, annotation{"error", title, message, inRepository(problem.File), problem.Line, problem.Column})
	}
	if len(errors) == 0 {
		errors = []annotation{{level: "error", title: title, message: results.Shown(why.Error(), mostReason)}}
	}
	return written(errors)
}
