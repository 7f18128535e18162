package results

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// TestRecordFormat holds today's writer to the record in testdata: what it
// wrote once can be read for as long as the schema's version stays.
func TestRecordFormat(t *testing.T) {
	written, err := os.ReadFile(writeRecord(t, sampleLines(t, matrix.Selection{})))
	require.NoError(t, err)
	golden(t, "record.jsonl", written)
}

func TestRenderings(t *testing.T) {
	published := samplePublished(t)
	page, err := Page(published)
	require.NoError(t, err)
	encoded, err := published.encode()
	require.NoError(t, err)
	explained := func(name string) []byte {
		cell, err := matrix.ParseCell(name)
		require.NoError(t, err)
		text, err := Explain(published, cell)
		require.NoError(t, err)
		return []byte(text)
	}
	for name, got := range map[string][]byte{
		"published.json":          encoded,
		"results.md":              []byte(Markdown(published)),
		"terminal-wide.txt":       []byte(Terminal(published, TerminalOptions{})),
		"terminal-100.txt":        []byte(Terminal(published, TerminalOptions{Width: 100})),
		"terminal-40.txt":         []byte(Terminal(published, TerminalOptions{Width: 40})),
		"terminal-color.txt":      []byte(Terminal(published, TerminalOptions{Width: 160, Color: true})),
		"page.html":               page,
		"explain-crash.txt":       explained("quick@one/zed/callback/io-thread-gc/plain"),
		"explain-best.txt":        explained("quick@one/ffi/zero-copy/callback-free"),
		"explain-flaky.txt":       explained("quick@one/ffi/zero-copy/deferred-free/plain"),
		"explain-error.txt":       explained("slow@one/ffi/messaging/req-rep"),
		"explain-not-run.txt":     explained("vendor@one/ffi/messaging/req-rep"),
		"explain-unsupported.txt": explained("slow@one/ffi/zero-copy/callback-free"),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, got) })
	}
}

// TestReadmeShowsThePublishedResults compares the repository's README.md with
// its published results.
func TestReadmeShowsThePublishedResults(t *testing.T) {
	path := filepath.Join("published", "latest.json")
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	_, missing := os.Stat(path)
	if os.IsNotExist(err) || os.IsNotExist(missing) {
		t.Logf("nothing to compare before the first publication: README.md: %v, results: %v", err, missing)
		return
	}
	require.NoError(t, err)
	published, err := ReadPublished(path)
	require.NoError(t, err)
	table, err := TableOf(readme)
	require.NoError(t, err)
	assert.Equal(t, MarkdownTable(published), table, "README.md is not up to date; make matrix or zmqmatrix publish renews its table")
	assert.False(t, published.Run.Partial, "a partial run is published")
}
