package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// validate holds the document to the contract and notes what is wrong.
func (d *Document) validate(contract *contract) {
	err := contract.schema.Validate(d.root.plain())
	if err == nil {
		return
	}
	failure, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		d.add(d.root.place, nil, printable(err.Error()))
		return
	}
	d.explain(contract, failure)
}

// explain turns the validator's tree of errors into mistakes with positions.
// What only says that something below failed is passed over.
func (d *Document) explain(contract *contract, failure *jsonschema.ValidationError) {
	path, at := d.locate(failure.InstanceLocation)
	add := func(problem string) { d.add(at.place, path, problem) }
	switch reason := failure.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range reason.Properties {
			place := at.place
			if value := at.object[key]; value != nil {
				place = value.key
			}
			known, patterns := contract.keys(failure.SchemaURL)
			d.add(place, append(slices.Clip(path), key), unknownKey(key, known, patterns))
		}
	case *kind.Required:
		for _, key := range reason.Missing {
			d.add(at.place, append(slices.Clip(path), key), "missing")
		}
	case *kind.OneOf:
		if len(reason.Subschemas) > 1 {
			add("want one kind of the following, not several: " + contract.kinds(failure.SchemaURL, reason.Subschemas))
			return
		}
		d.explainChoice(contract, failure, add)
	case *kind.AnyOf:
		d.explainChoice(contract, failure, add)
	case *kind.PropertyNames:
		path, at := d.locateKey(reason.Property, len(failure.InstanceLocation))
		for leaf := failure; ; leaf = leaf.Causes[0] {
			if len(leaf.Causes) == 0 {
				d.add(at, path, "the key: "+describe(contract, leaf, quote(reason.Property)))
				return
			}
		}
	default:
		if len(failure.Causes) == 0 {
			add(describe(contract, failure, at.shown()))
		}
		for _, cause := range failure.Causes {
			d.explain(contract, cause)
		}
	}
}

// explainChoice explains why no alternative fits: by what they lack if that is
// all that tells them apart, else by the one that comes nearest.
func (d *Document) explainChoice(contract *contract, failure *jsonschema.ValidationError, add func(string)) {
	var lacking []string
	for _, cause := range failure.Causes {
		required, ok := cause.ErrorKind.(*kind.Required)
		if !ok || len(required.Missing) != 1 {
			lacking = nil
			break
		}
		lacking = append(lacking, quote(required.Missing[0]))
	}
	if len(lacking) > 0 {
		add("want one of the keys " + strings.Join(lacking, ", "))
		return
	}
	nearest := slices.MinFunc(failure.Causes, func(a, b *jsonschema.ValidationError) int {
		return d.distance(a, failure) - d.distance(b, failure)
	})
	d.explain(contract, nearest)
}

// distance is how far a value is from an alternative: a tag that says that it
// is another one, or another type, counts more than any number of mistakes
// inside.
func (d *Document) distance(cause, choice *jsonschema.ValidationError) int {
	const other = 1 << 16
	depth := len(cause.InstanceLocation) - len(choice.InstanceLocation)
	switch cause.ErrorKind.(type) {
	case *kind.Const, *kind.Enum:
		if depth <= 1 {
			return other
		}
		return 1
	case *kind.Type:
		if depth == 0 {
			return other
		}
		return 1
	}
	if len(cause.Causes) == 0 {
		return 1
	}
	sum := 0
	for _, inner := range cause.Causes {
		sum += d.distance(inner, choice)
	}
	return min(sum, 1<<24)
}

// locate is the path and node of the validator's location.
func (d *Document) locate(location []string) ([]any, *node) {
	at, path := d.root, make([]any, 0, len(location))
	for _, step := range location {
		var next *node
		if at.list != nil {
			index, err := strconv.Atoi(step)
			if err == nil && index >= 0 && index < len(at.list) {
				next = at.list[index]
			}
			path = append(path, index)
		} else {
			next = at.object[step]
			path = append(path, step)
		}
		if next == nil {
			return path, at
		}
		at = next
	}
	return path, at
}

// locateKey is the path and place of a key at that depth, or of the whole
// document if there is not exactly one. The validator (v6.0.3, objValidate)
// gives the location of a wrong key in a slice that it goes on writing to, so
// that of the location only the length is right.
func (d *Document) locateKey(key string, depth int) ([]any, place) {
	var found [][]any
	var search func(at *node, path []any)
	search = func(at *node, path []any) {
		if len(path) == depth {
			if at.object[key] != nil {
				found = append(found, append(slices.Clip(path), key))
			}
			return
		}
		for name, value := range at.object {
			search(value, append(slices.Clip(path), name))
		}
		for i, value := range at.list {
			search(value, append(slices.Clip(path), i))
		}
	}
	search(d.root, nil)
	if len(found) != 1 {
		return nil, d.root.place
	}
	value, _ := d.find(found[0])
	return found[0], value.key
}

