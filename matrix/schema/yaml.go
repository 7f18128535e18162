package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of what is read as YAML; a target.yaml has a few hundred lines at
// most. The parser calls itself for every level and looks for the end of each
// bracket anew: 60000 open ones took it 20 s, 2000 take it 0.1 s. What else it
// takes long for, such as 16000 dashes, is long on one line.
const (
	maxYAML     = 32 << 10 // bytes
	maxLine     = 4 << 10  // bytes
	maxBrackets = 2000     // [ and {, wherever they stand
)

// maxExpectations is maxYAML for expectations, which may have a rule for each
// client and feature of every version.
const maxExpectations = 256 << 10

func mostYAML(name Name) int {
	if name == Expect {
		return maxExpectations
	}
	return maxYAML
}

// parseYAML reads one YAML document of at most so many bytes.
func parseYAML(file string, data []byte, most int) (document *Document) {
	document = &Document{file: file}
	start := place{1, 1}
	reader := &yamlReader{document: document}
	// The parser is not ours and the bytes are a stranger's.
	defer func() {
		if panicked := recover(); panicked != nil {
			document.add(start, nil, "not YAML: its parser can't read it: "+printable(fmt.Sprint(panicked)))
		}
	}()
	if len(data) > most {
		document.add(start, nil, fmt.Sprintf("%d bytes; at most %d are read", len(data), most))
		return document
	}
	for number, line := range bytes.Split(data, []byte("\n")) {
		if len(line) > maxLine {
			document.add(place{number + 1, 1}, nil, fmt.Sprintf("a line of %d bytes; at most %d are read: break it", len(line), maxLine))
			return document
		}
	}
	if brackets := bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")); brackets > maxBrackets {
		document.add(start, nil, fmt.Sprintf("%d opening brackets; at most %d are read", brackets, maxBrackets))
		return document
	}
	if offset := invalidUTF8(data); offset >= 0 {
		ruler := ruler{data: data, at: start}
		document.add(ruler.to(offset), nil, "not UTF-8")
		return document
	}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		at, message := start, err.Error()
		if syntax, ok := err.(yaml.Error); ok {
			message = syntax.GetMessage()
			if token := syntax.GetToken(); token != nil && token.Position != nil {
				at = place{token.Position.Line, token.Position.Column}
			}
		}
		document.add(at, nil, "not YAML: "+printable(message))
		return document
	}
	var bodies []ast.Node
	for _, part := range parsed.Docs {
		if part.Body != nil && part.Body.Type() != ast.CommentType {
			bodies = append(bodies, part.Body)
		}
	}
	switch len(bodies) {
	case 0:
		document.add(start, nil, "the file is empty")
	case 1:
		document.root = reader.value(bodies[0], nil)
	default:
		document.add(placeOf(bodies[1]), nil, "a second document")
	}
	return document
}

const noAliases = "anchors, aliases and merges are not taken here: write it out; a text that begins with * or & stands in quotation marks"

// yamlReader walks YAML's tree.
type yamlReader struct{ document *Document }

// placeOf is where a node begins. A mapping in block style has no first
// character of its own: it stands where its first key does.
func placeOf(node ast.Node) place {
	switch node := node.(type) {
	case *ast.MappingNode:
		if !node.IsFlowStyle && len(node.Values) > 0 {
			return placeOf(node.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(node.Key)
	}
	token := node.GetToken()
	if token == nil || token.Position == nil {
		return place{1, 1}
	}
	return place{token.Position.Line, token.Position.Column}
}

func (r *yamlReader) value(value ast.Node, path []any) *node {
	if value == nil {
		return &node{place: place{1, 1}}
	}
	here := &node{place: placeOf(value)}
	refuse := func(problem string) *node {
		r.document.add(here.place, path, problem)
		return here
	}
	if len(path) > maxDepth {
		return refuse(tooDeep)
	}
	switch value := value.(type) {
	case *ast.MappingNode:
		return r.mapping(here, value.Values, path)
	case *ast.MappingValueNode:
		return r.mapping(here, []*ast.MappingValueNode{value}, path)
	case *ast.SequenceNode:
		here.list = make([]*node, 0, len(value.Values))
		for i, item := range value.Values {
			here.list = append(here.list, r.value(item, append(slices.Clip(path), i)))
		}
	case *ast.StringNode:
		here.scalar = value.Value
	case *ast.LiteralNode:
		here.scalar = value.Value.Value
	case *ast.BoolNode:
		here.scalar = value.Value
	case *ast.NullNode:
		here.scalar = nil
	case *ast.IntegerNode:
		here.scalar = json.Number(fmt.Sprint(value.Value))
	case *ast.FloatNode:
		text := strconv.FormatFloat(value.Value, 'g', -1, 64)
		if !json.Valid([]byte(text)) {
			return refuse("a number out of range")
		}
		here.scalar = json.Number(text)
	case *ast.AnchorNode, *ast.AliasNode:
		return refuse(noAliases)
	case *ast.TagNode:
		return refuse("tags are not taken here: write the value without one")
	default:
		return refuse(fmt.Sprintf("want a string, a number, a boolean, a list or a mapping; this is %s", printable(value.Type().String())))
	}
	return here
}

// mapping reads a mapping's keys.
func (r *yamlReader) mapping(here *node, values []*ast.MappingValueNode, path []any) *node {
	here.object = make(map[string]*node, len(values))
	for _, entry := range values {
		at := placeOf(entry.Key)
		name, ok := keyName(entry.Key)
		if _, merge := entry.Key.(*ast.MergeKeyNode); merge {
			r.document.add(at, path, noAliases)
			continue
		}
		if !ok {
			r.document.add(at, path, "a key that is no string")
			continue
		}
		inside := append(slices.Clip(path), name)
		value := r.value(entry.Value, inside)
		value.key = at
		if _, twice := here.object[name]; twice {
			r.document.add(at, inside, "the key stands twice")
		}
		here.object[name] = value
	}
	return here
}

// keyName is a key's text. A key such as 7 or true is a string that somebody
// did not quote; variant arguments may have such names.
func keyName(key ast.MapKeyNode) (string, bool) {
	switch key := key.(type) {
	case *ast.StringNode:
		return key.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return key.GetToken().Value, true
	}
	return "", false
}
