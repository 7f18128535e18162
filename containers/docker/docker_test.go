package docker

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestLeftover_is_what_a_dead_process_of_this_machine_or_a_long_gone_one_of_another_owns(t *testing.T) {
	here := owner{Host: "here", PID: 1, Start: "10", Space: "boot/1"}
	// Process 7 lives since tick 70; no other does.
	start := func(pid int) (string, bool) { return "70", pid == 7 }
	foreign := owner{Host: "here", PID: 8, Start: "70", Space: "another boot/1"}
	for _, row := range []struct {
		name   string
		labels map[string]string
		age    time.Duration
		want   bool
	}{
		{"a live owner's", owner{Host: "here", PID: 7, Start: "70", Space: "boot/1"}.labels(), 100 * time.Hour, false},
		{"a dead owner's", owner{Host: "here", PID: 8, Start: "70", Space: "boot/1"}.labels(), 0, true},
		{"an owner's whose process id another has now", owner{Host: "here", PID: 7, Start: "69", Space: "boot/1"}.labels(), 0, true},
		{"a young one of another machine, though it has this one's name", foreign.labels(), 23 * time.Hour, false},
		{"an old one of another machine", foreign.labels(), 25 * time.Hour, true},
		{"a young one with a garbled owner", map[string]string{images.LabelOurs: "1", labelSpace: "boot/1", labelOwner: "x"}, time.Hour, false},
		{"what is not ours", map[string]string{"other": "1"}, 1000 * time.Hour, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, here.leftover(row.labels, row.age, start))
		})
	}
}

func TestStartTime_tells_this_process_from_one_that_is_gone(t *testing.T) {
	me := self()
	require.NotEmpty(t, me.Start)
	assert.False(t, me.leftover(me.labels(), time.Hour, startTime))
	_, alive := startTime(1 << 30)
	assert.False(t, alive)
}

