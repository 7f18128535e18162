package history

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

var update = flag.Bool("update", false, "write the golden files anew")

// runNamed is the published results of a day in January 2026.
func runNamed(day int, cells ...results.Cell) results.Published {
	started := time.Date(2026, 1, day, 12, 0, 0, 0, time.UTC)
	published := results.Published{
		Schema: results.PublishedSchema,
		Run: results.Run{
			ID: started.Format("20060102T150405Z-") + fmt.Sprintf("%06x", day), Tool: "v1", Started: started, Finished: started.Add(time.Hour),
			Runtime: "docker", Host: "Linux", Cores: 2, Engine: "docker 1", Endpoint: "sha256:e", Plan: "sha256:p", Seed: 7, Cells: len(cells),
		},
		Controls: []matrix.ControlResult{{Name: "c", Expected: matrix.Pass, Outcome: matrix.Pass}},
		Cells:    cells,
	}
	clients, features := map[matrix.Client]bool{}, map[string]bool{}
	for _, cell := range cells {
		if client := cell.Key().Client(); !clients[client] {
			clients[client] = true
			published.Targets = append(published.Targets, results.Client{
				Target: cell.Target, Binding: cell.Binding, Version: "2.2.9", BindingVersion: "1", Libzmq: "4.3.4", Image: "sha256:i",
			})
		}
		if !features[cell.Feature] {
			features[cell.Feature] = true
			published.Features = append(published.Features, results.Feature{Name: cell.Feature, Version: 1})
		}
		published.Best = append(published.Best, results.Best{Target: cell.Target, Binding: cell.Binding, Feature: cell.Feature, Technique: cell.Technique, Outcome: cell.Outcome})
	}
	return published
}

// cellOf is a cell of the one client a@one/ffi.
func cellOf(feature string, outcome matrix.Outcome) results.Cell {
	cell := results.Cell{Target: "a@one", Binding: "ffi", Feature: feature, Technique: "plain", Outcome: outcome, Attempts: 3}
	switch {
	case outcome == matrix.Pass:
		cell.Passes = 3
	case outcome.Red():
		cell.Layer = matrix.LayerRuntime
	}
	if outcome != matrix.Pass {
		cell.Reason = "it is " + string(outcome)
	}
	return cell
}

// named is a cell of a@one/ffi.
func named(feature string) matrix.Cell {
	return matrix.Cell{Target: "a@one", Binding: "ffi", Feature: feature, Technique: "plain"}
}

// publish adds results to the history in the folder.
func publish(t testing.TB, folder string, published results.Published) string {
	t.Helper()
	addition, err := Prepare(folder, published)
	require.NoError(t, err)
	require.NoError(t, addition.Write())
	return addition.Path
}

func load(t testing.TB, folder string) *History {
	t.Helper()
	history, err := Load(folder)
	require.NoError(t, err)
	return history
}

// text is all of a snapshot.
func text(t testing.TB, snapshot Snapshot) string {
	t.Helper()
	data, err := snapshot.file(nil, nil)
	require.NoError(t, err)
	return string(data)
}

func TestEveryRunIsReadAsItWasPublished(t *testing.T) {
	folder := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	var published []results.Published
	for day := 1; day <= 30; day++ {
		var cells []results.Cell
		for i := range 40 {
			// Cells change, come and go, and so do clients and their making.
			cell := cellOf(fmt.Sprintf("g/f%d", i), matrix.Outcomes[random.IntN(3)])
			cell.Target = fmt.Sprintf("a@%d", i%3)
			if random.IntN(20) > 0 && !(day%7 == 0 && i%3 == 0) {
				cells = append(cells, cell)
			}
		}
		run := runNamed(day, cells...)
		run.Targets[0].Image = fmt.Sprintf("sha256:%d", day/5)
		run.Targets[0].Source = &matrix.Source{From: "a", Digest: fmt.Sprintf("sha256:%064d", day/4)}
		published = append(published, run)
	}
	// Some are published later than those that followed them.
	for _, order := range random.Perm(len(published)) {
		require.NotEmpty(t, publish(t, folder, published[order]))
	}
	history := load(t, folder)
	require.Len(t, history.Entries, len(published))
	for i, run := range published {
		assert.Equal(t, text(t, SnapshotOf(run)), text(t, history.Snapshot(i)))
	}
}

