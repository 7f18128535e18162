package results

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// requireHarmlessError holds an error to what a person, a terminal and a log
// can take. A schema's errors are one a line.
func requireHarmlessError(t *testing.T, err error) {
	t.Helper()
	requireVisible(t, err.Error())
	for line := range strings.SplitSeq(err.Error(), "\n") {
		require.LessOrEqual(t, len(line), 5000)
	}
}

// requireRendered has every renderer show the results, whatever they hold.
func requireRendered(t *testing.T, published Published) {
	t.Helper()
	for _, width := range []int{0, 40} {
		requireVisible(t, Terminal(published, TerminalOptions{Width: width}))
		seeds, err := SeedsTerminal(published, TerminalOptions{Width: width})
		require.NoError(t, err)
		requireVisible(t, seeds)
	}
	requireVisible(t, Markdown(published))
	requireVisible(t, MarkdownTable(published))
	readme, err := ReplaceTable([]byte(tableStart+"\n"+tableEnd), MarkdownTable(published))
	require.NoError(t, err)
	_, err = TableOf(readme)
	require.NoError(t, err, "the text can't close the table")
	seeds, err := SeedsMarkdown(published)
	require.NoError(t, err)
	requireVisible(t, seeds)
	page, err := Page(published)
	require.NoError(t, err)
	requireVisible(t, string(page))
	require.NotContains(t, string(page), "<script")
	page, err = SeedsPage(published, "latest.html")
	require.NoError(t, err)
	requireVisible(t, string(page))
	for _, cell := range published.Cells {
		explained, err := Explain(published, cell.Key())
		require.NoError(t, err)
		requireVisible(t, explained)
	}
}

// brief is results of one client and two cells: fuzzing a run's hundreds would
// change the same few fields over and over.
func brief(published Published) Published {
	published.Targets, published.Cells = published.Targets[:min(2, len(published.Targets))], published.Cells[:min(3, len(published.Cells))]
	published.fillBest()
	return published
}

// FuzzPublished: published results of a stranger are refused in harmless words,
// or are the same when they are written again, and every renderer shows them.
func FuzzPublished(f *testing.F) {
	for _, published := range []Published{brief(samplePublished(f)), brief(hostilePublished(f)), brief(withHostileVariants(hostilePublished(f)))} {
		encoded, err := published.encode()
		require.NoError(f, err)
		f.Add(encoded)
	}
	f.Add([]byte(`{"schema":"zmqmatrix/published/v1"}`))
	f.Add([]byte("{\"\u202e\":1,\"\\u001b[2J\":[{}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		published, err := parsePublished("f.json", data)
		if err != nil {
			requireHarmlessError(t, err)
			return
		}
		encoded, err := published.encode()
		require.NoError(t, err)
		again, err := parsePublished("f.json", encoded)
		require.NoError(t, err)
		reencoded, err := again.encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(reencoded))
		requireRendered(t, published)
	})
}

