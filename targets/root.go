package targets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Module is the path of the module whose source tree holds the targets.
const Module = "github.com/zmqmatrix/zmqmatrix"

// RootVariable names the source tree when it can't be found otherwise.
const RootVariable = "ZMQMATRIX_ROOT"

// downloadTimeout bounds the download of the module's source, some megabytes:
// beyond it a proxy that never answers is likelier than a slow line.
const downloadTimeout = 5 * time.Minute

// ErrNoRoot is that no source tree of the module was found.
var ErrNoRoot = errors.New("zmqmatrix's source tree, which holds the targets, was not found")

// Root finds the module's source tree. In order: the folder that ZMQMATRIX_ROOT
// names; start or the nearest folder above it that is one; the module as a
// dependency of the module in start; the release that the running program was
// built from, downloaded by the go command into its cache. The error wraps
// ErrNoRoot and says what to do.
func Root(start string) (string, error) {
	return find(start, "")
}

// RootOfTest is Root for a test in the folder start. A test is compiled from the
// dependency of the module that it is in, so that, where the compiled program names
// that, the go command need not be asked, which takes a good part of a second.
func RootOfTest(start string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	return find(start, file)
}

func find(start, source string) (string, error) {
	finder := finder{variable: os.Getenv(RootVariable), source: source, goCommand: goCommand}
	if info, ok := debug.ReadBuildInfo(); ok {
		finder.version = builtFrom(info)
	}
	return finder.find(start)
}

// finder is Root with its surroundings as values.
type finder struct {
	variable  string // value of ZMQMATRIX_ROOT
	source    string // this file, as the dependency of the module in start has it; "" if that is not known
	version   string // of the module in the running program, "" if it has none
	goCommand func(dir string, arguments ...string) ([]byte, error)
}

func (f finder) find(start string) (string, error) {
	if f.variable != "" {
		root, err := filepath.Abs(f.variable)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrNoRoot, RootVariable, err)
		}
		if !isRoot(root) {
			return "", fmt.Errorf("%w: %s is %s, which has no go.mod of module %s; let it name a checkout, or unset it", ErrNoRoot, RootVariable, f.variable, Module)
		}
		return root, nil
	}
	start, err := filepath.Abs(start)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoRoot, err)
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		if isRoot(folder) {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	// -trimpath leaves no folder of this machine in it.
	if root := filepath.Dir(filepath.Dir(f.source)); filepath.IsAbs(f.source) && isRoot(root) {
		return root, nil
	}
	root, asDependency := f.dependency(start)
	if asDependency == nil {
		return root, nil
	}
	root, asRelease := f.release()
	if asRelease == nil {
		return root, nil
	}
	return "", fmt.Errorf("%w:\n  in %s or above it: no go.mod of module %s\n  as a dependency of the module there: %w\n  as the release this program was built from: %w\nRun it inside a checkout, or let %s name one",
		ErrNoRoot, start, Module, asDependency, asRelease, RootVariable)
}

// dependency finds the module where the go command keeps it for the module in
// start. A vendor folder holds Go files alone, so it is passed by.
func (f finder) dependency(start string) (string, error) {
	output, err := f.goCommand(start, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", Module)
	if err != nil {
		return "", err
	}
	root := strings.TrimSpace(string(output))
	if root == "" {
		// Required, but not downloaded yet.
		return f.download(start, Module)
	}
	if !isRoot(root) {
		return "", fmt.Errorf("%s has no go.mod of that module", root)
	}
	return root, nil
}

// release downloads the version that the program was built from.
func (f finder) release() (string, error) {
	if f.version == "" {
		return "", errors.New("it was not built from one")
	}
	return f.download(os.TempDir(), Module+"@"+f.version)
}

func (f finder) download(dir, query string) (string, error) {
	// With -json the command says in its output what went wrong, too.
	output, err := f.goCommand(dir, "mod", "download", "-json", query)
	var downloaded struct{ Dir, Error string }
	if decodeErr := json.Unmarshal(output, &downloaded); err == nil && decodeErr != nil {
		return "", fmt.Errorf("go mod download %s: its output: %w", query, decodeErr)
	}
	switch {
	case downloaded.Error != "":
		return "", fmt.Errorf("go mod download %s: %s", query, downloaded.Error)
	case err != nil:
		return "", err
	case !isRoot(downloaded.Dir):
		return "", fmt.Errorf("go mod download %s: %s has no go.mod of that module", query, downloaded.Dir)
	}
	return downloaded.Dir, nil
}

// goCommand runs the go command in dir. What it wrote to standard error is in
// the error, on one line.
func goCommand(dir string, arguments ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("the go command is not on the PATH")
	}
	if err != nil {
		return output, fmt.Errorf("go %s: %w: %s", arguments[0], err, strings.Join(strings.Fields(stderr.String()), " "))
	}
	return output, nil
}

// builtFrom is the version of the module in a program, "" if the program was
// built from a checkout, which no proxy has.
func builtFrom(info *debug.BuildInfo) string {
	for _, module := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if module.Path != Module {
			continue
		}
		if module.Replace != nil || module.Version == "(devel)" || strings.Contains(module.Version, "+dirty") {
			return ""
		}
		return module.Version
	}
	return ""
}

// isRoot reports whether the folder has a go.mod of the module.
func isRoot(folder string) bool {
	data, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "//")
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "module" {
			return strings.Trim(fields[1], "\"`") == Module
		}
	}
	return false
}