func TestPublishingTwiceAddsNothing(t *testing.T) {
	folder := t.TempDir()
	run := runNamed(1, cellOf("g/f", matrix.Pass))
	path := publish(t, folder, run)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	publish(t, folder, runNamed(2, cellOf("g/f", matrix.Fail)))
	assert.Empty(t, publish(t, folder, run))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
}

func TestOtherResultsUnderARunsNameAreRefused(t *testing.T) {
	folder := t.TempDir()
	path := publish(t, folder, runNamed(1, cellOf("g/f", matrix.Pass)))
	_, err := Prepare(folder, runNamed(1, cellOf("g/f", matrix.Fail)))
	require.ErrorIs(t, err, ErrOther)
	assert.ErrorContains(t, err, path)
}

func TestARunThatOthersJoinedIsAnEntryOfItsOwn(t *testing.T) {
	folder := t.TempDir()
	run := runNamed(1, cellOf("g/f", matrix.Pass))
	publish(t, folder, run)
	joined := runNamed(1, cellOf("g/f", matrix.Pass), cellOf("g/g", matrix.Fail))
	joined.Run.Merged = []results.MergedRun{{ID: "20260101T130000Z-b"}}
	publish(t, folder, joined)
	publish(t, folder, runNamed(2, cellOf("g/f", matrix.Pass)))
	history := load(t, folder)
	require.Len(t, history.Entries, 3)
	assert.Equal(t, run.Run.ID, history.Entries[0].ID)
	assert.Regexp(t, `^`+run.Run.ID+`\+1-[0-9a-f]{8}$`, history.Entries[1].ID)
	assert.Equal(t, text(t, SnapshotOf(joined)), text(t, history.Snapshot(1)))
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	folder := t.TempDir()
	cells := make([]results.Cell, 0, 100)
	for i := range 100 {
		cells = append(cells, cellOf(fmt.Sprintf("g/f%d", i), matrix.Pass))
	}
	publish(t, folder, runNamed(1, cells...))
	cells[17] = cellOf("g/f17", matrix.Fail)
	second := publish(t, folder, runNamed(2, cells...))
	data, err := os.ReadFile(second)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 3, "a header, the cell and the end")
	assert.JSONEq(t, `{"cell":"a@one/ffi/g/f17/plain","verdict":{"outcome":"fail","layer":"runtime","reason":"it is fail","attempts":3,"passes":0,"best":true}}`, lines[1])
}

func TestWhatACellRestsOnIsBounded(t *testing.T) {
	folder := t.TempDir()
	cells := make([]results.Cell, 0, 60)
	for i := range 60 {
		cells = append(cells, cellOf(fmt.Sprintf("g/f%d", i), matrix.Pass))
	}
	for day := range 60 {
		cells[day] = cellOf(fmt.Sprintf("g/f%d", day), matrix.Fail)
		publish(t, folder, runNamed(day+1, cells...))
	}
	history := load(t, folder)
	complete, total, changes := 0, 0, 0
	for i, file := range history.files {
		if file.base < 0 {
			complete++
		} else {
			changes += file.size
			assert.Equal(t, i-1, file.base)
		}
		total += file.size
		rests := 0
		for at := i; history.files[at].base >= 0; at = history.files[at].base {
			rests += history.files[at].size
		}
		assert.Less(t, rests, 2*history.files[0].size)
	}
	assert.Greater(t, complete, 2)
	assert.LessOrEqual(t, total, 2*changes+2*history.files[0].size)
}

