//go:build cgo

package peer_test

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
)

// BenchmarkSink compares the sink, which digests every message, with a plain C
// receive loop, which does not look at them. "of-C" is the ratio of their
// throughputs, the median over b.N rounds that each measure both in turn: the
// machine's other load then hits both alike. One round tells little where four
// threads share two cores: run it with -benchtime 20x, as `make bench` does.
//
// Two things differ besides: our process has malloc keep what is freed
// (keep_memory), which the plain loop's does not and which tells for large
// bodies; and our time includes closing the lane, which waits until the sender
// has gone, where the plain loop's ends with the last message.
func BenchmarkSink(b *testing.B) {
	for _, load := range []struct {
		name        string
		size, count int
	}{
		{"64B", 64, 3_000_000},
		{"1KiB", 1 << 10, 300_000},
		{"64KiB", 64 << 10, 15_000},
		{"1MiB", 1 << 20, 1_500},
	} {
		b.Run(load.name, func(b *testing.B) {
			ours, err := peer.New(peer.Options{Bind: "127.0.0.1"})
			require.NoError(b, err)
			defer ours.Close(b.Context())
			var ratios, rates []float64
			for round := 0; b.Loop(); round++ {
				var mine, plain time.Duration
				if round%2 == 0 {
					mine = sinkTime(b, ours, load.size, load.count)
					plain = plainTime(b, load.size, load.count)
				} else {
					plain = plainTime(b, load.size, load.count)
					mine = sinkTime(b, ours, load.size, load.count)
				}
				ratios = append(ratios, plain.Seconds()/mine.Seconds())
				rates = append(rates, float64(load.count)/mine.Seconds())
			}
			b.ReportMetric(median(ratios), "of-C")
			b.ReportMetric(median(rates), "msg/s")
		})
	}
}

// sinkTime is the time from before the sender is started until the lane's
// account is there, closing included.
func sinkTime(b *testing.B, ours *peer.Peer, size, count int) time.Duration {
	lane, err := ours.Open(b.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{
		{Name: "sink", Role: matrix.RoleSink, Sizes: []int{size}},
	}})
	require.NoError(b, err)
	start := time.Now()
	runSelf(b, "send", lane.Endpoints["sink"], strconv.Itoa(size), strconv.Itoa(count))
	account, err := ours.CloseLane(b.Context(), lane.ID)
	taken := time.Since(start)
	require.NoError(b, err)
	require.EqualValues(b, count, account.Sockets["sink"].Received)
	require.Empty(b, account.Sockets["sink"].Error)
	return taken
}

// plainTime is the time from before the sender is started until the plain
// loop has received all, in a process of its own: the sink sets up malloc for
// its whole process.
func plainTime(b *testing.B, size, count int) time.Duration {
	receiver := self(b, "receive", strconv.Itoa(count))
	receiver.Stderr = os.Stderr
	output, err := receiver.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, receiver.Start())
	lines := bufio.NewScanner(output)
	require.True(b, lines.Scan())
	address := lines.Text()
	start := time.Now()
	sender := self(b, "send", address, strconv.Itoa(size), strconv.Itoa(count))
	require.NoError(b, sender.Start())
	require.True(b, lines.Scan())
	taken := time.Since(start)
	require.Equal(b, "received", lines.Text())
	require.NoError(b, sender.Wait())
	require.NoError(b, receiver.Wait())
	return taken
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
