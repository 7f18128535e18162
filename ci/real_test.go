package ci

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// shellTarget is a target whose probe is a shell script that misbehaves as its
// binding's name says. %s is the Debian suite.
const shellTarget = `schema: zmqmatrix/target/v1
name: shell
title: Shell
homepage: https://example.org/shell
family: shell
licence: MIT
variants:
  - {name: only, suite: SUITE, packages: [dash], default: true}
image:
  dockerfile: Dockerfile
local: {requires: [sh], packages: [dash], build: build.sh}
bindings:
  - {name: honest, title: says what it must, raw: true, command: ["{dir}/probe", honest]}
  - {name: nothing, title: prints nothing, command: ["{dir}/probe", nothing]}
  - {name: garbage, title: prints garbage, command: ["{dir}/probe", garbage]}
  - {name: gigabyte, title: prints a gigabyte, command: ["{dir}/probe", gigabyte]}
  - {name: complaints, title: prints a gigabyte on standard error, command: ["{dir}/probe", complaints]}
  - {name: other-version, title: speaks another protocol version, command: ["{dir}/probe", other-version]}
  - {name: slow, title: takes its time, command: ["{dir}/probe", slow]}
techniques: {}
limits: {memory-mib: 256, processes: 32, time-factor: 1}
version: ["{dir}/probe", honest]
`

const shellProbe = `#!/bin/sh
hello() {
	printf '{"type":"hello","protocol":%d,"implementation":"sh","version":"1","binding":"%s","binding_version":"","libzmq":"","threads":false,"pid":%d,"seed":"%s","collector":"none"}\n' "$1" "$2" $$ "$ZM_SEED"
}
reason="unknown feature $ZM_FEATURE"
case $ZM_FEATURE in callback/*) reason="a shell has no such thing" ;; esac
unsupported='{"type":"unsupported","reason":"'$reason'"}'
case $1 in
honest) hello 1 honest; echo "$unsupported" ;;
nothing) ;;
garbage) printf '\033[2J\377\000 no report {"type":\n' ;;
gigabyte) head -c 1073741824 /dev/zero ;;
complaints) hello 1 complaints; head -c 1073741824 /dev/zero >&2; echo "$unsupported" ;;
other-version) hello 2 other-version; echo '{"type":"done"}' ;;
slow) hello 1 slow; sleep 0.3; echo '{"type":"failed","reason":"it took its time","condition":""}' ;;
esac
`

const shellDockerfile = `ARG BASE
FROM ${BASE}
COPY targets/shell/probe /opt/zmqmatrix/probe
COPY bin/warden /warden
`

const shellBuild = `cp targets/shell/probe "$1/probe"
`

// shellModule is a tree of this module's Go code whose one target is a shell
// script. changed files replace or join it.
func shellModule(t *testing.T, changed map[string]string) string {
	root := t.TempDir()
	for _, folder := range []string{"containers", "matrix"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("..", folder))))
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("..", name))
		require.NoError(t, err)
		write(t, root, name, string(content))
	}
	write(t, root, "targets/shell/target.yaml", strings.ReplaceAll(shellTarget, "SUITE", "bookworm"))
	write(t, root, "targets/shell/probe", shellProbe)
	write(t, root, "targets/shell/build.sh", shellBuild)
	write(t, root, "targets/shell/Dockerfile", shellDockerfile)
	for name, content := range changed {
		write(t, root, name, content)
	}
	return root
}

func write(t *testing.T, root, name, content string) {
	path := filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
}

// realCommand is the command as it is, in a tree of the module. cache is where
// it keeps what it builds; the go command keeps its own where it always does.
func realCommand(t *testing.T, root, cache string, env []string, args ...string) *exec.Cmd {
	built, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "zmqmatrix-real", args...)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "XDG_CACHE_HOME="+cache, "GOCACHE="+strings.TrimSpace(string(built)), "NO_COLOR=1"), env...)
	return cmd
}

// ended is what a command came to.
type ended struct {
	status         int
	stdout, stderr string
}

