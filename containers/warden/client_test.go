package warden_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const greeting = `{"warden":2,"pid":1}` + "\n"

// scripted plays a warden: it says greeting, then answers the n-th request with
// replies[n], and ends.
func scripted(greeting string, replies ...string) io.ReadWriteCloser {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := io.WriteString(theirs, greeting); err != nil {
			return
		}
		lines := warden.NewLines(theirs, warden.MaxRequestLine)
		for _, reply := range replies {
			if _, err := lines.Next(); err != nil {
				return
			}
			if _, err := io.WriteString(theirs, reply); err != nil {
				return
			}
		}
	}()
	return ours
}

func TestGreetings(t *testing.T) {
	for _, test := range []struct{ name, greeting, says string }{
		{"another version", `{"warden":1,"pid":1,"colour":"red"}` + "\n", "speaks 1, this program 2"},
		{"an unknown key", `{"warden":2,"pid":1,"colour":"red"}` + "\n", "colour"},
		{"another program", "login: \n", "no warden's greeting"},
		{"nothing", "", "its output ended"},
		{"half a line", `{"warden":2`, "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := warden.NewClient(t.Context(), scripted(test.greeting))
			require.ErrorContains(t, err, test.says)
			assert.Equal(t, test.name == "another version", errors.Is(err, warden.ErrVersion))
		})
	}
	t.Run("none, and a limit", func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := warden.NewClient(ctx, ours)
		require.ErrorIs(t, err, context.Canceled)
		_, err = theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "the stream was closed")
	})
}

func TestReplies(t *testing.T) {
	for _, test := range []struct{ name, reply, says string }{
		{"an error", `{"id":1,"error":"start /zm/probe: no such file"}` + "\n", "the warden: start /zm/probe: no such file"},
		{"another request's", `{"id":7,"account":{"ending":"exited"}}` + "\n", "request 7 instead of 1"},
		{"neither account nor error", `{"id":1}` + "\n", "exactly one"},
		{"both", `{"id":1,"account":{"ending":"exited"},"error":"x"}` + "\n", "exactly one"},
		{"a core file and an error", `{"id":1,"core":{"offset":0,"data":""},"error":"x"}` + "\n", "exactly one"},
		{"a core file that nobody asked for", `{"id":1,"core":{"offset":0,"data":"aGkK"}}` + "\n", "nobody asked for"},
		{"an unknown key", `{"id":1,"account":{"ending":"exited","colour":"red"}}` + "\n", "colour"},
		{"no JSON", "Killed\n", "Killed"},
		{"the end", "", "its output ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := warden.NewClient(t.Context(), scripted(greeting, test.reply))
			require.NoError(t, err)
			_, err = client.Run(t.Context(), matrix.Task{Command: []string{"true"}})
			require.ErrorContains(t, err, test.says)
			if test.name != "an error" {
				assert.ErrorIs(t, err, warden.ErrGone)
				_, err = client.Run(t.Context(), matrix.Task{Command: []string{"true"}})
				assert.ErrorIs(t, err, warden.ErrGone, "and it stays so")
			}
			require.NoError(t, client.Close())
		})
	}
	t.Run("an account with its output", func(t *testing.T) {
		client, err := warden.NewClient(t.Context(), scripted(greeting,
			`{"id":1,"account":{"ending":"signaled","code":0,"signal":"SIGSEGV","wall":5},"stdout":"aGkK"}`+"\n",
			`{"id":2,"account":{"ending":"exited","code":3}}`+"\n"))
		require.NoError(t, err)
		account, err := client.Run(t.Context(), matrix.Task{Command: []string{"true"}})
		require.NoError(t, err)
		assert.Equal(t, matrix.Account{Ending: matrix.Signaled, Signal: "SIGSEGV", Wall: 5, Stdout: []byte("hi\n")}, account)
		account, err = client.Run(t.Context(), matrix.Task{Command: []string{"true"}})
		require.NoError(t, err)
		assert.Equal(t, matrix.Account{Ending: matrix.Exited, Code: 3}, account)
		require.NoError(t, client.Close())
	})
	t.Run("an account with a core file", func(t *testing.T) {
		client, err := warden.NewClient(t.Context(), scripted(greeting,
			`{"id":1,"core":{"offset":4,"data":"aGk="}}`+"\n"+`{"id":1,"core":{"offset":9,"data":""}}`+"\n"+`{"id":1,"account":{"ending":"signaled","code":0,"signal":"SIGSEGV"}}`+"\n",
			`{"id":2,"account":{"ending":"signaled","code":0,"signal":"SIGPIPE"},"core_missing":"none is made"}`+"\n"))
		require.NoError(t, err)
		core, err := os.Create(filepath.Join(t.TempDir(), "core"))
		require.NoError(t, err)
		defer core.Close()
		account, err := client.Run(t.Context(), matrix.Task{Command: []string{"true"}, Core: core})
		require.NoError(t, err)
		assert.Equal(t, matrix.Account{Ending: matrix.Signaled, Signal: "SIGSEGV"}, account)
		content, err := os.ReadFile(core.Name())
		require.NoError(t, err)
		assert.Equal(t, "\x00\x00\x00\x00hi\x00\x00\x00", string(content))
		account, err = client.Run(t.Context(), matrix.Task{Command: []string{"true"}, Core: core})
		require.NoError(t, err)
		assert.Equal(t, "none is made", account.CoreMissing)
		require.NoError(t, client.Close())
	})
	t.Run("a core file that can't be kept", func(t *testing.T) {
		client, err := warden.NewClient(t.Context(), scripted(greeting,
			`{"id":1,"core":{"offset":4,"data":"aGk="}}`+"\n"+`{"id":1,"core":{"offset":6,"data":""}}`+"\n"+`{"id":1,"account":{"ending":"exited","code":0}}`+"\n",
			`{"id":2,"account":{"ending":"exited","code":3}}`+"\n"))
		require.NoError(t, err)
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		defer full.Close()
		_, err = client.Run(t.Context(), matrix.Task{Command: []string{"true"}, Core: full})
		require.ErrorContains(t, err, "keep the core file: ")
		require.ErrorIs(t, err, syscall.ENOSPC)
		account, err := client.Run(t.Context(), matrix.Task{Command: []string{"true"}})
		require.NoError(t, err, "the warden is well")
		assert.Equal(t, 3, account.Code)
		require.NoError(t, client.Close())
	})
	t.Run("a task too large is refused before it is sent", func(t *testing.T) {
		client, err := warden.NewClient(t.Context(), scripted(greeting, ""))
		require.NoError(t, err)
		_, err = client.Run(t.Context(), matrix.Task{Command: []string{strings.Repeat("x", warden.MaxRequestLine)}})
		require.ErrorContains(t, err, "at most")
		require.NoError(t, client.Close())
	})
}

