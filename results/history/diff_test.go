package history

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

func TestDiff(t *testing.T) {
	with := func(cell results.Cell, change func(*results.Cell)) results.Cell { change(&cell); return cell }
	absent := results.Cell{}
	for _, test := range []struct {
		name          string
		before, after results.Cell
		want          Kind // "": no change
		ofVerdict     bool
	}{
		{"passes as before", cellOf("g/f", matrix.Pass), cellOf("g/f", matrix.Pass), "", false},
		{"red as before", cellOf("g/f", matrix.Crash), cellOf("g/f", matrix.Crash), "", false},
		{"another rate is no change", cellOf("g/f", matrix.Flaky), with(cellOf("g/f", matrix.Flaky), func(c *results.Cell) { c.Passes, c.Attempts = 7, 20 }), "", false},
		{"passed and crashes is broken", cellOf("g/f", matrix.Pass), cellOf("g/f", matrix.Crash), Broken, true},
		{"passed and is unsupported is broken", cellOf("g/f", matrix.Pass), cellOf("g/f", matrix.Unsupported), Broken, true},
		{"passed and is flaky is broken", cellOf("g/f", matrix.Pass), cellOf("g/f", matrix.Flaky), Broken, true},
		{"hung and passes is mended", cellOf("g/f", matrix.Hang), cellOf("g/f", matrix.Pass), Mended, true},
		{"red otherwise", cellOf("g/f", matrix.Hang), cellOf("g/f", matrix.Crash), ReasonChanged, true},
		{"red in another layer", cellOf("g/f", matrix.Fail), with(cellOf("g/f", matrix.Fail), func(c *results.Cell) { c.Layer = matrix.LayerBinding }), ReasonChanged, true},
		{"red in other words", cellOf("g/f", matrix.Fail), with(cellOf("g/f", matrix.Fail), func(c *results.Cell) { c.Reason = "why else" }), ReasonChanged, false},
		{"dead of another signal", with(cellOf("g/f", matrix.Crash), func(c *results.Cell) { c.Signal = "SIGSEGV" }), with(cellOf("g/f", matrix.Crash), func(c *results.Cell) { c.Signal = "SIGBUS" }), ReasonChanged, false},
		{"passes in other words", cellOf("g/f", matrix.Pass), with(cellOf("g/f", matrix.Pass), func(c *results.Cell) { c.Reason = "in foreign memory" }), ReasonChanged, false},
		{"not there before is new", absent, cellOf("g/f", matrix.Fail), New, true},
		{"not run before is new", cellOf("g/f", matrix.NotRun), cellOf("g/f", matrix.Pass), New, true},
		{"an error before is new", cellOf("g/f", matrix.Error), cellOf("g/f", matrix.Pass), New, true},
		{"not there any more is gone", cellOf("g/f", matrix.Pass), absent, Gone, true},
		{"not run any more is gone", cellOf("g/f", matrix.Pass), cellOf("g/f", matrix.NotRun), Gone, true},
		{"an error is gone", cellOf("g/f", matrix.Crash), cellOf("g/f", matrix.Error), Gone, true},
		{"an error, then not run, says nothing", cellOf("g/f", matrix.Error), cellOf("g/f", matrix.NotRun), "", false},
		{"never run says nothing", cellOf("g/f", matrix.NotRun), absent, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(day int, cell results.Cell) Snapshot {
				if cell == absent {
					return SnapshotOf(runNamed(day, cellOf("g/other", matrix.Pass)))
				}
				return SnapshotOf(runNamed(day, cellOf("g/other", matrix.Pass), cell))
			}
			before, after := run(1, test.before), run(2, test.after)
			changes := Diff(before, after)
			if test.want == "" {
				assert.Empty(t, changes)
				return
			}
			require.Len(t, changes, 1)
			assert.Equal(t, test.want, changes[0].Kind)
			assert.Equal(t, named("g/f"), changes[0].Cell)
			assert.Equal(t, test.ofVerdict, changes[0].OfVerdict())
			assert.Equal(t, test.want == New, changes[0].Before == nil)
			assert.Equal(t, test.want == Gone, changes[0].After == nil)
			assert.Equal(t, [2]string{before.ID, after.ID}, [2]string{changes[0].Until, changes[0].Since})
			assert.Empty(t, changes[0].Else)
			back := Diff(after, before)
			require.Len(t, back, 1)
			assert.Equal(t, map[Kind]Kind{Broken: Mended, Mended: Broken, New: Gone, Gone: New, ReasonChanged: ReasonChanged}[test.want], back[0].Kind, "the other way round")
		})
	}
}

