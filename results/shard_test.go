package results

import (
	"fmt"
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
)

// shardsOf cuts the sample's plan.
func shardsOf(t *testing.T, count int, seconds map[string]int) (matrix.Plan, []matrix.Shard) {
	t.Helper()
	_, plan := sampleHeader(t, matrix.Selection{})
	lengths := map[matrix.Client]time.Duration{}
	for _, client := range plan.Clients {
		lengths[client.Client()] = time.Duration(seconds[client.Client().Target]) * time.Second
	}
	shards, err := plan.Divide(count, lengths)
	require.NoError(t, err)
	return plan, shards
}

// shardLines are the sample's lines as a run of the shard has them.
func shardLines(t *testing.T, plan matrix.Plan, shard matrix.Shard) []matrix.Line {
	t.Helper()
	part, err := plan.Part(shard)
	require.NoError(t, err)
	in := map[matrix.Client]bool{}
	for _, client := range part.Clients {
		in[client.Client()] = true
	}
	var lines []matrix.Line
	for _, line := range sampleLines(t, matrix.Selection{}) {
		switch {
		case line.Header != nil:
			header := *line.Header
			header.Run, header.Shard, header.Cells = fmt.Sprintf("shard-%d", shard.Index), &shard, part.Cells
			line.Header = &header
		case line.Client != nil && !in[line.Client.Client],
			line.Attempt != nil && !in[line.Attempt.Evidence.Cell.Client()],
			line.Verdict != nil && !in[line.Verdict.Cell.Client()]:
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// writeShard writes the published results of a shard, changed.
func writeShard(t *testing.T, plan matrix.Plan, shard matrix.Shard, change func(*Published)) string {
	t.Helper()
	published, err := publishLines(t, shardLines(t, plan, shard))
	require.NoError(t, err)
	if change != nil {
		change(&published)
	}
	path := filepath.Join(t.TempDir(), published.Run.ID+".json")
	require.NoError(t, WritePublished(path, published))
	return path
}

var sampleMerger = Merger{Catalogue: sampleFeatures, Targets: sampleTargets}

func TestAllShardsAreTheWholeRun(t *testing.T) {
	plan, shards := shardsOf(t, 3, map[string]int{"slow@one": 9, "quick@one": 4})
	whole := samplePublished(t)
	apart := func(published *Published) { published.Run.Seed, published.Run.Host = 99, "another machine" }
	bound := func(published *Published) { published.Run.Bound = &matrix.Bound{Longest: "slow@one/ffi", Cores: 2} }
	first, second, third := writeShard(t, plan, shards[0], bound), writeShard(t, plan, shards[1], apart), writeRecord(t, shardLines(t, plan, shards[2]))
	merged, err := sampleMerger.Merge([]string{third, second, first}, nil)
	require.NoError(t, err)

	encoded, err := merged.encode()
	require.NoError(t, err)
	require.NoError(t, schema.CheckJSON(schema.Published, "merged.json", encoded))
	for _, cells := range [][]Cell{whole.Cells, merged.Cells} {
		for i := range cells {
			if cells[i].Evidence != nil {
				evidence := *cells[i].Evidence
				evidence.Run = ""
				cells[i].Evidence = &evidence
			}
		}
	}
	assert.Equal(t, whole.Cells, merged.Cells)
	assert.Equal(t, whole.Targets, merged.Targets)
	assert.Equal(t, whole.Features, merged.Features)
	assert.Equal(t, whole.Best, merged.Best)
	assert.Equal(t, whole.Ranges, merged.Ranges)
	assert.Equal(t, whole.Controls, merged.Controls)

	want := whole.Run
	want.ID, want.Bound = "shard-1", nil
	seed := uint64(99)
	want.Merged = []MergedRun{
		{ID: "shard-2", Clients: 2, Shard: "2/3", Seed: &seed, Host: "another machine"},
		{ID: "shard-3", Clients: 1, Shard: "3/3"},
	}
	for i := range want.Merged {
		taken := &want.Merged[i]
		taken.Tool, taken.Finished, taken.Plan = want.Tool, want.Finished, want.Plan
		for _, cell := range whole.Cells {
			if cell.Target == shards[i+1].Targets[0] {
				taken.Cells++
			}
		}
	}
	assert.Equal(t, want, merged.Run, "a full run, and from which runs it is")

	t.Run("it replaces a full one, and no shard does", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "latest.json")
		require.NoError(t, WritePublished(path, samplePublished(t)))
		require.NoError(t, WritePublished(path, merged))
		for _, file := range []string{first, second} {
			shard, err := ReadPublished(file)
			require.NoError(t, err)
			assert.True(t, shard.Run.Partial)
			err = WritePublished(path, shard)
			require.ErrorIs(t, err, ErrPartial)
			assert.ErrorContains(t, err, "is shard "+shard.Run.Shard.String())
			assert.Contains(t, Terminal(shard, TerminalOptions{}), "only shard "+shard.Run.Shard.String())
			page, err := Page(shard)
			require.NoError(t, err)
			assert.Contains(t, string(page), "only shard "+shard.Run.Shard.String()+" of a plan was run")
		}
	})
	t.Run("one shard is all of it, too", func(t *testing.T) {
		plan, shards := shardsOf(t, 1, nil)
		merged, err := sampleMerger.Merge([]string{writeShard(t, plan, shards[0], nil)}, nil)
		require.NoError(t, err)
		assert.False(t, merged.Run.Partial)
		assert.Nil(t, merged.Run.Shard)
	})
	t.Run("they join other results of ours", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own.json")
		require.NoError(t, WritePublished(path, samplePublished(t)))
		merged, err := sampleMerger.Merge([]string{first, path, second, third}, nil)
		require.NoError(t, err)
		assert.Equal(t, "shard-1", merged.Run.ID)
	})
}

