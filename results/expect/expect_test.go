package expect_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), got, "%s differs; if that is meant, run the test with -update", name)
}

var today = time.Date(2026, 11, 27, 22, 0, 0, 0, time.UTC)

// published are results with these cells, each written as CELL=OUTCOME, in
// their order. The best of a feature's techniques is the first with the best
// outcome.
func published(t testing.TB, cells ...string) results.Published {
	t.Helper()
	found := results.Published{Schema: results.PublishedSchema, Run: results.Run{ID: "20261127T220000Z-made", Cells: len(cells)}}
	best := map[matrix.Cell]int{}
	features := map[string]bool{}
	for _, text := range cells {
		name, outcome, ok := strings.Cut(text, "=")
		require.True(t, ok, text)
		key, err := matrix.ParseCell(name)
		require.NoError(t, err)
		require.NotEmpty(t, key.Technique, text)
		cell := results.Cell{
			Target: key.Target, Binding: key.Binding, Feature: key.Feature, Technique: key.Technique, Outcome: matrix.Outcome(outcome),
			Replay: "zmqmatrix run --feature " + key.Feature, Attempts: 11,
		}
		if cell.Outcome != matrix.Pass {
			cell.Reason = "what was seen of " + key.Feature
		}
		found.Cells = append(found.Cells, cell)
		if !features[key.Feature] {
			features[key.Feature] = true
			found.Features = append(found.Features, results.Feature{Name: key.Feature, Version: 1})
		}
		verdict := results.Best{Target: key.Target, Binding: key.Binding, Feature: key.Feature, Technique: key.Technique, Outcome: cell.Outcome}
		of := matrix.Cell{Target: key.Target, Binding: key.Binding, Feature: key.Feature}
		place, known := best[of]
		switch {
		case !known:
			best[of] = len(found.Best)
			found.Best = append(found.Best, verdict)
		case cell.Outcome.Rank() < found.Best[place].Outcome.Rank():
			found.Best[place] = verdict
		}
	}
	return found
}

// rule is one of a file's, as a person writes it.
func rule(cells, outcome string, more ...string) string {
	lines := append([]string{"  - cells: " + cells, "outcome: " + outcome, "reason: it is so", "issue: https://example.org/1"}, more...)
	return strings.Join(lines, "\n    ") + "\n"
}

func file(rules ...string) string {
	if len(rules) == 0 {
		return "schema: zmqmatrix/expect/v1\nrules: []\n"
	}
	return "schema: zmqmatrix/expect/v1\nrules:\n" + strings.Join(rules, "")
}

func parse(t testing.TB, rules ...string) expect.Rules {
	t.Helper()
	parsed, err := expect.Parse("e.yaml", []byte(file(rules...)))
	require.NoError(t, err)
	return parsed
}

// requireHarmless holds an error to what a terminal and a log can take.
func requireHarmless(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	text := err.Error()
	require.Less(t, len(text), 64<<10)
	for _, char := range text {
		require.True(t, char == '\n' || unicode.IsPrint(char), "%q in %q", char, text)
	}
}
