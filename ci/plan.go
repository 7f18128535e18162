package ci

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

type planCommand struct {
	selectionFlags
	bindingFlags
	outFlag
	Shards    *int   `help:"Cut the plan into N parts of about equal length." placeholder:"N"`
	Durations string `help:"What cells took: a record.jsonl, a published.json, or what plan --json printed. Without it, the last runs in the out directory, then results/published/latest.json." placeholder:"FILE" type:"path"`
}

func (planCommand) Help() string {
	return `A cell is expected to take what it took when it was last measured; one that never was, what it took in other
variants of its target, or else the median of its feature over all clients. What preparing a client takes, such as building its image, is not counted.

The parts are filled with the longest target first, each into the shortest part. All clients of a target stay
together, since a red binding is compared with the raw one of its target; every part has the controls. The plan
does not depend on the folders of --binding-source; they are checked here before every part is given them. To run
the parts, hand the plan to every machine:

  zmqmatrix plan --shards 3 --json >plan.json
  zmqmatrix run --shard 1/3 --durations plan.json       # and 2/3, and 3/3, with the same selection
  zmqmatrix merge a/published.json b/published.json c/published.json`
}

// planSchema names the version of what plan prints with --json.
const planSchema = "zmqmatrix/plan/v1"

// printedPlan is a plan as it is printed with --json, and read again for
// --durations. Durations are of all attempts, one after another.
type printedPlan struct {
	Schema    string           `json:"schema"`
	Tool      string           `json:"tool"`
	Plan      string           `json:"plan"` // digest
	Selection matrix.Selection `json:"selection"`
	Cells     int              `json:"cells"`
	Expected  time.Duration    `json:"expected"`
	By        []string         `json:"by"` // where durations come from; the first that has a cell counts
	Clients   []printedClient  `json:"clients"`
	Shards    []printedShard   `json:"shards,omitempty"`
}

type printedClient struct {
	matrix.Client
	Control  bool          `json:"control,omitempty"`
	Cells    int           `json:"cells"`
	Expected time.Duration `json:"expected"`
	Guessed  int           `json:"guessed,omitempty"` // of the cells, never measured
}

type printedShard struct {
	matrix.Shard
	Cells    int           `json:"cells"`
	Expected time.Duration `json:"expected"`
}

func (c *planCommand) Run(s *session) error {
	if c.Shards != nil && *c.Shards < 1 {
		return usagef("--shards %d: want at least 1", *c.Shards)
	}
	from, err := s.sources()
	if err != nil {
		return err
	}
	if _, err := c.trees(from.targets); err != nil {
		return err
	}
	plan, err := matrix.MakePlan(from.targets, s.catalogue, c.selection())
	if err != nil {
		return err
	}
	folder, err := c.folder(from)
	if err != nil {
		return err
	}
	known, err := s.lengthsOf(from, plan, c.Durations, folder)
	if err != nil {
		return err
	}
	printed := printedPlan{
		Schema: planSchema, Tool: s.version, Plan: plan.Digest, Selection: c.selection(), Cells: plan.Cells,
		Expected: known.of(plan), By: known.by, Clients: []printedClient{},
	}
	for _, client := range plan.Clients {
		length := known.lengths[client.Client()]
		printed.Clients = append(printed.Clients, printedClient{
			Client: client.Client(), Control: client.Control, Cells: len(client.Cells), Expected: length.Expected, Guessed: length.Guessed,
		})
	}
	if c.Shards != nil {
		shards, err := known.divide(plan, *c.Shards)
		if err != nil {
			return err
		}
		for _, shard := range shards {
			part, err := plan.Part(shard)
			if err != nil {
				return err
			}
			printed.Shards = append(printed.Shards, printedShard{Shard: shard, Cells: part.Cells, Expected: known.of(part)})
		}
	}
	if s.json {
		return s.printJSON(printed)
	}
	s.print("%s", printed.text())
	return nil
}

func (p printedPlan) text() string {
	var out strings.Builder
	fmt.Fprintf(&out, "plan %s: %s of %s\n", p.Plan, count(p.Cells, "cell", "cells"), count(len(p.Clients), "client", "clients"))
	guessed := 0
	writeTable(&out, len(p.Clients), func(i int) []string {
		client := p.Clients[i]
		guessed += client.Guessed
		note := ""
		if client.Control {
			note = "control"
		}
		return []string{client.Client.String(), count(client.Cells, "cell", "cells"), seconds(client.Expected), note}
	})
	by := "nothing was measured yet"
	if len(p.By) > 0 {
		by = "by " + printable(strings.Join(p.By, ", then "))
		if guessed > 0 {
			by += fmt.Sprintf("; %s never measured", count(guessed, "cell was", "cells were"))
		}
	}
	fmt.Fprintf(&out, "expected: %s of attempts, one after another, %s\n", seconds(p.Expected), by)
	if len(p.Shards) == 0 {
		return out.String()
	}
	fmt.Fprintf(&out, "shards of division %s, each with its controls:\n", p.Shards[0].Division)
	writeTable(&out, len(p.Shards), func(i int) []string {
		shard := p.Shards[i]
		return []string{shard.String(), count(shard.Cells, "cell", "cells"), seconds(shard.Expected), strings.Join(shard.Targets, " ")}
	})
	return out.String()
}

// knownLengths are what a plan's clients are expected to take, and where that is
// known from.
type knownLengths struct {
	lengths map[matrix.Client]matrix.Length
	by      []string
	printed *printedPlan // it is from a printed plan
}

