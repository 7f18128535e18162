package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// MergedRun is a run whose cells were joined with those of the results' own.
type MergedRun struct {
	ID       string    `json:"id"`
	Tool     string    `json:"tool"`
	Finished time.Time `json:"finished"`
	Plan     string    `json:"plan"`
	Clients  int       `json:"clients"`       // that were taken from it when it joined; some may have been replaced since
	Cells    int       `json:"cells"`         // likewise
	Key      string    `json:"key,omitempty"` // fingerprint of its contributor's; absent: a run of our own
	// Shard is the part of the plan that it ran; Seed and Host are those of the run
	// that it joined where they are absent.
	Shard string  `json:"shard,omitempty"`
	Seed  *uint64 `json:"seed,omitempty"`
	Host  string  `json:"host,omitempty"`
}

// Why results can't be joined.
var (
	// ErrNothingOwn: every input is signed, so that there is nothing to join
	// them with.
	ErrNothingOwn = errors.New("nothing of your own")
	// ErrDisagree: two inputs have different verdicts on a cell.
	ErrDisagree = errors.New("the results disagree")
	// ErrOtherImage: two inputs have different cells of one client, from different
	// images of it.
	ErrOtherImage = errors.New("measured in another image")
	// ErrOtherFeature: a feature was measured in another version.
	ErrOtherFeature = errors.New("a feature was measured in another version")
	// ErrOtherTool: own runs were made by different versions of zmqmatrix.
	ErrOtherTool = errors.New("made by another zmqmatrix")
	// ErrNotReplaced: a client that is to be replaced can't be, or not as a whole.
	ErrNotReplaced = errors.New("not replaced")
	// ErrOverlap: two shards have the same clients.
	ErrOverlap = errors.New("shards overlap")
	// ErrMissing: shards are not all of their plan.
	ErrMissing = errors.New("shards are missing")
	// ErrOtherDivision: shards were not cut together.
	ErrOtherDivision = errors.New("shards of another division")
	// ErrOtherWay: shards were run in different ways.
	ErrOtherWay = errors.New("shards that were run otherwise")
)

// Merger joins results: unsigned ones are our own, signed ones a contributor's.
type Merger struct {
	Catalogue    []matrix.Feature
	Targets      []matrix.Target
	Contributors Contributors
	// Replaced are clients, TARGET@VARIANT/BINDING, that the first results have and
	// the others have anew: these take their place, with whatever verdicts.
	Replaced []string
}

// Verify reads results that somebody signed, published ones or a record, and
// returns them with who signed. The signature is checked before anything in the
// file is looked at; the run must be finished and its controls right.
func (m Merger) Verify(path string) (Published, Contributor, error) {
	data, trusted, err := m.Contributors.verifySignature(path)
	if err != nil {
		return Published{}, Contributor{}, err
	}
	published, err := m.parse(path, data)
	if err != nil {
		return Published{}, Contributor{}, err
	}
	if err := m.Contributors.trusts(path, trusted, published.Run.Finished); err != nil {
		return Published{}, Contributor{}, err
	}
	run := published.Run
	return published, Contributor{
		Name: trusted.Name, Key: trusted.Fingerprint(), Run: run.ID, Tool: run.Tool, Finished: run.Finished, Runtime: run.Runtime, Host: run.Host,
	}, nil
}

// Read reads results of our own, published ones or a record, fit for
// publication. What contributors measured is left out of them: without its
// signature anybody could have written it, and it joins anew from the file that
// they signed.
func (m Merger) Read(path string) (Published, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Published{}, fmt.Errorf("reading results: %w", err)
	}
	published, err := m.parse(path, data)
	return withoutContributed(published), err
}

func withoutContributed(published Published) Published {
	foreign := map[matrix.Client]bool{}
	for _, client := range published.Targets {
		if client.MeasuredBy != nil {
			foreign[client.Key()] = true
		}
	}
	if len(foreign) == 0 {
		return published
	}
	published = without(published, foreign)
	published.Run.Merged = slices.DeleteFunc(published.Run.Merged, func(run MergedRun) bool { return run.Key != "" })
	return published
}

