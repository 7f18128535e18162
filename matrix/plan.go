package matrix

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Selection is what a person asked for: globs by path.Match, where an empty
// list means all.
type Selection struct {
	Targets    []string `json:"targets,omitempty"` // "sbcl", "sbcl@*"; without a variant the default one is meant
	Bindings   []string `json:"bindings,omitempty"`
	Features   []string `json:"features,omitempty"` // "zero-copy/*"; a group alone means all of it
	Techniques []string `json:"techniques,omitempty"`
	// AllVariants means every variant of a target that is named without one,
	// or of all targets when none is named.
	AllVariants bool `json:"all_variants,omitempty"`
	// Cells are, of what the rest selects, the cells that are meant, in the form
	// of Cell.String: what no globs could say.
	Cells []string `json:"cells,omitempty"`
	// Skip leaves out, of what the rest selects, the cells that a CellPattern of
	// these matches. The controls keep all of theirs.
	Skip []string `json:"skip,omitempty"`
}

// Partial tells a selection from one of all that is measured by default; further
// variants leave out nothing.
func (s Selection) Partial() bool {
	return len(s.Targets)+len(s.Bindings)+len(s.Features)+len(s.Techniques)+len(s.Cells)+len(s.Skip) > 0
}

// PlannedClient is one client and its cells, in the order they are attempted.
type PlannedClient struct {
	Target  Target
	Variant Variant
	Binding Binding
	Cells   []Cell
	// Control marks the positive control, which is planned in every suite that
	// is selected and for every selected feature and technique, whether it was
	// selected or not: limits scale from its time, and layers are found by
	// comparison with it, in the same suite with the same libzmq.
	Control bool
}

// Client names the planned client.
func (p PlannedClient) Client() Client {
	return Client{Target: p.Target.Name + "@" + p.Variant.Name, Binding: p.Binding.Name}
}

// Plan is a run's cells in a stable order: the same targets, catalogue and
// selection give the same plan and digest.
type Plan struct {
	Clients []PlannedClient
	Digest  string
	Cells   int // of the clients
	// Controls are the negative controls with all of their cells. They are
	// planned in every run, whatever is selected, and are no part of its results.
	Controls []PlannedClient
}

// SelectionError says that a selection names something that does not exist, or
// selects nothing.
type SelectionError struct {
	Kind    string   // "target", "binding", "feature", "technique", "selected cell" to skip, or "" when the combination is empty
	Pattern string   // what was asked for
	Nearest []string // existing names that are close to it
	All     []string // existing names, but for cells
	Cause   error    // why the pattern can match nothing, nil if it could
}

func (e *SelectionError) Error() string {
	if e.Cause != nil {
		return e.Cause.Error()
	}
	if e.Kind == "" {
		return "the selection matches no cell: each part exists, but no client has them together; `zmqmatrix list` shows which do"
	}
	text := fmt.Sprintf("no %s matches %q", e.Kind, e.Pattern)
	if len(e.Nearest) > 0 {
		return text + "; did you mean " + strings.Join(e.Nearest, " or ") + "?"
	}
	if len(e.All) == 0 {
		return text + "; `zmqmatrix list cells` shows which there are"
	}
	return text + "; there are " + strings.Join(e.All, ", ")
}

// Unwrap is the cause.
func (e *SelectionError) Unwrap() error { return e.Cause }

