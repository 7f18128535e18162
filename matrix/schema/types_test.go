package schema_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// The lines of a report, of which the domain has the parts.
type (
	helloLine struct {
		Type string `json:"type"`
		matrix.Hello
	}
	observeLine struct {
		Type string `json:"type"`
		matrix.Observation
	}
	stepLine struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	doneLine struct {
		Type string `json:"type"`
	}
	unsupportedLine struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
)

// The two requests to the endpoint, of which its own type has both.
type (
	openRequest struct {
		ID      int64               `json:"id"`
		Op      string              `json:"op"`
		Sockets []matrix.SocketSpec `json:"sockets"`
	}
	closeRequest struct {
		ID   int64  `json:"id"`
		Op   string `json:"op"`
		Lane string `json:"lane"`
	}
)

func TestTypesAndSchemasHaveTheSameKeys(t *testing.T) {
	for _, pair := range []struct {
		name    schema.Name
		pointer string // of the schema inside the file
		value   any
		// differ are fields that the schema requires and the type does not, or
		// the other way round, with the reason.
		differ map[string]string
	}{
		{schema.Target, "", matrix.Target{}, map[string]string{"image.dockerfile": "a supplied image needs none"}},
		{schema.ProbeReport, "/$defs/hello", helloLine{}, nil},
		{schema.ProbeReport, "/$defs/step", stepLine{}, nil},
		{schema.ProbeReport, "/$defs/observe", observeLine{}, nil},
		{schema.ProbeReport, "/$defs/done", doneLine{}, nil},
		{schema.ProbeReport, "/$defs/unsupported", unsupportedLine{}, nil},
		{schema.ProbeReport, "/$defs/failed", matrix.Closing{}, map[string]string{
			"reason": "one type for all three closings", "condition": "one type for all three closings",
		}},
		{schema.WardenReply, "/$defs/greeting", warden.Greeting{}, nil},
		{schema.WardenRequest, "", warden.Request{}, nil},
		{schema.WardenReply, "/$defs/reply", warden.Reply{}, nil},
		{schema.EndpointReply, "/$defs/greeting", endpoint.Greeting{}, nil},
		{schema.EndpointRequest, "/$defs/open", openRequest{}, nil},
		{schema.EndpointRequest, "/$defs/close", closeRequest{}, nil},
		{schema.EndpointReply, "/$defs/reply", endpoint.Reply{}, nil},
	} {
		t.Run(string(pair.name)+pair.pointer, func(t *testing.T) {
			comparison := comparison{t: t, document: document(t, pair.name), differ: maps.Clone(pair.differ)}
			comparison.compare("", comparison.follow("#"+pair.pointer), reflect.TypeOf(pair.value))
			assert.Empty(t, comparison.differ, "exceptions that nothing needs")
		})
	}
}

func TestTheEndpointsRequestIsItsTwoKinds(t *testing.T) {
	both := fieldsOf(reflect.TypeFor[endpoint.Request]())
	kinds := fieldsOf(reflect.TypeFor[openRequest]())
	maps.Copy(kinds, fieldsOf(reflect.TypeFor[closeRequest]()))
	assert.Equal(t, slices.Sorted(maps.Keys(both)), slices.Sorted(maps.Keys(kinds)))
}

