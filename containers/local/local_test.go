//go:build linux

package local_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/local"
	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// asRunner has the test binary play a runner that is killed.
const asRunner = "ZMQMATRIX_TEST_AS_RUNNER"

func TestMain(m *testing.M) {
	if root := os.Getenv(asRunner); root != "" {
		playRunner(root, os.Getenv("ZMQMATRIX_TEST_CACHE"))
		return
	}
	os.Exit(m.Run())
}

// playRunner prepares a client, starts a run that does not end, and says so.
func playRunner(root, cache string) {
	ctx := context.Background()
	runtime, err := local.New(ctx, local.Options{Root: root, CacheDir: cache, RunID: "killed", Log: os.Stderr})
	if err == nil {
		var place matrix.Place
		place, err = runtime.Prepare(ctx, sleeper(), variant, matrix.Binding{Name: "own"})
		if err == nil {
			err = place.Start(ctx)
		}
		if err == nil {
			_, err = place.Run(ctx, matrix.Task{Command: []string{place.Expand("{dir}/probe"), "sleep", "pids"}})
		}
	}
	fmt.Fprintln(os.Stderr, "the run came back:", err)
	os.Exit(1)
}

var variant = matrix.Variant{Name: "any", Suite: "any", Default: true}

// sleeper is a target whose probe is a shell script.
func sleeper() matrix.Target {
	return matrix.Target{
		Name: "shell", Title: "A shell script",
		Local: matrix.Local{Requires: []string{"sh"}, Packages: []string{"dash"}, Build: "build.sh"},
	}
}

const probeScript = `#!/bin/sh
case $1 in
sleep) setsid sleep 1000 & echo "$$ $!" >"$2"; exec sleep 1000 ;;
*) echo "hello from $ZM_SUITE_AT_BUILD"; cat "$(dirname "$0")/made" ;;
esac
`

// module makes a module's root: this one's Go code, and targets of the test's.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	real, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, name := range []string{"go.mod", "go.sum", "containers", "matrix"} {
		require.NoError(t, os.Symlink(filepath.Join(real, name), filepath.Join(root, name)))
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
	}
	return root
}

func shellModule(t *testing.T) string {
	return module(t, map[string]string{
		"targets/shell/probe.sh": probeScript,
		"targets/shell/build.sh": `set -eu
[ -d "$ZM_BIN" ]
[ -f go.mod ]
cp targets/shell/probe.sh "$1/probe"
echo "made for $ZM_SUITE in $1" >"$1/made"
echo built >>builds
`,
	})
}

func open(t *testing.T, root, cache string) (*local.Runtime, *bytes.Buffer) {
	t.Helper()
	log := &lockedBuffer{}
	runtime, err := local.New(t.Context(), local.Options{Root: root, CacheDir: cache, RunID: "test", Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, runtime.Close(context.Background())) })
	return runtime, &log.Buffer
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(chunk []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(chunk)
}

func scratchFolders(t *testing.T, cache string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "run-*"))
	require.NoError(t, err)
	return found
}

func builds(t *testing.T, root string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "builds"))
	require.NoError(t, err)
	return strings.Count(string(text), "\n")
}

func TestAClientIsBuiltOnceAndRun(t *testing.T) {
	root, cache := shellModule(t), t.TempDir()
	runtime, _ := open(t, root, cache)
	assert.Equal(t, "local", runtime.Name())
	target := sleeper()
	place, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, place.Start(t.Context()))
	account, err := place.Run(t.Context(), matrix.Task{
		Command: []string{place.Expand("{dir}/probe")}, Env: map[string]string{"ZM_SUITE_AT_BUILD": "here"},
	})
	require.NoError(t, err)
	assert.Equal(t, matrix.Exited, account.Ending)
	assert.Equal(t, "hello from here\nmade for any in "+place.Expand("{dir}")+"\n", string(account.Stdout))
	assert.True(t, strings.HasPrefix(place.Expand("{dir}"), cache))
	assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, place.Digest())

	again, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "other"})
	require.NoError(t, err)
	assert.Equal(t, place.Digest(), again.Digest())
	assert.Equal(t, 1, builds(t, root), "nothing has changed")
	require.NoError(t, again.Close(t.Context()))

	require.NoError(t, os.WriteFile(filepath.Join(root, "targets/shell/note"), []byte("changed"), 0o644))
	changed, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	assert.NotEqual(t, place.Digest(), changed.Digest())
	assert.Equal(t, 2, builds(t, root))

	require.NoError(t, place.Close(t.Context()))
	require.NoError(t, changed.Start(t.Context()))
	require.NoError(t, runtime.Close(t.Context()))
	assert.Empty(t, scratchFolders(t, cache))
	_, err = changed.Run(t.Context(), matrix.Task{Command: []string{"true"}})
	require.Error(t, err, "Close ends every place")
	late, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.ErrorContains(t, late.Start(t.Context()), "closed")
}

