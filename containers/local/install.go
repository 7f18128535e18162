//go:build linux

package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// installed is a target that was built on the host.
type installed struct {
	folder string
	digest string       // of all that it was made from, in hex
	size   int64        // of its files, in bytes
	tree   *source.Tree // of a binding that comes from elsewhere, else nil
}

// install builds the target, made from the release file archive if that is not
// "", with its script into CACHE/targets/NAME/DIGEST, or
// finds it there. The script writes to the final path, since a program may
// remember where it was built; that it came to its end is said by a file beside
// the folder, and a folder without one is built anew. All of the project's own
// bindings share one installation; one that comes from elsewhere has its own.
func (r *Runtime) install(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding, archive string) (installed, error) {
	var tree *source.Tree
	if binding.System != "" {
		var err error
		if tree, err = r.finder.Find(ctx, binding); err != nil {
			return installed{}, err
		}
	} else {
		binding.Name = target.Own()
	}
	programs := map[string]gobuild.Program{}
	for file, goPackage := range target.Image.Go {
		program, err := r.program(ctx, gobuild.Options{
			Root: r.root, CacheDir: r.cache, Package: goPackage, Cgo: true, Inputs: versions(ctx, target),
		})
		if err != nil {
			return installed{}, err
		}
		programs[file] = program
	}
	digest, err := r.digest(ctx, target, variant, binding, tree, programs)
	if err != nil {
		return installed{}, err
	}
	parent := filepath.Join(r.cache, "targets", target.Name)
	found := installed{folder: filepath.Join(parent, digest[:32]), digest: digest, tree: tree}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return installed{}, fmt.Errorf("cache folder: %w", err)
	}
	unlock, err := lock(ctx, found.folder+".lock")
	if err != nil {
		return installed{}, err
	}
	defer unlock()
	complete := found.folder + ".complete"
	if _, err := os.Stat(complete); err == nil {
		found.size, err = sizeOf(found.folder)
		return found, err
	}
	select {
	case r.builds <- struct{}{}:
		defer func() { <-r.builds }()
	case <-ctx.Done():
		return installed{}, ctx.Err()
	}
	r.log.say("building %s@%s on this host", target.Name, variant.Name)
	if err := os.RemoveAll(found.folder); err != nil {
		return installed{}, fmt.Errorf("cache folder: %w", err)
	}
	if err := os.Mkdir(found.folder, 0o755); err != nil {
		return installed{}, fmt.Errorf("cache folder: %w", err)
	}
	if err := r.build(ctx, target, variant, binding, tree, programs, archive, found.folder); err != nil {
		return installed{}, errors.Join(err, os.RemoveAll(found.folder))
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		return installed{}, fmt.Errorf("cache folder: %w", err)
	}
	found.size, err = sizeOf(found.folder)
	r.log.say("%s@%s/%s is built, %d MB", target.Name, variant.Name, binding.Name, found.size/1_000_000)
	return found, err
}

// sizeOf is the bytes of a folder's files.
func sizeOf(folder string) (size int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("the installation's size: %w", err)
	}
	return size, nil
}

// build runs the target's script, the same one that its Dockerfile runs.
func (r *Runtime) build(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding, tree *source.Tree, programs map[string]gobuild.Program, archive, output string) error {
	bin := filepath.Join(r.scratch.temp, "bin-"+target.Name+"-"+filepath.Base(output))
	if err := os.Mkdir(bin, 0o700); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer os.RemoveAll(bin)
	for file, program := range programs {
		if err := copyProgram(program.Path, filepath.Join(bin, file)); err != nil {
			return err
		}
	}
	copied := ""
	if tree != nil {
		copied = bin + "-binding"
		defer os.RemoveAll(copied)
		if err := tree.Write(copied); err != nil {
			return err
		}
	}
	script := filepath.Join("targets", target.Name, target.Local.Build)
	command := exec.CommandContext(ctx, "sh", script, output)
	command.Dir = r.root
	command.Env = append(os.Environ(), "ZM_SUITE="+variant.Suite, "ZM_BIN="+bin, "TMPDIR="+r.scratch.temp,
		"ZMQMATRIX_BINDING="+binding.Name, "ZMQMATRIX_SYSTEMS="+binding.System, "ZMQMATRIX_SOURCE="+copied)
	if archive != "" {
		command.Env = append(command.Env, "ZMQMATRIX_ARCHIVE="+archive)
	}
	endWhole(command)
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("sh %s: %w\n%s", script, err, gobuild.Tail(said))
	}
	return nil
}

