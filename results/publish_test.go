package results

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

func publishLines(t *testing.T, lines []matrix.Line) (Published, error) {
	t.Helper()
	return Publish(writeRecord(t, lines), sampleFeatures, sampleTargets)
}

func cellOf(t *testing.T, published Published, name string) Cell {
	t.Helper()
	parsed, err := matrix.ParseCell(name)
	require.NoError(t, err)
	cell, err := FindCell(published, parsed)
	require.NoError(t, err)
	return cell
}

func TestPublishedFitsItsSchema(t *testing.T) {
	encoded, err := samplePublished(t).encode()
	require.NoError(t, err)
	require.NoError(t, schema.CheckJSON(schema.Published, "latest.json", encoded))
}

func TestPublishIsDeterministic(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	want, err := publishLines(t, lines)
	require.NoError(t, err)
	// Clients run side by side, so that their lines come in any order; within a
	// client the order is the plan's.
	var mixed []matrix.Line
	byClient := map[string][]matrix.Line{}
	for _, line := range lines[1 : len(lines)-1] {
		name := ""
		switch line.Type {
		case matrix.LineClient:
			name = line.Client.Client.String()
		case matrix.LineAttempt:
			name = line.Attempt.Evidence.Cell.Client().String()
		case matrix.LineVerdict:
			name = line.Verdict.Client().String()
		}
		byClient[name] = append(byClient[name], line)
	}
	mixed = append(mixed, lines[0])
	for len(byClient) > 0 {
		for name, rest := range byClient {
			mixed = append(mixed, rest[0])
			if byClient[name] = rest[1:]; len(rest) == 1 {
				delete(byClient, name)
			}
		}
	}
	mixed = append(mixed, lines[len(lines)-1])
	got, err := publishLines(t, mixed)
	require.NoError(t, err)
	wantBytes, err := want.encode()
	require.NoError(t, err)
	gotBytes, err := got.encode()
	require.NoError(t, err)
	assert.Equal(t, string(wantBytes), string(gotBytes))
}

func TestPublishedSurvivesTheFile(t *testing.T) {
	published := samplePublished(t)
	path := filepath.Join(t.TempDir(), "published", "latest.json")
	require.NoError(t, WritePublished(path, published))
	read, err := ReadPublished(path)
	require.NoError(t, err)
	want, err := published.encode()
	require.NoError(t, err)
	got, err := read.encode()
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
	assert.Equal(t, MarkdownTable(published), MarkdownTable(read))
}

func TestPublishRefuses(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	footer := func(change func(*matrix.Footer)) []matrix.Line {
		changed := slices.Clone(lines)
		last := *changed[len(changed)-1].Footer
		last.Controls = slices.Clone(last.Controls)
		change(&last)
		changed[len(changed)-1] = matrix.Line{Type: matrix.LineFooter, Footer: &last}
		return changed
	}
	t.Run("an unfinished run", func(t *testing.T) {
		_, err := publishLines(t, lines[:len(lines)-1])
		require.ErrorIs(t, err, ErrUnfinished)
		assert.ErrorContains(t, err, "--resume "+lines[0].Header.Run)
	})
	t.Run("a misjudged control, by name", func(t *testing.T) {
		_, err := publishLines(t, footer(func(f *matrix.Footer) { f.Controls[2].Outcome = matrix.Hang }))
		require.ErrorIs(t, err, ErrMisjudged)
		assert.ErrorContains(t, err, "must be pass and is hang")
	})
	t.Run("a run without a control", func(t *testing.T) {
		_, err := publishLines(t, footer(func(f *matrix.Footer) { f.Controls = nil }))
		require.ErrorIs(t, err, ErrMisjudged)
	})
	t.Run("a record of other features", func(t *testing.T) {
		_, err := Publish(writeRecord(t, lines), sampleFeatures[:3], sampleTargets)
		require.ErrorIs(t, err, ErrOtherPlan)
	})
	t.Run("a finished record that lacks a verdict", func(t *testing.T) {
		_, err := publishLines(t, slices.DeleteFunc(slices.Clone(lines), func(line matrix.Line) bool {
			return line.Type == matrix.LineVerdict && line.Verdict.Cell == lines[3].Verdict.Cell
		}))
		require.ErrorIs(t, err, ErrUnfinished)
	})
}

