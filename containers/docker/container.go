package docker

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// The hardening of every container that runs for a run. What is not set here
// (seccomp unless a target needs more, masked paths) is the engine's default.
const (
	// nobody is the user of all processes: the same one for the warden and the
	// probe, so that a debugger of the one may look into the other without a
	// capability.
	nobody = "65534:65534"
	// temporary is the one place that can be written, of so many MiB. Programs
	// there may be executed: JNA, for one, unpacks its library into it and maps
	// it. That gives a probe nothing, which can run any code in its own process.
	temporary    = "rw,exec,nosuid,nodev,mode=1777,size=%dm"
	temporaryMiB = 256
	// headroom is what a container may use beyond the target's limit, in MiB:
	// the warden with the output that it holds, a debugger over a crashed
	// probe. The warden's bound on the probe is reached first, so that the
	// account can name it; the kernel's is the net below.
	headroom = 512
	// defaultMemory is the limit of a target that states none, in MiB.
	defaultMemory = 2048
	// tasks bounds processes and threads together, for that is what the kernel
	// counts; the warden counts processes alone. A JVM has some fifty threads.
	tasks = 1024
	// endpointMemory: the largest lanes keep some hundred messages of 1 MiB
	// under way, in MiB.
	endpointMemory = 2048
)

// endpointAlias is the endpoint's name on the run's network.
const endpointAlias = "endpoint"

// blueprint is a container to be started.
type blueprint struct {
	image      images.Image
	entrypoint []string
	arguments  []string
	alias      string // on the run's network
	memory     int    // MiB
	cores      int    // MiB for core files, 0: none is written
	tasks      int
	security   []string // the engine's security options beyond the hardening's own
}

func clientContainer(image images.Image, target matrix.Target) (blueprint, error) {
	security, err := grant(target.Needs)
	if err != nil {
		return blueprint{}, err
	}
	limits := target.Limits
	memory := limits.MemoryMiB
	if memory == 0 {
		memory = defaultMemory
	}
	return blueprint{
		image: image, entrypoint: []string{"/warden"},
		arguments: []string{warden.SweepFlag, "/tmp", warden.SweepFlag, "/dev/shm"},
		memory:    memory + headroom, tasks: max(tasks, 2*limits.Processes), security: security,
	}, nil
}

// withCores is the container with room for a core file, which takes memory
// where it is written.
func (b blueprint) withCores() blueprint {
	b.cores = warden.CoreMiB
	b.memory += b.cores
	b.arguments = append(slices.Clone(b.arguments), warden.CoreFlag)
	return b
}

func endpointContainer(image images.Image) blueprint {
	return blueprint{
		image: image, entrypoint: []string{"/zmqmatrix-endpoint"},
		arguments: []string{"--bind", "0.0.0.0", "--advertise", endpointAlias},
		alias:     endpointAlias, memory: endpointMemory, tasks: tasks,
	}
}

// request is the blueprint in the engine's words.
func (b blueprint) request(network string) testcontainers.ContainerRequest {
	request := testcontainers.ContainerRequest{
		Image:      b.image.Tag,
		Entrypoint: b.entrypoint,
		Cmd:        b.arguments,
		// A runtime that looks for a home to write in finds one.
		Env:      map[string]string{"HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"},
		Tmpfs:    map[string]string{"/tmp": fmt.Sprintf(temporary, temporaryMiB+b.cores)},
		Networks: []string{network},
		ConfigModifier: func(config *container.Config) {
			config.User = nobody
			config.AttachStdin, config.AttachStdout, config.AttachStderr = true, true, true
			// Input ends when the one who attached goes, killed or not: that
			// is how a container learns that its run is over.
			config.OpenStdin, config.StdinOnce = true, true
		},
		HostConfigModifier: func(host *container.HostConfig) {
			pids := int64(b.tasks)
			host.AutoRemove = true
			// testcontainers leaves a container on the default network if the
			// one it asks for is not found; named here, that is an error.
			host.NetworkMode = container.NetworkMode(network)
			host.ReadonlyRootfs = true
			host.CapDrop = []string{"ALL"}
			host.SecurityOpt = append([]string{"no-new-privileges:true"}, b.security...)
			host.Memory = int64(b.memory) << 20
			host.MemorySwap = host.Memory // no swap: a probe that pages is no measurement
			host.PidsLimit = &pids
			core := max(warden.NoCore, int64(b.cores)<<20)
			host.Ulimits = []*container.Ulimit{{Name: "core", Soft: core, Hard: core}}
			host.IpcMode = "private"
			// What goes over the attached streams would be written to the
			// engine's disk as well, gigabytes of it with a client that floods.
			host.LogConfig = container.LogConfig{Type: "none"}
		},
	}
	if b.alias != "" {
		request.NetworkAliases = map[string][]string{network: {b.alias}}
	}
	return request
}