// of sums up what a plan's or a part's clients take.
func (k knownLengths) of(plan matrix.Plan) (sum time.Duration) {
	for _, client := range plan.Clients {
		sum += k.lengths[client.Client()].Expected
	}
	return sum
}

// divide cuts the plan.
func (k knownLengths) divide(plan matrix.Plan, count int) ([]matrix.Shard, error) {
	expected := map[matrix.Client]time.Duration{}
	for client, length := range k.lengths {
		expected[client] = length.Expected
	}
	shards, err := plan.Divide(count, expected)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return shards, nil
}

// lengthsOf estimates what the plan's clients take: by the file if one is named,
// else by the last runs in the folder, then by the published results. Without a
// folder it depends on nothing but what comes with the source.
func (s *session) lengthsOf(from sources, plan matrix.Plan, file string, folder measure.Runs) (knownLengths, error) {
	if file != "" {
		return s.lengthsIn(file, plan)
	}
	took, by, err := measure.Durations(from.root, folder, plan)
	if err != nil {
		return knownLengths{}, err
	}
	return knownLengths{lengths: plan.Lengths(s.catalogue, took), by: append([]string{}, by...)}, nil
}

// lengthsIn are what the plan's clients take by a file.
func (s *session) lengthsIn(file string, plan matrix.Plan) (knownLengths, error) {
	printed, err := readPlan(file)
	if err != nil {
		return knownLengths{}, usagef("--durations: %w", err)
	}
	if printed == nil {
		took, err := results.DurationsOf(file)
		if err != nil {
			return knownLengths{}, usagef("--durations: %w", err)
		}
		return knownLengths{lengths: plan.Lengths(s.catalogue, took), by: []string{file}}, nil
	}
	if printed.Plan != plan.Digest {
		return knownLengths{}, usagef("--durations %s: it is of the plan %s, selected %s, and the plan here is %s: give the selection that it was made with, to the same version of zmqmatrix (%s)",
			file, printed.Plan, selectedText(printed.Selection), plan.Digest, printed.Tool)
	}
	known := knownLengths{lengths: map[matrix.Client]matrix.Length{}, by: printed.By, printed: printed}
	for _, client := range printed.Clients {
		known.lengths[client.Client] = matrix.Length{Expected: client.Expected, Guessed: client.Guessed}
	}
	for _, client := range plan.Clients {
		if _, there := known.lengths[client.Client()]; !there {
			return knownLengths{}, usagef("--durations %s: it lacks the client %s of its plan; print it again with `zmqmatrix plan --json`", file, client.Client())
		}
	}
	return known, nil
}

// readPlan reads a printed plan; nil without an error is a file that is none.
func readPlan(file string) (*printedPlan, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading what cells took: %w", err)
	}
	var kind struct {
		Schema string `json:"schema"`
	}
	if json.Unmarshal(data, &kind) != nil || !strings.HasPrefix(kind.Schema, strings.TrimSuffix(planSchema, "v1")) {
		return nil, nil
	}
	if kind.Schema != planSchema {
		return nil, fmt.Errorf("%s: schema: the plan is %q and this zmqmatrix reads %q; print it again with this version", file, kind.Schema, planSchema)
	}
	if err := schema.CheckJSON(schema.Plan, file, data); err != nil {
		return nil, err
	}
	var printed printedPlan
	if err := json.Unmarshal(data, &printed); err != nil {
		return nil, fmt.Errorf("reading the plan in %s: %w", file, err)
	}
	return &printed, nil
}

// selectedText is a selection as flags.
func selectedText(selection matrix.Selection) string {
	var flags []string
	for _, part := range []struct {
		flag  string
		globs []string
	}{
		{"--target", selection.Targets}, {"--binding", selection.Bindings}, {"--feature", selection.Features}, {"--technique", selection.Techniques},
		{"--skip", selection.Skip},
	} {
		for _, glob := range part.globs {
			flags = append(flags, part.flag+" "+results.ShellWord(glob))
		}
	}
	if selection.AllVariants {
		flags = append(flags, "--all-variants")
	}
	if len(flags) == 0 {
		return "without any flag"
	}
	return "by " + strings.Join(flags, " ")
}

// shardOf finds out what is in a shard that is asked for as INDEX/COUNT. It must
// come to the same on every machine, so that the last runs there have no say.
func (s *session) shardOf(from sources, plan matrix.Plan, asked, file string) (*matrix.Shard, error) {
	shard, err := matrix.ParseShard(asked)
	if err != nil {
		return nil, usagef("--shard: %w", err)
	}
	known, err := s.lengthsOf(from, plan, file, "")
	if err != nil {
		return nil, err
	}
	shards, err := known.divide(plan, shard.Count)
	if err != nil {
		return nil, err
	}
	if known.printed != nil && len(known.printed.Shards) > 0 {
		switch cut := known.printed.Shards[0]; {
		case len(known.printed.Shards) != shard.Count:
			return nil, usagef("--shard %s: %s cuts the plan into %d", shard, file, len(known.printed.Shards))
		case cut.Division != shards[0].Division:
			return nil, usagef("--durations %s: its division is %s, and what it says of clients gives %s here; print it again with `zmqmatrix plan --shards %d --json`", file, cut.Division, shards[0].Division, shard.Count)
		}
	}
	return &shards[shard.Index-1], nil
}

// shardLine says what a run is a part of.
func shardLine(shard matrix.Shard) string {
	return fmt.Sprintf("shard %s of division %s: %s, and the controls", shard, shard.Division, strings.Join(shard.Targets, " "))
}