func TestConcurrentPreparationsBuildOnce(t *testing.T) {
	root := shellModule(t)
	runtime, _ := open(t, root, t.TempDir())
	var preparing sync.WaitGroup
	for range 4 {
		preparing.Go(func() {
			place, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
			if assert.NoError(t, err) {
				assert.NoError(t, place.Close(t.Context()))
			}
		})
	}
	preparing.Wait()
	assert.Equal(t, 1, builds(t, root))
}

func TestIncludedFoldersCount(t *testing.T) {
	root := shellModule(t)
	runtime, _ := open(t, root, t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Join(root, "targets/shared"), 0o755))
	target := sleeper()
	target.Image.Include = []string{"targets/shared"}
	digest := func() string {
		place, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
		require.NoError(t, err)
		defer func() { assert.NoError(t, place.Close(t.Context())) }()
		return place.Digest()
	}
	before := digest()
	require.NoError(t, os.WriteFile(filepath.Join(root, "targets/shared/.hidden"), nil, 0o644))
	assert.Equal(t, before, digest(), "an editor's file is no part of a target")
	require.NoError(t, os.WriteFile(filepath.Join(root, "targets/shared/layer"), nil, 0o644))
	assert.NotEqual(t, before, digest())
}

func TestGoProgramsAreHandedToTheScript(t *testing.T) {
	root := module(t, map[string]string{
		"targets/shell/build.sh": "set -eu\ncp \"$ZM_BIN/greeter\" \"$1/probe\"\n",
		"targets/shell/main.go":  "package main\n\nfunc main() { println(\"hello\") }\n",
	})
	runtime, _ := open(t, root, t.TempDir())
	target := sleeper()
	target.Image.Go = map[string]string{"greeter": "./targets/shell"}
	place, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, place.Start(t.Context()))
	account, err := place.Run(t.Context(), matrix.Task{Command: []string{place.Expand("{dir}/probe")}})
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(account.Stderr))
}

func TestABuildThatFails(t *testing.T) {
	root := module(t, map[string]string{
		"targets/shell/build.sh": "set -eu\nfor i in $(seq 100); do echo \"line $i\"; done\ntouch \"$1/half\"\n[ -f mended ]\ncp mended \"$1/probe\"\n",
	})
	cache := t.TempDir()
	runtime, _ := open(t, root, cache)
	_, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
	require.Error(t, err)
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
	assert.ErrorContains(t, err, "shell@any")
	assert.ErrorContains(t, err, "line 100")
	assert.ErrorContains(t, err, "line 61\n")
	assert.NotContains(t, err.Error(), "line 60\n", "the last 40 lines are shown")

	require.NoError(t, os.WriteFile(filepath.Join(root, "mended"), []byte("#!/bin/sh\n"), 0o755))
	place, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
	require.NoError(t, err, "a build that failed is tried again, even if nothing that it is known to depend on changed")
	assert.NoFileExists(t, place.Expand("{dir}/none"))
}

