package gobuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Listing is what the go command says of a program: what it is made from and what
// would make it.
type Listing struct {
	GoVersion, GoRoot, ModuleCache string
	Packages                       []Package // without the standard library's
}

// Package is what go list says of a package.
type Package struct {
	ImportPath, Dir string
	Standard        bool `json:",omitempty"`
	Module          *Module
	GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles,
	EmbedFiles []string `json:",omitempty"`
	Error *struct{ Err string } `json:",omitempty"`
}

// Module is what go list says of a module.
type Module struct {
	Path, Version, Sum, GoMod, Dir string  `json:",omitempty"`
	Main                           bool    `json:",omitempty"`
	Replace                        *Module `json:",omitempty"`
}

// Used is the module that is taken for it.
func (m Module) Used() Module {
	if m.Replace != nil {
		return *m.Replace
	}
	return m
}

// replacedByFolder is that its sources are in a folder, where anyone may change them.
func (m Module) replacedByFolder() bool { return m.Replace != nil && m.Replace.Version == "" }

// own is that it is one of the module that is built.
func (p Package) own() bool { return p.Module != nil && p.Module.Main }

// Files are the files that the package is made from, relative to Dir.
func (p Package) Files() []string {
	return slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.CXXFiles, p.HFiles, p.SFiles, p.SysoFiles, p.EmbedFiles)
}

// packageFields has go list say of packages what they are made from. Asked for
// all that it knows, it would also find out what is stale, for which it starts
// the compiler, the assembler, cgo, the linker and the C compiler.
const packageFields = "-json=ImportPath,Dir,Standard,Module,GoFiles,CgoFiles,CFiles,CXXFiles,HFiles,SFiles,SysoFiles,EmbedFiles,Error"

// List asks the go command what the program is made from. Go fetches the modules
// that it lacks.
func List(ctx context.Context, options Options) (Listing, error) {
	// The go command takes a while for anything it is asked.
	var environment []byte
	var environmentErr error
	var asking sync.WaitGroup
	asking.Go(func() {
		environment, environmentErr = Go(ctx, options, "env", "-json", "GOVERSION", "GOROOT", "GOMODCACHE")
	})
	text, err := Go(ctx, options, "list", "-deps", packageFields, options.Package)
	asking.Wait()
	if err := errors.Join(environmentErr, err); err != nil {
		return Listing{}, err
	}
	var settings struct{ GOVERSION, GOROOT, GOMODCACHE string }
	if err := json.Unmarshal(environment, &settings); err != nil {
		return Listing{}, fmt.Errorf("go env: %w", err)
	}
	packages, err := DecodeAll[Package](text)
	if err != nil {
		return Listing{}, fmt.Errorf("go list %s: %w", options.Package, err)
	}
	for _, found := range packages {
		if found.Error != nil {
			return Listing{}, fmt.Errorf("go list %s: %s: %s", options.Package, found.ImportPath, found.Error.Err)
		}
	}
	packages = slices.DeleteFunc(packages, func(found Package) bool { return found.Standard })
	return Listing{GoVersion: settings.GOVERSION, GoRoot: settings.GOROOT, ModuleCache: settings.GOMODCACHE, Packages: packages}, nil
}

// Listed is List, or what List said before, if nothing has changed of which go
// makes it. Of that everything is read, which takes a hundredth of the time.
func Listed(ctx context.Context, options Options) (Listing, error) {
	name := sha256.Sum256(fmt.Appendf(nil, "%q %q %t", options.Root, options.Package, options.Cgo))
	file := filepath.Join(options.CacheDir, "listings", hex.EncodeToString(name[:16])+".json")
	var kept struct {
		State   string
		Listing Listing
	}
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &kept) == nil {
		if state, err := stateOf(options, kept.Listing, time.Time{}); err == nil && state == kept.State {
			return kept.Listing, nil
		}
	}
	asked := time.Now()
	listing, err := List(ctx, options)
	if err != nil {
		return Listing{}, err
	}
	kept.Listing = listing
	if kept.State, err = stateOf(options, listing, asked.Add(-settled)); err != nil {
		// It is asked again the next time: something can't be read or is being
		// written, or it would have to be known of a folder elsewhere.
		return listing, nil
	}
	if err := keep(file, kept); err != nil {
		return Listing{}, fmt.Errorf("cache folder: %w", err)
	}
	return listing, nil
}

// settled is for how long a file must have been left alone: go may have read what
// was there before the last change, and clocks of file systems are coarse.
const settled = 2 * time.Second

var errUnknowable = errors.New("what go says may change unseen")

