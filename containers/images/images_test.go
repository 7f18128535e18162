package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// write makes a module folder with these files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
	}
	return root
}

func contextOf(t *testing.T, root string, folders ...string) *Context {
	t.Helper()
	files := &Context{}
	for _, folder := range folders {
		require.NoError(t, files.AddTree(root, folder))
	}
	return files
}

func TestContext_is_the_same_for_the_same_content_whenever_and_by_whomever_it_was_written(t *testing.T) {
	content := map[string]string{"targets/x/Dockerfile": "FROM y", "targets/x/b/c": "c", "other/z": "z"}
	one, two := write(t, content), write(t, content)
	require.NoError(t, os.Chmod(filepath.Join(two, "other/z"), 0o600))
	require.NoError(t, os.Chtimes(filepath.Join(two, "other/z"), time.Unix(1, 0), time.Unix(1, 0)))
	require.NoError(t, os.MkdirAll(filepath.Join(two, "targets/x/.git"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(two, "targets/x/.git/HEAD"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(two, "targets/x/b/c_test.go"), nil, 0o644))

	first, second := contextOf(t, one, "targets/x", "other"), contextOf(t, two, "other", "targets/x")
	firstTar, err := first.Tar()
	require.NoError(t, err)
	secondTar, err := second.Tar()
	require.NoError(t, err)
	assert.True(t, bytes.Equal(firstTar, secondTar))
	assert.Equal(t, first.Digest(nil, "base"), second.Digest(nil, "base"))
}

func TestContext_digest_changes_exactly_with_what_the_image_is_made_of(t *testing.T) {
	root := write(t, map[string]string{"x/a": "a", "x/b": "b"})
	args := map[string]string{"BASE": "base:1", "SUITE": "sid"}
	before := contextOf(t, root, "x").Digest(args, "sha256:1")
	changes := map[string]func(t *testing.T, root string, args map[string]string) (baseID string){
		"a file's content": func(t *testing.T, root string, _ map[string]string) string {
			require.NoError(t, os.WriteFile(filepath.Join(root, "x/a"), []byte("A"), 0o644))
			return "sha256:1"
		},
		"a file's name": func(t *testing.T, root string, _ map[string]string) string {
			require.NoError(t, os.Rename(filepath.Join(root, "x/a"), filepath.Join(root, "x/c")))
			return "sha256:1"
		},
		"the executable bit": func(t *testing.T, root string, _ map[string]string) string {
			require.NoError(t, os.Chmod(filepath.Join(root, "x/a"), 0o755))
			return "sha256:1"
		},
		"a link in a file's place": func(t *testing.T, root string, _ map[string]string) string {
			require.NoError(t, os.Remove(filepath.Join(root, "x/b")))
			require.NoError(t, os.Symlink("a", filepath.Join(root, "x/b")))
			return "sha256:1"
		},
		"bytes moved from one file to the next": func(t *testing.T, root string, _ map[string]string) string {
			require.NoError(t, os.WriteFile(filepath.Join(root, "x/a"), []byte("ab"), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(root, "x/b"), nil, 0o644))
			return "sha256:1"
		},
		"a build argument": func(_ *testing.T, _ string, args map[string]string) string {
			args["SUITE"] = "trixie"
			return "sha256:1"
		},
		"the base image": func(*testing.T, string, map[string]string) string { return "sha256:2" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			root := write(t, map[string]string{"x/a": "a", "x/b": "b"})
			args := map[string]string{"BASE": "base:1", "SUITE": "sid"}
			require.Equal(t, before, contextOf(t, root, "x").Digest(args, "sha256:1"))
			baseID := change(t, root, args)
			assert.NotEqual(t, before, contextOf(t, root, "x").Digest(args, baseID))
		})
	}
}

func TestContext_has_files_at_their_places_in_the_module(t *testing.T) {
	root := write(t, map[string]string{"targets/x/run.sh": "#!/bin/sh"})
	require.NoError(t, os.Chmod(filepath.Join(root, "targets/x/run.sh"), 0o711))
	require.NoError(t, os.Symlink("run.sh", filepath.Join(root, "targets/x/link")))
	archive, err := contextOf(t, root, "targets/x").Tar()
	require.NoError(t, err)
	var seen []string
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		seen = append(seen, fmt.Sprintf("%s %o %s uid %d", header.Name, header.Mode, header.Linkname, header.Uid))
		assert.True(t, header.ModTime.Equal(buildTime))
	}
	assert.Equal(t, []string{"targets/x/link 777 run.sh uid 0", "targets/x/run.sh 755  uid 0"}, seen)
}

