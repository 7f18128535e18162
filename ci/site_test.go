package ci

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheSiteIsServedUntilCtrlC makes a site of what is published, for this
// machine alone, and leaves nothing of it.
func TestTheSiteIsServedUntilCtrlC(t *testing.T) {
	dir := t.TempDir()
	checkout(t, dir)
	readme := []byte("<!-- zmqmatrix:table -->\n<!-- /zmqmatrix:table -->\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), readme, 0o644))
	temporary := t.TempDir()
	env := []string{"TMPDIR=" + temporary}
	require.NoError(t, command(t, dir, env, "run", "--publish").Run())
	serving := command(t, dir, env, "serve-site", "--port", "0", "--json")
	out, err := serving.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, serving.Start())
	defer serving.Process.Kill()
	var said struct{ Address, Dir string }
	require.NoError(t, json.NewDecoder(bufio.NewReader(out)).Decode(&said))
	address, err := url.Parse(said.Address)
	require.NoError(t, err)
	assert.True(t, net.ParseIP(address.Hostname()).IsLoopback(), said.Address)
	get := func(path string) (int, string) {
		answer, err := http.Get(said.Address + path)
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	status, text := get("")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "Which language implementation")
	for _, hidden := range []string{"cells/", ".git/config", "../../etc/passwd", "nothing.html"} {
		status, _ := get(hidden)
		assert.Equal(t, http.StatusNotFound, status, hidden)
	}
	require.NoError(t, serving.Process.Signal(os.Interrupt))
	require.NoError(t, serving.Wait(), "it ends well")
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	assert.Empty(t, left)
}
