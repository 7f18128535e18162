package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// The versions of what programs read; ci/schema/gate.json describes all.
const (
	GateSchema      = "zmqmatrix/gate/v1"
	FindingSchema   = "zmqmatrix/finding/v1"
	StandardsSchema = "zmqmatrix/standards/v1"
)

// FindingLine is one finding for programs. What clients said is bounded and
// valid UTF-8, and otherwise as they said it.
type FindingLine struct {
	Schema    string         `json:"schema"`
	Run       string         `json:"run"`
	Kind      expect.Kind    `json:"kind"`
	Breaks    bool           `json:"breaks"`
	About     string         `json:"about"` // "feature": by its best technique; "technique": by that one
	Target    string         `json:"target"`
	Binding   string         `json:"binding"`
	Feature   string         `json:"feature"`
	Technique string         `json:"technique"`
	Outcome   matrix.Outcome `json:"outcome"`
	Signal    string         `json:"signal,omitempty"`
	Layer     matrix.Layer   `json:"layer,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Cause     string         `json:"cause,omitempty"`
	Base      matrix.Outcome `json:"base,omitempty"` // the base's; absent where it says nothing
	Rule      *RuleLine      `json:"rule,omitempty"` // that decides it
	Replay    string         `json:"replay"`
}

// RuleLine is a rule for programs.
type RuleLine struct {
	Line    int              `json:"line"` // of the file, from 1
	Cells   []string         `json:"cells"`
	Outcome []matrix.Outcome `json:"outcome"`
	Reason  string           `json:"reason"`
	Issue   string           `json:"issue"`
	Until   string           `json:"until,omitempty"`
	Strict  bool             `json:"strict,omitempty"`
}

func ruleLine(rule expect.Rule) RuleLine {
	line := RuleLine{Line: rule.Line, Outcome: rule.Outcomes, Reason: rule.Reason, Issue: rule.Issue, Until: rule.Until, Strict: rule.Strict}
	for _, glob := range rule.Cells {
		line.Cells = append(line.Cells, glob.String())
	}
	return line
}

func (g Gate) findingLine(finding expect.Finding) FindingLine {
	cell := finding.Cell
	line := FindingLine{
		Schema: FindingSchema, Run: g.Published.Run.ID, Kind: finding.Kind, Breaks: finding.Breaks, About: "technique",
		Target: cell.Target, Binding: cell.Binding, Feature: cell.Feature, Technique: cell.Technique,
		Outcome: cell.Outcome, Signal: cell.Signal, Layer: cell.Layer, Reason: cell.Reason, Cause: cell.Cause,
		Base: finding.Base, Replay: cell.Replay,
	}
	if finding.Feature {
		line.About = "feature"
	}
	if finding.Rule != nil {
		rule := ruleLine(*finding.Rule)
		line.Rule = &rule
	}
	return line
}

// Lines are all findings, what a person must see first at the front, one JSON
// object a line.
func Lines(gate Gate) ([]byte, error) {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, finding := range gate.Report.Ordered() {
		if err := encoder.Encode(gate.findingLine(finding)); err != nil {
			return nil, fmt.Errorf("writing the finding on %s: %w", name(finding), err)
		}
	}
	return lines.Bytes(), nil
}

// Standards are what `gate --check --json` prints: what results would be judged by.
type Standards struct {
	Schema       string `json:"schema"`
	Expectations string `json:"expectations,omitempty"` // the rules' file
	Rules        int    `json:"rules"`
	Base         string `json:"base,omitempty"` // the run that is compared with
}

// Answer is what `gate --json` prints.
type Answer struct {
	Schema       string              `json:"schema"`
	Run          string              `json:"run"`
	Base         string              `json:"base,omitempty"`         // the run that was compared with
	Expectations string              `json:"expectations,omitempty"` // the rules' file
	Exit         int                 `json:"exit"`
	Breaking     int                 `json:"breaking"`
	Counts       map[expect.Kind]int `json:"counts"`
	Findings     []FindingLine       `json:"findings"`
	Idle         []RuleLine          `json:"idle"` // rules on what was not measured
}

// AnswerOf is the gate's answer, and the status that the command ends with.
func AnswerOf(gate Gate, exit int) Answer {
	answer := Answer{
		Schema: GateSchema, Run: gate.Published.Run.ID, Base: gate.BaseRun, Expectations: gate.Rules.File, Exit: exit,
		Breaking: gate.Report.Breaking(), Counts: map[expect.Kind]int{}, Findings: []FindingLine{}, Idle: []RuleLine{},
	}
	for _, kind := range expect.Kinds {
		answer.Counts[kind] = gate.Report.Count(kind)
	}
	for _, finding := range gate.Report.Ordered() {
		answer.Findings = append(answer.Findings, gate.findingLine(finding))
	}
	for _, rule := range gate.Report.Idle {
		answer.Idle = append(answer.Idle, ruleLine(rule))
	}
	return answer
}
