package ci

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/ci/report"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

type gateCommand struct {
	outFlag
	File    string `arg:"" optional:"" help:"Published results: a run's published.json. Without it the last run's, or what is published if there is no run."`
	Expect  string `help:"What is known. Without it zmqmatrix.expect.yaml, if that is here." placeholder:"FILE"`
	Base    string `help:"Published results of before a change: only what differs from them can be unexpected." placeholder:"FILE"`
	Propose bool   `help:"Judge nothing: print the expectations with which these results have nothing unexpected, for a person to edit."`
	Check   bool   `help:"Judge nothing: say whether expectations and base can be judged by, before anything is measured."`
	gateReports
}

// gateReports are the forms in which CI systems take the answer.
type gateReports struct {
	Summary     string `help:"Write a summary in Markdown, of at most 1 MiB." placeholder:"FILE"`
	Annotations bool   `help:"Print workflow commands, which GitHub shows as annotations."`
	Outputs     string `help:"Write counts as GitHub's runner reads a step's outputs." placeholder:"FILE"`
	JUnit       string `name:"junit" help:"Write JUnit XML." placeholder:"FILE"`
	JSONL       string `name:"jsonl" help:"Write a line of JSON for each verdict." placeholder:"FILE"`
}

func (gateCommand) Help() string {
	return `Without expectations every fail, crash, hang and flaky is unexpected; what a client says it does not support
is not, unless it did before. A rule is about TARGET/BINDING/GROUP/FEATURE, by its best technique, or with
/TECHNIQUE behind it about that one; each part is a glob. What is not run is counted, and breaks nothing.

  schema: zmqmatrix/expect/v1
  rules:
    - cells: sbcl@*/cl-zmq/messaging/*    # or a list
      outcome: crash                      # or a list; pass alone: it must pass
      reason: calls zmq_init, which is gone
      issue: https://github.com/…/issues/7
      until: 2027-01-31                   # the last day on which it holds; optional
      strict: true                        # a pass breaks the build, too; optional

A rule that matches no cell of any run, contradicts another or is out of date is an error with its line; --check
says so before anything is measured. Where $GITHUB_STEP_SUMMARY or $GITHUB_OUTPUT is the file, it is added to.

Exit status:
  0  nothing unexpected
  1  verdicts that break the build
  2  the command line or the expectations are wrong
  3  the harness or the environment failed: cells of the outcome error, results that can't be read
  4  nothing ran: no client that was asked for could be had
  5  a control of the results, or of the base, came out otherwise than it must`
}

// Environment variables in which GitHub's runner names files and folders.
const (
	stepSummaryVariable = "GITHUB_STEP_SUMMARY"
	outputVariable      = "GITHUB_OUTPUT"
	workspaceVariable   = "GITHUB_WORKSPACE"
)

func (c *gateCommand) Run(s *session) error {
	if err := c.check(); err != nil {
		return err
	}
	from, err := s.sources()
	if err != nil {
		return c.refuse(s, err)
	}
	if c.Check {
		question, err := c.standards(s, from)
		if err == nil {
			err = judgeable(question)
		}
		if err != nil {
			return c.refuse(s, err)
		}
		return c.writeStandards(s, question)
	}
	if c.File, err = c.resultsFile(from); err != nil {
		return c.refuse(s, err)
	}
	if err := c.check(); err != nil { // again, with the results that were found
		return err
	}
	question, err := c.question(s, from)
	if err != nil {
		return c.refuse(s, err)
	}
	if c.Propose {
		return c.propose(s, question)
	}
	found, err := expect.Judge(question)
	if err != nil {
		return c.refuse(s, asUsage(err))
	}
	gate := report.Gate{Published: question.Published, Report: found, Rules: question.Rules, Ran: ran(s, from, question.Published)}
	if question.Base != nil {
		gate.BaseRun = question.Base.Run.ID
	}
	verdict := verdictOfGate(gate)
	if err := c.write(s, gate, exitStatus(verdict)); err != nil {
		return errors.Join(verdict, err)
	}
	return verdict
}

// check refuses flags that don't go together.
func (c *gateCommand) check() error {
	reports := c.files()
	if c.Propose && (len(reports) > 0 || c.Annotations) {
		return usagef("--propose judges nothing, so that there is nothing to report: leave the reports out")
	}
	if c.Check && (c.Propose || c.File != "" || c.JUnit != "" || c.JSONL != "") {
		return usagef("--check judges nothing: leave out the results, --propose, --junit and --jsonl")
	}
	taken := map[string]string{}
	for _, file := range []reportFile{{"--expect", cmp.Or(c.Expect, expect.FileName)}, {"--base", c.Base}, {"the results", c.File}} {
		if file.path != "" {
			taken[absolute(file.path)] = file.flag
		}
	}
	for _, file := range reports {
		path := absolute(file.path)
		if other, twice := taken[path]; twice {
			return usagef("%s and %s are the same file, %s", other, file.flag, printable(file.path))
		}
		taken[path] = file.flag
	}
	return nil
}

// reportFile is a file that a report goes to.
type reportFile struct{ flag, path string }

