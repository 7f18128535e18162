package measure

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

func TestRunsAreListedNewestFirst(t *testing.T) {
	folder := Runs(t.TempDir())
	began := time.Date(2026, 11, 23, 20, 15, 0, 0, time.UTC)
	for i, name := range []string{"20261123T201500Z-ffffff", "20261123T201500Z-000000", "20261123T201459Z-aaaaaa", "20261124T000000Z-111111"} {
		require.NoError(t, os.MkdirAll(filepath.Join(string(folder), name), 0o755))
		record := folder.File(name, RecordName)
		require.NoError(t, os.WriteFile(record, nil, 0o644))
		require.NoError(t, os.Chtimes(record, time.Time{}, began.Add(time.Duration(i)*time.Millisecond)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(string(folder), "20271124T000000Z-no-record"), 0o755))
	runs, err := folder.List()
	require.NoError(t, err)
	assert.Equal(t, []string{"20261124T000000Z-111111", "20261123T201500Z-000000", "20261123T201500Z-ffffff", "20261123T201459Z-aaaaaa"}, runs)
}

func TestRunNamesBeginWithTheirTime(t *testing.T) {
	began := time.Date(2026, 11, 23, 20, 15, 0, 0, time.FixedZone("", 3600))
	assert.Regexp(t, `^20261123T191500Z-[0-9a-f]{6}$`, NewRunID(began))
	assert.NotEqual(t, NewRunID(began), NewRunID(began))
}

func TestDurationsAreThoseOfTheLastRunElseThePublishedOnes(t *testing.T) {
	root, folder := t.TempDir(), Runs(t.TempDir())
	cell := matrix.Cell{Target: "c@bookworm", Binding: "libzmq", Feature: "messaging/req-rep", Technique: "plain"}
	other := cell
	other.Feature = "messaging/push-pull"
	plan := func(cells ...matrix.Cell) matrix.Plan {
		return matrix.Plan{Clients: []matrix.PlannedClient{{Cells: cells}}}
	}
	both := plan(cell, other)
	durations, by, err := Durations(root, folder, both)
	require.NoError(t, err)
	assert.Empty(t, durations)
	assert.Empty(t, by)

	published := filepath.Join(root, "results", "published")
	require.NoError(t, os.CopyFS(published, os.DirFS(filepath.Join("..", "results", "published"))))
	known, by, err := Durations(root, folder, both)
	require.NoError(t, err)
	assert.Equal(t, []string{"results/published/latest.json"}, by)
	assert.Positive(t, known[cell], "a new clone knows what takes long")

	recorded := func(run string, verdicts ...matrix.Verdict) {
		record, err := results.OpenRecord(folder.File(run, RecordName))
		require.NoError(t, err)
		require.NoError(t, record.Append(matrix.Line{Type: matrix.LineHeader, Header: &matrix.Header{Schema: matrix.RecordSchema, Run: run}}))
		for _, verdict := range verdicts {
			require.NoError(t, record.Append(matrix.Line{Type: matrix.LineVerdict, Verdict: &verdict}))
		}
		require.NoError(t, record.Close())
	}
	recorded("20261124T000000Z-111111", matrix.Verdict{Cell: cell, Outcome: matrix.Pass, Attempts: 3, Slowest: time.Hour})
	durations, by, err = Durations(root, folder, both)
	require.NoError(t, err)
	assert.Equal(t, []string{string(folder), "results/published/latest.json"}, by)
	assert.Equal(t, 3*time.Hour, durations[cell])
	assert.Len(t, durations, len(known), "the others' are as they were")
	durations, _, err = Durations(root, "", both)
	require.NoError(t, err)
	assert.Equal(t, known, durations)

	require.NoError(t, os.WriteFile(filepath.Join(published, "latest.json"), []byte("{}"), 0o644))
	_, _, err = Durations(root, folder, both)
	assert.ErrorContains(t, err, "latest.json:1:")
	durations, by, err = Durations(root, folder, plan(cell))
	require.NoError(t, err, "what is published is not read for a cell that a run tells of")
	assert.Equal(t, []string{string(folder)}, by)
	assert.Equal(t, matrix.Durations{cell: 3 * time.Hour}, durations)

	recorded("20261123T000000Z-111111", matrix.Verdict{Cell: cell, Outcome: matrix.Pass, Attempts: 1, Slowest: time.Minute},
		matrix.Verdict{Cell: other, Outcome: matrix.Pass, Attempts: 2, Slowest: time.Minute})
	durations, by, err = Durations(root, folder, both)
	require.NoError(t, err)
	assert.Equal(t, []string{string(folder)}, by)
	assert.Equal(t, matrix.Durations{cell: 3 * time.Hour, other: 2 * time.Minute}, durations, "an earlier run tells only what the later ones do not")
}