func TestWhatTheTypesWriteIsTaken(t *testing.T) {
	take := func(name schema.Name, value any) {
		t.Helper()
		line, err := json.Marshal(value)
		require.NoError(t, err)
		assert.NoError(t, schema.CheckLine(name, string(name), 1, line), "%s", line)
	}
	take(schema.WardenRequest, warden.Request{ID: 1, Op: warden.OpRun, Command: []string{"true"}, Bounds: matrix.Bounds{Wall: time.Minute, MemoryMiB: 64}})
	take(schema.WardenReply, warden.Reply{ID: 1, Account: &matrix.Account{Ending: matrix.Exited}, Stdout: []byte{0, 255}})
	take(schema.WardenReply, warden.Reply{ID: 1, Account: &matrix.Account{
		Ending: matrix.Signaled, Signal: "SIGRTMIN+3", Stderr: []byte("x"), Strays: 1,
		WitnessCalls: []matrix.WitnessCall{{Call: "send", Peer: 1, Thread: 2, Address: 1<<64 - 1, Length: 3, Result: -1}},
		Dossier: &matrix.Dossier{Signal: "SIGSEGV", Address: "0x0", Blocked: []string{"SIGINT"}, Page: matrix.PageNone, Access: matrix.AccessExecute,
			Threads: []matrix.ThreadState{{ID: 1, Name: "probe"}}},
	}})
	for _, sender := range []matrix.Sender{matrix.SenderSelf, matrix.SenderOther} {
		take(schema.WardenReply, warden.Reply{ID: 1, Account: &matrix.Account{Ending: matrix.Signaled, Dossier: &matrix.Dossier{Sender: sender, Access: matrix.AccessWrite}}})
	}
	take(schema.WardenReply, warden.Reply{ID: 1, Core: &warden.CoreChunk{Offset: 4096, Data: []byte{0, 255}}})
	take(schema.WardenReply, warden.Reply{ID: 1, Core: &warden.CoreChunk{Offset: 8192, Data: []byte{}}})
	take(schema.WardenReply, warden.Reply{ID: 1, Account: &matrix.Account{Ending: matrix.Signaled}, CoreMissing: "none was written"})
	take(schema.WardenReply, warden.Greeting{Warden: warden.Version, PID: 1})
	take(schema.WardenReply, warden.Reply{ID: 0, Error: "no request"})
	for _, ending := range []matrix.Ending{
		matrix.Exited, matrix.Signaled, matrix.EndedWall, matrix.EndedCPU, matrix.EndedMemory, matrix.EndedOutput, matrix.EndedProcesses,
	} {
		take(schema.WardenReply, warden.Reply{ID: 1, Account: &matrix.Account{Ending: ending}})
	}
	for _, role := range []matrix.Role{matrix.RoleSink, matrix.RoleSource, matrix.RoleReplier, matrix.RoleRequester, matrix.RolePubSub} {
		take(schema.EndpointRequest, endpoint.Request{ID: 1, Op: endpoint.OpOpen, Sockets: []matrix.SocketSpec{{Name: "a", Role: role, Seed: 1<<64 - 1}}})
	}
	take(schema.EndpointRequest, endpoint.Request{ID: 1, Op: endpoint.OpOpen, Sockets: []matrix.SocketSpec{{Name: "a", Role: matrix.RoleSink, Curve: true}}})
	take(schema.EndpointRequest, endpoint.Request{ID: 1, Op: endpoint.OpClose, Lane: "1"})
	take(schema.EndpointReply, endpoint.Greeting{Endpoint: endpoint.Version, Libzmq: "4.3.5", PID: 1})
	take(schema.EndpointReply, endpoint.Reply{ID: 1, Lane: &matrix.Lane{ID: "1", Endpoints: map[string]string{"sink": "tcp://[::1]:1"}}})
	take(schema.EndpointReply, endpoint.Reply{ID: 1, Account: &matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{"sink": {
		Digests: []string{matrix.MessageDigest(nil)}, Rolling: new(matrix.Rolling).Sum(), Topics: map[string]int64{"\xff": 1},
	}}}})
	refused := map[matrix.Refusal]int{}
	for _, refusal := range matrix.Refusals {
		refused[refusal] = 1
	}
	take(schema.EndpointReply, endpoint.Reply{ID: 1, Account: &matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{"sink": {Curve: &matrix.CurveAccount{Refused: refused}}}}})
	take(schema.EndpointReply, endpoint.Reply{ID: 0, Error: "no request"})
}

func TestTheSchemasBoundsAreTheEndpoints(t *testing.T) {
	request := func(sockets []matrix.SocketSpec) error {
		line, err := json.Marshal(endpoint.Request{ID: 1, Op: endpoint.OpOpen, Sockets: sockets})
		require.NoError(t, err)
		_, refused := endpoint.ParseRequest(line)
		err = schema.CheckLine(schema.EndpointRequest, "request", 1, line)
		assert.Equal(t, refused == nil, err == nil, "endpoint: %v; schema: %v", refused, err)
		return err
	}
	spec := func(change func(*matrix.SocketSpec)) []matrix.SocketSpec {
		one := matrix.SocketSpec{Name: "a", Role: matrix.RoleSource, Count: 1, Sizes: []int{1}, Parts: 1}
		change(&one)
		return []matrix.SocketSpec{one}
	}
	for over := range 2 {
		outcomes := []error{
			request(spec(func(s *matrix.SocketSpec) { s.Count = endpoint.MaxCount + over })),
			request(spec(func(s *matrix.SocketSpec) { s.Parts = endpoint.MaxParts + over })),
			request(spec(func(s *matrix.SocketSpec) { s.Sizes = []int{endpoint.MaxFrameSize + over} })),
			request(spec(func(s *matrix.SocketSpec) { s.Name = strings.Repeat("a", 64+over) })),
		}
		var many []matrix.SocketSpec
		for i := range endpoint.MaxSockets + over {
			many = append(many, matrix.SocketSpec{Name: fmt.Sprintf("a%d", i), Role: matrix.RoleSink})
		}
		for _, err := range append(outcomes, request(many)) {
			assert.Equal(t, over > 0, err != nil)
		}
	}
}

