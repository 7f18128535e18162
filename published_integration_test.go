//go:build integration

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/ci"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// What is published must be true of this tree: a whole run in docker of the
// default variants, reusing nothing, gives the same verdict for every cell of a
// client that this machine can have. The other variants are the same probes in
// images of their own, and take hours. One attempt of each cell must do: it shows
// a cell that always passes, and one that never does; one published as flaky may be
// red or pass, and nothing else. A wrong answer and a crash may take each other's
// place: what is undefined ends as it likes (GCL's free fails in 13 attempts of 20
// and crashes in 7). All else, a hang too, is the same. Where one attempt came out
// otherwise, as that of a cell that passes one time in thirty may, as many more as
// a run makes decide. The long form makes them of all cells.
//
// What is published as a hang is held to it by a run of its own: it sleeps through
// its limit twice, minutes in which the rest of the matrix would have nothing to do.
func TestPublishedResultsHold(t *testing.T) {
	published, hangs := readPublished(t)
	var skip []string
	for _, cell := range hangs {
		skip = append(skip, "--skip", cell.String())
	}
	hold(t, published, func(cell matrix.Cell) bool { return !slices.Contains(hangs, cell) }, skip...)
}

func TestPublishedHangsHold(t *testing.T) {
	published, hangs := readPublished(t)
	if len(hangs) == 0 {
		t.Log("nothing is published as a hang: there is nothing to measure beside the other results")
		return
	}
	var selection []string
	for _, cell := range hangs {
		selection = append(selection, "--target", cell.Target, "--binding", cell.Binding, "--feature", cell.Feature, "--technique", cell.Technique)
	}
	hold(t, published, func(cell matrix.Cell) bool { return slices.Contains(hangs, cell) }, selection...)
}

// readPublished reads what is published, and the cells of default variants that are
// published as a hang of a client that everybody can have.
func readPublished(t *testing.T) (published results.Published, hangs []matrix.Cell) {
	t.Helper()
	published, err := results.ReadPublished(filepath.Join("results", "published", "latest.json"))
	require.NoError(t, err)
	found, err := targets.Load(".")
	require.NoError(t, err)
	plan, err := matrix.MakePlan(found, feature.All(), matrix.Selection{})
	require.NoError(t, err)
	clients := map[matrix.Client]bool{}
	for _, client := range plan.Clients {
		clients[client.Client()] = true
	}
	for _, client := range published.Targets {
		clients[client.Key()] = clients[client.Key()] && client.MeasuredBy == nil && client.Source == nil
	}
	for _, cell := range published.Cells {
		if cell.Outcome == matrix.Hang && clients[cell.Key().Client()] {
			hangs = append(hangs, cell.Key())
		}
	}
	return published, hangs
}

// hold measures what the arguments select, which is what is wanted, and holds it to
// be as it is published.
func hold(t *testing.T, published results.Published, wanted func(matrix.Cell) bool, selection ...string) {
	t.Helper()
	out := t.TempDir()
	arguments := append([]string{"--fresh"}, selection...)
	if os.Getenv("ZMQMATRIX_SOAK") == "" {
		arguments = append(arguments, "--repeat", "1")
	}
	measured := measure(t, out, arguments...)

	// What was measured with a licence, or with a binding's sources, that this
	// machine has not is left out, and nothing else.
	known := map[matrix.Client]results.Client{}
	for _, client := range published.Targets {
		known[client.Key()] = client
	}
	here := map[matrix.Client]bool{}
	for _, client := range measured.Targets {
		before := known[client.Key()]
		here[client.Key()] = client.NotRun == ""
		assert.True(t, client.NotRun == "" || before.NotRun != "" || before.MeasuredBy != nil || before.Source != nil,
			"%s was measured and is not run now: %s", client.Key(), client.NotRun)
		assert.True(t, client.Trusted || client.NotRun != "", "%s: %s", client.Key(), client.Distrust)
	}
	published.Cells = slices.DeleteFunc(slices.Clone(published.Cells), func(cell results.Cell) bool { return !wanted(cell.Key()) })
	measured.Cells = slices.DeleteFunc(measured.Cells, func(cell results.Cell) bool { return !wanted(cell.Key()) })
	want, got := verdicts(published, here), verdicts(measured, here)
	require.NotEmpty(t, want)
	// One attempt may pass of a cell that does so now and then.
	for _, cell := range published.Cells {
		if name := cell.Key().String(); cell.Outcome == matrix.Flaky && got[name] == "pass " {
			want[name] = got[name]
		}
	}
	differing := slices.DeleteFunc(slices.Clone(published.Cells), func(cell results.Cell) bool {
		return want[cell.Key().String()] == got[cell.Key().String()]
	})
	for _, cell := range differing[:min(len(differing), mostDecided)] {
		name := cell.Key().String()
		t.Logf("%s is published as %q and came out as %q: it is decided", name, want[name], got[name])
		again := measure(t, out, "--target", cell.Target, "--binding", cell.Binding, "--feature", cell.Feature, "--technique", cell.Technique)
		got[name] = verdicts(again, here)[name]
	}
	assert.Equal(t, want, got)
}

// mostDecided is how many cells can come out otherwise by chance.
const mostDecided = 5

// measure makes a run in docker and returns what came out.
func measure(t *testing.T, out string, arguments ...string) results.Published {
	t.Helper()
	said, err := os.CreateTemp(out, "said")
	require.NoError(t, err)
	defer said.Close()
	status := ci.Main(t.Context(), append([]string{"run", "--runtime", "docker", "--out", out}, arguments...), said, said)
	text, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	require.Zero(t, status, "%s", text)
	runs, err := filepath.Glob(filepath.Join(out, "runs", "*", "published.json"))
	require.NoError(t, err)
	require.NotEmpty(t, runs)
	measured, err := results.ReadPublished(slices.Max(runs)) // a run's name begins with its time
	require.NoError(t, err)
	return measured
}

// verdicts are the outcomes and layers of the clients' cells, by name.
func verdicts(published results.Published, of map[matrix.Client]bool) map[string]string {
	verdicts := map[string]string{}
	for _, cell := range published.Cells {
		if !of[cell.Key().Client()] {
			continue
		}
		outcome := string(cell.Outcome)
		switch cell.Outcome {
		case matrix.Fail, matrix.Crash, matrix.Flaky:
			outcome = "red"
		}
		verdicts[cell.Key().String()] = outcome + " " + string(cell.Layer)
	}
	return verdicts
}