func TestABuildHasTheReleaseThatItIsMadeFrom(t *testing.T) {
	root := module(t, map[string]string{
		"targets/shell/build.sh": "set -eu\ncp \"$ZMQMATRIX_ARCHIVE\" \"$1/probe\"\nchmod +x \"$1/probe\"\n",
	})
	cache, digests := t.TempDir(), map[string]bool{}
	for _, released := range []string{"#!/bin/sh\n# 1.12\n", "#!/bin/sh\n# 1.13\n"} {
		file := filepath.Join(t.TempDir(), "release")
		require.NoError(t, os.WriteFile(file, []byte(released), 0o644))
		digest := fmt.Sprintf("%x", sha256.Sum256([]byte(released)))
		require.NoError(t, release.NewStore(cache, nil).Keep(file, digest))
		target := sleeper()
		target.Image.Archive = &matrix.Archive{URL: "http://127.0.0.1:1/never", SHA256: digest}
		runtime, _ := open(t, root, cache)
		place, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
		require.NoError(t, err)
		probe, err := os.ReadFile(place.Expand("{dir}/probe"))
		require.NoError(t, err)
		assert.Equal(t, released, string(probe))
		digests[place.Digest()] = true
	}
	assert.Len(t, digests, 2, "another release is another client")
}

func TestWhatIsNotAvailable(t *testing.T) {
	runtime, _ := open(t, shellModule(t), t.TempDir())
	prepare := func(target matrix.Target, variant matrix.Variant) error {
		_, err := runtime.Prepare(t.Context(), target, variant, matrix.Binding{Name: "own"})
		return err
	}
	t.Run("a command that is missing", func(t *testing.T) {
		target := sleeper()
		target.Local = matrix.Local{Requires: []string{"sh", "no-such-lisp"}, Packages: []string{"no-such-lisp", "cl-cffi"}, Build: "build.sh"}
		err := prepare(target, variant)
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "no-such-lisp is not on this host; apt-get install no-such-lisp cl-cffi")
	})
	t.Run("a command that no package brings", func(t *testing.T) {
		target := sleeper()
		target.Local = matrix.Local{Requires: []string{"no-such-lisp"}, Supplied: "install it from its maker", Build: "build.sh"}
		err := prepare(target, variant)
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "no-such-lisp is not on this host; install it from its maker")
		target.Local.Packages = []string{"cl-cffi"}
		assert.ErrorContains(t, prepare(target, variant), "install it from its maker; apt-get install cl-cffi")
	})
	t.Run("a release that can't be fetched", func(t *testing.T) {
		target := sleeper()
		target.Image.Archive = &matrix.Archive{URL: "http://127.0.0.1:1/shell.tar.gz", SHA256: strings.Repeat("0", 64)}
		err := prepare(target, variant)
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "give it with --archive shell=FILE")
	})
	t.Run("another suite's variant", func(t *testing.T) {
		err := prepare(sleeper(), matrix.Variant{Name: "buster", Suite: "buster"})
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "buster")
	})
	t.Run("a target without a script", func(t *testing.T) {
		target := sleeper()
		target.Local.Build = ""
		require.ErrorIs(t, prepare(target, variant), matrix.ErrUnavailable)
	})
}

func TestTheHostsOwnSuiteIsAvailable(t *testing.T) {
	text, err := os.ReadFile("/etc/os-release")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "VERSION_CODENAME=")
	require.True(t, found, "the tests need a Debian or Ubuntu host")
	suite, _, _ := strings.Cut(rest, "\n")
	runtime, _ := open(t, shellModule(t), t.TempDir())
	place, err := runtime.Prepare(t.Context(), sleeper(), matrix.Variant{Name: "own", Suite: suite}, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, place.Close(t.Context()))
}

func TestAWardenThatDiesIsExplained(t *testing.T) {
	runtime, _ := open(t, shellModule(t), t.TempDir())
	place, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, place.Start(t.Context()))
	// The probe kills its parent.
	_, err = place.Run(t.Context(), matrix.Task{Command: []string{"sh", "-c", "kill -9 $PPID"}})
	require.ErrorContains(t, err, "the warden of shell@any/own")
	require.ErrorContains(t, err, "signal: killed")
	require.NoError(t, place.Close(t.Context()))
	again, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, again.Start(t.Context()))
	_, err = again.Run(t.Context(), matrix.Task{Command: []string{"true"}})
	require.NoError(t, err)
}

