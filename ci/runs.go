package ci

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
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// The files of a run's folder.
const (
	recordName    = "record.jsonl"
	publishedName = "published.json"
	markdownName  = "report.md"
	pageName      = "report.html"
	engineLogName = "engine.log"
)

// runFolder is where the runs of one out directory are, each in a folder of its
// name.
type runFolder string

// outFlag names an out directory.
type outFlag struct {
	Out string `help:"Where runs are kept: DIR/runs/RUN. In a checkout 'results', elsewhere 'zmqmatrix-results'." placeholder:"DIR" type:"path"`
}

// folder is the out directory's folder of runs.
func (f outFlag) folder(from sources) (runFolder, error) {
	out := f.Out
	switch {
	case out != "":
	case from.checkout:
		out = filepath.Join(from.root, "results")
	default:
		out = "zmqmatrix-results"
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return "", fmt.Errorf("finding the out directory: %w", err)
	}
	return runFolder(filepath.Join(out, "runs")), nil
}

// runTime is how a run's name begins.
const runTime = "20060102T150405Z"

// newRunID names a run by its time, so that names sort by age, and a random
// part.
func newRunID(now time.Time) string {
	var random [3]byte
	rand.Read(random[:])
	return now.UTC().Format(runTime) + "-" + hex.EncodeToString(random[:])
}

func (f runFolder) file(run, name string) string { return filepath.Join(string(f), run, name) }

// runs lists the runs that have a record, newest first.
func (f runFolder) runs() ([]string, error) {
	entries, err := os.ReadDir(string(f))
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
		if info, err := os.Stat(f.file(entry.Name(), recordName)); err == nil && info.Mode().IsRegular() {
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

// find returns the run of that name, or the newest for "last".
func (f runFolder) find(name string) (string, error) {
	runs, err := f.runs()
	if err != nil {
		return "", err
	}
	switch {
	case slices.Contains(runs, name):
		return name, nil
	case len(runs) == 0:
		return "", usagef("there is no run in %s yet; `zmqmatrix run` makes one, --out looks elsewhere", f)
	case name == "last":
		return runs[0], nil
	}
	text := fmt.Sprintf("there is no run %q in %s", name, f)
	if nearest := matrix.Nearest(name, runs); len(nearest) > 0 {
		return "", usagef("%s; did you mean %s?", text, strings.Join(nearest, " or "))
	}
	return "", usagef("%s; the newest is %s", text, runs[0])
}

// tookRuns is how many earlier runs are asked what cells took: the last full run
// or two will do.
const tookRuns = 3

// durations are what each cell took in the newest run that attempted it.
func (f runFolder) durations() (matrix.Durations, error) {
	runs, err := f.runs()
	if err != nil {
		return nil, err
	}
	durations := matrix.Durations{}
	for _, name := range slices.Backward(runs[:min(len(runs), tookRuns)]) {
		// A record that can't be read costs nothing but a worse order.
		took, _ := results.DurationsOf(f.file(name, recordName))
		maps.Copy(durations, took)
	}
	return durations, nil
}
