package images

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
)

// Paths in the builder's container.
const (
	insideGo      = "/zm/go"
	insideModules = "/zm/modules"
	insideSources = "/zm/sources"
	insideCache   = "/zm/cache"
	insideOutput  = "/zm/output"
)

// linkerFlags make two builds of the same sources the same file.
const linkerFlags = "-s -w -buildid="

// Program builds a Go package of the module with cgo inside a Debian suite and
// returns the path of the executable on the host. It is built again only when
// its sources, the Go version or the builder's image changed.
func (m *Maker) Program(ctx context.Context, suite, goPackage string) (string, error) {
	builder, err := m.builder(ctx, suite)
	if err != nil {
		return "", fmt.Errorf("program %s: builder of Debian %s: %w", goPackage, suite, err)
	}
	release, err := m.locks.acquire(ctx, "program "+suite+" "+goPackage)
	if err != nil {
		return "", err
	}
	defer release()
	program, err := m.program(ctx, suite, goPackage, builder)
	if err != nil {
		return "", fmt.Errorf("program %s in Debian %s: %w", goPackage, suite, err)
	}
	return program, nil
}

func (m *Maker) program(ctx context.Context, suite, goPackage string, builder Image) (string, error) {
	architecture, err := m.Engine.Architecture(ctx)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != architecture {
		return "", fmt.Errorf("the builder uses this machine's Go, which is for %s/%s, and the engine needs linux/%s: run zmqmatrix on a Linux machine of the engine's kind",
			runtime.GOOS, runtime.GOARCH, architecture)
	}
	sources, err := listSources(ctx, m.Root, goPackage)
	if err != nil {
		return "", err
	}
	digest, err := sources.digest(builder.ID, goPackage)
	if err != nil {
		return "", err
	}
	name := path.Base(goPackage)
	// The folder's name is the digest: what is there was made of the same.
	output := filepath.Join(m.CacheDir, "programs", suite, digest[:32])
	program := filepath.Join(output, name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cache := filepath.Join(m.CacheDir, "go-build", suite)
	parent := filepath.Dir(output)
	for _, folder := range []string{cache, parent} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", fmt.Errorf("cache folder: %w", err)
		}
	}
	// Built aside and renamed, so that a build that was cut off is never taken
	// for a finished one.
	aside, err := os.MkdirTemp(parent, "building-")
	if err != nil {
		return "", fmt.Errorf("cache folder: %w", err)
	}
	defer os.RemoveAll(aside)
	moduleFiles, err := sources.moduleFiles(ctx)
	if err != nil {
		return "", err
	}
	select {
	case m.builds <- struct{}{}:
		defer func() { <-m.builds }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	m.say("building %s in Debian %s", goPackage, suite)
	err = m.Engine.RunJob(ctx, Job{
		Image:   builder.Tag,
		Command: []string{insideGo + "/bin/go", "build", "-trimpath", "-buildvcs=false", "-ldflags", linkerFlags, "-o", insideOutput + "/" + name, goPackage},
		Dir:     insideSources,
		// -mod is left at its default: with a go.mod on a read-only mount
		// nothing else could work.
		Env: map[string]string{
			"CGO_ENABLED": "1", "GOARCH": architecture, "GOOS": "linux", "GOROOT": insideGo, "GOMODCACHE": insideModules,
			"GOCACHE": insideCache, "GOPROXY": "off", "GOSUMDB": "off", "GOTOOLCHAIN": "local", "GOWORK": "off",
			"GOFLAGS": "", "GOENV": "off", "GOTELEMETRY": "off", "HOME": "/tmp", "PATH": "/usr/local/bin:/usr/bin:/bin",
		},
		Trees: []Tree{
			{Host: sources.goRoot, Inside: insideGo, Files: toolchainFiles},
			{Host: sources.moduleCache, Inside: insideModules, Files: moduleFiles},
			{Host: m.Root, Inside: insideSources, Files: sources.ownFiles},
			{Host: cache, Inside: insideCache, Use: Cache},
			{Host: aside, Inside: insideOutput, Use: Output},
		},
	})
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(aside, name)); err != nil {
		return "", fmt.Errorf("the build left no program: %w", err)
	}
	// Another run may have been quicker; its program is the same.
	if err := os.Rename(aside, output); err != nil {
		if _, statErr := os.Stat(program); statErr != nil {
			return "", fmt.Errorf("keep the program: %w", err)
		}
	}
	return program, nil
}

// toolchainFiles are the parts of GOROOT that a build needs.
var toolchainFiles = []string{"VERSION", "bin", "go.env", "pkg/include", "pkg/tool", "src"}

// sources are the files that a program is made from.
type sources struct {
	goRoot, moduleCache, goVersion string
	root                           string
	ownFiles                       []string                // of the module, relative to its root
	modules                        map[string]listedModule // that are linked in, by path
}

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath, Dir string
	Standard        bool
	Module          *listedModule
	GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles,
	EmbedFiles []string
	Error *struct{ Err string }
}

// listedModule is what go list says of a module.
type listedModule struct {
	Path, Version, Sum, GoMod, Dir string
	Main                           bool
	Replace                        *listedModule
}

// used is the module that is taken for it.
func (m listedModule) used() listedModule {
	if m.Replace != nil {
		return *m.Replace
	}
	return m
}

