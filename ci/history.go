package ci

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// historyFolder is where the project keeps what was published.
func (from sources) historyFolder() string { return filepath.Join(from.root, "results", "history") }

type diffCommand struct {
	outFlag
	Before string `arg:"" name:"a" help:"A run's name, last, or published; a published.json or record.jsonl; or something that was published, by its name or its day, 2026-11-25."`
	After  string `arg:"" name:"b" help:"The same; what it is compared with."`
}

func (diffCommand) Help() string {
	return `A cell is broken if it passed and is red, mended if it was red and passes, new or gone if one of
the two says nothing of it: cells that were not run, and errors of the harness, say nothing.

Exit status: 1 if an outcome or a layer differs, or a cell is new or gone. The words of a reason, a
signal and a rate may differ between two runs of the same: they are told, and are no difference.
5 if a control of one of the two came out otherwise than it must.`
}

func (c *diffCommand) Run(s *session) error {
	before, err := s.snapshot(c.outFlag, c.Before)
	if err != nil {
		return err
	}
	after, err := s.snapshot(c.outFlag, c.After)
	if err != nil {
		return err
	}
	comparison := history.Compare(before, after)
	if s.json {
		if err := s.printJSON(comparison); err != nil {
			return err
		}
	} else {
		s.print("%s", diffText(comparison))
	}
	for _, entry := range []history.Entry{comparison.Before, comparison.After} {
		if misjudged := entry.Controls.Judged - entry.Controls.Held; misjudged > 0 {
			return &exitError{exitMisjudged, fmt.Errorf("run %s is invalid, no verdict of it can be believed: %s misjudged", entry.ID, count(misjudged, "control is", "controls are"))}
		}
	}
	if comparison.Differ > 0 {
		return &exitError{exitUnexpected, fmt.Errorf("%s", count(comparison.Differ, "verdict differs", "verdicts differ"))}
	}
	return nil
}

// diffText lists changes by kind. What differs between all of them is told once.
func diffText(comparison history.Comparison) string {
	var out strings.Builder
	common, changes := history.Common(comparison.Changes)
	fmt.Fprintf(&out, "%s, then %s: %s\n", printable(comparison.Before.ID), printable(comparison.After.ID), history.Summary(changes))
	for _, difference := range common {
		fmt.Fprintf(&out, "  everywhere another %s\n", difference.Text())
	}
	kind := history.Kind("")
	for _, change := range changes {
		if change.Kind != kind {
			kind = change.Kind
			fmt.Fprintf(&out, "\n%s\n", kind.Words())
		}
		fmt.Fprintf(&out, "  %s\n", change.Text())
		for _, difference := range change.Else {
			fmt.Fprintf(&out, "      another %s\n", difference.Text())
		}
	}
	return out.String()
}

// day is how a date names what was published.
var day = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)

