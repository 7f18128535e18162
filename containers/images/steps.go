package images

import (
	"context"
	"strings"
)

// Targets' Dockerfiles begin their stages with the same RUN lines, the images of a
// target's bindings with all of them, and the engine keeps their layers apart from
// the rest. But two builds at once would both make the layer that neither finds. So
// the RUNs with which a stage on the base image begins are built before, once, each
// with those before it as an image of its own; its tag also keeps the layer when
// unused ones are pruned.

const stepsRepository = "zmqmatrix/steps"

// warm builds the first steps of a Dockerfile that other images share. Their own has
// one name for all, or the same steps would not be the same image; a failure tells
// the one that a person can open.
func (m *Maker) warm(ctx context.Context, suite string, base Image, name, dockerfile string) error {
	for _, step := range firstSteps(dockerfile) {
		files := &Context{}
		files.AddFile("Dockerfile", []byte("ARG BASE\nFROM ${BASE}\n"+step), false)
		_, err := m.build(ctx, name, stepsRepository, suite, base, files, "Dockerfile", map[string]string{"BASE": base.Tag})
		if err != nil {
			return err
		}
	}
	return nil
}

// firstSteps are the RUN instructions that directly follow a FROM of the base image
// or another of them, as they are written, each behind those before it, and each
// once. With anything between, such as an ARG or a COPY, the layer is not shared.
func firstSteps(dockerfile string) []string {
	var steps []string
	seen := make(map[string]bool)
	onBase, before := false, ""
	for _, instruction := range instructions(dockerfile) {
		words := strings.Fields(instruction)
		switch keyword := strings.ToUpper(words[0]); {
		case keyword == "FROM":
			onBase, before = len(words) > 1 && (words[1] == "${BASE}" || words[1] == "$BASE"), ""
		case keyword == "RUN" && onBase:
			before += instruction
			if !seen[before] {
				seen[before] = true
				steps = append(steps, before)
			}
		default:
			onBase = false
		}
	}
	return steps
}

// work is about how much work Dockerfiles are: the words of their RUN instructions.
// Each package and command is one.
func work(dockerfiles ...string) int {
	words := 0
	for _, dockerfile := range dockerfiles {
		for _, instruction := range instructions(dockerfile) {
			if all := strings.Fields(instruction); strings.EqualFold(all[0], "RUN") {
				words += len(all)
			}
		}
	}
	return words
}

// instructions splits a Dockerfile, without its comments and empty lines; an
// instruction keeps its continuation lines.
func instructions(dockerfile string) []string {
	var all []string
	continued := false
	for line := range strings.Lines(dockerfile) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if continued {
			all[len(all)-1] += line
		} else {
			all = append(all, line)
		}
		continued = strings.HasSuffix(trimmed, `\`)
	}
	return all
}
