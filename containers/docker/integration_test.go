//go:build integration

package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// suite is the Debian suite of the tests' images.
const suite = "bookworm"

// module is this module's folder.
func module(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	return root
}

// programCache is kept between tests and between runs of the tests: what is in
// it is found by its content.
func programCache(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	return filepath.Join(cache, "zmqmatrix")
}

// buffer is a log that is written by several goroutines.
type buffer struct {
	lineWriter
	text bytes.Buffer
}

func (b *buffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// newRuntime is a Runtime whose module is root, with this module's warden. It
// fails the test if something of it is left on the engine at the end.
func newRuntime(t testing.TB, root string) (*Runtime, *buffer) {
	t.Helper()
	log := &buffer{}
	log.output = &log.text
	runtime, err := New(t.Context(), Options{Root: root, CacheDir: programCache(t), RunID: "test", Log: log})
	require.NoError(t, err)
	real := module(t)
	runtime.images.Warden = func(ctx context.Context) (gobuild.Program, error) { return warden.Build(ctx, real, programCache(t)) }
	t.Cleanup(func() {
		assert.NoError(t, runtime.Close(context.Background()))
		assertNothingLeft(t, runtime.engine.instance)
	})
	return runtime, log
}

// inventory is the containers and networks of one Runtime.
func inventory(t testing.TB, instance string) (found []string) {
	t.Helper()
	provider, err := connect(context.Background())
	require.NoError(t, err)
	filter := client.Filters{}.Add("label", labelInstance+"="+instance)
	containers, err := provider.Client().ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filter})
	require.NoError(t, err)
	for _, item := range containers.Items {
		found = append(found, "container "+item.ID)
	}
	networks, err := provider.Client().NetworkList(context.Background(), client.NetworkListOptions{Filters: filter})
	require.NoError(t, err)
	for _, item := range networks.Items {
		found = append(found, "network "+item.Name)
	}
	return found
}

func assertNothingLeft(t testing.TB, instance string) {
	t.Helper()
	assert.Empty(t, inventory(t, instance), "left behind on the engine")
}

// write makes a module folder with these files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
	}
	return root
}

// tiny is the smallest target.
var tiny = matrix.Target{Name: "tiny", Image: matrix.Image{Dockerfile: "Dockerfile"}, Limits: matrix.Limits{MemoryMiB: 256}}

const tinyDockerfile = `ARG BASE
FROM ${BASE}
COPY targets/tiny/word /opt/zmqmatrix/word
COPY bin/warden /warden
`

func variant() matrix.Variant { return matrix.Variant{Name: suite, Suite: suite} }

func TestAvailable_finds_the_engine(t *testing.T) {
	require.NoError(t, Available(t.Context()))
}

func TestBase_is_built_from_the_archive_under_a_name_of_our_own(t *testing.T) {
	runtime, log := newRuntime(t, t.TempDir())
	base, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	assert.Contains(t, []string{"zmqmatrix-base:" + suite, "debian:" + suite + "-slim"}, base.Tag)
	t.Log(log)

	again, err := New(t.Context(), Options{Root: t.TempDir(), CacheDir: t.TempDir(), RunID: "test"})
	require.NoError(t, err)
	defer again.Close(context.Background())
	same, err := again.images.Base(t.Context(), suite)
	require.NoError(t, err)
	assert.Equal(t, base, same, "the second run must find the first one's")
}

