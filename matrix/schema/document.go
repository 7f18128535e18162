package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Document is a file or line, read, with the position of everything in it.
type Document struct {
	file     string
	root     *node
	problems []*Error
}

// node is one value of a document.
type node struct {
	place place
	key   place // of the key that leads to the value; zero without one
	// Exactly one of these is meant: object and list by being not nil.
	object map[string]*node
	list   []*node
	scalar any // string, bool, json.Number or nil
}

// place is a position, both from 1, the column in characters.
type place struct{ line, column int }

func (d *Document) add(at place, path []any, problem string) {
	d.problems = append(d.problems, &Error{File: d.file, Line: at.line, Column: at.column, Field: fieldAt(path), Problem: problem})
}

// JSON is the document as JSON.
func (d *Document) JSON() ([]byte, error) {
	data, err := json.Marshal(d.root.plain())
	if err != nil {
		return nil, fmt.Errorf("%s as JSON: %w", d.file, err)
	}
	return data, nil
}

// Problem is a mistake at a path of keys (string) and places in lists (int),
// positioned at the value, or at what is left of the path where it leads
// nowhere.
func (d *Document) Problem(problem string, path ...any) *Error {
	at, _ := d.find(path)
	return &Error{File: d.file, Line: at.place.line, Column: at.place.column, Field: fieldAt(path), Problem: problem}
}

// KeyProblem is Problem positioned at the key that leads to the value.
func (d *Document) KeyProblem(problem string, path ...any) *Error {
	at, found := d.find(path)
	place := at.place
	if found && at.key.line > 0 {
		place = at.key
	}
	return &Error{File: d.file, Line: place.line, Column: place.column, Field: fieldAt(path), Problem: problem}
}

// find is the node at the path, or the last one on the way there and false.
func (d *Document) find(path []any) (*node, bool) {
	at := d.root
	for _, step := range path {
		var next *node
		switch step := step.(type) {
		case string:
			next = at.object[step]
		case int:
			if step >= 0 && step < len(at.list) {
				next = at.list[step]
			}
		}
		if next == nil {
			return at, false
		}
		at = next
	}
	return at, true
}

// plain is the value as the validator and encoding/json take it.
func (n *node) plain() any {
	switch {
	case n.object != nil:
		object := make(map[string]any, len(n.object))
		for key, value := range n.object {
			object[key] = value.plain()
		}
		return object
	case n.list != nil:
		list := make([]any, len(n.list))
		for i, value := range n.list {
			list[i] = value.plain()
		}
		return list
	}
	return n.scalar
}

// parseJSON reads one JSON value that begins on the given line of the file.
// Beyond JSON's own grammar it refuses what two readers could read differently:
// broken UTF-8, keys that stand twice, and numbers that are whole but not
// written so, or too long for any machine's number.
func parseJSON(file string, line int, data []byte) *Document {
	document := &Document{file: file}
	reader := &jsonReader{document: document, data: data, ruler: ruler{data: data, at: place{line, 1}}}
	if offset := invalidUTF8(data); offset >= 0 {
		document.add(reader.ruler.to(offset), nil, "not UTF-8")
		return document
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		if !ok {
			document.add(reader.ruler.to(0), nil, "not JSON: "+printable(err.Error()))
			return document
		}
		offset := int(syntax.Offset) - 1 // of the character that was wrong
		if strings.HasPrefix(syntax.Error(), "unexpected end") {
			offset = len(data)
		}
		document.add(reader.ruler.to(max(offset, 0)), nil, "not JSON: "+printable(syntax.Error()))
		return document
	}
	reader.decoder = json.NewDecoder(bytes.NewReader(data))
	reader.decoder.UseNumber()
	root, err := reader.value(nil)
	if err != nil && !errors.Is(err, errTooDeep) {
		document.add(reader.ruler.at, nil, "not JSON: "+printable(err.Error()))
	}
	document.root = root
	return document
}

func invalidUTF8(data []byte) int {
	for offset := 0; offset < len(data); {
		r, size := utf8.DecodeRune(data[offset:])
		if r == utf8.RuneError && size == 1 {
			return offset
		}
		offset += size
	}
	return -1
}

// maxDepth is how deep what is read may be nested: twice what any contract
// needs, and little enough for whoever calls itself for every level.
const maxDepth = 32

var tooDeep = fmt.Sprintf("nested deeper than %d levels", maxDepth)

// errTooDeep ends the walk; the problem is noted already.
var errTooDeep = errors.New(tooDeep)

// jsonReader walks JSON that is known to be well formed.
type jsonReader struct {
	document *Document
	data     []byte
	decoder  *json.Decoder
	ruler    ruler
}

// token is the next token and where it begins.
func (r *jsonReader) token() (json.Token, place, error) {
	offset := int(r.decoder.InputOffset())
	for offset < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[offset]) >= 0 {
		offset++
	}
	token, err := r.decoder.Token()
	return token, r.ruler.to(offset), err
}

func (r *jsonReader) value(path []any) (*node, error) {
	token, at, err := r.token()
	here := &node{place: at}
	if err != nil {
		return here, err
	}
	if len(path) > maxDepth {
		r.document.add(at, path, tooDeep)
		return here, errTooDeep
	}
	switch token {
	case json.Delim('{'):
		here.object = map[string]*node{}
		for r.decoder.More() {
			key, keyAt, err := r.token()
			if err != nil {
				return here, err
			}
			name, _ := key.(string)
			inside := append(slices.Clip(path), name)
			value, err := r.value(inside)
			value.key = keyAt
			if _, twice := here.object[name]; twice {
				r.document.add(keyAt, inside, "the key stands twice")
			}
			here.object[name] = value
			if err != nil {
				return here, err
			}
		}
		_, _, err = r.token()
	case json.Delim('['):
		here.list = []*node{}
		for r.decoder.More() {
			value, err := r.value(append(slices.Clip(path), len(here.list)))
			here.list = append(here.list, value)
			if err != nil {
				return here, err
			}
		}
		_, _, err = r.token()
	default:
		here.scalar = token
		if number, ok := token.(json.Number); ok {
			if problem := numberProblem(string(number)); problem != "" {
				r.document.add(at, path, problem)
			}
		}
	}
	return here, err
}

// numberProblem says what is wrong with a number's text. JSON's grammar allows
// 1e999999999, which a validator would write out in full.
func numberProblem(text string) string {
	const longest = 40 // more than any 64-bit whole or floating-point number needs
	if len(text) > longest {
		return "a number of more than " + strconv.Itoa(longest) + " characters"
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if digits := strings.TrimLeft(exponent, "+-0"); len(digits) > 3 {
		return "a number out of range"
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "a number out of range"
	}
	if math.Abs(value) < 1<<63 && math.Trunc(value) == value && (strings.Contains(mantissa, ".") || exponent != "" || text == "-0") {
		return "want whole numbers written without a fraction, an exponent or a negative zero"
	}
	return ""
}

// ruler turns growing offsets into positions in one pass.
type ruler struct {
	data   []byte
	offset int
	at     place
}

func (r *ruler) to(offset int) place {
	for r.offset < min(offset, len(r.data)) {
		char, size := utf8.DecodeRune(r.data[r.offset:])
		r.offset += size
		r.at.column++
		if char == '\n' {
			r.at = place{r.at.line + 1, 1}
		}
	}
	return r.at
}