// MakePlan chooses the cells. Every pattern must match something, so that a
// typing error can't pass for an empty success.
func MakePlan(targets []Target, catalogue []Feature, selection Selection) (Plan, error) {
	if err := checkSelection(targets, catalogue, selection); err != nil {
		return Plan{}, err
	}
	var plan Plan
	selectedCells := 0
	exact, err := selection.exact()
	if err != nil {
		return Plan{}, err
	}
	skip, err := selection.skip()
	if err != nil {
		return Plan{}, err
	}
	controls := controlsOf(targets, selection, exact)
	for _, target := range targets {
		if target.Role == RoleNegativeControl {
			for _, expected := range target.Expect {
				if !slices.ContainsFunc(catalogue, func(feature Feature) bool { return feature.Name == expected.Feature }) {
					return Plan{}, fmt.Errorf("the control %s expects something of %q, which is no feature", target.Name, expected.Feature)
				}
			}
			plan.Controls = append(plan.Controls, negativeControls(target, targets, controls)...)
			continue
		}
		for _, variant := range target.Variants {
			for _, binding := range target.Bindings {
				control := target.Role == RolePositiveControl && controls[variant.Name]
				client := PlannedClient{Target: target, Variant: variant, Binding: binding, Control: control}
				selected := selection.matches(target, variant) && matchesAny(selection.Bindings, binding.Name) && exact.client(client.Client())
				if !selected && !control {
					continue
				}
				for _, feature := range catalogue {
					if !matchesFeature(selection.Features, feature.Name) || !exact.feature(feature.Name) {
						continue
					}
					for _, technique := range techniquesOf(target, binding, feature.Name) {
						cell := Cell{Target: client.Client().Target, Binding: binding.Name, Feature: feature.Name, Technique: technique}
						asked := selected && matchesAny(selection.Techniques, technique) && exact.cell(cell) && !skip.cell(cell)
						if !asked && !control {
							continue
						}
						if asked {
							selectedCells++
						}
						client.Cells = append(client.Cells, cell)
					}
				}
				if len(client.Cells) > 0 {
					plan.Clients = append(plan.Clients, client)
					plan.Cells += len(client.Cells)
				}
			}
		}
	}
	if err := skip.check(); err != nil {
		return Plan{}, err
	}
	if selectedCells == 0 {
		return Plan{}, &SelectionError{}
	}
	if selectedCells < len(exact.cells) {
		return Plan{}, fmt.Errorf("of the %d cells that are named %d are not among those that the rest of the selection gives", len(exact.cells), len(exact.cells)-selectedCells)
	}
	slices.SortStableFunc(plan.Clients, func(a, b PlannedClient) int {
		return cmp.Or(
			boolOrder(a.Control, b.Control),
			cmp.Compare(a.Target.Name, b.Target.Name),
			cmp.Compare(a.Variant.Name, b.Variant.Name),
			boolOrder(a.Binding.Raw, b.Binding.Raw),
			cmp.Compare(a.Binding.Name, b.Binding.Name),
		)
	})
	plan.Digest = planDigest(plan, catalogue)
	return plan, nil
}

// Selected are the clients that were asked for with the cells that were: the
// same plan, if no target were a positive control, which is planned for
// comparison, too.
func Selected(targets []Target, catalogue []Feature, selection Selection) ([]PlannedClient, error) {
	targets = slices.Clone(targets)
	for i := range targets {
		if targets[i].Role == RolePositiveControl {
			targets[i].Role = ""
		}
	}
	plan, err := MakePlan(targets, catalogue, selection)
	return plan.Clients, err
}

// exactly is what Selection.Cells names; the zero value is everything.
type exactly struct {
	cells    map[Cell]bool
	clients  map[Client]bool
	features map[string]bool
}

func (s Selection) exact() (exactly, error) {
	exact := exactly{map[Cell]bool{}, map[Client]bool{}, map[string]bool{}}
	for _, name := range s.Cells {
		cell, err := ParseCell(name)
		if err != nil {
			return exactly{}, err
		}
		exact.cells[cell], exact.clients[cell.Client()], exact.features[cell.Feature] = true, true, true
	}
	return exact, nil
}

func (e exactly) cell(cell Cell) bool       { return len(e.cells) == 0 || e.cells[cell] }
func (e exactly) client(client Client) bool { return len(e.cells) == 0 || e.clients[client] }
func (e exactly) feature(name string) bool  { return len(e.cells) == 0 || e.features[name] }

// skipping is what Selection.Skip names.
type skipping struct {
	patterns []CellPattern
	matched  []bool
	selected []Cell // but for the skipping
}