func TestAMergeCountsWhatWasReused(t *testing.T) {
	plan, shards := shardsOf(t, 3, nil)
	var paths []string
	reused := 0
	for _, shard := range shards {
		lines := shardLines(t, plan, shard)
		for i, line := range lines {
			if line.Attempt != nil && line.Attempt.Evidence.Cell.Feature == "messaging/req-rep" && !line.Attempt.Traced {
				attempt := *line.Attempt
				attempt.ReusedFrom = "an-earlier-run"
				lines[i].Attempt = &attempt
			}
		}
		paths = append(paths, writeRecord(t, lines))
	}
	merged, err := sampleMerger.Merge(paths, nil)
	require.NoError(t, err)
	for _, cell := range merged.Cells {
		if cell.Feature == "messaging/req-rep" {
			reused += cell.Reused
		} else {
			assert.Zero(t, cell.Reused, cell.Key())
		}
	}
	assert.Positive(t, reused)
	assert.Equal(t, reused, merged.Run.Reused, "the controls of further shards do not count")
}

func TestShardsThatAreNotTheWholeAreRefused(t *testing.T) {
	plan, shards := shardsOf(t, 3, map[string]int{"slow@one": 9, "quick@one": 4}) // slow | quick | vendor
	_, otherwise := shardsOf(t, 3, map[string]int{"quick@one": 9, "slow@one": 5}) // quick | slow | vendor
	_, fewer := shardsOf(t, 2, map[string]int{"slow@one": 9, "quick@one": 4})     // slow | quick vendor
	write := func(shard matrix.Shard, change func(*Published)) func(*testing.T) string {
		return func(t *testing.T) string { return writeShard(t, plan, shard, change) }
	}
	all := func(second, third func(*testing.T) string) []func(*testing.T) string {
		return []func(*testing.T) string{write(shards[0], nil), second, third}
	}
	second, third := write(shards[1], nil), write(shards[2], nil)
	for name, test := range map[string]struct {
		files []func(*testing.T) string
		want  error
		says  []string
	}{
		"one shard twice": {append(all(second, third), second), ErrOverlap, []string{"shard-2.json", "shard 2/3 has quick@one, and so has shard 2/3 in", "leave one of them out"}},
		"one missing":     {all(second, third)[:2], ErrMissing, []string{"3/3 of the plan " + plan.Digest, "no file has vendor@one"}},
		"two missing":     {[]func(*testing.T) string{third}, ErrMissing, []string{"1/3, 2/3 of the plan", "no file has quick@one, slow@one"}},
		"of another cut, with an overlap": {all(write(otherwise[1], nil), third), ErrOverlap,
			[]string{"shard 2/3 has slow@one, and so has shard 1/3 in", "cut by different durations", "--durations"}},
		"of another cut, with a gap": {[]func(*testing.T) string{third, write(fewer[0], nil)}, ErrMissing,
			[]string{"no file has quick@one", "cut by different durations"}},
		"of another cut that fits by chance": {all(second, write(otherwise[2], nil)), ErrOtherDivision, []string{"shard-3.json", "shard 3/3 is of " + otherwise[2].Division, "the targets of all files make " + shards[0].Division}},
		"a division that is made up": {[]func(*testing.T) string{
			write(shards[0], func(p *Published) { p.Run.Shard.Division = "made up" }),
			write(shards[1], func(p *Published) { p.Run.Shard.Division = "made up" }),
			write(shards[2], func(p *Published) { p.Run.Shard.Division = "made up" }),
		}, ErrOtherDivision, []string{"made up", plan.Division(shards)}},
		"more shards than there can be": {all(second, write(shards[2], func(p *Published) { p.Run.Shard.Count = 1 << 40 })), ErrOtherDivision,
			[]string{"shard-3.json", "shard 3/1099511627776, and the plan can be cut into 3 at most"}},
		"another plan": {all(second, func(t *testing.T) string {
			published, err := publishLines(t, sampleLines(t, matrix.Selection{Targets: []string{"vendor"}}))
			require.NoError(t, err)
			published.Run.Shard = &shards[2]
			path := filepath.Join(t.TempDir(), "vendor.json")
			require.NoError(t, WritePublished(path, published))
			return path
		}), ErrOtherPlan, []string{"vendor.json", "shard 3/3 is of the plan sha256:", "and shard 1/3 in", "the same selection"}},
		"a plan of other days": {[]func(*testing.T) string{
			write(shards[0], func(p *Published) { p.Run.Plan = "sha256:old" }), write(shards[1], func(p *Published) { p.Run.Plan = "sha256:old" }), write(shards[2], func(p *Published) { p.Run.Plan = "sha256:old" }),
		}, ErrOtherPlan, []string{"its plan is sha256:old, today's is " + plan.Digest}},
		"another version": {all(second, write(shards[2], func(p *Published) { p.Run.Tool = "v9" })), ErrOtherTool, []string{"shard-3.json", "run shard-3 by v9", "run shard-1 by v0-test"}},
		"another runtime": {all(second, write(shards[2], func(p *Published) { p.Run.Runtime = "docker" })), ErrOtherWay, []string{"shard-3.json", "its runtime is docker, and fake"}},
		"other repeats":   {all(second, write(shards[2], func(p *Published) { p.Run.Repeat = 4 })), ErrOtherWay, []string{"shard-3.json", "its --repeat is 4, and 0"}},
		"another source of a binding": {all(write(shards[1], func(p *Published) {
			for i := range p.Targets {
				if p.Targets[i].Target == "quick@one" {
					p.Targets[i].Source = &matrix.Source{From: "/src", Folder: true, Digest: "sha256:" + strings.Repeat("b", 64)}
				}
			}
		}), third), ErrOtherWay, []string{"shard-2.json", "the binding ffi of quick@one is sha256:bbbb", "and of slow@one from no folder"}},
		"a verdict that is gone": {all(write(shards[1], func(p *Published) { p.Cells = p.Cells[:len(p.Cells)-1] }), third), ErrMissing,
			[]string{"shard-2.json", "shard 2/3 has no verdict on quick@one/zed/messaging/req-rep/plain"}},
		"a verdict of another shard": {all(write(shards[1], func(p *Published) {
			p.Cells = append(p.Cells, cellOf(t, samplePublished(t), "slow@one/ffi/messaging/req-rep/plain"))
		}), third), ErrOverlap,
			[]string{"shard-2.json", "a verdict on slow@one/ffi/messaging/req-rep/plain, which is not in it"}},
		"a target that there is not": {all(second, write(shards[2], func(p *Published) { p.Run.Shard.Targets = append(p.Run.Shard.Targets, "quicker@one") })), ErrOtherDivision, []string{"shard 1/3 is of " + shards[0].Division}},
		"a wrong control":            {all(second, write(shards[2], func(p *Published) { p.Controls[0].Outcome = matrix.Fail })), ErrMisjudged, []string{"shard-3.json"}},
		"a control that is gone":     {all(second, write(shards[2], func(p *Published) { p.Controls = p.Controls[1:] })), ErrMisjudged, []string{"shard-3.json", "the control c@one/libzmq/callback/io-thread-gc/plain is not among those of shard 3/3"}},
		"a control that came to something else": {all(second, write(shards[2], func(p *Published) { p.Cells[0].Outcome, p.Cells[0].Reason = matrix.Fail, "made up" })), ErrDisagree,
			[]string{"shard-3.json", "c@one/libzmq/callback/same-thread/plain is fail here and pass"}},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, file := range test.files {
				paths = append(paths, file(t))
			}
			_, err := sampleMerger.Merge(paths, nil)
			require.Error(t, err)
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
			}
			for _, says := range test.says {
				assert.Contains(t, err.Error(), says)
			}
		})
	}
}

