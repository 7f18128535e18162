// Package python has the tests of the CPython client.
package python

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// target reads the description, so that the tests start the probe as a run does.
func target(t *testing.T) matrix.Target {
	t.Helper()
	all, err := targets.Load("../..")
	require.NoError(t, err)
	for _, one := range all {
		if one.Name == "python" {
			return one
		}
	}
	t.Fatal("there is no target python")
	return matrix.Target{}
}

// installed builds the client. It skips where something that it needs is
// missing, but never in CI, where that would hide the loss of these tests.
func installed(t *testing.T) (matrix.Target, string) {
	t.Helper()
	client := target(t)
	for _, requirement := range client.Local.Requires {
		if _, err := targets.Locate(requirement); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: apt-get install %s", requirement, strings.Join(client.Local.Packages, " "))
			}
			t.Skipf("%s is missing", requirement)
		}
	}
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "sh", "targets/python/build.sh", folder)
	build.Dir = "../.."
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return client, folder
}

func TestTheProbesUnits(t *testing.T) {
	_, folder := installed(t)
	tests := exec.CommandContext(t.Context(), "/usr/bin/python3", "-B", "-W", "error", "-m", "unittest", "discover", "tests")
	tests.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(folder, "probe"))
	output, err := tests.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.NotContains(t, string(output), "Ran 0 tests")
	assert.NotContains(t, string(output), "skipped")
}

// reportOf runs the probe and reads what it printed, each line of which must
// fit the contract.
func reportOf(t *testing.T, binding matrix.Binding, folder string, environment ...string) matrix.Report {
	t.Helper()
	var arguments []string
	for _, argument := range binding.Command {
		arguments = append(arguments, strings.ReplaceAll(argument, "{dir}", folder))
	}
	command := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
	command.Env = environment
	output, err := command.Output()
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSuffix(string(output), "\n"), "\n") {
		require.NoError(t, schema.CheckLine(schema.ProbeReport, "report", i+1, []byte(line)))
	}
	read := matrix.ParseReport(output, 0)
	require.Empty(t, read.Violation)
	require.Equal(t, binding.Name, read.Hello.Binding)
	return read
}

func environmentOf(wanted matrix.Feature, technique string) []string {
	environment := []string{"ZM_PROTOCOL=1", "ZM_FEATURE=" + wanted.Name, "ZM_TECHNIQUE=" + technique, "ZM_SEED=4711"}
	for key, value := range wanted.Params {
		environment = append(environment, fmt.Sprintf("ZM_PARAM_%s=%s", strings.ReplaceAll(strings.ToUpper(key), "-", "_"), value))
	}
	return environment
}

func TestTheClients(t *testing.T) {
	client, folder := installed(t)
	for _, binding := range client.Bindings {
		t.Run(binding.Name, func(t *testing.T) {
			t.Run("says of an unknown feature that it does not know it", func(t *testing.T) {
				read := reportOf(t, binding, folder, "ZM_PROTOCOL=1", `ZM_FEATURE=no/"ä€😀`, "ZM_TECHNIQUE=plain")
				assert.Equal(t, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: `unknown feature no/"ä€😀`}, read.Closing)
			})
			for _, wanted := range feature.All() {
				t.Run(wanted.Name, func(t *testing.T) {
					read := reportOf(t, binding, folder, environmentOf(wanted, "plain")...)
					switch {
					case read.Closing.Type == matrix.ClosingUnsupported:
						assert.False(t, binding.Raw, "the raw layer has every feature")
						assert.Contains(t, read.Closing.Reason, "pyzmq", "the reason names what is missing")
					case len(wanted.Lane) > 0:
						// There is no endpoint here: it must get as far as asking for one.
						assert.Equal(t, matrix.ClosingFailed, read.Closing.Type)
						assert.Contains(t, read.Closing.Reason, "the lane has no socket")
					default:
						require.Equal(t, matrix.ClosingDone, read.Closing.Type, read.Closing.Reason)
						finding := wanted.Judge(matrix.Evidence{
							Seed:    4711,
							Params:  wanted.Params,
							Report:  read,
							Account: matrix.Account{Ending: matrix.Exited, PeakRSS: 1, BaselineRSS: 1},
						})
						assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
					}
				})
			}
		})
	}
}
