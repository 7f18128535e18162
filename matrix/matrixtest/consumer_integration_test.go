//go:build integration

package matrixtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// consumer copies the module of a consumer into a folder of its own, and adds to
// its go.mod what `go mod tidy` would: the requirements of this module.
func consumer(t testing.TB) string {
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "consumer"))))
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o644))
	var module struct {
		Require []struct{ Path, Version string }
	}
	described, err := exec.Command("go", "mod", "edit", "-json", filepath.Join(root, "go.mod")).Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(described, &module))
	arguments := []string{"mod", "edit", "-replace=github.com/zmqmatrix/zmqmatrix=" + root}
	for _, required := range module.Require {
		arguments = append(arguments, "-require="+required.Path+"@"+required.Version)
	}
	edit := exec.Command("go", arguments...)
	edit.Dir = folder
	output, err := edit.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return folder
}

// goTest runs go test in the folder. It vets nothing: of each dependency, too, that
// takes as long as all the rest.
func goTest(t testing.TB, folder string, flags ...string) ended {
	command := exec.CommandContext(t.Context(), "go", append([]string{"test", "-v", "-vet=off"}, flags...)...)
	command.Dir = folder
	output, _ := command.CombinedOutput() // what it came to is in the state
	return endedWith(command, string(output))
}

// TestConsumer is a module apart that has its client measured and tested, with the
// real endpoint and clients.
func TestConsumer(t *testing.T) {
	folder := consumer(t)
	t.Run("its own client talks to the endpoint", func(t *testing.T) {
		end := goTest(t, folder, "-run=TestPush")
		assert.Zero(t, end.code, end.output)
		assert.Equal(t, map[string]string{"TestPushArrives": "PASS"}, end.status)
	})
	const one = "-run=^TestMatrix$/go@bookworm,cgo/messaging/push-pull"
	t.Run("one cell is a subtest", func(t *testing.T) {
		end := goTest(t, folder, one, ".")
		assert.Zero(t, end.code, end.output)
		assert.Equal(t, []string{"go@bookworm,cgo/messaging/push-pull/plain"}, end.cells("PASS"), end.output)
		assert.NotContains(t, end.output, "pebbe")
	})
	t.Run("its result is not cached, its attempts are", func(t *testing.T) {
		end := goTest(t, folder, one, ".")
		assert.Zero(t, end.code, end.output)
		assert.NotContains(t, end.output, "(cached)")
		assert.Contains(t, end.output, "pass, 1 of 1 attempts, 1 of them reused")
	})
	t.Run("a client that can't do it is skipped, one that does it wrong fails", func(t *testing.T) {
		end := goTest(t, folder, "-run=^TestMatrix$/go-zeromq/(messaging|zero-copy)", ".")
		assert.NotZero(t, end.code, end.output)
		assert.Equal(t, []string{"go@bookworm,go-zeromq/messaging/req-rep/plain"}, end.cells("FAIL"))
		assert.Contains(t, end.cells("SKIP"), "go@bookworm,go-zeromq/zero-copy/wire/plain")
	})
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.Len(t, left, 6, "but for the runs nothing is left in the module: %s", left)
}

// BenchmarkWarmCell is go test of one cell whose client, images and test binary are
// there already, attempted afresh: what it costs beyond the cell's own attempt, and how
// much of that is go test's own, which links the test binary each time.
func BenchmarkWarmCell(b *testing.B) {
	for _, runtime := range []string{"local", "docker"} {
		b.Run(runtime, func(b *testing.B) {
			b.Setenv("RUNTIME", runtime)
			benchmarkWarmCell(b, consumer(b))
		})
	}
}

func benchmarkWarmCell(b *testing.B, folder string) {
	warm := func() (whole, cell time.Duration) {
		began := time.Now()
		end := goTest(b, folder, "-count=1", "-run=^TestMatrix$/go@bookworm,cgo/messaging/push-pull", ".")
		whole = time.Since(began)
		require.Zero(b, end.code, end.output)
		records, err := filepath.Glob(filepath.Join(folder, "zmqmatrix-results", "runs", "*", "record.jsonl"))
		require.NoError(b, err)
		for line, err := range results.ReadRecord(records[len(records)-1]) {
			require.NoError(b, err)
			if line.Type == matrix.LineAttempt && strings.HasPrefix(line.Attempt.Evidence.Cell.String(), "go@bookworm/cgo/messaging/push-pull/") {
				cell += line.Attempt.Duration
			}
		}
		require.Positive(b, cell)
		return whole, cell
	}
	warm()
	var whole, cell, nothing time.Duration
	for b.Loop() {
		took, own := warm()
		began := time.Now()
		end := goTest(b, folder, "-count=1", "-run=^$", ".")
		nothing += time.Since(began)
		require.Zero(b, end.code, end.output)
		whole, cell = whole+took, cell+own
	}
	n := float64(b.N)
	b.ReportMetric((whole-cell).Seconds()/n, "s-beyond/op")
	b.ReportMetric(nothing.Seconds()/n, "s-of-go-test/op")
	b.ReportMetric(float64(whole)/float64(cell), "times-the-cell")
}
