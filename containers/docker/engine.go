package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
)

// How long the engine may take. Each is many times what a loaded machine needed
// here; one that is too short makes an error out of slowness.
const (
	// quickTime bounds what takes the engine well under a second: creating,
	// starting and removing a container or a network.
	quickTime = 2 * time.Minute
	// registryTime is how long a registry may take to answer at all. A refused
	// name fails at once; a dropped packet only after this.
	registryTime = 20 * time.Second
	// stallTime is how long a pull may make no progress.
	stallTime = 2 * time.Minute
)

// errClosed is what is answered once Close was called.
var errClosed = errors.New("the runtime is closed")

// engine is a docker engine and all that one Runtime has on it. It implements
// images.Engine.
type engine struct {
	provider *testcontainers.DockerProvider
	api      client.APIClient
	info     system.Info
	labels   map[string]string
	instance string
	// copyTrees makes jobs copy their folders in and out instead of mounting
	// them: the engine is not on this machine.
	copyTrees bool

	mutex  sync.Mutex
	closed bool
	// quick counts the calls that must not be cut off in the middle, because
	// the engine would go on with them behind our back.
	quick sync.WaitGroup
}

// quietTestcontainers makes the library work without its reaper, which is an
// image from a registry, and without its lines about every container. Both are
// read once, when the library first looks at its configuration.
var quietTestcontainers = sync.OnceFunc(func() {
	os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
	tclog.SetDefault(tclog.NewNoopLogger())
})

// quickly bounds a call that only asks, so that an engine that does not answer
// any more, or a way to it that stalls, is an error and no run that hangs.
func quickly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, quickTime, fmt.Errorf("the docker engine did not answer within %v", quickTime))
}

// uninterrupted runs a short call to the engine that is not cut off by ctx: a
// container that the engine creates for a client that has gone is known to
// nobody. close waits for it.
func (e *engine) uninterrupted(ctx context.Context, call func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mutex.Lock()
	if e.closed {
		e.mutex.Unlock()
		return errClosed
	}
	e.quick.Add(1)
	e.mutex.Unlock()
	defer e.quick.Done()
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), quickTime)
	defer cancel()
	return call(whole)
}

// create makes a container, without starting it, and returns its id.
func (e *engine) create(ctx context.Context, request testcontainers.ContainerRequest, imageID string) (string, error) {
	request.Labels = maps.Clone(e.labels)
	modify := request.ConfigModifier
	request.ConfigModifier = func(config *container.Config) {
		if modify != nil {
			modify(config)
		}
		// A tag may be moved meanwhile; the id is what the record will say.
		config.Image = imageID
	}
	// Named in full, so that no prefix for images of the registry is put
	// before what never came from there.
	request.Image = "docker.io/" + request.Image
	var id string
	err := e.uninterrupted(ctx, func(ctx context.Context) error {
		created, err := e.provider.CreateContainer(ctx, request)
		if created != nil {
			id = created.GetContainerID()
		}
		return err
	})
	if err != nil {
		if id != "" {
			err = errors.Join(err, e.remove(ctx, id))
		}
		return "", err
	}
	return id, nil
}

// start starts a created container.
func (e *engine) start(ctx context.Context, id string) error {
	return e.uninterrupted(ctx, func(ctx context.Context) error {
		_, err := e.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
		return err
	})
}

// remove removes a container, running or not, and returns when it is gone.
// A cancelled ctx does not stop it: removing is what is left to do then.
func (e *engine) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quickTime)
	defer cancel()
	// Asked for before the removal, or its end may be missed.
	gone := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	// A conflict says that it is being removed already, by AutoRemove.
	if err != nil && !errdefs.IsConflict(err) {
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		if err == nil || errdefs.IsNotFound(err) || errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
}

// sweep removes the containers, then the networks, that condemned says yes to.
func (e *engine) sweep(ctx context.Context, condemned func(labels map[string]string, created time.Time) bool) (int, error) {
	filter := client.Filters{}.Add("label", images.LabelOurs+"=1")
	listing, cancel := quickly(ctx)
	defer cancel()
	listed, err := e.api.ContainerList(listing, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return 0, fmt.Errorf("sweep: list containers: %w", because(listing, err))
	}
	var failures []error
	swept := 0
	for _, item := range listed.Items {
		if condemned(item.Labels, time.Unix(item.Created, 0)) {
			failures = append(failures, e.remove(ctx, item.ID))
			swept++
		}
	}
	listing, cancel = quickly(ctx)
	defer cancel()
	networks, err := e.api.NetworkList(listing, client.NetworkListOptions{Filters: filter})
	if err != nil {
		return swept, errors.Join(append(failures, fmt.Errorf("sweep: list networks: %w", because(listing, err)))...)
	}
	for _, item := range networks.Items {
		if !condemned(item.Labels, item.Created) {
			continue
		}
		removing, cancel := quickly(ctx)
		_, err := e.api.NetworkRemove(removing, item.ID, client.NetworkRemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) {
			failures = append(failures, fmt.Errorf("sweep: remove network %s: %w", item.Name, because(removing, err)))
		}
		cancel()
		swept++
	}
	return swept, errors.Join(failures...)
}

