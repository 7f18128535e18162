package matrix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what a report may hold; a probe that says more breaks the protocol.
const (
	maxReportLines = 4096
	maxTextRunes   = 1 << 16
)

// ParseReport reads what a probe printed, trusting nothing: the first line that
// breaks the protocol ends the report and is named in Violation. Output that
// was cut off (lost > 0 bytes are missing) breaks it too.
func ParseReport(stdout []byte, lost int64) Report {
	var report Report
	for number := 1; len(stdout) > 0; number++ {
		line, rest, complete := bytes.Cut(stdout, []byte("\n"))
		stdout = rest
		var err error
		switch {
		case !complete && lost > 0:
			err = fmt.Errorf("the output went on for %d bytes more than are kept", lost)
		case !complete:
			err = errors.New("the line does not end: output stops in the middle of it")
		case number > maxReportLines:
			err = fmt.Errorf("more than %d lines", maxReportLines)
		default:
			err = report.add(line)
		}
		if err != nil {
			report.Violation = fmt.Sprintf("line %d: %v: %s", number, err, excerpt(line))
			return report
		}
	}
	if lost > 0 && report.Violation == "" {
		report.Violation = fmt.Sprintf("the output went on for %d bytes more than are kept", lost)
	}
	return report
}

// excerpt shows the start of a line that can't be trusted, quoted.
func excerpt(line []byte) string {
	const most = 80
	if len(line) > most {
		return strconv.QuoteToASCII(string(line[:most])) + "…"
	}
	return strconv.QuoteToASCII(string(line))
}

// add takes one line of a report.
func (r *Report) add(line []byte) error {
	if r.Closing.Type != "" {
		return fmt.Errorf("a line after %q, which closes the report", r.Closing.Type)
	}
	reader := objectReaders.Get().(*objectReader)
	defer objectReaders.Put(reader)
	object, err := reader.read(line)
	if err != nil {
		return err
	}
	kind, _ := object.find("type")
	if r.Hello == nil && kind.text != "hello" {
		return fmt.Errorf("the first line is of type %.80q, not \"hello\"", bounded(kind.text))
	}
	switch kind.text {
	case "hello":
		if r.Hello != nil {
			return errors.New("a second hello")
		}
		hello := Hello{
			Protocol: object.whole("protocol"), Implementation: object.string("implementation"), Version: object.string("version"),
			Binding: object.string("binding"), BindingVersion: object.string("binding_version"), Libzmq: object.string("libzmq"),
			Threads: object.flag("threads"), PID: object.whole("pid"), Seed: object.string("seed"), Collector: object.string("collector"),
		}
		switch {
		case object.close() != nil:
			return object.close()
		case hello.Protocol != Protocol:
			return fmt.Errorf("protocol version %d; this zmqmatrix speaks %d: rebuild the probe's image", hello.Protocol, Protocol)
		case hello.Collector != "moving" && hello.Collector != "non-moving" && hello.Collector != "none":
			return fmt.Errorf("collector %.80q; want moving, non-moving or none", hello.Collector)
		}
		r.Hello = &hello
	case "step":
		step := object.string("text")
		if err := object.close(); err != nil {
			return err
		}
		r.Steps = append(r.Steps, step)
	case "observe":
		observation := Observation{Key: object.string("key"), Value: object.value("value"), Unit: object.string("unit")}
		if err := object.close(); err != nil {
			return fmt.Errorf("observation %.80q: %w", observation.Key, err)
		}
		if _, twice := r.lookup(observation.Key); twice {
			return fmt.Errorf("key %.80q is observed a second time", observation.Key)
		}
		r.Observations = append(r.Observations, observation)
	case ClosingDone, ClosingUnsupported, ClosingFailed:
		closing := Closing{Type: kind.text}
		if kind.text != ClosingDone {
			closing.Reason = object.string("reason")
		}
		if kind.text == ClosingFailed {
			closing.Condition = object.string("condition")
		}
		if err := object.close(); err != nil {
			return err
		}
		r.Closing = closing
	default:
		return fmt.Errorf("unknown type %.80q; want hello, step, observe, done, unsupported or failed", bounded(kind.text))
	}
	return nil
}

func bounded(text string) string {
	if utf8.RuneCountInString(text) <= maxTextRunes {
		return text
	}
	return string([]rune(text)[:maxTextRunes])
}

