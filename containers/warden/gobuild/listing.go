package gobuild

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
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
	Standard        bool
	Module          *Module
	GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles,
	EmbedFiles []string
	Error *struct{ Err string }
}

// Module is what go list says of a module.
type Module struct {
	Path, Version, Sum, GoMod, Dir string
	Main                           bool
	Replace                        *Module
}

// Used is the module that is taken for it.
func (m Module) Used() Module {
	if m.Replace != nil {
		return *m.Replace
	}
	return m
}

// ReplacedByFolder is that its sources are in a folder, where anyone may change them.
func (m Module) ReplacedByFolder() bool { return m.Replace != nil && m.Replace.Version == "" }

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
	if err := cmp.Or(err, environmentErr); err != nil {
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
