package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// headerLine is a file's first line.
type headerLine struct {
	Schema   string      `json:"schema"`
	ID       string      `json:"id"`
	Base     *baseOf     `json:"base,omitempty"` // nil: the entry is complete
	Run      results.Run `json:"run"`
	Controls Controls    `json:"controls"`
}

// baseOf is the entry that another one changes, and its file as it was then.
type baseOf struct {
	ID     string `json:"id"`
	Digest string `json:"digest"`
}

// changeLine is any other line: what is not as it was in the base, and last the
// end. One of the first four is set.
type changeLine struct {
	Feature string   `json:"feature,omitempty"`
	Client  string   `json:"client,omitempty"`
	Cell    string   `json:"cell,omitempty"`
	End     *endLine `json:"end,omitempty"`

	Version *int     `json:"version,omitempty"`
	Made    *Client  `json:"made_of,omitempty"`
	Verdict *Verdict `json:"verdict,omitempty"`
	Gone    bool     `json:"gone,omitempty"`
}

// endLine counts what the entry comes to, with its base.
type endLine struct {
	Lines    int `json:"lines"` // of the file, this one too
	Features int `json:"features"`
	Clients  int `json:"clients"`
	Cells    int `json:"cells"`
}

// entryName is the form of an ID.
var entryName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9A-Za-z]+(\+[0-9]+-[0-9a-f]{8})?$`)

// changes are what a file says of one kind of things; nil values are gone.
type changes[K comparable, T any] map[K]*T

// parsed is a file that was read, without its base.
type parsed struct {
	header   headerLine
	features changes[string, int]
	clients  changes[matrix.Client, Client]
	cells    changes[matrix.Cell, Verdict]
	end      endLine
}

// parseClient reads what matrix.Client.String writes.
func parseClient(text string) (matrix.Client, bool) {
	target, binding, found := strings.Cut(text, "/")
	return matrix.Client{Target: target, Binding: binding}, found && target != "" && binding != "" && !strings.Contains(binding, "/")
}

// parse reads a file strictly.
func parse(path string, data []byte) (parsed, error) {
	p := parsed{features: changes[string, int]{}, clients: changes[matrix.Client, Client]{}, cells: changes[matrix.Cell, Verdict]{}}
	number, ended := 0, false
	problem := func(field, text string, values ...any) error {
		return &schema.Error{File: path, Line: max(number, 1), Column: 1, Field: field, Problem: fmt.Sprintf(text, values...)}
	}
	var previous changeLine
	for len(data) > 0 {
		number++
		raw, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		switch {
		case !whole:
			return p, problem("", "the file is torn: its last line has no end; get it back from git")
		case ended:
			return p, problem("", "there is more after the end")
		case number == 1:
			if err := p.parseHeader(path, raw); err != nil {
				return p, err
			}
			continue
		}
		var line changeLine
		if err := decode(path, number, raw, &line); err != nil {
			return p, err
		}
		if order := compareLines(previous, line); number > 2 && order >= 0 {
			if order == 0 {
				return p, problem("", "%s stands twice", line.name())
			}
			return p, problem("", "%s stands after %s: features come first, then clients, then cells, each in the order of their names", line.name(), previous.name())
		}
		if line.Gone && p.header.Base == nil {
			return p, problem("gone", "%s can't be gone from an entry without a base", line.name())
		}
		switch {
		case line.End != nil:
			p.end, ended = *line.End, true
			if p.end.Lines != number {
				return p, problem("end.lines", "lines are missing or too many: this is line %d, and it was line %d", number, p.end.Lines)
			}
		case line.Feature != "":
			p.features[line.Feature] = line.Version
		case line.Client != "":
			client, ok := parseClient(line.Client)
			if !ok {
				return p, problem("client", "%s is not TARGET/BINDING", quoted(line.Client))
			}
			p.clients[client] = line.Made
		default:
			cell, err := matrix.ParseCell(line.Cell)
			if err != nil || cell.String() != line.Cell {
				return p, problem("cell", "%s is not TARGET/BINDING/GROUP/FEATURE/TECHNIQUE", quoted(line.Cell))
			}
			p.cells[cell] = line.Verdict
		}
		previous = line
	}
	switch {
	case number == 0:
		return p, problem("", "the file is empty; get it back from git")
	case !ended:
		return p, problem("", "the file is torn: it has no end after line %d; get it back from git", number)
	}
	return p, nil
}

// parseHeader looks at the schema before anything else of the first line:
// another version's header may have other fields.
func (p *parsed) parseHeader(path string, raw []byte) error {
	var version struct {
		Schema string `json:"schema"`
	}
	if json.Unmarshal(raw, &version) == nil && version.Schema != "" && version.Schema != Schema {
		return &schema.Error{File: path, Line: 1, Column: 1, Field: "schema",
			Problem: fmt.Sprintf("the entry is %s and this zmqmatrix reads %q; use the version of zmqmatrix that wrote it", quoted(version.Schema), Schema)}
	}
	if err := decode(path, 1, raw, &p.header); err != nil {
		return err
	}
	if p.header.ID != idOf(p.header.Run) {
		return &schema.Error{File: path, Line: 1, Column: 1, Field: "id", Problem: fmt.Sprintf("%s is not the name of its run, which is %s", quoted(p.header.ID), quoted(idOf(p.header.Run)))}
	}
	return nil
}

// decode reads a line strictly. One that is byte for byte what encode writes has
// neither an unknown nor a missing key, and finding that out costs a tenth of
// asking the schema; only another line is worth that.
func decode[T any](path string, number int, raw []byte, into *T) error {
	decodeError := json.Unmarshal(raw, into)
	if decodeError == nil {
		if again, err := encode(nil, *into); err == nil && bytes.Equal(again[:len(again)-1], raw) && wellFormed(any(*into)) {
			return nil
		}
	}
	if err := schema.CheckLine(schema.History, path, number, raw); err != nil {
		return err
	}
	if decodeError != nil {
		return &schema.Error{File: path, Line: number, Column: 1, Problem: decodeError.Error()}
	}
	return nil
}

// wellFormed tells lines that need no schema to be seen through: those of the
// most frequent kinds, whose words are all known.
func wellFormed(line any) bool {
	change, ok := line.(changeLine)
	if !ok || change.Cell == "" || change.Feature+change.Client != "" || change.End != nil || change.Version != nil || change.Made != nil {
		return false
	}
	verdict := change.Verdict
	if verdict == nil {
		return change.Gone
	}
	known := verdict.Outcome != matrix.NotRun && verdict.Outcome.Rank() < len(matrix.Outcomes) && (verdict.Outcome == matrix.Pass || verdict.Reason != "")
	switch verdict.Layer {
	case "", matrix.LayerLibzmq, matrix.LayerRuntime, matrix.LayerBinding, matrix.LayerProbe, matrix.LayerEnvironment:
	default:
		known = false
	}
	return known && !change.Gone && verdict.Attempts >= 0 && verdict.Passes >= 0
}

// name is what a line is about, for an error.
func (l changeLine) name() string {
	switch {
	case l.End != nil:
		return "the end"
	case l.Feature != "":
		return "the feature " + quoted(l.Feature)
	case l.Client != "":
		return "the client " + quoted(l.Client)
	}
	return "the cell " + quoted(l.Cell)
}

// compareLines orders a file: features, clients, cells, each by name, the end.
func compareLines(a, b changeLine) int {
	kind := func(l changeLine) int {
		return slices.Index([]bool{l.Feature != "", l.Client != "", l.Cell != "", true}, true)
	}
	return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a.Feature+a.Client+a.Cell, b.Feature+b.Client+b.Cell))
}

// quoted shows a stranger's text in an error: bounded, and with all escaped that
// a terminal would not print.
func quoted(text string) string {
	const most = 120
	if runes := []rune(text); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", text)
}

// encode writes lines, each with its end.
func encode[T any](b []byte, lines ...T) ([]byte, error) {
	buffer := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return nil, fmt.Errorf("encoding a line of the history: %w", err)
		}
	}
	return buffer.Bytes(), nil
}

// file gives the bytes of an entry's file: what differs from the base, or all of
// it.
func (s Snapshot) file(base *Snapshot, of *baseOf) ([]byte, error) {
	from := Snapshot{}
	if base != nil {
		from = *base
	}
	var lines []changeLine
	for name, version := range changed(from.Features, s.Features, func(a, b int) bool { return a == b }) {
		lines = append(lines, changeLine{Feature: name, Version: version, Gone: version == nil})
	}
	for name, client := range changed(from.Clients, s.Clients, sameClient) {
		lines = append(lines, changeLine{Client: name.String(), Made: client, Gone: client == nil})
	}
	for name, verdict := range changed(from.Cells, s.Cells, func(a, b Verdict) bool { return a == b }) {
		lines = append(lines, changeLine{Cell: name.String(), Verdict: verdict, Gone: verdict == nil})
	}
	slices.SortFunc(lines, compareLines)
	lines = append(lines, changeLine{End: &endLine{Lines: len(lines) + 2, Features: len(s.Features), Clients: len(s.Clients), Cells: len(s.Cells)}})
	data, err := encode(nil, headerLine{Schema: Schema, ID: s.ID, Base: of, Run: s.Run, Controls: s.Controls})
	if err != nil {
		return nil, err
	}
	return encode(data, lines...)
}

// changed is what is not the same, nil where it is gone.
func changed[K comparable, T any](from, to map[K]T, same func(a, b T) bool) changes[K, T] {
	found := changes[K, T]{}
	for name, value := range to {
		if before, there := from[name]; !there || !same(before, value) {
			found[name] = &value
		}
	}
	for name := range from {
		if _, there := to[name]; !there {
			found[name] = nil
		}
	}
	return found
}

// sameClient compares what the pointers lead to.
func sameClient(a, b Client) bool {
	first, err := encode(nil, a)
	second, other := encode(nil, b)
	return err == nil && other == nil && bytes.Equal(first, second)
}
