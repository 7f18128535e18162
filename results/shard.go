package results

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// joinShards makes one run of all shards of one plan. Shards that overlap
// (ErrOverlap), that are not all (ErrMissing), of another plan, version or
// division, or that were run otherwise are refused, and named. The controls are
// in every shard: each was judged by its own, and the first shard's are kept.
func (m Merger) joinShards(shards []ownResults) (Published, error) {
	shards = slices.Clone(shards)
	first := shards[0]
	plan, err := matrix.MakePlan(m.Targets, m.Catalogue, first.Run.Selection)
	if err != nil {
		return Published{}, fmt.Errorf("%s: %w: %w; run again", first.path, ErrOtherPlan, err)
	}
	for _, shard := range shards {
		if err := sameTool(first.Published, shard); err != nil {
			return Published{}, err
		}
		if shard.Run.Plan != first.Run.Plan {
			return Published{}, fmt.Errorf("%s: %w: shard %s is of the plan %s, and shard %s in %s of %s; give all shards the same selection",
				shard.path, ErrOtherPlan, shard.Run.Shard, shard.Run.Plan, first.Run.Shard, first.path, first.Run.Plan)
		}
		if err := m.samePlan(shard.path, shard.Published); err != nil {
			return Published{}, err
		}
		if most := len(plan.Divisible()); shard.Run.Shard.Count > most {
			return Published{}, fmt.Errorf("%s: %w: shard %s, and the plan can be cut into %d at most", shard.path, ErrOtherDivision, shard.Run.Shard, most)
		}
	}
	if err := areAll(plan, shards); err != nil {
		return Published{}, err
	}
	slices.SortFunc(shards, func(a, b ownResults) int { return cmp.Compare(a.Run.Shard.Index, b.Run.Shard.Index) })
	merged := shards[0].Published
	for i, shard := range shards {
		if err := sameWay(merged, shard); err != nil {
			return Published{}, err
		}
		if err := hasItsPart(plan, shard); err != nil {
			return Published{}, err
		}
		if i == 0 {
			continue
		}
		if merged, err = m.joinOwn(merged, shard); err != nil {
			return Published{}, err
		}
	}
	merged.Run.Shard, merged.Run.Partial = nil, merged.Run.Selection.Partial()
	// The bound is of the first shard alone.
	merged.Run.Bound = nil
	return merged, nil
}

// areAll holds shards to be disjoint, and together the plan.
func areAll(plan matrix.Plan, shards []ownResults) error {
	first := shards[0]
	together := true
	cut := make([]matrix.Shard, 0, len(shards))
	for _, shard := range shards {
		cut = append(cut, *shard.Run.Shard)
		if shard.Run.Shard.Division != first.Run.Shard.Division {
			together = false
		}
	}
	slices.SortStableFunc(cut, func(a, b matrix.Shard) int { return cmp.Compare(a.Index, b.Index) })
	const apart = "they were cut by different durations: give all shards one file with --durations, and run them again"
	having := map[string]ownResults{} // by target
	for _, shard := range shards {
		for _, target := range shard.Run.Shard.Targets {
			if other, twice := having[target]; twice {
				hint := "leave one of them out"
				if !together {
					hint = apart
				}
				return fmt.Errorf("%s: %w: shard %s has %s, and so has shard %s in %s; %s",
					shard.path, ErrOverlap, shard.Run.Shard, visible(target), other.Run.Shard, other.path, hint)
			}
			having[target] = shard
		}
	}
	var indexes, targets []string
	for index := range first.Run.Shard.Count {
		if !slices.ContainsFunc(cut, func(shard matrix.Shard) bool { return shard.Index == index+1 }) {
			indexes = append(indexes, matrix.Shard{Index: index + 1, Count: first.Run.Shard.Count}.String())
		}
	}
	for _, target := range plan.Divisible() {
		if _, there := having[target]; !there {
			targets = append(targets, target)
		}
	}
	switch {
	case !together && len(targets) > 0:
		return fmt.Errorf("%w: no file has %s; %s", ErrMissing, strings.Join(targets, ", "), apart)
	case len(indexes) > 0:
		return fmt.Errorf("%w: %s of the plan %s; no file has %s", ErrMissing, strings.Join(indexes, ", "), plan.Digest, strings.Join(targets, ", "))
	}
	division := plan.Division(cut)
	for _, shard := range shards {
		if shard.Run.Shard.Division != division {
			return fmt.Errorf("%s: %w: shard %s is of %s, and the targets of all files make %s; %s",
				shard.path, ErrOtherDivision, shard.Run.Shard, visible(shard.Run.Shard.Division), division, apart)
		}
	}
	return nil
}

