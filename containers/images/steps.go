package images

import (
	"context"
	"fmt"
	"strings"
)

// Targets' Dockerfiles begin their stages with the same RUN lines, and the
// engine keeps their layers apart from the rest. But two builds at once would
// both make the layer that neither finds. So the first RUN of every stage on
// the base image is built before, once, as an image of its own; its tag also
// keeps the layer when unused ones are pruned.

const stepsRepository = "zmqmatrix/steps"

// warm builds the first steps of a Dockerfile that other targets share.
func (m *Maker) warm(ctx context.Context, suite string, base Image, name, dockerfile string) error {
	for _, step := range firstSteps(dockerfile) {
		files := &Context{}
		files.AddFile("Dockerfile", []byte("ARG BASE\nFROM ${BASE}\n"+step), false)
		_, err := m.build(ctx, "steps@"+suite, stepsRepository, suite, base, files, "Dockerfile", map[string]string{"BASE": base.Tag})
		if err != nil {
			// The step's own Dockerfile is none that a person could open.
			return fmt.Errorf("first step of %s: %w", name, err)
		}
	}
	return nil
}

// firstSteps are the RUN instructions that directly follow a FROM of the base
// image, as they are written, each once. With anything between, such as an ARG
// or a COPY, the layer is not shared.
func firstSteps(dockerfile string) []string {
	var steps []string
	seen := make(map[string]bool)
	onBase := false
	for _, instruction := range instructions(dockerfile) {
		words := strings.Fields(instruction)
		switch keyword := strings.ToUpper(words[0]); {
		case keyword == "FROM":
			onBase = len(words) > 1 && (words[1] == "${BASE}" || words[1] == "$BASE")
			continue
		case keyword == "RUN" && onBase && !seen[instruction]:
			seen[instruction] = true
			steps = append(steps, instruction)
		}
		onBase = false
	}
	return steps
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