func run(cmd *exec.Cmd) ended {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run() // what it came to is in the state
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// verdictsIn are the verdicts of the one run in a tree, by binding and feature.
func verdictsIn(t *testing.T, root string) map[string]matrix.Verdict {
	records, err := filepath.Glob(filepath.Join(root, "results", "runs", "*", measure.RecordName))
	require.NoError(t, err)
	require.Len(t, records, 1)
	verdicts := map[string]matrix.Verdict{}
	for line, err := range results.ReadRecord(records[0]) {
		require.NoError(t, err)
		if line.Type == matrix.LineVerdict {
			verdicts[line.Verdict.Binding+" "+line.Verdict.Feature] = *line.Verdict
		}
	}
	return verdicts
}

// A probe may print what it likes: that is a verdict about it, and the run is
// well.
func TestWhatAProbePrintsIsItsVerdict(t *testing.T) {
	t.Parallel()
	root := shellModule(t, nil)
	const feature = "callback/same-thread"
	end := run(realCommand(t, root, t.TempDir(), nil, "run", "--runtime", "local", "--feature", feature,
		"--binding", "honest,nothing,garbage,gigabyte,complaints,other-version"))
	require.Equal(t, exitOK, end.status, "%s", end.stderr)
	verdicts := verdictsIn(t, root)
	for _, row := range []struct {
		binding string
		outcome matrix.Outcome
		layer   matrix.Layer
		reason  string
	}{
		{"honest", matrix.Unsupported, "", "a shell has no such thing"},
		{"nothing", matrix.Crash, "", "exited with status 0 without a verdict, before it said hello"},
		{"garbage", matrix.Fail, matrix.LayerProbe, `the probe broke the report's protocol: line 1: not a JSON object: "\x1b[2J\xff\x00 no report {\"type\":"`},
		{"gigabyte", matrix.Fail, matrix.LayerProbe, "killed for flooding its output"},
		// Standard error is free text: its end is kept, and it decides nothing.
		{"complaints", matrix.Unsupported, "", "a shell has no such thing"},
		{"other-version", matrix.Fail, matrix.LayerProbe, "protocol version 2; this zmqmatrix speaks 1: rebuild the probe's image"},
	} {
		t.Run(row.binding, func(t *testing.T) {
			verdict := verdicts[row.binding+" "+feature]
			assert.Equal(t, row.outcome, verdict.Outcome)
			assert.Equal(t, row.layer, verdict.Layer)
			assert.Contains(t, verdict.Reason, row.reason)
			assert.Regexp(t, `shell@only +(1 +)?`+row.binding+` `, end.stdout)
		})
	}
	assert.NotContains(t, end.stdout+end.stderr, "\x1b")
	records, err := filepath.Glob(filepath.Join(root, "results", "runs", "*", measure.RecordName))
	require.NoError(t, err)
	info, err := os.Stat(records[0])
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(4<<20), "of gigabytes only the ends are kept")
}

// elsewhere is the shell target with a binding that comes from elsewhere, whose
// version the probe reads from the source's copy.
var elsewhere = map[string]string{
	"targets/shell/target.yaml": strings.NewReplacer("SUITE", "bookworm", "bindings:\n", `bindings:
  - {name: stand-in, title: comes from elsewhere, system: stand-in, command: ["{dir}/probe", stand-in]}
`).Replace(shellTarget),
	"targets/shell/build.sh": `set -eu
cp targets/shell/probe "$1/probe"
echo "$ZMQMATRIX_BINDING,$ZMQMATRIX_SYSTEMS,${ZMQMATRIX_SOURCE:+$(cat "$ZMQMATRIX_SOURCE/src/version")}" >"$1/built"
`,
	"targets/shell/probe": strings.NewReplacer(
		`"binding_version":""`, `"binding_version":"'$(cat "${0%/*}/built")'"`,
		"honest) hello 1 honest;", "honest|stand-in) hello 1 $1;",
	).Replace(shellProbe),
	"targets/shell/Dockerfile": `ARG BASE
FROM ${BASE}
COPY . /src
ARG BINDING
ARG SYSTEM
RUN cd /src && mkdir /opt/zmqmatrix && ZMQMATRIX_BINDING=$BINDING ZMQMATRIX_SYSTEMS=$SYSTEM ZMQMATRIX_SOURCE=${SYSTEM:+/src/binding} sh targets/shell/build.sh /opt/zmqmatrix && mv bin/warden /
`,
}

// clientsIn are the last words on the clients of a run, by binding.
func clientsIn(t *testing.T, record string) map[string]matrix.ClientAccount {
	clients := map[string]matrix.ClientAccount{}
	for line, err := range results.ReadRecord(record) {
		require.NoError(t, err)
		if line.Type == matrix.LineClient {
			clients[line.Client.Binding] = *line.Client
		}
	}
	return clients
}