func TestContext_takes_no_folder_outside_the_module(t *testing.T) {
	assert.ErrorContains(t, (&Context{}).AddTree(t.TempDir(), "../x"), "not inside the module")
	assert.ErrorContains(t, (&Context{}).AddTree(t.TempDir(), "targets/no"), "the module has no folder targets/no")
}

// fakeEngine remembers what it was asked.
type fakeEngine struct {
	mutex     sync.Mutex
	tags      map[string]string
	labels    map[string]string // of all images
	pullErr   error
	buildErr  error
	buildSays string
	asked     []string
	builds    []Build
	job       func(Job) error
}

func (e *fakeEngine) note(format string, values ...any) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.asked = append(e.asked, fmt.Sprintf(format, values...))
}

func (e *fakeEngine) set(tag, id string) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.tags[tag] = id
}

func (e *fakeEngine) Image(_ context.Context, tag string) (Image, error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if id, found := e.tags[tag]; found {
		return Image{Tag: tag, ID: id, Size: 5_000_000, Labels: e.labels}, nil
	}
	return Image{}, ErrNoImage
}

func (e *fakeEngine) Pull(_ context.Context, tag string) error {
	e.note("pull %s", tag)
	if e.pullErr == nil {
		e.set(tag, "sha256:pulled")
	}
	return e.pullErr
}

func (e *fakeEngine) Import(_ context.Context, tag string, rootfs io.Reader, _ map[string]string) error {
	if _, err := io.Copy(io.Discard, rootfs); err != nil {
		return err
	}
	e.note("import %s", tag)
	e.set(tag, "sha256:imported")
	return nil
}

func (e *fakeEngine) Build(_ context.Context, build Build, output io.Writer) error {
	e.note("build %s", build.Tag)
	io.WriteString(output, e.buildSays)
	if e.buildErr != nil && !strings.HasPrefix(build.Tag, stepsRepository) {
		return e.buildErr
	}
	e.mutex.Lock()
	e.builds = append(e.builds, build)
	e.mutex.Unlock()
	e.set(build.Tag, "sha256:of "+build.Tag)
	return nil
}

func (e *fakeEngine) RunJob(_ context.Context, job Job) error {
	e.note("job in %s", job.Image)
	if e.job == nil {
		return errors.New("no jobs here")
	}
	return e.job(job)
}

func (e *fakeEngine) Architecture(context.Context) (string, error) { return "amd64", nil }

// maker is a Maker on a fake engine, and its log.
func maker(t *testing.T, engine *fakeEngine, root string) (*Maker, *bytes.Buffer) {
	t.Helper()
	if engine.tags == nil {
		engine.tags = map[string]string{}
	}
	warden := filepath.Join(t.TempDir(), "warden")
	require.NoError(t, os.WriteFile(warden, []byte("warden"), 0o755))
	log := &bytes.Buffer{}
	return NewMaker(&Maker{
		Engine: engine, Root: root, CacheDir: t.TempDir(), Parallel: 2, Log: log,
		Warden: func(context.Context) (gobuild.Program, error) { return gobuild.Program{Path: warden}, nil },
		bootstrap: func(ctx context.Context, engine Engine, _, tag string, _ bool) error {
			return engine.Import(ctx, tag, strings.NewReader("root file system"), nil)
		},
	}), log
}