// listSources asks the host's go command, which also fetches the modules that
// are not in its cache yet: the builder's container reaches no proxy.
func listSources(ctx context.Context, root, goPackage string) (*sources, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("go is not installed, and the programs that link libzmq are built from source: apt-get install golang-go, or unpack the official archive and put its bin on the PATH")
	}
	// The go command takes a while for anything it is asked.
	var environment []byte
	var environmentErr error
	var asking sync.WaitGroup
	asking.Go(func() {
		environment, environmentErr = goCommand(ctx, root, "env", "-json", "GOROOT", "GOMODCACHE", "GOVERSION")
	})
	text, err := goCommand(ctx, root, "list", "-deps", gobuild.ListPackages, goPackage)
	asking.Wait()
	if err := cmp.Or(environmentErr, err); err != nil {
		return nil, err
	}
	var settings struct{ GOROOT, GOMODCACHE, GOVERSION string }
	if err := json.Unmarshal(environment, &settings); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	found := &sources{goRoot: settings.GOROOT, moduleCache: settings.GOMODCACHE, goVersion: settings.GOVERSION, root: root, modules: make(map[string]listedModule)}
	packages, err := decodeAll[listedPackage](text)
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", goPackage, err)
	}
	for _, listed := range packages {
		switch {
		case listed.Error != nil:
			return nil, fmt.Errorf("go list %s: %s: %s", goPackage, listed.ImportPath, listed.Error.Err)
		case listed.Standard:
		case listed.Module == nil:
			return nil, fmt.Errorf("package %s belongs to no module", listed.ImportPath)
		case listed.Module.Main:
			folder, err := filepath.Rel(root, listed.Dir)
			if err != nil {
				return nil, err
			}
			for _, files := range [][]string{listed.GoFiles, listed.CgoFiles, listed.CFiles, listed.CXXFiles, listed.HFiles, listed.SFiles, listed.SysoFiles, listed.EmbedFiles} {
				for _, file := range files {
					found.ownFiles = append(found.ownFiles, filepath.ToSlash(filepath.Join(folder, file)))
				}
			}
		case listed.Module.Replace != nil && listed.Module.Replace.Version == "":
			return nil, fmt.Errorf("module %s is replaced by a folder, which the builder does not see", listed.Module.Path)
		default:
			module := listed.Module.used()
			found.modules[module.Path] = module
		}
	}
	found.ownFiles = append(found.ownFiles, "go.mod", "go.sum")
	slices.Sort(found.ownFiles)
	return found, nil
}

// moduleFiles are what the go command looks at in the module cache, relative to
// it: the folders of the modules linked in and, of every module of the graph,
// what its go.mod says.
func (s *sources) moduleFiles(ctx context.Context) ([]string, error) {
	text, err := goCommand(ctx, s.root, "list", "-m", "-json", "all")
	if err != nil {
		return nil, err
	}
	graph, err := decodeAll[listedModule](text)
	if err != nil {
		return nil, fmt.Errorf("go list -m all: %w", err)
	}
	var paths []string
	for _, module := range graph {
		if module = module.used(); module.GoMod == "" || module.Main {
			continue
		}
		// cache/download/<path>/@v/<version>.mod, and .info and .ziphash beside it.
		stem := strings.TrimSuffix(module.GoMod, ".mod")
		paths = append(paths, stem+".mod", stem+".info", stem+".ziphash")
	}
	for _, module := range slices.Sorted(maps.Keys(s.modules)) {
		paths = append(paths, s.modules[module].Dir)
	}
	var files []string
	for _, hostPath := range paths {
		if _, err := os.Stat(hostPath); err != nil {
			continue // a module that is only mentioned has no sum of its content
		}
		relative, err := filepath.Rel(s.moduleCache, hostPath)
		if err != nil || !filepath.IsLocal(relative) {
			return nil, fmt.Errorf("%s is outside the module cache %s", hostPath, s.moduleCache)
		}
		files = append(files, filepath.ToSlash(relative))
	}
	return files, nil
}

// digest is over everything that the program's bytes depend on.
func (s *sources) digest(builderID, goPackage string) (string, error) {
	hash := sha256.New()
	field := func(text string) { fmt.Fprintf(hash, "%d:%s\n", len(text), text) }
	for _, text := range []string{builderID, s.goVersion, linkerFlags, goPackage} {
		field(text)
	}
	for _, module := range slices.Sorted(maps.Keys(s.modules)) {
		field(module + "@" + s.modules[module].Version + " " + s.modules[module].Sum)
	}
	for _, file := range s.ownFiles {
		if file == "go.mod" || file == "go.sum" {
			// What they say of the modules linked in is in modules; the rest
			// must not cause a build.
			continue
		}
		content, err := os.ReadFile(filepath.Join(s.root, file))
		if err != nil {
			return "", fmt.Errorf("source: %w", err)
		}
		field(file)
		field(string(content))
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// goCommand runs the host's go command as the builder will: for the target's
// system, with cgo.
func goCommand(ctx context.Context, root string, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOWORK=off", "GOFLAGS=")
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, strings.TrimSpace(said.String()))
	}
	return text, nil
}

// decodeAll reads the objects that go list writes one after another.
func decodeAll[T any](text []byte) ([]T, error) {
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