// sleeping waits until the probe has written its processes' ids, and returns
// pidfds of them.
func sleeping(t *testing.T, cache string) []int {
	t.Helper()
	var text []byte
	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(cache, "run-*", "temp", "probe-*", "pids"))
		if err != nil || len(found) == 0 {
			return false
		}
		text, err = os.ReadFile(found[0])
		return err == nil && bytes.HasSuffix(text, []byte("\n"))
	}, 60*time.Second, 5*time.Millisecond)
	var descriptors []int
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		descriptor, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(descriptor) })
		descriptors = append(descriptors, descriptor)
	}
	require.Len(t, descriptors, 2)
	return descriptors
}

func awaitEnd(t *testing.T, descriptors []int) {
	t.Helper()
	for _, descriptor := range descriptors {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, 20_000)
		for err == unix.EINTR { // Go interrupts threads with signals
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}, 20_000)
		}
		require.NoError(t, err)
		require.Equal(t, 1, n, "a process goes on")
	}
}

func TestCloseKillsWhatRuns(t *testing.T) {
	root, cache := shellModule(t), t.TempDir()
	runtime, _ := open(t, root, cache)
	place, err := runtime.Prepare(t.Context(), sleeper(), variant, matrix.Binding{Name: "own"})
	require.NoError(t, err)
	require.NoError(t, place.Start(t.Context()))
	failed := make(chan error, 1)
	go func() {
		_, err := place.Run(t.Context(), matrix.Task{Command: []string{place.Expand("{dir}/probe"), "sleep", "pids"}})
		failed <- err
	}()
	descriptors := sleeping(t, cache)
	require.NoError(t, runtime.Close(t.Context()))
	awaitEnd(t, descriptors)
	require.Error(t, <-failed)
	assert.Empty(t, scratchFolders(t, cache))
}

func TestARunnerThatIsKilledLeavesNothing(t *testing.T) {
	root, cache := shellModule(t), t.TempDir()
	runner := exec.Command(os.Args[0])
	runner.Env = append(os.Environ(), asRunner+"="+root, "ZMQMATRIX_TEST_CACHE="+cache)
	said, err := runner.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, runner.Start())
	go func() {
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			t.Log(lines.Text())
		}
	}()
	descriptors := sleeping(t, cache)
	alive, _ := open(t, root, cache)
	assert.Len(t, scratchFolders(t, cache), 2, "a live run's folder is not swept")
	require.NoError(t, alive.Close(t.Context()))
	require.Len(t, scratchFolders(t, cache), 1)
	require.NoError(t, runner.Process.Kill())
	awaitEnd(t, descriptors)
	_ = runner.Wait()
	next, log := open(t, root, cache)
	assert.Contains(t, log.String(), "removed what a dead run left")
	require.NoError(t, next.Close(t.Context()))
	assert.Empty(t, scratchFolders(t, cache))
}

func TestEnvironment(t *testing.T) {
	runtime, _ := open(t, shellModule(t), t.TempDir())
	environment, err := runtime.Environment(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "local", environment.Engine)
	assert.True(t, strings.HasPrefix(environment.Host, "Linux "), environment.Host)
	assert.Positive(t, environment.Cores)
	assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, environment.EndpointDigest)
}

func TestTheEndpointIsReachedFromAProbe(t *testing.T) {
	runtime, _ := open(t, shellModule(t), t.TempDir())
	endpoint, err := runtime.StartEndpoint(t.Context())
	require.NoError(t, err)
	lane, err := endpoint.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{
		{Name: "sink", Role: matrix.RoleSink, Count: 1, Sizes: []int{8}, Parts: 1},
	}})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(lane.Endpoints["sink"], "tcp://127.0.0.1:"), lane.Endpoints["sink"])
	_, err = endpoint.CloseLane(t.Context(), lane.ID)
	require.NoError(t, err)
	require.NoError(t, endpoint.Close(t.Context()))
}
