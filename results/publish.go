package results

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Bounds of what a client can put into the published JSON, in bytes unless
// said otherwise. They keep a page of several hundred cells within a few
// megabytes; the record has the rest.
const (
	mostName         = 128
	mostReason       = 2048
	mostStep         = 512
	mostObservation  = 512
	mostObservations = 64 // observations of an attempt
	mostStderr       = 4096
	mostBacktrace    = 16 << 10
	mostSockets      = 16 // sockets of a lane
	mostBlocked      = 64 // blocked signals
)

// Publish gathers a finished record for publication. It is an error if the
// run is unfinished (ErrUnfinished), if a control is misjudged or none was
// measured (ErrMisjudged), or if catalogue and targets don't give the plan of
// the record (ErrOtherPlan): requirements and techniques would not be those
// that were measured.
func Publish(path string, catalogue []matrix.Feature, targets []matrix.Target) (Published, error) {
	gathered, err := gatherRecord(path, catalogue, targets)
	if err != nil {
		return Published{}, err
	}
	published := gathered.published
	run := published.Run.ID
	if gathered.footer == nil {
		return Published{}, fmt.Errorf("%w: %s has no footer; go on with --resume %s", ErrUnfinished, path, run)
	}
	if gathered.planError != nil {
		return Published{}, fmt.Errorf("%w: %s: %w; publish with zmqmatrix %s, which made it, or run again", ErrOtherPlan, path, gathered.planError, published.Run.Tool)
	}
	if len(published.Controls) == 0 {
		return Published{}, fmt.Errorf("%w: no control was measured in run %s", ErrMisjudged, run)
	}
	for _, control := range published.Controls {
		if !control.Held() {
			return Published{}, fmt.Errorf("%w: run %s: control %s; zmqmatrix replay %s says more", ErrMisjudged, run, visible(control.Text()), visible(control.Name))
		}
	}
	if missing := published.Run.Cells - len(published.Cells); missing > 0 {
		return Published{}, fmt.Errorf("%w: %s has its footer, but %s no verdict", ErrUnfinished, path, plural(missing, "cell"))
	}
	return published, nil
}

// FromRecord gathers what a record holds, to look at: the run may be
// unfinished, invalid or made from another plan. Cells without a verdict are
// left out; Run.Cells says how many were planned.
func FromRecord(path string, catalogue []matrix.Feature, targets []matrix.Target) (Published, error) {
	gathered, err := gatherRecord(path, catalogue, targets)
	return gathered.published, err
}

// FromLines is FromRecord for lines of a record that is still being written, such
// as those about one cell.
func FromLines(lines []matrix.Line, catalogue []matrix.Feature, targets []matrix.Target) (Published, error) {
	gathered, err := gatherLines(func(yield func(matrix.Line, error) bool) {
		for _, line := range lines {
			if !yield(line, nil) {
				return
			}
		}
	}, catalogue, targets)
	return gathered.published, err
}

// gathered is a record in the form of published results, and what speaks
// against publishing it.
type gathered struct {
	published Published
	footer    *matrix.Footer
	planError error
}

func gatherRecord(path string, catalogue []matrix.Feature, targets []matrix.Target) (gathered, error) {
	gathered, err := gatherLines(ReadRecord(path), catalogue, targets)
	if errors.Is(err, errNoHeader) {
		err = fmt.Errorf("%w: %s has no header", ErrUnfinished, path)
	}
	return gathered, err
}

// errNoHeader is that nothing was recorded.
var errNoHeader = errors.New("there is no header")

