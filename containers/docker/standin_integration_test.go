//go:build integration

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// The recipes of implementations that can't be had here are built with scripts
// that stand in for the implementation. A variant of a name of its own keeps
// them apart from what a person has supplied.

func standIn(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "standin", name))
	require.NoError(t, err)
	return content
}

// targetNamed is a target of the project with one variant, which no run knows.
func targetNamed(t *testing.T, root, name string) (matrix.Target, matrix.Variant) {
	t.Helper()
	target, err := targets.LoadFile(root, filepath.Join(root, "targets", name, "target.yaml"))
	require.NoError(t, err)
	variant := matrix.Variant{Name: "standin-" + strings.ToLower(rand.Text()[:8]), Suite: suite}
	target.Variants = []matrix.Variant{variant}
	return target, variant
}

// saysVersion prepares the target and wants the stand-in's word for its version.
func saysVersion(t *testing.T, runtime *Runtime, log *buffer, target matrix.Target, variant matrix.Variant, want string) {
	t.Helper()
	at, err := runtime.Prepare(t.Context(), target, variant, target.Bindings[0])
	require.NoError(t, err, "%s", log)
	t.Cleanup(func() {
		assert.NoError(t, at.Close(context.Background()))
		removeImage(t, at.(*place).image.Tag)
	})
	require.NoError(t, at.Start(t.Context()))
	var command []string
	for _, word := range target.Version {
		command = append(command, at.Expand(word))
	}
	account, err := at.Run(t.Context(), matrix.Task{Command: command, Bounds: matrix.Bounds{
		Wall: time.Minute, Output: 1 << 20, Processes: target.Limits.Processes, MemoryMiB: target.Limits.MemoryMiB,
	}})
	require.NoError(t, err)
	assert.Equal(t, want+"\n", string(account.Stdout), "%s", account.Stderr)
	assert.Zero(t, account.Code)
}

func TestCCL_is_built_from_its_release(t *testing.T) {
	root := module(t)
	runtime, log := newRuntime(t, root)
	target, variant := targetNamed(t, root, "ccl")
	archive := archiveOf(t, "ccl/lx86cl64", standIn(t, "lx86cl64"))
	digest := fmt.Sprintf("%x", sha256.Sum256(archive))
	target.Image.Archive = &matrix.Archive{URL: "http://127.0.0.1:1/ccl.tar.gz", SHA256: digest}

	_, err := runtime.Prepare(t.Context(), target, variant, target.Bindings[0])
	require.ErrorIs(t, err, matrix.ErrUnavailable)
	assert.ErrorContains(t, err, "give it with --archive ccl@"+variant.Name+"=FILE")

	file := filepath.Join(t.TempDir(), "ccl.tar.gz")
	require.NoError(t, os.WriteFile(file, archive, 0o644))
	require.NoError(t, release.NewStore(programCache(t), nil).Keep(file, digest))
	t.Cleanup(func() { assert.NoError(t, os.Remove(filepath.Join(programCache(t), "releases", digest))) })
	saysVersion(t, runtime, log, target, variant, "CCL stand-in --version")
}

// archiveOf is a compressed tar with one executable file, as releases are.
func archiveOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	require.NoError(t, files.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}))
	_, err := files.Write(content)
	require.NoError(t, err)
	require.NoError(t, files.Close())
	require.NoError(t, compressed.Close())
	return archive.Bytes()
}

func TestSupplied_implementations_are_built_on_the_users_image(t *testing.T) {
	root := module(t)
	// One image stands in for both, so that what is installed on it is, once. It has
	// the packages already, by the lines of CCL's Dockerfile, whose layers are there.
	files := &images.Context{}
	files.AddFile("Dockerfile", []byte(`ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libzmq3-dev
RUN apt-get update && apt-get install -y --no-install-recommends cl-cffi cl-trivial-garbage cl-bordeaux-threads
COPY lispworks alisp /usr/local/bin/
`), false)
	for _, command := range []string{"lispworks", "alisp"} {
		files.AddFile(command, standIn(t, command), true)
	}
	supplied, err := files.Tar()
	require.NoError(t, err)
	for _, row := range []struct{ target, says string }{
		{"lispworks", "LispWorks stand-in --version"},
		{"allegro", "Allegro CL stand-in --version"},
	} {
		t.Run(row.target, func(t *testing.T) {
			runtime, log := newRuntime(t, root)
			target, variant := targetNamed(t, root, row.target)
			_, err := runtime.Prepare(t.Context(), target, variant, target.Bindings[0])
			require.ErrorIs(t, err, matrix.ErrUnavailable)
			assert.ErrorContains(t, err, target.Image.Supplied)
			tag := images.SuppliedTag(target, variant)
			assert.ErrorContains(t, err, "tag the image "+tag)

			base, err := runtime.images.Base(t.Context(), suite)
			require.NoError(t, err)
			require.NoError(t, runtime.engine.Build(t.Context(), images.Build{
				Tag: tag, Context: supplied, Dockerfile: "Dockerfile", Args: map[string]string{"BASE": base.Tag},
			}, io.Discard))
			t.Cleanup(func() { removeImage(t, tag) })
			saysVersion(t, runtime, log, target, variant, row.says)
		})
	}
}