// without leaves clients out, and the features that no other was measured by.
func without(published Published, clients map[matrix.Client]bool) Published {
	published.Targets = slices.DeleteFunc(published.Targets, func(client Client) bool { return clients[client.Key()] })
	published.Cells = slices.DeleteFunc(published.Cells, func(cell Cell) bool {
		if clients[cell.Key().Client()] {
			published.Run.Attempts -= cell.Attempts
			published.Run.Reused -= cell.Reused
			return true
		}
		return false
	})
	published.Run.Cells = len(published.Cells)
	published.Features = slices.DeleteFunc(published.Features, func(feature Feature) bool {
		return !slices.ContainsFunc(published.Cells, func(cell Cell) bool { return cell.Feature == feature.Name })
	})
	published.fillBest()
	return published
}

// isRecord tells a record from published results by its first line.
func isRecord(beginning []byte) bool {
	var first struct {
		Type string `json:"type"`
	}
	line, _, _ := bytes.Cut(beginning, []byte("\n"))
	return json.Unmarshal(line, &first) == nil && first.Type != ""
}

// parse reads published results or a record. Causes are those that the targets name
// today: what was found out about a cell after it was measured holds for it, too.
func (m Merger) parse(path string, data []byte) (Published, error) {
	if isRecord(data) {
		return m.publishRecord(path, data)
	}
	published, err := parsePublished(path, data)
	if err != nil {
		return Published{}, err
	}
	published.fillCauses(m.Targets)
	return published, fitToMerge(path, published)
}