func gatherLines(lines iter.Seq2[matrix.Line, error], catalogue []matrix.Feature, targets []matrix.Target) (gathered, error) {
	var header matrix.Header
	var footer *matrix.Footer
	clients := map[matrix.Client]matrix.ClientAccount{}
	cells := map[matrix.Cell]*measured{}
	cell := func(name matrix.Cell) *measured {
		if cells[name] == nil {
			cells[name] = &measured{}
		}
		return cells[name]
	}
	for line, err := range lines {
		if err != nil {
			return gathered{}, err
		}
		switch line.Type {
		case matrix.LineHeader:
			header = *line.Header
		case matrix.LineClient:
			clients[line.Client.Client] = *line.Client
		case matrix.LineAttempt:
			cell(line.Attempt.Evidence.Cell).add(*line.Attempt, header.Run)
		case matrix.LineVerdict:
			cell(line.Verdict.Cell).verdict = line.Verdict
		case matrix.LineFooter:
			footer = line.Footer
		}
	}
	if header.Run == "" {
		return gathered{}, errNoHeader
	}
	plan, planError := matrix.MakePlan(targets, catalogue, header.Selection)
	if planError == nil && plan.Digest != header.PlanDigest {
		planError = fmt.Errorf("its plan is %s, today's is %s", header.PlanDigest, plan.Digest)
	}
	if planError == nil && header.Shard != nil {
		_, planError = plan.Part(*header.Shard)
	}
	result := gathered{footer: footer, planError: planError}
	result.published = Published{
		Schema: PublishedSchema,
		Run: Run{
			ID: header.Run, Tool: header.Tool, Started: header.Started.UTC(), Runtime: header.Runtime,
			Host: header.Environment.Host, Cores: header.Environment.Cores, Engine: header.Environment.Engine,
			Endpoint: header.Environment.EndpointDigest, Plan: header.PlanDigest, Seed: header.Seed, Repeat: header.Repeat,
			Partial:   header.Selection.Partial() || header.Shard != nil,
			Selection: header.Selection, Shard: header.Shard, Cells: header.Cells,
		},
		Controls: []matrix.ControlResult{}, Targets: []Client{}, Features: []Feature{}, Cells: []Cell{}, Best: []Best{},
	}
	if footer != nil {
		result.published.Run.Finished = footer.Finished.UTC()
		result.published.Run.Bound = footer.Bound
		for _, control := range footer.Controls {
			control.Name, control.Reason, control.Misjudged = bounded(control.Name, mostReason), bounded(control.Reason, mostReason), bounded(control.Misjudged, mostReason)
			result.published.Controls = append(result.published.Controls, control)
		}
		slices.SortStableFunc(result.published.Controls, func(a, b matrix.ControlResult) int { return strings.Compare(a.Name, b.Name) })
	}
	result.published.fill(placesIn(plan), catalogue, targets, clients, cells)
	return result, nil
}

// measured is what a record holds of one cell. It keeps one attempt for each
// outcome, so that memory does not grow with repeats.
type measured struct {
	verdict *matrix.Verdict
	key     string
	reused  int
	counts  map[matrix.Outcome]int
	first   map[matrix.Outcome]*Evidence
	last    *Evidence
	dossier *matrix.Dossier // of an attempt under trace
}

// add takes an attempt. One with another key than those before makes them
// void: the client was rebuilt before the run was resumed.
func (m *measured) add(attempt matrix.Attempt, run string) {
	if attempt.Key != m.key {
		*m = measured{verdict: m.verdict, key: attempt.Key, counts: map[matrix.Outcome]int{}, first: map[matrix.Outcome]*Evidence{}}
	}
	if attempt.Traced {
		// Of several, the last that has a backtrace, or else the last.
		if dossier := attempt.Evidence.Account.Dossier; dossier != nil && (m.dossier == nil || m.dossier.Backtrace == "" || dossier.Backtrace != "") {
			m.dossier = inBrief(*dossier)
		}
		return
	}
	if !attempt.Counts() {
		return
	}
	if attempt.ReusedFrom != "" {
		m.reused++
	}
	outcome := attempt.Finding.Outcome
	m.counts[outcome]++
	if m.counts[outcome] > 1 {
		return
	}
	m.last = evidenceOf(attempt, cmp.Or(attempt.ReusedFrom, run))
	m.first[outcome] = m.last
}