func TestBase_is_taken_where_it_costs_least(t *testing.T) {
	refused := errors.New("lookup of the registry: no such host")
	for _, row := range []struct {
		name    string
		engine  *fakeEngine
		stale   bool
		want    Image
		asked   []string
		logSays string
	}{
		{"the registry's is there", &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1", "zmqmatrix-base:sid": "sha256:2"}}, false,
			Image{Tag: "debian:sid-slim", ID: "sha256:1", Size: 5_000_000}, nil, ""},
		{"our own is there", &fakeEngine{tags: map[string]string{"zmqmatrix-base:sid": "sha256:2"}}, false,
			Image{Tag: "zmqmatrix-base:sid", ID: "sha256:2", Size: 5_000_000}, nil, ""},
		{"a registry answers", &fakeEngine{}, false,
			Image{Tag: "debian:sid-slim", ID: "sha256:pulled", Size: 5_000_000}, []string{"pull debian:sid-slim"}, "pulling debian:sid-slim"},
		{"no registry answers", &fakeEngine{pullErr: refused}, false,
			Image{Tag: "zmqmatrix-base:sid", ID: "sha256:imported", Size: 5_000_000}, []string{"pull debian:sid-slim", "import zmqmatrix-base:sid"}, "no registry answers (lookup of the registry: no such host)"},
		{"an unchecked base is never taken for a checked one", &fakeEngine{pullErr: refused, tags: map[string]string{"zmqmatrix-base:sid-unchecked": "sha256:3"}}, false,
			Image{Tag: "zmqmatrix-base:sid", ID: "sha256:imported", Size: 5_000_000}, []string{"pull debian:sid-slim", "import zmqmatrix-base:sid"}, ""},
		{"an unchecked base is taken when that was accepted", &fakeEngine{tags: map[string]string{"zmqmatrix-base:sid-unchecked": "sha256:3"}}, true,
			Image{Tag: "zmqmatrix-base:sid-unchecked", ID: "sha256:3", Size: 5_000_000}, nil, ""},
		{"an archive that is valid is checked, whatever was accepted", &fakeEngine{pullErr: refused}, true,
			Image{Tag: "zmqmatrix-base:sid", ID: "sha256:imported", Size: 5_000_000}, []string{"pull debian:sid-slim", "import zmqmatrix-base:sid"}, "zmqmatrix-base:sid is ready"},
	} {
		t.Run(row.name, func(t *testing.T) {
			made, log := maker(t, row.engine, t.TempDir())
			made.StaleArchive = row.stale
			base, err := made.Base(t.Context(), "sid")
			require.NoError(t, err)
			assert.Equal(t, row.want, base)
			assert.Equal(t, row.asked, row.engine.asked)
			assert.Contains(t, log.String(), row.logSays)
		})
	}
}

func TestBase_of_an_archive_past_its_validity_date(t *testing.T) {
	engine := &fakeEngine{pullErr: errors.New("refused")}
	made, log := maker(t, engine, t.TempDir())
	made.bootstrap = func(ctx context.Context, engine Engine, _, tag string, stale bool) error {
		if !stale {
			return fmt.Errorf("mmdebstrap: %w", errStaleArchive)
		}
		return engine.Import(ctx, tag, strings.NewReader("root file system"), nil)
	}
	_, err := made.Base(t.Context(), "sid")
	require.ErrorIs(t, err, errStaleArchive, "it is for a person to accept")

	made.StaleArchive = true
	base, err := made.Base(t.Context(), "sid")
	require.NoError(t, err)
	assert.Equal(t, "zmqmatrix-base:sid-unchecked", base.Tag)
	assert.Equal(t, []string{"pull debian:sid-slim", "import zmqmatrix-base:sid-unchecked"}, engine.asked)
	assert.Contains(t, log.String(), "past its validity date; taken all the same, as asked for")
}

func TestBase_asks_a_registry_that_refused_only_once(t *testing.T) {
	engine := &fakeEngine{pullErr: errors.New("refused")}
	made, _ := maker(t, engine, t.TempDir())
	for _, suite := range []string{"sid", "trixie", "sid"} {
		_, err := made.Base(t.Context(), suite)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"pull debian:sid-slim", "import zmqmatrix-base:sid", "import zmqmatrix-base:trixie"}, engine.asked)
}

