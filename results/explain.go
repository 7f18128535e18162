package results

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// NoCellError says that results have no such cell.
type NoCellError struct {
	Cell    matrix.Cell
	Run     string
	Nearest []string // cells that are close to it
}

func (e *NoCellError) Error() string {
	text := visible(fmt.Sprintf("run %s has no cell %s", e.Run, strings.TrimSuffix(e.Cell.String(), "/")))
	if len(e.Nearest) > 0 {
		return text + "; did you mean " + visible(strings.Join(e.Nearest, " or ")) + "?"
	}
	return text + "; `zmqmatrix list` shows which there are"
}

// FindCell returns a cell of the results; if the technique is left out, that
// of the best one. The error is a *NoCellError.
func FindCell(published Published, name matrix.Cell) (Cell, error) {
	var techniques []Cell
	for _, cell := range published.Cells {
		if cell.Key().Client() == name.Client() && cell.Feature == name.Feature && (name.Technique == "" || name.Technique == cell.Technique) {
			techniques = append(techniques, cell)
		}
	}
	if len(techniques) > 0 {
		return bestOf(techniques), nil
	}
	var names []string
	for _, cell := range published.Cells {
		known := cell.Key()
		if name.Technique == "" {
			known.Technique = ""
		}
		names = append(names, strings.TrimSuffix(known.String(), "/"))
	}
	return Cell{}, &NoCellError{Cell: name, Run: published.Run.ID,
		Nearest: matrix.Nearest(strings.TrimSuffix(name.String(), "/"), slices.Compact(names))}
}

// Explain tells in plain text what a cell is, what it came to, why, and how it
// is mended and measured again. Without a technique it tells of the best one.
// The error is a *NoCellError.
func Explain(published Published, name matrix.Cell) (string, error) {
	cell, err := FindCell(published, name)
	if err != nil {
		return "", err
	}
	v := viewOf(published)
	var e explanation
	e.cell(v, cell)
	return e.String(), nil
}

// explanation is a list of named paragraphs.
type explanation struct{ strings.Builder }

// say writes a paragraph under a name, its further lines indented; nothing if
// it is empty.
func (e *explanation) say(name, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(e, "%-12s %s\n", name, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 13)))
}

func (e *explanation) cell(v view, cell Cell) {
	var client Client
	for _, candidate := range v.Targets {
		if candidate.Key() == cell.Key().Client() {
			client = candidate
		}
	}
	feature := v.features[cell.Feature]
	fmt.Fprintf(e, "%s\n", visible(cell.Key().String()))
	about := titled(client) + ", binding " + client.bindingAndSource()
	if cell.Libzmq != "" {
		about += ", libzmq " + cell.Libzmq
	}
	if client.MeasuredBy != nil {
		about += ", measured by " + client.MeasuredBy.credit()
	}
	fmt.Fprintf(e, "%s\n\n", visible(about))
	e.say("requirement", visible(feature.Requirement))
	e.say("source", visible(feature.Source))
	e.say("shown by", visible(feature.Method))
	e.WriteString("\n")
	verdict := fmt.Sprintf("%s: %s", cell.Outcome, inWords(cell.Outcome))
	if cell.Attempts > 0 {
		verdict += fmt.Sprintf("; %d of %s passed", cell.Passes, plural(cell.Attempts, "attempt")) + passRate(cell)
	}
	e.say("outcome", verdict)
	e.say("reason", visible(cell.Reason))
	e.say("cause", visible(cell.Cause))
	e.say("  found in", visible(cell.CauseSource))
	if how := v.layerFound(cell); how != "" {
		layer := visible(string(cell.Layer))
		if layer == "" {
			layer = "not known"
		}
		e.say("layer", layer+": "+how)
	}
	if cell.Evidence != nil {
		e.evidence(*cell.Evidence)
	}
	e.WriteString("\n")
	techniques := v.cells[cell.Key().Client()][cell.Feature]
	if len(techniques) > 1 {
		var lines []string
		for _, technique := range techniques {
			line := fmt.Sprintf("%s %s: %s, %d of %d", mark(technique.Outcome), visible(technique.Technique), technique.Outcome, technique.Passes, technique.Attempts)
			lines = append(lines, line)
		}
		e.say("techniques", strings.Join(lines, "\n"))
	}
	if best := bestOf(techniques); cell.Outcome.Red() && best.Outcome == matrix.Pass {
		e.say("mended by", strings.TrimSpace(visible(best.Technique)+". "+techniqueAdvice[best.Technique])+
			"\nzmqmatrix explain "+ShellWord(visible(best.Key().String())))
	} else if advice := techniqueAdvice[cell.Technique]; advice != "" {
		e.say("technique", visible(cell.Technique)+": "+advice)
	}
	e.say("again", visible(cell.Replay))
}

func (e *explanation) evidence(evidence Evidence) {
	e.say("evidence", fmt.Sprintf("attempt %d of run %s, %s", evidence.Attempt, visible(evidence.Run), evidence.Started.UTC().Format(time.RFC3339)))
	e.say("  error", visible(evidence.HarnessError))
	e.say("  ending", evidence.Account.ended())
	e.say("  last step", visible(evidence.LastStep))
	e.say("  closed", visible(evidence.Closing))
	for _, socket := range evidence.Endpoint {
		e.say("  endpoint", socket.saw())
	}
	if evidence.WitnessCalls > 0 {
		e.say("  witness", fmt.Sprintf("saw %d calls of send and its kin", evidence.WitnessCalls))
	}
	var lines []string
	for _, observation := range evidence.Observations {
		lines = append(lines, visible(observation.Key)+" = "+value(observation))
	}
	if evidence.ObservationsLeft > 0 {
		lines = append(lines, fmt.Sprintf("and %d more, in the record", evidence.ObservationsLeft))
	}
	e.say("  observed", strings.Join(lines, "\n"))
	if dossier := evidence.Dossier; dossier != nil {
		e.say("  happened", evidence.Happened())
		for _, fact := range DossierFacts(*dossier) {
			e.say("  "+fact[0], fact[1])
		}
		e.say("  backtrace", strings.TrimRight(visibleLines(dossier.Backtrace), "\n"))
	}
	e.say("  stderr", strings.TrimRight(visibleLines(evidence.Stderr), "\n"))
}

// passRate is how often the cell passes, as far as its attempts tell. A single
// attempt is of a cell that does the same each time.
func passRate(cell Cell) string {
	if cell.Attempts < 2 || cell.Outcome == matrix.Unsupported {
		return ""
	}
	low, high := matrix.PassRate(cell.Passes, cell.Attempts)
	switch {
	case cell.Passes == cell.Attempts:
		return fmt.Sprintf(", which shows with 95 %% confidence that it passes at least %.0f %% of the time", 100*low)
	case cell.Passes == 0:
		return fmt.Sprintf(", which shows with 95 %% confidence that it passes at most %.0f %% of the time", 100*high)
	}
	return fmt.Sprintf(": it passes %.0f to %.0f %% of the time, each end with 95 %% confidence", 100*low, 100*high)
}
