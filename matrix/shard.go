package matrix

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shard is one part of a plan, for several machines to run a plan together. The
// clients of a target stay together, since a red binding is compared with the
// raw one; the controls are in every shard, so that each is judged as a whole
// run is.
type Shard struct {
	Index int `json:"index"` // from 1
	Count int `json:"count"` // of the shards that the plan was cut into
	// Division digests which shard has which targets: only shards that were cut
	// together have the same.
	Division string `json:"division"`
	// Targets are those whose clients are in this shard, in the plan's order; a
	// control that is only there to compare with is not among them.
	Targets []string `json:"targets"`
}

// String is the shard as it is asked for: "2/3".
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Count) }

// ParseShard reads what Shard.String writes; what is in the shard is for Divide
// to say.
func ParseShard(text string) (Shard, error) {
	first, second, _ := strings.Cut(text, "/")
	index, indexError := strconv.ParseUint(first, 10, 31)
	count, countError := strconv.ParseUint(second, 10, 31)
	switch {
	case indexError != nil || countError != nil:
		return Shard{}, fmt.Errorf("shard %q: want INDEX/COUNT, such as 2/3", text)
	case index < 1 || index > count:
		return Shard{}, fmt.Errorf("shard %q: shards are counted from 1 to %d", text, count)
	}
	return Shard{Index: int(index), Count: int(count)}, nil
}

// ErrTooManyShards: a plan has fewer targets than it was to be cut into shards.
var ErrTooManyShards = errors.New("more shards than targets")

// Divide cuts the plan into shards of about equal length, by what each client's
// attempts take: the longest target first, each into the shard with the least
// yet. The same plan and durations give the same shards everywhere.
func (p Plan) Divide(count int, length map[Client]time.Duration) ([]Shard, error) {
	targets := p.Divisible()
	switch {
	case count < 1:
		return nil, fmt.Errorf("%d shards: want at least 1", count)
	case count > len(targets):
		return nil, fmt.Errorf("%w: the plan can't be cut into %d, since all clients of a target stay together; it has %d: %s",
			ErrTooManyShards, count, len(targets), strings.Join(targets, ", "))
	}
	of := make(map[string]time.Duration, len(targets))
	for _, client := range p.Clients {
		of[client.Client().Target] += length[client.Client()]
	}
	byLength := slices.Clone(targets)
	slices.SortFunc(byLength, func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b)) })
	shards := make([]Shard, count)
	lengths := make([]time.Duration, count)
	for _, target := range byLength {
		least := 0
		for i := range shards {
			// Of as long ones the one with fewer targets, so that none stays empty.
			if cmp.Or(cmp.Compare(lengths[i], lengths[least]), cmp.Compare(len(shards[i].Targets), len(shards[least].Targets))) < 0 {
				least = i
			}
		}
		shards[least].Targets = append(shards[least].Targets, target)
		lengths[least] += of[target]
	}
	for i := range shards {
		shards[i].Index, shards[i].Count = i+1, count
		slices.SortFunc(shards[i].Targets, func(a, b string) int {
			return cmp.Compare(slices.Index(targets, a), slices.Index(targets, b))
		})
	}
	division := p.Division(shards)
	for i := range shards {
		shards[i].Division = division
	}
	return shards, nil
}

