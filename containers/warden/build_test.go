package warden_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
)

func TestTheProgramIsStaticAndReproducible(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	cache := t.TempDir()
	first, err := warden.Build(t.Context(), root, cache)
	require.NoError(t, err)
	second, err := warden.Build(t.Context(), root, t.TempDir())
	require.NoError(t, err)
	one, err := os.ReadFile(first.Path)
	require.NoError(t, err)
	other, err := os.ReadFile(second.Path)
	require.NoError(t, err)
	assert.True(t, string(one) == string(other), "two builds of the same sources differ")

	program, err := elf.Open(first.Path)
	require.NoError(t, err)
	defer program.Close()
	for _, header := range program.Progs {
		assert.NotEqual(t, elf.PT_INTERP, header.Type, "it needs a dynamic loader")
	}

	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(first.Path, old, old))
	again, err := warden.Build(t.Context(), root, cache)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	info, err := os.Stat(again.Path)
	require.NoError(t, err)
	assert.WithinDuration(t, old, info.ModTime(), time.Second, "built again though nothing has changed")
}

func TestABuildThatCanNotBe(t *testing.T) {
	_, err := warden.Build(t.Context(), t.TempDir(), t.TempDir())
	require.ErrorContains(t, err, "build the warden")
}
