// Package source reads the source tree of a binding that comes from elsewhere:
// a maintainer's working copy, or what was fetched for the run. A tree is read
// once and kept, so that a run sees one state of it even if it is edited
// meanwhile.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// The bounds of a tree. A binding with all it depends on takes a few megabytes
// and some hundred files; beyond ten times that it is likelier a home folder
// that somebody named by mistake.
const (
	mostBytes = 64 << 20
	mostFiles = 20_000
	// mostDepth is how many folders deep a system's file is looked for. What is
	// deeper is rather a test's or a vendored copy's.
	mostDepth = 4
)

// Tree is a binding's source: its files by their paths in it.
type Tree struct {
	matrix.Source
	Files []File // sorted by path
}

// File is one file of a tree, or one symbolic link that stays in it.
type File struct {
	Path       string // slashes
	Executable bool
	Link       string // target of a symbolic link, "" for a file
	Content    []byte
}

// Ignored tells by its name whether a file or folder of a target is no part of
// it: what starts with a dot is an editor's or version control's, and Go's tests
// go into no program. They would change digests, and have all built anew, without
// changing what is built.
func Ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "_test.go")
}

// Read reads the tree of a folder and holds it to define each of the ASDF
// systems. from says in the record where it came from; empty for a folder that
// somebody named, which is recorded as they named it: an absolute path says
// nothing to others who read the results.
func Read(folder, from string, systems ...string) (*Tree, error) {
	origin := matrix.Source{From: from}
	if from == "" {
		origin = matrix.Source{From: filepath.Clean(folder), Folder: true, Revision: revision(folder)}
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("folder of the binding: %w", err)
	}
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s", folder)
	case err != nil:
		return nil, fmt.Errorf("folder of the binding: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s is no folder; want the one that holds the binding's source", folder)
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, fmt.Errorf("folder of the binding: %w", err)
	}
	tree := &Tree{Source: origin}
	if err := tree.read(folder); err != nil {
		return nil, err
	}
	for _, system := range systems {
		if err := tree.holds(folder, system); err != nil {
			return nil, err
		}
	}
	tree.Source.Digest = tree.digest()
	return tree, nil
}

