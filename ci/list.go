package ci

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

type listCommand struct {
	What string `arg:"" optional:"" enum:"all,targets,bindings,features,techniques,cells" default:"all" help:"targets, bindings, features, techniques, or cells: what a run with the same flags would attempt."`
	selectionFlags
}

// The parts of a listing, as they are printed with --json.
type (
	listing struct {
		Targets    []listedTarget    `json:"targets,omitempty"`
		Bindings   []listedBinding   `json:"bindings,omitempty"`
		Features   []listedFeature   `json:"features,omitempty"`
		Techniques []listedTechnique `json:"techniques,omitempty"`
		Cells      []matrix.Cell     `json:"cells,omitempty"`
	}
	listedTarget struct {
		Target  string `json:"target"`
		Title   string `json:"title"`
		Family  string `json:"family"`
		Suite   string `json:"suite"`
		Default bool   `json:"default"` // measured unless another variant is named
		Role    string `json:"role,omitempty"`
		Needs   string `json:"needs,omitempty"` // what a person must supply
	}
	listedBinding struct {
		Binding string   `json:"binding"`
		Title   string   `json:"title"`
		Raw     bool     `json:"raw"`
		Targets []string `json:"targets"`
	}
	listedFeature struct {
		Feature     string `json:"feature"`
		Requirement string `json:"requirement"`
		Source      string `json:"source"`
		Timing      bool   `json:"timing"`
	}
	listedTechnique struct {
		Technique string   `json:"technique"`
		Features  []string `json:"features"`
		Targets   []string `json:"targets"`
	}
)

func (c *listCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	plan, err := matrix.MakePlan(from.targets, s.catalogue, c.selection())
	if err != nil {
		return err
	}
	if !c.selection().Partial() && c.What != "cells" {
		// Everything that exists, not only what is measured by default.
		if plan, err = matrix.MakePlan(from.targets, s.catalogue, matrix.Selection{Targets: []string{"*@*"}}); err != nil {
			return err
		}
	}
	list := listPlan(plan, s.catalogue)
	if c.What != "all" {
		list = list.only(c.What)
	} else {
		list.Cells = nil
	}
	if s.json {
		return s.printJSON(list)
	}
	s.print("%s", list.text())
	return nil
}

// listPlan collects what a plan is made of.
func listPlan(plan matrix.Plan, catalogue []matrix.Feature) listing {
	var list listing
	planned := map[string]bool{}
	for _, client := range plan.Clients {
		name := client.Client().Target
		if len(list.Targets) == 0 || list.Targets[len(list.Targets)-1].Target != name {
			list.Targets = append(list.Targets, listedTarget{
				Target: name, Title: client.Target.Title, Family: client.Target.Family, Suite: client.Variant.Suite,
				Default: client.Variant.Default, Role: client.Target.Role, Needs: client.Target.Image.Supplied,
			})
		}
		i := slices.IndexFunc(list.Bindings, func(b listedBinding) bool { return b.Binding == client.Binding.Name })
		if i < 0 {
			i = len(list.Bindings)
			list.Bindings = append(list.Bindings, listedBinding{Binding: client.Binding.Name, Title: client.Binding.Title, Raw: client.Binding.Raw})
		}
		list.Bindings[i].Targets = addName(list.Bindings[i].Targets, name)
		for _, cell := range client.Cells {
			list.Cells = append(list.Cells, cell)
			planned[cell.Feature] = true
			i := slices.IndexFunc(list.Techniques, func(t listedTechnique) bool { return t.Technique == cell.Technique })
			if i < 0 {
				i = len(list.Techniques)
				list.Techniques = append(list.Techniques, listedTechnique{Technique: cell.Technique})
			}
			list.Techniques[i].Features = addName(list.Techniques[i].Features, cell.Feature)
			list.Techniques[i].Targets = addName(list.Techniques[i].Targets, name)
		}
	}
	for _, feature := range catalogue {
		if planned[feature.Name] {
			list.Features = append(list.Features, listedFeature{feature.Name, feature.Requirement, feature.Source, feature.Timing})
		}
	}
	slices.SortStableFunc(list.Techniques, func(a, b listedTechnique) int {
		return cmp.Or(cmp.Compare(len(b.Features), len(a.Features)), cmp.Compare(a.Technique, b.Technique))
	})
	return list
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func (l listing) only(part string) listing {
	switch part {
	case "targets":
		return listing{Targets: l.Targets}
	case "bindings":
		return listing{Bindings: l.Bindings}
	case "features":
		return listing{Features: l.Features}
	case "techniques":
		return listing{Techniques: l.Techniques}
	}
	return listing{Cells: l.Cells}
}

// writeTable writes rows in columns, indented.
func writeTable(out io.Writer, rows int, row func(i int) []string) {
	tabs := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range rows {
		cells := row(i)
		for j := range cells {
			cells[j] = printable(cells[j])
		}
		fmt.Fprintln(tabs, strings.TrimRight("  "+strings.Join(cells, "\t"), "\t "))
	}
	tabs.Flush()
}

func (l listing) text() string {
	var out strings.Builder
	table := func(title string, rows int, row func(i int) []string) {
		if rows == 0 {
			return
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		if title != "" {
			fmt.Fprintln(&out, title)
		}
		writeTable(&out, rows, row)
	}
	table("targets", len(l.Targets), func(i int) []string {
		t := l.Targets[i]
		var notes []string
		if t.Role != "" {
			notes = append(notes, t.Role)
		}
		if !t.Default {
			notes = append(notes, "when named")
		}
		if t.Needs != "" {
			notes = append(notes, "image supplied by the user")
		}
		return []string{t.Target, t.Title, strings.Join(notes, ", ")}
	})
	table("bindings", len(l.Bindings), func(i int) []string {
		b := l.Bindings[i]
		return []string{b.Binding, b.Title, strings.Join(b.Targets, " ")}
	})
	table("features", len(l.Features), func(i int) []string { return []string{l.Features[i].Feature, l.Features[i].Requirement} })
	table("techniques", len(l.Techniques), func(i int) []string {
		t := l.Techniques[i]
		features := strings.Join(t.Features, " ")
		if len(t.Features) > 3 {
			features = fmt.Sprintf("%d features", len(t.Features))
		}
		return []string{t.Technique, features, strings.Join(t.Targets, " ")}
	})
	table("", len(l.Cells), func(i int) []string { return []string{l.Cells[i].String()} })
	return out.String()
}