func unknownKey(key string, known, patterns []string) string {
	slices.Sort(known)
	slices.Sort(patterns)
	word, cut := shorten(key, mostQuoted)
	if nearest := matrix.Nearest(word, known); !cut && len(nearest) > 0 {
		return "unknown key; did you mean " + alternatives(nearest, " or ") + "?"
	}
	var there []string
	if len(known) > 0 {
		there = append(there, "there are "+alternatives(known, ", "))
	}
	if len(patterns) > 0 {
		there = append(there, "want one that matches "+strings.Join(patterns, " or "))
	}
	if len(there) == 0 {
		return "unknown key; there are none here"
	}
	return "unknown key; " + strings.Join(there, ", or ")
}

func alternatives(names []string, between string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, between)
}

// english prints the validator's own words for the kinds of error that the
// project's schemas don't provoke.
var english = message.NewPrinter(language.English)

// typeNames are JSON Schema's types in words.
var typeNames = map[string]string{
	"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false",
	"object": "a mapping of keys to values", "array": "a list", "null": "nothing",
}

// describe says what is wrong with one value, which is shown so.
func describe(contract *contract, failure *jsonschema.ValidationError, shown string) string {
	switch reason := failure.ErrorKind.(type) {
	case *kind.Type:
		want := make([]string, len(reason.Want))
		for i, name := range reason.Want {
			want[i] = typeNames[name]
		}
		text := "want " + strings.Join(want, " or ") + ", got " + shown
		if len(reason.Want) == 1 && reason.Want[0] == "string" && (reason.Got == "number" || reason.Got == "boolean") {
			text += "; put it in quotation marks"
		}
		return text
	case *kind.Const:
		return "want " + scalar(reason.Want) + ", got " + shown
	case *kind.Enum:
		var words []string
		want := make([]string, len(reason.Want))
		for i, value := range reason.Want {
			want[i] = scalar(value)
			if word, ok := value.(string); ok {
				words = append(words, word)
			}
		}
		text := "want " + strings.Join(want, ", ") + ", got " + shown
		if got, ok := reason.Got.(string); ok && len(got) <= mostQuoted {
			if nearest := matrix.Nearest(got, words); got != "" && len(nearest) > 0 && len(words) > 3 {
				text += "; did you mean " + alternatives(nearest, " or ") + "?"
			}
		}
		return text
	case *kind.Pattern:
		if description := contract.text(failure.SchemaURL, "description"); len(reason.Want) > mostQuoted && description != "" {
			return quote(reason.Got) + " is not this: " + description
		}
		return quote(reason.Got) + " does not match " + reason.Want
	case *kind.Format:
		return "want a " + reason.Want + ", got " + shown
	case *kind.MinLength:
		if reason.Got == 0 {
			return "it is empty"
		}
		return fmt.Sprintf("%d characters, want at least %d", reason.Got, reason.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("%d characters, want at most %d", reason.Got, reason.Want)
	case *kind.MinItems:
		if reason.Got == 0 {
			return "it is empty"
		}
		return fmt.Sprintf("%d items, want at least %d", reason.Got, reason.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("%d items, want at most %d", reason.Got, reason.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("%d keys, want at least %d", reason.Got, reason.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("%d keys, want at most %d", reason.Got, reason.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are the same", reason.Duplicates[0], reason.Duplicates[1])
	case *kind.Minimum:
		return "want at least " + reason.Want.RatString() + ", got " + shown
	case *kind.Maximum:
		return "want at most " + reason.Want.RatString() + ", got " + shown
	case *kind.ExclusiveMinimum:
		return "want more than " + reason.Want.RatString() + ", got " + shown
	case *kind.ExclusiveMaximum:
		return "want less than " + reason.Want.RatString() + ", got " + shown
	case *kind.DependentRequired:
		return fmt.Sprintf("%s is only for where there is %s", quote(reason.Prop), alternatives(reason.Missing, " and "))
	case *kind.FalseSchema:
		return "it can't stand here"
	}
	return printable(failure.ErrorKind.LocalizedString(english))
}

// shown is the value, bounded.
func (n *node) shown() string {
	switch {
	case n.object != nil:
		return "a mapping"
	case n.list != nil:
		return "a list"
	}
	return scalar(n.scalar)
}

func scalar(value any) string {
	switch value := value.(type) {
	case string:
		return quote(value)
	case json.Number:
		return value.String()
	case nil:
		return "nothing"
	}
	return printable(fmt.Sprint(value))
}