func TestTwoBranchesThatPublishDontDisturbEachOther(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	first := runNamed(1, cellOf("g/f", matrix.Pass), cellOf("g/g", matrix.Pass), cellOf("g/h", matrix.Pass), cellOf("g/i", matrix.Pass))
	publish(t, ours, first)
	publish(t, theirs, first)
	on := func(day int, broken string) results.Published {
		run := runNamed(day, cellOf("g/f", matrix.Pass), cellOf("g/g", matrix.Pass), cellOf("g/h", matrix.Pass), cellOf("g/i", matrix.Pass))
		for i := range run.Cells {
			if run.Cells[i].Feature == broken {
				run.Cells[i] = cellOf(broken, matrix.Fail)
			}
		}
		return run
	}
	publish(t, ours, on(2, "g/f"))
	publish(t, ours, on(4, "g/f"))
	path := publish(t, theirs, on(3, "g/g"))
	// What a merge in git does.
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(ours, "2026", filepath.Base(path)), data, 0o644))
	history := load(t, ours)
	require.Len(t, history.Entries, 4)
	for i, run := range []results.Published{first, on(2, "g/f"), on(3, "g/g"), on(4, "g/f")} {
		assert.Equal(t, text(t, SnapshotOf(run)), text(t, history.Snapshot(i)))
	}
}

// write makes a history of three runs, the last two of which are changes, and
// returns their files.
func write(t testing.TB, folder string) (paths [3]string) {
	t.Helper()
	var cells []results.Cell
	for i := range 10 {
		cells = append(cells, cellOf(fmt.Sprintf("g/f%d", i), matrix.Pass))
	}
	paths[0] = publish(t, folder, runNamed(1, cells...))
	cells[1] = cellOf("g/f1", matrix.Crash)
	paths[1] = publish(t, folder, runNamed(2, cells[:9]...))
	cells[2] = cellOf("g/f2", matrix.Hang)
	paths[2] = publish(t, folder, runNamed(3, cells[:9]...))
	return paths
}

func TestADamagedFileIsNamedWithItsLine(t *testing.T) {
	edit := func(old, new string) func([]byte) []byte {
		return func(data []byte) []byte {
			changed := strings.Replace(string(data), old, new, 1)
			if changed == string(data) {
				panic("nothing to replace: " + old)
			}
			return []byte(changed)
		}
	}
	var told strings.Builder
	for _, damage := range []struct {
		name string
		file int
		edit func([]byte) []byte
	}{
		{"empty", 2, func([]byte) []byte { return nil }},
		{"no end", 2, func(data []byte) []byte { return data[:strings.LastIndex(string(data), `{"end"`)] }},
		{"torn within a line", 2, func(data []byte) []byte { return data[:len(data)-20] }},
		{"its last line end lost", 2, func(data []byte) []byte { return data[:len(data)-1] }},
		{"a line lost", 0, edit("{\"feature\":\"g/f1\",\"version\":1}\n", "")},
		{"a line twice", 0, edit("{\"feature\":\"g/f1\",\"version\":1}\n", "{\"feature\":\"g/f1\",\"version\":1}\n{\"feature\":\"g/f1\",\"version\":1}\n")},
		{"lines in another order", 0, edit("{\"feature\":\"g/f0\",\"version\":1}\n{\"feature\":\"g/f1\",\"version\":1}\n", "{\"feature\":\"g/f1\",\"version\":1}\n{\"feature\":\"g/f0\",\"version\":1}\n")},
		{"more after the end", 2, func(data []byte) []byte { return append(data, "{}\n"...) }},
		{"no JSON", 2, edit(`{"cell"`, `{cell`)},
		{"an unknown key", 2, edit(`"outcome":"hang"`, `"outcom":"hang"`)},
		{"an unknown outcome", 2, edit(`"outcome":"hang"`, `"outcome":"hung"`)},
		{"not run", 2, edit(`"outcome":"hang"`, `"outcome":"not-run"`)},
		{"a red cell without a reason", 2, edit(`"reason":"it is hang",`, "")},
		{"an unknown layer", 2, edit(`"layer":"runtime"`, `"layer":"kernel"`)},
		{"a cell's name", 2, edit(`a@one/ffi/g/f2/plain`, `a@one/ffi/../f2/plain`)},
		{"a cell without a technique", 2, edit(`a@one/ffi/g/f2/plain`, `a@one/ffi/g/f2`)},
		{"neither a verdict nor gone", 1, edit(`,"gone":true`, "")},
		{"gone, and never there", 1, edit(`"a@one/ffi/g/f9/plain","gone"`, `"a@one/ffi/g/f99/plain","gone"`)},
		{"gone from a complete one", 0, edit(`{"feature":"g/f1","version":1}`, `{"feature":"g/f1","gone":true}`)},
		{"counts that don't hold", 2, edit(`"clients":1,"cells":9`, `"clients":1,"cells":8`)},
		{"another version", 2, edit("zmqmatrix/history/v1", "zmqmatrix/history/v2")},
		{"no schema", 2, edit(`"schema":"zmqmatrix/history/v1",`, "")},
		{"another id", 2, edit(`"id":"20260103T120000Z-000003","base"`, `"id":"20260104T120000Z-000003","base"`)},
		{"another run", 2, edit(`"run":{"id":"20260103T120000Z-000003"`, `"run":{"id":"20260104T120000Z-000003"`)},
		{"another base", 2, edit(`"base":{"id":"20260102T120000Z-000002"`, `"base":{"id":"20260102T120000Z-00000f"`)},
		{"a base that comes later", 1, edit(`"base":{"id":"20260101T120000Z-000001"`, `"base":{"id":"20260103T120000Z-000003"`)},
		{"a changed base", 0, edit(`"host":"Linux"`, `"host":"Linus"`)},
		{"hostile words", 2, edit(`"outcome":"hang"`, `"outcome":"\u001b[2J\u202e::set-output name=x::y"`)},
	} {
		t.Run(damage.name, func(t *testing.T) {
			folder := t.TempDir()
			path := write(t, folder)[damage.file]
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, damage.edit(data), 0o644))
			_, err = Load(folder)
			require.NotEmpty(t, schema.Problems(err), "%v", err)
			fmt.Fprintf(&told, "%s\n  %s\n", damage.name, strings.ReplaceAll(strings.ReplaceAll(err.Error(), folder+"/", ""), "\n", "\n  "))
			// Nothing is added to a history that can't be read, and nothing lost.
			_, err = Prepare(folder, runNamed(9, cellOf("g/f1", matrix.Pass)))
			require.NotEmpty(t, schema.Problems(err), "%v", err)
		})
	}
	golden(t, "damaged.txt", told.String())
}

