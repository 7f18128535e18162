package images

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

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
	options := gobuild.Options{Root: m.Root, Package: goPackage, Cgo: true}
	listing, err := gobuild.List(ctx, options)
	if err != nil {
		return "", err
	}
	digest, err := listing.Digest(goPackage, builder.ID)
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
	sources, err := sourcesOf(ctx, options, listing)
	if err != nil {
		return "", err
	}
	leave, err := m.builds.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	m.say("building %s in Debian %s", goPackage, suite)
	err = m.Engine.RunJob(ctx, Job{
		Image:   builder.Tag,
		Command: []string{insideGo + "/bin/go", "build", "-trimpath", "-buildvcs=false", "-ldflags", gobuild.LinkerFlags, "-o", insideOutput + "/" + name, goPackage},
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
			{Host: sources.moduleCache, Inside: insideModules, Files: sources.moduleFiles},
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

// sources are the files that the builder's container sees.
type sources struct {
	goRoot, moduleCache string
	ownFiles            []string // of the module, relative to its root
	moduleFiles         []string // of the module cache, relative to it
}

// sourcesOf are the files that this listing names, and those that go needs to read
// them. What was not in the module cache has been fetched for the listing: the
// builder's container reaches no proxy.
func sourcesOf(ctx context.Context, options gobuild.Options, listing gobuild.Listing) (*sources, error) {
	found := &sources{goRoot: listing.GoRoot, moduleCache: listing.ModuleCache, ownFiles: []string{"go.mod", "go.sum"}}
	modules := make(map[string]string) // folders by the modules' paths
	for _, listed := range listing.Packages {
		switch {
		case listed.Module == nil:
			return nil, fmt.Errorf("package %s belongs to no module", listed.ImportPath)
		case listed.Module.Main:
			folder, err := filepath.Rel(options.Root, listed.Dir)
			if err != nil {
				return nil, err
			}
			for _, file := range listed.Files() {
				found.ownFiles = append(found.ownFiles, filepath.ToSlash(filepath.Join(folder, file)))
			}
		case listed.Module.ReplacedByFolder():
			return nil, fmt.Errorf("module %s is replaced by a folder, which the builder does not see", listed.Module.Path)
		default:
			module := listed.Module.Used()
			modules[module.Path] = module.Dir
		}
	}
	slices.Sort(found.ownFiles)
	var err error
	found.moduleFiles, err = moduleFiles(ctx, options, found.moduleCache, modules)
	return found, err
}

// moduleFiles are what the go command looks at in the module cache, relative to
// it: the folders of the modules linked in and, of every module of the graph,
// what its go.mod says.
func moduleFiles(ctx context.Context, options gobuild.Options, cache string, modules map[string]string) ([]string, error) {
	text, err := gobuild.Go(ctx, options, "list", "-m", "-json", "all")
	if err != nil {
		return nil, err
	}
	graph, err := gobuild.DecodeAll[gobuild.Module](text)
	if err != nil {
		return nil, fmt.Errorf("go list -m all: %w", err)
	}
	var paths []string
	for _, module := range graph {
		if module = module.Used(); module.GoMod == "" || module.Main {
			continue
		}
		// cache/download/<path>/@v/<version>.mod, and .info and .ziphash beside it.
		stem := strings.TrimSuffix(module.GoMod, ".mod")
		paths = append(paths, stem+".mod", stem+".info", stem+".ziphash")
	}
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		paths = append(paths, modules[module])
	}
	var files []string
	for _, hostPath := range paths {
		if _, err := os.Stat(hostPath); err != nil {
			continue // a module that is only mentioned has no sum of its content
		}
		relative, err := filepath.Rel(cache, hostPath)
		if err != nil || !filepath.IsLocal(relative) {
			return nil, fmt.Errorf("%s is outside the module cache %s", hostPath, cache)
		}
		files = append(files, filepath.ToSlash(relative))
	}
	return files, nil
}
