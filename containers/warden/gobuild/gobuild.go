// Package gobuild builds Go programs of the module with the host's go, and
// again only when something they are made from has changed.
package gobuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Options say what is built.
type Options struct {
	Root     string // the module's root
	CacheDir string // the programs are kept below it, in folders named by digest
	Package  string // "./containers/warden/zmqmatrix-warden"
	Cgo      bool
	// Inputs are further things that the program depends on, such as the
	// version of a C library.
	Inputs []string
	// Digest is what Digest has returned for these options, "" to have Build find
	// it: asking the go command takes a good part of a second.
	Digest string
}

// Program is a built program.
type Program struct {
	Path   string
	Digest string // of what it was made from, in hex
}

// linkerFlags leave out what differs between two builds of the same sources.
const linkerFlags = "-s -w -buildid="

// tailLines of a failed build's output are shown: the first error of a compiler
// stands near its end.
const tailLines = 40

// Build returns the program, and builds it if none with the digest of its
// sources is there yet.
func Build(ctx context.Context, options Options) (Program, error) {
	digest := options.Digest
	if digest == "" {
		var err error
		if digest, err = Digest(ctx, options); err != nil {
			return Program{}, err
		}
	}
	name := path.Base(options.Package)
	folder := filepath.Join(options.CacheDir, "programs", digest[:32])
	program := Program{Path: filepath.Join(folder, name), Digest: digest}
	if _, err := os.Stat(program.Path); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return Program{}, fmt.Errorf("cache folder: %w", err)
	}
	// Built aside and renamed: a build that was cut off is never taken for a
	// finished one.
	aside, err := os.MkdirTemp(filepath.Dir(folder), "building-")
	if err != nil {
		return Program{}, fmt.Errorf("cache folder: %w", err)
	}
	defer os.RemoveAll(aside)
	if err := os.Chmod(aside, 0o755); err != nil {
		return Program{}, fmt.Errorf("cache folder: %w", err)
	}
	command := goCommand(ctx, options, "build", "-trimpath", "-buildvcs=false", "-ldflags", linkerFlags,
		"-o", filepath.Join(aside, name), options.Package)
	if output, err := command.CombinedOutput(); err != nil {
		return Program{}, fmt.Errorf("go build %s: %w\n%s", options.Package, err, Tail(output))
	}
	if err := os.Rename(aside, folder); err != nil {
		// Another process may have been quicker; its program is the same.
		if _, statErr := os.Stat(program.Path); statErr != nil {
			return Program{}, fmt.Errorf("keep the program: %w", err)
		}
	}
	return program, nil
}

// Tail is the end of a failed command's output, as far as a person reads it.
func Tail(output []byte) string {
	lines := strings.Split(strings.TrimRight(string(output), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// Digest is the sha256, in hex, over what the program is made from: the Go
// version, the sources of the module's own packages and the versions and sums
// of the modules that are linked in.
func Digest(ctx context.Context, options Options) (string, error) {
	// The go command takes a while for anything it is asked.
	var version string
	var versionErr error
	var asking sync.WaitGroup
	asking.Go(func() { version, versionErr = goVersion(ctx, options) })
	command := goCommand(ctx, options, "list", "-deps", ListPackages, options.Package)
	var said bytes.Buffer
	command.Stderr = &said
	listed, err := command.Output()
	asking.Wait()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("go is not on the PATH, and %s is built from source: install Go: %w", options.Package, err)
	}
	if err != nil {
		return "", fmt.Errorf("go list %s: %w\n%s", options.Package, err, Tail(said.Bytes()))
	}
	if versionErr != nil {
		return "", versionErr
	}
	hash := sha256.New()
	// Every field is preceded by its length, so that no two inputs are written
	// alike.
	field := func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
	for _, text := range append([]string{version, runtime.GOARCH, fmt.Sprint(options.Cgo), linkerFlags, options.Package}, options.Inputs...) {
		field(text)
	}
	decoder := json.NewDecoder(bytes.NewReader(listed))
	for {
		var found listedPackage
		switch err := decoder.Decode(&found); {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(hash.Sum(nil)), nil
		case err != nil:
			return "", fmt.Errorf("go list %s: %w", options.Package, err)
		case found.Error != nil:
			return "", fmt.Errorf("go list %s: %s: %s", options.Package, found.ImportPath, found.Error.Err)
		case found.Standard:
			continue
		}
		field(found.ImportPath)
		if found.Module != nil && !found.Module.Main && found.Module.Replace == nil {
			field(found.Module.Version + " " + found.Module.Sum)
			continue
		}
		for _, files := range [][]string{
			found.GoFiles, found.CgoFiles, found.CFiles, found.CXXFiles, found.HFiles, found.SFiles, found.SysoFiles, found.EmbedFiles,
		} {
			for _, file := range files {
				content, err := os.ReadFile(filepath.Join(found.Dir, file))
				if err != nil {
					return "", fmt.Errorf("source of %s: %w", options.Package, err)
				}
				field(file)
				field(string(content))
			}
		}
	}
}

// ListPackages has go list say of packages what they are made from. Asked for
// all that it knows, it would also find out what is stale, for which it starts
// the compiler, the assembler, cgo, the linker and the C compiler.
const ListPackages = "-json=ImportPath,Dir,Standard,Module,GoFiles,CgoFiles,CFiles,CXXFiles,HFiles,SFiles,SysoFiles,EmbedFiles,Error"

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath, Dir string
	Standard        bool
	Module          *struct {
		Path, Version, Sum string
		Main               bool
		Replace            *struct{ Path string }
	}
	GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles, EmbedFiles []string
	Error                                                                      *struct{ Err string }
}

func goVersion(ctx context.Context, options Options) (string, error) {
	output, err := goCommand(ctx, options, "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// goCommand runs the host's go for Linux on this machine's architecture,
// whatever the caller's environment asks of go.
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
