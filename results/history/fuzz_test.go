package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// FuzzHistory: a file of a stranger is refused in harmless words, or its entry
// is the same when it is written again; and so with a base before it.
func FuzzHistory(f *testing.F) {
	folder := f.TempDir()
	paths := write(f, folder)
	base, err := os.ReadFile(paths[0])
	require.NoError(f, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(nil))
	f.Add([]byte("{\"schema\":\"zmqmatrix/history/v2\u202e\"}\n"))
	f.Add([]byte("{\"cell\":\"\\u001b[2J\",\"gone\":true}\n{\"end\":{}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse("f.jsonl", data)
		if err != nil {
			requireHarmless(t, err)
			return
		}
		path := filepath.Join("2026", p.header.ID+suffix)
		loading := newLoading()
		if p.header.Base != nil {
			require.NoError(t, loading.add(paths[0], base))
		}
		before := len(loading.history.Entries)
		if err := loading.add(path, data); err != nil {
			requireHarmless(t, err)
			return
		}
		snapshot := loading.history.Snapshot(before)
		whole := text(t, snapshot)
		again := newLoading()
		require.NoError(t, again.add(path, []byte(whole)))
		require.Equal(t, whole, text(t, again.history.Snapshot(0)))
		for _, cell := range loading.history.Cells() {
			for _, change := range loading.history.Changes(cell) {
				requireVisible(t, change.Text())
			}
		}
	})
}

func requireHarmless(t *testing.T, err error) {
	t.Helper()
	require.Less(t, len(err.Error()), 32<<10)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		requireVisible(t, line)
	}
}

func requireVisible(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.True(t, unicode.IsPrint(r), "%q in %q", r, text)
	}
}
