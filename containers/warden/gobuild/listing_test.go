package gobuild

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module is a module with one program, which imports a package that embeds a folder
// and one that stands for a module of another path.
func module(t *testing.T) Options {
	t.Helper()
	options := Options{Root: t.TempDir(), Package: "./program"}
	write(t, options, "go.mod", "module example.org/module\n\ngo 1.21\n\nrequire example.org/elsewhere v1.0.0\n\nreplace example.org/elsewhere => ./elsewhere\n")
	write(t, options, "program/main.go", "package main\n\nimport (\n\t_ \"example.org/elsewhere\"\n\t_ \"example.org/module/used\"\n)\n\nfunc main() {}\n")
	write(t, options, "used/used.go", "package used\n\nimport \"embed\"\n\n//go:embed data\nvar data embed.FS\n")
	write(t, options, "used/data/one.txt", "one")
	write(t, options, "unused/unused.go", "package unused\n")
	write(t, options, "elsewhere/go.mod", "module example.org/elsewhere\n\ngo 1.21\n")
	write(t, options, "elsewhere/elsewhere.go", "package elsewhere\n")
	return options
}

func write(t *testing.T, options Options, name, content string) {
	t.Helper()
	name = filepath.Join(options.Root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
}

func TestDigest_is_of_all_that_the_program_is_made_from_and_nothing_else(t *testing.T) {
	options := module(t)
	digest := func() string {
		digest, err := Digest(t.Context(), options)
		require.NoError(t, err)
		return digest
	}
	last := digest()
	for _, row := range []struct {
		file, content string
		same          bool
	}{
		{"unused/unused.go", "package unused\n\nvar Changed bool\n", true},
		{"used/used_test.go", "package used\n", true},
		{"program/more.go", "package main\n", false},
		{"used/data/one.txt", "another", false},
		{"used/data/two.txt", "two", false},
		{"elsewhere/elsewhere.go", "package elsewhere\n\nvar Changed bool\n", false},
	} {
		write(t, options, row.file, row.content)
		now := digest()
		assert.Equal(t, row.same, now == last, row.file)
		last = now
	}
	options.Inputs = []string{"libzmq 4.3.5"}
	assert.NotEqual(t, last, digest())
}

func TestList_says_what_is_wrong(t *testing.T) {
	options := module(t)
	write(t, options, "program/main.go", "package main\n\nimport _ \"example.org/module/missing\"\n\nfunc main() {}\n")
	_, err := List(t.Context(), options)
	require.ErrorContains(t, err, "example.org/module/missing")

	t.Setenv("PATH", t.TempDir())
	_, err = List(t.Context(), options)
	require.ErrorContains(t, err, "apt-get install golang-go")
}
