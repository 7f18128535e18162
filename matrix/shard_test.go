package matrix_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// manyTargets are five targets of two clients each, the control, and one in a
// suite where there is no control.
func manyTargets() []matrix.Target {
	var many []matrix.Target
	for _, name := range []string{"a", "b", "d", "e"} {
		many = append(many, target(name, "", binding("raw", true), binding("high", false)))
	}
	apart := target("f", "", binding("raw", true), binding("high", false))
	apart.Variants = []matrix.Variant{{Name: "vendors", Suite: "none", Default: true}}
	return append(many, apart, target("c", matrix.RolePositiveControl, binding("libzmq", true)))
}

func planOf(t *testing.T, selection matrix.Selection) matrix.Plan {
	t.Helper()
	plan, err := matrix.MakePlan(manyTargets(), catalogue(), selection)
	require.NoError(t, err)
	return plan
}

// lengthsOf has the seconds that the clients of a target take in all.
func lengthsOf(plan matrix.Plan, seconds map[string]int) map[matrix.Client]time.Duration {
	lengths := map[matrix.Client]time.Duration{}
	for _, client := range plan.Clients {
		if client.Binding.Raw {
			lengths[client.Client()] = time.Duration(seconds[client.Client().Target]) * time.Second
		}
	}
	return lengths
}

func targetsIn(shards []matrix.Shard) (targets [][]string) {
	for _, shard := range shards {
		targets = append(targets, shard.Targets)
	}
	return targets
}

func TestDivide(t *testing.T) {
	plan := planOf(t, matrix.Selection{})
	for name, test := range map[string]struct {
		count   int
		seconds map[string]int
		want    [][]string
	}{
		"the longest goes first, each into the shortest": {2, map[string]int{"a@one": 7, "b@one": 5, "d@one": 4, "e@one": 3, "f@vendors": 1, "c@one": 100},
			[][]string{{"a@one", "e@one"}, {"b@one", "d@one", "f@vendors"}}},
		"one that is longer than all others is alone": {3, map[string]int{"a@one": 1, "b@one": 1, "d@one": 1, "e@one": 1, "f@vendors": 9},
			[][]string{{"f@vendors"}, {"a@one", "d@one"}, {"b@one", "e@one"}}},
		"of equally long ones by name":            {2, map[string]int{"a@one": 1, "b@one": 1, "d@one": 1, "e@one": 1, "f@vendors": 1}, [][]string{{"a@one", "d@one", "f@vendors"}, {"b@one", "e@one"}}},
		"without a length no shard stays empty":   {4, nil, [][]string{{"a@one", "f@vendors"}, {"b@one"}, {"d@one"}, {"e@one"}}},
		"one shard is all":                        {1, nil, [][]string{{"a@one", "b@one", "d@one", "e@one", "f@vendors"}}},
		"as many as there are targets, of length": {5, map[string]int{"e@one": 2}, [][]string{{"e@one"}, {"a@one"}, {"b@one"}, {"d@one"}, {"f@vendors"}}},
	} {
		t.Run(name, func(t *testing.T) {
			shards, err := plan.Divide(test.count, lengthsOf(plan, test.seconds))
			require.NoError(t, err)
			assert.Equal(t, test.want, targetsIn(shards))
			for i, shard := range shards {
				assert.Equal(t, i+1, shard.Index)
				assert.Equal(t, test.count, shard.Count)
				assert.Equal(t, plan.Division(shards), shard.Division)
			}
		})
	}
	t.Run("more than targets", func(t *testing.T) {
		_, err := plan.Divide(6, nil)
		require.ErrorIs(t, err, matrix.ErrTooManyShards)
		assert.Contains(t, err.Error(), "it has 5: a@one, b@one, d@one, e@one, f@vendors")
	})
	t.Run("none", func(t *testing.T) {
		_, err := plan.Divide(0, nil)
		assert.ErrorContains(t, err, "at least 1")
	})
}

func TestADivisionIsOfOnePlanAndOneCut(t *testing.T) {
	plan, other := planOf(t, matrix.Selection{}), planOf(t, matrix.Selection{Features: []string{"g"}})
	lengths := map[string]int{"a@one": 7, "b@one": 5}
	division := func(plan matrix.Plan, count int, seconds map[string]int) string {
		shards, err := plan.Divide(count, lengthsOf(plan, seconds))
		require.NoError(t, err)
		return shards[0].Division
	}
	assert.Equal(t, division(plan, 2, lengths), division(plan, 2, lengths))
	assert.NotEqual(t, division(plan, 2, lengths), division(plan, 2, map[string]int{"f@vendors": 7}))
	assert.NotEqual(t, division(plan, 2, lengths), division(plan, 3, lengths))
	assert.NotEqual(t, division(plan, 2, lengths), division(other, 2, lengths))
}

