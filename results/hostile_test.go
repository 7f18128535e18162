package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// hostile is what a client, or a target of a stranger, may try to smuggle into
// a rendering.
const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{.}}</pre></style>" +
	"\x1b[2J\x1b]0;title\x07\x00\r\u202eevil\u2066\u200f\u009b31m" +
	"|`*_[link](javascript:alert(3))\n::set-output name=a::b\n  ::stop-commands::x ##[add-mask]y\n\n# heading\n<!-- /zmqmatrix:table -->\xff http://evil.example www.evil.example"

// hostilePublished has hostile text wherever text can come from outside.
func hostilePublished(t testing.TB) Published {
	t.Helper()
	targets, features := hostileRegistry()
	published, err := FromRecord(writeRecord(t, hostileLines(t)), features, targets)
	require.NoError(t, err)
	plan, err := matrix.MakePlan(targets, features, matrix.Selection{})
	require.NoError(t, err)
	require.Len(t, published.Cells, plan.Cells)
	return published
}

// hostileRegistry is of a stranger's targets and features.
func hostileRegistry() ([]matrix.Target, []matrix.Feature) {
	targets := []matrix.Target{
		{
			Name: "c", Title: hostile, Family: hostile, Licence: hostile, Homepage: "javascript:alert(4)", Role: matrix.RolePositiveControl,
			Variants: []matrix.Variant{{Name: "one", Suite: hostile, Default: true}},
			Bindings: []matrix.Binding{{Name: "libzmq", Raw: true}},
		},
		{
			Name: hostile, Title: hostile, Family: hostile, Licence: hostile, Homepage: hostile,
			Variants:   []matrix.Variant{{Name: "one", Suite: hostile, Packages: []string{hostile}, Default: true}},
			Bindings:   []matrix.Binding{{Name: hostile, Title: hostile, Raw: true}},
			Techniques: map[string][]string{"*/*": {"plain", hostile}},
		},
	}
	features := []matrix.Feature{
		{Name: "callback/io-thread-gc", Requirement: hostile, Source: hostile, Method: hostile, Timing: true},
		{Name: "messaging/" + strings.ReplaceAll(hostile, "/", ""), Requirement: hostile, Source: hostile, Method: hostile},
	}
	return targets, features
}

// hostileLines are the record of a run of theirs.
func hostileLines(t testing.TB) []matrix.Line {
	t.Helper()
	targets, features := hostileRegistry()
	plan, err := matrix.MakePlan(targets, features, matrix.Selection{})
	require.NoError(t, err)
	header, _ := sampleHeader(t, matrix.Selection{})
	header.Tool, header.Environment.Engine, header.Environment.Host = hostile, hostile, hostile
	header.PlanDigest, header.Cells = plan.Digest, plan.Cells
	lines := []matrix.Line{{Type: matrix.LineHeader, Header: &header}}
	footer := matrix.Footer{Finished: sampleStart, Counts: map[matrix.Outcome]int{}}
	for _, client := range plan.Clients {
		account := &matrix.ClientAccount{
			Client: client.Client(), Title: client.Target.Title, Family: hostile, Suite: hostile, Raw: true, Control: client.Control,
			Image: hostile, Distrust: hostile,
			Hello: &matrix.Hello{Protocol: 1, Implementation: hostile, Version: hostile, Binding: hostile, BindingVersion: hostile, Libzmq: hostile, Collector: "none"},
		}
		lines = append(lines, matrix.Line{Type: matrix.LineClient, Client: account})
		for i, cell := range client.Cells {
			finding := matrix.Finding{Outcome: matrix.Crash, Signal: hostile, Reason: hostile}
			if client.Control || cell.Technique != "plain" && i < 2 {
				finding = matrix.Finding{Outcome: matrix.Pass, Reason: hostile}
			}
			attempt := sampleAttempt(cell, 1, sampleStart, finding)
			attempt.Key = hostile
			attempt.Evidence.Report.Steps = []string{hostile}
			attempt.Evidence.Report.Observations = []matrix.Observation{{Key: hostile, Value: hostile, Unit: hostile}}
			attempt.Evidence.Report.Closing = matrix.Closing{Type: matrix.ClosingFailed, Reason: hostile, Condition: hostile}
			attempt.Evidence.Sockets[0].Name = hostile
			attempt.Evidence.Seen.Sockets = map[string]matrix.SocketAccount{strings.ToValidUTF8(hostile, "\ufffd"): {Error: hostile, Rolling: hostile}}
			attempt.Evidence.Account.Stderr = []byte(hostile)
			attempt.Evidence.Account.Signal = hostile
			attempt.Evidence.Account.Dossier = &matrix.Dossier{Signal: hostile, Address: hostile, Code: hostile, Thread: hostile, Blocked: []string{hostile}, Backtrace: hostile, Missing: hostile,
				Page: hostile, Instruction: hostile, Threads: []matrix.ThreadState{{ID: 1, Name: hostile, State: hostile, Start: hostile + " in " + hostile, Maker: 1}}}
			verdict := matrix.Verdict{Cell: cell, Outcome: finding.Outcome, Reason: finding.Reason, Signal: finding.Signal, Attempts: 1}
			lines = append(lines, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt}, matrix.Line{Type: matrix.LineVerdict, Verdict: &verdict})
			if client.Control {
				footer.Controls = append(footer.Controls, matrix.ControlResult{Name: cell.String(), Expected: matrix.Pass, Outcome: matrix.Pass, Reason: hostile})
			}
		}
	}
	return append(lines, matrix.Line{Type: matrix.LineFooter, Footer: &footer})
}