func TestEachChangeSaysWhatElseDiffers(t *testing.T) {
	before, after := runNamed(1, cellOf("g/f", matrix.Pass)), runNamed(2, cellOf("g/f", matrix.Crash))
	for _, test := range []struct {
		what   string
		change func(*results.Published)
		want   string
	}{
		{"nothing", func(*results.Published) {}, ""},
		{"implementation", func(p *results.Published) { p.Targets[0].Version = "2.3.0" }, "implementation: 2.2.9, then 2.3.0"},
		{"binding", func(p *results.Published) { p.Targets[0].BindingVersion = "2" }, "binding: 1, then 2"},
		{"source", func(p *results.Published) {
			p.Targets[0].Source = &matrix.Source{From: "/src/x", Folder: true, Revision: "abc-dirty", Digest: "sha256:d"}
		}, "source: none, then from the folder /src/x, revision abc-dirty, source digest sha256:d"},
		{"libzmq", func(p *results.Published) { p.Targets[0].Libzmq = "4.3.5" }, "libzmq: 4.3.4, then 4.3.5"},
		{"image", func(p *results.Published) { p.Targets[0].Image = "sha256:" + strings.Repeat("0123456789abcdef", 4) }, "image: sha256:i, then sha256:0123456789ab…"},
		{"feature", func(p *results.Published) { p.Features[0].Version = 2 }, "feature version: 1, then 2"},
		{"tool", func(p *results.Published) { p.Run.Tool = "v2" }, "tool: v1, then v2"},
		{"runtime", func(p *results.Published) { p.Run.Runtime = "local" }, "runtime: docker, then local"},
		{"host", func(p *results.Published) { p.Run.Host = "Linux 6" }, "host: Linux, then Linux 6"},
		{"cores", func(p *results.Published) { p.Run.Cores = 64 }, "cores: 2, then 64"},
		{"engine", func(p *results.Published) { p.Run.Engine = "docker 2" }, "engine: docker 1, then docker 2"},
		{"endpoint", func(p *results.Published) { p.Run.Endpoint = "sha256:f" }, "endpoint: sha256:e, then sha256:f"},
		{"seed", func(p *results.Published) { p.Run.Seed = 8 }, "seed: 7, then 8"},
		{"a joined run's seed", func(p *results.Published) { p.Run.Merged = []results.MergedRun{{ID: "x"}} }, "seed: 7, then 7, or a joined run's"},
		{"a contributor", func(p *results.Published) {
			p.Targets[0].MeasuredBy = &results.Contributor{Name: "Ada\x1b[2J", Key: "SHA256:k", Tool: "v3", Runtime: "docker", Host: "Linux"}
		}, `measured by: none, then Ada\x1b[2J, key SHA256:k
tool: v1, then v3
cores: 2, then not known
engine: docker 1, then not known
endpoint: sha256:e, then not known
seed: 7, then not known`},
	} {
		t.Run(test.what, func(t *testing.T) {
			changed := after
			changed.Targets = append([]results.Client{}, after.Targets...)
			changed.Features = append([]results.Feature{}, after.Features...)
			test.change(&changed)
			changes := Diff(SnapshotOf(before), SnapshotOf(changed))
			require.Len(t, changes, 1)
			var told []string
			for _, difference := range changes[0].Else {
				told = append(told, difference.Text())
			}
			assert.Equal(t, test.want, strings.Join(told, "\n"))
		})
	}
}