// bindingFromElsewhere runs a working copy of a binding in a runtime, beside one
// of the project's own.
func bindingFromElsewhere(t *testing.T, runtime, cache string) {
	root, copied := shellModule(t, elsewhere), t.TempDir()
	write(t, copied, "src/stand-in.asd", `(asdf:defsystem #:stand-in)`)
	write(t, copied, "src/version", "0.9")
	write(t, copied, ".git/HEAD", "ref: refs/heads/work")
	measured := func() (map[string]matrix.ClientAccount, string) {
		end := run(realCommand(t, root, cache, nil, "run", "--runtime", runtime, "--binding", "honest,stand-in",
			"--feature", "callback/same-thread", "--binding-source", "stand-in="+copied))
		require.Equal(t, exitOK, end.status, "%s", end.stderr)
		folder := measure.Runs(filepath.Join(root, "results", "runs"))
		last, err := findRun(folder, "last")
		require.NoError(t, err)
		published, err := results.ReadPublished(folder.File(last, publishedName))
		require.NoError(t, err)
		for _, client := range published.Targets {
			if client.Binding == "stand-in" {
				assert.Equal(t, copied, client.Source.From)
				assert.True(t, client.Source.Folder)
			} else {
				assert.Nil(t, client.Source)
			}
			assert.Positive(t, client.Size)
		}
		for _, cell := range published.Cells {
			assert.Equal(t, cell.Binding == "stand-in", strings.HasSuffix(cell.Replay, " --binding-source stand-in="+copied), cell.Replay)
		}
		return clientsIn(t, folder.File(last, measure.RecordName)), end.stderr
	}
	first, _ := measured()
	assert.Equal(t, "stand-in,stand-in,0.9", first["stand-in"].Hello.BindingVersion)
	assert.Equal(t, "honest,,", first["honest"].Hello.BindingVersion, "own bindings share an installation without a source")
	assert.NotEqual(t, first["honest"].Image, first["stand-in"].Image)

	same, said := measured()
	assert.Equal(t, first["stand-in"].Image, same["stand-in"].Image)
	assert.Contains(t, said, "2 attempts, 2 of them reused")

	write(t, copied, "src/version", "1.0")
	edited, said := measured()
	assert.Equal(t, "stand-in,stand-in,1.0", edited["stand-in"].Hello.BindingVersion)
	assert.NotEqual(t, first["stand-in"].Source.Digest, edited["stand-in"].Source.Digest)
	assert.NotEqual(t, first["stand-in"].Image, edited["stand-in"].Image)
	assert.Equal(t, first["honest"].Image, edited["honest"].Image, "nothing of it is in the shared installation")
	assert.Contains(t, said, "2 attempts, 1 of them reused")
}

// A maintainer's working copy is measured as it is, and again when it changes.
func TestABindingFromElsewhereOnTheHost(t *testing.T) {
	t.Parallel()
	bindingFromElsewhere(t, "local", t.TempDir())
}

// deadSocket is the address of an engine that has gone.
func deadSocket(t *testing.T) string {
	// A socket's path is bounded to 107 octets, unix(7); a test's folder is longer.
	folder, err := os.MkdirTemp("", "dead")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "docker.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	listener.SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	return "unix://" + path
}

func TestAnEngineThatDoesNotRun(t *testing.T) {
	root, cache := shellModule(t, nil), t.TempDir()
	dead := deadSocket(t)
	selection := []string{"--binding", "honest", "--feature", "callback/same-thread"}
	t.Run("asked for, it ends the command and says what mends it", func(t *testing.T) {
		end := run(realCommand(t, root, cache, []string{"DOCKER_HOST=" + dead}, append([]string{"run", "--runtime", "docker"}, selection...)...))
		assert.Equal(t, exitHarness, end.status)
		assert.Contains(t, end.stderr, "the docker engine at DOCKER_HOST="+dead+" does not answer")
		assert.Contains(t, end.stderr, "\nRun: unset DOCKER_HOST,")
		assert.NoDirExists(t, filepath.Join(root, "results"))
	})
	t.Run("not asked for, it is local, and says why", func(t *testing.T) {
		end := run(realCommand(t, root, cache, []string{"DOCKER_HOST=" + dead}, append([]string{"run"}, selection...)...))
		assert.Equal(t, exitOK, end.status, "%s", end.stderr)
		assert.Regexp(t, `(?m)^runtime local, because docker can't be used: the docker engine at DOCKER_HOST=\S+ does not answer: `, end.stderr)
	})
}

