package images

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// EndpointSuite is the Debian suite that the endpoint runs in. It is one for
// all clients, so that what differs between two cells is never the peer.
const EndpointSuite = "bookworm"

// endpointPackage is the endpoint's command, by its path in the module.
const endpointPackage = "./matrix/endpoint/zmqmatrix-endpoint"

var (
	//go:embed builder.Dockerfile
	builderDockerfile string
	//go:embed endpoint.Dockerfile
	endpointDockerfile string
)

// Maker makes images, each once in its life: a run sees one image of a client
// even if its sources are edited meanwhile. Its methods may be called by
// several goroutines; what two need is made once.
type Maker struct {
	Engine   Engine
	Root     string // the module's folder
	CacheDir string // Go build caches and built programs, kept between runs
	// Parallel bounds how many builds run at once; a build keeps a core busy.
	Parallel int
	Log      io.Writer // progress, a line each
	// Warden builds the warden. It is asked until it has, once.
	Warden func(ctx context.Context) (gobuild.Program, error)
	// StaleArchive accepts a copy of the Debian archive that is past its
	// validity date. An attacker who withholds security updates looks the
	// same, so it is for a person to say.
	StaleArchive bool
	// Sources are the folders given for bindings, by the bindings' names.
	Sources map[string]*source.Tree

	releases   *release.Store
	finder     source.Finder
	locks      locks
	builds     *queue
	noRegistry atomic.Bool
	logMutex   sync.Mutex
	madeMutex  sync.Mutex
	madeImages map[string]Image
	madeWarden *gobuild.Program // guarded by the lock "warden"
	// bootstrap is bootstrap, or a test's.
	bootstrap func(ctx context.Context, engine Engine, suite, tag string, stale bool) error
}

// NewMaker completes a Maker.
func NewMaker(maker *Maker) *Maker {
	maker.builds = newQueue(max(1, maker.Parallel))
	maker.madeImages = make(map[string]Image)
	maker.releases = release.NewStore(maker.CacheDir, maker.say)
	maker.finder = source.Finder{Named: maker.Sources, Fetch: maker.fetch, Scratch: maker.CacheDir}
	if maker.bootstrap == nil {
		maker.bootstrap = bootstrap
	}
	if maker.Log == nil {
		maker.Log = io.Discard
	}
	return maker
}

// SuppliedTag is how a user tags the image of an implementation that the
// project may not distribute; the target's Dockerfile then starts from it.
func SuppliedTag(target matrix.Target, variant matrix.Variant) string {
	return "zmqmatrix-supplied/" + target.Name + ":" + variant.Name
}