// shown chooses the attempt that shows the verdict's outcome.
func (m *measured) shown() *Evidence {
	outcome := m.verdict.Outcome
	if outcome == matrix.Flaky {
		// As the judge does, which quotes its reason.
		outcome = ""
		for _, candidate := range matrix.Outcomes {
			if candidate != matrix.Pass && candidate != matrix.Error && m.counts[candidate] > m.counts[outcome] {
				outcome = candidate
			}
		}
	}
	evidence := m.first[outcome]
	if evidence == nil {
		evidence = m.last
	}
	if evidence == nil || m.dossier == nil || m.verdict.Outcome == matrix.Pass {
		return evidence
	}
	// What a hanging process was doing, a crash of another attempt does not say.
	if evidence.Dossier == nil || m.dossier.Backtrace != "" && m.verdict.Outcome != matrix.Hang {
		withDossier := *evidence
		withDossier.Dossier = m.dossier
		return &withDossier
	}
	return evidence
}

// evidenceOf is an attempt's evidence in brief.
func evidenceOf(attempt matrix.Attempt, run string) *Evidence {
	evidence := attempt.Evidence
	account := evidence.Account
	brief := &Evidence{
		Attempt: attempt.Number, Run: run, Started: attempt.Started.UTC(),
		LastStep: bounded(evidence.Report.LastStep(), mostStep),
		Closing:  evidence.Report.Closing.Type,
		Account: Account{
			Ending: account.Ending, Code: account.Code, Signal: account.Signal,
			WallMS: inMilliseconds(account.Wall), CPUMS: inMilliseconds(account.User + account.System),
			PeakRSS: account.PeakRSS, BaselineRSS: account.BaselineRSS, Strays: account.Strays,
		},
		WitnessCalls: int64(len(account.WitnessCalls)) + account.WitnessLost,
		Stderr:       boundedTail(string(account.Stderr), mostStderr),
		HarnessError: bounded(evidence.HarnessError, mostReason),
	}
	if account.Dossier != nil {
		brief.Dossier = inBrief(*account.Dossier)
	}
	observations := evidence.Report.Observations
	if len(observations) > mostObservations {
		brief.ObservationsLeft = len(observations) - mostObservations
		observations = observations[:mostObservations]
	}
	for _, observation := range observations {
		observation.Key, observation.Unit = bounded(observation.Key, mostName), bounded(observation.Unit, mostName)
		if text, ok := observation.Value.(string); ok {
			observation.Value = bounded(text, mostObservation)
		}
		brief.Observations = append(brief.Observations, observation)
	}
	for _, socket := range evidence.Sockets[:min(len(evidence.Sockets), mostSockets)] {
		names := []string{socket.Name}
		if socket.Role == matrix.RolePubSub {
			names = append(names, socket.Name+"-in")
		}
		for _, name := range names {
			seen, ok := evidence.Seen.Sockets[name]
			if !ok {
				continue
			}
			brief.Endpoint = append(brief.Endpoint, Socket{
				Name: name, Role: socket.Role, Count: socket.Count, Received: seen.Received, Bytes: seen.Bytes,
				Sent: seen.Sent, Peers: seen.Peers, Curve: curveInBrief(seen.Curve), Rolling: bounded(seen.Rolling, mostName), Error: bounded(cmp.Or(seen.Error, seen.Fault), mostReason),
			})
		}
	}
	return brief
}

// curveInBrief keeps the refusals that there are: the record may name others.
func curveInBrief(curve *matrix.CurveAccount) *matrix.CurveAccount {
	if curve == nil {
		return nil
	}
	brief := &matrix.CurveAccount{Accepted: curve.Accepted}
	for _, reason := range matrix.Refusals {
		if times := curve.Refused[reason]; times > 0 {
			if brief.Refused == nil {
				brief.Refused = map[matrix.Refusal]int{}
			}
			brief.Refused[reason] = times
		}
	}
	return brief
}