// A target's own build that fails is the harness's error, with what it said.
func TestABuildOnTheHostThatFailsIsAnErrorOfTheHarness(t *testing.T) {
	t.Parallel()
	root := shellModule(t, map[string]string{"targets/shell/build.sh": "echo the reason >&2\nexit 7\n"})
	end := run(realCommand(t, root, t.TempDir(), nil, "run", "--runtime", "local", "--feature", "callback", "--binding", "honest"))
	assert.Equal(t, exitHarness, end.status, "%s", end.stderr)
	assert.Contains(t, end.stderr, "sh targets/shell/build.sh: exit status 7")
	assert.Contains(t, end.stderr, "the reason")
	assert.Contains(t, end.stderr, "the harness failed in")
	for cell, verdict := range verdictsIn(t, root) {
		assert.Equal(t, matrix.Error, verdict.Outcome, cell)
	}
}

// processesWith are the processes whose environment has the text, which tells a
// run's by its folders.
func processesWith(t *testing.T, text string) (found []string) {
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, entry := range entries {
		// Others end while they are looked at.
		if environment, err := os.ReadFile(entry); err == nil && bytes.Contains(environment, []byte(text)) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(entry), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// TestInterruptLeavesNoProcess is Ctrl-C with real processes under way: a
// target's build, and probes.
func TestInterruptLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for _, moment := range []struct {
		name, build string
		attempts    int // 0: while the client is prepared
	}{
		{"in_preparation", "sleep 600 & sleep 600\n", 0},
		{"in_an_attempt", shellBuild, 3},
	} {
		t.Run(moment.name, func(t *testing.T) {
			root, cache := shellModule(t, map[string]string{"targets/shell/build.sh": moment.build}), t.TempDir()
			run := startCommand(t, realCommand(t, root, cache, nil, "run", "--json", "--runtime", "local", "--feature", "callback", "--binding", "slow"))
			if moment.attempts == 0 {
				awaitEvents(t, run, "preparing", 1)
				awaitRecord(t, root)
				require.Eventually(t, func() bool {
					return strings.Contains(strings.Join(processesWith(t, cache), "\n"), "sleep 600")
				}, time.Minute, 20*time.Millisecond)
			} else {
				awaitEvents(t, run, "attempting", moment.attempts)
			}
			require.NoError(t, run.cmd.Process.Signal(syscall.SIGINT))
			last, status := run.end(t)
			assert.Equal(t, exitHarness, status, "%s", run.stderr.String())
			assert.Nil(t, last.Footer)
			assert.Contains(t, run.stderr.String(), "resume with: zmqmatrix run --resume 2")
			assert.Empty(t, processesWith(t, cache))
			scratch, err := filepath.Glob(filepath.Join(cache, "zmqmatrix", "run-*"))
			require.NoError(t, err)
			assert.Empty(t, scratch)

			write(t, root, "targets/shell/build.sh", shellBuild)
			resumed := startCommand(t, realCommand(t, root, cache, nil, "run", "--json", "--resume", "last"))
			last, status = resumed.end(t)
			assert.Zero(t, status, "%s", resumed.stderr.String())
			require.NotNil(t, last.Footer)
			assert.Positive(t, last.Footer.Counts[matrix.Fail])
			assert.Len(t, last.Footer.Counts, 1)
			assert.Empty(t, processesWith(t, cache))
		})
	}
}

// awaitEvents reads events up to the n-th of that name.
func awaitEvents(t *testing.T, run *eventsRun, name string, n int) {
	for n > 0 {
		line, more := run.next(t)
		require.True(t, more, "the run ended before: %s", run.stderr.String())
		if line.Event == name {
			n--
		}
	}
}

// awaitRecord waits until the one run in the tree has recorded what it is. Clients
// are prepared meanwhile; a run that is stopped before can't be resumed.
func awaitRecord(t *testing.T, root string) {
	require.Eventually(t, func() bool {
		records, err := filepath.Glob(filepath.Join(root, "results", "runs", "*", measure.RecordName))
		require.NoError(t, err)
		if len(records) != 1 {
			return false
		}
		found, err := os.Stat(records[0])
		return err == nil && found.Size() > 0
	}, 2*time.Minute, 10*time.Millisecond)
}

// TestAFullDisk fills a real file system, which takes root; the script resume
// has a file that may not grow.
func TestAFullDisk(t *testing.T) {
	root := t.TempDir()
	checkout(t, root)
	out := filepath.Join(root, "out")
	require.NoError(t, os.Mkdir(out, 0o755))
	if err := syscall.Mount("tmpfs", out, "tmpfs", 0, "size=24k"); err != nil {
		t.Skipf("mounting a small file system takes root: %v; the script resume has the other half of this", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(out, 0)) }()
	end := run(command(t, root, nil, "run", "--out", out, "--parallel", "1"))
	assert.Equal(t, exitHarness, end.status)
	assert.Contains(t, end.stderr, "no space left on device")
	assert.Regexp(t, `disk is full: [0-9]+ bytes needed; free some`, end.stderr)
	assert.Regexp(t, `(?m)^resume with: zmqmatrix run --resume \S+ --out `+out+`$`, end.stderr)

	// Full as it was, it says the same again and loses nothing.
	before := attempts(t, out)
	assert.NotEmpty(t, before)
	end = run(command(t, root, nil, "run", "--out", out, "--resume", "last"))
	assert.Equal(t, exitHarness, end.status, "%s", end.stderr)
	assert.Contains(t, end.stderr, "no space left on device")

	require.NoError(t, syscall.Mount("tmpfs", out, "tmpfs", syscall.MS_REMOUNT, "size=16m"))
	end = run(command(t, root, nil, "run", "--out", out, "--resume", "last"))
	assert.Equal(t, exitOK, end.status, "%s", end.stderr)
	after := attempts(t, out)
	assert.Greater(t, len(after), len(before))
	assert.Equal(t, before, after[:len(before)])
}

// TestAReadOnlyDisk makes a real file system read-only between a run and its
// resumption, as a kernel does with a disk that fails, which takes root.
func TestAReadOnlyDisk(t *testing.T) {
	root := t.TempDir()
	checkout(t, root)
	out := filepath.Join(root, "out")
	require.NoError(t, os.Mkdir(out, 0o755))
	if err := syscall.Mount("tmpfs", out, "tmpfs", 0, ""); err != nil {
		t.Skipf("mounting a file system of its own takes root: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(out, 0)) }()
	stopped := startRun(t, root, []string{"FAKE_SLOW=20ms"}, "--out", out)
	awaitEvents(t, stopped, "attempt", 5)
	require.NoError(t, stopped.cmd.Process.Signal(os.Interrupt))
	_, status := stopped.end(t)
	require.Equal(t, exitHarness, status, "%s", stopped.stderr.String())
	before := filesIn(t, out)
	recorded := attempts(t, out)
	require.NotEmpty(t, recorded)

	require.NoError(t, syscall.Mount("tmpfs", out, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for _, args := range [][]string{{"--resume", "last"}, {"--fresh"}} {
		end := run(command(t, root, nil, append([]string{"run", "--out", out}, args...)...))
		assert.Equal(t, exitHarness, end.status, "%s", end.stderr)
		assert.Contains(t, end.stderr, "read-only file system")
		assert.Contains(t, end.stderr, out)
	}
	assert.Equal(t, before, filesIn(t, out))

	require.NoError(t, syscall.Mount("tmpfs", out, "tmpfs", syscall.MS_REMOUNT, ""))
	end := run(command(t, root, nil, "run", "--out", out, "--resume", "last"))
	assert.Equal(t, exitOK, end.status, "%s", end.stderr)
	after := attempts(t, out)
	assert.Greater(t, len(after), len(recorded))
	assert.Equal(t, recorded, after[:len(recorded)])
}

// attempts are the recorded attempts of the one run in an out directory.
func attempts(t *testing.T, out string) (recorded []time.Time) {
	records, err := filepath.Glob(filepath.Join(out, "runs", "*", measure.RecordName))
	require.NoError(t, err)
	require.Len(t, records, 1)
	for line, err := range results.ReadRecord(records[0]) {
		require.NoError(t, err)
		if line.Type == matrix.LineAttempt {
			recorded = append(recorded, line.Attempt.Started)
		}
	}
	return recorded
}

// filesIn digests every file of a tree but those below the folders left out.
func filesIn(t *testing.T, root string, leftOut ...string) map[string]string {
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if slices.Contains(leftOut, relative) {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() {
			var content []byte
			content, err = os.ReadFile(path)
			found[relative] = string(content)
		}
		return err
	}))
	return found
}

// keepsACoreFile replays a probe that crashes. Where core files go is for the
// machine's kernel to say.
func keepsACoreFile(t *testing.T, runtime, cache string) {
	root := shellModule(t, map[string]string{"targets/shell/probe": strings.Replace(shellProbe, "sleep 0.3;", "kill -SEGV $$;", 1)})
	end := run(realCommand(t, root, cache, nil, "replay", "shell/slow/callback/same-thread", "--runtime", runtime, "--core", "a folder/cores"))
	require.Zero(t, end.status, "%s", end.stderr)
	require.Contains(t, end.stdout, "\ncore file\n")
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	require.NoError(t, err)
	if strings.ContainsAny(string(pattern), "|/") {
		assert.Contains(t, end.stdout, "core_pattern is ")
		return
	}
	// The first attempt, and the one under trace that shows why it crashed.
	for _, name := range []string{"core.1", "core.2"} {
		path := filepath.Join("a folder", "cores", name)
		assert.Contains(t, end.stdout, path+", for a debugger")
		file, err := elf.Open(filepath.Join(root, path))
		require.NoError(t, err)
		assert.Equal(t, elf.ET_CORE, file.Type)
		assert.NoError(t, file.Close())
	}
}

func TestReplayKeepsACoreFile(t *testing.T) { keepsACoreFile(t, "local", t.TempDir()) }

// aDroppedFolder drops a folder with a new implementation into a registry that
// has the control alone, and runs it through the whole chain. The implementation
// is C under another name, so that it has something to pass.
func aDroppedFolder(t *testing.T, runtime, cache string) {
	root := shellModule(t, nil)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "targets", "shell")))
	require.NoError(t, os.CopyFS(filepath.Join(root, "targets", "c"), os.DirFS(filepath.Join("..", "targets", "c"))))
	command := func(args ...string) ended { return run(realCommand(t, root, cache, nil, args...)) }
	assert.Equal(t, exitUsage, command("list", "--target", "dropped").status)

	before := filesIn(t, root, "results")
	folder := filepath.Join("targets", "dropped")
	require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("..", "targets", "c"))))
	for _, name := range []string{"target.yaml", "Dockerfile"} {
		content, err := os.ReadFile(filepath.Join(root, folder, name))
		require.NoError(t, err)
		write(t, root, filepath.Join(folder, name), strings.NewReplacer(
			"name: c\n", "name: dropped\n", "title: C with GCC", "title: Dropped", "role: positive-control\n", "", "targets/c/", "targets/dropped/",
		).Replace(string(content)))
	}

	assert.Contains(t, command("list").stdout, "dropped@bookworm")
	end := command("run", "--runtime", runtime, "--feature", "callback/same-thread,messaging/push-pull")
	require.Equal(t, exitOK, end.status, "%s", end.stderr)
	assert.Contains(t, end.stdout, "dropped@bookworm")
	runs := measure.Runs(filepath.Join(root, "results", "runs"))
	last, err := findRun(runs, "last")
	require.NoError(t, err)
	published, err := results.ReadPublished(runs.File(last, publishedName))
	require.NoError(t, err)
	outcomes := map[string]matrix.Outcome{}
	for _, cell := range published.Cells {
		outcomes[cell.Target+" "+cell.Feature] = cell.Outcome
	}
	assert.Equal(t, map[string]matrix.Outcome{
		"c@bookworm callback/same-thread": matrix.Pass, "c@bookworm messaging/push-pull": matrix.Pass,
		"dropped@bookworm callback/same-thread": matrix.Pass, "dropped@bookworm messaging/push-pull": matrix.Pass,
	}, outcomes)
	for _, shown := range []ended{
		command("show"), command("explain", "dropped@bookworm/libzmq/messaging/push-pull"),
		command("replay", "dropped/libzmq/callback/same-thread", "--runtime", runtime),
	} {
		assert.Equal(t, exitOK, shown.status, "%s", shown.stderr)
		assert.Contains(t, shown.stdout, "dropped@bookworm")
	}
	assert.Equal(t, before, filesIn(t, root, "results", folder), "nothing but the folder was added")
}

// A new implementation is a new folder, and no other change.
func TestATargetIsAFolderDroppedIntoTheRegistry(t *testing.T) {
	aDroppedFolder(t, "local", t.TempDir())
}
