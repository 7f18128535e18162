package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

const helloForFuzz = `{"type":"hello","protocol":1,"implementation":"C","version":"1","binding":"libzmq","binding_version":"","libzmq":"4.3.4","threads":true,"pid":7,"seed":"1","collector":"none"}` + "\n"

// FuzzCheckLine: any bytes are taken or refused in harmless words, and what is
// taken can be read by those who read it for a living.
func FuzzCheckLine(f *testing.F) {
	for which, name := range lineContracts {
		for _, quality := range []string{"good", "bad"} {
			for _, line := range lines(f, fmt.Sprintf("testdata/%s.%s.jsonl", name, quality)) {
				f.Add(which, line)
			}
		}
	}
	f.Add(1, []byte(`{"type":"observe","key":"a","value":1e999999999,"unit":"count"}`))
	f.Add(1, []byte(`{"type":"observe","key":"a","value":1e-999999999,"unit":"count"}`))
	f.Add(1, []byte(`{"type":"observe","key":"a","value":1.0,"unit":"count"}`))
	f.Add(1, []byte(`{"type":"done"}{"type":"done"}`))
	f.Add(4, []byte(`{"id":1,"op":"close","lane":"1","Lane":"2"}`))
	f.Add(3, []byte(`{"id":3,"core":{"offset":4096,"data":"A8="}}`))
	f.Fuzz(func(t *testing.T, which int, line []byte) {
		name := lineContracts[((which%len(lineContracts))+len(lineContracts))%len(lineContracts)]
		if err := schema.CheckLine(name, "f", 1, line); err != nil {
			requireHarmless(t, err)
			return
		}
		switch name {
		case schema.ProbeReport:
			if bytes.ContainsRune(line, '\n') {
				return // a line that is two for the report's reader
			}
			report := matrix.ParseReport([]byte(helloForFuzz+string(line)+"\n"), 0)
			if !strings.Contains(report.Violation, "a second hello") {
				require.Empty(t, report.Violation)
			}
		case schema.EndpointRequest:
			// What only the endpoint can check, such as the same name twice,
			// is refused there; that the line can be read is the schema's.
			if _, err := endpoint.ParseRequest(line); err != nil {
				require.NotContains(t, err.Error(), "read request")
			}
		case schema.WardenRequest:
			require.NoError(t, json.Unmarshal(line, &warden.Request{}))
		case schema.WardenReply:
			require.NoError(t, json.Unmarshal(line, &struct {
				warden.Greeting
				warden.Reply
			}{}))
		case schema.EndpointReply:
			require.NoError(t, json.Unmarshal(line, &endpoint.Reply{}))
		}
	})
}

// FuzzCheckYAML: the same for YAML; what is taken is taken as JSON too, and
// read into the type.
func FuzzCheckYAML(f *testing.F) {
	paths, err := filepath.Glob("testdata/target/*/*.yaml")
	require.NoError(f, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		asJSON, err := schema.CheckYAML(schema.Target, "f.yaml", data)
		if err != nil {
			requireHarmless(t, err)
			return
		}
		require.NoError(t, schema.CheckJSON(schema.Target, "f.json", asJSON))
		require.NoError(t, json.Unmarshal(asJSON, &matrix.Target{}))
	})
}