// publishRecord publishes a record that was read already: what was verified
// must be what is published, whatever becomes of the file meanwhile.
func (m Merger) publishRecord(path string, data []byte) (published Published, err error) {
	folder, err := os.MkdirTemp("", "zmqmatrix-merge-")
	if err != nil {
		return Published{}, fmt.Errorf("merging %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	held := filepath.Join(folder, filepath.Base(path))
	if err := os.WriteFile(held, data, 0o600); err != nil {
		return Published{}, fmt.Errorf("merging %s: %w", path, err)
	}
	published, err = Publish(held, m.Catalogue, m.Targets)
	if err != nil {
		return Published{}, fmt.Errorf("%s: %w", path, err)
	}
	return published, nil
}

// fitToMerge holds published results to what Publish holds a record to.
func fitToMerge(path string, published Published) error {
	switch {
	case published.Run.Finished.IsZero():
		return fmt.Errorf("%s: %w; finish it with --resume %s", path, ErrUnfinished, published.Run.ID)
	case len(published.Controls) == 0:
		return fmt.Errorf("%s: %w: no control was measured", path, ErrMisjudged)
	}
	for _, control := range published.Controls {
		if !control.Held() {
			return fmt.Errorf("%s: %w: control %s; measure again", path, ErrMisjudged, visible(control.Text()))
		}
	}
	return nil
}

// Merge joins the results in the files. Unsigned ones are our own: of one
// version of zmqmatrix and of today's plan, with no verdict twice but the same.
// The first of them is what the others join; shards become one run first, in
// the place of the first of them. From signed ones come the clients
// that ours could not measure. Contributed ones are another's, signed or not,
// so that a signature that was lost makes nobody's results ours.
func (m Merger) Merge(paths, contributed []string) (Published, error) {
	var own []string
	foreign := slices.Clone(contributed)
	for _, path := range paths {
		switch {
		case slices.Contains(foreign, path):
		case IsSigned(path):
			foreign = append(foreign, path)
		default:
			own = append(own, path)
		}
	}
	if len(own) == 0 {
		return Published{}, fmt.Errorf("%w: every file is signed by a contributor; name results of yours that they join, such as results/published/latest.json", ErrNothingOwn)
	}
	runs, err := m.readOwn(own)
	if err != nil {
		return Published{}, err
	}
	merged, err := m.withoutReplaced(runs)
	if err != nil {
		return Published{}, err
	}
	if len(runs) > 1 {
		if err := m.samePlan(runs[0].path, merged); err != nil {
			return Published{}, err
		}
	}
	for _, other := range runs[1:] {
		if merged, err = m.addOwn(merged, other); err != nil {
			return Published{}, err
		}
	}
	return m.AddContributed(merged, foreign...)
}

// withoutReplaced are the first results without the clients that the others
// replace: each of its cells must be in these. A client is judged by comparison with
// its target's raw binding, so that neither is replaced without the other one
// measured in the same run.
func (m Merger) withoutReplaced(runs []ownResults) (Published, error) {
	first := runs[0]
	anew := map[matrix.Cell]bool{}
	for _, other := range runs[1:] {
		for _, cell := range other.Cells {
			anew[cell.Key()] = anew[cell.Key()] || cell.Outcome != matrix.NotRun && cell.Outcome != matrix.Error
		}
	}
	raw := map[string]matrix.Client{} // by target
	for _, client := range first.Targets {
		if client.Raw && wasMeasured(client) {
			raw[client.Target] = client.Key()
		}
	}
	replaced := map[matrix.Client]bool{}
	for _, name := range m.Replaced {
		place := slices.IndexFunc(first.Targets, func(client Client) bool { return client.Key().String() == name })
		if place < 0 {
			return Published{}, fmt.Errorf("%w: %s has no client %s; name one as TARGET@VARIANT/BINDING", ErrNotReplaced, first.path, visible(name))
		}
		replaced[first.Targets[place].Key()] = true
	}
	for _, client := range first.Targets {
		by, found := raw[client.Target]
		switch {
		case !found:
		case replaced[client.Key()]:
			for _, other := range runs[1:] {
				if measuredIn(other, client.Key()) && !measuredIn(other, by) {
					return Published{}, fmt.Errorf("%w: %s has %s without %s, which it is compared with; measure both in one run", ErrNotReplaced, other.path, client.Key(), by)
				}
			}
		case replaced[by] && wasMeasured(client):
			return Published{}, fmt.Errorf("%w: %s was compared with %s; replace it too", ErrNotReplaced, client.Key(), by)
		}
	}
	for _, cell := range first.Cells {
		if replaced[cell.Key().Client()] && !anew[cell.Key()] {
			return Published{}, fmt.Errorf("%w: only %s has %s; measure all that it has of the client anew", ErrNotReplaced, first.path, cell.Key())
		}
	}
	return without(first.Published, replaced), nil
}

// measuredIn reports whether the results have a client that was measured.
func measuredIn(own ownResults, name matrix.Client) bool {
	return slices.ContainsFunc(own.Targets, func(client Client) bool { return client.Key() == name && wasMeasured(client) })
}

// ownResults are results of our own and the file that they were read from.
type ownResults struct {
	path string
	Published
}

// readOwn reads results of our own, with one run for all shards among them.
func (m Merger) readOwn(paths []string) ([]ownResults, error) {
	var runs, shards []ownResults
	place := 0 // of the first shard
	for _, path := range paths {
		published, err := m.Read(path)
		if err != nil {
			return nil, err
		}
		if published.Run.Shard == nil {
			runs = append(runs, ownResults{path, published})
			continue
		}
		if len(shards) == 0 {
			place = len(runs)
		}
		shards = append(shards, ownResults{path, published})
	}
	if len(shards) == 0 {
		return runs, nil
	}
	whole, err := m.joinShards(shards)
	if err != nil {
		return nil, err
	}
	return slices.Insert(runs, place, ownResults{shards[0].path, whole}), nil
}

// samePlan holds own results to the plan that their selection has today.
func (m Merger) samePlan(path string, published Published) error {
	plan, err := matrix.MakePlan(m.Targets, m.Catalogue, published.Run.Selection)
	if err == nil && plan.Digest != published.Run.Plan {
		err = fmt.Errorf("its plan is %s, today's is %s", published.Run.Plan, plan.Digest)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w; run again", path, ErrOtherPlan, err)
	}
	return nil
}

// addOwn joins a further run of our own, if it may.
func (m Merger) addOwn(merged Published, other ownResults) (Published, error) {
	if err := sameTool(merged, other); err != nil {
		return Published{}, err
	}
	if err := m.samePlan(other.path, other.Published); err != nil {
		return Published{}, err
	}
	merged, err := m.joinOwn(merged, other)
	if err != nil {
		return Published{}, err
	}
	if m.whole(merged) {
		merged.Run.Partial, merged.Run.Selection = false, matrix.Selection{}
	}
	return merged, nil
}

func sameTool(merged Published, other ownResults) error {
	if other.Run.Tool == merged.Run.Tool {
		return nil
	}
	return fmt.Errorf("%s: %w: run %s by %s, run %s by %s; run both with one version", other.path, ErrOtherTool, other.Run.ID, visible(other.Run.Tool), merged.Run.ID, visible(merged.Run.Tool))
}

// joinOwn joins a run of our own that neither a feature nor a verdict speaks
// against.
func (m Merger) joinOwn(merged Published, other ownResults) (Published, error) {
	if err := m.sameFeatures(other.path, other.Published, merged); err != nil {
		return Published{}, err
	}
	if err := sameVerdicts(other.path, other.Published, merged); err != nil {
		return Published{}, err
	}
	if err := sameImages(other.path, other.Published, merged); err != nil {
		return Published{}, err
	}
	for _, control := range other.Controls {
		if !slices.ContainsFunc(merged.Controls, func(known matrix.ControlResult) bool { return known.Name == control.Name }) {
			merged.Controls = append(merged.Controls, control)
		}
	}
	merged = m.join(merged, other.Published, other.Targets, nil)
	if other.Run.Started.Before(merged.Run.Started) {
		merged.Run.Started = other.Run.Started
	}
	if other.Run.Finished.After(merged.Run.Finished) {
		merged.Run.Finished = other.Run.Finished
	}
	return merged, nil
}

// whole reports whether results have every cell that a run without a selection
// has.
func (m Merger) whole(published Published) bool {
	plan, err := matrix.MakePlan(m.Targets, m.Catalogue, matrix.Selection{})
	if err != nil {
		return false
	}
	there := map[matrix.Cell]bool{}
	for _, cell := range published.Cells {
		there[cell.Key()] = true
	}
	for _, client := range plan.Clients {
		for _, cell := range client.Cells {
			if !there[cell] {
				return false
			}
		}
	}
	return true
}

// AddContributed adds to our results the clients that they could not measure
// from files that contributors signed.
func (m Merger) AddContributed(merged Published, paths ...string) (Published, error) {
	givenBy := map[matrix.Client]string{}
	for _, path := range paths {
		other, by, err := m.Verify(path)
		if err != nil {
			return Published{}, err
		}
		if err := m.sameFeatures(path, other, merged); err != nil {
			return Published{}, err
		}
		var wanted []Client
		for _, client := range other.Targets {
			switch {
			// What a contributor has from somebody else is for that one to
			// sign, and their control is not what ours was compared with.
			case client.MeasuredBy != nil, client.Control, !wasMeasured(client):
			case givenBy[client.Key()] != "":
				return Published{}, fmt.Errorf("%w: %s and %s both have %s; leave one of them out", ErrDisagree, givenBy[client.Key()], path, client.Key())
			case slices.ContainsFunc(merged.Targets, func(ours Client) bool {
				return ours.Key() == client.Key() && wasMeasured(ours)
			}):
			default:
				givenBy[client.Key()] = path
				wanted = append(wanted, client)
			}
		}
		merged = m.join(merged, other, wanted, &by)
	}
	return merged, nil
}

// wasMeasured reports whether the client could be had and prepared.
func wasMeasured(client Client) bool { return client.NotRun == "" && client.Error == "" }

// sameFeatures holds the features of other results to the version and the words
// that ours have of them, or else the catalogue has.
func (m Merger) sameFeatures(path string, other, merged Published) error {
	known := map[string]Feature{}
	for _, feature := range m.Catalogue {
		known[feature.Name] = Feature{Version: feature.Version, Requirement: feature.Requirement}
	}
	for _, feature := range merged.Features {
		known[feature.Name] = feature
	}
	for _, feature := range other.Features {
		ours, found := known[feature.Name]
		if !found {
			return fmt.Errorf("%s: %w: %s, by zmqmatrix %s, which this one does not know; ask for a run by zmqmatrix %s",
				path, ErrOtherFeature, visible(feature.Name), visible(other.Run.Tool), merged.Run.Tool)
		}
		if feature.Version != ours.Version || feature.Requirement != ours.Requirement {
			return fmt.Errorf("%s: %w: %s in version %d, by zmqmatrix %s, and here it is version %d; ask for a run by zmqmatrix %s",
				path, ErrOtherFeature, visible(feature.Name), feature.Version, visible(other.Run.Tool), ours.Version, merged.Run.Tool)
		}
	}
	return nil
}

// sameVerdicts refuses two own verdicts on one cell that differ; where a client
// was not run in one of them, there is only one.
func sameVerdicts(path string, other, merged Published) error {
	known := map[matrix.Cell]Cell{}
	for _, cell := range merged.Cells {
		known[cell.Key()] = cell
	}
	for _, cell := range other.Cells {
		ours, both := known[cell.Key()]
		if both && ours.Outcome != cell.Outcome && ours.Outcome != matrix.NotRun && cell.Outcome != matrix.NotRun {
			return fmt.Errorf("%s: %w: %s is %s here and %s in run %s; measure it again and leave the wrong run out", path, ErrDisagree, cell.Key(), cell.Outcome, ours.Outcome, merged.Run.ID)
		}
	}
	return nil
}

// sameImages refuses to join cells of one client that were measured in different
// images of it. A control that was measured as a whole on each side adds none.
func sameImages(path string, other, merged Published) error {
	images, known := map[matrix.Client]string{}, map[matrix.Cell]bool{}
	for _, cell := range merged.Cells {
		known[cell.Key()] = true
		if cell.Image != "" {
			images[cell.Key().Client()] = cell.Image
		}
	}
	for _, cell := range other.Cells {
		image := images[cell.Key().Client()]
		if !known[cell.Key()] && image != "" && cell.Image != "" && cell.Image != image {
			return fmt.Errorf("%s: %w: %s in %s, and other cells of %s in %s; measure them in one run", path, ErrOtherImage, cell.Key(), visible(cell.Image), cell.Key().Client(), visible(image))
		}
	}
	return nil
}

// join adds clients of other results, and their cells, to ours. Cells that ours
// have with an outcome stay ours; a client of ours that was not run gives way.
func (m Merger) join(merged, other Published, clients []Client, by *Contributor) Published {
	taken := MergedRun{ID: other.Run.ID, Tool: other.Run.Tool, Finished: other.Run.Finished, Plan: other.Run.Plan}
	if shard := other.Run.Shard; shard != nil {
		taken.Shard = shard.String()
	}
	if by == nil && other.Run.Seed != merged.Run.Seed {
		taken.Seed = &other.Run.Seed
	}
	if by == nil && other.Run.Host != merged.Run.Host {
		taken.Host = other.Run.Host
	}
	merged.Targets, merged.Cells = slices.Clone(merged.Targets), slices.Clone(merged.Cells)
	there := make(map[matrix.Cell]bool, len(merged.Cells))
	for _, cell := range merged.Cells {
		there[cell.Key()] = true
	}
	cellsOf := map[matrix.Client][]Cell{}
	for _, cell := range other.Cells {
		cellsOf[cell.Key().Client()] = append(cellsOf[cell.Key().Client()], cell)
	}
	for _, client := range clients {
		client.MeasuredBy = by
		place := slices.IndexFunc(merged.Targets, func(ours Client) bool { return ours.Key() == client.Key() })
		switch {
		case place < 0:
			merged.Targets = append(merged.Targets, client)
		case !wasMeasured(client):
			continue
		case !wasMeasured(merged.Targets[place]):
			merged.Targets[place] = client
			merged.Cells = slices.DeleteFunc(merged.Cells, func(cell Cell) bool {
				if cell.Key().Client() != client.Key() {
					return false
				}
				delete(there, cell.Key())
				return true
			})
		}
		before := len(merged.Cells)
		for _, cell := range cellsOf[client.Key()] {
			if !there[cell.Key()] {
				there[cell.Key()] = true
				merged.Cells = append(merged.Cells, cell)
				merged.Run.Attempts += cell.Attempts
				merged.Run.Reused += cell.Reused
			}
		}
		if added := len(merged.Cells) - before; added > 0 {
			taken.Clients++
			taken.Cells += added
		}
	}
	for _, feature := range other.Features {
		if !slices.ContainsFunc(merged.Features, func(known Feature) bool { return known.Name == feature.Name }) &&
			slices.ContainsFunc(merged.Cells, func(cell Cell) bool { return cell.Feature == feature.Name }) {
			merged.Features = append(slices.Clone(merged.Features), feature)
		}
	}
	if taken.Cells == 0 {
		return merged
	}
	if by != nil {
		taken.Key = by.Key
	}
	merged.Run.Merged = append(slices.Clone(merged.Run.Merged), taken)
	merged.Run.Cells = len(merged.Cells)
	m.sort(&merged)
	merged.fillBest()
	return merged
}

// sort puts clients, features and cells into the order of a run that had
// measured all of them.
func (m Merger) sort(merged *Published) {
	first := func(is bool) int { return map[bool]int{false: 1}[is] }
	slices.SortStableFunc(merged.Targets, func(a, b Client) int {
		return cmp.Or(
			cmp.Compare(first(a.Control), first(b.Control)), strings.Compare(a.Implementation, b.Implementation), strings.Compare(a.Target, b.Target),
			cmp.Compare(first(a.Raw), first(b.Raw)), strings.Compare(a.Binding, b.Binding),
		)
	})
	catalogued := map[string]int{}
	for i, feature := range m.Catalogue {
		catalogued[feature.Name] = i
	}
	slices.SortStableFunc(merged.Features, func(a, b Feature) int {
		return cmp.Compare(placeOf(catalogued, a.Name), placeOf(catalogued, b.Name))
	})
	clients, features := map[matrix.Client]int{}, map[string]int{}
	for i, client := range merged.Targets {
		clients[client.Key()] = i
	}
	for i, feature := range merged.Features {
		features[feature.Name] = i
	}
	slices.SortStableFunc(merged.Cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(clients[a.Key().Client()], clients[b.Key().Client()]), cmp.Compare(features[a.Feature], features[b.Feature]))
	})
	slices.SortStableFunc(merged.Controls, func(a, b matrix.ControlResult) int { return strings.Compare(a.Name, b.Name) })
}

// Contributed lists the results in a folder that contributors gave. It may not
// be there.
func Contributed(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for contributed results: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if suffix := filepath.Ext(entry.Name()); suffix == ".json" || suffix == ".jsonl" {
			paths = append(paths, filepath.Join(folder, entry.Name()))
		}
	}
	return paths, nil
}

// parsePublished reads published results and holds them to their schema.
func parsePublished(path string, data []byte) (Published, error) {
	var version struct {
		Schema string `json:"schema"`
	}
	// A file that is no JSON is the schema's to explain, with a position.
	if json.Unmarshal(data, &version) == nil && version.Schema != "" && version.Schema != PublishedSchema {
		return Published{}, fmt.Errorf("%s: schema: the results are %q and this zmqmatrix reads %q; publish them again with this version", path, version.Schema, PublishedSchema)
	}
	if err := schema.CheckJSON(schema.Published, path, data); err != nil {
		return Published{}, err
	}
	var published Published
	if err := json.Unmarshal(data, &published); err != nil {
		return Published{}, fmt.Errorf("reading published results from %s: %w", path, err)
	}
	return published, nil
}