func TestTarget_is_built_once_and_then_found_by_its_content(t *testing.T) {
	word := fmt.Sprint("word of ", time.Now().UnixNano())
	root := write(t, map[string]string{"targets/tiny/Dockerfile": tinyDockerfile, "targets/tiny/word": word})
	first, log := newRuntime(t, root)
	built, err := first.images.Target(t.Context(), tiny, variant(), matrix.Binding{})
	require.NoError(t, err)
	t.Cleanup(func() { removeImage(t, built.Tag) })
	assert.Contains(t, log.String(), "building image "+built.Tag)
	labelled, err := first.engine.Image(t.Context(), built.Tag)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{images.LabelOurs: "1", images.LabelSuite: suite}, labelled.Labels)

	second, log := newRuntime(t, root)
	found, err := second.images.Target(t.Context(), tiny, variant(), matrix.Binding{})
	require.NoError(t, err)
	assert.Equal(t, built, found)
	assert.Contains(t, log.String(), built.Tag+" is there already")
	assert.NotContains(t, log.String(), "building image zmqmatrix/tiny")

	require.NoError(t, os.WriteFile(filepath.Join(root, "targets/tiny/word"), []byte("another "+word), 0o644))
	third, log := newRuntime(t, root)
	other, err := third.images.Target(t.Context(), tiny, variant(), matrix.Binding{})
	require.NoError(t, err)
	t.Cleanup(func() { removeImage(t, other.Tag) })
	assert.NotEqual(t, built.ID, other.ID, "a changed file must change the image:\n%s", log)
}

