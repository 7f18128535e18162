package measure

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// ReadBindings reads the folders that are given for bindings that come from
// elsewhere, by the bindings' names.
func ReadBindings(targets []matrix.Target, folders map[string]string) (map[string]*source.Tree, error) {
	trees := map[string]*source.Tree{}
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		systems, err := systemsOf(targets, name)
		if err == nil {
			trees[name], err = source.Read(folders[name], "", systems...)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
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
	return nil, errors.New(problem)
}

// Origins are the trees as a run's header has them.
func Origins(trees map[string]*source.Tree) map[string]matrix.Source {
	if len(trees) == 0 {
		return nil
	}
	found := map[string]matrix.Source{}
	for name, tree := range trees {
		found[name] = tree.Source
	}
	return found
}