// sameWay holds a shard to have been run as the others were.
func sameWay(merged Published, shard ownResults) error {
	var differs string
	switch ours, other := merged.Run, shard.Run; {
	case other.Runtime != ours.Runtime:
		differs = fmt.Sprintf("its runtime is %s, and %s in run %s", visible(other.Runtime), visible(ours.Runtime), ours.ID)
	case other.Repeat != ours.Repeat:
		differs = fmt.Sprintf("its --repeat is %d, and %d in run %s", other.Repeat, ours.Repeat, ours.ID)
	}
	for _, client := range shard.Targets {
		for _, ours := range merged.Targets {
			if client.Binding != ours.Binding || folderOf(client) == folderOf(ours) || !wasMeasured(client) || !wasMeasured(ours) {
				continue
			}
			differs = fmt.Sprintf("the binding %s of %s is %s, and of %s %s", visible(client.Binding), visible(client.Target),
				cmp.Or(folderOf(client), "from no folder"), visible(ours.Target), cmp.Or(folderOf(ours), "from no folder"))
		}
	}
	if differs == "" {
		return nil
	}
	return fmt.Errorf("%s: %w: %s; run all shards in the same way", shard.path, ErrOtherWay, differs)
}

// folderOf is the digest of the folder that the client's binding was taken from,
// if it was from one.
func folderOf(client Client) string {
	if client.Source == nil || !client.Source.Folder {
		return ""
	}
	return visible(client.Source.Digest)
}

// hasItsPart holds a shard's results to the cells and controls of its part of the
// plan.
func hasItsPart(plan matrix.Plan, shard ownResults) error {
	part, err := plan.Part(*shard.Run.Shard)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", shard.path, ErrOtherPlan, err)
	}
	outcomes := map[matrix.Cell]matrix.Outcome{}
	for _, cell := range shard.Cells {
		outcomes[cell.Key()] = cell.Outcome
	}
	judged := map[string]bool{}
	for _, control := range shard.Controls {
		judged[control.Name] = true
	}
	for _, client := range part.Clients {
		for _, cell := range client.Cells {
			outcome, there := outcomes[cell]
			if !there {
				return fmt.Errorf("%s: %w: shard %s has no verdict on %s", shard.path, ErrMissing, shard.Run.Shard, cell)
			}
			delete(outcomes, cell)
			// A control that can't be had where nothing else ran is no control.
			if client.Control && outcome != matrix.NotRun && !judged[cell.String()] {
				return fmt.Errorf("%s: %w: the control %s is not among those of shard %s", shard.path, ErrMisjudged, cell, shard.Run.Shard)
			}
		}
	}
	for _, client := range part.Controls {
		for _, cell := range client.Cells {
			if !judged[cell.String()] {
				return fmt.Errorf("%s: %w: the control %s is not among those of shard %s", shard.path, ErrMisjudged, cell, shard.Run.Shard)
			}
		}
	}
	for _, cell := range shard.Cells {
		if _, left := outcomes[cell.Key()]; left {
			return fmt.Errorf("%s: %w: shard %s has a verdict on %s, which is not in it", shard.path, ErrOverlap, shard.Run.Shard, visible(cell.Key().String()))
		}
	}
	return nil
}

// DurationsOf is what all attempts of each cell took, one after another: by a
// record, finished or not, as many attempts as count of its longest, and by
// published results as many of the one that shows the verdict. Of a damaged record
// it is what stands before the damage, with the error.
func DurationsOf(path string) (matrix.Durations, error) {
	durations := matrix.Durations{}
	beginning, err := beginningOf(path)
	if err != nil {
		return durations, err
	}
	if isRecord(beginning) {
		for line, err := range ReadRecord(path) {
			if err != nil {
				return durations, err
			}
			if verdict := line.Verdict; verdict != nil && verdict.Slowest > 0 {
				durations[verdict.Cell] = time.Duration(max(1, verdict.Attempts)) * verdict.Slowest
			}
		}
		return durations, nil
	}
	published, err := ReadPublished(path)
	for _, cell := range published.Cells {
		if cell.Evidence != nil && cell.Attempts > 0 && cell.Evidence.Account.WallMS > 0 {
			durations[cell.Key()] = time.Duration(float64(cell.Attempts) * cell.Evidence.Account.WallMS * float64(time.Millisecond))
		}
	}
	return durations, err
}

// beginningOf is as much of a file as tells what it is.
func beginningOf(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading durations: %w", err)
	}
	defer file.Close()
	beginning := make([]byte, 64<<10)
	read, err := io.ReadFull(file, beginning)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading durations from %s: %w", path, err)
	}
	return beginning[:read], nil
}
