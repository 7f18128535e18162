//go:build integration

package docker

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// BenchmarkAttempt_against_run_and_exec is what an attempt costs beyond the
// probe: the same tiny static program by the warden of a warm container, by
// docker exec in one, and by docker run --rm. They take turns, so that another
// load of the machine falls on all; medians in ms.
//
// "bare" is the floor, the program started and waited for on this host by this
// process, and ms-on-top the median of how much longer the attempt beside it
// took: what the warden, the streams and the container's namespaces cost,
// together. They take turns by themselves, since the engine is busy for a while
// after a run.
func BenchmarkAttempt_against_run_and_exec(b *testing.B) {
	root := write(b, map[string]string{
		"targets/tiny/Dockerfile": `ARG BASE
FROM ${BASE}
COPY targets/tiny/nothing /opt/zmqmatrix/nothing
COPY bin/warden /warden
`,
		"nothing/main.go": "package main\n\nfunc main() {}\n",
		"nothing/go.mod":  "module nothing\n",
	})
	program := filepath.Join(root, "targets/tiny/nothing")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(root, "nothing")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	said, err := build.CombinedOutput()
	require.NoError(b, err, "%s", said)
	runtime, _ := newRuntime(b, root)
	at, err := runtime.Prepare(b.Context(), tiny, variant(), matrix.Binding{Name: "none"})
	require.NoError(b, err)
	defer at.Close(context.Background())
	require.NoError(b, at.Start(b.Context()))
	here := at.(*place)

	task := matrix.Task{Command: []string{at.Expand("{dir}/nothing")}, Bounds: matrix.Bounds{Wall: time.Minute, Output: 1 << 10, Processes: 64}}
	command := func(arguments ...string) func() {
		return func() {
			said, err := exec.CommandContext(b.Context(), "docker", arguments...).CombinedOutput()
			require.NoError(b, err, "%s", said)
		}
	}
	type way struct {
		name string
		once func()
	}
	bare := way{"bare", func() {
		require.NoError(b, exec.CommandContext(b.Context(), program).Run())
	}}
	attempt := way{"attempt", func() {
		account, err := at.Run(b.Context(), task)
		require.NoError(b, err)
		require.Zero(b, account.Code)
	}}
	byExec := way{"exec", command("exec", here.container.id, task.Command[0])}
	byRun := way{"run", command("run", "--rm", "--network", "none", "--entrypoint", task.Command[0], here.image.ID)}
	turns := func(rounds int, ways []way) map[string][]time.Duration {
		times := map[string][]time.Duration{}
		for range rounds {
			for _, way := range ways {
				started := time.Now()
				way.once()
				times[way.name] = append(times[way.name], time.Since(started))
			}
		}
		return times
	}
	medians := map[string]float64{}
	for b.Loop() {
		times := turns(200, []way{bare, attempt})
		for round, took := range times["attempt"] {
			times["ms-on-top"] = append(times["ms-on-top"], took-times["bare"][round])
		}
		for name, measured := range turns(15, []way{attempt, byExec, byRun}) {
			times[name] = measured
		}
		for name, measured := range times {
			slices.Sort(measured)
			medians[name] = float64(measured[len(measured)/2].Microseconds()) / 1000
		}
	}
	for _, way := range []way{bare, attempt, byExec, byRun} {
		b.ReportMetric(medians[way.name], way.name+"-ms")
	}
	b.ReportMetric(medians["ms-on-top"], "ms-on-top")
	b.ReportMetric(medians["exec"]/medians["attempt"], "exec/attempt")
	b.ReportMetric(medians["run"]/medians["attempt"], "run/attempt")
	b.ReportMetric(0, "ns/op") // the loop's own time means nothing
}
