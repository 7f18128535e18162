//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	catalogue "github.com/zmqmatrix/zmqmatrix/matrix/feature"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// asProbe names the binding for which the test's own binary is to be the probe:
// each attempt needs a process of its own.
const asProbe = "ZMQMATRIX_TEST_PROBE"

func TestMain(m *testing.M) {
	if name := os.Getenv(asProbe); name != "" {
		os.Args = []string{"probe", name}
		main()
		return
	}
	os.Exit(m.Run())
}

// reportOf runs the probe and reads what it printed, each line of which must
// fit the contract.
func reportOf(t *testing.T, binding string, environment ...string) matrix.Report {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(slices.Clone(environment), asProbe+"="+binding)
	output, err := command.Output()
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSuffix(string(output), "\n"), "\n") {
		require.NoError(t, schema.CheckLine(schema.ProbeReport, "report", i+1, []byte(line)))
	}
	read := matrix.ParseReport(output, 0)
	require.Empty(t, read.Violation)
	require.Equal(t, binding, read.Hello.Binding)
	return read
}

func environmentOf(wanted matrix.Feature, technique string) []string {
	environment := []string{"ZM_PROTOCOL=1", "ZM_FEATURE=" + wanted.Name, "ZM_TECHNIQUE=" + technique, "ZM_SEED=4711"}
	for key, value := range wanted.Params {
		environment = append(environment, fmt.Sprintf("ZM_PARAM_%s=%s", strings.ReplaceAll(strings.ToUpper(key), "-", "_"), value))
	}
	return environment
}

func TestEveryBindingKnowsEveryFeatureOfTheCatalogueAndNoOther(t *testing.T) {
	var names []string
	for _, wanted := range catalogue.All() {
		names = append(names, wanted.Name)
	}
	for _, each := range []binding{cgoBinding(), pebbeBinding(), goZeromqBinding()} {
		var known []string
		for name, does := range each.features {
			known = append(known, name)
			assert.NotEqual(t, does.run == nil, does.missing == "", "%s of %s either runs or says what is missing", name, each.name)
		}
		assert.ElementsMatch(t, names, known, each.name)
	}
}

func TestRawFeaturesWithoutALanePass(t *testing.T) {
	for _, wanted := range catalogue.All() {
		if len(wanted.Lane) > 0 {
			continue
		}
		t.Run(wanted.Name, func(t *testing.T) {
			read := reportOf(t, "cgo", environmentOf(wanted, "plain")...)
			require.Equal(t, matrix.ClosingDone, read.Closing.Type, read.Closing.Reason)
			finding := wanted.Judge(matrix.Evidence{
				Seed:    4711,
				Params:  wanted.Params,
				Report:  read,
				Account: matrix.Account{Ending: matrix.Exited, PeakRSS: 1, BaselineRSS: 1},
			})
			assert.Equal(t, matrix.Pass, finding.Outcome, finding.Reason)
		})
	}
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	for name, test := range map[string]struct {
		binding     string
		environment []string
		want        matrix.Closing
	}{
		"another protocol":     {"cgo", []string{"ZM_PROTOCOL=2"}, matrix.Closing{Type: matrix.ClosingFailed, Reason: "protocol 2 is not spoken here"}},
		"an unknown feature":   {"pebbe", []string{"ZM_PROTOCOL=1", "ZM_FEATURE=no/such"}, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "unknown feature no/such"}},
		"an unknown technique": {"go-zeromq", []string{"ZM_PROTOCOL=1", "ZM_FEATURE=messaging/req-rep", "ZM_TECHNIQUE=magic"}, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "unknown technique magic"}},
		"a missing ability":    {"pebbe", []string{"ZM_PROTOCOL=1", "ZM_FEATURE=zero-copy/wire", "ZM_TECHNIQUE=plain"}, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: pebbeNoInitData}},
		"a missing seed":       {"cgo", []string{"ZM_PROTOCOL=1", "ZM_FEATURE=callback/same-thread", "ZM_TECHNIQUE=plain"}, matrix.Closing{Type: matrix.ClosingFailed, Reason: `read ZM_SEED: strconv.ParseUint: parsing "": invalid syntax`}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, reportOf(t, test.binding, test.environment...).Closing)
		})
	}
}

func TestAQuotedTextIsASCIIAndReadsBack(t *testing.T) {
	for _, text := range []string{"", "plain", "quote \" and \\", "line\nend\x00\x7f", "ä€😀"} {
		line := quoted(text)
		for _, octet := range []byte(line) {
			assert.True(t, octet >= ' ' && octet <= '~', "%q", line)
		}
		var back string
		require.NoError(t, json.Unmarshal([]byte(line), &back))
		assert.Equal(t, text, back)
	}
}

func TestPayloadOctetIsThePayloads(t *testing.T) {
	body := matrix.Payload(9, 3, 9000)
	for _, place := range []int{0, 1, 4092, 4093, 8999} {
		assert.Equal(t, body[place], payloadOctet(9, 3, place))
	}
	assert.True(t, bytes.Equal(body[:4093], body[4093:8186]))
}
