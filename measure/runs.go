package measure

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// The files of a run's folder that measuring writes.
const (
	RecordName    = "record.jsonl"
	EngineLogName = "engine.log"
)

// Runs is where the runs of one out directory are, each in a folder of its
// name.
type Runs string

// runTime is how a run's name begins.
const runTime = "20060102T150405Z"

// NewRunID names a run by its time, so that names sort by age, and a random
// part.
func NewRunID(now time.Time) string {
	var random [3]byte
	rand.Read(random[:])
	return now.UTC().Format(runTime) + "-" + hex.EncodeToString(random[:])
}

// File is a file of the run's folder.
func (r Runs) File(run, name string) string { return filepath.Join(string(r), run, name) }

// List lists the runs that have a record, newest first.
func (r Runs) List() ([]string, error) {
	entries, err := os.ReadDir(string(r))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for runs: %w", err)
	}
	type found struct {
		name    string
		written time.Time
	}
	var records []found
	for _, entry := range entries {
		if info, err := os.Stat(r.File(entry.Name(), RecordName)); err == nil && info.Mode().IsRegular() {
			records = append(records, found{entry.Name(), info.ModTime()})
		}
	}
	// A name has the second at which the run began, and then chance; of those
	// that began in the same second the record that was written later is newer.
	slices.SortFunc(records, func(a, b found) int {
		second := func(name string) string { return name[:min(len(name), len(runTime))] }
		return cmp.Or(cmp.Compare(second(b.name), second(a.name)), b.written.Compare(a.written), cmp.Compare(b.name, a.name))
	})
	runs := make([]string, len(records))
	for i, record := range records {
		runs[i] = record.name
	}
	return runs, nil
}

// tookRuns is how many earlier runs are asked what cells took: the last full run
// or two will do.
const tookRuns = 3

// publishedResults are those that come with the source.
const publishedResults = "results/published/latest.json"

// Durations are what each of the plan's cells took, as far as that is known, in the
// newest run in the folder that attempted it, else by the results that were
// published with the source, and who says so. Those are megabytes, and not read
// where the folder tells of every cell. Without a folder they depend on nothing but
// the source.
func Durations(root string, folder Runs, plan matrix.Plan) (durations matrix.Durations, by []string, err error) {
	last := matrix.Durations{}
	if folder != "" {
		if last, err = folder.durations(plan); err != nil {
			return nil, nil, err
		}
	}
	if len(last) > 0 {
		by = append(by, string(folder))
	}
	if knowsAll(last, plan) {
		return last, by, nil
	}
	durations, err = results.DurationsOf(filepath.Join(root, filepath.FromSlash(publishedResults)))
	switch {
	case err == nil:
		by = append(by, publishedResults)
	case !errors.Is(err, os.ErrNotExist):
		return last, nil, fmt.Errorf("reading what cells took: %w", err)
	}
	maps.Copy(durations, last)
	return durations, by, nil
}

func knowsAll(durations matrix.Durations, plan matrix.Plan) bool {
	for _, client := range plan.Clients {
		for _, cell := range client.Cells {
			if _, known := durations[cell]; !known {
				return false
			}
		}
	}
	return true
}

// durations are what the last runs tell, as many of them as it takes to know all of
// the plan.
func (r Runs) durations(plan matrix.Plan) (matrix.Durations, error) {
	runs, err := r.List()
	if err != nil {
		return nil, err
	}
	durations := matrix.Durations{}
	for _, name := range runs[:min(len(runs), tookRuns)] {
		if knowsAll(durations, plan) {
			break
		}
		// A record that can't be read costs nothing but a worse order.
		took, _ := results.DurationsOf(r.File(name, RecordName))
		maps.Copy(took, durations)
		durations = took
	}
	return durations, nil
}
