//go:build integration

package ci

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// dockerCache is the user's own, so that the endpoint and the builds' caches
// are found where other runs have left them.
func dockerCache(t *testing.T) string {
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	return cache
}

func dockerAPI(t *testing.T) *client.Client {
	api, err := client.New(client.FromEnv)
	require.NoError(t, err)
	t.Cleanup(func() { api.Close() })
	return api
}

// removeImages takes away what the test's target was built into; no other run
// has a use for it.
func removeImages(t *testing.T, target string) {
	api := dockerAPI(t)
	t.Cleanup(func() {
		images, err := api.ImageList(context.Background(), client.ImageListOptions{Filters: client.Filters{}.Add("reference", "zmqmatrix/"+target)})
		require.NoError(t, err)
		for _, image := range images.Items {
			_, err := api.ImageRemove(context.Background(), image.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
			assert.NoError(t, err)
		}
	})
}

// labelledWith are the containers and networks of a run, those with their state and owner.
func labelledWith(t *testing.T, api *client.Client, run string) (found []string) {
	filter := client.Filters{}.Add("label", "zmqmatrix.run="+run)
	containers, err := api.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filter})
	require.NoError(t, err)
	for _, item := range containers.Items {
		found = append(found, fmt.Sprintf("%s container %s %s %s", item.State, item.ID, item.Command, item.Labels["zmqmatrix.owner"]))
	}
	networks, err := api.NetworkList(context.Background(), client.NetworkListOptions{Filters: filter})
	require.NoError(t, err)
	for _, item := range networks.Items {
		found = append(found, "network "+item.Name)
	}
	return found
}

// running are the containers whose command has the text; a build's have no
// label.
func running(t *testing.T, api *client.Client, text string) (found []string) {
	containers, err := api.ContainerList(context.Background(), client.ContainerListOptions{All: true})
	require.NoError(t, err)
	for _, item := range containers.Items {
		if strings.Contains(item.Command, text) {
			found = append(found, item.ID)
		}
	}
	return found
}

func TestABindingFromElsewhereInAContainer(t *testing.T) {
	removeImages(t, "shell")
	bindingFromElsewhere(t, "docker", dockerCache(t))
}

func TestATargetIsAFolderInAContainerToo(t *testing.T) {
	removeImages(t, "dropped")
	aDroppedFolder(t, "docker", dockerCache(t))
}

func TestReplayKeepsACoreFileOfAContainer(t *testing.T) {
	removeImages(t, "shell")
	keepsACoreFile(t, "docker", dockerCache(t))
}

// TestInterruptLeavesNothingOnTheEngine is Ctrl-C with a real engine.
func TestInterruptLeavesNothingOnTheEngine(t *testing.T) {
	t.Parallel()
	removeImages(t, "shell")
	// No other container's command is like this one.
	const step = "sleep 601.25"
	building := strings.Replace(shellDockerfile, "FROM ${BASE}\n", "FROM ${BASE}\nRUN "+step+"\n", 1)
	for _, moment := range []struct {
		name, dockerfile string
		event            string
		count            int
	}{
		{"while_an_image_is_built", building, "preparing", 1},
		{"when_clients_are_prepared", shellDockerfile, "preparing", 2},
		{"in_an_attempt", shellDockerfile, "attempting", 3},
	} {
		t.Run(moment.name, func(t *testing.T) {
			api := dockerAPI(t)
			root := shellModule(t, map[string]string{"targets/shell/Dockerfile": moment.dockerfile})
			run := startCommand(t, realCommand(t, root, dockerCache(t), nil, "run", "--json", "--runtime", "docker", "--binding", "slow,honest", "--feature", "callback"))
			started, more := run.next(t)
			require.True(t, more, "%s", run.stderr.String())
			require.Equal(t, "started", started.Event)
			awaitEvents(t, run, moment.event, moment.count)
			awaitRecord(t, root)
			if moment.dockerfile == building {
				require.Eventually(t, func() bool { return len(running(t, api, step)) > 0 }, 2*time.Minute, 50*time.Millisecond)
			}
			stopped := time.Now()
			require.NoError(t, run.cmd.Process.Signal(syscall.SIGINT))
			last, status := run.end(t)
			t.Logf("stopped in %v", time.Since(stopped))
			assert.Equal(t, exitHarness, status, "%s", run.stderr.String())
			assert.Equal(t, "finished", last.Event)
			assert.Nil(t, last.Footer)
			assert.Contains(t, run.stderr.String(), "interrupted with ")
			assert.Contains(t, run.stderr.String(), "resume with: zmqmatrix run --resume "+started.Run+"\n")
			assert.Empty(t, labelledWith(t, api, started.Run))
			// The step's container is removed by name where its name was
			// known already, and otherwise by the engine, a little later.
			assert.Eventually(t, func() bool { return len(running(t, api, step)) == 0 }, 30*time.Second, 50*time.Millisecond)

			write(t, root, "targets/shell/Dockerfile", shellDockerfile)
			resumed := startCommand(t, realCommand(t, root, dockerCache(t), nil, "run", "--json", "--resume", started.Run))
			last, status = resumed.end(t)
			assert.Zero(t, status, "%s", resumed.stderr.String())
			require.NotNil(t, last.Footer)
			assert.Positive(t, last.Footer.Counts[matrix.Fail])
			assert.Equal(t, last.Footer.Counts[matrix.Fail], last.Footer.Counts[matrix.Unsupported])
			assert.Len(t, last.Footer.Counts, 2)
			assert.Empty(t, labelledWith(t, api, started.Run))
		})
	}
}

