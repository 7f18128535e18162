package history

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// ErrOther: the history has other results under the name of those that are to
// be added.
var ErrOther = errors.New("the history has other results under this name")

// suffix ends the names of the files.
const suffix = ".jsonl"

// file is what is known of an entry's file.
type file struct {
	path   string
	digest string // "sha256:…"
	size   int    // bytes
	base   int    // the entry that it changes; -1: it is complete
}

// Load reads all of a history, results/history. A folder that is not there is
// an empty history. What is wrong with a file is a *schema.Error, or Errors, with
// the file and the line.
func Load(folder string) (*History, error) {
	paths, err := list(folder)
	if err != nil {
		return nil, err
	}
	loading := newLoading()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the history: %w", err)
		}
		if err := loading.add(path, data); err != nil {
			return nil, err
		}
	}
	return loading.history, nil
}

// yearName is the form of a folder's name. What else is in the history's folder,
// such as this package, is not of it.
var yearName = regexp.MustCompile(`^[0-9]{4}$`)

// list finds the files, in the order of their entries. What is in a year's folder
// and is none is an error, but for names with a dot before them, which a killed
// process or a file manager leaves.
func list(folder string) ([]string, error) {
	years, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	stranger := func(path, problem string) error { return &schema.Error{File: path, Problem: problem} }
	var paths []string
	for _, year := range years {
		within := filepath.Join(folder, year.Name())
		if strings.HasSuffix(year.Name(), suffix) {
			return nil, stranger(within, "it is not in a folder of its year: move it there")
		}
		if !yearName.MatchString(year.Name()) {
			continue
		}
		entries, err := os.ReadDir(within)
		if err != nil {
			return nil, fmt.Errorf("reading the history: %w", err)
		}
		for _, entry := range entries {
			path := filepath.Join(within, entry.Name())
			id, isEntry := strings.CutSuffix(entry.Name(), suffix)
			switch {
			case strings.HasPrefix(entry.Name(), "."):
			case !isEntry || !entry.Type().IsRegular() || !entryName.MatchString(id):
				return nil, stranger(path, "no part of the history, whose files are named after runs, such as 20261125T181515Z-82b980.jsonl: remove it")
			case path != pathOf(folder, id):
				return nil, stranger(path, "it belongs into the folder "+id[:4])
			default:
				paths = append(paths, path)
			}
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return byAge(idOfPath(a), idOfPath(b)) })
	return paths, nil
}

func pathOf(folder, id string) string { return filepath.Join(folder, id[:4], id+suffix) }

func idOfPath(path string) string { return strings.TrimSuffix(filepath.Base(path), suffix) }

// loading is a history whose files are being read, in order.
type loading struct {
	history                  *History
	features, clients, cells int // that the last entry has
}

func newLoading() *loading {
	return &loading{history: emptyHistory()}
}

// add reads the next file.
func (l *loading) add(path string, data []byte) error {
	p, err := parse(path, data)
	if err != nil {
		return err
	}
	problem := func(line int, field, text string, values ...any) error {
		return &schema.Error{File: path, Line: line, Column: 1, Field: field, Problem: fmt.Sprintf(text, values...)}
	}
	h, entry, base := l.history, len(l.history.Entries), -1
	if id := idOfPath(path); p.header.ID != id {
		return problem(1, "id", "the file is named after %s, and holds %s", quoted(id), quoted(p.header.ID))
	}
	if of := p.header.Base; of != nil {
		place, found := h.Find(of.ID)
		switch {
		case !found:
			return problem(1, "base.id", "%s is not in the history, or is not older: get its file back from git", quoted(of.ID))
		case h.files[place].digest != of.Digest:
			return problem(1, "base.digest", "%s was changed after this entry was written: get it back from git", h.files[place].path)
		}
		base = place
	}
	var missing string
	note := func(name string) {
		if missing == "" || name < missing {
			missing = name // the same one each time
		}
	}
	l.features += apply(h.features, entry, base, p.features, func(a, b int) bool { return a == b }, func(name string) { note("the feature " + quoted(name)) })
	l.clients += apply(h.clients, entry, base, p.clients, sameClient, func(name matrix.Client) { note("the client " + quoted(name.String())) })
	l.cells += apply(h.cells, entry, base, p.cells, func(a, b Verdict) bool { return a == b }, func(name matrix.Cell) { note("the cell " + quoted(name.String())) })
	if missing != "" {
		return problem(1, "base.id", "%s is gone here, and %s has no such thing", missing, quoted(p.header.Base.ID))
	}
	if want := (endLine{Lines: p.end.Lines, Features: l.features, Clients: l.clients, Cells: l.cells}); want != p.end {
		return problem(p.end.Lines, "end", "features, clients and cells come to %d, %d and %d, and came to %d, %d and %d when it was written: get it back from git",
			l.features, l.clients, l.cells, p.end.Features, p.end.Clients, p.end.Cells)
	}
	h.Entries = append(h.Entries, Entry{ID: p.header.ID, Run: p.header.Run, Controls: p.header.Controls})
	h.files = append(h.files, file{path: path, digest: digestOf(data), size: len(data), base: base})
	return nil
}

