// Package check has the tests of the C side: fixture, witness and the C client.
// It is a folder of its own, as Go allows no C files beside Go ones without cgo.
package check

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
)

// needCompiler skips where there is no compiler, but never in CI, where that
// would hide the loss of these tests.
func needCompiler(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("gcc is missing")
		}
		t.Skip("gcc is missing")
	}
}

func TestFixtureAndWitnessKeepTheirClaims(t *testing.T) {
	needCompiler(t)
	output, err := exec.CommandContext(t.Context(), "sh", "../test.sh").CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.NotContains(t, string(output), "FAIL")
}

// Compilers of later suites may warn of more: they end no build.
func TestSourcesAreCompiledWithoutAWarning(t *testing.T) {
	needCompiler(t)
	folder := t.TempDir()
	for _, script := range []string{"c/build.sh", "controls/build.sh", "lisp/build-lock.sh"} {
		command := exec.CommandContext(t.Context(), "sh", filepath.Join("targets", script), folder)
		command.Dir = filepath.Join("..", "..", "..")
		command.Env = append(os.Environ(), "CC=gcc -Werror")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", script, output)
	}
}

func TestLoadsCountsWhatTheCompilerSaysOfTheHeader(t *testing.T) {
	needCompiler(t)
	const version = "void zmq_version (int *, int *, int *);\n"
	for name, test := range map[string]struct {
		header string
		want   []string
	}{
		"nothing": {version, []string{
			"LOADS_WARNINGS 0", `LOADS_FIRST_WARNING ""`, "LOADS_STYLE_WARNINGS 0", "LOADS_CONFLICTS 0", `LOADS_FIRST_CONFLICT ""`}},
		"a warning": {version + "/* one /* two */\n", []string{
			"LOADS_WARNINGS 1", `LOADS_FIRST_WARNING "zmq.h:2:8: warning: `, "LOADS_STYLE_WARNINGS 0", "LOADS_CONFLICTS 0"}},
		"a style warning": {version + "struct nothing { };\n", []string{
			"LOADS_WARNINGS 0", "LOADS_STYLE_WARNINGS 1", "LOADS_CONFLICTS 0"}},
		"a name that is taken": {version + "#define EOF \"end\"\n", []string{
			"LOADS_WARNINGS 0", "LOADS_STYLE_WARNINGS 0", "LOADS_CONFLICTS 1", `LOADS_FIRST_CONFLICT "zmq.h:2: warning: \"EOF\" redefined"`}},
		"a function that is another": {version + "float getpid (float);\n", []string{
			"LOADS_WARNINGS 0", "LOADS_CONFLICTS 1", "conflicting types for"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(folder, "zmq.h"), []byte(test.header), 0o600))
			output, err := exec.CommandContext(t.Context(), "sh", "../loads.sh", "-isystem", folder).CombinedOutput()
			require.NoError(t, err, "%s", output)
			for _, want := range test.want {
				assert.Contains(t, string(output), want)
			}
		})
	}
}

// report runs the probe and reads what it printed, each line of which must fit
// the contract.
func report(t *testing.T, probe string, environment ...string) matrix.Report {
	t.Helper()
	command := exec.CommandContext(t.Context(), probe)
	command.Env = environment
	output, err := command.Output()
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSuffix(string(output), "\n"), "\n") {
		require.NoError(t, schema.CheckLine(schema.ProbeReport, "report", i+1, []byte(line)))
	}
	read := matrix.ParseReport(output, 0)
	require.Empty(t, read.Violation)
	return read
}

func TestTheCClient(t *testing.T) {
	needCompiler(t)
	folder := t.TempDir()
	output, err := exec.CommandContext(t.Context(), "sh", "../build.sh", folder).CombinedOutput()
	require.NoError(t, err, "%s", output)
	probe := filepath.Join(folder, "probe")

	t.Run("refuses another protocol", func(t *testing.T) {
		read := report(t, probe, "ZM_PROTOCOL=2")
		assert.Equal(t, matrix.Closing{Type: matrix.ClosingFailed, Reason: "protocol 2 is not spoken here"}, read.Closing)
	})
	t.Run("says of an unknown feature that it does not know it", func(t *testing.T) {
		read := report(t, probe, "ZM_PROTOCOL=1", `ZM_FEATURE=no/"ä€😀`, "ZM_TECHNIQUE=plain")
		assert.Equal(t, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: `unknown feature no/"ä€😀`}, read.Closing)
	})
	t.Run("says of an unknown technique that it does not know it", func(t *testing.T) {
		read := report(t, probe, "ZM_PROTOCOL=1", "ZM_FEATURE=callback/same-thread", "ZM_TECHNIQUE=magic")
		assert.Equal(t, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "unknown technique magic"}, read.Closing)
	})
	t.Run("fails on a parameter that is no number", func(t *testing.T) {
		read := report(t, probe, "ZM_PROTOCOL=1", "ZM_FEATURE=callback/same-thread", "ZM_TECHNIQUE=plain", "ZM_PARAM_CALLS=-3")
		assert.Equal(t, matrix.ClosingFailed, read.Closing.Type)
	})
	for _, catalogued := range feature.All() {
		t.Run(catalogued.Name, func(t *testing.T) {
			environment := []string{"ZM_PROTOCOL=1", "ZM_FEATURE=" + catalogued.Name, "ZM_TECHNIQUE=plain", "ZM_SEED=4711"}
			for key, value := range catalogued.Params {
				environment = append(environment, fmt.Sprintf("ZM_PARAM_%s=%s", strings.ReplaceAll(strings.ToUpper(key), "-", "_"), value))
			}
			read := report(t, probe, environment...)
			if len(catalogued.Lane) > 0 {
				// There is no endpoint here: it must get as far as asking for one.
				assert.Equal(t, matrix.ClosingFailed, read.Closing.Type)
				assert.Contains(t, read.Closing.Reason, "the lane has no socket")
				return
			}
			require.Equal(t, matrix.ClosingDone, read.Closing.Type, read.Closing.Reason)
			finding := catalogued.Judge(matrix.Evidence{
				Seed:    4711,
				Params:  catalogued.Params,
				Report:  read,
				Account: matrix.Account{Ending: matrix.Exited, PeakRSS: 1, BaselineRSS: 1},
			})
			assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
		})
	}
}
