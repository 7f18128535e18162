package ci

import (
	"maps"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// bindingFlags say where bindings that come from elsewhere are taken from.
type bindingFlags struct {
	BindingSource map[string]string `help:"Take a binding from a folder, such as a working copy: pzmq=DIR. Repeatable. Without it such a binding is fetched where that is possible." placeholder:"NAME=DIR" mapsep:"none"`
}

// trees reads the folders that were named.
func (f bindingFlags) trees(targets []matrix.Target) (map[string]*source.Tree, error) {
	trees := map[string]*source.Tree{}
	for _, name := range slices.Sorted(maps.Keys(f.BindingSource)) {
		systems, err := systemsOf(targets, name)
		if err != nil {
			return nil, err
		}
		if trees[name], err = source.Read(f.BindingSource[name], "", systems...); err != nil {
			return nil, usagef("--binding-source %s: %w", name, err)
		}
	}
	return trees, nil
}

// systemsOf are the systems that targets load for the binding.
func systemsOf(targets []matrix.Target, name string) ([]string, error) {
	var systems, elsewhere []string
	own := false
	for _, target := range targets {
		for _, binding := range target.Bindings {
			if binding.System != "" {
				elsewhere = append(elsewhere, binding.Name)
			}
			switch {
			case binding.Name != name:
			case binding.System == "":
				own = true
			default:
				systems = append(systems, binding.System)
			}
		}
	}
	if len(systems) > 0 {
		slices.Sort(systems)
		return slices.Compact(systems), nil
	}
	slices.Sort(elsewhere)
	elsewhere = slices.Compact(elsewhere)
	problem := "no target has a binding of that name"
	if own {
		problem = "that binding is the project's own"
	}
	switch nearest := matrix.Nearest(name, elsewhere); {
	case len(nearest) > 0:
		problem += "; did you mean " + strings.Join(nearest, " or ") + "?"
	case len(elsewhere) > 0:
		problem += "; those that come from elsewhere are " + strings.Join(elsewhere, ", ")
	}
	return nil, usagef("--binding-source %s: %s", name, problem)
}

// origins are the trees as a run's header has them.
func origins(trees map[string]*source.Tree) map[string]matrix.Source {
	if len(trees) == 0 {
		return nil
	}
	found := map[string]matrix.Source{}
	for name, tree := range trees {
		found[name] = tree.Source
	}
	return found
}

// resumeTrees reads the folders that a run began with, or those that are named
// for them now, and holds them to be unchanged: the attempts made so far are of
// what was there then.
func (f bindingFlags) resumeTrees(targets []matrix.Target, run string, recorded map[string]matrix.Source) (map[string]*source.Tree, error) {
	folders := map[string]string{}
	for name, origin := range recorded {
		folders[name] = origin.From
	}
	for name, folder := range f.BindingSource {
		if _, known := recorded[name]; !known {
			return nil, usagef("--binding-source %s: run %s began without it; start a new run", name, run)
		}
		folders[name] = folder
	}
	trees, err := bindingFlags{folders}.trees(targets)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		if was, is := recorded[name].Digest, trees[name].Digest; was != is {
			return nil, usagef("run %s measured the binding %s with a source of digest %s, and %s has %s now: put it back as it was, or start a new run, which reuses what it may",
				run, name, was, folders[name], is)
		}
	}
	return trees, nil
}
