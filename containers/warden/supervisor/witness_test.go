//go:build linux

package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAWitnessLineThatIsNotOneIsNamedAndNotQuotedWhole(t *testing.T) {
	for name, text := range map[string]string{
		"no end":           strings.Repeat("x", 1<<20),
		"longer than any":  "send 1 1 0x1 1 1\n" + strings.Repeat("x", witnessLine) + "\n",
		"an unknown call":  strings.Repeat("x", 2000) + " 1 1 0x1 1 1\n",
		"a number too far": "send 1 1 0x1 1 " + strings.Repeat("9", 2000) + "\n",
		"lost beyond all":  "lost " + strings.Repeat("9", 2000) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "witness")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, _, err := readWitness(path, "libzmwitness.so")
			require.ErrorContains(t, err, "witness, line ")
			assert.Less(t, len(err.Error()), 500)
		})
	}
}

// FuzzReadWitness: the file is the probe's to write. What is taken of it is
// what it says, line by line; what is not is an error.
func FuzzReadWitness(f *testing.F) {
	for _, text := range []string{
		"send 40001 7 0x7f0000001000 65536 65536\n", "sendmsg 0 -1 0x1 0 -1\nlost 5\n", "write 1 1 0xffffffffffffffff 9223372036854775807 -9223372036854775808\n",
		"lost 1000\nlost 2000\n", "send 1 1 0x1 1 1\nsend 2 2", "lost -1\n", "send 65536 1 0x1 1 1\n", "exec 1 1 0x1 1 1\n", "\x1b[2J\n", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "witness")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		calls, lost, err := readWitness(path, "libzmwitness.so")
		if err != nil {
			assert.Empty(t, calls)
			return
		}
		lines := bytes.Count(text, []byte("\n"))
		assert.LessOrEqual(t, len(calls), lines)
		var again []byte
		for _, call := range calls {
			again = fmt.Appendf(again, "%s %d %d %#x %d %d\n", call.Call, call.Peer, call.Thread, call.Address, call.Length, call.Result)
		}
		again = fmt.Appendf(again, "lost %d\n", lost)
		require.NoError(t, os.WriteFile(path, again, 0o600))
		callsAgain, lostAgain, err := readWitness(path, "libzmwitness.so")
		require.NoError(t, err)
		assert.Equal(t, calls, callsAgain)
		assert.Equal(t, lost, lostAgain)
	})
}
