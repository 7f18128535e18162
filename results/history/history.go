// Package history keeps what every published run found, as changes to the run
// before it, and tells how verdicts came about.
//
// # The files
//
// Each publication has a file of its own, results/history/YEAR/ID.jsonl, so
// that two branches that publish don't conflict in git. The ID is the run's
// name, which begins with its time; a run that others were joined with ends in
// their number and a digest of their names: 20261125T181515Z-82b980+1-1f0c9a3b.
// Names therefore sort by age, with that number taken as one.
//
// A file is JSON lines, described by matrix/schema/history.json: a header; then
// a line for each feature, client and cell that is not as it was in the entry
// that the header names as its base; and an end, without which the file was
// torn. The base is the entry before, in the order of the names; the header has
// the digest of its file, so that nobody changes a run and thereby unseen all
// that followed it. An entry without a base is complete. One is written when
// the changes since the last complete one have grown to its size, which bounds
// both: the history takes about twice its changes, and no entry rests on much
// more of them than it has itself.
//
// Measured: the 507 cells that said something in November 2026 take 121 kB, and
// 9 kB as git compresses them; a run with five other reasons took 2.9 kB, and one
// with 183 new cells 44 kB. A thousand runs of a thousand cells, five of which
// change from one to the next, take 2.8 kB each, and 0.5 kB as git compresses
// them (BenchmarkHistory).
//
// # What is kept
//
// Of a cell its verdict; of a client what it is made of: versions, image,
// source; of the run all but its time against its bound. A cell that was not
// run says nothing and is not kept; its client says why. Evidence, dossiers and
// requirements are in the results that were published then, which git has.
package history

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Schema names the version of the files.
const Schema = "zmqmatrix/history/v1"

// Entry is one publication: a run, or several that were joined.
type Entry struct {
	ID       string      `json:"id"`
	Run      results.Run `json:"run"` // without its bound
	Controls Controls    `json:"controls"`
}

// Controls counts the run's controls.
type Controls struct {
	Judged int `json:"judged"`
	Held   int `json:"held"` // judged as they must be; all of them in a run that may be published
}

// Client is what a client was made of in a run.
type Client struct {
	Version        string         `json:"version,omitempty"` // of the implementation, in its own words
	BindingVersion string         `json:"binding_version,omitempty"`
	Libzmq         string         `json:"libzmq,omitempty"`
	Image          string         `json:"image,omitempty"`
	Source         *matrix.Source `json:"source,omitempty"` // of a binding that comes from elsewhere
	// MeasuredBy is who measured it, if that was not the run itself.
	MeasuredBy *results.Contributor `json:"measured_by,omitempty"`
	NotRun     string               `json:"not_run,omitempty"` // why it could not be had
	Error      string               `json:"error,omitempty"`   // why the harness could not prepare it
}