// Division is the digest of a plan's shards, which are all of them in order.
func (p Plan) Division(shards []Shard) string {
	hash := sha256.New()
	fmt.Fprintln(hash, p.Digest)
	for _, shard := range shards {
		fmt.Fprintf(hash, "%q\n", shard.Targets)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// Part is what a run of one shard has of the plan. Its digest is the whole
// plan's. It is an error if the shard names a target that the plan can't be cut
// by.
func (p Plan) Part(shard Shard) (Plan, error) {
	divisible := p.Divisible()
	for _, target := range shard.Targets {
		if !slices.Contains(divisible, target) {
			return Plan{}, fmt.Errorf("shard %s has %s, which the plan can't be cut by; it has %s", shard, target, strings.Join(divisible, ", "))
		}
	}
	var own []PlannedClient
	for _, client := range p.Clients {
		if slices.Contains(shard.Targets, client.Client().Target) {
			own = append(own, client)
		}
	}
	compared := p.comparedWith(own)
	part := Plan{Digest: p.Digest, Controls: p.Controls}
	for _, client := range p.Clients {
		if compared[client.Client()] || slices.Contains(shard.Targets, client.Client().Target) {
			part.Clients = append(part.Clients, client)
			part.Cells += len(client.Cells)
		}
	}
	return part, nil
}

// Divisible lists the targets that the plan can be cut by, in its order: all but
// those of a control that another client is compared with.
func (p Plan) Divisible() []string {
	compared := p.comparedWith(p.Clients)
	var targets []string
	for _, client := range p.Clients {
		if target := client.Client().Target; !compared[client.Client()] && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets
}

// comparedWith are the controls that the clients are compared with: that of their
// suite, or all where it has none.
func (p Plan) comparedWith(clients []PlannedClient) map[Client]bool {
	var controls []PlannedClient
	for _, client := range p.Clients {
		if client.Control {
			controls = append(controls, client)
		}
	}
	compared := map[Client]bool{}
	for _, client := range clients {
		if client.Control {
			continue
		}
		inSuite := func(control PlannedClient) bool { return control.Variant.Suite == client.Variant.Suite }
		anywhere := !slices.ContainsFunc(controls, inSuite)
		for _, control := range controls {
			if anywhere || inSuite(control) {
				compared[control.Client()] = true
			}
		}
	}
	return compared
}

// Durations are what all attempts of a cell took, one after another.
type Durations map[Cell]time.Duration

// Length is what a client's attempts are taken to last, one after another.
type Length struct {
	Expected time.Duration
	Guessed  int // cells that were never measured, and are taken from likely ones
}

// Lengths estimates each client's length. A cell takes what it took; one that was
// never measured takes the median of the same cell in the target's other variants,
// or else that of its feature over all clients; where nobody has it, a fifth of a
// second for each attempt that a pass takes, times the target's time factor.
func (p Plan) Lengths(catalogue []Feature, took Durations) map[Client]Length {
	features := map[string]Feature{}
	for _, feature := range catalogue {
		features[feature.Name] = feature
	}
	measured := map[Cell][]time.Duration{}
	for cell, duration := range took {
		for _, like := range likenesses(cell) {
			measured[like] = append(measured[like], duration)
		}
	}
	median := map[Cell]time.Duration{}
	for like, durations := range measured {
		slices.Sort(durations)
		median[like] = durations[(len(durations)-1)/2]
	}
	lengths := map[Client]Length{}
	for _, client := range p.Clients {
		var length Length
		for _, cell := range client.Cells {
			if took[cell] > 0 {
				length.Expected += took[cell]
				continue
			}
			length.Guessed++
			likely := unmeasured(client, features[cell.Feature])
			for _, like := range likenesses(cell) {
				if median[like] > 0 {
					likely = median[like]
					break
				}
			}
			length.Expected += likely
		}
		lengths[client.Client()] = length
	}
	return lengths
}

// likenesses are what a cell that was never measured is likely to take as long
// as, the likest first: the cell in any variant of its target, and the feature.
func likenesses(cell Cell) [2]Cell {
	anyVariant := cell
	anyVariant.Target, _, _ = strings.Cut(cell.Target, "@")
	return [2]Cell{anyVariant, {Feature: cell.Feature}}
}

// unknownTime is what a cell's attempt is taken to last that was never made, on
// a target of time factor 1.
const unknownTime = 200 * time.Millisecond

// unmeasured is what a client's cell of the feature is taken to last if nothing
// is known of it.
func unmeasured(client PlannedClient, feature Feature) time.Duration {
	attempts := time.Duration(1)
	if feature.Timing {
		attempts = time.Duration(attemptsFor(passingRate))
	}
	return time.Duration(max(1, client.Target.Limits.TimeFactor) * float64(attempts*unknownTime))
}