// removeImage removes what a test made unique to itself.
func removeImage(t testing.TB, tag string) {
	provider, err := connect(context.Background())
	require.NoError(t, err)
	_, err = provider.Client().ImageRemove(context.Background(), tag, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	assert.NoError(t, err)
}

func TestTarget_tells_the_failing_step_and_what_it_said(t *testing.T) {
	root := write(t, map[string]string{"targets/tiny/Dockerfile": `ARG BASE
FROM ${BASE}
RUN echo fine
RUN seq 100 199; echo the reason >&2; exit 7
RUN echo never
`})
	runtime, _ := newRuntime(t, root)
	_, err := runtime.images.Target(t.Context(), tiny, variant(), matrix.Binding{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "image of tiny@bookworm")
	assert.Contains(t, err.Error(), "targets/tiny/Dockerfile failed at RUN seq 100 199")
	assert.Contains(t, err.Error(), "the reason")
	assert.Contains(t, err.Error(), "\n199\n")
	assert.NotContains(t, err.Error(), "\n100\n", "more than the output's end")
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
}

func TestTarget_that_the_user_must_supply_is_unavailable_until_tagged(t *testing.T) {
	supplied := tiny
	supplied.Image.Supplied = "its licence forbids redistribution"
	runtime, _ := newRuntime(t, t.TempDir())
	_, err := runtime.images.Target(t.Context(), supplied, variant(), matrix.Binding{})
	require.ErrorIs(t, err, matrix.ErrUnavailable)
	assert.ErrorContains(t, err, "its licence forbids redistribution (tag the image zmqmatrix-supplied/tiny:bookworm)")
}

func TestBuild_that_is_cancelled_leaves_no_container(t *testing.T) {
	root := write(t, map[string]string{"targets/tiny/Dockerfile": `ARG BASE
FROM ${BASE}
RUN sleep 600
`})
	runtime, _ := newRuntime(t, root)
	_, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	sleeping := func() (ids []string) {
		listed, err := runtime.engine.api.ContainerList(context.Background(), client.ContainerListOptions{All: true})
		require.NoError(t, err)
		for _, item := range listed.Items {
			if strings.Contains(item.Command, "sleep 600") {
				ids = append(ids, item.ID)
			}
		}
		return ids
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := runtime.images.Target(ctx, tiny, variant(), matrix.Binding{})
		ended <- err
	}()
	require.Eventually(t, func() bool { return len(sleeping()) > 0 }, time.Minute, 50*time.Millisecond)
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	// Where the builder had not named it yet, the engine alone can remove it, a
	// little later.
	assert.Eventually(t, func() bool { return len(sleeping()) == 0 }, time.Minute, 50*time.Millisecond)
}

func TestAttached_streams_carry_lines_both_ways_and_end_with_the_input(t *testing.T) {
	runtime, _ := newRuntime(t, t.TempDir())
	base, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	started, err := runtime.run(t.Context(), blueprint{
		image: base, memory: 64, tasks: 16,
		entrypoint: []string{"sh", "-c", `while read line; do echo "$line back"; echo "$line aside" >&2; done; echo over; exit 3`},
	})
	require.NoError(t, err)
	defer started.close(context.Background())
	lines := bufio.NewScanner(started.streams)
	for i := range 3 {
		fmt.Fprintf(started.streams, "line %d\n", i)
		require.True(t, lines.Scan())
		assert.Equal(t, fmt.Sprintf("line %d back", i), lines.Text())
	}
	require.NoError(t, started.streams.CloseWrite())
	require.True(t, lines.Scan(), "the container must see the end of its input")
	assert.Equal(t, "over", lines.Text())
	assert.False(t, lines.Scan())
	err = started.explain(assert.AnError)
	assert.ErrorContains(t, err, "its container ended with status 3")
	assert.ErrorContains(t, err, "line 2 aside")
}

func TestContainer_dies_with_the_one_who_attached(t *testing.T) {
	runtime, _ := newRuntime(t, t.TempDir())
	base, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	started, err := runtime.run(t.Context(), blueprint{image: base, memory: 64, tasks: 16, entrypoint: []string{"cat"}})
	require.NoError(t, err)
	// As when the runner is killed: the connection goes, nothing is said.
	require.NoError(t, started.streams.connection.Conn.Close())
	select {
	case <-started.exited:
	case <-time.After(time.Minute):
		t.Fatal("the container goes on without its runner")
	}
	require.Eventually(t, func() bool {
		_, err := runtime.engine.api.ContainerInspect(context.Background(), started.id, client.ContainerInspectOptions{})
		return errdefs.IsNotFound(err)
	}, time.Minute, 50*time.Millisecond, "it must also be removed")
}

// script runs a shell script as a probe in a tiny client's place.
func script(t testing.TB, at matrix.Place, text string) string {
	t.Helper()
	account, err := at.Run(t.Context(), matrix.Task{
		Command: []string{"sh", "-c", text},
		Bounds:  matrix.Bounds{Wall: time.Minute, Output: 1 << 20, Processes: 64},
	})
	require.NoError(t, err)
	require.Equal(t, matrix.Exited, account.Ending, "stderr: %s", account.Stderr)
	return string(account.Stdout)
}

func TestPlace_is_hardened(t *testing.T) {
	// The C client's line, whose layer is there.
	root := write(t, map[string]string{"targets/tiny/word": "hello", "targets/tiny/Dockerfile": `ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends libzmq5 gdb-minimal && rm -rf /var/lib/apt/lists/*
COPY targets/tiny/word /opt/zmqmatrix/word
COPY bin/warden /warden
`})
	runtime, _ := newRuntime(t, root)
	at, err := runtime.Prepare(t.Context(), tiny, variant(), matrix.Binding{Name: "none"})
	require.NoError(t, err)
	defer at.Close(context.Background())
	require.NoError(t, at.Start(t.Context()))

	assert.Regexp(t, "^sha256:[0-9a-f]{64}$", at.Digest())
	assert.Equal(t, "hello", script(t, at, "cat "+at.Expand("{dir}/word")))

	status := script(t, at, "cat /proc/self/status")
	for _, line := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		assert.Contains(t, status, line+":\t0000000000000000\n")
	}
	assert.Contains(t, status, "NoNewPrivs:\t1\n")
	assert.Contains(t, status, "Seccomp:\t2\n")
	assert.Contains(t, status, "Uid:\t65534\t65534\t65534\t65534\n")
	assert.Contains(t, script(t, at, "cat /proc/1/status"), "CapBnd:\t0000000000000000\n", "the warden has none either")

	for _, place := range []string{"/", "/opt/zmqmatrix", "/etc", "/var/tmp"} {
		assert.Contains(t, script(t, at, "touch "+place+"/x 2>&1; true"), "Read-only file system")
	}
	assert.Equal(t, "ran\n", script(t, at, `printf '#!/bin/sh\necho ran\n' >/tmp/x && chmod +x /tmp/x && /tmp/x`), "JNA executes what it unpacks there")
	for range 2 {
		assert.Equal(t, "left\n", script(t, at, `ls -A /dev/shm; ls -A /tmp | grep -v "^${TMPDIR##*/}$"; echo left; touch /tmp/y /dev/shm/y`), "to the next attempt nothing is")
	}
	full, err := strconv.Atoi(strings.TrimSpace(script(t, at, "head -c 300m /dev/zero >/tmp/big; stat -c %s /tmp/big; rm /tmp/big")))
	require.NoError(t, err)
	assert.InDelta(t, 256<<20, full, 1<<20, "the temporary folder is bounded")
	assert.Equal(t, "0\n0\n", script(t, at, "ulimit -Sc; ulimit -Hc"), "in blocks of 512 bytes")
	assert.Equal(t, "1024\n", script(t, at, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"))
	assert.Equal(t, fmt.Sprintln((256+headroom)<<20), script(t, at, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"))

	// gdb of the same user, without a capability, for backtraces.
	said := script(t, at, "sleep 60 & gdb -p $! -batch -nx -ex bt 2>&1; kill $!")
	assert.Regexp(t, `#0 .*0x[0-9a-f]+`, said)
	assert.NotContains(t, said, "Operation not permitted")
}

func TestPlace_takes_the_values_of_personality_that_its_target_needs_and_no_others(t *testing.T) {
	root := write(t, map[string]string{"targets/tiny/word": "hello", "targets/tiny/Dockerfile": tinyDockerfile})
	runtime, _ := newRuntime(t, root)
	// setarch is in every Debian image. -R asks for ADDR_NO_RANDOMIZE, -X for
	// READ_IMPLIES_EXEC, -3 for ADDR_LIMIT_3GB. What it starts has
	// READ_IMPLIES_EXEC no more, which the kernel clears for a program whose
	// stack is not executable.
	ask := func(needs *matrix.Needs) string {
		target := tiny
		target.Needs = needs
		at, err := runtime.Prepare(t.Context(), target, variant(), matrix.Binding{Name: "none"})
		require.NoError(t, err)
		defer at.Close(context.Background())
		require.NoError(t, at.Start(t.Context()))
		status := script(t, at, "cat /proc/self/status")
		assert.Contains(t, status, "Seccomp:\t2\n", "a profile is in force")
		assert.Contains(t, status, "NoNewPrivs:\t1\n")
		assert.Contains(t, status, "CapBnd:\t0000000000000000\n")
		return script(t, at, `for option in -R -X -RX -3; do setarch $option true 2>/dev/null && echo taken || echo refused; done
			setarch -R cat /proc/self/personality 2>/dev/null; unshare -U true 2>/dev/null || echo refused`)
	}
	assert.Equal(t, "refused\nrefused\nrefused\nrefused\nrefused\n", ask(nil))
	assert.Equal(t, "taken\ntaken\ntaken\nrefused\n00040000\nrefused\n",
		ask(&matrix.Needs{Personality: []uint32{0x40000, 0x400000, 0x440000}, Reason: "a test"}))
}

// TestAHostileClientIsContained: everything that testdata/hostile tries is refused
// but what is its own. Each address is a listener of this test's that somebody
// else reaches.
func TestAHostileClientIsContained(t *testing.T) {
	root := write(t, map[string]string{
		"targets/tiny/word":       "hello",
		"targets/tiny/Dockerfile": strings.Replace(tinyDockerfile, "COPY bin/", "COPY targets/tiny/hostile /opt/zmqmatrix/hostile\nCOPY bin/", 1),
	})
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(root, "targets/tiny/hostile"), "./containers/docker/testdata/hostile")
	build.Dir, build.Env = module(t), append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)

	const port = "7001"
	// Two runs of one engine, with a client and a listener each.
	prepare := func() (matrix.Place, netip.Addr) {
		runtime, _ := newRuntime(t, root)
		at, err := runtime.Prepare(t.Context(), tiny, variant(), matrix.Binding{Name: "none"})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, at.Close(context.Background())) })
		require.NoError(t, at.Start(t.Context()))
		listener, err := runtime.run(t.Context(), blueprint{
			image: at.(*place).image, memory: 64, tasks: 32, alias: endpointAlias, entrypoint: []string{at.Expand("{dir}/hostile"), "listen", port},
		})
		require.NoError(t, err)
		t.Cleanup(func() { listener.close(context.Background()) })
		inspected, err := runtime.engine.api.ContainerInspect(t.Context(), listener.id, client.ContainerInspectOptions{})
		require.NoError(t, err)
		for _, joined := range inspected.Container.NetworkSettings.Networks {
			return at, joined.IPAddress
		}
		require.FailNow(t, "the listener is on no network")
		return nil, netip.Addr{}
	}
	at, _ := prepare()
	elsewhere, address := prepare()
	otherRun := net.JoinHostPort(address.String(), port)

	// The engine's machine: its loopback, and its address as an ordinary network's
	// gateway; it has none on a run's network.
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer loopback.Close()
	onLoopback := loopback.Addr().String()
	gateway := net.JoinHostPort(gatewayOf(t), "0")
	bridge, err := net.Listen("tcp", gateway)
	require.NoError(t, err, "the test must run on the engine's machine")
	defer bridge.Close()
	onGateway := bridge.Addr().String()

	ask := func(at matrix.Place, addresses ...string) map[string]hostileAttempt {
		account, err := at.Run(t.Context(), matrix.Task{
			Command: append([]string{at.Expand("{dir}/hostile"), "try"}, addresses...),
			Bounds:  matrix.Bounds{Wall: time.Minute, Output: 8 << 20, Processes: 64},
		})
		require.NoError(t, err)
		require.Equal(t, matrix.Exited, account.Ending, "stderr: %s", account.Stderr)
		require.Zero(t, account.Code, "stderr: %s", account.Stderr)
		answers := map[string]hostileAttempt{}
		for _, line := range bytes.Split(bytes.TrimSpace(account.Stdout), []byte("\n")) {
			var answer hostileAttempt
			require.NoError(t, json.Unmarshal(line, &answer), "%s", line)
			answers[answer.Try] = answer
		}
		return answers
	}
	own := net.JoinHostPort(endpointAlias, port)
	answers := ask(at, own, otherRun, onLoopback, onGateway)
	require.Contains(t, answers, "connect "+own)
	require.Contains(t, answers, "trace the warden")
	require.Contains(t, answers, "engine /run/docker.sock", "it came to its end")
	var granted []string
	for name, answer := range answers {
		if answer.Got {
			granted = append(granted, name)
		}
	}
	assert.Contains(t, granted, "connect "+own)
	assert.Contains(t, granted, "create in /tmp")
	assert.Subset(t, []string{
		"connect " + own,
		// Memory of the container's own, which goes with it.
		"create in /dev/mqueue", "create in /dev/shm", "create in /tmp",
		"write /dev/full", "write /dev/pts/ptmx", "write /dev/random", "write /dev/tty", "write /dev/urandom", "write /dev/zero",
		// Which the kernel asks nothing for but the same user, and README tells of.
		"the warden's limits",
		// To be told of the machine's load, which anybody may.
		"write /proc/pressure/cpu", "write /proc/pressure/io", "write /proc/pressure/irq", "write /proc/pressure/memory",
	}, granted)

	assert.True(t, ask(elsewhere, otherRun)["connect "+otherRun].Got, "the other run's own client reaches its listener")
	for _, here := range []string{onLoopback, onGateway} {
		connection, err := net.Dial("tcp", here)
		require.NoError(t, err, "the engine's machine reaches its own listener")
		connection.Close()
	}
}

