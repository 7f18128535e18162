// Package gobuild builds Go programs of the module with the host's go, and
// again only when something they are made from has changed.
package gobuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
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
	// Digest is what Digest has returned for these options, "" to have Build ask
	// the go command once more.
	Digest string
}

// Program is a built program.
type Program struct {
	Path   string
	Digest string // of what it was made from, in hex
}

// LinkerFlags leave out what differs between two builds of the same sources.
const LinkerFlags = "-s -w -buildid="

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
	command := goCommand(ctx, options, "build", "-trimpath", "-buildvcs=false", "-ldflags", LinkerFlags,
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
	listing, err := List(ctx, options)
	if err != nil {
		return "", err
	}
	inputs := append([]string{runtime.GOARCH, fmt.Sprint(options.Cgo)}, options.Inputs...)
	return listing.Digest(options.Package, inputs...)
}

// Digest is the sha256, in hex, over what a program is made from by this listing,
// and from inputs besides.
func (l Listing) Digest(goPackage string, inputs ...string) (string, error) {
	hash := sha256.New()
	// Every field is preceded by its length, so that no two inputs are written
	// alike.
	field := func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
	for _, text := range append([]string{l.GoVersion, LinkerFlags, goPackage}, inputs...) {
		field(text)
	}
	for _, found := range l.Packages {
		field(found.ImportPath)
		if found.Module != nil && !found.Module.Main && !found.Module.ReplacedByFolder() {
			module := found.Module.Used()
			field(module.Path + "@" + module.Version + " " + module.Sum)
			continue
		}
		for _, file := range found.Files() {
			content, err := os.ReadFile(filepath.Join(found.Dir, file))
			if err != nil {
				return "", fmt.Errorf("source of %s: %w", goPackage, err)
			}
			field(file)
			field(string(content))
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