func TestEveryShardMustHaveTheNegativeControls(t *testing.T) {
	plan, shards := shardsOf(t, 2, nil)
	liar := sampleTargets[1]
	liar.Name, liar.Role = "liar", matrix.RoleNegativeControl
	liar.Expect = []matrix.Expectation{{Binding: "ffi", Feature: "messaging/req-rep", Technique: "by-words", Outcome: matrix.Fail}}
	merger := Merger{Catalogue: sampleFeatures, Targets: append(slices.Clone(sampleTargets), liar)}
	held := func(published *Published) {
		published.Controls = append(published.Controls, matrix.ControlResult{Name: "liar@one/ffi/messaging/req-rep/by-words", Expected: matrix.Fail, Outcome: matrix.Fail})
	}
	first := writeShard(t, plan, shards[0], held)
	_, err := merger.Merge([]string{first, writeShard(t, plan, shards[1], nil)}, nil)
	require.ErrorIs(t, err, ErrMisjudged)
	assert.ErrorContains(t, err, "shard-2.json")
	assert.ErrorContains(t, err, "the control liar@one/ffi/messaging/req-rep/by-words is not among those of shard 2/2")
	merged, err := merger.Merge([]string{first, writeShard(t, plan, shards[1], held)}, nil)
	require.NoError(t, err)
	assert.Len(t, merged.Controls, len(samplePublished(t).Controls)+1, "counted once")
}