// snapshot reads results to compare.
func (s *session) snapshot(where outFlag, which string) (history.Snapshot, error) {
	if strings.ContainsAny(which, `/\`) || strings.HasSuffix(which, ".json") || strings.HasSuffix(which, ".jsonl") {
		return s.snapshotOfFile(which)
	}
	from, err := s.sources()
	if err != nil {
		return history.Snapshot{}, err
	}
	folder, err := where.folder(from)
	if err != nil {
		return history.Snapshot{}, err
	}
	runs, err := folder.List()
	if err != nil {
		return history.Snapshot{}, err
	}
	if which == "last" || which == "published" || slices.Contains(runs, which) {
		published, note, err := s.resultsOf(where, which)
		if err != nil {
			return history.Snapshot{}, err
		}
		if note != "" && which != "published" {
			fmt.Fprintln(s.err, note)
		}
		return history.SnapshotOf(published), nil
	}
	all, err := history.Load(from.historyFolder())
	if err != nil {
		return history.Snapshot{}, err
	}
	if place, found := all.Find(which); found {
		return all.Snapshot(place), nil
	}
	names := runs
	for place, entry := range slices.Backward(all.Entries) {
		if day.MatchString(which) && entry.Run.Finished.UTC().Format("2006-01-02") == which {
			return all.Snapshot(place), nil
		}
		names = append(names, entry.ID)
	}
	text := fmt.Sprintf("%q is no run in %s, and nothing that was published under that name or on that day", which, folder)
	if nearest := matrix.Nearest(which, names); len(nearest) > 0 {
		return history.Snapshot{}, usagef("%s; did you mean %s?", text, strings.Join(nearest, " or "))
	}
	return history.Snapshot{}, usagef("%s; `zmqmatrix history` lists what was published", text)
}

// snapshotOfFile reads a published.json or a record.
func (s *session) snapshotOfFile(file string) (history.Snapshot, error) {
	var published results.Published
	var err error
	if strings.HasSuffix(file, ".jsonl") {
		var from sources
		if from, err = s.sources(); err == nil {
			published, err = results.FromRecord(file, s.catalogue, from.targets)
		}
	} else {
		published, err = results.ReadPublished(file)
	}
	if errors.Is(err, os.ErrNotExist) {
		return history.Snapshot{}, &exitError{exitUsage, err}
	}
	return history.SnapshotOf(published), err
}

type historyCommand struct {
	Cell string `arg:"" optional:"" help:"TARGET/BINDING/GROUP/FEATURE/TECHNIQUE, each a glob; what is left out at the end means all, and a target without a variant every one. Without it, what was published."`
}

func (c *historyCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	all, err := history.Load(from.historyFolder())
	switch {
	case err != nil:
		return err
	case len(all.Entries) == 0:
		return usagef("nothing was published yet: there is no entry in %s; `zmqmatrix run --publish` makes one", from.historyFolder())
	case c.Cell == "":
		return c.entries(s, all)
	}
	cells, err := cellsNamed(all.Cells(), c.Cell)
	if err != nil {
		return err
	}
	lines := all.Timelines(cells...)
	if s.json {
		return s.printJSON(lines)
	}
	s.print("%s", timelinesText(lines))
	return nil
}

// entries lists what was published, and what each publication changed.
func (c *historyCommand) entries(s *session, all *history.History) error {
	if s.json {
		return s.printJSON(all.Timelines())
	}
	for i, changes := range all.ChangesByEntry() {
		entry := all.Entries[i]
		s.print("%s  %s: %s\n", entry.Run.Finished.UTC().Format("2006-01-02"), printable(entry.ID), history.Summary(changes))
	}
	return nil
}

// timelinesText shows each cell's changes, oldest first.
func timelinesText(lines history.Timelines) string {
	days := map[string]string{}
	for _, entry := range lines.Entries {
		days[entry.ID] = entry.Run.Finished.UTC().Format("2006-01-02")
	}
	var out strings.Builder
	for i, cell := range lines.Cells {
		if i > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintln(&out, printable(cell.String()))
		for _, change := range cell.Changes {
			fmt.Fprintf(&out, "  %s  %s  %s: %s\n", days[change.Since], printable(change.Since), change.Kind.Words(), change.Verdicts())
			for _, difference := range change.Else {
				fmt.Fprintf(&out, "      another %s\n", difference.Text())
			}
		}
	}
	return out.String()
}

// cellsNamed are the cells that a pattern of up to five parts matches. Without
// any it is a usage error with the nearest names.
func cellsNamed(cells []matrix.Cell, text string) ([]matrix.Cell, error) {
	pattern, err := matrix.ParseCellPattern(text)
	if err != nil {
		return nil, usagef("%w", err)
	}
	found := slices.DeleteFunc(slices.Clone(cells), func(cell matrix.Cell) bool { return !pattern.Matches(cell) })
	if len(found) > 0 {
		return found, nil
	}
	problem := fmt.Sprintf("nothing was ever published of %s", cmp.Or(text, "a cell without a name"))
	if nearest := pattern.Nearest(cells); len(nearest) > 0 {
		return nil, usagef("%s; did you mean %s?", problem, strings.Join(nearest, " or "))
	}
	return nil, usagef("%s; `zmqmatrix list cells` has what can be measured", problem)
}
