package ci

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

type showCommand struct {
	outFlag
	Which string `arg:"" optional:"" name:"run" help:"A run's name, last, or published. Without it the last run, or what is published if there is none."`
}

func (c *showCommand) Run(s *session) error {
	published, note, err := s.resultsOf(c.outFlag, c.Which)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(published)
	}
	s.print("%s", results.Terminal(published, terminalOptions(s.out)))
	if note != "" {
		fmt.Fprintln(s.err, note)
	}
	return nil
}

// resultsOf reads the results of a run ("last" or its name), or the published
// ones ("published"); for "" the last run's if there is one. The note says what
// a reader must know of them.
func (s *session) resultsOf(where outFlag, which string) (found results.Published, note string, err error) {
	from, err := s.sources()
	if err != nil {
		return found, "", err
	}
	folder, err := where.folder(from)
	if err != nil {
		return found, "", err
	}
	if which == "" {
		which = "last"
		if runs, err := folder.List(); err != nil {
			return found, "", err
		} else if len(runs) == 0 {
			which = "published"
		}
	}
	if which == "published" {
		path := filepath.Join(from.root, "results", "published", "latest.json")
		found, err = results.ReadPublished(path)
		if errors.Is(err, os.ErrNotExist) {
			return found, "", usagef("nothing is published (%s is not there) and there is no run; `zmqmatrix run` makes one", path)
		}
		return found, "these are the published results", err
	}
	name, err := findRun(folder, which)
	if err != nil {
		return found, "", err
	}
	found, err = results.FromRecord(folder.File(name, measure.RecordName), s.catalogue, from.targets)
	if err != nil {
		return found, "", fmt.Errorf("reading run %s: %w", name, err)
	}
	if found.Run.Finished.IsZero() {
		note = fmt.Sprintf("run %s is not finished: %d of %d cells are decided; go on with `zmqmatrix run --resume %s`", name, len(found.Cells), found.Run.Cells, name)
	}
	return found, note, nil
}

type explainCommand struct {
	outFlag
	Cell string `arg:"" help:"TARGET/BINDING/GROUP/FEATURE[/TECHNIQUE]; without a technique, the best one. Or seeds: the question of 2010, answered for every implementation."`
	From string `help:"A run's name, last, or published. Without it the last run, or what is published if it has no such cell." placeholder:"RUN"`
}

// seedsWord is what explain takes for the question of 2010, in place of a cell.
const seedsWord = "seeds"

func (c *explainCommand) Run(s *session) error {
	if c.Cell == seedsWord {
		return c.seeds(s)
	}
	asked, err := matrix.ParseCell(c.Cell)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	published, note, err := s.resultsOf(c.outFlag, c.From)
	if err != nil {
		return err
	}
	cell, err := findCell(published, asked)
	if err != nil && c.From == "" && note == "" {
		if fallback, _, missing := s.resultsOf(c.outFlag, "published"); missing == nil {
			if other, missing := findCell(fallback, asked); missing == nil {
				published, cell, err = fallback, other, nil
				note = "the last run has no such cell: this is from the published results"
			}
		}
	}
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(cell)
	}
	text, err := results.Explain(published, cell.Key())
	if err != nil {
		return err
	}
	s.print("%s\n", strings.TrimRight(text, "\n"))
	if note != "" {
		fmt.Fprintln(s.err, note)
	}
	return nil
}

// seeds answers the question of 2010 from what is published, unless a run is
// named: the last run may be a selection.
func (c *explainCommand) seeds(s *session) error {
	from := cmp.Or(c.From, "published")
	published, note, err := s.resultsOf(c.outFlag, from)
	if err != nil {
		return err
	}
	if s.json {
		seeds, err := results.SeedsOf(published)
		if err != nil {
			return err
		}
		return s.printJSON(seeds)
	}
	text, err := results.SeedsTerminal(published, terminalOptions(s.out))
	if err != nil {
		return err
	}
	s.print("%s", text)
	if note != "" {
		fmt.Fprintln(s.err, note)
	}
	return nil
}

// findCell finds a cell among results: the best technique if none was named,
// the default variant's target if it has no variant. A cell that is not there
// is a usage error with the nearest names.
func findCell(published results.Published, asked matrix.Cell) (results.Cell, error) {
	names := make([]string, 0, len(published.Cells))
	var found []results.Cell
	for _, cell := range published.Cells {
		names = append(names, cell.Key().String())
		target, _, _ := strings.Cut(cell.Target, "@")
		if (asked.Target == cell.Target || asked.Target == target) && asked.Binding == cell.Binding &&
			asked.Feature == cell.Feature && (asked.Technique == "" || asked.Technique == cell.Technique) {
			found = append(found, cell)
		}
	}
	for _, cell := range found {
		if asked.Technique != "" || slices.Contains(published.Best, results.Best{
			Target: cell.Target, Binding: cell.Binding, Feature: cell.Feature, Technique: cell.Technique, Outcome: cell.Outcome,
		}) {
			return cell, nil
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return results.Cell{}, noSuchCell(asked, names, "run "+published.Run.ID+" has no cell")
}

// noSuchCell is the usage error for a cell that does not exist.
func noSuchCell(asked matrix.Cell, names []string, what string) error {
	word := asked.String()
	if asked.Technique == "" {
		word = strings.TrimSuffix(word, "/")
		for i, name := range names {
			names[i] = name[:strings.LastIndexByte(name, '/')]
		}
		names = slices.Compact(names)
	}
	if nearest := matrix.Nearest(word, names); len(nearest) > 0 {
		return usagef("%s %s; did you mean %s?", what, word, strings.Join(nearest, " or "))
	}
	return usagef("%s %s; `zmqmatrix list cells` has them all", what, word)
}
