package results

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

func TestVersionsAreOrderedAsPeopleDo(t *testing.T) {
	ordered := []string{
		"", "1.9.0", "1.9.2", "2.1.1.debian", "2.2.9.debian", "2.5.2", "2.5.10", "2.06.4",
		"2.49.92 (2018-02-18)", "2.49.93+ (2018-02-18)", "2.49.93+ (2024-12-22)", "20.4.24", "GCL 2.6.14", "GCL 2.7.1", "go1.9", "go1.26.8",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			want := map[bool]int{true: 1, false: -1}[i > j]
			if i == j {
				want = 0
			}
			assert.Equal(t, want, compareVersions(a, b), "%q and %q", a, b)
		}
	}
}

func TestShortVersionsAreNeverTwoOfOneName(t *testing.T) {
	labels := shortVersions([]Client{{Version: "2.2.9.debian"}, {Version: "2.49.93+ (2018)"}, {Version: "2.49.93+ (2024)"}, {Version: "GCL 2.6.14 (x)"}})
	assert.Equal(t, map[string]string{
		"2.2.9.debian": "2.2.9", "2.49.93+ (2018)": "2.49.93+ (2018)", "2.49.93+ (2024)": "2.49.93+ (2024)", "GCL 2.6.14 (x)": "2.6.14",
	}, labels)
}

func TestRangesClaimOnlyWhatWasMeasured(t *testing.T) {
	for name, test := range map[string]struct {
		row  string // VARIANT=VERSION:VERDICT …, "-" where nothing was measured
		want string
	}{
		"one variant needs no range":             {"a=1:pass", "pass"},
		"all agree":                              {"a=1:pass b=2:pass c=3:pass", "pass"},
		"since":                                  {"a=1:crash b=2:pass c=3:pass", "pass since 2; crash until 1"},
		"since counts versions, not variants":    {"z=10:pass a=9:crash", "pass since 10; crash until 9"},
		"until":                                  {"a=1:pass b=2:pass c=3:crash", "crash since 3; pass until 2"},
		"an exception in the middle":             {"a=1:pass b=2:hang c=3:pass d=4:pass", "pass until 1 and since 3; hang 2"},
		"a middle of several":                    {"a=1:crash b=2:pass c=3:pass d=4:crash", "crash until 1 and since 4; pass 2–3"},
		"not measured before: no since":          {"a=1:crash b=2:- c=3:pass", "pass 3; crash 1; - 2"},
		"not measured in the middle":             {"a=1:pass b=2:- c=3:pass d=4:pass", "pass 1 and 3–4; - 2"},
		"not measured at the end":                {"a=1:crash b=2:pass c=3:-", "pass 2; crash until 1; - 3"},
		"a variant that could not be asked":      {"a=1:pass b=:- c=3:pass", "pass 1–3; - b"},
		"a variant that could not be had":        {"a=1:pass b=:none c=3:pass", "pass"},
		"nothing was measured":                   {"a=:- b=:-", "-"},
		"one version in two variants that agree": {"a=1:crash b=2:pass c=2:pass", "pass since 2; crash until 1"},
		"one version whose variants disagree":    {"a=1:crash b=2:crash c=2:pass", "pass since 2 in c; crash until 2 in b"},
	} {
		t.Run(name, func(t *testing.T) {
			v := view{}
			verdicts := map[string]statement{}
			for word := range strings.FieldsSeq(test.row) {
				variant, rest, _ := strings.Cut(word, "=")
				version, verdict, _ := strings.Cut(rest, ":")
				client := Client{Target: "x@" + variant, Implementation: "x", Binding: "y", Version: version}
				if verdict == "none" {
					client.NotRun = "not here"
				}
				v.Targets = append(v.Targets, client)
				verdicts[client.Target] = statement{verdict, verdict != "-"}
			}
			rows := v.rows()
			require.Len(t, rows, 1)
			var got []string
			for _, span := range rows[0].spansOf(func(client Client) statement { return verdicts[client.Target] }) {
				got = append(got, inVersions(verdicts[span.newest().Target].text, span.when))
			}
			assert.Equal(t, test.want, strings.Join(got, "; "))
		})
	}
}

