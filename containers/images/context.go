package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
)

// buildTime is the modification time of every file in a build context and of
// every file of a base image that would be younger, so that the same content
// makes the same layers on every machine and day.
var buildTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Context is what the engine gets to build an image from: files by their path
// in the context. Only path, kind, executable bit and content count: a checkout
// made under another umask, by another user or at another time is the same.
type Context struct {
	entries map[string]entry
	folders []string // that are there also when they are empty
}

// entry is one file or symbolic link.
type entry struct {
	executable bool
	link       string // target of a symbolic link, "" for a file
	content    []byte
}

// AddFile puts content at name.
func (c *Context) AddFile(name string, content []byte, executable bool) {
	c.add(name, entry{content: content, executable: executable})
}

// AddHostFile puts the file at hostPath at name.
func (c *Context) AddHostFile(name, hostPath string) error {
	info, err := os.Stat(hostPath)
	if err != nil {
		return fmt.Errorf("build context: %s: %w", name, err)
	}
	content, err := os.ReadFile(hostPath)
	if err != nil {
		return fmt.Errorf("build context: %s: %w", name, err)
	}
	c.AddFile(name, content, info.Mode()&0o111 != 0)
	return nil
}

// AddTree puts all below root/folder at the same path in the context, but for
// what source.Ignored names.
func (c *Context) AddTree(root, folder string) error {
	folder = path.Clean(filepath.ToSlash(folder))
	if !filepath.IsLocal(folder) {
		return fmt.Errorf("build context: folder %q is not inside the module", folder)
	}
	tree := filepath.Join(root, folder)
	err := filepath.WalkDir(tree, func(hostPath string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hostPath != tree && source.Ignored(item.Name()) {
			if item.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if item.IsDir() {
			return nil
		}
		relative, err := filepath.Rel(root, hostPath)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		switch {
		case item.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(hostPath)
			if err != nil {
				return err
			}
			c.add(name, entry{link: target})
		case item.Type().IsRegular():
			return c.AddHostFile(name, hostPath)
		default:
			return fmt.Errorf("%s is neither a file, a folder nor a symbolic link", name)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build context: the module has no folder %s: %w", folder, err)
	}
	if err != nil {
		return fmt.Errorf("build context: folder %s: %w", folder, err)
	}
	return nil
}

// AddSource puts a binding's source below folder, which is there, and empty,
// also without one: a Dockerfile copies it in any case.
func (c *Context) AddSource(folder string, tree *source.Tree) {
	c.folders = append(c.folders, folder)
	if tree == nil {
		return
	}
	for _, file := range tree.Files {
		c.add(path.Join(folder, file.Path), entry{executable: file.Executable, link: file.Link, content: file.Content})
	}
}

func (c *Context) add(name string, added entry) {
	if c.entries == nil {
		c.entries = make(map[string]entry)
	}
	c.entries[path.Clean(name)] = added
}

// names are the paths in the one order in which they are written and hashed.
func (c *Context) names() []string {
	names := make([]string, 0, len(c.entries))
	for name := range c.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Digest is the sha256, in hex, over everything an image is made from: the
// context, the build arguments and the id of the base image.
func (c *Context) Digest(args map[string]string, baseID string) string {
	hash := sha256.New()
	// Every field is preceded by its length, so that no two different inputs
	// are written alike.
	field := func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
	field(baseID)
	for _, key := range sortedKeys(args) {
		field(key)
		field(args[key])
	}
	for _, name := range c.names() {
		item := c.entries[name]
		field(name)
		field(fmt.Sprint(item.executable))
		field(item.link)
		field(string(item.content))
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Tar is the context as the engine takes it: sorted, with normalised modes,
// owners and times, so that the engine's layer cache, which compares them,
// finds the same again.
func (c *Context) Tar() ([]byte, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, folder := range c.folders {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: buildTime, Format: tar.FormatPAX}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("build context: %s: %w", folder, err)
		}
	}
	for _, name := range c.names() {
		item := c.entries[name]
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     name,
			Size:     int64(len(item.content)),
			Mode:     0o644,
			ModTime:  buildTime,
			Format:   tar.FormatPAX,
		}
		if item.executable {
			header.Mode = 0o755
		}
		if item.link != "" {
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, item.link, 0o777
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("build context: %s: %w", name, err)
		}
		if _, err := io.Copy(writer, bytes.NewReader(item.content)); err != nil {
			return nil, fmt.Errorf("build context: %s: %w", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	return archive.Bytes(), nil
}

// Has reports whether the context has a file at name.
func (c *Context) Has(name string) bool {
	_, found := c.entries[path.Clean(name)]
	return found
}

func sortedKeys(values map[string]string) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