func TestFromRecordShowsWhatIsNotFitForPublication(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	published, err := FromRecord(writeRecord(t, lines[:8]), sampleFeatures[:2], nil)
	require.NoError(t, err)
	assert.True(t, published.Run.Finished.IsZero())
	assert.NotEmpty(t, published.Cells)
	assert.Less(t, len(published.Cells), published.Run.Cells)
	assert.Contains(t, Terminal(published, TerminalOptions{}), "UNFINISHED")
	page, err := Page(published)
	require.NoError(t, err)
	assert.Contains(t, string(page), "Not for use")
}

func TestAPartialRunDoesNotReplaceAFullOne(t *testing.T) {
	full := samplePublished(t)
	partial, err := publishLines(t, sampleLines(t, matrix.Selection{Features: []string{"callback"}}))
	require.NoError(t, err)
	assert.True(t, partial.Run.Partial)
	path := filepath.Join(t.TempDir(), "latest.json")
	require.NoError(t, WritePublished(path, partial), "nothing is there to be replaced")
	require.NoError(t, WritePublished(path, full), "a full run replaces a partial one")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.ErrorIs(t, WritePublished(path, partial), ErrPartial)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	require.NoError(t, WritePublished(path, full))
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o644))
	require.Error(t, WritePublished(path, partial), "what can't be read may be a full run's")
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no temporary file stays")
}

func TestReadPublishedNamesWhatIsWrong(t *testing.T) {
	encoded, err := samplePublished(t).encode()
	require.NoError(t, err)
	for name, test := range map[string]struct{ old, new, want string }{
		"another version": {PublishedSchema, "zmqmatrix/published/v7", "zmqmatrix/published/v7"},
		"an unknown key":  {`"partial"`, `"partail": true, "partial"`, "run.partail"},
		"a wrong type":    {`"partial": false`, `"partial": "no"`, "run.partial"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "latest.json")
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(encoded), test.old, test.new, 1)), 0o644))
			_, err := ReadPublished(path)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, path)
		})
	}
}

func TestBestTechnique(t *testing.T) {
	cell := func(technique string, outcome matrix.Outcome) Cell {
		return Cell{Technique: technique, Outcome: outcome}
	}
	for name, test := range map[string]struct {
		techniques []Cell
		want       string
	}{
		"a pass beats what comes before it": {[]Cell{cell("plain", matrix.Crash), cell("pin", matrix.Pass)}, "pin"},
		"the preferred one of equals":       {[]Cell{cell("plain", matrix.Pass), cell("pin", matrix.Pass)}, "plain"},
		"flaky beats a plain failure":       {[]Cell{cell("plain", matrix.Fail), cell("pin", matrix.Flaky)}, "pin"},
		"a statement beats none":            {[]Cell{cell("plain", matrix.Error), cell("pin", matrix.Hang)}, "pin"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, bestOf(test.techniques).Technique) })
	}
}

func TestDecidingEvidence(t *testing.T) {
	published := samplePublished(t)
	t.Run("of a flaky cell is the attempt whose reason is quoted", func(t *testing.T) {
		evidence := cellOf(t, published, "quick@one/ffi/zero-copy/deferred-free/plain").Evidence
		assert.Equal(t, 5, evidence.Attempt)
		assert.Equal(t, matrix.EndedWall, evidence.Account.Ending)
	})
	t.Run("of a crash has the dossier of the attempt under trace", func(t *testing.T) {
		evidence := cellOf(t, published, "quick@one/ffi/callback/io-thread-gc/plain").Evidence
		assert.Equal(t, 1, evidence.Attempt)
		require.NotNil(t, evidence.Dossier)
		assert.Equal(t, "SEGV_ACCERR", evidence.Dossier.Code)
	})
	t.Run("of a cell that was not run is absent", func(t *testing.T) {
		assert.Nil(t, cellOf(t, published, "vendor@one/ffi/messaging/req-rep").Evidence)
	})
	t.Run("comes from attempts under the last key only", func(t *testing.T) {
		lines := sampleLines(t, matrix.Selection{})
		stale := *lines[2].Attempt
		stale.Key, stale.Number, stale.ReusedFrom = "of an older image", 9, "older"
		got, err := publishLines(t, slices.Insert(slices.Clone(lines), 2, matrix.Line{Type: matrix.LineAttempt, Attempt: &stale}))
		require.NoError(t, err)
		assert.Zero(t, got.Run.Reused)
		want, err := publishLines(t, lines)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	})
	t.Run("names the run that made a reused attempt", func(t *testing.T) {
		lines := sampleLines(t, matrix.Selection{})
		reused := *lines[2].Attempt
		reused.ReusedFrom = "older"
		lines[2].Attempt = &reused
		got, err := publishLines(t, lines)
		require.NoError(t, err)
		assert.Equal(t, 1, got.Run.Reused)
		assert.Equal(t, "older", cellOf(t, got, reused.Evidence.Cell.String()).Evidence.Run)
	})
}

