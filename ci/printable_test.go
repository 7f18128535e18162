package ci

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestPrintable(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"ordinary text stays":                  {"größe 1 → 2, 名前", "größe 1 → 2, 名前"},
		"an escape sequence is written out":    {"\x1b[2Jgone", `\x1b[2Jgone`},
		"a C1 control is written out":          {"\u009b2J", `\x9b2J`},
		"a carriage return is written out":     {"pass\rfail", `pass\x0dfail`},
		"a new line is written out":            {"a\nb\tc", `a\nb\tc`},
		"a direction override is written out":  {"a\u202eb", `a\u202eb`},
		"an octet that is no UTF-8 is written": {"a\xffb", `a\xffb`},
		"a workflow command is written out":    {"::set-output name=a::b", `:\x3aset-output name=a::b`},
		"and so behind a blank":                {"a ::b a::b", `a :\x3ab a::b`},
		"and so of the older kind":             {"a##[add-mask]b", `a##\x5badd-mask]b`},
		"a tag character is written out":       {"\U000e0041", `\U000e0041`},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, printable(test.text)) })
	}
}

func TestPrintableLinesKeepsLinesAndNothingElse(t *testing.T) {
	assert.Equal(t, "a    b\n\\x1b[31mc", printableLines("a\tb\r\n\x1b[31mc\n"))
}

// requirePrintable finds what a terminal or a log could take for an order.
func requirePrintable(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		require.True(t, r == '\n' || unicode.IsPrint(r), "%U at byte %d of %.200q", r, i, text)
	}
	require.NotRegexp(t, `(?m)^\s*::|##\[`, text)
}

// FuzzPrintable: whatever the text, what is printed of it obeys nobody, and text
// that does already stays.
func FuzzPrintable(f *testing.F) {
	for _, text := range []string{
		"größe 1 → 2, 名前", "\x1b[2Jgone", "\u009b2J", "pass\rfail", "a\nb\tc", "a\u202eb", "a\xffb", "\U000e0041", "::stop-commands::x", " ::x\n::y", "##[group]###[[x", ":::: ::",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, lines := printable(text), printableLines(text)
		requirePrintable(t, line)
		requirePrintable(t, lines)
		assert.NotContains(t, line, "\n")
		assert.Equal(t, line, printable(line))
		assert.Equal(t, strings.TrimRight(lines, "\n"), printableLines(lines))
		assert.Equal(t, strings.Count(strings.TrimRight(text, "\n"), "\n"), strings.Count(lines, "\n"))
		assert.LessOrEqual(t, len(line), 10*len(text), "an escape has ten characters at most")
		assert.LessOrEqual(t, len(shortened(line)), mostLine+40)
	})
}

// What a client says of itself, and why it failed, is one harmless line of a
// run's progress, however long it is; and so it is where it is drawn.
func TestAHostileClientsWordsAreHarmlessInProgress(t *testing.T) {
	const said = "\x1b[2J\x1b]0;title\x07\r\u202eevil\u2066\n::set-output name=a::b\n  ::error::x ##[add-mask]y\n\xff|<script>"
	cell := matrix.Cell{Target: "quick@one", Binding: "ffi", Feature: "callback/same-thread", Technique: "plain"}
	hello := &matrix.Hello{Implementation: said, Version: said, Binding: said, BindingVersion: said, Libzmq: said}
	events := []matrix.Event{
		{Kind: matrix.EventStage, Text: said},
		{Kind: matrix.EventPreparing, Client: cell.Client(), Text: said},
		{Kind: matrix.EventPrepared, Client: cell.Client(), Account: &matrix.ClientAccount{Client: cell.Client(), Hello: hello}},
		{Kind: matrix.EventPrepared, Client: cell.Client(), Account: &matrix.ClientAccount{Client: cell.Client(), NotRun: said}},
		{Kind: matrix.EventPrepared, Client: cell.Client(), Account: &matrix.ClientAccount{Client: cell.Client(), Error: said}},
		{Kind: matrix.EventPrepared, Client: cell.Client(), Account: &matrix.ClientAccount{Client: cell.Client(), Distrust: said}},
		{Kind: matrix.EventAttempting, Cell: cell},
		{Kind: matrix.EventVerdict, Cell: cell, Verdict: &matrix.Verdict{Cell: cell, Outcome: matrix.Fail, Reason: strings.Repeat(said, 1000), Layer: matrix.LayerProbe}},
		{Kind: matrix.EventVerdict, Cell: cell, Verdict: &matrix.Verdict{Cell: cell, Outcome: matrix.Error, Reason: said}},
	}
	var out bytes.Buffer
	lines := &plainLines{out: &out, total: 1}
	drawn := newBoard(said, boardPlan("quick@one/ffi"), nil, boardStart)
	for _, event := range events {
		out.Reset()
		lines.Observe(event)
		requirePrintable(t, out.String())
		assert.LessOrEqual(t, out.Len(), mostLine+100)
		drawn.apply(event)
		drawn.log = said
		frame := strings.Join(drawn.frame(boardStart, canvas{width: 100, height: 40}), "\n")
		requirePrintable(t, regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(frame, ""))
	}
}
