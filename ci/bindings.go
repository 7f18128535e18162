package ci

import (
	"maps"
	"slices"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
)

// bindingFlags say where bindings that come from elsewhere are taken from.
type bindingFlags struct {
	BindingSource map[string]string `help:"Take a binding from a folder, such as a working copy: pzmq=DIR. Repeatable. Without it such a binding is fetched where that is possible." placeholder:"NAME=DIR" mapsep:"none"`
}

// trees reads the folders that were named.
func (f bindingFlags) trees(targets []matrix.Target) (map[string]*source.Tree, error) {
	trees, err := measure.ReadBindings(targets, f.BindingSource)
	if err != nil {
		return nil, usagef("--binding-source %w", err)
	}
	return trees, nil
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