// hostileAttempt is a line of testdata/hostile.
type hostileAttempt struct {
	Try   string `json:"try"`
	Got   bool   `json:"got"`
	Error string `json:"error"`
}

// gatewayOf is the engine's address on a network that has one: an ordinary one,
// which is removed at the end.
func gatewayOf(t testing.TB) string {
	t.Helper()
	provider, err := connect(t.Context())
	require.NoError(t, err)
	name := fmt.Sprintf("zmqmatrix-test-gateway-%d", os.Getpid())
	_, err = provider.Client().NetworkCreate(t.Context(), name, client.NetworkCreateOptions{Driver: "bridge"})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := provider.Client().NetworkRemove(context.Background(), name, client.NetworkRemoveOptions{})
		assert.NoError(t, err)
	})
	inspected, err := provider.Client().NetworkInspect(t.Context(), name, client.NetworkInspectOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, inspected.Network.IPAM.Config)
	return inspected.Network.IPAM.Config[0].Gateway.String()
}

func TestSweep_removes_the_leftovers_of_a_dead_owner_and_not_a_live_ones(t *testing.T) {
	base := func() images.Image {
		runtime, _ := newRuntime(t, t.TempDir())
		base, err := runtime.images.Base(t.Context(), suite)
		require.NoError(t, err)
		return base
	}()
	live, _ := newRuntime(t, t.TempDir())
	dead, _ := newRuntime(t, t.TempDir())
	owner := exec.Command("sleep", "3600")
	require.NoError(t, owner.Start())
	end := sync.OnceFunc(func() {
		assert.NoError(t, owner.Process.Kill())
		assert.Error(t, owner.Wait(), "it was killed")
	})
	defer end()
	start, _ := startTime(owner.Process.Pid)
	late := self()
	late.PID, late.Start = owner.Process.Pid, start
	for key, value := range late.labels() {
		dead.engine.labels[key] = value
	}
	for _, runtime := range []*Runtime{live, dead} {
		_, err := runtime.run(t.Context(), blueprint{image: base, memory: 64, tasks: 16, entrypoint: []string{"cat"}})
		require.NoError(t, err)
		require.Len(t, inventory(t, runtime.engine.instance), 2)
	}
	newRuntime(t, t.TempDir())
	assert.Len(t, inventory(t, dead.engine.instance), 2, "its owner lives")
	end()
	// Another run that starts just now may remove them, too.
	newRuntime(t, t.TempDir())
	assert.Empty(t, inventory(t, dead.engine.instance))
	assert.Len(t, inventory(t, live.engine.instance), 2, "a live run's things must stay")
}

