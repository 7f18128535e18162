package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// marker is the file by which a folder is known as a site that this package
// wrote; it names what stands at the folder's top.
const marker = "zmqmatrix-site.json"

// markerSchema names the version of the marker.
const markerSchema = "zmqmatrix/site-folder/v1"

// staging is how folders begin in which a site is made, or taken away.
const staging = ".zmqmatrix-site-"

// ErrNotOurs says that a folder has something that no site of ours wrote.
var ErrNotOurs = errors.New("not a site that zmqmatrix wrote")

// ErrBusy says that another process is writing the same site.
var ErrBusy = errors.New("another process is writing this site")

type marked struct {
	Schema  string   `json:"schema"`
	Entries []string `json:"entries"`
}

// folder is a site's folder while a new site for it is made beside the old one,
// in a folder within.
type folder struct {
	path    string
	lock    *os.File
	old     []string // entries of the site that is there
	staged  string
	made    sync.Map // folders
	entries sync.Map // at the top
}

// openFolder makes the folder, or finds it empty or with a site of ours, and
// holds it against other processes. Neither what is published nor anything else
// in it is touched before commit.
func openFolder(path string) (_ *folder, err error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("making the site's folder: %w", err)
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the site's folder: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	f := &folder{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrBusy)
		}
		return nil, fmt.Errorf("locking the site's folder %s: %w", path, err)
	}
	if f.old, err = marks(path); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(globQuoted(path), staging+"*"))
	if err != nil {
		return nil, fmt.Errorf("looking for what a killed process left in %s: %w", path, err)
	}
	for _, of := range left {
		if err := os.RemoveAll(of); err != nil {
			return nil, fmt.Errorf("removing what a killed process left: %w", err)
		}
	}
	if f.staged, err = os.MkdirTemp(path, staging); err != nil {
		return nil, fmt.Errorf("making a folder for the new site: %w", err)
	}
	return f, nil
}

// globQuoted is a path that stands for itself in a pattern.
func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// marks reads what of a folder is ours: nothing of an empty one.
func marks(path string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(path, marker))
	if errors.Is(err, fs.ErrNotExist) {
		there, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("looking into the site's folder: %w", err)
		}
		for _, entry := range there {
			// Versions of a published branch are kept beside what they are of.
			if name := entry.Name(); !strings.HasPrefix(name, staging) && name != ".git" {
				return nil, fmt.Errorf("%s has %q and no %s: %w; name an empty folder, or one that does not exist", path, name, marker, ErrNotOurs)
			}
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which files of %s are ours: %w", path, err)
	}
	var found marked
	if err := json.Unmarshal(data, &found); err != nil || found.Schema != markerSchema {
		return nil, fmt.Errorf("%s: want the schema %q: %w; name another folder", filepath.Join(path, marker), markerSchema, ErrNotOurs)
	}
	for _, name := range found.Entries {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("%s: entries: %q is no name that a site of ours has: %w; name another folder", filepath.Join(path, marker), name, ErrNotOurs)
		}
	}
	return found.Entries, nil
}

// write puts a file of the new site; any number of them at once. Its path is one
// that names.go made, and within a folder that nobody else knows.
func (f *folder) write(path string, data []byte) error {
	if !filepath.IsLocal(path) {
		return fmt.Errorf("the site has no place for %q", path)
	}
	top, _, within := strings.Cut(path, "/")
	f.entries.Store(top, nil)
	if within {
		dir := path[:strings.LastIndexByte(path, '/')]
		if _, made := f.made.Load(dir); !made {
			if err := os.MkdirAll(filepath.Join(f.staged, filepath.FromSlash(dir)), 0o755); err != nil {
				return fmt.Errorf("making the folder %s of the site: %w", dir, err)
			}
			f.made.Store(dir, nil)
		}
	}
	if err := os.WriteFile(filepath.Join(f.staged, filepath.FromSlash(path)), data, 0o644); err != nil {
		return fmt.Errorf("writing %s of the site: %w", path, err)
	}
	return nil
}

// commit puts the new site in the place of the old one, of which nothing is
// left. It is a few renames, the home page's last, so that a reader meets a mixed
// site for milliseconds at most; a site that a kill left mixed is known as ours
// and replaced whole by the next.
func (f *folder) commit() error {
	var names []string
	f.entries.Range(func(name, _ any) bool {
		names = append(names, name.(string))
		return true
	})
	slices.Sort(names)
	if at := slices.Index(names, home); at >= 0 {
		names = append(slices.Delete(names, at, at+1), home)
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(f.path, name)); err == nil && !slices.Contains(f.old, name) {
			return fmt.Errorf("%s has %q, which the site has too and did not write: %w; move it away", f.path, name, ErrNotOurs)
		}
	}
	// Until the last rename the marker has both, so that nothing is left over
	// whenever this ends.
	if err := f.mark(union(f.old, names)); err != nil {
		return err
	}
	gone, err := os.MkdirTemp(f.path, staging)
	if err != nil {
		return fmt.Errorf("making a folder for the old site: %w", err)
	}
	move := func(from, to, name string) error {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("replacing the site: %w", err)
		}
		return nil
	}
	for _, name := range names {
		if err := move(f.path, gone, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := move(f.staged, f.path, name); err != nil {
			return err
		}
	}
	for _, name := range f.old {
		if slices.Contains(names, name) {
			continue
		}
		if err := move(f.path, gone, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := f.mark(names); err != nil {
		return err
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("removing the old site: %w", err)
	}
	return nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// mark says what of the folder is ours.
func (f *folder) mark(entries []string) error {
	data, err := json.MarshalIndent(marked{markerSchema, entries}, "", " ")
	if err != nil {
		return fmt.Errorf("encoding which files are the site's: %w", err)
	}
	within := filepath.Join(f.staged, staging+marker)
	if err := os.WriteFile(within, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("noting which files are the site's: %w", err)
	}
	if err := os.Rename(within, filepath.Join(f.path, marker)); err != nil {
		return fmt.Errorf("noting which files are the site's: %w", err)
	}
	return nil
}

// close gives the folder back; what was not committed is gone.
func (f *folder) close() error {
	err := errors.Join(os.RemoveAll(f.staged), f.lock.Close())
	if err != nil {
		return fmt.Errorf("leaving the site's folder: %w", err)
	}
	return nil
}
