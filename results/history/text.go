package history

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/results"
)

// Bounds of what a line shows, in bytes.
const (
	mostName  = 300
	mostWords = 1000
)

// Text is a change in a line: "sbcl@bookworm/cffi/…/plain: pass (11 of 11
// passed), then crash (0 of 3 passed), died of SIGSEGV".
func (c Change) Text() string { return results.Shown(c.Cell.String(), mostName) + ": " + c.Verdicts() }

// Verdicts is what the cell was and is.
func (c Change) Verdicts() string {
	const nothing = "nothing said"
	before, after := nothing, nothing
	if c.Before != nil {
		before = c.Before.Text()
	}
	if c.After != nil {
		after = c.After.Text()
	}
	switch {
	case c.Kind == New && c.Before == nil:
		return after
	case c.Kind == New:
		return "again " + after
	}
	return before + ", then " + after
}

// Text is the verdict and what it rests on: "crash (0 of 3 passed), in the
// runtime: died of SIGSEGV".
func (v Verdict) Text() string {
	text := rate(v.Outcome, v.Passes, v.Attempts)
	if v.Layer != "" {
		text += fmt.Sprintf(", layer %s", v.Layer)
	}
	if v.Reason != "" {
		text += ": " + results.Shown(v.Reason, mostWords)
	}
	return text
}

// digest is one in full, of which a line shows the beginning.
var digest = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`)

// Text is what differs, in a line: "libzmq: 4.3.4, then 4.3.5".
func (d Difference) Text() string {
	value := func(text string) string {
		if text == "" {
			return "none"
		}
		return digest.ReplaceAllString(results.Shown(text, mostName), "$1…")
	}
	return fmt.Sprintf("%s: %s, then %s", d.What, value(d.Before), value(d.After))
}

// Common takes off what all changes that have another verdict before them have
// in common: what differs between the runs rather than between the clients.
func Common(changes []Change) (common []Difference, own []Change) {
	own = slices.Clone(changes)
	first := true
	for _, change := range changes {
		switch {
		case change.Before == nil || change.After == nil:
		case first:
			common, first = slices.Clone(change.Else), false
		default:
			common = slices.DeleteFunc(common, func(d Difference) bool { return !slices.Contains(change.Else, d) })
		}
	}
	for i := range own {
		own[i].Else = slices.DeleteFunc(slices.Clone(own[i].Else), func(d Difference) bool { return slices.Contains(common, d) })
	}
	return common, own
}

// Summary counts changes by kind: "2 broken, 1 mended", or "nothing changed".
func Summary(changes []Change) string {
	counts := map[Kind]int{}
	for _, change := range changes {
		counts[change.Kind]++
	}
	var parts []string
	for _, kind := range Kinds {
		if count := counts[kind]; count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, kind.Words()))
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}

// Words is the kind for people: "reason changed".
func (k Kind) Words() string { return strings.ReplaceAll(string(k), "-", " ") }
