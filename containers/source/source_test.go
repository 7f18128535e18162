package source

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const standIn = `;; (defsystem "commented-out")
(asdf:defsystem #:stand-in
  :components ((:file "stand-in")))
(asdf:defsystem "stand-in/tests" :depends-on (:stand-in))
`

// folderOf makes a folder with these files.
func folderOf(t *testing.T, files map[string]string) string {
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return folder
}

func pathsOf(tree *Tree) (paths []string) {
	for _, file := range tree.Files {
		paths = append(paths, file.Path)
	}
	return paths
}

func TestRead_takes_what_is_source_and_nothing_else(t *testing.T) {
	folder := folderOf(t, map[string]string{
		"stand-in.asd": standIn, "stand-in.lisp": "(in-package :cl-user)", ".version": "1",
		".git/HEAD": "ref", "src/.git/HEAD": "ref", "stand-in.fasl": "compiled", "src/a.FAS": "compiled", "src/a.lisp": "a",
	})
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	for name, target := range map[string]string{
		"inside.lisp": "src/a.lisp", "src/up.lisp": "../stand-in.lisp",
		"absolute": outside, "climbing": "../" + filepath.Base(filepath.Dir(outside)) + "/secret",
		"returning": "../" + filepath.Base(folder) + "/stand-in.lisp", "dangling": "nothing",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(folder, name)))
	}
	require.NoError(t, os.Symlink(outside, filepath.Join(folder, "src", "hop")))
	require.NoError(t, os.Symlink("src/hop", filepath.Join(folder, "two-hops")))

	tree, err := Read(folder, "", "stand-in", "stand-in/tests")
	require.NoError(t, err)
	assert.Equal(t, []string{".version", "inside.lisp", "src/a.lisp", "src/up.lisp", "stand-in.asd", "stand-in.lisp"}, pathsOf(tree))
	assert.Equal(t, matrix.Source{From: folder, Folder: true, Digest: tree.Digest}, tree.Source)

	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, tree.Write(copied))
	again, err := Read(copied, "elsewhere", "stand-in")
	require.NoError(t, err)
	assert.Equal(t, tree.Digest, again.Digest, "a copy is the same source")
	assert.Equal(t, matrix.Source{From: "elsewhere", Digest: tree.Digest}, again.Source)
	content, err := os.ReadFile(filepath.Join(copied, "src/up.lisp"))
	require.NoError(t, err)
	assert.Equal(t, "(in-package :cl-user)", string(content))
}

