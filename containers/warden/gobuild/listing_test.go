package gobuild

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module is a module of two packages, one of which embeds a folder, that was left
// alone long ago. The go command that answers for it is counted.
type module struct {
	options Options
	asked   string // a line for each time
}

func newModule(t *testing.T) *module {
	t.Helper()
	m := &module{asked: filepath.Join(t.TempDir(), "asked")}
	m.options = Options{Root: t.TempDir(), CacheDir: t.TempDir(), Package: "./program"}
	m.write(t, "go.mod", "module example.org/module\n\ngo 1.21\n")
	m.write(t, "program/main.go", "package main\n\nimport _ \"example.org/module/deep/used\"\n\nfunc main() {}\n")
	m.write(t, "deep/used/used.go", "package used\n\nimport \"embed\"\n\n//go:embed data\nvar data embed.FS\n")
	m.write(t, "deep/used/data/one.txt", "one")
	m.write(t, "unused/unused.go", "package unused\n")
	m.settle(t)

	// It stands where go does, and asks the real one.
	folder := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho \"$1\" >>'%s'\nPATH='%s' exec go \"$@\"\n", m.asked, os.Getenv("PATH"))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o755))
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	return m
}

func (m *module) write(t *testing.T, name, content string) {
	t.Helper()
	name = filepath.Join(m.options.Root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
}

// settle makes the module's files an hour old.
func (m *module) settle(t *testing.T) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	require.NoError(t, filepath.WalkDir(m.options.Root, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, old, old)
	}))
}

// listed is Listed, and whether go was asked for it. If it was not, what was kept
// must be what go says.
func (m *module) listed(t *testing.T) (asked bool) {
	t.Helper()
	before := m.times(t)
	kept, err := Listed(t.Context(), m.options)
	require.NoError(t, err)
	if m.times(t) > before {
		return true
	}
	fresh, err := List(t.Context(), m.options)
	require.NoError(t, err)
	require.Equal(t, fresh, kept)
	return false
}

func (m *module) times(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(m.asked)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return strings.Count(string(text), "list\n")
}

func TestListed_asks_once(t *testing.T) {
	m := newModule(t)
	assert.True(t, m.listed(t))
	assert.False(t, m.listed(t), "nothing has changed")

	other := *m
	other.options.Cgo = true
	assert.True(t, other.listed(t), "with cgo, a package may be made from other files")
	assert.False(t, m.listed(t), "each has its own")

	require.NoError(t, os.WriteFile(filepath.Join(m.options.CacheDir, "listings", "other"), []byte("{"), 0o644))
	kept, err := filepath.Glob(filepath.Join(m.options.CacheDir, "listings", "*.json"))
	require.NoError(t, err)
	require.Len(t, kept, 2)
	for _, file := range kept {
		require.NoError(t, os.WriteFile(file, []byte(`{"State":"`), 0o644))
	}
	assert.True(t, m.listed(t), "a file that is cut off says nothing")
	assert.False(t, m.listed(t))
}

func TestListed_asks_again_when_it_could_be_otherwise(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, m *module){
		"a file's content": func(t *testing.T, m *module) { m.write(t, "program/main.go", "package main\n\nfunc main() {}\n") },
		"a new file":       func(t *testing.T, m *module) { m.write(t, "deep/used/more.go", "package used\n\nimport _ \"embed\"\n") },
		"a file is gone": func(t *testing.T, m *module) {
			m.write(t, "deep/used/used.go", "package used\n")
			require.NoError(t, os.Remove(filepath.Join(m.options.Root, "deep/used/data/one.txt")))
		},
		"a new embedded file": func(t *testing.T, m *module) { m.write(t, "deep/used/data/two.txt", "two") },
		"a new import": func(t *testing.T, m *module) {
			m.write(t, "deep/used/used.go", "package used\n\nimport _ \"example.org/module/unused\"\n")
		},
		"go.mod": func(t *testing.T, m *module) { m.write(t, "go.mod", "module example.org/module\n\ngo 1.22\n") },
		"go.sum": func(t *testing.T, m *module) { m.write(t, "go.sum", "\n") },
		"a setting of the environment": func(t *testing.T, _ *module) {
			t.Setenv("GOMODCACHE", t.TempDir())
		},
		"a setting of the go command": func(t *testing.T, _ *module) {
			settings := filepath.Join(t.TempDir(), "env")
			require.NoError(t, os.WriteFile(settings, []byte("GOMODCACHE="+t.TempDir()+"\n"), 0o644))
			old := time.Now().Add(-time.Hour)
			require.NoError(t, os.Chtimes(settings, old, old))
			t.Setenv("GOENV", settings)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModule(t)
			m.listed(t)
			require.False(t, m.listed(t))
			change(t, m)
			m.settle(t)
			assert.True(t, m.listed(t))
			assert.False(t, m.listed(t))
		})
	}
}

func TestListed_asks_again_when_a_folder_between_is_another_module(t *testing.T) {
	m := newModule(t)
	m.listed(t)
	m.write(t, "deep/go.mod", "module example.org/other\n")
	m.settle(t)
	_, err := Listed(t.Context(), m.options)
	require.ErrorContains(t, err, "example.org/module/deep/used")
}

// A file that is written while go reads may be read before and be digested after.
func TestListed_believes_nothing_of_files_that_have_just_changed(t *testing.T) {
	m := newModule(t)
	m.write(t, "deep/used/more.go", "package used\n\nimport _ \"embed\"\n")
	assert.True(t, m.listed(t))
	assert.True(t, m.listed(t))
	m.settle(t)
	assert.True(t, m.listed(t))
	assert.False(t, m.listed(t))
}

func TestListed_asks_each_time_for_a_module_that_is_replaced_by_a_folder(t *testing.T) {
	m := newModule(t)
	m.write(t, "elsewhere/go.mod", "module example.org/elsewhere\n\ngo 1.21\n")
	m.write(t, "elsewhere/elsewhere.go", "package elsewhere\n")
	m.write(t, "deep/used/used.go", "package used\n\nimport _ \"example.org/elsewhere\"\n")
	m.write(t, "go.mod", "module example.org/module\n\ngo 1.21\n\nrequire example.org/elsewhere v1.0.0\n\nreplace example.org/elsewhere => ./elsewhere\n")
	m.settle(t)
	assert.True(t, m.listed(t))
	assert.True(t, m.listed(t))

	digest, err := Digest(t.Context(), m.options)
	require.NoError(t, err)
	m.write(t, "elsewhere/elsewhere.go", "package elsewhere\n\nvar Changed bool\n")
	other, err := Digest(t.Context(), m.options)
	require.NoError(t, err)
	assert.NotEqual(t, digest, other)
}

func TestList_says_what_is_wrong(t *testing.T) {
	m := newModule(t)
	m.write(t, "program/main.go", "package main\n\nimport _ \"example.org/module/missing\"\n\nfunc main() {}\n")
	_, err := Listed(t.Context(), m.options)
	require.ErrorContains(t, err, "example.org/module/missing")

	t.Setenv("PATH", t.TempDir())
	_, err = Listed(t.Context(), m.options)
	require.ErrorContains(t, err, "apt-get install golang-go")
}