func TestResumedRunsStateTheirVerdictsAgain(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	want, err := publishLines(t, lines)
	require.NoError(t, err)
	twice := append(slices.Clone(lines[:9]), lines[1:]...)
	twice = slices.DeleteFunc(twice, func(line matrix.Line) bool { return line.Type == matrix.LineAttempt })
	// Attempts stand once, clients and verdicts twice.
	var once []matrix.Line
	for _, line := range lines {
		if line.Type == matrix.LineAttempt {
			once = append(once, line)
		}
	}
	got, err := publishLines(t, slices.Concat(twice[:1], once, twice[1:]))
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestWhatAClientSaysIsBounded(t *testing.T) {
	attempt := sampleAttempt(priorCell, 1, sampleStart, matrix.Finding{Outcome: matrix.Pass})
	long := strings.Repeat("ä", 1<<20)
	attempt.Evidence.Account.Stderr = []byte(long + "\xff\xfe the end")
	attempt.Evidence.Account.Dossier = &matrix.Dossier{Backtrace: long, Thread: long, Blocked: slices.Repeat([]string{long}, 200),
		Page: long, Instruction: long, Threads: slices.Repeat([]matrix.ThreadState{{Name: long, State: long, Start: long}}, 200)}
	attempt.Evidence.Report.Steps = []string{long}
	attempt.Evidence.Report.Observations = slices.Repeat([]matrix.Observation{{Key: long, Value: long, Unit: long}}, 4000)
	evidence := evidenceOf(attempt, "run")
	assert.Len(t, evidence.Observations, mostObservations)
	assert.Equal(t, 4000-mostObservations, evidence.ObservationsLeft)
	assert.True(t, strings.HasSuffix(evidence.Stderr, " the end"))
	assert.True(t, utf8.ValidString(evidence.Stderr))
	assert.Len(t, evidence.Dossier.Blocked, mostBlocked)
	published := Published{Cells: []Cell{{Evidence: evidence}}}
	encoded, err := published.encode()
	require.NoError(t, err)
	assert.Less(t, len(encoded), 128<<10)
}

func TestReplaceTable(t *testing.T) {
	table := "| a |\n|---|\n| b |\n"
	readme := "# Title\n\n<!-- zmqmatrix:table -->\nold\n<!-- /zmqmatrix:table -->\n\nrest\n"
	got, err := ReplaceTable([]byte(readme), table)
	require.NoError(t, err)
	assert.Equal(t, "# Title\n\n<!-- zmqmatrix:table -->\n"+table+"<!-- /zmqmatrix:table -->\n\nrest\n", string(got))
	between, err := TableOf(got)
	require.NoError(t, err)
	assert.Equal(t, table, between)
	again, err := ReplaceTable(got, table)
	require.NoError(t, err)
	assert.Equal(t, string(got), string(again))
	for name, bad := range map[string]string{
		"no markers":        "# Title\n",
		"only one":          tableStart + "\n",
		"the wrong order":   tableEnd + "\n" + tableStart + "\n",
		"more than one set": readme + readme,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReplaceTable([]byte(bad), table)
			require.ErrorIs(t, err, ErrNoTable)
		})
	}
}

func TestExplainOfNoCell(t *testing.T) {
	_, err := Explain(samplePublished(t), matrix.Cell{Target: "quick@one", Binding: "ffi", Feature: "callback/io-thread-cg"})
	var missing *NoCellError
	require.ErrorAs(t, err, &missing)
	assert.ErrorContains(t, err, "did you mean quick@one/ffi/callback/io-thread-gc or ")
}
