package results

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

var priorCell = matrix.Cell{Target: "quick@one", Binding: "ffi", Feature: "callback/same-thread", Technique: "plain"}

// runOf writes a record of a run with these attempts.
func runOf(t *testing.T, run string, attempts ...matrix.Attempt) string {
	t.Helper()
	header, _ := sampleHeader(t, matrix.Selection{})
	header.Run = run
	lines := []matrix.Line{{Type: matrix.LineHeader, Header: &header}}
	for _, attempt := range attempts {
		lines = append(lines, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt})
	}
	return writeRecord(t, lines)
}

func attemptAt(minute int) matrix.Attempt {
	return sampleAttempt(priorCell, 1, sampleStart.Add(time.Duration(minute)*time.Minute), matrix.Finding{Outcome: matrix.Pass})
}

func priorOf(t *testing.T, resumed string, earlier ...string) *Prior {
	t.Helper()
	prior, err := PriorOf(resumed, earlier...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, prior.Close()) })
	return prior
}

func TestPrior(t *testing.T) {
	key := attemptAt(1).Key
	origins := func(attempts []matrix.Attempt) []string {
		origins := []string{}
		for _, attempt := range attempts {
			origins = append(origins, attempt.ReusedFrom)
		}
		return origins
	}
	t.Run("an earlier run's attempts name it", func(t *testing.T) {
		prior := priorOf(t, "", runOf(t, "first", attemptAt(1), attemptAt(2)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{"first", "first"}, origins(attempts))
		assert.Equal(t, mustJSON(matrix.Line{Attempt: new(attemptAt(2))}),
			mustJSON(matrix.Line{Attempt: func() *matrix.Attempt { a := attempts[1]; a.ReusedFrom = ""; return &a }()}))
	})
	t.Run("the resumed run's own come first and name nothing", func(t *testing.T) {
		prior := priorOf(t, runOf(t, "resumed", attemptAt(3)), runOf(t, "first", attemptAt(1)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{"", "first"}, origins(attempts))
	})
	t.Run("what a run reused is found once, under the run that made it", func(t *testing.T) {
		reused := attemptAt(1)
		reused.ReusedFrom, reused.Number = "first", 4
		prior := priorOf(t, "", runOf(t, "second", reused, attemptAt(2)), runOf(t, "first", attemptAt(1)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{"first", "second"}, origins(attempts))
	})
	t.Run("what the resumed run reused is in its record already", func(t *testing.T) {
		reused := attemptAt(1)
		reused.ReusedFrom = "first"
		prior := priorOf(t, runOf(t, "resumed", reused), runOf(t, "first", attemptAt(1)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{""}, origins(attempts))
	})
	t.Run("another key or cell finds nothing", func(t *testing.T) {
		prior := priorOf(t, "", runOf(t, "first", attemptAt(1)))
		for _, cell := range []matrix.Cell{priorCell, {Target: "quick@one", Binding: "zed", Feature: priorCell.Feature, Technique: "plain"}} {
			attempts, err := prior.Attempts(cell, "another key")
			require.NoError(t, err)
			assert.Empty(t, attempts)
		}
		attempts, err := prior.Attempts(matrix.Cell{}, key)
		require.NoError(t, err)
		assert.Empty(t, attempts)
	})
	t.Run("a negative probe is found by whatever name", func(t *testing.T) {
		probe := priorCell
		probe.Feature = "zz123456/789abcdef0"
		asked := sampleAttempt(probe, 1, sampleStart, matrix.Finding{Outcome: matrix.Unsupported})
		asked.Key = "of the negative probe"
		prior := priorOf(t, "", runOf(t, "second", attemptAt(2)), runOf(t, "first", asked, attemptAt(1)))
		stands := priorCell
		stands.Feature = ""
		require.True(t, stands.NegativeProbe())
		attempts, err := prior.Attempts(stands, asked.Key)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		assert.Equal(t, probe, attempts[0].Evidence.Cell)
	})
	t.Run("traced attempts are among them", func(t *testing.T) {
		traced := attemptAt(1)
		traced.Traced = true
		attempts, err := priorOf(t, "", runOf(t, "first", traced)).Attempts(priorCell, key)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		assert.True(t, attempts[0].Traced)
	})
	t.Run("a torn last line is no harm", func(t *testing.T) {
		path := runOf(t, "first", attemptAt(1))
		appendTo(t, path, `{"type":"attempt","att`)
		attempts, err := priorOf(t, "", path).Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Len(t, attempts, 1)
	})
	t.Run("an earlier record that can't be read is left out, and said", func(t *testing.T) {
		bad := filepath.Join(t.TempDir(), "bad.jsonl")
		require.NoError(t, os.WriteFile(bad, []byte(`{"type":"header","header":{"schema":"zmqmatrix/record/v0","tool":"old"}}`+"\n"), 0o644))
		damaged := runOf(t, "damaged", attemptAt(7))
		appendTo(t, damaged, "garbage\n")
		prior := priorOf(t, "", bad, damaged, runOf(t, "first", attemptAt(1)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{"first"}, origins(attempts))
		require.Len(t, prior.Skipped(), 2)
		assert.ErrorContains(t, prior.Skipped()[0], "zmqmatrix/record/v0")
		assert.ErrorContains(t, prior.Skipped()[1], damaged+":3:")
	})
	t.Run("a run whose control was misjudged is left out, and said", func(t *testing.T) {
		invalid := runOf(t, "invalid", attemptAt(7))
		footer, err := json.Marshal(matrix.Line{Type: matrix.LineFooter, Footer: &matrix.Footer{Controls: []matrix.ControlResult{
			{Name: "controls@one/libzmq/hang/asleep/plain", Expected: matrix.Hang, Outcome: matrix.Crash, Reason: "died of SIGKILL"},
		}}})
		require.NoError(t, err)
		appendTo(t, invalid, string(footer)+"\n")
		prior := priorOf(t, "", invalid, runOf(t, "first", attemptAt(1)))
		attempts, err := prior.Attempts(priorCell, key)
		require.NoError(t, err)
		assert.Equal(t, []string{"first"}, origins(attempts))
		require.Len(t, prior.Skipped(), 1)
		assert.ErrorContains(t, prior.Skipped()[0], invalid+": the run is invalid: its control controls@one/libzmq/hang/asleep/plain must be hang and is crash: died of SIGKILL")
	})
	t.Run("a resumed record that can't be read is an error", func(t *testing.T) {
		_, err := PriorOf(filepath.Join(t.TempDir(), "none.jsonl"))
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}
