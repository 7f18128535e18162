//go:build integration

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/ci"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// What is published must be true of this tree: a whole run in docker of the same
// variants, reusing nothing, gives the same verdict for every cell that is not a
// contributor's. A wrong answer and a crash may take each other's place: what is
// undefined ends as it likes (GCL's free fails in 13 attempts of 20 and crashes
// in 7). All else, a hang too, is the same.
func TestPublishedResultsHold(t *testing.T) {
	published, err := results.ReadPublished(filepath.Join("results", "published", "latest.json"))
	require.NoError(t, err)

	out := t.TempDir()
	said, err := os.Create(filepath.Join(out, "said"))
	require.NoError(t, err)
	defer said.Close()
	args := []string{"run", "--runtime", "docker", "--fresh", "--out", out}
	if published.Run.Selection.AllVariants {
		args = append(args, "--all-variants")
	}
	status := ci.Main(t.Context(), args, said, said)
	text, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	require.Zero(t, status, "%s", text)
	runs, err := filepath.Glob(filepath.Join(out, "runs", "*", "published.json"))
	require.NoError(t, err)
	require.Len(t, runs, 1)
	measured, err := results.ReadPublished(runs[0])
	require.NoError(t, err)

	contributed := map[matrix.Client]bool{}
	for _, client := range published.Targets {
		contributed[client.Key()] = client.MeasuredBy != nil
	}
	assert.Equal(t, verdicts(published, contributed), verdicts(measured, contributed))
	for _, client := range measured.Targets {
		assert.True(t, client.Trusted || client.NotRun != "", "%s: %s", client.Key(), client.Distrust)
	}
}

// verdicts are the cells' outcomes and layers, by name, but for some clients'.
func verdicts(published results.Published, without map[matrix.Client]bool) map[string]string {
	verdicts := map[string]string{}
	for _, cell := range published.Cells {
		if without[cell.Key().Client()] {
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