func (r gateReports) files() []reportFile {
	return slices.DeleteFunc([]reportFile{{"--summary", r.Summary}, {"--outputs", r.Outputs}, {"--junit", r.JUnit}, {"--jsonl", r.JSONL}},
		func(file reportFile) bool { return file.path == "" })
}

func absolute(path string) string {
	found, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return found
}

// judgeable reports what is wrong with that which results are judged by.
func judgeable(question expect.Question) error {
	question.Base = nil // only results tell whether it says anything of them
	_, err := expect.Judge(question)
	return asUsage(err)
}

// writeStandards says what results would be judged by.
func (c *gateCommand) writeStandards(s *session, question expect.Question) error {
	standards := report.Standards{Schema: report.StandardsSchema, Expectations: question.Rules.File, Rules: len(question.Rules.List)}
	if question.Base != nil {
		standards.Base = question.Base.Run.ID
	}
	if s.json {
		return s.printJSON(standards)
	}
	known, compared := "no expectations", "no base"
	if standards.Expectations != "" {
		known = fmt.Sprintf("expectations of %s: %s, no mistake", printable(standards.Expectations), count(standards.Rules, "rule", "rules"))
	}
	if standards.Base != "" {
		compared = "base " + printable(standards.Base)
	}
	s.print("%s; %s\n", known, compared)
	return nil
}

// question reads what is to be judged and what by.
func (c *gateCommand) question(s *session, from sources) (expect.Question, error) {
	published, err := readForGate(c.File)
	if err != nil {
		return expect.Question{}, err
	}
	question, err := c.standards(s, from)
	question.Published = published
	return question, err
}

// standards are what results are judged by.
func (c *gateCommand) standards(s *session, from sources) (question expect.Question, err error) {
	question.Today = s.now()
	if c.Base != "" {
		before, err := readForGate(c.Base)
		if err != nil {
			return question, fmt.Errorf("the base: %w", err)
		}
		question.Base = &before
	}
	if question.Rules, err = c.rules(); err != nil {
		return question, err
	}
	plan, err := matrix.MakePlan(from.targets, s.catalogue, matrix.Selection{AllVariants: true})
	if err != nil {
		return question, fmt.Errorf("telling which cells there are: %w", err)
	}
	for _, client := range plan.Clients {
		question.Known = append(question.Known, client.Cells...)
	}
	return question, nil
}

// resultsFile is where the results are that were asked for.
func (c *gateCommand) resultsFile(from sources) (string, error) {
	if c.File != "" {
		return c.File, nil
	}
	folder, err := c.folder(from)
	if err != nil {
		return "", err
	}
	runs, err := folder.List()
	if err != nil {
		return "", err
	}
	if len(runs) > 0 {
		path := folder.File(runs[0], publishedName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("run %s is not finished, so that it has no %s; go on with `zmqmatrix run --resume %s`, or name other results", runs[0], publishedName, runs[0])
		}
		return path, nil
	}
	path := filepath.Join(from.root, "results", "published", publishedNames.json)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", usagef("there is no run in %s, and nothing is published; `zmqmatrix run` makes results, or name some", folder)
	}
	return path, nil
}

// readForGate reads results whose verdicts can be believed.
func readForGate(path string) (results.Published, error) {
	published, err := results.ReadPublished(path)
	if errors.Is(err, fs.ErrNotExist) {
		return published, &exitError{exitUsage, err}
	}
	if err != nil {
		return published, err
	}
	misjudged, unjudged := controlsOf(published.Controls)
	switch {
	case misjudged != nil:
		return published, fmt.Errorf("%s: %w", path, misjudged)
	case len(published.Controls) == 0:
		return published, &exitError{exitMisjudged, fmt.Errorf("%s: %w: it has none", path, results.ErrMisjudged)}
	case unjudged != nil:
		return published, fmt.Errorf("%s: %w", path, unjudged)
	case published.Run.Cells > len(published.Cells):
		return published, fmt.Errorf("%s: %w: %d of %d cells have a verdict; go on with `zmqmatrix run --resume %s`",
			path, results.ErrUnfinished, len(published.Cells), published.Run.Cells, published.Run.ID)
	}
	return published, nil
}

// rules reads the expectations that were named, or those that are here.
func (c *gateCommand) rules() (expect.Rules, error) {
	rules, err := expect.Read(cmp.Or(c.Expect, expect.FileName))
	if c.Expect == "" && errors.Is(err, fs.ErrNotExist) {
		return expect.Rules{}, nil
	}
	if err != nil {
		return rules, &exitError{exitUsage, err}
	}
	return rules, nil
}

// asUsage gives mistakes that the user can mend the status for them: in the
// rules, or a base that has nothing to do with the results.
func asUsage(err error) error {
	if len(schema.Problems(err)) > 0 || errors.Is(err, expect.ErrNothingInCommon) {
		return &exitError{exitUsage, err}
	}
	return err
}

// propose prints rules.
func (c *gateCommand) propose(s *session, question expect.Question) error {
	proposed, err := expect.Propose(question)
	if err != nil {
		return asUsage(err)
	}
	if !s.json {
		s.print("%s", proposed)
		return nil
	}
	asJSON, err := schema.CheckYAML(schema.Expect, expect.FileName, proposed)
	if err != nil {
		return err
	}
	s.print("%s\n", asJSON)
	return nil
}