// stateOf is the digest of everything that go makes the listing from: the go
// command, its settings, what go.mod and go.sum say, and the content of all folders
// of the module's own packages. Which folders those are follows from their content.
// Modules are never changed in go's cache. Unless before is zero, what was changed
// after it is an error.
func stateOf(options Options, listing Listing, before time.Time) (string, error) {
	state := sha256.New()
	field := func(text string) { fmt.Fprintf(state, "%d:%s\n", len(text), text) }
	command, err := exec.LookPath("go")
	if err != nil {
		return "", err
	}
	if command, err = filepath.EvalSymlinks(command); err != nil {
		return "", err
	}
	info, err := os.Stat(command)
	if err != nil {
		return "", err
	}
	field(fmt.Sprintf("%s %d %s", command, info.Size(), info.ModTime().UTC()))
	for _, variable := range slices.Sorted(slices.Values(os.Environ())) {
		if strings.HasPrefix(variable, "GO") || strings.HasPrefix(variable, "CGO_") || strings.HasPrefix(variable, "HOME=") {
			field(variable)
		}
	}
	settings := os.Getenv("GOENV")
	if config, err := os.UserConfigDir(); err == nil && settings == "" {
		settings = filepath.Join(config, "go", "env")
	}
	files := []string{settings, filepath.Join(listing.GoRoot, "go.env"), filepath.Join(listing.GoRoot, "VERSION")}
	for _, name := range []string{"go.mod", "go.sum", "vendor/modules.txt"} {
		files = append(files, filepath.Join(options.Root, name))
	}
	for _, found := range listing.Packages {
		// A go.mod between makes what is below it another module's.
		for folder := found.Dir; filepath.Dir(folder) != folder && found.own() && folder != options.Root; folder = filepath.Dir(folder) {
			files = append(files, filepath.Join(folder, "go.mod"))
		}
	}
	for _, file := range files {
		if err := addFile(state, file, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	for _, found := range listing.Packages {
		switch {
		case found.Module == nil, found.Module.replacedByFolder():
			return "", errUnknowable
		case found.own():
			if err := addFolder(state, found.Dir, len(found.EmbedFiles) > 0, before); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(state.Sum(nil)), nil
}

// addFolder adds the names in a folder, and in those below it if deep, with the
// content of the files.
func addFolder(state hash.Hash, folder string, deep bool, before time.Time) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !before.IsZero() && info.ModTime().After(before) {
		return errUnknowable
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(state, "%d %q\n", len(entries), folder)
	for _, entry := range entries {
		inside := filepath.Join(folder, entry.Name())
		// A link's target counts.
		info, err := os.Stat(inside)
		switch {
		case err != nil:
			return err
		case info.Mode().IsRegular():
			err = addFile(state, inside, before)
		case info.IsDir() && deep:
			err = addFolder(state, inside, deep, before)
		default:
			fmt.Fprintf(state, "%q %s\n", inside, info.Mode().Type())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addFile adds a file's name and content; of one that is not there, its name.
func addFile(state hash.Hash, name string, before time.Time) error {
	file, err := os.Open(name)
	if err != nil {
		fmt.Fprintf(state, "%q none\n", name)
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !before.IsZero() && info.ModTime().After(before) {
		return errUnknowable
	}
	fmt.Fprintf(state, "%q %d\n", name, info.Size())
	written, err := io.Copy(state, file)
	if err == nil && written != info.Size() {
		err = errUnknowable
	}
	return err
}

// keep writes a file in one step.
func keep(name string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(name), "writing-")
	if err != nil {
		return err
	}
	_, err = aside.Write(text)
	if err := errors.Join(err, aside.Close()); err != nil {
		return errors.Join(err, os.Remove(aside.Name()))
	}
	return os.Rename(aside.Name(), name)
}

// Go runs the host's go for Linux on this machine's architecture, whatever the
// caller's environment asks of go, and returns what it writes.
func Go(ctx context.Context, options Options, arguments ...string) ([]byte, error) {
	command := goCommand(ctx, options, arguments...)
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("go is not on the PATH, and %s is built from source: apt-get install golang-go, or unpack the official archive and put its bin on the PATH: %w", options.Package, err)
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, Tail(said.Bytes()))
	}
	return text, nil
}

func goCommand(ctx context.Context, options Options, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = options.Root
	cgo := "0"
	if options.Cgo {
		cgo = "1"
	}
	command.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOWORK=off", "GOFLAGS=")
	return command
}

// DecodeAll reads the objects that go list writes one after another.
func DecodeAll[T any](text []byte) ([]T, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var all []T
	for {
		var one T
		switch err := decoder.Decode(&one); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		all = append(all, one)
	}
}
