package schema

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one mistake in a file, where it stands and what it is. Its text is
// printable and bounded whatever the file holds.
type Error struct {
	File    string
	Line    int    // from 1; 0 if the mistake is the whole file's
	Column  int    // in characters, from 1
	Field   string // "bindings[0].command", "" for the whole document
	Problem string // "missing"
}

func (e *Error) Error() string {
	text := printable(e.File)
	if e.Line > 0 {
		text += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if e.Field != "" {
		text += ": " + e.Field
	}
	return text + ": " + e.Problem
}

// Errors are several mistakes, one a line in the text.
type Errors []*Error

// mostErrors is how many mistakes a text lists: more of them than a person
// mends in one go are likely the same one.
const mostErrors = 20

func (e Errors) Error() string {
	var lines []string
	for _, problem := range e[:min(len(e), mostErrors)] {
		lines = append(lines, problem.Error())
	}
	if more := len(e) - mostErrors; more > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more", printable(e[0].File), more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the first mistake as an *Error.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, problem := range e {
		list[i] = problem
	}
	return list
}

// Join makes one error of several mistakes: nil of none, the *Error itself of
// one, else Errors in the order of their positions, each once.
func Join(problems ...*Error) error {
	problems = slices.Clone(problems)
	slices.SortStableFunc(problems, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Field, b.Field),
			cmp.Compare(a.Problem, b.Problem),
		)
	})
	problems = slices.CompactFunc(problems, func(a, b *Error) bool { return *a == *b })
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	return Errors(problems)
}

// Problems are the mistakes in an error of this package, nil if it has none.
func Problems(err error) []*Error {
	if several, ok := errors.AsType[Errors](err); ok {
		return several
	}
	if one, ok := errors.AsType[*Error](err); ok {
		return []*Error{one}
	}
	return nil
}

// mostQuoted is how many characters of a stranger's text an error shows.
const mostQuoted = 60

// quote shows a stranger's text: bounded, and with everything escaped that a
// terminal would not print.
func quote(text string) string {
	short, cut := shorten(text, mostQuoted)
	if cut {
		return strconv.Quote(short) + "…"
	}
	return strconv.Quote(short)
}

// printable is quote without quotation marks, for texts that seldom need it.
func printable(text string) string {
	const mostShown = 300
	short, cut := shorten(text, mostShown)
	quoted := strconv.Quote(short)
	shown := strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	if cut {
		shown += "…"
	}
	return shown
}

func shorten(text string, most int) (string, bool) {
	count := 0
	for i := range text {
		if count == most {
			return text[:i], true
		}
		count++
	}
	return text, false
}

// mostSteps is how deep a field's path is shown.
const mostSteps = 12

// fieldAt writes a path as a person would: bindings[0].command.
func fieldAt(path []any) string {
	var text strings.Builder
	for i, step := range path {
		if i == mostSteps {
			text.WriteString("…")
			break
		}
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&text, "[%d]", step)
		case string:
			switch {
			case !isWord(step):
				fmt.Fprintf(&text, "[%s]", quote(step))
			case text.Len() > 0:
				text.WriteString("." + step)
			default:
				text.WriteString(step)
			}
		}
	}
	return text.String()
}

// isWord reports whether a key can stand in a path without quotation marks.
func isWord(key string) bool {
	if key == "" || utf8.RuneCountInString(key) > mostQuoted {
		return false
	}
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
