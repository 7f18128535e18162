package matrixtest

import (
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// flags are those of go test that a run depends on.
type flags struct {
	run, skip pattern
	short     bool
	counted   bool // -count was given
	parallel  int  // 0: -parallel was not given
	failFast  bool
	artifacts bool
}

// readFlags reads what the test was started with.
func readFlags() flags {
	value := func(name string) string {
		if known := flag.Lookup("test." + name); known != nil {
			return known.Value.String()
		}
		return ""
	}
	read := flags{
		run: parsePattern(value("run")), skip: parsePattern(value("skip")), short: testing.Short(),
		failFast: value("failfast") == "true", artifacts: value("artifacts") == "true",
	}
	flag.Visit(func(given *flag.Flag) {
		switch given.Name {
		case "test.count":
			read.counted = true
		case "test.parallel":
			read.parallel, _ = strconv.Atoi(given.Value.String()) // anything else the flag refuses
		}
	})
	return read
}

// String is what leaves cells out, as it was typed.
func (f flags) String() string {
	var parts []string
	if f.run.text != "" {
		parts = append(parts, fmt.Sprintf("-run %q", f.run.text))
	}
	if f.skip.text != "" {
		parts = append(parts, fmt.Sprintf("-skip %q", f.skip.text))
	}
	if f.short {
		parts = append(parts, "-short")
	}
	return strings.Join(parts, ", ")
}

// enters tells whether package testing enters the cell's subtest, and that of
// its client, which it is in.
func (f flags) enters(test string, cell matrix.Cell) bool {
	for _, name := range []string{clientName(cell.Client()), Name(cell)} {
		elements := strings.Split(test+"/"+name, "/")
		if f.run.text != "" {
			if ok, _ := f.run.matches(elements); !ok {
				return false
			}
		}
		if f.skip.text != "" {
			// One that reaches deeper may still skip something below.
			if skip, partial := f.skip.matches(elements); skip && !partial {
				return false
			}
		}
	}
	return true
}

// pattern is a value of -run or -skip as package testing takes it ("go help
// testflag"): alternatives, each of them a regular expression for every element
// of a name. TestFlagsSelectAsPackageTestingDoes compares them.
type pattern struct {
	text         string
	alternatives [][]*regexp.Regexp
}

// parsePattern cuts at the bars and slashes that stand in no brackets. Package
// testing has refused what is no regular expression.
func parsePattern(text string) pattern {
	p := pattern{text: text}
	var elements []*regexp.Regexp
	start, squares, rounds := 0, 0, 0
	cut := func(end int) {
		// Names have no white space: package testing has rewritten it.
		element := strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return '_'
			}
			return r
		}, text[start:end])
		elements, start = append(elements, regexp.MustCompile(element)), end+1
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '[':
			squares++
		case c == ']':
			squares = max(0, squares-1) // one without its other half stands for itself
		case c == '(' && squares == 0:
			rounds++
		case c == ')' && squares == 0:
			rounds--
		case c == '/' && squares == 0 && rounds == 0:
			cut(i)
		case c == '|' && squares == 0 && rounds == 0:
			cut(i)
			p.alternatives, elements = append(p.alternatives, elements), nil
		}
	}
	cut(len(text))
	p.alternatives = append(p.alternatives, elements)
	return p
}

// matches reports whether an alternative matches the elements, and whether the
// first that does has more of its own.
func (p pattern) matches(elements []string) (ok, partial bool) {
	for _, alternative := range p.alternatives {
		ok := true
		for i, element := range elements[:min(len(elements), len(alternative))] {
			ok = ok && alternative[i].MatchString(element)
		}
		if ok {
			return true, len(elements) < len(alternative)
		}
	}
	return false, false
}