func TestWhatIsNoneOfTheFilesIsNamed(t *testing.T) {
	for name, want := range map[string]string{
		"2026/notes.txt":                          "2026/notes.txt: no part of the history, whose files are named after runs, such as 20261125T181515Z-82b980.jsonl: remove it",
		"2026/20260101T120000Z-a.jsonl.orig":      "2026/20260101T120000Z-a.jsonl.orig: no part of the history, whose files are named after runs, such as 20261125T181515Z-82b980.jsonl: remove it",
		"2026/20250101T120000Z-a.jsonl":           "2026/20250101T120000Z-a.jsonl: it belongs into the folder 2025",
		"20260101T120000Z-a.jsonl":                "20260101T120000Z-a.jsonl: it is not in a folder of its year: move it there",
		"2026/.20260101T120000Z-a.jsonl.12345678": "",
		"history.go":                              "",
		"testdata/damaged.txt":                    "",
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o644))
			_, err := Load(folder)
			if want == "" {
				require.NoError(t, err)
				return
			}
			assert.EqualError(t, err, folder+"/"+want)
		})
	}
	history, err := Load(filepath.Join(t.TempDir(), "nowhere"))
	require.NoError(t, err)
	assert.Empty(t, history.Entries)
}

func TestNamesThatAreNoneAreNotKept(t *testing.T) {
	for name, change := range map[string]func(*results.Published){
		"a run's":       func(p *results.Published) { p.Run.ID = "../../../etc/passwd" },
		"a target's":    func(p *results.Published) { p.Cells[0].Target = "a/b" },
		"a client's":    func(p *results.Published) { p.Targets[0].Binding = "a/b" },
		"a feature's":   func(p *results.Published) { p.Cells[0].Feature = "f" },
		"a technique's": func(p *results.Published) { p.Cells[0].Technique = "" },
	} {
		t.Run(name, func(t *testing.T) {
			run := runNamed(1, cellOf("g/f", matrix.Pass))
			change(&run)
			addition, err := Prepare(t.TempDir(), run)
			require.Error(t, err)
			assert.Empty(t, addition.Path)
		})
	}
}