// orders are what GitHub's runner obeys in a job's log; see Disarmed.
var orders = regexp.MustCompile(`(?m)^\s*::|##\[`)

// requireVisible finds every character that would not show itself, and what
// would be an order where it is printed.
func requireVisible(t *testing.T, text string) {
	t.Helper()
	if at := orders.FindStringIndex(text); at != nil {
		t.Fatalf("a workflow command stands at byte %d: %q", at[0], text[at[0]:min(len(text), at[0]+60)])
	}
	for i, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			from := max(0, i-40)
			t.Fatalf("%U stands unescaped at byte %d: %q", r, i, text[from:min(len(text), i+40)])
		}
	}
}

// withHostileVariants adds a second variant of the hostile client, and one that
// somebody of a hostile name measured.
func withHostileVariants(published Published) Published {
	client := published.Targets[len(published.Targets)-1]
	cells := published.Cells
	for i, suffix := range []string{" two", " three"} {
		more := client
		more.Target += suffix
		more.Version, more.Family = hostile+suffix, "common-lisp"
		if i == 1 {
			more.MeasuredBy = &Contributor{
				Name: hostile, Key: "SHA256:" + strings.Repeat("K", 43), Run: hostile, Tool: hostile, Finished: sampleStart, Runtime: hostile, Host: hostile,
			}
			published.Run.Merged = []MergedRun{{ID: hostile, Tool: hostile, Finished: sampleStart, Plan: hostile, Clients: 1, Cells: 1, Key: more.MeasuredBy.Key}}
		}
		published.Targets = append(published.Targets, more)
		for _, cell := range cells {
			if cell.Key().Client() == client.Key() {
				cell.Target = more.Target
				if i == 0 && cell.Technique == plainTechnique {
					cell.Outcome = matrix.Pass
				}
				published.Cells = append(published.Cells, cell)
			}
		}
	}
	published.fillBest()
	return published
}

func TestHostileTextIsEscapedEverywhere(t *testing.T) {
	t.Run("one variant", func(t *testing.T) { requireHarmless(t, hostilePublished(t)) })
	t.Run("several variants", func(t *testing.T) { requireHarmless(t, withHostileVariants(hostilePublished(t))) })
}

