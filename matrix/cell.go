// Package matrix is the domain of zmqmatrix and its run: which clients and
// features there are, how cells are planned, attempted, judged and recorded.
// It declares the small interfaces it needs (Runtime, Place, Endpoint,
// Recorder) and imports none of their implementations.
package matrix

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Outcome is what the judge concludes of a cell.
type Outcome string

// The outcomes. Every outcome but Pass carries a reason a person can act on;
// Error and NotRun never count as a statement about the client.
const (
	Pass        Outcome = "pass"
	Fail        Outcome = "fail"        // wrong behaviour
	Unsupported Outcome = "unsupported" // the client said so, and its word can be trusted
	Crash       Outcome = "crash"       // died without a verdict
	Hang        Outcome = "hang"        // no end within its limit
	Flaky       Outcome = "flaky"       // attempts disagree
	Error       Outcome = "error"       // the harness's fault, never the client's
	NotRun      Outcome = "not-run"     // no image, no licence, not selected
)

// Outcomes lists every outcome, best first: the order in which the techniques
// of one feature compete for its verdict, and in which legends are printed.
var Outcomes = []Outcome{Pass, Flaky, Fail, Crash, Hang, Unsupported, Error, NotRun}

// Red reports whether the outcome is a statement about the client that is not
// a pass, and so names a layer.
func (o Outcome) Red() bool {
	switch o {
	case Fail, Crash, Hang, Flaky, Unsupported:
		return true
	}
	return false
}

// Rank is the outcome's place in Outcomes; an unknown outcome ranks last.
func (o Outcome) Rank() int {
	for i, known := range Outcomes {
		if o == known {
			return i
		}
	}
	return len(Outcomes)
}

// Layer is where a red cell breaks, found by comparing the same feature one
// layer down.
type Layer string

// The layers, lowest first. An empty layer means that it could not be known.
const (
	LayerLibzmq      Layer = "libzmq"
	LayerRuntime     Layer = "runtime"
	LayerBinding     Layer = "binding"
	LayerProbe       Layer = "probe"
	LayerEnvironment Layer = "environment"
)

// Client is what actually runs: a binding inside a target.
type Client struct {
	Target  string `json:"target"`  // "sbcl@bookworm"
	Binding string `json:"binding"` // "cffi"
}

// String is "sbcl@bookworm/cffi".
func (c Client) String() string { return c.Target + "/" + c.Binding }

// Cell is client × feature × technique.
type Cell struct {
	Target    string `json:"target"`
	Binding   string `json:"binding"`
	Feature   string `json:"feature"`   // "zero-copy/callback-free"
	Technique string `json:"technique"` // "plain"
}

// Client returns the client that the cell belongs to.
func (c Cell) Client() Client { return Client{Target: c.Target, Binding: c.Binding} }

// String is "sbcl@bookworm/cffi/zero-copy/callback-free/plain", the form that
// ParseCell reads and that commands take.
func (c Cell) String() string {
	return strings.Join([]string{c.Target, c.Binding, c.Feature, c.Technique}, "/")
}

// ParseCell reads the form that Cell.String writes. The technique may be left
// out; it is then empty, which commands take for the best one.
func ParseCell(text string) (Cell, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 && len(parts) != 5 {
		return Cell{}, fmt.Errorf("cell %q: want TARGET/BINDING/GROUP/FEATURE[/TECHNIQUE], for example sbcl@bookworm/cffi/zero-copy/callback-free/plain", text)
	}
	for _, part := range parts {
		if part == "" {
			return Cell{}, fmt.Errorf("cell %q: a part between two slashes is empty", text)
		}
		if part == "." || part == ".." {
			return Cell{}, fmt.Errorf("cell %q: %q names nothing", text, part)
		}
	}
	cell := Cell{Target: parts[0], Binding: parts[1], Feature: path.Join(parts[2], parts[3])}
	if len(parts) == 5 {
		cell.Technique = parts[4]
	}
	return cell, nil
}

// CellPattern names cells by the beginning of their names: of up to five parts each
// is a glob by path.Match. A target without "@" means every variant.
type CellPattern []string

// ParseCellPattern reads TARGET/BINDING/GROUP/FEATURE/TECHNIQUE, or the beginning of
// it.
func ParseCellPattern(text string) (CellPattern, error) {
	parts := strings.Split(strings.TrimSuffix(text, "/"), "/")
	if len(parts) > 5 {
		return nil, fmt.Errorf("cell %q: want TARGET/BINDING/GROUP/FEATURE/TECHNIQUE, or the beginning of it", text)
	}
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return nil, fmt.Errorf("cell %q: %q is no pattern: %w; a glob has *, ? and [a-z]", text, part, err)
		}
	}
	return parts, nil
}

func (p CellPattern) String() string { return strings.Join(p, "/") }

// Matches reports whether the pattern names the cell.
func (p CellPattern) Matches(cell Cell) bool {
	return slices.EqualFunc(p, p.beginning(cell), func(pattern, name string) bool { ok, _ := path.Match(pattern, name); return ok })
}

// beginning is of the cell's name what the pattern is compared with.
func (p CellPattern) beginning(cell Cell) []string {
	parts := strings.Split(cell.String(), "/")
	if !strings.Contains(p[0], "@") {
		parts[0], _, _ = strings.Cut(parts[0], "@")
	}
	return parts[:len(p)]
}

// Nearest are up to three names that the one who wrote the pattern may have meant.
func (p CellPattern) Nearest(cells []Cell) []string {
	var names []string
	for _, cell := range cells {
		names = append(names, strings.Join(p.beginning(cell), "/"))
	}
	slices.Sort(names)
	return Nearest(p.String(), slices.Compact(names))
}