func TestBase_takes_no_suite_that_is_none(t *testing.T) {
	made, _ := maker(t, &fakeEngine{}, t.TempDir())
	for _, suite := range []string{"", "x:y", "a/b"} {
		_, err := made.Base(t.Context(), suite)
		assert.ErrorContains(t, err, "is no Debian suite")
	}
}

func TestBootstrap_checks_the_archives_date_unless_told_otherwise(t *testing.T) {
	assert.NotContains(t, strings.Join(bootstrapArguments("sid", false), " "), "Valid-Until")
	assert.Contains(t, strings.Join(bootstrapArguments("sid", true), " "), `Acquire::Check-Valid-Until "false"`)
}

func TestBootstrap_without_its_program_says_how_to_install_it(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := bootstrap(t.Context(), &fakeEngine{}, "sid", "tag", false)
	assert.ErrorContains(t, err, "apt-get install mmdebstrap")
}

// programNamed puts a shell script on the PATH in place of a program.
func programNamed(t *testing.T, name, script string) {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

func TestBootstrap_that_fails_in_the_middle_imports_nothing_and_says_what_to_do(t *testing.T) {
	programNamed(t, "mmdebstrap", `echo half of a tar; echo "E: Release file for x is not valid anymore" >&2; exit 3`)
	engine := &fakeEngine{tags: map[string]string{}}
	err := bootstrap(t.Context(), engine, "sid", "tag", false)
	require.ErrorContains(t, err, "exit status 3")
	assert.ErrorIs(t, err, errStaleArchive)
	assert.ErrorContains(t, err, "E: Release file for x is not valid anymore")
	assert.ErrorContains(t, err, "--stale-archive")
	assert.Empty(t, engine.tags)
}

func TestBootstrap_ends_with_its_context(t *testing.T) {
	programNamed(t, "mmdebstrap", `exec sleep 600`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	engine := &fakeEngine{tags: map[string]string{}}
	assert.Error(t, bootstrap(ctx, engine, "sid", "tag", false))
	assert.Empty(t, engine.tags)
}

func TestBootstrap_names_one_time_for_all_files(t *testing.T) {
	programNamed(t, "mmdebstrap", `echo "$SOURCE_DATE_EPOCH"`)
	engine := &readingEngine{}
	require.NoError(t, bootstrap(t.Context(), engine, "sid", "tag", false))
	assert.Equal(t, "1767225600\n", engine.read)
}

// readingEngine keeps what is imported.
type readingEngine struct {
	fakeEngine
	read string
}

func (e *readingEngine) Import(_ context.Context, _ string, rootfs io.Reader, _ map[string]string) error {
	text, err := io.ReadAll(rootfs)
	e.read = string(text)
	return err
}

var (
	tiny    = matrix.Target{Name: "tiny", Image: matrix.Image{Dockerfile: "Dockerfile", Include: []string{"shared"}}}
	variant = matrix.Variant{Name: "old", Suite: "sid", Args: map[string]string{"RELEASE": "1.13", "BINDING": "", "SYSTEM": ""}}
)

func tinyModule(t *testing.T) string {
	return write(t, map[string]string{"targets/tiny/Dockerfile": "ARG BASE\nFROM ${BASE}\nRUN apt-get first\nCOPY bin/warden /warden\n", "shared/x": "x"})
}

func TestTarget_is_built_of_its_folder_what_it_includes_and_the_warden(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}}
	made, log := maker(t, engine, tinyModule(t))
	image, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Regexp(t, `^zmqmatrix/tiny:sid-[0-9a-f]{16}$`, image.Tag)
	assert.Contains(t, log.String(), "tiny@old: building image "+image.Tag)
	require.Len(t, engine.builds, 2)
	steps, whole := engine.builds[0], engine.builds[1]
	assert.Regexp(t, `^zmqmatrix/steps:sid-`, steps.Tag)
	assert.Equal(t, "targets/tiny/Dockerfile", whole.Dockerfile)
	assert.Equal(t, map[string]string{"BASE": "debian:sid-slim", "SUITE": "sid", "RELEASE": "1.13", "BINDING": "", "SYSTEM": ""}, whole.Args)
	for _, file := range []string{"targets/tiny/Dockerfile", "shared/x", "bin/warden"} {
		assert.True(t, bytes.Contains(whole.Context, []byte(file)), file)
	}

	// Another run on the same engine.
	again, log := maker(t, engine, made.Root)
	same, err := again.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, image, same)
	assert.Len(t, engine.builds, 2, "nothing is to be built")
	assert.Contains(t, log.String(), "is there already")
}