func TestRevision_is_the_working_copys(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	git := func(arguments ...string) {
		command := exec.Command("git", append([]string{"-C", folder, "-c", "user.name=n", "-c", "user.email=e@example.org"}, arguments...)...)
		said, err := command.CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	write("stand-in.asd", `(defsystem "stand-in")`)
	git("init", "--quiet")
	t.Chdir(filepath.Dir(folder))
	named := "./" + filepath.Base(folder)
	read := func() matrix.Source {
		tree, err := Read(named, "", "stand-in")
		require.NoError(t, err)
		return tree.Source
	}
	assert.Empty(t, read().Revision, "there is no commit yet")
	assert.Equal(t, filepath.Base(folder), read().From, "as it was named")

	git("add", ".")
	git("commit", "--quiet", "--message=first")
	assert.Regexp(t, "^[0-9a-f]{40}$", read().Revision)
	// Whatever the working copy's settings say, none of its programs is run.
	git("config", "core.fsmonitor", "touch "+filepath.Join(folder, "ran")+"; false")
	write("stand-in.asd", `(defsystem "stand-in" :version "2")`)
	assert.Regexp(t, "^[0-9a-f]{40}-dirty$", read().Revision)
	assert.NoFileExists(t, filepath.Join(folder, "ran"))
}

func TestDigest_changes_with_what_a_Lisp_would_load(t *testing.T) {
	digests := map[string]string{}
	for name, change := range map[string]func(folder string) error{
		"as it is": func(string) error { return nil },
		"content":  func(folder string) error { return os.WriteFile(filepath.Join(folder, "a.lisp"), []byte("b"), 0o644) },
		"name": func(folder string) error {
			return os.Rename(filepath.Join(folder, "a.lisp"), filepath.Join(folder, "b.lisp"))
		},
		"executable bit": func(folder string) error { return os.Chmod(filepath.Join(folder, "a.lisp"), 0o755) },
		"link":           func(folder string) error { return os.Symlink("a.lisp", filepath.Join(folder, "b.lisp")) },
	} {
		folder := folderOf(t, map[string]string{"stand-in.asd": standIn, "a.lisp": "a"})
		require.NoError(t, change(folder))
		tree, err := Read(folder, "", "stand-in")
		require.NoError(t, err)
		assert.Empty(t, digests[tree.Digest], name)
		digests[tree.Digest] = name
	}
	folder := folderOf(t, map[string]string{"stand-in.asd": standIn, "a.lisp": "a", "a.fasl": "compiled", ".git/index": "x"})
	tree, err := Read(folder, "", "stand-in")
	require.NoError(t, err)
	assert.Equal(t, "as it is", digests[tree.Digest], "what was compiled or committed is no part of it")
}

func TestRead_refuses_a_folder_without_the_system_and_says_what_is_there(t *testing.T) {
	for _, row := range []struct {
		name  string
		files map[string]string
		says  []string
	}{
		{"no .asd file", map[string]string{"a.lisp": "a"}, []string{`holds no ASDF system "stand-in": it has no .asd file at all`}},
		{"another system", map[string]string{"src/other.asd": `(defsystem "other")(defsystem :other-tests)`},
			[]string{"which a file stand-in.asd must define; found src/other.asd (defines other, other-tests)"}},
		{"a file of another name", map[string]string{"all.asd": standIn}, []string{"all.asd (defines stand-in, stand-in/tests)"}},
		{"a file that defines nothing", map[string]string{"stand-in.asd": "(in-package :asdf)"}, []string{"stand-in.asd (defines no system)"}},
		{"only in a comment", map[string]string{"stand-in.asd": `; (defsystem "stand-in")`}, []string{"stand-in.asd (defines no system)"}},
		{"too deep", map[string]string{"a/b/c/d/e/stand-in.asd": standIn}, []string{"no .asd file at all, down to 4 folders deep"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := folderOf(t, row.files)
			_, err := Read(folder, "", "stand-in")
			require.ErrorContains(t, err, folder)
			for _, text := range row.says {
				assert.ErrorContains(t, err, text)
			}
		})
	}
	_, err := Read(filepath.Join(t.TempDir(), "gone"), "", "stand-in")
	assert.ErrorContains(t, err, "there is no folder")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Read(file, "", "stand-in")
	assert.ErrorContains(t, err, "is no folder")
}

func TestRead_finds_every_way_to_write_a_definition(t *testing.T) {
	for _, form := range []string{`(defsystem "a.b")`, "(asdf:defsystem :a.b)", "(ASDF:DEFSYSTEM #:A.B)", "(asdf/defsystem:defsystem\n  a.b)", "( asdf::defsystem |a.b| )", "(asdf:defsystem :a.b\n:depends-on (:c))"} {
		_, err := Read(folderOf(t, map[string]string{"sub/a.b.asd": form}), "", "a.b")
		assert.NoError(t, err, form)
	}
}

func TestRead_is_bounded(t *testing.T) {
	folder := folderOf(t, map[string]string{"stand-in.asd": standIn})
	big, err := os.Create(filepath.Join(folder, "big"))
	require.NoError(t, err)
	require.NoError(t, big.Truncate(mostBytes+1)) // a hole takes no disk
	require.NoError(t, big.Close())
	_, err = Read(folder, "", "stand-in")
	assert.ErrorContains(t, err, "more than 64 MiB; name the binding's own folder")
}

func TestFinder_tries_to_fetch_once_and_then_says_what_to_do(t *testing.T) {
	var tried atomic.Int32
	named, err := Read(folderOf(t, map[string]string{"stand-in.asd": standIn}), "", "stand-in")
	require.NoError(t, err)
	finder := &Finder{
		Named: map[string]*Tree{"named": named}, Scratch: t.TempDir(),
		Fetch: func(context.Context, string, string) error {
			tried.Add(1)
			return errors.New("sh: exit status 1\nmuch more\nit does not answer: no such host\n")
		},
	}
	found, err := finder.Find(t.Context(), matrix.Binding{Name: "named", System: "stand-in"})
	require.NoError(t, err)
	assert.Same(t, named, found)
	for _, name := range []string{"pzmq", "cl-zmq", "pzmq"} {
		_, err := finder.Find(t.Context(), matrix.Binding{Name: name, System: "its-" + name})
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "can't be reached here; give its directory with --binding-source "+name+"=DIR (it does not answer: no such host)")
	}
	assert.EqualValues(t, 1, tried.Load())
}

func TestFinder_fetches_a_system_once_and_keeps_only_its_source(t *testing.T) {
	var asked []string
	scratch := t.TempDir()
	finder := &Finder{Scratch: scratch, Fetch: func(_ context.Context, system, folder string) error {
		asked = append(asked, system)
		for name, content := range map[string]string{
			"software/" + system + "-1/" + system + ".asd": "(defsystem " + system + ")", "from": "Quicklisp 2026-01-01", "bundle-info.sexp": "at noon",
		} {
			path := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				return err
			}
		}
		return nil
	}}
	for range 2 {
		tree, err := finder.Find(t.Context(), matrix.Binding{Name: "pzmq", System: "pzmq"})
		require.NoError(t, err)
		assert.Equal(t, "Quicklisp 2026-01-01", tree.From)
		assert.Equal(t, []string{"pzmq-1/pzmq.asd"}, pathsOf(tree))
	}
	_, err := finder.Find(t.Context(), matrix.Binding{Name: "cl-zmq", System: "zeromq"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pzmq", "zeromq"}, asked)
	left, err := os.ReadDir(scratch)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Nothing in the script names a host: Debian's package knows where Quicklisp is.
func TestFetchScript_names_no_host(t *testing.T) {
	assert.NotContains(t, FetchScript, "://")
	assert.True(t, strings.HasPrefix(FetchScript, "# Usage"))
}