func inBrief(dossier matrix.Dossier) *matrix.Dossier {
	dossier.Signal, dossier.Address = bounded(dossier.Signal, mostName), bounded(dossier.Address, mostName)
	dossier.Code, dossier.Thread = bounded(dossier.Code, mostName), bounded(dossier.Thread, mostName)
	dossier.Page, dossier.Instruction = bounded(dossier.Page, mostName), bounded(dossier.Instruction, mostName)
	dossier.Missing = bounded(dossier.Missing, mostReason)
	if dossier.Sender != matrix.SenderSelf && dossier.Sender != matrix.SenderOther {
		dossier.Sender = ""
	}
	if dossier.Access != matrix.AccessWrite && dossier.Access != matrix.AccessExecute {
		dossier.Access = ""
	}
	dossier.Threads = slices.Clone(dossier.Threads[:min(len(dossier.Threads), matrix.MaxThreads)])
	for i := range dossier.Threads {
		thread := &dossier.Threads[i]
		thread.Name, thread.State, thread.Start = bounded(thread.Name, mostName), bounded(thread.State, mostName), bounded(thread.Start, mostName)
	}
	dossier.Backtrace = bounded(dossier.Backtrace, mostBacktrace)
	blocked := dossier.Blocked[:min(len(dossier.Blocked), mostBlocked)]
	dossier.Blocked = nil
	for _, signal := range blocked {
		dossier.Blocked = append(dossier.Blocked, bounded(signal, mostName))
	}
	return &dossier
}

// places are where clients, and cells within them, stand in the plan.
type places struct {
	clients map[matrix.Client]int
	cells   map[matrix.Cell]int
}

func placesIn(plan matrix.Plan) places {
	places := places{clients: map[matrix.Client]int{}, cells: make(map[matrix.Cell]int, plan.Cells)}
	for i, client := range plan.Clients {
		places.clients[client.Client()] = i
		for _, cell := range client.Cells {
			places.cells[cell] = len(places.cells)
		}
	}
	return places
}

// placeOf is an unplanned name's place: after all others.
func placeOf[K comparable](places map[K]int, name K) int {
	if place, ok := places[name]; ok {
		return place
	}
	return len(places)
}

// fill puts clients, features, cells and best techniques in the plan's order.
func (p *Published) fill(places places, catalogue []matrix.Feature, targets []matrix.Target, clients map[matrix.Client]matrix.ClientAccount, cells map[matrix.Cell]*measured) {
	known := byName(targets)
	for _, account := range clients {
		name, _, _ := strings.Cut(account.Target, "@")
		client := Client{
			Target: account.Target, Implementation: name, Title: account.Title, Binding: account.Binding,
			Raw: account.Raw, Control: account.Control, Family: account.Family, Suite: account.Suite,
			Packages: append([]string{}, account.Packages...), Homepage: known[name].Homepage, Licence: known[name].Licence,
			Image: account.Image, Size: account.Size, Source: account.Source, Trusted: account.Trusted, Distrust: bounded(account.Distrust, mostReason),
			NotRun: bounded(account.NotRun, mostReason), Error: bounded(account.Error, mostReason),
		}
		if hello := account.Hello; hello != nil {
			client.Version, client.BindingVersion = bounded(hello.Version, mostName), bounded(hello.BindingVersion, mostName)
			client.Libzmq, client.Threads, client.Collector = bounded(hello.Libzmq, mostName), hello.Threads, hello.Collector
		}
		p.Targets = append(p.Targets, client)
	}
	slices.SortFunc(p.Targets, func(a, b Client) int {
		return cmp.Or(cmp.Compare(placeOf(places.clients, a.Key()), placeOf(places.clients, b.Key())), strings.Compare(a.Key().String(), b.Key().String()))
	})
	described := map[matrix.Client]Client{}
	for _, client := range p.Targets {
		described[client.Key()] = client
	}
	for name, measured := range cells {
		if measured.verdict == nil {
			continue
		}
		verdict, client := measured.verdict, described[name.Client()]
		implementation, _, _ := strings.Cut(name.Target, "@")
		p.Cells = append(p.Cells, Cell{
			Target: name.Target, Implementation: implementation, Version: client.Version, Binding: name.Binding, Libzmq: client.Libzmq,
			Feature: name.Feature, Technique: name.Technique, Outcome: verdict.Outcome, Signal: bounded(verdict.Signal, mostName),
			Layer: verdict.Layer, Reason: bounded(verdict.Reason, mostReason), Attempts: verdict.Attempts, Passes: verdict.Passes, Reused: measured.reused,
			Image: client.Image, Replay: replayOf(name, client), Evidence: measured.shown(),
		})
		p.Run.Attempts += verdict.Attempts
		p.Run.Reused += measured.reused
	}
	slices.SortFunc(p.Cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(placeOf(places.cells, a.Key()), placeOf(places.cells, b.Key())), strings.Compare(a.Key().String(), b.Key().String()))
	})
	p.fillCauses(targets)
	p.Features = featuresOf(p.Cells, catalogue)
	p.fillBest()
}