// endWhole makes the end of a command's context the end of its children, too: a
// compiler would go on.
func endWhole(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = time.Second
}

// fetch runs the script that fetches a binding.
func fetch(ctx context.Context, system, folder string) error {
	// Its name among the arguments of -c stands for that of the file.
	command := exec.CommandContext(ctx, "sh", "-c", source.FetchScript, "quicklisp.sh", system, folder)
	endWhole(command)
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetch %s with %s of this host: %w\n%s", system, strings.Join(source.FetchPackages, " and "), err, bytes.TrimSpace(said))
	}
	return nil
}

func copyProgram(from, to string) error {
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		return fmt.Errorf("hand a program to the target's script: %w", err)
	}
	return nil
}

// digest is the sha256, in hex, over what the target is made from: its folder
// and those it includes, its Go programs, the variant, the binding that it is
// built with, and what is installed of the implementation.
func (r *Runtime) digest(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding, tree *source.Tree, programs map[string]gobuild.Program) (string, error) {
	hash := sha256.New()
	field := fieldWriter(hash)
	field(variant.Suite)
	field(target.Local.Build)
	if archive := target.ArchiveOf(variant); archive != nil {
		field(archive.SHA256)
	}
	field(binding.Name)
	field(binding.System)
	if tree != nil {
		field(tree.Digest)
	}
	for _, folder := range append([]string{filepath.Join("targets", target.Name)}, target.Image.Include...) {
		if err := hashTree(field, r.root, folder); err != nil {
			return "", fmt.Errorf("digest of %s: %w", folder, err)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(programs)) {
		field(file)
		field(programs[file].Digest)
	}
	for _, version := range versions(ctx, target) {
		field(version)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// fieldWriter writes fields preceded by their lengths, so that no two inputs
// are written alike.
func fieldWriter(hash hash.Hash) func(string) {
	return func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
}

// hashTree writes every file of a folder, but for what source.Ignored names.
func hashTree(field func(string), root, folder string) error {
	tree := filepath.Join(root, folder)
	return filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != tree && source.Ignored(entry.Name()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		field(relative)
		if entry.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(path)
			field("link " + link)
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, file); err != nil {
			return err
		}
		field(hex.EncodeToString(sum.Sum(nil)))
		return nil
	})
}

// versions tell one installation of the implementation from another. There is
// no one way to ask a command for its version, and a command is often only the
// smaller part of what it runs; so it is the files of the commands, and the
// versions of the Debian packages where the host has such.
func versions(ctx context.Context, target matrix.Target) []string {
	var found []string
	for _, command := range target.Local.Requires {
		path, err := targets.Locate(command)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			continue // available has said so, unless it went away just now
		}
		if info, err := os.Stat(path); err == nil {
			found = append(found, fmt.Sprintf("%s %s %d %d", command, path, info.Size(), info.ModTime().UnixNano()))
		}
	}
	if len(target.Local.Packages) > 0 {
		// It fails for a package that is not installed, and still lists the
		// others; without dpkg there is nothing to list.
		output, _ := exec.CommandContext(ctx, "dpkg-query", append([]string{"-W", "-f", "${Package} ${Version}\n"}, target.Local.Packages...)...).Output()
		found = append(found, string(output))
	}
	return found
}

// lock waits for the lock of a file, which processes hold against each other
// and goroutines, too.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock a build: %w", err)
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return func() { file.Close() }, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lock a build: %w", ctx.Err())
		}
	}
}