func TestARecordOfAShardIsHeldToItsPart(t *testing.T) {
	plan, shards := shardsOf(t, 3, nil)
	lines := shardLines(t, plan, shards[0])
	published, err := publishLines(t, lines)
	require.NoError(t, err)
	require.NotNil(t, published.Run.Shard)
	assert.Equal(t, shards[0], *published.Run.Shard)
	assert.True(t, published.Run.Partial)
	header := *lines[0].Header
	header.Shard = &matrix.Shard{Index: 1, Count: 3, Division: shards[0].Division, Targets: []string{"gone@one"}}
	lines[0].Header = &header
	_, err = publishLines(t, lines)
	require.ErrorIs(t, err, ErrOtherPlan)
	assert.ErrorContains(t, err, "shard 1/3 has gone@one, which the plan can't be cut by")
}

func TestDurationsOf(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	record := writeRecord(t, lines)
	path := filepath.Join(t.TempDir(), "published.json")
	require.NoError(t, WritePublished(path, samplePublished(t)))
	crashed := matrix.Cell{Target: "quick@one", Binding: "ffi", Feature: "callback/io-thread-gc", Technique: "plain"}
	attempts := time.Duration(cellOf(t, samplePublished(t), crashed.String()).Attempts)
	require.Greater(t, attempts, time.Duration(1))
	for file, each := range map[string]time.Duration{
		record: 15 * time.Millisecond,    // of the slowest
		path:   12500 * time.Microsecond, // of the one that is shown
	} {
		durations, err := DurationsOf(file)
		require.NoError(t, err)
		assert.Equal(t, attempts*each, durations[crashed])
		assert.Zero(t, durations[matrix.Cell{Target: "vendor@one", Binding: "ffi", Feature: "messaging/req-rep", Technique: "plain"}], "what was not run took no time")
	}
	data, err := os.ReadFile(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(record, append(data[:len(data)/2:len(data)/2], "\n{}\n"...), 0o644))
	durations, err := DurationsOf(record)
	require.Error(t, err)
	assert.NotEmpty(t, durations, "what stands before the damage")

	require.NoError(t, os.WriteFile(path, []byte(`{"schema":"zmqmatrix/published/v1"}`), 0o644))
	_, err = DurationsOf(path)
	assert.ErrorContains(t, err, "published.json:1:")
	_, err = DurationsOf(filepath.Join(t.TempDir(), "gone.json"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
