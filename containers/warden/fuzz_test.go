package warden_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// recited is a stream that says what it has to, and hears nothing.
type recited struct{ io.Reader }

func (recited) Write(data []byte) (int, error) { return len(data), nil }
func (recited) Close() error                   { return nil }

// FuzzReplies: whatever comes instead of a warden's greeting and reply, the
// client comes to an end, with an account or with an error that shows little of
// a line that can't be trusted.
func FuzzReplies(f *testing.F) {
	for _, said := range []string{
		greeting, greeting + `{"id":1,"account":{"ending":"exited","code":0,"wall":1,"user":1,"system":1,"peak_rss":1,"baseline_rss":1},"stdout":"e30K"}` + "\n",
		greeting + `{"id":1,"error":"no"}` + "\n", greeting + `{"id":2,"error":"no"}` + "\n", greeting + `{"id":1}` + "\n", greeting + "{}{}\n", greeting + "\x1b[2J\xff\n",
		`{"warden":2}` + "\n", "null\n", "", greeting + `{"id":1,"account":{"ending":"\u202e","witness":[{"call":"send","peer":1,"thread":1,"address":1,"length":1,"result":1}],"stderr":"AA=="}}` + "\n",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		client, err := warden.NewClient(t.Context(), recited{bytes.NewReader(said)})
		if err != nil {
			assert.LessOrEqual(t, len(err.Error()), 3000+len(said))
			return
		}
		account, err := client.Run(t.Context(), matrix.Task{Command: []string{"/probe"}})
		require.NoError(t, client.Close())
		if err != nil {
			assert.Zero(t, account)
			return
		}
		// It stands in a record.
		encoded, err := json.Marshal(account)
		require.NoError(t, err)
		var again matrix.Account
		require.NoError(t, json.Unmarshal(encoded, &again))
		encodedAgain, err := json.Marshal(again)
		require.NoError(t, err)
		assert.JSONEq(t, string(encoded), string(encodedAgain))
	})
}

// FuzzLines: in whatever pieces they come, lines are those that were sent; one
// that is too long is skipped, whole, and no more is kept of it than the limit.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\nbcd\nefghijk\nl"), 4, true)
	f.Add([]byte("\n"), 0, false)
	f.Add(bytes.Repeat([]byte("x"), 100<<10), 10, false)
	f.Fuzz(func(t *testing.T, sent []byte, limit int, byBytes bool) {
		limit = max(0, limit%1000)
		var source io.Reader = bytes.NewReader(sent)
		if byBytes {
			source = iotest.OneByteReader(source)
		}
		lines := warden.NewLines(source, limit)
		whole := bytes.SplitAfter(sent, []byte("\n"))
		for _, want := range whole[:len(whole)-1] {
			line, err := lines.Next()
			want = bytes.TrimSuffix(want, []byte("\n"))
			if len(want) > limit {
				require.ErrorIs(t, err, warden.ErrLineTooLong)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, string(want), string(line))
		}
		_, err := lines.Next()
		if len(whole[len(whole)-1]) > 0 {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		} else {
			require.ErrorIs(t, err, io.EOF)
		}
		assert.LessOrEqual(t, lines.Waiting(), limit+64<<10, "what one read takes comes on top")
		require.False(t, errors.Is(lines.Fill(), nil), "the end stays")
	})
}
