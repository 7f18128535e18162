package results

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestDifferencesBetweenRuns(t *testing.T) {
	run := func(id string, cells ...Cell) Published { return Published{Run: Run{ID: id}, Cells: cells} }
	cell := func(feature string, outcome matrix.Outcome, layer matrix.Layer, passes, attempts int) Cell {
		return Cell{Target: "a@one", Binding: "raw", Feature: feature, Technique: "plain", Outcome: outcome, Layer: layer, Passes: passes, Attempts: attempts}
	}
	same := cell("g/same", matrix.Pass, "", 1, 1)
	first := run("r1", same, cell("g/rate", matrix.Flaky, "runtime", 19, 20), cell("g/outcome", matrix.Pass, "", 11, 11), cell("g/layer", matrix.Fail, "runtime", 0, 3))
	second := run("r2", same, cell("g/rate", matrix.Flaky, "runtime", 3, 20), cell("g/outcome", matrix.Flaky, "runtime", 19, 20), cell("g/layer", matrix.Fail, "", 0, 3), cell("g/new", matrix.Pass, "", 1, 1))

	var texts []string
	for _, difference := range Differences(first, second, first) {
		texts = append(texts, difference.Text())
	}
	assert.Equal(t, []string{
		"a@one/raw/g/outcome/plain: pass (11 of 11 passed), then flaky (19 of 20 passed), then pass (11 of 11 passed)",
		"a@one/raw/g/layer/plain: fail (0 of 3 passed), then fail (0 of 3 passed), then fail (0 of 3 passed)",
		"a@one/raw/g/new/plain: no verdict, then pass (1 of 1 passed), then no verdict",
	}, texts)
	assert.Empty(t, Differences(first, first, first))
	assert.Empty(t, Differences(first))
}