func TestClose_works_after_the_context_has_ended_and_refuses_what_comes_later(t *testing.T) {
	runtime, _ := newRuntime(t, t.TempDir())
	base, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	plan := blueprint{image: base, memory: 64, tasks: 16, entrypoint: []string{"cat"}}
	_, err = runtime.run(t.Context(), plan)
	require.NoError(t, err)
	require.Len(t, inventory(t, runtime.engine.instance), 2)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, runtime.Close(ended))
	assertNothingLeft(t, runtime.engine.instance)
	_, err = runtime.run(t.Context(), plan)
	assert.ErrorIs(t, err, errClosed)
	assertNothingLeft(t, runtime.engine.instance)
}

func TestStart_that_is_cancelled_leaves_nothing(t *testing.T) {
	runtime, _ := newRuntime(t, t.TempDir())
	base, err := runtime.images.Base(t.Context(), suite)
	require.NoError(t, err)
	// Cancelled at points spread over the 0.7 s that a start takes.
	for _, after := range []time.Duration{0, 30, 60, 120, 240, 480} {
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		_, err := runtime.run(ctx, blueprint{image: base, memory: 64, tasks: 16, entrypoint: []string{"cat"}})
		cancel()
		t.Logf("after %d ms: %v", after, err)
	}
	require.NoError(t, runtime.Close(t.Context()))
	assertNothingLeft(t, runtime.engine.instance)
}

