// Package docker runs clients in containers: it implements matrix.Runtime with
// testcontainers-go on a Docker engine, local or remote.
//
// A run has one network, without a way out, on which there are the endpoint
// and one container per client. All that is said between the run and a
// container goes over the container's standard streams, so that neither a port
// nor a folder has to be shared with the engine's machine.
package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// Options of a Runtime.
type Options struct {
	Root     string    // the module's folder
	CacheDir string    // built programs and Go build caches, kept between runs
	RunID    string    // letters, digits, '.', '_' and '-'
	Log      io.Writer // progress, a line each, for people; nil for none
	// Copy makes the builds of Go programs copy their folders to the engine
	// and back, as is done anyway for an engine behind tcp or ssh: for an
	// engine that does not see this machine's folders though its socket is here.
	Copy bool
	// StaleArchive accepts a Debian archive past its validity date.
	StaleArchive bool
	// Sources are the folders given for bindings, by the bindings' names.
	Sources map[string]*source.Tree
	// Cores lets probes leave core files, for Task.Core.
	Cores bool
}

// greetingTime is how long a warden or an endpoint may take from the start of
// its container to its first line. A start takes 0.7 s alone on the slowest
// machine measured; dozens at once queue in the engine.
const greetingTime = time.Minute

var runID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$`)

// Runtime is the containers of one run.
type Runtime struct {
	engine *engine
	images *images.Maker
	log    *lineWriter
	runID  string
	cores  bool
	// greet waits for the warden at the other end of a container's streams.
	greet    func(ctx context.Context, streams io.ReadWriteCloser) (supervisor, error)
	networks struct {
		sync.Mutex
		name string // "" until something needs it
	}
}

var _ matrix.Runtime = (*Runtime)(nil)

// New connects to the engine and removes what runs before have left on it.
// Close must be called, also when the context has ended.
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
	engine, err := newEngine(ctx, options)
	if err != nil {
		return nil, err
	}
	log := &lineWriter{output: options.Log}
	runtime := &Runtime{
		engine: engine,
		log:    log,
		runID:  options.RunID,
		cores:  options.Cores,
		images: images.NewMaker(&images.Maker{
			Engine: engine, Root: root, CacheDir: cache, Parallel: engine.info.NCPU, Log: log, StaleArchive: options.StaleArchive,
			Sources: options.Sources,
			Warden:  func(ctx context.Context) (gobuild.Program, error) { return warden.Build(ctx, root, cache) },
		}),
	}
	runtime.greet = func(ctx context.Context, streams io.ReadWriteCloser) (supervisor, error) {
		return warden.NewClient(ctx, streams)
	}
	here := self()
	swept, err := engine.sweep(ctx, func(labels map[string]string, created time.Time) bool {
		return here.leftover(labels, time.Since(created), startTime)
	})
	if err != nil {
		// A leftover that can't be removed is untidy and no reason not to run.
		log.say("%v", err)
	}
	if swept > 0 {
		log.say("removed %d containers and networks that earlier runs had left", swept)
	}
	return runtime, nil
}

func newEngine(ctx context.Context, options Options) (*engine, error) {
	provider, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	api := provider.Client()
	asking, cancel := quickly(ctx)
	defer cancel()
	result, err := api.Info(asking, client.InfoOptions{})
	switch {
	case err != nil:
		err = because(asking, err)
	case result.Info.OSType != "linux":
		err = fmt.Errorf("it runs %s containers, and clients need linux ones", result.Info.OSType)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("docker engine: %w", err), provider.Close())
	}
	var random [6]byte
	rand.Read(random[:]) // never fails, says its documentation
	instance := hex.EncodeToString(random[:])
	labels := self().labels()
	labels[labelRun] = options.RunID
	labels[labelInstance] = instance
	return &engine{
		provider: provider, api: api, info: result.Info, labels: labels, instance: instance,
		copyTrees: options.Copy || !local(api.DaemonHost()),
	}, nil
}

// local reports whether an engine's address is of this machine.
func local(host string) bool {
	return strings.HasPrefix(host, "unix://") || strings.HasPrefix(host, "npipe://")
}

// Name implements matrix.Runtime.
func (r *Runtime) Name() string { return "docker" }

// Environment implements matrix.Runtime. The cores are the engine's, for that
// is where clients run.
func (r *Runtime) Environment(ctx context.Context) (matrix.Environment, error) {
	image, err := r.images.Endpoint(ctx)
	if err != nil {
		return matrix.Environment{}, err
	}
	confinement, err := confinement()
	if err != nil {
		return matrix.Environment{}, err
	}
	info := r.engine.info
	return matrix.Environment{
		Host:           fmt.Sprintf("Linux %s %s", info.KernelVersion, info.Architecture),
		Cores:          info.NCPU,
		Engine:         "docker " + info.ServerVersion,
		EndpointDigest: image.ID,
		Confinement:    confinement,
	}, nil
}

// network is the run's network. Its containers reach each other and nothing
// else: it is internal, and its bridge has no address on the engine's machine,
// which an internal network alone leaves within reach.
func (r *Runtime) network(ctx context.Context) (string, error) {
	r.networks.Lock()
	defer r.networks.Unlock()
	if r.networks.name != "" {
		return r.networks.name, nil
	}
	name := "zmqmatrix-" + r.runID + "-" + r.engine.instance
	err := r.engine.uninterrupted(ctx, func(ctx context.Context) error {
		// testcontainers' own constructor has no place for the bridge's options.
		_, err := r.engine.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{
			Driver: "bridge", Internal: true, Labels: r.engine.labels,
			Options: map[string]string{"com.docker.network.bridge.inhibit_ipv4": "true"},
		})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create the run's network: %w", err)
	}
	r.networks.name = name
	return name, nil
}

// StartEndpoint implements matrix.Runtime.
func (r *Runtime) StartEndpoint(ctx context.Context) (matrix.Endpoint, error) {
	// While the image is looked for; what is wrong with it the container's start says.
	var networked sync.WaitGroup
	networked.Go(func() { _, _ = r.network(ctx) })
	image, err := r.images.Endpoint(ctx)
	networked.Wait()
	if err != nil {
		return nil, err
	}
	started, err := r.run(ctx, endpointContainer(image))
	if err != nil {
		return nil, fmt.Errorf("start the endpoint: %w", err)
	}
	greeting, cancel := context.WithTimeout(ctx, greetingTime)
	defer cancel()
	connected, err := endpoint.NewClient(greeting, started.streams)
	if err != nil {
		return nil, fmt.Errorf("start the endpoint: %w", started.fail(ctx, err))
	}
	return &runningEndpoint{client: connected, container: started, log: r.log}, nil
}

// Prepare implements matrix.Runtime.
func (r *Runtime) Prepare(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (matrix.Place, error) {
	name := target.Name + "@" + variant.Name + "/" + binding.Name
	image, err := r.images.Target(ctx, target, variant, binding)
	if err != nil {
		return nil, err
	}
	plan, err := clientContainer(image, target)
	if err != nil {
		return nil, fmt.Errorf("container of %s: %w", name, err)
	}
	if r.cores {
		plan = plan.withCores()
	}
	return &place{runtime: r, name: name, image: image, plan: plan}, nil
}

// Close implements matrix.Runtime. It goes on when ctx has ended, for nothing
// may be left behind, and returns when all is gone.
func (r *Runtime) Close(ctx context.Context) error {
	return r.engine.close(context.WithoutCancel(ctx))
}

// lineWriter lets several goroutines write lines for people.
type lineWriter struct {
	mutex  sync.Mutex
	output io.Writer
}

func (w *lineWriter) Write(text []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.output == nil {
		return len(text), nil
	}
	return w.output.Write(text)
}

func (w *lineWriter) say(format string, values ...any) { fmt.Fprintf(w, format+"\n", values...) }
