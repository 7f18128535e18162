package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// BenchmarkSite writes sites of a growing number of cells with a thousand
// publications behind them, each cell with a page of its own. What it takes
// per cell is the same for each.
func BenchmarkSite(b *testing.B) {
	for _, clients := range []int{25, 50, 100} {
		const features, runs = 1000, 1000
		b.Run(fmt.Sprintf("cells=%d,runs=%d", clients*features, runs), func(b *testing.B) {
			published := madeUp(clients, features, 1)
			past := benchHistory(b, published, runs)
			source := sourceOf(b, published)
			var report Report
			peak := watchHeap()
			for b.Loop() {
				var err error
				report, err = Write(b.Context(), Options{Published: published, Source: source, History: past, Out: filepath.Join(b.TempDir(), "site"), Base: "https://example.org/"})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(peak())/(1<<20), "MiB-peak")
			b.ReportMetric(float64(report.Pages), "pages")
			b.ReportMetric(float64(report.Bytes)/1e6, "MB")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(published.Cells)), "µs/cell")
		})
	}
}

// watchHeap tells the most that the process had from the system for its heap,
// live or not.
func watchHeap() (peak func() uint64) {
	var most uint64
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				var stats runtime.MemStats
				runtime.ReadMemStats(&stats)
				most = max(most, stats.HeapInuse+stats.StackInuse)
			case <-done:
				return
			}
		}
	})
	return func() uint64 {
		close(done)
		watching.Wait()
		return most
	}
}

// benchHistory is that of so many publications, in each of which twenty cells
// begin to hang, or pass again; the results are the last.
func benchHistory(b *testing.B, last results.Published, runs int) *history.History {
	b.Helper()
	const changing = 20
	folder := b.TempDir()
	first := last
	first.Run.Started = start.AddDate(0, 0, -runs)
	first.Run.ID = "20200101T000000Z-000000"
	addition, err := history.Prepare(folder, first)
	require.NoError(b, err)
	require.NoError(b, addition.Write())
	text, err := os.ReadFile(addition.Path)
	require.NoError(b, err)
	line, _, _ := bytes.Cut(text, []byte("\n"))
	var header map[string]any
	require.NoError(b, json.Unmarshal(line, &header))
	place := func(id string) string { return filepath.Join(folder, id[:4], id+".jsonl") }
	base := first.Run.ID
	for run := 1; run < runs; run++ {
		id := fmt.Sprintf("20200102T%06dZ-000000", run)
		started := first.Run.Started.AddDate(0, 0, run)
		if run == runs-1 {
			id, started = last.Run.ID, last.Run.Started
		}
		digest := sha256.Sum256(text)
		header["id"], header["base"] = id, map[string]string{"id": base, "digest": "sha256:" + hex.EncodeToString(digest[:])}
		header["run"].(map[string]any)["id"], header["run"].(map[string]any)["started"] = id, started
		var file bytes.Buffer
		encoder := json.NewEncoder(&file)
		encoder.SetEscapeHTML(false)
		require.NoError(b, encoder.Encode(header))
		var cells []results.Cell
		for i := range changing {
			cells = append(cells, last.Cells[((run-1)/2*changing+i)*7919%len(last.Cells)])
		}
		written := sortedLines(b, cells, run%2 == 1)
		file.Write(written)
		require.NoError(b, encoder.Encode(map[string]any{"end": map[string]int{
			"lines": bytes.Count(written, []byte("\n")) + 2, "features": len(last.Features), "clients": len(last.Targets), "cells": len(last.Cells),
		}}))
		text, base = bytes.Clone(file.Bytes()), id
		require.NoError(b, os.MkdirAll(filepath.Dir(place(id)), 0o755))
		require.NoError(b, os.WriteFile(place(id), text, 0o644))
	}
	past, err := history.Load(folder)
	require.NoError(b, err)
	require.Len(b, past.Entries, runs)
	return past
}

// sortedLines are a history's lines of cells, which pass or hang.
func sortedLines(b *testing.B, cells []results.Cell, hang bool) []byte {
	b.Helper()
	byName := map[matrix.Cell]results.Cell{}
	for _, cell := range cells {
		byName[cell.Key()] = cell
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	byText := func(a, b matrix.Cell) int { return strings.Compare(a.String(), b.String()) }
	for _, name := range slices.SortedFunc(maps.Keys(byName), byText) {
		verdict := map[string]any{"outcome": byName[name].Outcome, "attempts": 1, "passes": byName[name].Passes}
		if hang {
			verdict = map[string]any{"outcome": "hang", "attempts": 1, "passes": 0, "reason": "no end within 10s", "layer": "runtime"}
		} else if cell := byName[name]; cell.Reason != "" {
			verdict["reason"], verdict["layer"], verdict["signal"] = cell.Reason, cell.Layer, cell.Signal
		}
		require.NoError(b, encoder.Encode(map[string]any{"cell": name.String(), "verdict": verdict}))
	}
	return lines.Bytes()
}