// ran reports whether a client that was asked for could be had. Results of
// targets that are not known here don't tell who was asked for.
func ran(s *session, from sources, published results.Published) bool {
	clients := map[matrix.Client]bool{}
	for _, cell := range published.Cells {
		if cell.Outcome != matrix.NotRun {
			clients[cell.Key().Client()] = true
		}
	}
	asked, err := matrix.Selected(from.targets, s.catalogue, published.Run.Selection)
	if err != nil {
		return len(clients) > 0
	}
	return slices.ContainsFunc(asked, func(client matrix.PlannedClient) bool { return clients[client.Client()] })
}

// verdictOfGate is the exit status, as an error that says why it is not 0.
func verdictOfGate(gate report.Gate) error {
	switch breaking, failed := gate.Report.Breaking(), gate.Report.Count(expect.HarnessError); {
	case breaking > 0:
		return &exitError{exitUnexpected, fmt.Errorf("%s; `zmqmatrix gate --propose` prints the rules that would make them known", count(breaking, "verdict breaks the build", "verdicts break the build"))}
	case !gate.Ran:
		return &exitError{exitNothingRan, errors.New("nothing ran: no client that was asked for could be had; `zmqmatrix doctor` says what is missing")}
	case failed > 0:
		return fmt.Errorf("the harness failed in %s, which says nothing about the clients; measure again", count(failed, "verdict", "verdicts"))
	}
	return nil
}

// write gives the answer in every form that was asked for.
func (c *gateCommand) write(s *session, gate report.Gate, exit int) error {
	if s.json {
		if err := s.printJSON(report.AnswerOf(gate, exit)); err != nil {
			return err
		}
	} else {
		s.print("%s", report.Text(gate))
	}
	if c.Annotations {
		c.annotate(s, report.Annotations(gate, inRepository))
	}
	junit, err := report.JUnit(gate)
	if err != nil {
		return err
	}
	lines, err := report.Lines(gate)
	if err != nil {
		return err
	}
	outputs := append([]report.Output{{Name: "exit-status", Value: fmt.Sprint(exit)}}, report.Counts(gate)...)
	return errors.Join(
		writeReport(c.JUnit, "", func(int) []byte { return junit }),
		writeReport(c.JSONL, "", func(int) []byte { return lines }),
		writeReport(c.Outputs, outputVariable, func(int) []byte { return []byte(report.Outputs(outputs)) }),
		writeReport(c.Summary, stepSummaryVariable, func(there int) []byte {
			return []byte(report.Summary(gate, report.MostSummary-there))
		}),
	)
}

// refuse tells where reports go why nothing was judged.
func (c *gateCommand) refuse(s *session, why error) error {
	if c.Annotations {
		c.annotate(s, report.Refusal(why, inRepository))
	}
	outputs := []report.Output{{Name: "exit-status", Value: fmt.Sprint(exitStatus(why))}}
	return errors.Join(why,
		writeReport(c.Outputs, outputVariable, func(int) []byte { return []byte(report.Outputs(outputs)) }),
		writeReport(c.Summary, stepSummaryVariable, func(there int) []byte {
			return []byte(report.SummaryOfRefusal(why, report.MostSummary-there))
		}),
	)
}

// annotate prints workflow commands, which the runner reads on both streams.
func (c *gateCommand) annotate(s *session, commands string) {
	if s.json {
		fmt.Fprint(s.err, commands)
		return
	}
	s.print("%s", commands)
}

// inRepository is a file's name in its repository, where that is checked out in a
// folder of the workflow's; else it is relative to the latter, or to the working
// directory outside of a workflow; "" if it is not in there.
func inRepository(file string) string {
	root := absolute(cmp.Or(os.Getenv(workspaceVariable), "."))
	relative, err := filepath.Rel(root, absolute(file))
	if file == "" || err != nil || !filepath.IsLocal(relative) {
		return ""
	}
	for folder := filepath.Dir(relative); folder != "."; folder = filepath.Dir(folder) {
		if _, err := os.Lstat(filepath.Join(root, folder, ".git")); err == nil {
			return filepath.ToSlash(strings.TrimPrefix(relative, folder+string(filepath.Separator)))
		}
	}
	return filepath.ToSlash(relative)
}

// writeReport writes a report, "" for none, as one that the file's size decides.
// A file that GitHub's runner gave by the variable has what other commands of
// the step wrote, and is added to; so is what is no file, such as a pipe. Any
// other is replaced.
func writeReport(path, variable string, content func(there int) []byte) error {
	if path == "" {
		return nil
	}
	given := variable != "" && os.Getenv(variable) != "" && absolute(os.Getenv(variable)) == absolute(path)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("writing %s: it is a folder", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("writing a report: %w", err)
	case err == nil && (given || !info.Mode().IsRegular()):
		return appendTo(path, content(int(info.Size())))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of a report: %w", err)
	}
	return results.ReplaceFile(path, content(0))
}

func appendTo(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