// confinement is a digest of the settings of a client's container, but for those
// that its target makes.
func confinement() (string, error) {
	plan, err := clientContainer(images.Image{}, matrix.Target{})
	if err != nil {
		return "", err
	}
	request := plan.request("")
	var config container.Config
	var host container.HostConfig
	request.ConfigModifier(&config)
	request.HostConfigModifier(&host)
	settings, err := json.Marshal([]any{request.Entrypoint, request.Cmd, request.Env, request.Tmpfs, config, host})
	if err != nil {
		return "", fmt.Errorf("settings of a client's container: %w", err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(settings)), nil
}

// running is a started container and its streams.
type running struct {
	engine  *engine
	id      string
	streams *attachment
	exited  chan struct{} // closed when the engine said how it ended, or that it can't
	status  int64         // exit status, -1 if it is not known; valid when exited is closed
}

// run starts a container on the run's network, attached from its first byte.
func (r *Runtime) run(ctx context.Context, plan blueprint) (*running, error) {
	network, err := r.network(ctx)
	if err != nil {
		return nil, err
	}
	id, err := r.engine.create(ctx, plan.request(network), plan.image.ID)
	if err != nil {
		return nil, fmt.Errorf("container of %s: %w", plan.image.Tag, err)
	}
	started := &running{engine: r.engine, id: id, exited: make(chan struct{}), status: -1}
	err = r.engine.uninterrupted(ctx, func(ctx context.Context) (err error) {
		started.streams, err = attach(ctx, r.engine.api, id)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, r.engine.remove(ctx, id))
	}
	// Its answer comes when the container ends, long after this ctx.
	exit := r.engine.api.ContainerWait(context.WithoutCancel(ctx), id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	go func() {
		defer close(started.exited)
		select {
		case ending := <-exit.Result:
			started.status = ending.StatusCode
		case <-exit.Error:
		}
	}()
	if err := r.engine.start(ctx, id); err != nil {
		return nil, errors.Join(fmt.Errorf("container of %s: %w", plan.image.Tag, err), started.close(ctx))
	}
	return started, nil
}

// close ends the container and returns when it is gone.
func (c *running) close(ctx context.Context) error {
	return errors.Join(c.streams.Close(), c.engine.remove(ctx, c.id))
}

// lastWords is how long the end of a container is waited for when its streams
// broke: only for a better error.
const lastWords = 2 * time.Second

// fail closes the container after err and adds how it ended and what it said.
func (c *running) fail(ctx context.Context, err error) error {
	return errors.Join(c.explain(err), c.close(ctx))
}

// explain adds to err how the container ended, if it did, and what it said.
func (c *running) explain(err error) error {
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-c.exited:
		if c.status >= 0 {
			err = fmt.Errorf("%w (its container ended with status %d)", err, c.status)
		}
	case <-timer.C:
	}
	if said := c.streams.stderr.String(); said != "" {
		err = fmt.Errorf("%w\nits standard error:\n%s", err, said)
	}
	return err
}