func TestShardsAreThePlanWithoutLossOrOverlap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, selection := range []matrix.Selection{{}, {AllVariants: true}, {Bindings: []string{"high"}}, {Targets: []string{"c", "a@*", "f"}}, {Features: []string{"h/lane"}}} {
		plan := planOf(t, selection)
		for count := 1; count <= len(plan.Divisible()); count++ {
			lengths := map[matrix.Client]time.Duration{}
			for _, client := range plan.Clients {
				lengths[client.Client()] = time.Duration(random.IntN(5)) * time.Second
			}
			shards, err := plan.Divide(count, lengths)
			require.NoError(t, err)
			shardOf := map[string]int{} // by target
			cells := map[matrix.Cell]bool{}
			for _, shard := range shards {
				part, err := plan.Part(shard)
				require.NoError(t, err)
				assert.Equal(t, plan.Digest, part.Digest)
				assert.Equal(t, plan.Controls, part.Controls)
				counted, control := 0, false
				for _, client := range part.Clients {
					counted += len(client.Cells)
					for _, cell := range client.Cells {
						assert.True(t, client.Control || !cells[cell], "%s is in two shards", cell)
						cells[cell] = true
					}
					if client.Control {
						control = true
						continue
					}
					if known, ok := shardOf[client.Client().Target]; ok {
						assert.Equal(t, known, shard.Index, "the clients of %s are in two shards", client.Client().Target)
					}
					shardOf[client.Client().Target] = shard.Index
				}
				assert.True(t, control, "a shard without a control")
				assert.Equal(t, counted, part.Cells)
			}
			assert.Len(t, cells, plan.Cells)
		}
	}
}

func TestAShardHasTheControlsThatItsClientsAreComparedWith(t *testing.T) {
	plan := planOf(t, matrix.Selection{AllVariants: true})
	for target, want := range map[string][]string{
		"a@one": {"c@one"}, "a@two": {"c@two"},
		"f@vendors": {"c@one", "c@two"}, // its suite has none
	} {
		part, err := plan.Part(matrix.Shard{Index: 1, Count: 9, Targets: []string{target}})
		require.NoError(t, err)
		var controls []string
		for _, client := range part.Clients {
			if client.Control {
				controls = append(controls, client.Client().Target)
			}
		}
		assert.Equal(t, want, controls, target)
		assert.Len(t, part.Clients, len(want)+2)
	}
	_, err := plan.Part(matrix.Shard{Index: 1, Count: 9, Targets: []string{"c@one"}})
	assert.ErrorContains(t, err, "shard 1/9 has c@one", "a control is in shards by itself")

	alone := planOf(t, matrix.Selection{Targets: []string{"c"}})
	assert.Equal(t, []string{"c@one"}, alone.Divisible(), "a control that nothing is compared with is a target like others")
}

func TestParseShard(t *testing.T) {
	shard, err := matrix.ParseShard("2/3")
	require.NoError(t, err)
	assert.Equal(t, matrix.Shard{Index: 2, Count: 3}, shard)
	assert.Equal(t, "2/3", shard.String())
	for _, text := range []string{"", "2", "/", "2/", "/3", "a/b", "0/3", "4/3", "-1/3", "+1/3", "1/0", "1/3/3", " 1/3", "1/3\n", "1.0/3", "99999999999/99999999999", "$(touch pwned)/3"} {
		_, err := matrix.ParseShard(text)
		assert.ErrorContains(t, err, "shard ", "%q", text)
	}
}

func TestLengths(t *testing.T) {
	plan := planOf(t, matrix.Selection{Targets: []string{"a", "b"}})
	cell := func(client, feature, technique string) matrix.Cell {
		return matrix.Cell{Target: client, Binding: "raw", Feature: feature, Technique: technique}
	}
	lengths := plan.Lengths(catalogue(), matrix.Durations{
		cell("a@one", "g/simple", "plain"):      3 * time.Second,
		cell("gone@one", "g/simple", "plain"):   5 * time.Second,
		cell("gone@two", "g/simple", "plain"):   60 * time.Second,
		cell("a@one", "g/thread", "plain"):      2 * time.Second,
		cell("unknown@one", "x/gone", "plain"):  time.Hour,
		cell("a@one", "g/thread", "other-name"): 2 * time.Second,
		cell("b@two", "g/thread", "mended"):     7 * time.Second,
	})
	raw := func(target string) matrix.Length { return lengths[matrix.Client{Target: target, Binding: "raw"}] }
	lane := 2 * 200 * time.Millisecond // never measured by anybody; the target's time factor is 2
	assert.Equal(t, matrix.Length{Expected: 3*time.Second + 2*time.Second + 2*time.Second + lane, Guessed: 2}, raw("a@one"), "mended by the median of its feature")
	assert.Equal(t, matrix.Length{Expected: 5*time.Second + 2*time.Second + 7*time.Second + lane, Guessed: 4}, raw("b@one"), "the median of three, and the other variant's own")

	nothing := plan.Lengths(catalogue(), nil)
	assert.Equal(t, matrix.Length{Expected: lane + 2*11*lane + lane, Guessed: 4}, nothing[matrix.Client{Target: "a@one", Binding: "raw"}],
		"as many attempts as a pass takes, where timing matters")
}
