// Package schema holds the project's contracts as JSON Schemas and checks files
// and lines against them, with the position and the field of each mistake. It
// trusts nothing it reads.
package schema

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Name names a contract: it is the name of the schema's file without ".json".
type Name string

// The contracts.
const (
	Target          Name = "target"           // a target.yaml
	Causes          Name = "causes"           // a causes.yaml beside what several targets include
	ProbeTask       Name = "probe-task"       // a task's environment variables, as one object
	ProbeReport     Name = "probe-report"     // one line of a probe's report
	WardenRequest   Name = "warden-request"   // one line to the warden
	WardenReply     Name = "warden-reply"     // one line from the warden, its greeting too
	EndpointRequest Name = "endpoint-request" // one line to the endpoint
	EndpointReply   Name = "endpoint-reply"   // one line from the endpoint, its greeting too
	Record          Name = "record"           // one line of a run record
	Published       Name = "published"        // the published JSON, the interface for other programs
	Site            Name = "site"             // index.json of the published site
	Claims          Name = "claims"           // results/claims.yaml
	Contributors    Name = "contributors"     // results/contributors.yaml
	Expect          Name = "expect"           // a zmqmatrix.expect.yaml
	Plan            Name = "plan"             // what plan --json prints
	History         Name = "history"          // one line of a file in results/history
	Diff            Name = "diff"             // two runs compared
	Timelines       Name = "timelines"        // how verdicts came about
)

//go:embed *.json
var files embed.FS

// Source is a contract itself, a JSON Schema.
func Source(name Name) ([]byte, error) {
	source, err := files.ReadFile(string(name) + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no schema %q: %w", string(name), err)
	}
	return source, nil
}

// base is what the schemas' $id begin with. It names them; nothing is fetched.
const base = "https://github.com/zmqmatrix/zmqmatrix/matrix/schema/"

// contract is a schema, compiled.
type contract struct {
	schema *jsonschema.Schema
	loader loader
}

// contracts compiles each schema when it is first asked for, so that a mistake
// in one of them can't take the others away.
var contracts = sync.OnceValue(func() map[Name]func() (*contract, error) {
	table := map[Name]func() (*contract, error){}
	names, _ := fs.Glob(files, "*.json") // the pattern is well formed
	for _, file := range names {
		name := Name(strings.TrimSuffix(file, ".json"))
		table[name] = sync.OnceValues(func() (*contract, error) { return compile(name) })
	}
	return table
})

func contractNamed(name Name) (*contract, error) {
	compiled, found := contracts()[name]
	if !found {
		return nil, fmt.Errorf("there is no schema %q", string(name))
	}
	return compiled()
}

func compile(name Name) (*contract, error) {
	contract := &contract{loader: loader{}}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(contract.loader)
	compiler.AssertFormat()
	compiler.AssertContent()
	var err error
	if contract.schema, err = compiler.Compile(base + string(name) + ".json"); err != nil {
		return nil, fmt.Errorf("compile schema %s: %w", name, err)
	}
	return contract, nil
}

// loader reads the embedded schemas, and nothing else, and keeps what it read.
type loader map[string]any

// Load is called by the compiler with the absolute address of a schema.
func (l loader) Load(address string) (any, error) {
	name, ours := strings.CutPrefix(address, base)
	if !ours {
		return nil, fmt.Errorf("%s is none of the project's schemas", address)
	}
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l[name] = document
	return document, nil
}

// at is the schema at an address, as it stands in its file.
func (c *contract) at(address string) map[string]any {
	address, fragment, _ := strings.Cut(address, "#")
	place := c.loader[path.Base(address)]
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		return nil
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch within := place.(type) {
		case map[string]any:
			place = within[token]
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index < 0 || index >= len(within) {
				return nil
			}
			place = within[index]
		}
	}
	object, _ := place.(map[string]any)
	return object
}

// keys lists the keys, and the patterns of keys, that the schema at the address
// names: what an unknown key may have been meant for.
func (c *contract) keys(address string) (known, patterns []string) {
	object := c.at(address)
	properties, _ := object["properties"].(map[string]any)
	matching, _ := object["patternProperties"].(map[string]any)
	return slices.Collect(maps.Keys(properties)), slices.Collect(maps.Keys(matching))
}

// text is a keyword's value if it is a string.
func (c *contract) text(address, keyword string) string {
	text, _ := c.at(address)[keyword].(string)
	return text
}

// kinds names the alternatives of a oneOf that fit all at once: by their title,
// or by the keys they want.
func (c *contract) kinds(address string, fitting []int) string {
	alternatives, _ := c.at(address)["oneOf"].([]any)
	var names []string
	for _, index := range fitting {
		if index >= len(alternatives) {
			continue
		}
		alternative, _ := alternatives[index].(map[string]any)
		if title, ok := alternative["title"].(string); ok {
			names = append(names, strconv.Quote(title))
			continue
		}
		required, _ := alternative["required"].([]any)
		for _, key := range required {
			names = append(names, fmt.Sprintf("%q", key))
		}
	}
	return strings.Join(names, ", ")
}

// CheckJSON holds a JSON document to a contract. What is wrong with it is an
// *Error, or Errors in the order of their positions; file is only named in them.
func CheckJSON(name Name, file string, data []byte) error {
	return check(name, func() *Document { return parseJSON(file, 1, data) })
}

// CheckLine holds one line of a JSON-lines file to a contract; line is its
// number, from 1, for the position in the error.
func CheckLine(name Name, file string, line int, data []byte) error {
	return check(name, func() *Document { return parseJSON(file, line, data) })
}

// CheckYAML holds a YAML document to a contract and returns it as JSON. Of YAML
// it takes what JSON has too: no anchors, aliases, tags or further documents.
func CheckYAML(name Name, file string, data []byte) ([]byte, error) {
	document, err := ReadYAML(name, file, data)
	if err != nil {
		return nil, err
	}
	return document.JSON()
}

// ReadYAML is CheckYAML for who has more to check than a schema can say: the
// document remembers where everything stands.
func ReadYAML(name Name, file string, data []byte) (*Document, error) {
	var document *Document
	err := check(name, func() *Document {
		document = parseYAML(file, data, mostYAML(name))
		return document
	})
	if err != nil {
		return nil, err
	}
	return document, nil
}

func check(name Name, parse func() *Document) error {
	contract, err := contractNamed(name)
	if err != nil {
		return err
	}
	document := parse()
	if len(document.problems) == 0 {
		document.validate(contract)
	}
	return Join(document.problems...)
}
