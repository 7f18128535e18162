package endpoint_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// recited is a stream that says what it has to, and hears nothing.
type recited struct{ io.Reader }

func (recited) Write(data []byte) (int, error) { return len(data), nil }
func (recited) Close() error                   { return nil }

// FuzzReplies: whatever comes instead of an endpoint's greeting and reply, the
// client comes to an end, and an error is no lane and no account.
func FuzzReplies(f *testing.F) {
	for _, said := range []string{
		goodGreeting, goodGreeting + `{"id":1,"lane":{"id":"1","endpoints":{"sink":"tcp://127.0.0.1:40001"}}}` + "\n" + `{"id":2,"account":{"sockets":{"sink":{"received":8,"bytes":9,"sent":0,"rolling":"00","peers":1}}}}` + "\n",
		goodGreeting + `{"id":1,"error":"no"}` + "\n", goodGreeting + `{"id":9}` + "\n", goodGreeting + `{"id":1,"account":{}}` + "\n", goodGreeting + "null\n", "\x1b[2J\n", `{"endpoint":2}` + "\n", "",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		client, err := endpoint.NewClient(t.Context(), recited{bytes.NewReader(said)})
		if err != nil {
			assert.LessOrEqual(t, len(err.Error()), 1000)
			return
		}
		lane, err := client.Open(t.Context(), sinkRequest)
		if err != nil {
			assert.Equal(t, matrix.Lane{}, lane)
		}
		seen, err := client.CloseLane(t.Context(), lane.ID)
		if err != nil {
			assert.Equal(t, matrix.LaneAccount{}, seen)
		}
		require.NoError(t, client.Close(t.Context()))
	})
}
