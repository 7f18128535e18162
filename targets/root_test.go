package targets

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sourceTree makes a folder that passes for the module's source tree.
func sourceTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("// a comment\nmodule "+Module+" // another\n\ngo 1.26\n"), 0o644))
	return root
}

// noGo is a go command that nothing should need.
func noGo(t *testing.T) func(string, ...string) ([]byte, error) {
	return func(_ string, arguments ...string) ([]byte, error) {
		t.Errorf("go %s was run", strings.Join(arguments, " "))
		return nil, errors.New("not to be run")
	}
}

func TestTheVariableComesFirst(t *testing.T) {
	named, around := sourceTree(t), sourceTree(t)
	root, err := finder{variable: named, goCommand: noGo(t)}.find(around)
	require.NoError(t, err)
	assert.Equal(t, named, root)
}

func TestAVariableThatNamesAnotherFolderIsAnError(t *testing.T) {
	_, err := finder{variable: t.TempDir(), goCommand: noGo(t)}.find(sourceTree(t))
	require.ErrorIs(t, err, ErrNoRoot)
	assert.ErrorContains(t, err, "let it name a checkout, or unset it")
}

func TestTheTreeIsFoundFromAFolderInIt(t *testing.T) {
	tree := sourceTree(t)
	inside := filepath.Join(tree, "a", "b")
	require.NoError(t, os.MkdirAll(inside, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "a", "go.mod"), []byte("module example.org/a\n"), 0o644))
	root, err := finder{goCommand: noGo(t)}.find(inside)
	require.NoError(t, err)
	assert.Equal(t, tree, root)
}

func TestADependencyIsFoundWhereGoKeepsIt(t *testing.T) {
	tree, consumer := sourceTree(t), t.TempDir()
	root, err := finder{goCommand: func(dir string, arguments ...string) ([]byte, error) {
		assert.Equal(t, consumer, dir)
		assert.Equal(t, []string{"list", "-mod=readonly", "-m", "-f", "{{.Dir}}", Module}, arguments)
		return []byte(tree + "\n"), nil
	}}.find(consumer)
	require.NoError(t, err)
	assert.Equal(t, tree, root)
}

func TestATestIsCompiledFromTheDependency(t *testing.T) {
	tree, nearer, consumer := sourceTree(t), sourceTree(t), t.TempDir()
	source := filepath.Join(tree, "targets", "root.go")
	root, err := finder{source: source, goCommand: noGo(t)}.find(consumer)
	require.NoError(t, err)
	assert.Equal(t, tree, root)
	root, err = finder{source: source, goCommand: noGo(t)}.find(nearer)
	require.NoError(t, err)
	assert.Equal(t, nearer, root)

	// With -trimpath, from a vendor folder, or moved to another machine.
	for _, source := range []string{"targets/root.go", Module + "@v1.2.3/targets/root.go", filepath.Join(consumer, "vendor", Module, "targets/root.go")} {
		asked := false
		root, err = finder{source: source, goCommand: func(string, ...string) ([]byte, error) {
			asked = true
			return []byte(tree + "\n"), nil
		}}.find(consumer)
		require.NoError(t, err)
		assert.Equal(t, tree, root)
		assert.True(t, asked, source)
	}

	root, err = RootOfTest(t.TempDir())
	require.NoError(t, err)
	here, err := filepath.Abs("..")
	require.NoError(t, err)
	assert.Equal(t, here, root)
}

func TestADependencyThatIsNotThereYetIsDownloaded(t *testing.T) {
	tree := sourceTree(t)
	root, err := finder{goCommand: func(_ string, arguments ...string) ([]byte, error) {
		if arguments[0] == "list" {
			return []byte("\n"), nil
		}
		assert.Equal(t, []string{"mod", "download", "-json", Module}, arguments)
		return []byte(`{"Dir":"` + tree + `"}`), nil
	}}.find(t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, tree, root)
}

func TestAReleaseIsDownloaded(t *testing.T) {
	tree := sourceTree(t)
	root, err := finder{version: "v1.2.3", goCommand: func(_ string, arguments ...string) ([]byte, error) {
		if arguments[0] == "list" {
			return nil, errors.New("go list: not a known dependency")
		}
		assert.Equal(t, []string{"mod", "download", "-json", Module + "@v1.2.3"}, arguments)
		return []byte(`{"Dir":"` + tree + `"}`), nil
	}}.find(t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, tree, root)
}

func TestWithoutATreeTheErrorSaysWhatWasTriedAndWhatToDo(t *testing.T) {
	start := t.TempDir()
	_, err := finder{version: "v9.9.9", goCommand: func(_ string, arguments ...string) ([]byte, error) {
		if arguments[0] == "list" {
			return nil, errors.New("go list: exit status 1: not a known dependency")
		}
		return []byte(`{"Error":"unknown revision v9.9.9"}`), errors.New("go mod: exit status 1: ")
	}}.find(start)
	require.ErrorIs(t, err, ErrNoRoot)
	assert.EqualError(t, err, `zmqmatrix's source tree, which holds the targets, was not found:
  in `+start+` or above it: no go.mod of module github.com/zmqmatrix/zmqmatrix
  as a dependency of the module there: go list: exit status 1: not a known dependency
  as the release this program was built from: go mod download github.com/zmqmatrix/zmqmatrix@v9.9.9: unknown revision v9.9.9
Run it inside a checkout, or let ZMQMATRIX_ROOT name one`)
}

func TestTheGoCommandsOwnWordsAreInTheError(t *testing.T) {
	_, err := goCommand(t.TempDir(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", Module)
	require.ErrorContains(t, err, "go list: exit status 1: go: ")
	assert.NotContains(t, err.Error(), "\n")
}

func TestARealConsumerFindsTheTreeThroughGo(t *testing.T) {
	tree, consumer := sourceTree(t), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(consumer, "go.mod"), []byte(
		"module example.org/binding\n\ngo 1.26\n\nrequire "+Module+" v0.0.0\n\nreplace "+Module+" => "+tree+"\n"), 0o644))
	root, err := finder{goCommand: goCommand}.find(consumer)
	require.NoError(t, err)
	assert.Equal(t, tree, root)
}

func TestOnlyAReleaseCanBeDownloadedAgain(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "(devel)": "", "": "", "v0.0.0-20261123200000-0123456789ab+dirty": "",
	} {
		assert.Equal(t, want, builtFrom(&debug.BuildInfo{Main: debug.Module{Path: Module, Version: version}}), version)
	}
	asDependency := &debug.BuildInfo{Main: debug.Module{Path: "example.org/binding", Version: "v3.0.0"}, Deps: []*debug.Module{{Path: Module, Version: "v1.0.0"}}}
	assert.Equal(t, "v1.0.0", builtFrom(asDependency))
	asDependency.Deps[0].Replace = &debug.Module{Path: "../zmqmatrix"}
	assert.Empty(t, builtFrom(asDependency), "a replacement is not what the proxy has")
}