// object is one flat JSON object: every line of a report is one. Members are
// taken from it by name; close says what was missing, of the wrong type or left
// over.
type object struct {
	members []member
	problem error
}

type member struct {
	name  string
	kind  jsontext.Kind
	text  string // value of a string, or the digits of a number
	taken bool
}

// objectReader reads lines, one after the other, each into the object of the
// one before: a run reads millions.
type objectReader struct {
	line    bytes.Buffer
	decoder *jsontext.Decoder
	object  object
}

var objectReaders = sync.Pool{New: func() any {
	reader := &objectReader{}
	reader.decoder = jsontext.NewDecoder(&reader.line)
	return reader
}}

// read reads the line's one object, which is valid until the next read.
// jsontext itself refuses what is not UTF-8 and names that stand twice.
func (r *objectReader) read(line []byte) (*object, error) {
	r.line = *bytes.NewBuffer(line)
	decoder, object := r.decoder, &r.object
	decoder.Reset(&r.line)
	clear(object.members) // or the last line's texts would be kept
	object.members, object.problem = object.members[:0], nil
	token, err := decoder.ReadToken()
	if err != nil || token.Kind() != '{' {
		return nil, errors.New("not a JSON object")
	}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		member := member{name: memberName(name)}
		value, err := decoder.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		switch member.kind = value.Kind(); member.kind {
		case '"', '0', 't', 'f':
			member.text = value.String()
		default:
			return nil, fmt.Errorf("value of %.80q: want a string, a whole number or a boolean", member.name)
		}
		object.members = append(object.members, member)
	}
	if _, err := decoder.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something after the object")
	}
	object.find("type")
	return object, nil
}

// memberName is the text of a quoted name.
func memberName(quoted jsontext.Value) string {
	if name, ok := memberNames[string(quoted)]; ok {
		return name
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // the decoder has checked it
	return bounded(string(text))
}

// memberNames are the names that stand in every report, quoted and not, so
// that they need no memory each time.
var memberNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"type", "protocol", "implementation", "version", "binding", "binding_version", "libzmq", "threads", "pid", "collector",
		"text", "key", "value", "unit", "reason", "condition",
	} {
		names[`"`+name+`"`] = name
	}
	return names
}()

func notJSON(err error) error { return fmt.Errorf("not a JSON object: %.300s", err) }

func (o *object) find(name string) (member, bool) {
	for i := range o.members {
		if o.members[i].name == name {
			o.members[i].taken = true
			return o.members[i], true
		}
	}
	return member{}, false
}

// take finds a member of one of the kinds.
func (o *object) take(name, want string, kinds ...jsontext.Kind) (member, bool) {
	found, ok := o.find(name)
	switch {
	case o.problem != nil:
	case !ok:
		o.problem = fmt.Errorf("key %q is missing", name)
	case !slices.Contains(kinds, found.kind):
		o.problem = fmt.Errorf("value of %q: want %s", name, want)
	default:
		return found, true
	}
	return member{}, false
}

func (o *object) string(name string) string {
	found, _ := o.take(name, "a string", '"')
	return bounded(found.text)
}

func (o *object) flag(name string) bool {
	found, _ := o.take(name, "a boolean", 't', 'f')
	return found.kind == 't'
}

func (o *object) whole(name string) int {
	found, ok := o.take(name, "a whole number", '0')
	if !ok {
		return 0
	}
	whole, err := strconv.Atoi(found.text)
	if err != nil {
		o.problem = fmt.Errorf("value of %q: not a whole number of 64 bits", name)
	}
	return whole
}

// value is a string, a boolean or a json.Number that is whole.
func (o *object) value(name string) any {
	found, ok := o.take(name, "a string, a whole number or a boolean", '"', '0', 't', 'f')
	switch {
	case !ok:
		return nil
	case found.kind == '"':
		return bounded(found.text)
	case found.kind == '0':
		return json.Number(strconv.Itoa(o.whole(name)))
	}
	return found.kind == 't'
}

// close says what was wrong with the object.
func (o *object) close() error {
	if o.problem != nil {
		return o.problem
	}
	for _, member := range o.members {
		if !member.taken {
			return fmt.Errorf("unknown key %.80q", member.name)
		}
	}
	return nil
}

func (r Report) lookup(key string) (any, bool) {
	for _, observation := range r.Observations {
		if observation.Key == key {
			return observation.Value, true
		}
	}
	return nil, false
}
