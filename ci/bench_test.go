package ci

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/fake"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// BenchmarkFakeCells plans, attempts, judges and records cells on the fake
// runtime. The heap that is left after ten times as many cells shows whether
// memory grows with them.
func BenchmarkFakeCells(b *testing.B) {
	for _, features := range []int{100, 1000} {
		cells := 100 * features
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				record, err := results.OpenRecord(filepath.Join(b.TempDir(), "record.jsonl"))
				require.NoError(b, err)
				targets, catalogue := benchTargets(100), benchCatalogue(features)
				plan, err := matrix.MakePlan(targets, catalogue, matrix.Selection{})
				require.NoError(b, err)
				footer, err := matrix.Run(b.Context(), matrix.Options{
					Plan: plan, Catalogue: catalogue, Recorder: record,
					Header:  matrix.Header{Run: "bench", Seed: 7},
					Runtime: fake.New(fake.Script{Cores: runtime.NumCPU()}),
				})
				require.NoError(b, err)
				require.Equal(b, cells, footer.Counts[matrix.Pass])
				runtime.GC()
				runtime.ReadMemStats(&after)
				require.NoError(b, record.Close())
				runtime.KeepAlive(plan)
			}
			b.ReportMetric(float64(cells)*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/float64(cells), "B-kept/cell")
		})
	}
}

func benchTargets(count int) []matrix.Target {
	var targets []matrix.Target
	for i := range count {
		target := matrix.Target{
			Name:     fmt.Sprintf("t%02d", i),
			Bindings: []matrix.Binding{{Name: "raw", Raw: true, Command: []string{"{dir}/probe"}}},
			Variants: []matrix.Variant{{Name: "one", Suite: "bookworm", Default: true}},
		}
		if i == 0 {
			target.Role = matrix.RolePositiveControl
		}
		targets = append(targets, target)
	}
	return targets
}

func benchCatalogue(count int) []matrix.Feature {
	var catalogue []matrix.Feature
	for i := range count {
		catalogue = append(catalogue, matrix.Feature{
			Name: fmt.Sprintf("g/f%04d", i), Version: 1, Wall: time.Second,
			Judge: func(matrix.Evidence) matrix.Finding { return matrix.Finding{Outcome: matrix.Pass} },
		})
	}
	return catalogue
}