func TestDiffIsInTheOrderOfKindsAndNames(t *testing.T) {
	before := SnapshotOf(runNamed(1, cellOf("g/z", matrix.Pass), cellOf("g/b", matrix.Pass), cellOf("g/m", matrix.Fail), cellOf("g/gone", matrix.Fail)))
	after := SnapshotOf(runNamed(2, cellOf("g/z", matrix.Fail), cellOf("g/b", matrix.Fail), cellOf("g/m", matrix.Pass), cellOf("g/new", matrix.Pass)))
	var order []string
	changes := Diff(before, after)
	for _, change := range changes {
		order = append(order, string(change.Kind)+" "+change.Feature)
	}
	assert.Equal(t, []string{"broken g/b", "broken g/z", "mended g/m", "new g/new", "gone g/gone"}, order)
	assert.Equal(t, "2 broken, 1 mended, 1 new, 1 gone", Summary(changes))
	assert.Equal(t, "nothing changed", Summary(Diff(after, after)))
	data, err := json.Marshal(Diff(after, after))
	require.NoError(t, err)
	assert.Equal(t, "[]", string(data))
}

func TestWhatDiffersEverywhereIsToldOnce(t *testing.T) {
	before, after := runNamed(1, cellOf("g/f", matrix.Pass), cellOf("g/g", matrix.Pass)), runNamed(2, cellOf("g/f", matrix.Fail), cellOf("g/g", matrix.Fail), cellOf("g/new", matrix.Fail))
	before.Cells[1].Target, after.Cells[1].Target = "b@one", "b@one"
	before.Targets = append(before.Targets, results.Client{Target: "b@one", Binding: "ffi", Libzmq: "4.3.4"})
	after.Targets = append(after.Targets, results.Client{Target: "b@one", Binding: "ffi", Libzmq: "4.3.5"})
	after.Run.Seed = 8
	common, own := Common(Diff(SnapshotOf(before), SnapshotOf(after)))
	assert.Equal(t, []Difference{{"seed", "7", "8"}}, common)
	require.Len(t, own, 3)
	assert.Empty(t, own[0].Else)
	assert.Equal(t, []Difference{{"libzmq", "4.3.4", "4.3.5"}}, own[1].Else)
	common, _ = Common(nil)
	assert.Empty(t, common)
}

func TestRunsDisagree(t *testing.T) {
	cell := func(feature string, outcome matrix.Outcome, layer matrix.Layer, passes, attempts int) results.Cell {
		cell := cellOf(feature, outcome)
		cell.Layer, cell.Passes, cell.Attempts = layer, passes, attempts
		return cell
	}
	same := cell("g/same", matrix.Pass, "", 1, 1)
	first := Sample{Snapshot: SnapshotOf(runNamed(1, same, cell("g/rate", matrix.Flaky, "runtime", 19, 20), cell("g/outcome", matrix.Pass, "", 11, 11), cell("g/layer", matrix.Fail, "runtime", 0, 3)))}
	second := Sample{Snapshot: SnapshotOf(runNamed(2, same, cell("g/rate", matrix.Flaky, "runtime", 3, 20), cell("g/outcome", matrix.Flaky, "runtime", 19, 20), cell("g/layer", matrix.Fail, "", 0, 3), cell("g/new", matrix.Pass, "", 1, 1)))}

	var texts []string
	for _, disagreement := range Disagreements(first, second, first) {
		assert.False(t, disagreement.Chance)
		texts = append(texts, disagreement.Text())
	}
	assert.Equal(t, []string{
		"a@one/ffi/g/layer/plain: fail (0 of 3 passed), then fail (0 of 3 passed), then fail (0 of 3 passed)",
		"a@one/ffi/g/new/plain: no verdict, then pass (1 of 1 passed), then no verdict",
		"a@one/ffi/g/outcome/plain: pass (11 of 11 passed), then flaky (19 of 20 passed), then pass (11 of 11 passed)",
	}, texts)
	assert.Empty(t, Disagreements(first, first, first))
	assert.Empty(t, Disagreements(first))
	assert.Empty(t, Disagreements())
}