func byName(targets []matrix.Target) map[string]matrix.Target {
	named := make(map[string]matrix.Target, len(targets))
	for _, target := range targets {
		named[target.Name] = target
	}
	return named
}

// fillCauses says of each red cell of the targets why it is, as far as they know.
func (p *Published) fillCauses(targets []matrix.Target) {
	known := byName(targets)
	for i := range p.Cells {
		cell := &p.Cells[i]
		target, found := known[cell.Implementation]
		if !found {
			continue
		}
		cell.Cause, cell.CauseSource = "", ""
		if cause := target.CauseOf(matrix.Verdict{Cell: cell.Key(), Outcome: cell.Outcome, Layer: cell.Layer, Reason: cell.Reason}); cause != nil {
			cell.Cause, cell.CauseSource = cause.Text, cause.Source
		}
	}
}

// fillBest computes what follows from the cells: each feature's best technique,
// and the ranges.
func (p *Published) fillBest() {
	p.Best = []Best{}
	for start := 0; start < len(p.Cells); {
		end := start + 1
		for end < len(p.Cells) && p.Cells[end].Key().Client() == p.Cells[start].Key().Client() && p.Cells[end].Feature == p.Cells[start].Feature {
			end++
		}
		best := bestOf(p.Cells[start:end])
		p.Best = append(p.Best, Best{Target: best.Target, Binding: best.Binding, Feature: best.Feature, Technique: best.Technique, Outcome: best.Outcome})
		start = end
	}
	p.Ranges = rangesOf(*p)
}

// featuresOf lists the features that have cells: in the catalogue's order, then
// those that the catalogue does not know.
func featuresOf(cells []Cell, catalogue []matrix.Feature) []Feature {
	measured := map[string]bool{}
	for _, cell := range cells {
		measured[cell.Feature] = true
	}
	features := []Feature{}
	for _, feature := range catalogue {
		if measured[feature.Name] {
			delete(measured, feature.Name)
			features = append(features, Feature{
				Name: feature.Name, Group: feature.Group(), Requirement: feature.Requirement, Source: feature.Source,
				Method: feature.Method, Timing: feature.Timing, Version: feature.Version,
			})
		}
	}
	known := len(features)
	for name := range measured {
		features = append(features, Feature{Name: name, Group: matrix.Feature{Name: name}.Group()})
	}
	slices.SortFunc(features[known:], func(a, b Feature) int { return strings.Compare(a.Name, b.Name) })
	return features
}

// bestOf chooses among a feature's techniques, given in the order of
// preference.
func bestOf(techniques []Cell) Cell {
	best := techniques[0]
	for _, cell := range techniques[1:] {
		if cell.Outcome.Rank() < best.Outcome.Rank() {
			best = cell
		}
	}
	return best
}

// replayOf is the command that measures a client's cell again.
func replayOf(cell matrix.Cell, client Client) string {
	command := fmt.Sprintf("zmqmatrix run --fresh --target %s --binding %s --feature %s --technique %s",
		ShellWord(cell.Target), ShellWord(cell.Binding), ShellWord(cell.Feature), ShellWord(cell.Technique))
	if source := client.Source; source != nil && source.Folder {
		command += " --binding-source " + ShellWord(cell.Binding+"="+source.From)
	}
	return command
}