func TestAnEntryIsWholeOrNotThere(t *testing.T) {
	folder := t.TempDir()
	addition, err := Prepare(folder, runNamed(1, cellOf("g/f", matrix.Pass)))
	require.NoError(t, err)
	_, err = os.Stat(addition.Path)
	require.True(t, errors.Is(err, os.ErrNotExist), "preparing writes nothing")
	require.NoError(t, addition.Write())
	require.Len(t, load(t, folder).Entries, 1)
	require.NoError(t, Addition{}.Write(), "nothing to add")
}

// The newest entry of the project's own history is what is published.
func TestManyJoinOneRun(t *testing.T) {
	folder := t.TempDir()
	var ids []string
	joined := runNamed(1, cellOf("g/f", matrix.Crash))
	for range 12 {
		publish(t, folder, joined)
		ids = append(ids, idOf(joined.Run))
		joined.Run.Merged = append(slices.Clone(joined.Run.Merged), results.MergedRun{
			ID: fmt.Sprintf("20260101T13%04dZ-b", len(ids)), Tool: "v1", Finished: joined.Run.Finished, Plan: "sha256:p", Clients: 1, Cells: 1,
		})
	}
	publish(t, folder, runNamed(2, cellOf("g/f", matrix.Crash)))
	history := load(t, folder)
	require.Len(t, history.Entries, 13)
	for i, id := range ids {
		assert.Equal(t, id, history.Entries[i].ID)
		place, found := history.Find(id)
		assert.True(t, found)
		assert.Equal(t, i, place)
	}
}

func TestTheNewestEntryIsWhatIsPublished(t *testing.T) {
	published, err := results.ReadPublished("../published/latest.json")
	require.NoError(t, err)
	history := load(t, ".")
	require.NotEmpty(t, history.Entries)
	assert.Equal(t, text(t, SnapshotOf(published)), text(t, history.Snapshot(len(history.Entries)-1)))
}

// Every line that is written by hand is one that the schema takes, with every
// key that there is.
func TestWhatIsWrittenIsTaken(t *testing.T) {
	run := runNamed(1, cellOf("g/f", matrix.Crash))
	run.Cells[0].Signal = "SIGSEGV"
	run.Run.Repeat, run.Run.Partial, run.Run.Selection = 3, true, matrix.Selection{Targets: []string{"a"}}
	run.Run.Merged = []results.MergedRun{{ID: "20260101T130000Z-b", Tool: "v1", Finished: run.Run.Finished, Plan: "sha256:q", Clients: 1, Cells: 1}}
	run.Targets[0].NotRun, run.Targets[0].Error = "no licence", "no engine"
	run.Targets[0].Source = &matrix.Source{From: "/a", Folder: true, Revision: "r", Digest: "sha256:" + strings.Repeat("d", 64)}
	run.Targets[0].MeasuredBy = &results.Contributor{
		Name: "Ada", Key: "SHA256:" + strings.Repeat("A", 43), Run: "20260101T130000Z-c", Tool: "v1", Finished: run.Run.Finished, Runtime: "docker", Host: "Linux",
	}
	for number, line := range strings.Split(strings.TrimSpace(text(t, SnapshotOf(run))), "\n") {
		assert.NoError(t, schema.CheckLine(schema.History, "f", number+1, []byte(line)), line)
	}
	for _, line := range []string{`{"feature":"g/f","gone":true}`, `{"client":"a@one/ffi","gone":true}`, `{"cell":"a@one/ffi/g/f/plain","gone":true}`} {
		assert.NoError(t, schema.CheckLine(schema.History, "f", 1, []byte(line)), line)
	}
	for _, line := range []string{
		`{}`, `{"feature":"g/f"}`, `{"client":"a@one"}`, `{"end":{"lines":1,"features":0,"clients":0,"cells":0}}`, `{"feature":"g/f","version":1,"gone":true}`, `{"feature":"g/f","version":1,"end":{"lines":2,"features":0,"clients":0,"cells":0}}`,
	} {
		assert.Error(t, schema.CheckLine(schema.History, "f", 1, []byte(line)), line)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), got, "%s differs; if that is meant, run the test with -update", path)
}
