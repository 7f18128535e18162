//go:build linux

package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// endpointPackage is the endpoint's program in the module.
const endpointPackage = "./matrix/endpoint/zmqmatrix-endpoint"

// Runtime implements matrix.Runtime on the host.
type Runtime struct {
	root, cache string
	log         *lineWriter
	releases    *release.Store
	scratch     *scratch
	starter     *starter
	warden      gobuild.Program
	cores       bool          // it lets probes leave core files
	suite       string        // the host's, "" if it names none
	builds      chan struct{} // a token for each build under way
	finder      source.Finder

	mu       sync.Mutex
	children []*child // started and not closed
	closed   bool
	endpoint gobuild.Options // without a digest until they are found
}

var runID = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// New makes the runtime ready: it sweeps what runs that died have left in the
// cache folder, and builds the warden.
func New(ctx context.Context, options Options) (*Runtime, error) {
	if !runID.MatchString(options.RunID) {
		return nil, fmt.Errorf("run id %q: want letters, digits, '.', '_' and '-'", options.RunID)
	}
	root, err := filepath.Abs(options.Root)
	if err != nil {
		return nil, fmt.Errorf("module folder: %w", err)
	}
	cache, err := filepath.Abs(options.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	r := &Runtime{
		root: root, cache: cache, log: &lineWriter{output: options.Log}, suite: hostSuite(), cores: options.Cores,
		builds: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	r.releases = release.NewStore(cache, r.log.say)
	swept, err := sweep(cache)
	for _, folder := range swept {
		r.log.say("removed what a dead run left in %s", folder)
	}
	if err != nil {
		// A leftover that can't be removed is untidy and no reason not to run.
		r.log.say("sweeping: %v", err)
	}
	// The go command takes a good part of a second to tell what a program is made
	// from: the endpoint's is asked for meanwhile. If it can't be told, that is said
	// where it is needed.
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = r.endpointOptions(ctx) })
	r.warden, err = warden.Build(ctx, root, cache)
	asking.Wait()
	if err != nil {
		return nil, err
	}
	if r.scratch, err = newScratch(cache, options.RunID); err != nil {
		return nil, err
	}
	r.finder = source.Finder{Named: options.Sources, Fetch: fetch, Scratch: r.scratch.temp}
	r.starter = newStarter()
	return r, nil
}

// Name is "local".
func (r *Runtime) Name() string { return "local" }

// Environment describes the host.
func (r *Runtime) Environment(ctx context.Context) (matrix.Environment, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return matrix.Environment{}, fmt.Errorf("describe the host: %w", err)
	}
	options, err := r.endpointOptions(ctx)
	if err != nil {
		return matrix.Environment{}, err
	}
	return matrix.Environment{
		Host: fmt.Sprintf("%s %s %s", unix.ByteSliceToString(name.Sysname[:]),
			unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:])),
		Cores: runtime.GOMAXPROCS(0), Engine: "local", EndpointDigest: "sha256:" + options.Digest,
		// What else confines them is the warden's own work.
		Confinement: "sha256:" + r.warden.Digest,
	}, nil
}