func TestTarget_is_labelled_with_what_its_base_is_not(t *testing.T) {
	for _, row := range []struct{ base, lacking map[string]string }{
		{nil, map[string]string{LabelOurs: "1", LabelSuite: "sid"}},
		{map[string]string{LabelOurs: "1", LabelSuite: "trixie", "theirs": "x"}, map[string]string{LabelSuite: "sid"}},
		{map[string]string{LabelOurs: "1", LabelSuite: "sid"}, map[string]string{}},
	} {
		engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}, labels: row.base}
		made, _ := maker(t, engine, tinyModule(t))
		_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
		require.NoError(t, err)
		require.Len(t, engine.builds, 2)
		for _, build := range engine.builds {
			assert.Equal(t, row.lacking, build.Labels, build.Tag)
		}
	}
}

func TestTargets_share_the_steps_that_they_begin_with(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}}
	const steps = "ARG BASE\nFROM ${BASE}\nRUN apt-get first\nRUN apt-get second\nCOPY targets/"
	made, _ := maker(t, engine, write(t, map[string]string{
		"targets/tiny/Dockerfile": steps + "tiny /tiny\n", "targets/other/Dockerfile": steps + "other /other\n", "shared/x": "x",
	}))
	other := tiny
	other.Name = "other"
	for _, target := range []matrix.Target{tiny, other} {
		_, err := made.Target(t.Context(), target, variant, matrix.Binding{})
		require.NoError(t, err)
	}
	var built []string
	for _, build := range engine.builds {
		repository, _, _ := strings.Cut(build.Tag, ":")
		built = append(built, repository)
	}
	assert.Equal(t, []string{"zmqmatrix/steps", "zmqmatrix/steps", "zmqmatrix/tiny", "zmqmatrix/other"}, built)
}

func TestTarget_with_a_builder_has_what_its_script_made_there_with_the_grant(t *testing.T) {
	needs := &matrix.Needs{Personality: []uint32{0x40000}, Reason: "a test"}
	granted := tiny
	granted.Needs, granted.Image.Builder, granted.Local.Build = needs, "builder.Dockerfile", "build.sh"
	jobs := 0
	engine := &fakeEngine{tags: map[string]string{"zmqmatrix-base:sid": "sha256:2"}}
	engine.job = func(job Job) error {
		jobs++
		assert.Equal(t, needs, job.Needs)
		assert.Equal(t, []string{"sh", "targets/tiny/build.sh", "/zm/output"}, job.Command)
		assert.Regexp(t, "^zmqmatrix/tiny-builder:sid-", job.Image)
		if jobs == 1 {
			return errors.New("the script fails")
		}
		return os.WriteFile(filepath.Join(job.Trees[0].Host, "probe"), []byte("made"), 0o755)
	}
	root := tinyModule(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "targets/tiny/builder.Dockerfile"), []byte("ARG BASE\nFROM ${BASE}\nCOPY targets /src/targets\n"), 0o644))
	made, _ := maker(t, engine, root)
	_, err := made.Target(t.Context(), granted, variant, matrix.Binding{})
	require.ErrorContains(t, err, "the script fails")
	left, err := os.ReadDir(filepath.Join(made.CacheDir, "built", "tiny"))
	require.NoError(t, err)
	assert.Empty(t, left, "a script that failed leaves nothing that could be taken for its output")

	_, err = made.Target(t.Context(), granted, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, "made", contextFile(t, engine.builds[len(engine.builds)-1], "built/probe"))

	again, _ := maker(t, engine, root)
	again.CacheDir = made.CacheDir
	_, err = again.Target(t.Context(), granted, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, 2, jobs, "what was made of the same is not made again")
}