func (s Selection) skip() (*skipping, error) {
	skip := &skipping{matched: make([]bool, len(s.Skip))}
	for _, text := range s.Skip {
		pattern, err := ParseCellPattern(text)
		if err != nil {
			return nil, &SelectionError{Kind: "selected cell", Pattern: text, Cause: err}
		}
		skip.patterns = append(skip.patterns, pattern)
	}
	return skip, nil
}

// cell tells whether the cell, which the rest selects, is to be skipped.
func (s *skipping) cell(cell Cell) (skipped bool) {
	s.selected = append(s.selected, cell)
	for i, pattern := range s.patterns {
		if pattern.Matches(cell) {
			s.matched[i], skipped = true, true
		}
	}
	return skipped
}

// check holds every pattern to have left out something.
func (s *skipping) check() error {
	i := slices.Index(s.matched, false)
	if i < 0 {
		return nil
	}
	pattern := s.patterns[i]
	return &SelectionError{Kind: "selected cell", Pattern: pattern.String(), Nearest: pattern.Nearest(s.selected)}
}

// controlsOf are the positive control's variants that the selection needs, by
// name: one in each suite that it selects. A suite that the control has none in
// is compared with nothing; where that is so of all, the default one shows at
// least that this machine can do it.
func controlsOf(targets []Target, selection Selection, exact exactly) map[string]bool {
	suites := map[string]bool{}
	for _, target := range targets {
		if target.Role == RoleNegativeControl {
			continue
		}
		for _, variant := range target.Variants {
			for _, binding := range target.Bindings {
				client := PlannedClient{Target: target, Variant: variant, Binding: binding}.Client()
				if selection.matches(target, variant) && matchesAny(selection.Bindings, binding.Name) && exact.client(client) {
					suites[variant.Suite] = true
				}
			}
		}
	}
	chosen := map[string]bool{}
	for _, target := range targets {
		if target.Role != RolePositiveControl {
			continue
		}
		found := map[string]Variant{} // by suite
		var usual Variant
		for _, variant := range target.Variants {
			if _, known := found[variant.Suite]; !known || variant.Default {
				found[variant.Suite] = variant
			}
			if variant.Default {
				usual = variant
			}
		}
		for suite, variant := range found {
			if suites[suite] {
				chosen[variant.Name] = true
			}
		}
		if len(chosen) == 0 {
			chosen[usual.Name] = true
		}
	}
	return chosen
}

// negativeControls plans a negative control beside the positive one: in one suite
// that is run anyway, the default one if that is among them.
func negativeControls(target Target, targets []Target, chosen map[string]bool) []PlannedClient {
	suites := map[string]bool{}
	for _, other := range targets {
		for _, variant := range other.Variants {
			if other.Role == RolePositiveControl && chosen[variant.Name] {
				suites[variant.Suite] = true
			}
		}
	}
	var beside, usual *Variant
	for i, variant := range target.Variants {
		if suites[variant.Suite] && (beside == nil || variant.Default) {
			beside = &target.Variants[i]
		}
		if variant.Default {
			usual = &target.Variants[i]
		}
	}
	if beside == nil {
		beside = usual
	}
	var clients []PlannedClient
	for _, binding := range target.Bindings {
		client := PlannedClient{Target: target, Variant: *beside, Binding: binding}
		for _, expected := range target.Expect {
			if expected.Binding == binding.Name {
				client.Cells = append(client.Cells, Cell{
					Target: client.Client().Target, Binding: binding.Name, Feature: expected.Feature, Technique: expected.Technique,
				})
			}
		}
		clients = append(clients, client)
	}
	return clients
}

func (p PlannedClient) negative() bool { return p.Target.Role == RoleNegativeControl }

// expected is what the cell of a negative control must come to, or nil.
func (p PlannedClient) expected(cell Cell) *Expectation {
	for i, expectation := range p.Target.Expect {
		if expectation.Binding == cell.Binding && expectation.Feature == cell.Feature && expectation.Technique == cell.Technique {
			return &p.Target.Expect[i]
		}
	}
	return nil
}