func requireHarmless(t *testing.T, published Published) {
	t.Run("published JSON is valid and fits its schema", func(t *testing.T) {
		encoded, err := published.encode()
		require.NoError(t, err)
		require.True(t, json.Valid(encoded))
		require.NoError(t, schema.CheckJSON(schema.Published, "latest.json", encoded))
	})
	t.Run("terminal", func(t *testing.T) {
		for _, width := range []int{0, 40, 100} {
			requireVisible(t, Terminal(published, TerminalOptions{Width: width}))
		}
		colored := Terminal(published, TerminalOptions{Color: true})
		requireVisible(t, regexp.MustCompile(`\x1b\[(0|3[1235])m`).ReplaceAllString(colored, ""))
	})
	t.Run("the question of 2010", func(t *testing.T) {
		for _, width := range []int{0, 40} {
			text, err := SeedsTerminal(published, TerminalOptions{Width: width})
			require.NoError(t, err)
			requireVisible(t, text)
		}
		document, err := SeedsMarkdown(published)
		require.NoError(t, err)
		requireVisible(t, document)
		assert.Equal(t, 1, strings.Count(document, "<"), "the source's address, and no tag")
		assert.Len(t, regexp.MustCompile(`[^\\]\]\(`).FindAllString(document, -1), 1, "the source's address, and no other link")
		assert.NotContains(t, document, "\n# heading")
		page, err := SeedsPage(published, "latest.html")
		require.NoError(t, err)
		requireVisible(t, string(page))
		clean, err := SeedsPage(samplePublished(t), "latest.html")
		require.NoError(t, err)
		tag := regexp.MustCompile(`<[/!]?[a-zA-Z][a-zA-Z0-9]*`)
		known := tag.FindAllString(string(clean), -1)
		for _, name := range tag.FindAllString(string(page), -1) {
			assert.Contains(t, known, name)
		}
		for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllSubmatch(page, -1) {
			assert.Regexp(t, `^(#quote-\d+|latest\.html(#.*)?|http://13-49\.blogspot\.com/.*)$`, string(link[1]))
		}
	})
	t.Run("explanation", func(t *testing.T) {
		for _, cell := range published.Cells {
			text, err := Explain(published, cell.Key())
			require.NoError(t, err)
			requireVisible(t, text)
		}
		_, err := Explain(published, matrix.Cell{Target: hostile, Binding: hostile, Feature: "no/such"})
		require.Error(t, err)
		requireVisible(t, err.Error())
	})
	t.Run("Markdown", func(t *testing.T) {
		document := Markdown(published)
		requireVisible(t, document)
		assert.NotContains(t, document, "<", "no tag")
		assert.NotRegexp(t, `[^\\]\]\(`, document, "no link")
		assert.NotContains(t, document, "://", "no link of its own accord")
		assert.NotContains(t, document, "\n# heading")
		rows := strings.Split(strings.TrimSuffix(MarkdownTable(published), "\n"), "\n")
		unescapedBar := regexp.MustCompile(`(^|[^\\])\|`)
		for _, row := range rows {
			assert.Len(t, unescapedBar.FindAllString(row, -1), len(unescapedBar.FindAllString(rows[1], -1)), "a cell more or less: %s", row)
		}
		readme, err := ReplaceTable([]byte(tableStart+"\n"+tableEnd), MarkdownTable(published))
		require.NoError(t, err)
		_, err = TableOf(readme)
		require.NoError(t, err, "the text can't close the table")
	})
	t.Run("HTML", func(t *testing.T) {
		page, err := Page(published)
		require.NoError(t, err)
		requireVisible(t, string(page))
		clean, err := Page(variantsPublished(t))
		require.NoError(t, err)
		more, err := Page(samplePublished(t))
		require.NoError(t, err)
		clean = append(clean, more...)
		tag := regexp.MustCompile(`<[/!]?[a-zA-Z][a-zA-Z0-9]*`)
		known := map[string]bool{}
		for _, name := range tag.FindAllString(string(clean), -1) {
			known[name] = true
		}
		for _, name := range tag.FindAllString(string(page), -1) {
			assert.True(t, known[name], "a tag that the page does not have: %s", name)
		}
		unquoted := regexp.MustCompile(`"[^"]*"`).ReplaceAll(page, []byte(`""`))
		assert.NotRegexp(t, `<[a-z][^>]*\son[a-z]+\s*=`, string(unquoted), "an event handler")
		for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllSubmatch(page, -1) {
			assert.True(t, bytes.HasPrefix(link[1], []byte("#")) || string(link[1]) == "seeds.html" || bytes.HasPrefix(link[1], []byte("https://")), "href %s", link[1])
		}
	})
}

func TestThePageNeedsNothingElse(t *testing.T) {
	page, err := Page(samplePublished(t))
	require.NoError(t, err)
	text := string(page)
	assert.Contains(t, text, `content="default-src 'none'; style-src 'unsafe-inline'"`)
	for _, loads := range []string{"<script", "<img", "<iframe", "<link", "src=", "@import", "url("} {
		assert.NotContains(t, text, loads)
	}
}

func TestEveryLinkOfThePageLeadsSomewhere(t *testing.T) {
	for name, published := range map[string]Published{
		"sample": samplePublished(t), "hostile": hostilePublished(t), "variants": variantsPublished(t), "hostile variants": withHostileVariants(hostilePublished(t)),
	} {
		t.Run(name, func(t *testing.T) {
			page, err := Page(published)
			require.NoError(t, err)
			ids := map[string]int{}
			for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllSubmatch(page, -1) {
				ids[string(id[1])]++
			}
			for id, count := range ids {
				assert.Equal(t, 1, count, "id %s", id)
			}
			links := regexp.MustCompile(`href="#([^"]*)"`).FindAllSubmatch(page, -1)
			require.NotEmpty(t, links)
			for _, link := range links {
				assert.NotZero(t, ids[string(link[1])], "%s", link[1])
			}
			for _, cell := range published.Cells {
				assert.NotZero(t, ids[anchor(cell.Target, cell.Binding, cell.Feature, cell.Technique)], "%s", cell.Key())
			}
		})
	}
}

func TestTerminalFitsItsWidth(t *testing.T) {
	for _, published := range []Published{samplePublished(t), variantsPublished(t)} {
		for _, width := range []int{40, 60, 80, 100, 120, 200} {
			for i, line := range strings.Split(Terminal(published, TerminalOptions{Width: width}), "\n") {
				assert.LessOrEqual(t, len([]rune(line)), width, fmt.Sprintf("width %d, line %d: %s", width, i+1, line))
			}
		}
	}
}