// contextFile is a file of a build's context.
func contextFile(t *testing.T, build Build, name string) string {
	t.Helper()
	archive := tar.NewReader(bytes.NewReader(build.Context))
	for {
		header, err := archive.Next()
		require.NoError(t, err, "the context has no %s", name)
		if header.Name == name {
			content, err := io.ReadAll(archive)
			require.NoError(t, err)
			return string(content)
		}
	}
}

func TestTarget_stays_one_image_for_a_run_whatever_is_edited_meanwhile(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}}
	root := tinyModule(t)
	made, _ := maker(t, engine, root)
	first, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "shared/x"), []byte("edited"), 0o644))
	second, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, first, second)
}

func TestTarget_asked_for_by_many_at_once_is_built_once(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}}
	made, _ := maker(t, engine, tinyModule(t))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
			assert.NoError(t, err)
		})
	}
	group.Wait()
	assert.Len(t, engine.builds, 2, "the first step and the target")
}

func TestWarden_that_all_targets_ask_for_at_once_is_built_once(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1", "debian:trixie-slim": "sha256:2"}}
	made, _ := maker(t, engine, tinyModule(t))
	var asked atomic.Int32
	build := made.Warden
	made.Warden = func(ctx context.Context) (gobuild.Program, error) {
		if asked.Add(1) == 1 {
			return gobuild.Program{}, errors.New("out of memory")
		}
		return build(ctx)
	}
	_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.ErrorContains(t, err, "out of memory")
	var group sync.WaitGroup
	for _, suite := range []string{"sid", "trixie"} {
		group.Go(func() {
			_, err := made.Target(t.Context(), tiny, matrix.Variant{Name: suite, Suite: suite}, matrix.Binding{})
			assert.NoError(t, err)
		})
	}
	group.Wait()
	assert.EqualValues(t, 2, asked.Load(), "it is asked again only after it failed")
}

func TestTarget_that_fails_names_the_step_and_the_outputs_end(t *testing.T) {
	var says strings.Builder
	says.WriteString("Step 1/2 : FROM ${BASE}\n ---> 1\nStep 2/2 : RUN make\n")
	for line := range 100 {
		fmt.Fprintf(&says, "line %d.\n", line)
	}
	says.WriteString("\x1b[91mmake: no rule\x1b[0m")
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}, buildErr: errors.New("returned a non-zero code: 2"), buildSays: says.String()}
	made, _ := maker(t, engine, tinyModule(t))
	_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.ErrorIs(t, err, engine.buildErr)
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
	text := err.Error()
	assert.Contains(t, text, "image of tiny@old: targets/tiny/Dockerfile failed at RUN make")
	assert.True(t, strings.HasSuffix(text, "line 99.\nmake: no rule"), text)
	assert.Equal(t, outputLines, strings.Count(text, "\nline ")+1)
}

func TestTarget_whose_package_the_suite_lacks_is_an_error_and_not_unavailable(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}, buildErr: errors.New("returned a non-zero code: 100"),
		buildSays: "Step 2/2 : RUN apt-get install abcl\nE: Unable to locate package abcl\n"}
	made, _ := maker(t, engine, tinyModule(t))
	_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.ErrorContains(t, err, "the suite has no package of a name that the Dockerfile or target.yaml gives, or has it no longer: targets/tiny/Dockerfile failed at RUN apt-get install abcl")
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
}

func TestTarget_whose_archive_could_not_be_read_is_an_error_and_not_unavailable(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}, buildErr: errors.New("returned a non-zero code: 100"),
		buildSays: "Step 2/2 : RUN apt-get install abcl\nW: Failed to fetch the list  Temporary failure resolving the name\nE: Unable to locate package abcl\n"}
	made, _ := maker(t, engine, tinyModule(t))
	_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	require.ErrorContains(t, err, "the Debian archive could not be read: targets/tiny/Dockerfile failed at RUN apt-get install abcl")
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
}