// Verdict is what a run made of a cell.
type Verdict struct {
	Outcome  matrix.Outcome `json:"outcome"`
	Signal   string         `json:"signal,omitempty"`
	Layer    matrix.Layer   `json:"layer,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Attempts int            `json:"attempts"`
	Passes   int            `json:"passes"`
	Best     bool           `json:"best,omitempty"` // the client's best technique for the feature
}

// says tells a verdict that is a statement about the client.
func (v Verdict) says() bool { return v.Outcome == matrix.Pass || v.Outcome.Red() }

// Snapshot is what a run found, as far as the history keeps it: results to
// compare, whether they were published or not.
type Snapshot struct {
	Entry
	Features map[string]int // versions by name
	Clients  map[matrix.Client]Client
	Cells    map[matrix.Cell]Verdict
}

// SnapshotOf takes from results what the history keeps.
func SnapshotOf(published results.Published) Snapshot {
	run := published.Run
	run.Bound = nil
	snapshot := Snapshot{
		Entry:    Entry{ID: idOf(run), Run: run, Controls: Controls{Judged: len(published.Controls)}},
		Features: make(map[string]int, len(published.Features)),
		Clients:  make(map[matrix.Client]Client, len(published.Targets)),
		Cells:    make(map[matrix.Cell]Verdict, len(published.Cells)),
	}
	for _, control := range published.Controls {
		if control.Held() {
			snapshot.Controls.Held++
		}
	}
	for _, feature := range published.Features {
		snapshot.Features[feature.Name] = feature.Version
	}
	for _, client := range published.Targets {
		snapshot.Clients[client.Key()] = Client{
			Version: client.Version, BindingVersion: client.BindingVersion, Libzmq: client.Libzmq, Image: client.Image,
			Source: client.Source, MeasuredBy: client.MeasuredBy, NotRun: client.NotRun, Error: client.Error,
		}
	}
	for _, cell := range published.Cells {
		if cell.Outcome == matrix.NotRun {
			continue
		}
		snapshot.Cells[cell.Key()] = Verdict{
			Outcome: cell.Outcome, Signal: cell.Signal, Layer: cell.Layer, Reason: cell.Reason, Attempts: cell.Attempts, Passes: cell.Passes,
		}
	}
	for _, best := range published.Best {
		name := matrix.Cell{Target: best.Target, Binding: best.Binding, Feature: best.Feature, Technique: best.Technique}
		if verdict, kept := snapshot.Cells[name]; kept {
			verdict.Best = true
			snapshot.Cells[name] = verdict
		}
	}
	return snapshot
}

// idOf names a publication. The same run is published again when somebody's
// measurements have joined it since.
func idOf(run results.Run) string {
	if len(run.Merged) == 0 {
		return run.ID
	}
	var names []string
	for _, merged := range run.Merged {
		names = append(names, merged.ID)
	}
	slices.Sort(names)
	digest := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return fmt.Sprintf("%s+%d-%s", run.ID, len(names), hex.EncodeToString(digest[:4]))
}

// byAge compares the names of publications.
func byAge(a, b string) int {
	parts := func(id string) (run string, joined int, digest string) {
		run, rest, _ := strings.Cut(id, "+")
		number, digest, _ := strings.Cut(rest, "-")
		joined, _ = strconv.Atoi(number) // 0 where none joined
		return run, joined, digest
	}
	runA, joinedA, digestA := parts(a)
	runB, joinedB, digestB := parts(b)
	return cmp.Or(cmp.Compare(runA, runB), cmp.Compare(joinedA, joinedB), cmp.Compare(digestA, digestB))
}

// History is all that was published, oldest first.
type History struct {
	Entries []Entry
	// What changed in each entry, by name, oldest first.
	features map[string][]point[int]
	clients  map[matrix.Client][]point[Client]
	cells    map[matrix.Cell][]point[Verdict]
	files    []file // of the entries
}

func emptyHistory() *History {
	return &History{Entries: []Entry{}, features: map[string][]point[int]{}, clients: map[matrix.Client][]point[Client]{}, cells: map[matrix.Cell][]point[Verdict]{}}
}

// Find is the place of the entry of that name, or where it would be.
func (h *History) Find(id string) (int, bool) {
	return slices.BinarySearchFunc(h.Entries, id, func(entry Entry, id string) int { return byAge(entry.ID, id) })
}

// point is a state that begins at an entry.
type point[T any] struct {
	entry int
	there bool
	value T
}

// at is what the points come to in an entry.
func at[T any](points []point[T], entry int) (value T, there bool) {
	after, _ := slices.BinarySearchFunc(points, entry+1, func(p point[T], entry int) int { return cmp.Compare(p.entry, entry) })
	if after == 0 {
		return value, false
	}
	return points[after-1].value, points[after-1].there
}

// Snapshot is what entry i found.
func (h *History) Snapshot(i int) Snapshot {
	return Snapshot{Entry: h.Entries[i], Features: allAt(h.features, i), Clients: allAt(h.clients, i), Cells: allAt(h.cells, i)}
}

func allAt[K comparable, T any](points map[K][]point[T], entry int) map[K]T {
	all := make(map[K]T, len(points))
	for name, points := range points {
		if value, there := at(points, entry); there {
			all[name] = value
		}
	}
	return all
}

// Cells lists every cell that an entry has had, by name.
func (h *History) Cells() []matrix.Cell {
	names := make([]matrix.Cell, 0, len(h.cells))
	for name := range h.cells {
		names = append(names, name)
	}
	slices.SortFunc(names, byCell)
	return names
}

func byCell(a, b matrix.Cell) int {
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Binding, b.Binding), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Technique, b.Technique))
}
