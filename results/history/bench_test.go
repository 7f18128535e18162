package history

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// BenchmarkHistory publishes runs of a thousand cells, five of which change from
// one to the next, and reads them: bytes and time per run stay the same from a
// hundred runs to a thousand.
func BenchmarkHistory(b *testing.B) {
	for _, runs := range []int{100, 1000} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			folder := b.TempDir()
			writeBench(b, folder, runs, 1000, 5)
			bytes, compressed := sizes(b, folder)
			for b.Loop() {
				history, err := Load(folder)
				require.NoError(b, err)
				require.Len(b, history.Entries, runs)
			}
			b.ReportMetric(float64(bytes)/float64(runs), "B/run")
			b.ReportMetric(float64(compressed)/float64(runs), "B-zlib/run")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*runs), "µs/run")
		})
	}
}

// BenchmarkLargeHistory reads ten runs of 100 000 cells, and tells what
// the history holds in memory.
func BenchmarkLargeHistory(b *testing.B) {
	folder := b.TempDir()
	writeBench(b, folder, 10, 100_000, 20)
	for b.Loop() {
		history, err := Load(folder)
		require.NoError(b, err)
		b.StopTimer()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		b.ReportMetric(float64(stats.HeapAlloc)/(1<<20), "MiB-held")
		runtime.KeepAlive(history)
		b.StartTimer()
	}
}

// writeBench writes the entries as Prepare does, without reading all before
// each.
func writeBench(b *testing.B, folder string, runs, cells, changing int) {
	b.Helper()
	outcome, since := make([]matrix.Outcome, cells), make([]int, cells)
	for i := range outcome {
		outcome[i] = matrix.Pass
	}
	loading := newLoading()
	for run := range runs {
		var all []results.Cell
		for i := range changing {
			at := (run*changing + i) * 7919 % cells
			outcome[at] = map[matrix.Outcome]matrix.Outcome{matrix.Pass: matrix.Crash, matrix.Crash: matrix.Pass}[outcome[at]]
			since[at] = run
		}
		for i, outcome := range outcome {
			cell := cellOf(fmt.Sprintf("group-%d/feature-%d", i%4, i%30), outcome)
			cell.Target = fmt.Sprintf("target-%d@one", i/30)
			if outcome != matrix.Pass {
				cell.Reason = fmt.Sprintf("died of SIGSEGV, at step “send message %d”", since[i])
			}
			all = append(all, cell)
		}
		published := runNamed(1, all...)
		published.Run.ID = fmt.Sprintf("20260101T%06dZ-%06x", run, run)
		published.Run.Seed = uint64(run)
		addition, err := loading.history.prepare(folder, SnapshotOf(published))
		require.NoError(b, err)
		require.NoError(b, addition.Write())
		require.NoError(b, loading.add(addition.Path, addition.data))
	}
}

// sizes are the bytes of a history's files, and of what git keeps of them before
// it packs them.
func sizes(b *testing.B, folder string) (plain, compressed int) {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	require.NoError(b, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(b, err)
		var buffer bytes.Buffer
		writer := zlib.NewWriter(&buffer)
		_, err = writer.Write(data)
		require.NoError(b, err)
		require.NoError(b, writer.Close())
		plain, compressed = plain+len(data), compressed+buffer.Len()
	}
	return plain, compressed
}
