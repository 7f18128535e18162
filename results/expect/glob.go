package expect

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Glob names cells as matrix.ParseCell reads them, each part a pattern by
// path.Match. Without a technique it is about features by their best technique,
// with one about that technique. A target without "@" means every variant.
type Glob struct {
	text            string
	target, binding string
	group, name     string // of the feature
	technique       string // "": none is named
	variant         bool   // target names one
}

// String is the glob as it stands in the file.
func (g Glob) String() string { return g.text }

func parseGlob(text string) (Glob, error) {
	// The parts are those of a cell's name, and so are the mistakes.
	cell, err := matrix.ParseCell(text)
	if err != nil {
		return Glob{}, err
	}
	parts := strings.Split(text, "/")
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return Glob{}, fmt.Errorf("%q is no pattern: %w; a glob has *, ? and [a-z]", part, err)
		}
	}
	return Glob{
		text: text, target: parts[0], binding: parts[1], group: parts[2], name: parts[3], technique: cell.Technique,
		variant: strings.Contains(parts[0], "@"),
	}, nil
}

// matchesClient reports whether the glob is about the client.
func (g Glob) matchesClient(client matrix.Client) bool {
	return match(g.binding, client.Binding) && g.matchesTarget(client.Target)
}

func (g Glob) matchesTarget(target string) bool {
	if !g.variant {
		target, _, _ = strings.Cut(target, "@")
	}
	return match(g.target, target)
}

// matchesFeature reports whether the glob is about the feature.
func (g Glob) matchesFeature(feature string) bool {
	group, name, ok := strings.Cut(feature, "/")
	return ok && match(g.group, group) && match(g.name, name)
}

// match is path.Match by a pattern that is known to be one.
func match(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok
}

// matchesTechnique reports whether the glob, which names one, is about the
// technique.
func (g Glob) matchesTechnique(technique string) bool { return match(g.technique, technique) }

// whyNothing says which part of a glob that matches none of the cells is to
// blame, and what may have been meant.
func (g Glob) whyNothing(cells []matrix.Cell) string {
	for _, part := range []struct {
		kind, pattern string
		names         func(matrix.Cell) []string
		matches       func(string) bool
	}{
		{"target", g.target, func(cell matrix.Cell) []string {
			implementation, _, _ := strings.Cut(cell.Target, "@")
			return []string{cell.Target, implementation}
		}, g.matchesTarget},
		{"binding", g.binding, func(cell matrix.Cell) []string { return []string{cell.Binding} }, func(name string) bool { return match(g.binding, name) }},
		{"feature", g.group + "/" + g.name, func(cell matrix.Cell) []string { return []string{cell.Feature} }, g.matchesFeature},
		{"technique", cmp.Or(g.technique, "*"), func(cell matrix.Cell) []string { return []string{cell.Technique} }, func(name string) bool {
			return g.technique == "" || g.matchesTechnique(name)
		}},
	} {
		known, matches := map[string]bool{}, false
		for _, cell := range cells {
			for i, name := range part.names(cell) {
				known[name] = true
				matches = matches || i == 0 && part.matches(name)
			}
		}
		if matches {
			continue
		}
		text := fmt.Sprintf("matches no cell: no %s is %q", part.kind, part.pattern)
		names := slices.Sorted(maps.Keys(known))
		if nearest := matrix.Nearest(strings.TrimSuffix(part.pattern, "@*"), names); len(nearest) > 0 {
			for i, name := range nearest {
				nearest[i] = results.Shown(name, 100)
			}
			text += "; did you mean " + strings.Join(nearest, " or ") + "?"
		}
		return text
	}
	return "matches no cell: each part of it exists, but no client has them together; `zmqmatrix list cells` shows which do"
}
