package results

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const benchCells = 100_000

// heapNow is the live heap in MiB.
func heapNow() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc) / (1 << 20)
}

// BenchmarkRecordAppend appends 100 000 attempts of the size that a small
// feature makes.
func BenchmarkRecordAppend(b *testing.B) {
	line := sampleLines(b, matrix.Selection{})[2]
	size := len(mustJSON(line)) + 1
	for b.Loop() {
		b.StopTimer()
		record, err := OpenRecord(filepath.Join(b.TempDir(), "record.jsonl"))
		require.NoError(b, err)
		before := heapNow()
		b.StartTimer()
		start := time.Now()
		for range benchCells {
			if err := record.Append(line); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(benchCells/time.Since(start).Seconds(), "lines/s")
		b.StopTimer()
		b.ReportMetric(heapNow()-before, "MiB-kept")
		b.ReportMetric(float64(size), "B/line")
		require.NoError(b, record.Close())
		b.StartTimer()
	}
}

// benchRecord is a finished record of 100 000 cells with an attempt each.
func benchRecord(b *testing.B) (string, []matrix.Feature, []matrix.Target) {
	b.Helper()
	const perClient = 1000
	var features []matrix.Feature
	for i := range perClient {
		features = append(features, matrix.Feature{Name: fmt.Sprintf("group-%d/feature-%d", i/100, i), Version: 1})
	}
	var targets []matrix.Target
	for i := range benchCells / perClient {
		target := matrix.Target{
			Name: fmt.Sprintf("target-%d", i), Variants: []matrix.Variant{{Name: "one", Default: true}},
			Bindings: []matrix.Binding{{Name: "ffi", Raw: true}},
		}
		if i == 0 {
			target.Role = matrix.RolePositiveControl
		}
		targets = append(targets, target)
	}
	plan, err := matrix.MakePlan(targets, features, matrix.Selection{})
	require.NoError(b, err)
	header, _ := sampleHeader(b, matrix.Selection{})
	header.PlanDigest, header.Cells = plan.Digest, plan.Cells
	path := filepath.Join(b.TempDir(), "record.jsonl")
	record, err := OpenRecord(path)
	require.NoError(b, err)
	require.NoError(b, record.Append(matrix.Line{Type: matrix.LineHeader, Header: &header}))
	footer := matrix.Footer{Finished: sampleStart, Counts: map[matrix.Outcome]int{}, Attempts: plan.Cells}
	for _, client := range plan.Clients {
		require.NoError(b, record.Append(matrix.Line{Type: matrix.LineClient, Client: &matrix.ClientAccount{Client: client.Client(), Trusted: true}}))
		for _, cell := range client.Cells {
			attempt := sampleAttempt(cell, 1, sampleStart, matrix.Finding{Outcome: matrix.Pass})
			require.NoError(b, record.Append(matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt}))
			require.NoError(b, record.Append(matrix.Line{Type: matrix.LineVerdict, Verdict: &matrix.Verdict{Cell: cell, Outcome: matrix.Pass, Attempts: 1, Passes: 1}}))
			if client.Control {
				footer.Controls = append(footer.Controls, matrix.ControlResult{Name: cell.String(), Expected: matrix.Pass, Outcome: matrix.Pass})
			}
		}
	}
	require.NoError(b, record.Append(matrix.Line{Type: matrix.LineFooter, Footer: &footer}))
	require.NoError(b, record.Close())
	return path, features, targets
}

// BenchmarkPublish publishes the record of 100 000 cells.
func BenchmarkPublish(b *testing.B) {
	path, features, targets := benchRecord(b)
	for b.Loop() {
		published, err := Publish(path, features, targets)
		require.NoError(b, err)
		b.StopTimer()
		b.ReportMetric(heapNow(), "MiB-held")
		require.Len(b, published.Cells, benchCells)
		b.StartTimer()
	}
	b.ReportMetric(benchCells*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
}

// BenchmarkPrior indexes the record of 100 000 cells; MiB-held is what the
// index keeps.
func BenchmarkPrior(b *testing.B) {
	path, _, _ := benchRecord(b)
	before := heapNow()
	for b.Loop() {
		prior, err := PriorOf("", path)
		require.NoError(b, err)
		b.StopTimer()
		b.ReportMetric(heapNow()-before, "MiB-held")
		require.NoError(b, prior.Close())
		b.StartTimer()
	}
}