// close removes all of this Runtime's things and refuses new ones.
func (e *engine) close(ctx context.Context) error {
	e.mutex.Lock()
	e.closed = true
	e.mutex.Unlock()
	e.quick.Wait()
	_, err := e.sweep(ctx, func(labels map[string]string, _ time.Time) bool { return labels[labelInstance] == e.instance })
	return errors.Join(err, e.provider.Close())
}

func (e *engine) Image(ctx context.Context, tag string) (images.Image, error) {
	ctx, cancel := quickly(ctx)
	defer cancel()
	found, err := e.api.ImageInspect(ctx, tag)
	if errdefs.IsNotFound(err) {
		return images.Image{}, images.ErrNoImage
	}
	if err != nil {
		return images.Image{}, because(ctx, err)
	}
	image := images.Image{Tag: tag, ID: found.ID, Size: found.Size}
	if found.Config != nil {
		image.Labels = found.Config.Labels
	}
	return image, nil
}

func (e *engine) Pull(ctx context.Context, tag string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(registryTime, func() { cancel(errors.New("the registry does not answer")) })
	defer patience.Stop()
	pull, err := e.api.ImagePull(ctx, tag, client.ImagePullOptions{})
	if err != nil {
		return because(ctx, err)
	}
	defer pull.Close()
	for message, err := range pull.JSONMessages(ctx) {
		patience.Reset(stallTime)
		if err == nil {
			err = refusal(message)
		}
		if err != nil {
			return because(ctx, err)
		}
	}
	return nil
}

// because prefers the reason why ctx was cancelled to the error that it caused.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// refusal is the error that a stream of messages carries.
func refusal(message jsonstream.Message) error {
	if message.Error == nil {
		return nil
	}
	return errors.New(message.Error.Message)
}

func (e *engine) Import(ctx context.Context, tag string, rootfs io.Reader, labels map[string]string) error {
	changes := []string{`CMD ["bash"]`, "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		changes = append(changes, fmt.Sprintf("LABEL %s=%s", key, labels[key]))
	}
	imported, err := e.api.ImageImport(ctx, client.ImageImportSource{Source: rootfs, SourceName: "-"}, tag, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return fmt.Errorf("import %s: %w", tag, err)
	}
	defer imported.Close()
	text, err := io.ReadAll(imported)
	if err != nil {
		return fmt.Errorf("import %s: %w", tag, err)
	}
	if strings.Contains(string(text), `"error"`) {
		return fmt.Errorf("import %s: %s", tag, strings.TrimSpace(string(text)))
	}
	return nil
}

func (e *engine) Build(ctx context.Context, build images.Build, output io.Writer) error {
	args := make(map[string]*string, len(build.Args))
	for key, value := range build.Args {
		args[key] = &value
	}
	repository, tag, _ := strings.Cut(build.Tag, ":")
	steps := &intermediates{output: output, left: make(map[string]bool)}
	request := testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		ContextArchive: strings.NewReader(string(build.Context)),
		Dockerfile:     build.Dockerfile,
		Repo:           repository,
		Tag:            tag,
		BuildArgs:      args,
		BuildLogWriter: steps,
		KeepImage:      true,
		BuildOptionsModifier: func(options *client.ImageBuildOptions) {
			options.Labels = build.Labels
		},
	}}
	_, err := e.provider.BuildImage(ctx, &request)
	if err == nil {
		return nil
	}
	// The engine removes the step's container when its client goes, a little
	// later; whoever pressed Ctrl-C shall find nothing left at once.
	for id := range steps.left {
		err = errors.Join(err, e.remove(ctx, id))
	}
	return err
}

// intermediates notes the containers of a build's steps as the classic builder
// names them.
type intermediates struct {
	output io.Writer
	left   map[string]bool
}

func (i *intermediates) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		if _, id, found := strings.Cut(line, "---> Running in "); found {
			i.left[strings.TrimSpace(id)] = true
		} else if id, found := strings.CutPrefix(line, "Removing intermediate container "); found {
			delete(i.left, strings.TrimSpace(id))
		}
	}
	return i.output.Write(text)
}

// architectures are Go's names for what uname says.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "ppc64le": "ppc64le", "riscv64": "riscv64", "s390x": "s390x"}

func (e *engine) Architecture(context.Context) (string, error) {
	name, known := architectures[e.info.Architecture]
	if !known {
		return "", fmt.Errorf("the engine's processor %q is not known", e.info.Architecture)
	}
	return name, nil
}
