package site

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// published are the results that the repository publishes.
func published(t testing.TB) (results.Published, []byte) {
	t.Helper()
	found, source, err := results.ReadPublishedSource(filepath.Join("..", "published", "latest.json"))
	require.NoError(t, err)
	return found, source
}

// madeUp are results of so many clients with so many features, each tried with
// so many techniques; the first client is the control. Every seventh feature
// needs the last technique, and every eleventh has none that passes.
func madeUp(clients, features, techniques int) results.Published {
	made := results.Published{
		Schema: results.PublishedSchema,
		Run: results.Run{
			ID: "20260301T120000Z-aaaaaa", Tool: "v1.0.0", Started: start, Finished: start.Add(time.Hour), Runtime: "fake", Host: "Linux", Cores: 2, Engine: "a script",
			Endpoint: "sha256:e", Plan: "sha256:p", Cells: clients * features * techniques, Attempts: clients * features * techniques,
		},
		Controls: []matrix.ControlResult{{Name: "c@one", Expected: matrix.Pass, Outcome: matrix.Pass}},
		Targets:  []results.Client{}, Features: []results.Feature{}, Cells: []results.Cell{}, Best: []results.Best{},
	}
	asked := []string{"callback/io-thread-gc", "static-area/address-stable", "zero-copy/callback-free"}
	for i := range features {
		name := fmt.Sprintf("group-%d/feature-%d", i/100, i)
		if i < len(asked) {
			name = asked[i]
		}
		group, _, _ := strings.Cut(name, "/")
		made.Features = append(made.Features, results.Feature{Name: name, Group: group, Requirement: "what " + name + " requires", Source: "a manual", Method: "a probe", Version: 1})
	}
	for i := range clients {
		client := results.Client{
			Target: fmt.Sprintf("lang-%d@one", i/2), Implementation: fmt.Sprintf("lang-%d", i/2), Title: fmt.Sprintf("Language %d", i/2), Version: "1.2.3",
			Binding: "ffi", Raw: i%2 == 0, Control: i == 0, Family: "made-up", Suite: "one", Packages: []string{}, Libzmq: "4.3.4", Threads: true, Collector: "moving", Trusted: true,
		}
		if i%2 == 1 {
			client.Binding = fmt.Sprintf("library-%d", i%5)
		}
		made.Targets = append(made.Targets, client)
		for j, feature := range made.Features {
			best := results.Best{Target: client.Target, Binding: client.Binding, Feature: feature.Name, Technique: "plain", Outcome: matrix.Pass}
			for k := range techniques {
				cell := results.Cell{
					Target: client.Target, Implementation: client.Implementation, Version: client.Version, Binding: client.Binding, Libzmq: client.Libzmq,
					Feature: feature.Name, Technique: "plain", Outcome: matrix.Pass, Attempts: 1, Passes: 1,
					Replay: "zmqmatrix run --target " + client.Target + " --feature " + feature.Name,
					Evidence: &results.Evidence{
						Attempt: 1, Run: made.Run.ID, Started: start, LastStep: "connect", Closing: "done",
						Observations: []matrix.Observation{{Key: "calls.seen", Value: 4, Unit: "count"}, {Key: "thread.names", Value: "ZMQbg/IO/0", Unit: "list"}},
						Account:      results.Account{Ending: matrix.Exited, WallMS: 12, CPUMS: 9, PeakRSS: 45 << 20, BaselineRSS: 40 << 20},
					},
				}
				if k > 0 {
					cell.Technique = fmt.Sprintf("way-%d", k)
				}
				none := i > 0 && j%11 == 10
				if none || i > 0 && j%7 == 6 && k < techniques-1 {
					cell.Outcome, cell.Passes, cell.Layer, cell.Signal = matrix.Crash, 0, matrix.LayerRuntime, "SIGSEGV"
					cell.Reason, cell.Cause = fmt.Sprintf("died of SIGSEGV, at step “send message %d”", j), "The collector moves what libzmq has."
					cell.Evidence.Closing, cell.Evidence.Stderr = "", "segmentation fault\n"
				}
				if k == 0 || cell.Outcome.Rank() < best.Outcome.Rank() {
					best.Technique, best.Outcome = cell.Technique, cell.Outcome
				}
				made.Cells = append(made.Cells, cell)
			}
			made.Best = append(made.Best, best)
		}
	}
	return made
}

func sourceOf(t testing.TB, published results.Published) []byte {
	t.Helper()
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(published))
	return buffer.Bytes()
}

// attack is what somebody may put into every text that comes of a client: if any
// of it works, the page's window.canary is set, a dialog opens or a request is
// sent.
const attack = `"'><script>window.canary=1;alert(1)</script><img src=x onerror="window.canary=1"><svg onload=window.canary=1>` +
	`</title></style></textarea></script><a href="javascript:window.canary=1">x</a>{{.}}${window.canary=1}` + "`" + `\u2028` + "\u2028\u202e\x1b[2J\x00" +
	`<iframe srcdoc="<script>parent.canary=1</script>"></iframe><link rel=stylesheet href=http://203.0.113.1/x.css>../../../../etc/passwd`