func document(t *testing.T, name schema.Name) map[string]any {
	t.Helper()
	data, err := os.ReadFile(string(name) + ".json")
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, json.Unmarshal(data, &document))
	return document
}

// comparison compares a Go type's JSON with a schema, all the way down.
type comparison struct {
	t        *testing.T
	document map[string]any
	differ   map[string]string
}

// follow is the schema at a reference within the file.
func (c *comparison) follow(reference string) map[string]any {
	c.t.Helper()
	at := c.document
	for _, step := range strings.Split(reference, "/")[1:] {
		next, ok := at[step].(map[string]any)
		require.True(c.t, ok, "%s leads nowhere", reference)
		at = next
	}
	return at
}

func (c *comparison) compare(path string, node map[string]any, goType reflect.Type) {
	c.t.Helper()
	if reference, ok := node["$ref"].(string); ok {
		node = c.follow(reference)
	}
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	kinds := typesOf(node)
	switch goType.Kind() {
	case reflect.Struct:
		require.Contains(c.t, kinds, "object", path)
		assert.Equal(c.t, false, node["additionalProperties"], "%s takes unknown keys", path)
		c.compareFields(path, node, goType)
	case reflect.Map:
		require.Contains(c.t, kinds, "object", path)
		values, ok := node["additionalProperties"].(map[string]any)
		patterns, _ := node["patternProperties"].(map[string]any)
		for _, pattern := range patterns {
			values, ok = pattern.(map[string]any)
		}
		require.True(c.t, ok, "%s has no schema for its values", path)
		c.compare(path+"{}", values, goType.Elem())
	case reflect.Slice:
		if goType.Elem().Kind() == reflect.Uint8 {
			assert.Contains(c.t, kinds, "string", "%s is base64", path)
			assert.Equal(c.t, "base64", node["contentEncoding"], "%s is base64", path)
			return
		}
		require.Contains(c.t, kinds, "array", path)
		items, ok := node["items"].(map[string]any)
		require.True(c.t, ok, "%s has no schema for its items", path)
		c.compare(path+"[]", items, goType.Elem())
	case reflect.String:
		assert.Contains(c.t, kinds, "string", path)
	case reflect.Bool:
		assert.Contains(c.t, kinds, "boolean", path)
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		assert.Contains(c.t, kinds, "integer", path)
		assert.Contains(c.t, node, "maximum", "%s: a number that the type can't hold", path)
		assert.Contains(c.t, node, "minimum", "%s: a number that the type can't hold", path)
	case reflect.Float64:
		assert.Contains(c.t, kinds, "number", path)
	case reflect.Interface:
		assert.Equal(c.t, []string{"string", "integer", "boolean"}, kinds, path)
	default:
		c.t.Fatalf("%s: no rule for %s", path, goType)
	}
}

func (c *comparison) compareFields(path string, node map[string]any, goType reflect.Type) {
	c.t.Helper()
	properties, _ := node["properties"].(map[string]any)
	fields := fieldsOf(goType)
	assert.Equal(c.t, slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties)), "keys of %q", path)
	required, _ := node["required"].([]any)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		inside := strings.TrimPrefix(path+"."+key, ".")
		if property, ok := properties[key].(map[string]any); ok {
			c.compare(inside, property, fields[key].Type)
		}
		always := !strings.Contains(fields[key].Tag.Get("json"), ",omit")
		if always == slices.Contains(required, any(key)) {
			continue
		}
		if _, known := c.differ[inside]; known {
			delete(c.differ, inside)
			continue
		}
		c.t.Errorf("%s: always written by the type: %t; required by the schema: %t", inside, always, !always)
	}
}

// fieldsOf are a struct's fields by their JSON key, those of embedded structs
// among them.
func fieldsOf(goType reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for field := range goType.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case key == "-" || !field.IsExported():
		case key != "":
			fields[key] = field
		case field.Anonymous:
			maps.Copy(fields, fieldsOf(field.Type))
		default:
			fields[field.Name] = field
		}
	}
	return fields
}

// typesOf are the types that a schema takes; those of a constant or a choice
// are its values'.
func typesOf(node map[string]any) []string {
	of := func(value any) string {
		if _, ok := value.(string); ok {
			return "string"
		}
		return fmt.Sprintf("%T", value)
	}
	switch kind := node["type"].(type) {
	case string:
		return []string{kind}
	case []any:
		var kinds []string
		for _, name := range kind {
			kinds = append(kinds, fmt.Sprint(name))
		}
		return kinds
	}
	if value, ok := node["const"]; ok {
		return []string{of(value)}
	}
	values, _ := node["enum"].([]any)
	var kinds []string
	for _, value := range values {
		kinds = append(kinds, of(value))
	}
	return slices.Compact(kinds)
}