// variantsPublished are invented results of an implementation in four versions,
// beside a control and one that is not here.
func variantsPublished(t testing.TB) Published {
	t.Helper()
	published := samplePublished(t)
	published.Targets, published.Cells, published.Best = nil, nil, nil
	add := func(target, version, libzmq, binding string, raw bool, outcomes map[string]matrix.Outcome) {
		implementation, _, _ := strings.Cut(target, "@")
		client := Client{
			Target: target, Implementation: implementation, Title: "Machine " + implementation, Version: version, Binding: binding, Raw: raw,
			Control: implementation == "c", Libzmq: libzmq, Packages: []string{}, Collector: "moving", Trusted: version != "", Family: "common-lisp",
		}
		if version == "" {
			client.NotRun, client.Collector = "not available here: its image must be supplied", ""
		}
		published.Targets = append(published.Targets, client)
		for _, feature := range published.Features {
			for _, technique := range []string{"plain", "unblock-signals"} {
				cell := Cell{
					Target: target, Implementation: implementation, Version: version, Binding: binding, Libzmq: libzmq, Feature: feature.Name,
					Technique: technique, Outcome: matrix.Pass, Attempts: 1, Passes: 1, Replay: "zmqmatrix run",
				}
				if outcome, ok := outcomes[feature.Name+" "+technique]; ok {
					cell.Outcome, cell.Passes, cell.Layer = outcome, 0, matrix.LayerRuntime
					cell.Reason = fmt.Sprintf("%s at step %s", outcome, version)
					cell.Cause = "Its signals are blocked on libzmq's threads. More of it stands in the manual."
					cell.CauseSource = "the manual"
				}
				if version == "" {
					cell.Outcome, cell.Attempts, cell.Passes, cell.Layer, cell.Reason = matrix.NotRun, 0, 0, "", client.NotRun
				}
				published.Cells = append(published.Cells, cell)
			}
		}
	}
	gc, free, area := "callback/io-thread-gc ", "zero-copy/callback-free ", "static-area/address-stable "
	blocked := map[string]matrix.Outcome{gc + "plain": matrix.Crash, free + "plain": matrix.Crash}
	never := map[string]matrix.Outcome{gc + "plain": matrix.Crash, gc + "unblock-signals": matrix.Hang, free + "plain": matrix.Crash, free + "unblock-signals": matrix.Crash}
	add("c@bookworm", "12.2.0", "4.3.4", "libzmq", true, nil)
	add("quick@bookworm", "2.2.9.debian", "4.3.4", "ffi", true, blocked)
	add("quick@bullseye", "2.1.1.debian", "4.3.4", "ffi", true, never)
	add("quick@sid", "2.6.4.debian", "4.3.5", "ffi", true, nil)
	add("quick@trixie", "2.5.2.debian", "4.3.5", "ffi", true, blocked)
	add("quick@old", "", "", "ffi", true, nil)
	add("slow@one", "1.0", "4.3.4", "ffi", true, map[string]matrix.Outcome{area + "plain": matrix.Unsupported, area + "unblock-signals": matrix.Unsupported})
	add("vendor@8", "", "", "ffi", true, nil)
	published.fillBest()
	return published
}

func TestRangesInEveryTable(t *testing.T) {
	published := variantsPublished(t)
	encoded, err := published.encode()
	require.NoError(t, err)
	require.NoError(t, schema.CheckJSON(schema.Published, "latest.json", encoded))
	page, err := Page(published)
	require.NoError(t, err)
	for name, got := range map[string][]byte{
		"variants.md":                []byte(Markdown(published)),
		"variants-terminal-wide.txt": []byte(Terminal(published, TerminalOptions{})),
		"variants-terminal-80.txt":   []byte(Terminal(published, TerminalOptions{Width: 80})),
		"variants-terminal-40.txt":   []byte(Terminal(published, TerminalOptions{Width: 40})),
		"variants.html":              page,
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, got) })
	}
	assert.Contains(t, published.Ranges, Range{
		Implementation: "quick", Binding: "ffi", Feature: "callback/io-thread-gc", Technique: "unblock-signals", Outcome: matrix.Pass,
		Targets: []string{"quick@bookworm", "quick@trixie"}, When: "2.2.9–2.5.2",
	})
	for _, found := range published.Ranges {
		assert.Equal(t, "quick", found.Implementation, "only what has several variants has ranges")
	}
}