// attacked has the attack in every text of results, numbered where texts are
// names: outcomes, layers and the like stay what they are, as judges give them.
func attacked() results.Published {
	made := madeUp(4, 5, 2)
	made.Targets[3].Homepage = "javascript:window.canary=1"
	for i := range made.Cells {
		made.Cells[i].Evidence.Dossier = &matrix.Dossier{Threads: []matrix.ThreadState{{ID: 1, Maker: 2}}, Blocked: []string{"x"}}
		made.Cells[i].Evidence.Endpoint = []results.Socket{{Count: 1}}
	}
	made.Targets[2].Source = &matrix.Source{}
	made.Targets[1].MeasuredBy = &results.Contributor{Finished: start}
	made.Targets[3].NotRun = "x"
	made.Targets[2].Trusted = false
	made.Run.Merged = []results.MergedRun{{Finished: start}}
	names := map[string]string{}
	for i, client := range made.Targets {
		names[client.Target] = attack + client.Target
		names[client.Implementation] = attack + client.Implementation
		names[client.Binding] = attack + client.Binding
		made.Targets[i].Packages = []string{"x"}
	}
	for _, feature := range made.Features {
		// The questions are asked of features by their names.
		if !strings.HasPrefix(feature.Name, "zero-copy/") {
			names[feature.Name] = feature.Group + attack + "/" + attack + feature.Name
			names[feature.Group] = feature.Group + attack
		}
	}
	names["plain"], names["way-1"] = "plain", attack+"way-1"
	spoil(reflect.ValueOf(&made).Elem(), names)
	for i := range made.Targets {
		made.Targets[i].Control = i == 0
	}
	made.Schema, made.Controls = results.PublishedSchema, []matrix.ControlResult{{Name: attack, Expected: matrix.Pass, Outcome: matrix.Pass, Reason: attack}}
	return made
}

// spoil puts the attack into every string, and where a string is a name what the
// name stands for.
func spoil(value reflect.Value, names map[string]string) {
	switch value.Kind() {
	case reflect.String:
		if value.Type() != reflect.TypeFor[string]() {
			return // an outcome, a layer, a role
		}
		if name, ok := names[value.String()]; ok {
			value.SetString(name)
		} else {
			value.SetString(attack)
		}
	case reflect.Struct:
		if value.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				spoil(value.Field(i), names)
			}
		}
	case reflect.Slice:
		for i := range value.Len() {
			spoil(value.Index(i), names)
		}
	case reflect.Pointer:
		if !value.IsNil() {
			spoil(value.Elem(), names)
		}
	case reflect.Interface: // an observation's value
		if _, ok := value.Interface().(string); ok {
			value.Set(reflect.ValueOf(attack))
		}
	}
}

// written is a site of the results in a new folder.
func written(t testing.TB, published results.Published, past *history.History) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "site")
	_, err := Write(t.Context(), Options{Published: published, Source: sourceOf(t, published), History: past, Out: out, Base: "https://example.org/matrix"})
	require.NoError(t, err)
	return out
}

// remembered is the history of publications, oldest first.
func remembered(t testing.TB, runs ...results.Published) *history.History {
	t.Helper()
	folder := t.TempDir()
	for _, run := range runs {
		addition, err := history.Prepare(folder, run)
		require.NoError(t, err)
		require.NoError(t, addition.Write())
	}
	past, err := history.Load(folder)
	require.NoError(t, err)
	return past
}

// later is the results of another run on another day, in which some cells came
// out otherwise.
func later(before results.Published, day int, change func(*results.Cell)) results.Published {
	after := before
	after.Run.Started, after.Run.Finished = start.AddDate(0, 0, day), start.AddDate(0, 0, day).Add(time.Hour)
	after.Run.ID = after.Run.Started.Format("20060102T150405Z") + "-aaaaaa"
	after.Cells = append([]results.Cell{}, before.Cells...)
	best := map[matrix.Cell]int{}
	after.Best = append([]results.Best{}, before.Best...)
	for i, b := range after.Best {
		best[matrix.Cell{Target: b.Target, Binding: b.Binding, Feature: b.Feature}] = i
		after.Best[i].Outcome = matrix.NotRun
	}
	for i := range after.Cells {
		cell := &after.Cells[i]
		change(cell)
		name := cell.Key()
		name.Technique = ""
		if b := &after.Best[best[name]]; cell.Outcome.Rank() < b.Outcome.Rank() {
			b.Outcome, b.Technique = cell.Outcome, cell.Technique
		}
	}
	return after
}

// pagesOf are a site's pages by path.
func pagesOf(t testing.TB, site string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, path := range filesOf(t, site) {
		if strings.HasSuffix(path, ".html") {
			text, err := os.ReadFile(filepath.Join(site, path))
			require.NoError(t, err)
			pages[path] = string(text)
		}
	}
	return pages
}

func filesOf(t testing.TB, site string) []string {
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(site, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		within, err := filepath.Rel(site, path)
		files = append(files, filepath.ToSlash(within))
		return err
	}))
	return files
}