// StartEndpoint builds and starts the endpoint, which listens on the loopback
// interface.
func (r *Runtime) StartEndpoint(ctx context.Context) (matrix.Endpoint, error) {
	options, err := r.endpointOptions(ctx)
	if err != nil {
		return nil, err
	}
	program, err := r.program(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("build the endpoint: %w", err)
	}
	started, err := r.start("endpoint", unix.SIGKILL, program.Path, "--bind", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	client, err := endpoint.NewClient(ctx, started)
	if err != nil {
		return nil, errors.Join(started.explain(err), started.Close())
	}
	return client, nil
}

// endpointOptions name the endpoint's program, which depends on the libzmq that
// is installed. They are found once: the endpoint of a run is one program, also
// when it is started again.
func (r *Runtime) endpointOptions(ctx context.Context) (gobuild.Options, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endpoint.Digest != "" {
		return r.endpoint, nil
	}
	output, err := exec.CommandContext(ctx, "pkg-config", "--modversion", "libzmq").CombinedOutput()
	if err != nil {
		return gobuild.Options{}, fmt.Errorf("the endpoint needs libzmq to build (apt-get install gcc pkg-config libzmq3-dev): pkg-config: %w: %s", err, bytes.TrimSpace(output))
	}
	options := gobuild.Options{
		Root: r.root, CacheDir: r.cache, Package: endpointPackage, Cgo: true,
		Inputs: []string{"libzmq " + string(bytes.TrimSpace(output))},
	}
	if options.Digest, err = gobuild.Digest(ctx, options); err != nil {
		return gobuild.Options{}, fmt.Errorf("the endpoint's digest: %w", err)
	}
	r.endpoint = options
	return options, nil
}

// program builds a Go program; only so many builds as there are cores run at
// once.
func (r *Runtime) program(ctx context.Context, options gobuild.Options) (gobuild.Program, error) {
	select {
	case r.builds <- struct{}{}:
		defer func() { <-r.builds }()
	case <-ctx.Done():
		return gobuild.Program{}, ctx.Err()
	}
	return gobuild.Build(ctx, options)
}

// Prepare builds the target with its own script, unless nothing that it is made
// from has changed.
func (r *Runtime) Prepare(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (matrix.Place, error) {
	name := target.Name + "@" + variant.Name
	if err := r.available(target, variant); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	archive, err := r.releases.Of(ctx, target, variant)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	installed, err := r.install(ctx, target, variant, binding, archive)
	switch {
	case errors.Is(err, matrix.ErrUnavailable):
		return nil, fmt.Errorf("%s/%s: %w", name, binding.Name, err)
	case err != nil:
		return nil, fmt.Errorf("build %s/%s on this host: %w", name, binding.Name, err)
	}
	return &place{runtime: r, name: name + "/" + binding.Name, installed: installed}, nil
}

// available says, wrapping matrix.ErrUnavailable, why the variant can't run
// here.
func (r *Runtime) available(target matrix.Target, variant matrix.Variant) error {
	if target.Local.Build == "" {
		return fmt.Errorf("%w: %s can't be run outside a container", matrix.ErrUnavailable, target.Title)
	}
	if variant.Suite != r.suite && !variant.Default {
		return fmt.Errorf("%w: it is what Debian %s packages, and this host is %s: use the docker runtime", matrix.ErrUnavailable, variant.Suite, cmp.Or(r.suite, "no Debian"))
	}
	var missing []string
	for _, requirement := range target.Local.Requires {
		if _, err := targets.Locate(requirement); err != nil {
			missing = append(missing, requirement)
		}
	}
	if len(missing) > 0 {
		verb := "is"
		if len(missing) > 1 {
			verb = "are"
		}
		advice := target.Local.Supplied
		if len(target.Local.Packages) > 0 {
			advice = strings.TrimPrefix(advice+"; apt-get install "+strings.Join(target.Local.Packages, " "), "; ")
		}
		return fmt.Errorf("%w: %s %s not on this host; %s", matrix.ErrUnavailable, strings.Join(missing, ", "), verb, advice)
	}
	return nil
}

// hostSuite is the Debian suite of the host, as os-release(5) has it.
func hostSuite() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// start starts a process of ours.
func (r *Runtime) start(name string, whenOrphaned unix.Signal, program string, arguments ...string) (*child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("start the %s: the runtime is closed", name)
	}
	started, err := r.starter.start(name, whenOrphaned, r.scratch.temp, r.log, program, arguments...)
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	r.children = append(r.children, started)
	started.forget = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.children = slices.DeleteFunc(r.children, func(c *child) bool { return c == started })
	}
	return started, nil
}

// Close ends every process and removes the scratch folder.
func (r *Runtime) Close(context.Context) error {
	r.mu.Lock()
	children := slices.Clone(r.children)
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	var closing sync.WaitGroup
	errs := make([]error, len(children))
	for i, child := range children {
		closing.Go(func() { errs[i] = child.Close() })
	}
	closing.Wait()
	r.starter.stop()
	return errors.Join(errors.Join(errs...), r.scratch.remove())
}

// place is a prepared client.
type place struct {
	installed
	runtime *Runtime
	name    string
	client  *warden.Client // nil until it is started
	child   *child
}

// Start starts the client's warden.
func (p *place) Start(ctx context.Context) error {
	var arguments []string
	if p.runtime.cores {
		arguments = []string{warden.CoreFlag}
	}
	started, err := p.runtime.start("warden of "+p.name, unix.SIGTERM, p.runtime.warden.Path, arguments...)
	if err != nil {
		return err
	}
	client, err := warden.NewClient(ctx, started)
	if err != nil {
		return errors.Join(started.explain(err), started.Close())
	}
	p.client, p.child = client, started
	return nil
}

// Digest identifies the installed files' sources and the versions they were
// built with.
func (p *place) Digest() string { return "sha256:" + p.digest }

// Size is what the installation takes, without what it uses of the host's.
func (p *place) Size() int64 { return p.size }

// Source is where the installation's binding came from.
func (p *place) Source() *matrix.Source {
	if p.tree == nil {
		return nil
	}
	return &p.tree.Source
}

// Expand replaces {dir} by the folder the target was installed in.
func (p *place) Expand(text string) string { return strings.ReplaceAll(text, "{dir}", p.folder) }

// Run runs the task under the warden.
func (p *place) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	account, err := p.client.Run(ctx, task)
	if errors.Is(err, warden.ErrGone) {
		err = p.child.explain(err)
	}
	return account, err
}

// Close ends the warden, which kills what it runs.
func (p *place) Close(context.Context) error {
	if p.client == nil {
		return nil
	}
	return errors.Join(p.client.Close(), p.child.Close())
}

var _ matrix.Runtime = (*Runtime)(nil)

// lineWriter writes whole lines, from several goroutines, to a writer that may
// be nil.
type lineWriter struct {
	mu     sync.Mutex
	output io.Writer
}

func (w *lineWriter) say(format string, arguments ...any) {
	if w.output == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Progress that can't be shown is no reason to end a run.
	_, _ = fmt.Fprintf(w.output, format+"\n", arguments...)
}
