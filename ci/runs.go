package ci

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
)

// The files of a complete run's folder beside those that measuring writes.
const (
	publishedName = "published.json"
	markdownName  = "report.md"
	pageName      = "report.html"
)

// outFlag names an out directory.
type outFlag struct {
	Out string `help:"Where runs are kept: DIR/runs/RUN. In a checkout 'results', elsewhere 'zmqmatrix-results'." placeholder:"DIR" type:"path"`
}

// folder is the out directory's folder of runs.
func (f outFlag) folder(from sources) (measure.Runs, error) {
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
	return measure.Runs(filepath.Join(out, "runs")), nil
}

// findRun returns the run of that name, or the newest for "last".
func findRun(folder measure.Runs, name string) (string, error) {
	runs, err := folder.List()
	if err != nil {
		return "", err
	}
	switch {
	case slices.Contains(runs, name):
		return name, nil
	case len(runs) == 0:
		return "", usagef("there is no run in %s yet; `zmqmatrix run` makes one, --out looks elsewhere", folder)
	case name == "last":
		return runs[0], nil
	}
	text := fmt.Sprintf("there is no run %q in %s", name, folder)
	if nearest := matrix.Nearest(name, runs); len(nearest) > 0 {
		return "", usagef("%s; did you mean %s?", text, strings.Join(nearest, " or "))
	}
	return "", usagef("%s; the newest is %s", text, runs[0])
}
