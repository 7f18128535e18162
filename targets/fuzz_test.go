package targets_test

import (
	"os"
	"path/filepath"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// FuzzTarget: whatever a stranger's target.yaml says, it is refused with
// harmless words for each mistake, or it can be planned.
func FuzzTarget(f *testing.F) {
	paths, err := filepath.Glob("*/target.yaml")
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range append(paths, "testdata/good/targets/beta/target.yaml") {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root := t.TempDir()
		folder := filepath.Join(root, "targets", "fuzzed")
		require.NoError(t, os.MkdirAll(folder, 0o755))
		path := filepath.Join(folder, "target.yaml")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		target, err := targets.LoadFile(root, path)
		if err != nil {
			problems := schema.Problems(err)
			assert.NotEmpty(t, problems, "no mistake of the file's: %v", err)
			for _, problem := range problems {
				assert.LessOrEqual(t, len(problem.Error()), 3000)
				for _, r := range problem.Error() {
					assert.True(t, unicode.IsPrint(r), "%U in %q", r, problem)
				}
			}
			return
		}
		_, err = matrix.MakePlan([]matrix.Target{target}, []matrix.Feature{{Name: "callback/same-thread"}}, matrix.Selection{})
		assert.NoError(t, err)
	})
}