// revision is the commit that the folder is a working copy of. It is told for
// people, beside the digest: where git is missing or the folder is none of its,
// there is nothing to tell.
func revision(folder string) string {
	// Not what the folder's own settings would have git run.
	command := exec.Command("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", folder,
		"describe", "--always", "--exclude=*", "--abbrev=40", "--dirty")
	out, err := command.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Names that are no part of a source: version control's folders, and what a
// Lisp compiled, which another one must not load.
var (
	versionControl = []string{".git", ".hg", ".svn", ".bzr", "_darcs", "CVS"}
	compiled       = []string{".fasl", ".fas", ".fasb", ".faso", ".lib", ".ufasl", ".sfasl", ".abcl", ".dfsl", ".pfsl", ".lx64fsl", ".lx32fsl", ".dx64fsl", ".dx32fsl", ".x86f", ".amd64f"}
)

func (t *Tree) read(folder string) error {
	var bytes int64
	err := filepath.WalkDir(folder, func(hostPath string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, hostPath)
		if err != nil {
			return err
		}
		// .git is a file in a linked working copy.
		if relative != "." && slices.Contains(versionControl, item.Name()) {
			if item.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if item.IsDir() || slices.Contains(compiled, strings.ToLower(filepath.Ext(item.Name()))) {
			return nil
		}
		file := File{Path: filepath.ToSlash(relative)}
		switch {
		case item.Type()&fs.ModeSymlink != 0:
			link, inside := linkInside(folder, relative)
			if !inside {
				return nil
			}
			file.Link = link
		case item.Type().IsRegular():
			info, err := item.Info()
			if err != nil {
				return err
			}
			if bytes += info.Size(); bytes > mostBytes {
				return fmt.Errorf("it holds more than %d MiB; name the binding's own folder", mostBytes>>20)
			}
			if file.Content, err = os.ReadFile(hostPath); err != nil {
				return err
			}
			file.Executable = info.Mode()&0o111 != 0
		default:
			return nil // a socket or pipe is no source
		}
		if t.Files = append(t.Files, file); len(t.Files) > mostFiles {
			return fmt.Errorf("it holds more than %d files; name the binding's own folder", mostFiles)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the binding's folder %s: %w", folder, err)
	}
	slices.SortFunc(t.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// linkInside is a symbolic link's target if it stays in the folder, as it is
// written, so that it holds in a copy too, and followed to its end.
func linkInside(folder, name string) (string, bool) {
	hostPath := filepath.Join(folder, name)
	link, err := os.Readlink(hostPath)
	if err != nil || filepath.IsAbs(link) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), link)) {
		return "", false
	}
	end, err := filepath.EvalSymlinks(hostPath)
	if err != nil {
		return "", false
	}
	relative, err := filepath.Rel(folder, end)
	return filepath.ToSlash(link), err == nil && filepath.IsLocal(relative)
}

// digest is over path, kind, executable bit and content of every file.
func (t *Tree) digest() string {
	hash := sha256.New()
	field := func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
	for _, file := range t.Files {
		field(file.Path)
		field(fmt.Sprint(file.Executable))
		field(file.Link)
		field(string(file.Content))
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// definition is a form that defines a system, whose name may be a string, a
// keyword or a symbol.
var (
	definition = regexp.MustCompile(`(?i)\(\s*(?:asdf[a-z0-9/-]*::?)?defsystem\s+(?:"([^"]+)"|#?:?\|?([^\s"|()]+)\|?)`)
	comment    = regexp.MustCompile(`(?m);.*$`)
)

// holds says whether the tree defines the system: ASDF looks for it in the file
// of its primary name (ASDF manual, "The defsystem grammar", system names).
func (t *Tree) holds(folder, system string) error {
	primary, _, _ := strings.Cut(system, "/")
	var found []string
	for _, file := range t.Files {
		if path.Ext(file.Path) != ".asd" || strings.Count(file.Path, "/") > mostDepth {
			continue
		}
		defined := t.defined(file)
		if path.Base(file.Path) == primary+".asd" && slices.Contains(defined, system) {
			return nil
		}
		if len(defined) == 0 {
			defined = []string{"no system"}
		}
		found = append(found, fmt.Sprintf("%s (defines %s)", shown(file.Path), few(shownAll(defined), ", ")))
	}
	if len(found) == 0 {
		return fmt.Errorf("%s holds no ASDF system %q: it has no .asd file at all, down to %d folders deep", folder, system, mostDepth)
	}
	return fmt.Errorf("%s holds no ASDF system %q, which a file %s.asd must define; found %s", folder, system, primary, few(found, "; "))
}

// few joins the first of what a folder has; somebody who named the wrong one
// sees that from less than all.
func few(names []string, separator string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(names[:most], separator), separator, len(names)-most)
}

func shownAll(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = shown(name)
	}
	return all
}

// shown is a name out of a folder as it stands, if it is one that shows itself
// and no longer than a name is; otherwise its start, quoted.
func shown(name string) string {
	const most = 80
	hidden := func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }
	if len(name) <= most && strings.IndexFunc(name, hidden) < 0 {
		return name
	}
	return strconv.QuoteToASCII(name[:min(len(name), most)])
}

func (t *Tree) defined(file File) []string {
	if file.Link != "" {
		target := path.Join(path.Dir(file.Path), file.Link)
		for _, other := range t.Files {
			if other.Path == target {
				file = other
			}
		}
	}
	var names []string
	for _, match := range definition.FindAllStringSubmatch(comment.ReplaceAllString(string(file.Content), ""), -1) {
		name := match[1]
		if name == "" {
			name = strings.ToLower(match[2])
		}
		names = append(names, name)
	}
	return names
}

// Write writes the tree into a folder that must not be there yet.
func (t *Tree) Write(folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return fmt.Errorf("copy a binding's source: %w", err)
	}
	for _, file := range t.Files {
		to := filepath.Join(folder, filepath.FromSlash(file.Path))
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		switch {
		case err != nil:
		case file.Link != "":
			err = os.Symlink(file.Link, to)
		case file.Executable:
			err = os.WriteFile(to, file.Content, 0o755)
		default:
			err = os.WriteFile(to, file.Content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("copy a binding's source: %w", err)
		}
	}
	return nil
}