// cgoModule is a module with one program that links libzmq, and a module of the
// host's cache. What these need in turn is little, since it may have to be compiled.
func cgoModule(t testing.TB) string {
	t.Helper()
	root := write(t, map[string]string{"version/main.go": `package main

// #cgo LDFLAGS: -lzmq
// #include <zmq.h>
import "C"

import "github.com/moby/moby/api/types"

func main() {
	var major, minor, patch C.int
	C.zmq_version(&major, &minor, &patch)
	println(major, minor, patch, types.MediaTypeRawStream)
}
`})
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module(t), file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, file), content, 0o644))
	}
	return root
}

func TestProgram_is_built_in_the_suite_and_then_found(t *testing.T) {
	root, cache := cgoModule(t), t.TempDir()
	// The standard library, which is long in compiling, is there from other programs.
	compiled := filepath.Join(programCache(t), "go-build")
	require.NoError(t, os.MkdirAll(compiled, 0o755))
	require.NoError(t, os.Symlink(compiled, filepath.Join(cache, "go-build")))
	build := func(cache string, carried bool) (string, string) {
		log := &buffer{}
		log.output = &log.text
		runtime, err := New(t.Context(), Options{Root: root, CacheDir: cache, RunID: "test", Log: log, Copy: carried})
		require.NoError(t, err)
		defer runtime.Close(context.Background())
		started := time.Now()
		program, err := runtime.images.Program(t.Context(), suite, "./version")
		require.NoError(t, err)
		t.Logf("%v: %s", time.Since(started), log)
		return program, log.String()
	}
	program, log := build(cache, false)
	assert.Contains(t, log, "building ./version in Debian bookworm")
	again, log := build(cache, false)
	assert.Equal(t, program, again)
	assert.NotContains(t, log, "building ./version")

	source := filepath.Join(root, "version/main.go")
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(source, append(text, []byte("\nvar edited = 1\n")...), 0o644))
	edited, log := build(cache, false)
	assert.NotEqual(t, program, edited)
	assert.Contains(t, log, "building ./version", "a changed source must be built")
	require.NoError(t, os.WriteFile(source, text, 0o644))

	// The way of a remote engine, with a cache folder of its own, makes the same.
	carried, _ := build(t.TempDir(), true)
	mounted, err := os.ReadFile(program)
	require.NoError(t, err)
	copied, err := os.ReadFile(carried)
	require.NoError(t, err)
	assert.True(t, slices.Equal(mounted, copied), "both ways must make the same bytes")
}