// boolOrder puts true first.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func planDigest(plan Plan, catalogue []Feature) string {
	hash := sha256.New()
	versions := map[string]int{}
	for _, feature := range catalogue {
		versions[feature.Name] = feature.Version
	}
	for _, client := range plan.Clients {
		for _, cell := range client.Cells {
			fmt.Fprintf(hash, "%s %d\n", cell, versions[cell.Feature])
		}
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// techniquesOf lists a feature's techniques for a binding, in order of
// preference: the binding's own table if it has one, else the target's; the
// longest matching glob wins; without any it is plain alone.
func techniquesOf(target Target, binding Binding, feature string) []string {
	table := target.Techniques
	if binding.Techniques != nil {
		table = binding.Techniques
	}
	best, found := "", []string{"plain"}
	for glob, techniques := range table {
		if ok, _ := path.Match(glob, feature); ok && len(glob) > len(best) {
			best, found = glob, techniques
		}
	}
	return found
}

func matchesAny(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// matches tells whether the target's variant is selected.
func (s Selection) matches(target Target, variant Variant) bool {
	meant := variant.Default || s.AllVariants
	if len(s.Targets) == 0 {
		return meant
	}
	return slices.ContainsFunc(s.Targets, func(pattern string) bool {
		if strings.Contains(pattern, "@") {
			ok, _ := path.Match(pattern, target.Name+"@"+variant.Name)
			return ok
		}
		ok, _ := path.Match(pattern, target.Name)
		return ok && meant
	})
}

func matchesFeature(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if !strings.Contains(pattern, "/") {
			pattern += "/*"
		}
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// checkSelection holds every pattern to match at least one existing name.
func checkSelection(targets []Target, catalogue []Feature, selection Selection) error {
	var targetNames, bindingNames, featureNames, techniqueNames []string
	for _, target := range targets {
		if target.Role == RoleNegativeControl {
			continue // they are not for choosing
		}
		targetNames = append(targetNames, target.Name)
		for _, variant := range target.Variants {
			targetNames = append(targetNames, target.Name+"@"+variant.Name)
		}
		for _, binding := range target.Bindings {
			bindingNames = append(bindingNames, binding.Name)
			for _, feature := range catalogue {
				techniqueNames = append(techniqueNames, techniquesOf(target, binding, feature.Name)...)
			}
		}
	}
	for _, feature := range catalogue {
		featureNames = append(featureNames, feature.Name, feature.Group())
	}
	for _, list := range []struct {
		kind            string
		patterns, names []string
	}{
		{"target", selection.Targets, targetNames},
		{"binding", selection.Bindings, bindingNames},
		{"feature", selection.Features, featureNames},
		{"technique", selection.Techniques, techniqueNames},
	} {
		slices.Sort(list.names)
		names := slices.Compact(list.names)
		for _, pattern := range list.patterns {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("%s pattern %q: %w; a glob has *, ? and [a-z]", list.kind, pattern, err)
			}
			if !slices.ContainsFunc(names, func(name string) bool { ok, _ := path.Match(pattern, name); return ok }) {
				return &SelectionError{Kind: list.kind, Pattern: pattern, Nearest: Nearest(pattern, names), All: names}
			}
		}
	}
	return nil
}

// Nearest returns up to three names that a person who typed word may have
// meant, best first: at most a third of its letters wrong, or part of a name.
func Nearest(word string, names []string) []string {
	type scored struct {
		name     string
		distance int
	}
	var close []scored
	for _, name := range names {
		distance := editDistance(word, name)
		switch {
		case distance <= max(2, len(word)/3):
			close = append(close, scored{name, distance})
		case len(word) >= 3 && strings.Contains(name, word):
			close = append(close, scored{name, len(name)})
		}
	}
	slices.SortStableFunc(close, func(a, b scored) int { return cmp.Compare(a.distance, b.distance) })
	var names3 []string
	for _, candidate := range close[:min(3, len(close))] {
		names3 = append(names3, candidate.name)
	}
	return names3
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
