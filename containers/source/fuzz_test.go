package source

import (
	"os"
	"path/filepath"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzDefinitions: whatever a folder's .asd file holds, the tree is found to
// define the system, or the error says what it defines instead, in few and
// harmless words; and the tree that is taken is copied as it was.
func FuzzDefinitions(f *testing.F) {
	for _, text := range []string{
		`(defsystem "pzmq" :depends-on ("cffi"))`, `(asdf:defsystem #:pzmq)`, `(ASDF/USER::DEFSYSTEM :PZMQ/test)`, "; (defsystem \"pzmq\")\n", `(defsystem |pzmq|)`,
		"(defsystem \"\x1b[2J\u202e\n::error::\")", `(defsystem "a")(defsystem "b")`, "(defsystem \xff)", "",
	} {
		f.Add("pzmq.asd", []byte(text))
	}
	f.Add("\x1b[2J\u202e.asd", []byte(`(defsystem "pzmq")`))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		folder := t.TempDir()
		if !filepath.IsLocal(name) || filepath.Base(name) != name || os.WriteFile(filepath.Join(folder, name), content, 0o600) != nil {
			return
		}
		tree, err := Read(folder, "", "pzmq")
		if err != nil {
			assert.LessOrEqual(t, len(err.Error()), 5000)
			for _, r := range err.Error() {
				assert.True(t, unicode.IsPrint(r), "%U in %q", r, err)
			}
			return
		}
		require.Equal(t, "pzmq.asd", name)
		copied := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, tree.Write(copied))
		again, err := Read(copied, "", "pzmq")
		require.NoError(t, err)
		assert.Equal(t, tree.Digest, again.Digest)
	})
}