// FuzzRecord: a record of a stranger is refused in harmless words, at the same
// line by all who read it, or each line is the same when it is written again;
// what was gathered of it is shown.
func FuzzRecord(f *testing.F) {
	for _, path := range []string{"testdata/record.jsonl", writeRecord(f, hostileLines(f))} {
		record, err := os.ReadFile(path)
		require.NoError(f, err)
		// A header, a client, an attempt and a verdict are all kinds but one.
		lines := bytes.SplitAfter(record, []byte("\n"))
		var chosen [][]byte
		for _, kind := range []string{`{"type":"header"`, `{"type":"client"`, `{"type":"attempt"`, `{"type":"verdict"`, `{"type":"footer"`} {
			for _, line := range lines {
				if bytes.HasPrefix(line, []byte(kind)) {
					chosen = append(chosen, line)
					break
				}
			}
		}
		f.Add(bytes.Join(chosen, nil))
	}
	f.Add([]byte("{\"type\":\"header\",\"header\":{\"schema\":\"\u202e\",\"tool\":\"\\u001b[2J\"}}\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		folder := t.TempDir()
		path, again := filepath.Join(folder, "record.jsonl"), filepath.Join(folder, "again.jsonl")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		state, inspected := Inspect(path)
		var written []byte
		var failed error
		var lines []matrix.Line
		for line, err := range ReadRecord(path) {
			if failed = err; err != nil {
				break
			}
			lines = append(lines, line)
			require.NoError(t, encodeLine(line, func(encoded []byte) error {
				written = append(written, encoded...)
				return nil
			}))
		}
		require.Equal(t, failed, inspected)
		if failed != nil {
			requireHarmlessError(t, failed)
			_, err := FromRecord(path, sampleFeatures, sampleTargets)
			require.Equal(t, failed, err)
			return
		}
		require.Equal(t, int64(len(data)), state.Size+state.Torn)
		require.NoError(t, os.WriteFile(again, written, 0o600))
		count := 0
		for line, err := range ReadRecord(again) {
			require.NoError(t, err)
			require.Equal(t, lines[count], line)
			count++
		}
		require.Len(t, lines, count)
		published, err := FromRecord(path, sampleFeatures, sampleTargets)
		if err != nil {
			requireHarmlessError(t, err)
			return
		}
		requireRendered(t, published)
	})
}

// FuzzVisible: what text becomes is all visible, bounded where it is to be, and
// itself where it was harmless already.
func FuzzVisible(f *testing.F) {
	for _, text := range []string{hostile, "plain", "größe 1 → 2, 名前", "", "a\r\nb\tc", "::set-output name=a::b", " ::x", "##[add-mask]x", ":::", "###[[", "it's", "\xff\xfe\xc3", "\x80\x80"} {
		f.Add(text, 5)
		f.Add(text, 1)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		line, lines := visible(text), visibleLines(text)
		requireVisible(t, line)
		requireVisible(t, lines)
		assert.NotContains(t, line, "\n")
		assert.Equal(t, line, visible(line))
		assert.Equal(t, lines, visibleLines(lines))
		assert.LessOrEqual(t, len(lines), 10*len(text), "an escape has ten characters at most")
		requireVisible(t, stopped(text))

		most = max(most, -most, 0) % 100
		shown := Shown(text, most)
		requireVisible(t, shown)
		assert.NotContains(t, shown, "\n")
		assert.LessOrEqual(t, len(shown), most+40)
		for name, cut := range map[string]func(string, int) string{"bounded": bounded, "boundedTail": boundedTail} {
			short := cut(text, most)
			assert.True(t, utf8.ValidString(short), name)
			// A replacement character has three bytes, for one.
			assert.LessOrEqual(t, len(short), 3*most+40, name)
			if len(text) <= most && utf8.ValidString(text) {
				assert.Equal(t, text, short, name)
			}
		}

		word := ShellWord(text)
		if word != text {
			require.True(t, len(word) >= 2 && word[0] == '\'' && word[len(word)-1] == '\'')
			assert.Equal(t, text, strings.ReplaceAll(word[1:len(word)-1], `'\''`, "'"))
		} else {
			assert.NotContains(t, word, " ")
		}
	})
}

// FuzzDecodeLine: a line of a record that is written by hand, as all attempts
// are, is the one that encoding/json writes.
func FuzzDecodeLine(f *testing.F) {
	for _, line := range hostileLines(f) {
		encoded, err := json.Marshal(line)
		require.NoError(f, err)
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var line matrix.Line
		if json.Unmarshal(data, &line) != nil || checkLine(line) != "" {
			return
		}
		want, err := appendJSON(nil, line)
		require.NoError(t, err)
		require.NoError(t, encodeLine(line, func(encoded []byte) error {
			require.Equal(t, string(want), strings.TrimSuffix(string(encoded), "\n"))
			return nil
		}))
	})
}