// Images that can't be made: what a person is told, and with what status. One run
// has them all, as a run goes on with what else it can measure.
func TestAnImageThatCanNotBeMade(t *testing.T) {
	const from = "ARG BASE\nFROM ${BASE}\n"
	rows := []struct {
		name, dockerfile, suite string
		want                    []string
	}{
		// Fewer lines than are shown: the engine mixes a step's two streams as
		// they come.
		{"later-step-fails", from + "RUN echo fine\nRUN seq 170 199; echo the reason >&2; exit 7\n", "bookworm", []string{
			"image of later-step-fails@only", "targets/later-step-fails/Dockerfile failed at RUN seq 170 199", "\n  the reason\n", "\n  199\n", "returned a non-zero code: 7",
		}},
		{"first-step-fails", from + "RUN echo the first reason >&2; exit 8\n", "bookworm", []string{
			"image of first-step-fails@only", "targets/first-step-fails/Dockerfile failed at RUN echo the first reason", "returned a non-zero code: 8",
		}},
		{"line-is-no-instruction", from + "RUM true\n", "bookworm", []string{
			"image of line-is-no-instruction@only", "targets/line-is-no-instruction/Dockerfile", "unknown instruction: RUM",
		}},
		{"base-cannot-be-had", shellDockerfile, "nosuchsuite", []string{
			"base image of Debian nosuchsuite: mmdebstrap: ended early: exit status", "\n  The archive does not have this suite",
		}},
		// The target says that the suite has it: our mistake, and no word about the client.
		{"package-is-missing", from + "RUN apt-get update && apt-get install -y no-such-lisp\n", "bookworm", []string{
			"the suite has no package of a name that the Dockerfile or target.yaml gives", "image of package-is-missing@only", "targets/package-is-missing/Dockerfile", "Unable to locate package no-such-lisp",
		}},
		// The archive is not there: that says nothing about its packages.
		{"archive-cannot-be-reached", from + "RUN echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list && rm -rf /etc/apt/sources.list.d /var/lib/apt/lists/* && apt-get update && apt-get install -y no-such-lisp\n", "bookworm", []string{
			"the Debian archive could not be read", "image of archive-cannot-be-reached@only", "targets/archive-cannot-be-reached/Dockerfile", "Failed to fetch",
		}},
	}
	root := shellModule(t, nil)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "targets", "shell")))
	for _, row := range rows {
		write(t, root, "targets/"+row.name+"/target.yaml", strings.NewReplacer("SUITE", row.suite, "name: shell\n", "name: "+row.name+"\n").Replace(shellTarget))
		write(t, root, "targets/"+row.name+"/build.sh", shellBuild)
		write(t, root, "targets/"+row.name+"/Dockerfile", row.dockerfile)
	}
	end := run(realCommand(t, root, dockerCache(t), nil, "run", "--runtime", "docker", "--binding", "honest", "--feature", "callback/same-thread"))
	assert.Equal(t, exitHarness, end.status, "%s", end.stderr)
	assert.Contains(t, end.stderr, "the harness failed in 6 cells")
	assert.NotContains(t, end.stderr, `\n`, "lines are lines")
	verdicts := verdictsOf(t, filepath.Join(root, "results"))
	assert.Len(t, verdicts, len(rows))
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, text := range row.want {
				assert.Contains(t, end.stderr, text)
			}
			assert.Equal(t, matrix.Error, verdicts[matrix.Cell{Target: row.name + "@only", Binding: "honest", Feature: "callback/same-thread", Technique: "plain"}])
		})
	}
	runs, err := filepath.Glob(filepath.Join(root, "results", "runs", "*"))
	require.NoError(t, err)
	require.Len(t, runs, 1)
	assert.Empty(t, labelledWith(t, dockerAPI(t), filepath.Base(runs[0])))
}