// Target is the image of a target in one variant, found by its content or
// built: one for all of the project's own bindings, and one for each that comes
// from elsewhere. matrix.ErrUnavailable means that it can't be had here.
func (m *Maker) Target(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (Image, error) {
	name := target.Name + "@" + variant.Name
	if binding.System != "" {
		name += "/" + binding.Name
	}
	release, err := m.locks.acquire(ctx, "target "+name)
	if err != nil {
		return Image{}, err
	}
	defer release()
	if made, found := m.made("target " + name); found {
		return made, nil
	}
	image, err := m.makeTarget(ctx, name, target, variant, binding)
	if err != nil {
		return Image{}, fmt.Errorf("image of %s: %w", name, err)
	}
	m.keep("target "+name, image)
	return image, nil
}

func (m *Maker) makeTarget(ctx context.Context, name string, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (Image, error) {
	// First, since a client without its release file or its binding's source
	// costs nothing further.
	archive, err := m.releases.Of(ctx, target, variant)
	if err != nil {
		return Image{}, err
	}
	var tree *source.Tree
	own := target.Own()
	if binding.System != "" {
		own = binding.Name
		if tree, err = m.finder.Find(ctx, binding); err != nil {
			return Image{}, err
		}
	}
	var base Image
	if target.Image.Supplied != "" {
		base, err = m.find(ctx, SuppliedTag(target, variant))
		if errors.Is(err, ErrNoImage) {
			return Image{}, fmt.Errorf("%w: %s (tag the image %s)", matrix.ErrUnavailable, target.Image.Supplied, SuppliedTag(target, variant))
		}
	} else {
		base, err = m.Base(ctx, variant.Suite)
	}
	if err != nil {
		return Image{}, err
	}
	files := &Context{}
	folder := path.Join("targets", target.Name)
	for _, tree := range append([]string{folder}, target.Image.Include...) {
		if err := files.AddTree(m.Root, tree); err != nil {
			return Image{}, err
		}
	}
	files.AddSource("binding", tree)
	dockerfile := path.Join(folder, target.Image.Dockerfile)
	if !files.Has(dockerfile) {
		return Image{}, fmt.Errorf("there is no Dockerfile %s", dockerfile)
	}
	recipes := []string{string(files.entries[dockerfile].content)}
	if target.Image.Builder != "" {
		builder := path.Join(folder, target.Image.Builder)
		if !files.Has(builder) {
			return Image{}, fmt.Errorf("there is no Dockerfile %s", builder)
		}
		recipes = append(recipes, string(files.entries[builder].content))
	}
	if len(target.Image.Go) > 0 {
		recipes = append(recipes, builderDockerfile)
	}
	ctx = withWork(ctx, work(recipes...))
	if target.Image.Builder != "" {
		if err := m.addBuilt(ctx, name, target, variant, binding, own, base, files); err != nil {
			return Image{}, err
		}
	}
	if archive != "" {
		if err := files.AddHostFile("archive", archive); err != nil {
			return Image{}, err
		}
	}
	warden, err := m.warden(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("warden: %w", err)
	}
	if err := files.AddHostFile("bin/warden", warden.Path); err != nil {
		return Image{}, err
	}
	for _, file := range sortedKeys(target.Image.Go) {
		program, err := m.Program(ctx, variant.Suite, target.Image.Go[file])
		if err != nil {
			return Image{}, err
		}
		if err := files.AddHostFile(path.Join("bin", file), program); err != nil {
			return Image{}, err
		}
	}
	args := map[string]string{"BASE": base.Tag, "SUITE": variant.Suite, "BINDING": own, "SYSTEM": binding.System}
	for key, value := range variant.Args {
		args[key] = value
	}
	image, err := m.build(ctx, name, "zmqmatrix/"+target.Name, variant.Suite, base, files, dockerfile, args)
	if tree != nil {
		image.Source = &tree.Source
	}
	return image, err
}

// warden is the warden, which all targets' images have. All ask for it at once,
// and go compiles the standard library as often as it is asked.
func (m *Maker) warden(ctx context.Context) (gobuild.Program, error) {
	release, err := m.locks.acquire(ctx, "warden")
	if err != nil {
		return gobuild.Program{}, err
	}
	defer release()
	if m.madeWarden == nil {
		built, err := m.Warden(ctx)
		if err != nil {
			return gobuild.Program{}, err
		}
		m.madeWarden = &built
	}
	return *m.madeWarden, nil
}

// fetch runs the script that fetches a binding in a container with a network.
func (m *Maker) fetch(ctx context.Context, system, folder string) error {
	base, err := m.Base(ctx, EndpointSuite)
	if err != nil {
		return err
	}
	files := &Context{}
	files.AddFile("Dockerfile", []byte("ARG BASE\nFROM ${BASE}\nRUN apt-get update && apt-get install -y --no-install-recommends "+
		strings.Join(source.FetchPackages, " ")+" && rm -rf /var/lib/apt/lists/*\nCOPY quicklisp.sh /quicklisp.sh\n"), false)
	files.AddFile("quicklisp.sh", []byte(source.FetchScript), false)
	fetcher, err := m.build(ctx, "quicklisp", "zmqmatrix/quicklisp", EndpointSuite, base, files, "Dockerfile", map[string]string{"BASE": base.Tag})
	if err != nil {
		return err
	}
	m.say("fetching the ASDF system %s", system)
	err = m.Engine.RunJob(ctx, Job{
		Image: fetcher.Tag, Command: []string{"sh", "/quicklisp.sh", system, insideOutput},
		Dir: "/", Trees: []Tree{{Host: folder, Inside: insideOutput, Use: Output}}, Network: true,
	})
	if err != nil {
		m.say("fetching the ASDF system %s: %v", system, err)
	}
	return err
}

// Endpoint is the image of the endpoint. Meanwhile the warden is built, which
// the targets' images need next.
func (m *Maker) Endpoint(ctx context.Context) (Image, error) {
	release, err := m.locks.acquire(ctx, "endpoint")
	if err != nil {
		return Image{}, err
	}
	defer release()
	if made, found := m.made("endpoint"); found {
		return made, nil
	}
	ctx = withWork(ctx, work(builderDockerfile, endpointDockerfile))
	var building sync.WaitGroup
	defer building.Wait()
	// If it can't be built, that is said where it is needed.
	building.Go(func() { _, _ = m.warden(ctx) })
	base, err := m.Base(ctx, EndpointSuite)
	if err != nil {
		return Image{}, fmt.Errorf("image of the endpoint: %w", err)
	}
	program, err := m.Program(ctx, EndpointSuite, endpointPackage)
	if err != nil {
		return Image{}, fmt.Errorf("image of the endpoint: %w", err)
	}
	files := &Context{}
	files.AddFile("Dockerfile", []byte(endpointDockerfile), false)
	if err := files.AddHostFile("bin/zmqmatrix-endpoint", program); err != nil {
		return Image{}, err
	}
	image, err := m.build(ctx, "endpoint", "zmqmatrix/endpoint", EndpointSuite, base, files, "Dockerfile", map[string]string{"BASE": base.Tag})
	if err != nil {
		return Image{}, fmt.Errorf("image of the endpoint: %w", err)
	}
	m.keep("endpoint", image)
	return image, nil
}

// builder is the image in which programs that link libzmq are built.
func (m *Maker) builder(ctx context.Context, suite string) (Image, error) {
	base, err := m.Base(ctx, suite)
	if err != nil {
		return Image{}, err
	}
	files := &Context{}
	files.AddFile("Dockerfile", []byte(builderDockerfile), false)
	return m.build(ctx, "builder@"+suite, "zmqmatrix/builder", suite, base, files, "Dockerfile", map[string]string{"BASE": base.Tag})
}

// build finds the image that was made of the same, or makes it.
func (m *Maker) build(ctx context.Context, name, repository, suite string, base Image, files *Context, dockerfile string, args map[string]string) (Image, error) {
	archive, err := files.Tar()
	if err != nil {
		return Image{}, err
	}
	tag := repository + ":" + suite + "-" + files.Digest(args, base.ID)[:16]
	release, err := m.locks.acquire(ctx, "image "+tag)
	if err != nil {
		return Image{}, err
	}
	defer release()
	image, err := m.find(ctx, tag)
	if err == nil {
		if repository != stepsRepository {
			m.say("%s: image %s is there already, %s", name, tag, image.size())
		}
		return image, nil
	}
	if !errors.Is(err, ErrNoImage) {
		return Image{}, err
	}
	if repository != stepsRepository {
		if err := m.warm(ctx, suite, base, dockerfile, string(files.entries[dockerfile].content)); err != nil {
			return Image{}, err
		}
	}
	leave, err := m.builds.enter(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("waiting to build %s: %w", tag, err)
	}
	defer leave()
	m.say("%s: building image %s", name, tag)
	steps := &stepLog{tail: tail{limit: outputLines}}
	err = m.Engine.Build(ctx, Build{Tag: tag, Context: archive, Dockerfile: dockerfile, Args: args, Labels: lacking(base, ours(suite))}, steps)
	if err != nil {
		if repository == stepsRepository {
			dockerfile = name
		}
		return Image{}, steps.explain(dockerfile, err)
	}
	image, err = m.find(ctx, tag)
	if err == nil && repository != stepsRepository {
		m.say("%s: image %s is built, %s", name, tag, image.size())
	}
	return image, err
}

// lacking are the labels that an image built on base would not have of it: the
// classic builder makes each into an instruction, and looks at every file of the
// image for what it changed, as it does after all instructions.
func lacking(base Image, labels map[string]string) map[string]string {
	maps.DeleteFunc(labels, func(name, value string) bool { return base.Labels[name] == value })
	return labels
}

// size is for people, in the engine's own unit.
func (i Image) size() string { return fmt.Sprintf("%d MB", i.Size/1_000_000) }

// stepLog keeps the end of a build's output and the step that it was at.
type stepLog struct {
	tail
	step string
}

// colours are the codes in which the classic builder wraps standard error.
var colours = strings.NewReplacer("\x1b[91m", "", "\x1b[0m", "")

func (l *stepLog) Write(text []byte) (int, error) {
	plain := colours.Replace(string(text))
	for line := range strings.Lines(plain) {
		// "Step 3/7 : RUN make": the classic builder writes each in one piece. Its
		// numbers count labels, too, and are no lines of the file.
		if number, step, found := strings.Cut(line, " : "); found && strings.HasPrefix(number, "Step ") {
			l.mutex.Lock()
			l.step = strings.TrimSpace(step)
			l.mutex.Unlock()
		}
	}
	l.add(plain)
	return len(text), nil
}

// explain is a failed build's error: the failing step and the output's end. A
// package that the suite does not have is our mistake too, for the target says
// that it does: misspelt, or withdrawn since. As not-run it would hide.
func (l *stepLog) explain(dockerfile string, err error) error {
	said := l.String()
	l.mutex.Lock()
	step := l.step
	l.mutex.Unlock()
	if step == "" {
		return fmt.Errorf("%s: %w", dockerfile, err)
	}
	failure := fmt.Errorf("%s failed at %s: %w\nthe end of its output:\n%s", dockerfile, step, err, said)
	if strings.Contains(said, "Failed to fetch") {
		// apt-get update ends well though it could not read the archive's
		// lists, and then no package at all is to be found.
		return fmt.Errorf("the Debian archive could not be read: %w", failure)
	}
	for _, sign := range []string{"E: Unable to locate package", "has no installation candidate"} {
		if strings.Contains(said, sign) {
			return fmt.Errorf("the suite has no package of a name that the Dockerfile or target.yaml gives, or has it no longer: %w", failure)
		}
	}
	return failure
}

// made is what was made before in this run.
func (m *Maker) made(what string) (Image, bool) {
	m.madeMutex.Lock()
	defer m.madeMutex.Unlock()
	image, found := m.madeImages[what]
	return image, found
}

func (m *Maker) keep(what string, image Image) {
	m.madeMutex.Lock()
	defer m.madeMutex.Unlock()
	m.madeImages[what] = image
}

// say writes a line for people.
func (m *Maker) say(format string, values ...any) {
	m.logMutex.Lock()
	defer m.logMutex.Unlock()
	fmt.Fprintf(m.Log, format+"\n", values...)
}

// locks let one goroutine at a time make a thing, while others make others.
type locks struct {
	mutex sync.Mutex
	held  map[string]chan struct{}
}

// acquire waits for the lock of that name, or for ctx.
func (l *locks) acquire(ctx context.Context, name string) (release func(), err error) {
	l.mutex.Lock()
	if l.held == nil {
		l.held = make(map[string]chan struct{})
	}
	lock, found := l.held[name]
	if !found {
		lock = make(chan struct{}, 1)
		l.held[name] = lock
	}
	l.mutex.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for %s: %w", name, ctx.Err())
	}
}