func TestProgram_that_does_not_compile_says_what_the_compiler_said(t *testing.T) {
	root := cgoModule(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "version/main.go"), []byte("package main\n\nfunc main() { undefinedHere() }\n"), 0o644))
	runtime, _ := newRuntime(t, root)
	_, err := runtime.images.Program(t.Context(), suite, "./version")
	assert.ErrorContains(t, err, "undefined: undefinedHere")
}

func TestEndpoint_answers_from_its_container(t *testing.T) {
	runtime, _ := newRuntime(t, module(t))
	environment, err := runtime.Environment(t.Context())
	require.NoError(t, err)
	assert.Regexp(t, "^docker [0-9]", environment.Engine)
	assert.Positive(t, environment.Cores)
	assert.Regexp(t, "^sha256:", environment.EndpointDigest)
	peer, err := runtime.StartEndpoint(t.Context())
	require.NoError(t, err)
	lane, err := peer.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{{Name: "sink", Role: matrix.RoleSink, Count: 1, Sizes: []int{8}, Parts: 1}}})
	require.NoError(t, err)
	assert.Contains(t, lane.Endpoints["sink"], "tcp://endpoint:")
	account, err := peer.CloseLane(t.Context(), lane.ID)
	require.NoError(t, err)
	assert.Zero(t, account.Sockets["sink"].Received)
	require.NoError(t, peer.Close(t.Context()))
}