func TestTarget_that_is_supplied_starts_from_the_users_image(t *testing.T) {
	supplied := tiny
	supplied.Image.Supplied = "it may not be redistributed"
	engine := &fakeEngine{tags: map[string]string{}}
	made, _ := maker(t, engine, tinyModule(t))
	_, err := made.Target(t.Context(), supplied, variant, matrix.Binding{})
	require.ErrorIs(t, err, matrix.ErrUnavailable)
	assert.ErrorContains(t, err, "it may not be redistributed (tag the image zmqmatrix-supplied/tiny:old)")

	engine.set("zmqmatrix-supplied/tiny:old", "sha256:theirs")
	_, err = made.Target(t.Context(), supplied, variant, matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, "zmqmatrix-supplied/tiny:old", engine.builds[1].Args["BASE"])
}

func TestTarget_that_is_made_from_a_release_has_it_in_its_context(t *testing.T) {
	served := "what upstream released"
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, served)
	}))
	defer server.Close()
	released := tiny
	released.Image.Archive = &matrix.Archive{URL: server.URL + "/tiny.tar.gz", SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(served)))}

	engine := &fakeEngine{}
	made, _ := maker(t, engine, tinyModule(t))
	served = "another file"
	_, err := made.Target(t.Context(), released, variant, matrix.Binding{})
	require.ErrorContains(t, err, "image of tiny@old: "+released.Image.Archive.URL+" is not the release that is wanted: its sha256 is ")
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
	assert.Empty(t, engine.asked, "no base is fetched for a client that can't be made")

	served = "what upstream released"
	_, err = made.Target(t.Context(), released, variant, matrix.Binding{})
	require.NoError(t, err)
	whole := engine.builds[1]
	assert.True(t, bytes.Contains(whole.Context, []byte(served)))
	assert.Contains(t, namesOf(t, whole.Context), "archive")
	assert.Equal(t, 2, asked)

	server.Close()
	released.Image.Archive = &matrix.Archive{URL: server.URL + "/tiny-2.tar.gz", SHA256: strings.Repeat("0", 64)}
	elsewhere, _ := maker(t, &fakeEngine{}, made.Root)
	_, err = elsewhere.Target(t.Context(), released, variant, matrix.Binding{})
	require.ErrorIs(t, err, matrix.ErrUnavailable)
	assert.ErrorContains(t, err, "tiny-2.tar.gz could not be fetched")
	assert.ErrorContains(t, err, "give it with --archive tiny@old=FILE")
}

// namesOf lists the files of a build context.
func namesOf(t *testing.T, archive []byte) []string {
	t.Helper()
	var names []string
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		names = append(names, header.Name)
	}
}

func TestTarget_without_its_dockerfile_is_an_error(t *testing.T) {
	engine := &fakeEngine{tags: map[string]string{"debian:sid-slim": "sha256:1"}}
	made, _ := maker(t, engine, write(t, map[string]string{"targets/tiny/x": "", "shared/x": ""}))
	_, err := made.Target(t.Context(), tiny, variant, matrix.Binding{})
	assert.ErrorContains(t, err, "there is no Dockerfile targets/tiny/Dockerfile")
}

func TestFirstSteps_are_the_runs_that_directly_follow_the_base(t *testing.T) {
	assert.Equal(t, []string{"RUN a && \\\n  b\n", "RUN a && \\\n  b\nRUN c\n", "RUN d\n"}, firstSteps(`# comment
ARG BASE
FROM ${BASE} AS build

# comment
RUN a && \
# inside
  b
RUN c
ARG D
RUN with D
FROM other
RUN x
FROM ${BASE}
COPY y /y
RUN y
FROM $BASE
RUN d
FROM ${BASE}
RUN d
`))
}

func TestTail_keeps_the_last_lines_however_they_are_cut(t *testing.T) {
	kept := &tail{limit: 3}
	_, err := io.Copy(kept, iotest.OneByteReader(strings.NewReader("1\n2\n3\n4\n5")))
	require.NoError(t, err)
	assert.Equal(t, "3\n4\n5", kept.String())
}