func TestLines(t *testing.T) {
	const limit = 100
	for _, test := range []struct{ name, text, want string }{
		{"lines", "a\n\nbc\n", "a||bc|EOF"},
		{"a cut last line", "a\nbc", "a|unexpected EOF"},
		{"a line at the limit", strings.Repeat("x", limit) + "\nb\n", strings.Repeat("x", limit) + "|b|EOF"},
		{"a line above it", strings.Repeat("x", limit+1) + "\nb\n", "too long|b|EOF"},
		{"far above it", strings.Repeat("x", 1000*limit) + "\nb\n", "too long|b|EOF"},
		{"two of them", strings.Repeat("x", 5*limit) + "\n" + strings.Repeat("y", 5*limit) + "\nb\n", "too long|too long|b|EOF"},
		{"one without end", strings.Repeat("x", 1000*limit), "unexpected EOF"},
	} {
		for _, chunk := range []int{1, 7, 64 << 10} {
			t.Run(fmt.Sprintf("%s in chunks of %d", test.name, chunk), func(t *testing.T) {
				lines := warden.NewLines(chunked{strings.NewReader(test.text), chunk}, limit)
				var got []string
				for {
					line, err := lines.Next()
					if errors.Is(err, warden.ErrLineTooLong) {
						got = append(got, "too long")
						continue
					}
					if err != nil {
						got = append(got, err.Error())
						break
					}
					got = append(got, string(line))
				}
				assert.Equal(t, test.want, strings.Join(got, "|"))
			})
		}
	}
}

// chunked reads few bytes at a time.
type chunked struct {
	io.Reader
	size int
}

func (c chunked) Read(buffer []byte) (int, error) {
	return c.Reader.Read(buffer[:min(len(buffer), c.size)])
}