// apply adds to the points what an entry changes, and returns by how many things
// it has more than the entry before.
func apply[K comparable, T any](points map[K][]point[T], entry, base int, of changes[K, T], same func(a, b T) bool, unknown func(K)) (more int) {
	set := func(name K, value T, there bool) {
		before, was := at(points[name], entry-1)
		switch {
		case was == there && (!there || same(before, value)):
			return
		case there && !was:
			more++
		case was && !there:
			more--
		}
		points[name] = append(points[name], point[T]{entry, there, value})
	}
	for name, value := range of {
		if value != nil {
			set(name, *value, true)
			continue
		}
		if _, there := at(points[name], base); !there {
			unknown(name)
			continue
		}
		var none T
		set(name, none, false)
	}
	if base == entry-1 && base >= 0 {
		return more
	}
	// Whatever the file does not name is as it was in the base, which is not
	// the entry before.
	for name := range points {
		if _, named := of[name]; !named {
			value, there := at(points[name], base)
			set(name, value, there)
		}
	}
	return more
}

func digestOf(data []byte) string {
	digest := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(digest[:])
}

// Addition is an entry that is not in the history yet.
type Addition struct {
	Path string // of its file; "": the history has the results already
	data []byte
}

// Prepare makes the entry of published results, for the history in a folder. The
// history may have them already, which is no error; other results under their
// name are ErrOther.
func Prepare(folder string, published results.Published) (Addition, error) {
	h, err := Load(folder)
	if err != nil {
		return Addition{}, err
	}
	addition, err := h.prepare(folder, SnapshotOf(published))
	if err != nil {
		return Addition{}, fmt.Errorf("adding run %s to the history: %w", quoted(published.Run.ID), err)
	}
	return addition, nil
}

func (h *History) prepare(folder string, snapshot Snapshot) (Addition, error) {
	if !entryName.MatchString(snapshot.ID) {
		return Addition{}, errors.New("the run's name is not a time and a word, such as 20261125T181515Z-82b980")
	}
	complete, err := snapshot.file(nil, nil)
	if err != nil {
		return Addition{}, err
	}
	place, found := h.Find(snapshot.ID)
	if found {
		there, err := h.Snapshot(place).file(nil, nil)
		switch {
		case err != nil:
			return Addition{}, err
		case string(there) != string(complete):
			return Addition{}, fmt.Errorf("%w: %s; a run's results don't change: measure again, or bring back the results that were published", ErrOther, h.files[place].path)
		}
		return Addition{}, nil
	}
	data := complete
	if base := place - 1; base >= 0 && !h.due(base) {
		before := h.Snapshot(base)
		changes, err := snapshot.file(&before, &baseOf{ID: before.ID, Digest: h.files[base].digest})
		if err != nil {
			return Addition{}, err
		}
		if len(changes) < len(complete) {
			data = changes
		}
	}
	addition := Addition{Path: pathOf(folder, snapshot.ID), data: data}
	// Names that are none must not be found by the next who reads the history.
	if _, err := parse(addition.Path, data); err != nil {
		return Addition{}, err
	}
	return addition, nil
}

// due tells whether the entry after this one is to be complete.
func (h *History) due(entry int) bool {
	changes := 0
	for h.files[entry].base >= 0 {
		changes += h.files[entry].size
		entry = h.files[entry].base
	}
	return changes >= h.files[entry].size
}

// Write puts the entry into the history.
func (a Addition) Write() error {
	if a.Path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(a.Path), 0o755); err != nil {
		return fmt.Errorf("making a folder of the history: %w", err)
	}
	return results.ReplaceFile(a.Path, a.data)
}