// Where a cell is unsound in every run, the way in which it ended may be chance.
// Nothing else may.
func TestWhatChanceExplains(t *testing.T) {
	type ended = map[matrix.Outcome]int
	for name, test := range map[string]struct {
		before, after           matrix.Outcome
		beforeEnded, afterEnded ended
		layer                   matrix.Layer // after
		want                    bool
	}{
		"one pass in twenty":          {matrix.Crash, matrix.Flaky, ended{matrix.Crash: 11}, ended{matrix.Crash: 19, matrix.Pass: 1}, "runtime", true},
		"the other most frequent":     {matrix.Fail, matrix.Crash, ended{matrix.Fail: 6, matrix.Crash: 5}, ended{matrix.Fail: 4, matrix.Crash: 7}, "runtime", true},
		"too few to tell":             {matrix.Fail, matrix.Crash, ended{matrix.Fail: 3}, ended{matrix.Crash: 3}, "runtime", true},
		"it always ends otherwise":    {matrix.Fail, matrix.Crash, ended{matrix.Fail: 11}, ended{matrix.Crash: 11}, "runtime", false},
		"it nearly always passes":     {matrix.Crash, matrix.Flaky, ended{matrix.Crash: 11}, ended{matrix.Crash: 1, matrix.Pass: 19}, "runtime", false},
		"another layer":               {matrix.Fail, matrix.Crash, ended{matrix.Fail: 6, matrix.Crash: 5}, ended{matrix.Fail: 4, matrix.Crash: 7}, "binding", false},
		"a pass is a statement":       {matrix.Pass, matrix.Flaky, ended{matrix.Pass: 11}, ended{matrix.Pass: 19, matrix.Crash: 1}, "runtime", false},
		"unsupported is, too":         {matrix.Unsupported, matrix.Crash, ended{matrix.Unsupported: 1}, ended{matrix.Crash: 3}, "runtime", false},
		"an error says nothing":       {matrix.Crash, matrix.Error, ended{matrix.Crash: 3}, ended{matrix.Error: 3}, "runtime", false},
		"attempts that are not there": {matrix.Fail, matrix.Crash, nil, ended{matrix.Crash: 3}, "runtime", false},
	} {
		t.Run(name, func(t *testing.T) {
			sample := func(day int, outcome matrix.Outcome, layer matrix.Layer, endings ended) Sample {
				cell := cellOf("g/f", outcome)
				cell.Layer = layer
				return Sample{SnapshotOf(runNamed(day, cell)), map[matrix.Cell]map[matrix.Outcome]int{cell.Key(): endings}}
			}
			found := Disagreements(sample(1, test.before, "runtime", test.beforeEnded), sample(2, test.after, test.layer, test.afterEnded))
			require.Len(t, found, 1)
			assert.Equal(t, test.want, found[0].Chance)
			if test.after != matrix.Error {
				assert.Equal(t, test.afterEnded, found[0].Verdicts[1].Endings)
			}
		})
	}
}

func TestFishersExactTest(t *testing.T) {
	// His tea, and all against none.
	assert.InDelta(t, 0.4857, fisher(3, 4, 1, 4), 1e-4)
	assert.InDelta(t, 2.0/705432, fisher(11, 11, 0, 11), 1e-12)
	assert.InDelta(t, 1, fisher(0, 3, 0, 20), 1e-6)
}

func TestChangesOfACellOverTime(t *testing.T) {
	folder := t.TempDir()
	for day, outcome := range map[int]matrix.Outcome{
		1: matrix.Fail, 2: matrix.Fail, 3: matrix.Pass, 4: matrix.NotRun, 5: matrix.Error, 6: matrix.Crash, 7: matrix.NotRun, 8: matrix.Crash, 9: matrix.Crash,
	} {
		run := runNamed(day, cellOf("g/f", outcome), cellOf("g/other", matrix.Pass))
		if day >= 8 {
			run.Cells[0].Reason = "in other words"
		}
		run.Targets[0].Image = map[bool]string{true: "sha256:old", false: "sha256:new"}[day < 6]
		publish(t, folder, run)
	}
	// A rate alone is kept, and no change.
	last := runNamed(10, cellOf("g/f", matrix.Crash), cellOf("g/other", matrix.Pass))
	last.Targets[0].Image = "sha256:new"
	last.Cells[0].Attempts, last.Cells[0].Reason = 20, "in other words"
	publish(t, folder, last)
	history := load(t, folder)
	var told []string
	for _, change := range history.Changes(named("g/f")) {
		line := strings.Join([]string{change.Until, change.Since, string(change.Kind), change.Verdicts()}, " | ")
		for _, difference := range change.Else {
			line += " | " + difference.Text()
		}
		told = append(told, line)
	}
	assert.Equal(t, []string{
		" | 20260101T120000Z-000001 | new | fail (0 of 3 passed), layer runtime: it is fail",
		"20260102T120000Z-000002 | 20260103T120000Z-000003 | mended | fail (0 of 3 passed), layer runtime: it is fail, then pass (3 of 3 passed)",
		"20260103T120000Z-000003 | 20260104T120000Z-000004 | gone | pass (3 of 3 passed), then nothing said",
		"20260103T120000Z-000003 | 20260106T120000Z-000006 | broken | pass (3 of 3 passed), then crash (0 of 3 passed), layer runtime: it is crash | image: sha256:old, then sha256:new",
		"20260106T120000Z-000006 | 20260107T120000Z-000007 | gone | crash (0 of 3 passed), layer runtime: it is crash, then nothing said",
		"20260106T120000Z-000006 | 20260108T120000Z-000008 | new | again crash (0 of 3 passed), layer runtime: in other words",
	}, told)
	assert.Empty(t, history.Changes(named("g/never")))
	assert.Equal(t, []matrix.Cell{named("g/f"), named("g/other")}, history.Cells())

	byEntry := history.ChangesByEntry()
	require.Len(t, byEntry, 10)
	var counts []string
	for _, changes := range byEntry {
		counts = append(counts, Summary(changes))
	}
	assert.Equal(t, []string{"2 new", "nothing changed", "1 mended", "1 gone", "nothing changed", "1 broken", "1 gone", "1 new", "nothing changed", "nothing changed"}, counts)
}