func TestExplain_names_what_is_wrong_and_the_command_that_mends_it(t *testing.T) {
	cause := errors.New("the library's words")
	for _, row := range []struct {
		name string
		seen signs
		want []string
	}{
		{"not installed", signs{socketErr: syscall.ENOENT}, []string{"no docker engine is installed", "apt-get install docker.io"}},
		{"installed and never started", signs{socketErr: syscall.ENOENT, installed: true}, []string{"not running", "systemctl start docker"}},
		{"stopped", signs{socketErr: syscall.ECONNREFUSED, installed: true}, []string{"not running", "connection refused", "systemctl start docker"}},
		{"not allowed", signs{socketErr: syscall.EACCES, installed: true, user: "ada"}, []string{"may not use it", "permission denied", "usermod -aG docker ada"}},
		{"elsewhere", signs{host: "tcp://far:2375"}, []string{"DOCKER_HOST=tcp://far:2375", "the library's words", "unset DOCKER_HOST"}},
		{"strange", signs{installed: true}, []string{"the library's words", "docker version"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.seen.explain(cause)
			for _, part := range row.want {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

func TestClientContainer_gets_nothing_that_it_does_not_need(t *testing.T) {
	image := images.Image{Tag: "zmqmatrix/x:1", ID: "sha256:1"}
	plan, err := clientContainer(image, matrix.Target{Limits: matrix.Limits{MemoryMiB: 1024, Processes: 5000}})
	require.NoError(t, err)
	request := plan.request("net")
	var config container.Config
	var host container.HostConfig
	request.ConfigModifier(&config)
	request.HostConfigModifier(&host)
	assert.Equal(t, []string{"/warden"}, request.Entrypoint)
	assert.Equal(t, "65534:65534", config.User)
	assert.True(t, config.OpenStdin && config.StdinOnce, "else it outlives a killed run")
	assert.True(t, host.AutoRemove && host.ReadonlyRootfs)
	assert.Equal(t, []string{"ALL"}, host.CapDrop)
	assert.Equal(t, []string{"no-new-privileges:true"}, host.SecurityOpt)
	assert.EqualValues(t, (1024+headroom)<<20, host.Memory)
	assert.Equal(t, host.Memory, host.MemorySwap)
	assert.EqualValues(t, 10000, *host.PidsLimit)
	assert.Equal(t, "none", host.LogConfig.Type)
	assert.EqualValues(t, "net", host.NetworkMode)
	assert.Empty(t, request.NetworkAliases)
}

func TestEndpointContainer_is_found_by_the_name_that_it_advertises(t *testing.T) {
	plan := endpointContainer(images.Image{Tag: "zmqmatrix/endpoint:1"})
	assert.Equal(t, []string{"--bind", "0.0.0.0", "--advertise", "endpoint"}, plan.arguments)
	assert.Equal(t, map[string][]string{"net": {"endpoint"}}, plan.request("net").NetworkAliases)
}

func TestIntermediates_are_the_steps_whose_containers_were_not_removed(t *testing.T) {
	steps := &intermediates{output: io.Discard, left: map[string]bool{}}
	for _, line := range []string{
		"Step 1/2 : RUN a\n", " ---> Running in 0123456789ab\n", "Removing intermediate container 0123456789ab\n", " ---> 77\n",
		"Step 2/2 : RUN b\n", " ---> Running in ba9876543210\n", "output\n",
	} {
		fmt.Fprint(steps, line)
	}
	assert.Equal(t, map[string]bool{"ba9876543210": true}, steps.left)
}

func TestLocal_is_an_engine_behind_a_socket_of_this_machine(t *testing.T) {
	assert.True(t, local("unix:///var/run/docker.sock"))
	assert.False(t, local("tcp://127.0.0.1:2375"))
	assert.False(t, local("ssh://user@far"))
}

func TestCopying_packs_what_a_job_reads_and_unpacks_what_it_wrote(t *testing.T) {
	input := t.TempDir()
	for _, file := range []string{"wanted/deep/a", "wanted/b", "unwanted"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(input, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(input, file), []byte(file), 0o755))
	}
	output := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(output, "stays here"), nil, 0o644))
	var packed bytes.Buffer
	require.NoError(t, copying{trees: []images.Tree{
		{Host: input, Inside: "/zm/in", Files: []string{"wanted"}},
		{Host: output, Inside: "/zm/out", Use: images.Output},
	}}.pack(&packed))
	target := t.TempDir()
	require.NoError(t, unpack(target, &packed))
	content, err := os.ReadFile(filepath.Join(target, "zm/in/wanted/deep/a"))
	require.NoError(t, err)
	assert.Equal(t, "wanted/deep/a", string(content))
	info, err := os.Stat(filepath.Join(target, "zm/in/wanted/b"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o755, info.Mode().Perm())
	assert.NoFileExists(t, filepath.Join(target, "zm/in/unwanted"))
	assert.DirExists(t, filepath.Join(target, "zm/out"), "a job expects the folder that it writes")
	assert.NoFileExists(t, filepath.Join(target, "zm/out/stays here"))
}

func TestUnpack_writes_nowhere_else(t *testing.T) {
	for name, header := range map[string]tar.Header{
		"a path that leads out": {Typeflag: tar.TypeReg, Name: "../out", Mode: 0o644},
		"a link":                {Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc"},
	} {
		t.Run(name, func(t *testing.T) {
			var archive bytes.Buffer
			writer := tar.NewWriter(&archive)
			require.NoError(t, writer.WriteHeader(&header))
			require.NoError(t, writer.Close())
			folder := filepath.Join(t.TempDir(), "in")
			require.NoError(t, os.Mkdir(folder, 0o755))
			assert.Error(t, unpack(folder, &archive))
			assert.NoFileExists(t, filepath.Join(folder, "../out"))
		})
	}
}

func TestLastBytes_keeps_the_end(t *testing.T) {
	kept := &lastBytes{limit: 10}
	for range 100 {
		fmt.Fprint(kept, "0123456789abc")
	}
	assert.Equal(t, "3456789abc", kept.String())
	assert.Len(t, strings.TrimSpace(kept.String()), 10)
}

func TestNew_refuses_a_run_id_that_no_network_could_have(t *testing.T) {
	_, err := New(t.Context(), Options{RunID: "a b"})
	assert.ErrorContains(t, err, `run id "a b"`)
}