// What programs are given is what the schemas say, with every key.
func TestTheJSONForProgramsIsOfItsSchema(t *testing.T) {
	folder := t.TempDir()
	before, after := runNamed(1, cellOf("g/f", matrix.Pass), cellOf("g/gone", matrix.Fail)), runNamed(2, cellOf("g/f", matrix.Crash), cellOf("g/new", matrix.Pass))
	after.Cells[0].Signal = "SIGSEGV"
	after.Run.Tool, after.Run.Runtime, after.Run.Host, after.Run.Cores, after.Run.Engine, after.Run.Endpoint, after.Run.Seed = "v2", "local", "BSD", 1, "none", "sha256:f", 8
	after.Features[0].Version = 2
	after.Targets[0] = results.Client{
		Target: "a@one", Binding: "ffi", Version: "3", BindingVersion: "2", Libzmq: "4.3.5", Image: "sha256:j", Source: &matrix.Source{From: "a"}, MeasuredBy: nil,
	}
	publish(t, folder, before)
	comparison := Compare(SnapshotOf(before), SnapshotOf(after))
	assert.Equal(t, 3, comparison.Differ)
	require.Len(t, comparison.Changes[0].Else, 13, "all but who measured it")
	data, err := json.Marshal(comparison)
	require.NoError(t, err)
	assert.NoError(t, schema.CheckJSON(schema.Diff, "diff.json", data))

	after.Targets[0].Source = nil
	publish(t, folder, after)
	history := load(t, folder)
	lines := history.Timelines(history.Cells()...)
	require.Len(t, lines.Cells, 3)
	data, err = json.Marshal(lines)
	require.NoError(t, err)
	assert.NoError(t, schema.CheckJSON(schema.Timelines, "timelines.json", data))
	data, err = json.Marshal(history.Timelines())
	require.NoError(t, err)
	assert.NoError(t, schema.CheckJSON(schema.Timelines, "timelines.json", data))
	err = schema.CheckJSON(schema.Diff, "diff.json", []byte(`{"schema":"zmqmatrix/diff/v1","before":{},"after":{},"differ":-1,"changes":[{"kind":"worse"}]}`))
	assert.GreaterOrEqual(t, len(schema.Problems(err)), 8, "%v", err)
}

func TestAHostileCellIsToldInOneVisibleLine(t *testing.T) {
	cell := cellOf("g/\x1b[2J\u202e##[add-mask]", matrix.Fail)
	cell.Reason = "::set-output name=a::b\n\x1b[31m" + strings.Repeat("x", 10_000)
	change := Diff(SnapshotOf(runNamed(1)), SnapshotOf(runNamed(2, cell)))[0]
	for _, text := range []string{change.Text(), change.After.Text(), Difference{"image", "\x1b[2J", "\n::x::"}.Text()} {
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "\u202e")
		assert.NotContains(t, text, "\n")
		assert.NotContains(t, text, "##[")
		assert.NotRegexp(t, `(^|\s)::`, text)
		assert.Less(t, len(text), 2500)
	}
}
