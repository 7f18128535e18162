package matrix

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options of Run.
type Options struct {
	Plan      Plan
	Catalogue []Feature
	Runtime   Runtime
	Recorder  Recorder
	Prior     Prior  // nil: nothing is reused
	Header    Header // Run, Tool, Selection, Shard, Repeat and Seed from the caller; the runner fills in the rest
	Resumed   bool   // the record has its header already
	// Parallel is how many attempts are made at once, whatever they need; 0: as
	// many as the machine has cores for, by the CPU time that attempts took.
	Parallel int
	// Took is what the cell's attempts took in an earlier run, 0 if unknown; it
	// may be nil. It decides only who goes first.
	Took   func(Cell) time.Duration
	Repeat int // attempts of every cell; 0: until it is decided
	// Observe is told of what happens, from several goroutines; it may be nil
	// and must be quick.
	Observe func(Event)
}

// Limits that no target sets. The wall limit of an attempt is the feature's own
// plus controlFactor times what the positive control took for it on this
// machine under this load: generous, since a hang that is none is a wrong
// verdict and a late one costs only minutes.
const (
	controlFactor = 20
	cpuFactor     = 4
	outputBytes   = 1 << 20
)

// An attempt that is made for its dossier has traceFactor times what the cell's
// slowest attempt took, and traceStart for the debugger to begin, where that is
// less: under a debugger a crash can become a loop, and the verdict stands.
const (
	traceFactor = 10
	traceStart  = 30 * time.Second
)

// closeTimeout bounds clean-up after a cancelled context.
const closeTimeout = 10 * time.Second

// Run runs the plan: it prepares the clients, attempts each cell until it is
// decided, records every attempt before the next one begins, and ends with a
// footer. When the context is cancelled the attempts under way are killed, what
// finished is in the record, there is no footer and the error is the context's.
func Run(ctx context.Context, options Options) (Footer, error) {
	began := time.Now()
	run := &run{
		Options:  options,
		features: map[string]Feature{},
		keyTexts: map[string]string{introduction: keyText(negativeProbe(introduction))},
		footer:   Footer{Counts: map[Outcome]int{}},
		below:    map[Client]outcomes{},
		control:  map[string]map[string]time.Duration{},
		controls: map[string]Client{},
		judged:   map[string][]ControlResult{},
		ran:      map[string]bool{},
		decided:  map[Client]map[string]chan struct{}{},
		left:     map[Client]time.Duration{},
		chains:   map[Client]time.Duration{},
	}
	for _, feature := range options.Catalogue {
		run.features[feature.Name] = feature
		run.keyTexts[feature.Name] = keyText(feature)
	}
	if err := run.clients(ctx); err != nil {
		return Footer{}, err
	}
	run.footer.Controls = run.controlResults()
	if len(run.chains) > 0 {
		bound := bound(time.Since(began), run.chains, run.cpu, max(1, run.environment.Cores))
		run.footer.Bound = &bound
	}
	run.footer.Finished = time.Now().UTC()
	if err := run.append(Line{Type: LineFooter, Footer: &run.footer}); err != nil {
		return Footer{}, err
	}
	return run.footer, nil
}

// controlResults are what the controls came to. One that can't be had here
// fails nobody in a suite that nothing else ran in either.
func (r *run) controlResults() (all []ControlResult) {
	for _, suite := range slices.Sorted(maps.Keys(r.judged)) {
		for _, result := range r.judged[suite] {
			if result.Outcome != NotRun || r.ran[suite] || len(r.controls) == 1 {
				all = append(all, result)
			}
		}
	}
	slices.SortFunc(r.negatives, func(a, b ControlResult) int { return strings.Compare(a.Name, b.Name) })
	return append(all, r.negatives...)
}

// run is one run under way.
type run struct {
	Options
	environment Environment
	features    map[string]Feature
	keyTexts    map[string]string // keyText, by feature

	endpoint endpointKeeper
	slots    slots

	mu        sync.Mutex // guards what follows
	footer    Footer
	below     map[Client]outcomes                 // of the control and the raw bindings
	control   map[string]map[string]time.Duration // slowest attempt of the control, by suite and feature it passed
	judged    map[string][]ControlResult          // by suite
	negatives []ControlResult
	ran       map[string]bool          // suites in which a client could be had that is no control
	left      map[Client]time.Duration // what a client's undecided cells will take, by what they took before
	chains    map[Client]time.Duration // what a client's preparation and attempts took
	cpu       time.Duration            // of all attempts

	controls map[string]Client                   // the positive control, by suite
	above    map[Client][][]Client               // see chainsAbove
	decided  map[Client]map[string]chan struct{} // closed when a client's cells of the feature are decided
}

// describe asks what the run is made on, and records it before anything else.
func (r *run) describe(ctx context.Context) (err error) {
	if r.environment, err = r.Runtime.Environment(ctx); err != nil {
		return fmt.Errorf("describing the %s runtime: %w", r.Runtime.Name(), err)
	}
	if r.Resumed {
		if changes := r.Header.Environment.changes(r.environment); changes != "" {
			return fmt.Errorf("run %s was begun on something else: %s; start a new run, which reuses what it may", r.Header.Run, changes)
		}
		return nil
	}
	header := r.Header
	header.Schema, header.Runtime, header.Environment = RecordSchema, r.Runtime.Name(), r.environment
	header.PlanDigest, header.Cells, header.Repeat = r.Plan.Digest, r.Plan.Cells, r.Repeat
	return r.append(Line{Type: LineHeader, Header: &header})
}

func (r *run) append(line Line) error {
	if err := r.Recorder.Append(line); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil
}

func (r *run) observe(event Event) {
	if r.Observe != nil {
		event.Time = time.Now()
		r.Observe(event)
	}
}

// clients prepares every client, while it finds what they run on, then has their
// cells decided. Cells begin when the last client is prepared, so that no attempt
// runs beside an image's build.
func (r *run) clients(ctx context.Context) (err error) {
	r.endpoint.start = r.Runtime.StartEndpoint
	clients := make([]*client, len(r.Plan.Clients)+len(r.Plan.Controls))
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		failures := make([]error, len(clients)+1)
		var closed sync.WaitGroup
		for i, client := range clients {
			closed.Go(func() { failures[i] = client.place.close(closing) })
		}
		closed.Go(func() { failures[len(clients)] = r.endpoint.close(closing) })
		closed.Wait()
		// A run whose cells are all decided is complete, however slow the engine
		// is to clean up: what is left then is the runtime's to remove, and to tell.
		if err != nil {
			err = errors.Join(err, errors.Join(failures...))
		}
	}()
	for i, planned := range slices.Concat(r.Plan.Clients, r.Plan.Controls) {
		if planned.Control {
			r.controls[planned.Variant.Suite] = planned.Client()
		}
		features := map[string]chan struct{}{introduction: make(chan struct{})}
		for _, cell := range planned.Cells {
			if features[cell.Feature] == nil {
				features[cell.Feature] = make(chan struct{})
			}
			r.left[planned.Client()] += r.took(planned, cell)
		}
		r.decided[planned.Client()] = features
		clients[i] = &client{PlannedClient: planned, turn: turn{slots: &r.slots}, place: placeKeeper{prepare: func(ctx context.Context) (Place, error) {
			r.observe(Event{Kind: EventPreparing, Client: planned.Client()})
			return r.Runtime.Prepare(ctx, planned.Target, planned.Variant, planned.Binding)
		}}}
	}
	r.above = r.chainsAbove()
	preparing, giveUp := context.WithCancel(ctx)
	var prepared, endpoint sync.WaitGroup
	defer func() {
		giveUp()
		endpoint.Wait()
	}()
	// Beside the clients until all have started: it and they are containers of their
	// own. If it does not start, the attempt that needs it tries again and says why not.
	endpoint.Go(func() { _, _ = r.endpoint.get(preparing) })
	for _, client := range clients {
		prepared.Go(func() {
			began := time.Now()
			if _, client.unprepared = client.place.get(preparing); client.unprepared == nil {
				r.spent(client.Client(), time.Since(began), 0)
			}
		})
	}
	if err = r.describe(ctx); err != nil {
		giveUp()
	}
	prepared.Wait()
	if err != nil {
		return err
	}
	for _, client := range clients {
		if client.unprepared == nil {
			if err = r.recall(client); err != nil {
				return err
			}
		}
	}
	r.slots.size = wholeCore * cmp.Or(r.Parallel, r.environment.Cores, runtime.NumCPU())

	// Until the last has started no new attempt begins; what is recorded is judged.
	r.slots.shut = true
	group, ctx := errgroup.WithContext(ctx)
	var starting, opening sync.WaitGroup
	for _, client := range clients {
		starts := client.unprepared == nil && client.introduced == nil
		if starts {
			starting.Add(1)
		}
		group.Go(func() error {
			defer client.turn.done()
			if starts {
				r.start(ctx, client)
				starting.Done()
			}
			if client.negative() {
				return r.negativeControl(ctx, client)
			}
			return r.client(ctx, client)
		})
	}
	opening.Go(func() {
		starting.Wait()
		endpoint.Wait()
		r.slots.open()
	})
	defer opening.Wait()
	return group.Wait()
}

// start starts a client that is to be asked who it is. One that an earlier run
// asked may have nothing left to be attempted, and is started when it is found to
// have, in its turn. If it does not start, the attempt that needs it tries again
// and says why not.
func (r *run) start(ctx context.Context, client *client) {
	began := time.Now()
	if _, err := client.place.start(ctx); err != nil {
		_, client.unprepared = client.place.get(ctx)
		return
	}
	r.spent(client.Client(), time.Since(began), 0)
}

// client is a planned client under way.
type client struct {
	PlannedClient
	place      placeKeeper
	turn       turn
	unprepared error // why it can't be had
	// What it answered to the negative probe in an earlier run, nil if it is to be
	// asked, and the number of the last answer in the record.
	introduced *Attempt
	asked      int
}

// took is what the cell's attempts will take, as far as that is known.
func (r *run) took(client PlannedClient, cell Cell) time.Duration {
	if r.Took != nil {
		if took := r.Took(cell); took > 0 {
			return took
		}
	}
	return unmeasured(client, r.features[cell.Feature])
}

// belowOf lists the clients that the client's red cells are compared with.
func (r *run) belowOf(client PlannedClient) []Client {
	var below []Client
	for _, other := range r.Plan.Clients {
		switch {
		case other.Client() == client.Client() || client.Control || client.negative():
		case other.Control && (other.Variant.Suite == client.Variant.Suite || r.controls[client.Variant.Suite] == Client{}),
			other.Binding.Raw && !client.Binding.Raw && other.Client().Target == client.Client().Target:
			below = append(below, other.Client())
		}
	}
	return below
}

// await waits until the feature is decided in all that the client's red cells
// are compared with; meanwhile others have its slot.
func (r *run) await(ctx context.Context, client *client, feature string) error {
	for _, other := range r.belowOf(client.PlannedClient) {
		decided := r.decided[other][feature]
		if decided == nil {
			continue // not planned there
		}
		select {
		case <-decided:
			continue
		default:
		}
		client.turn.done()
		select {
		case <-decided:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// urgency orders the clients: what is left to do for the client and for the
// longest of those that wait for it.
func (r *run) urgency(client PlannedClient) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var longest time.Duration
	for _, chain := range r.above[client.Client()] {
		var after time.Duration
		for _, other := range chain {
			after += r.left[other]
		}
		longest = max(longest, after)
	}
	return r.left[client.Client()] + longest
}

// chainsAbove lists, by client, the chains of clients that wait for it: for the
// control each raw client and those on top of it, for a raw client the latter.
func (r *run) chainsAbove() map[Client][][]Client {
	above := map[Client][][]Client{}
	for _, client := range r.Plan.Clients {
		var raw []Client
		below := r.belowOf(client)
		for _, other := range below {
			if other.Target == client.Client().Target {
				raw = append(raw, other)
			}
		}
		for _, other := range below {
			chain := []Client{client.Client()}
			if other.Target != client.Client().Target {
				chain = append(chain, raw...)
			}
			above[other] = append(above[other], chain)
		}
	}
	return above
}

// spent adds to what the client's chain and the run's attempts took.
func (r *run) spent(client Client, wall, cpu time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chains[client] += wall
	r.cpu += cpu
}

// account begins what preparing the client came to.
func (c *client) account() *ClientAccount {
	account := &ClientAccount{
		Client: c.Client(), Title: c.Target.Title, Family: c.Target.Family, Suite: c.Variant.Suite,
		Packages: c.Variant.Packages, Raw: c.Binding.Raw, Control: c.Control,
	}
	switch {
	case errors.Is(c.unprepared, ErrUnavailable):
		account.NotRun = c.unprepared.Error()
	case c.unprepared != nil:
		account.Error = c.unprepared.Error()
	}
	return account
}

// unattempted is the verdict on a cell of a client that could not be prepared.
func (a *ClientAccount) unattempted(cell Cell) (Verdict, bool) {
	switch {
	case a.NotRun != "":
		return Verdict{Cell: cell, Outcome: NotRun, Reason: a.NotRun}, true
	case a.Error != "":
		return Verdict{Cell: cell, Outcome: Error, Reason: a.Error}, true
	}
	return Verdict{}, false
}

// negativeControl has a negative control's cells attempted and compares what
// they come to with what they must. Its attempts are recorded, so that they can
// be looked at and reused; its verdicts are no results.
func (r *run) negativeControl(ctx context.Context, client *client) error {
	account := client.account()
	if account.NotRun == "" && account.Error == "" {
		if err := r.introduce(ctx, client, account); err != nil {
			return err
		}
	}
	for _, cell := range client.Cells {
		verdict, unattempted := account.unattempted(cell)
		if !unattempted {
			begun, err := r.begin(ctx, client, account, cell)
			if err != nil {
				return err
			}
			if verdict, _, err = begun.decide(ctx, 0, toTheEnd); err != nil {
				return err
			}
		}
		result := CheckControl(*client.expected(cell), verdict)
		r.mu.Lock()
		r.left[client.Client()] -= r.took(client.PlannedClient, cell)
		r.negatives = append(r.negatives, result)
		r.mu.Unlock()
		r.observe(Event{Kind: EventControl, Cell: cell, Control: &result})
	}
	return ctx.Err()
}

// client has one client's cells decided.
func (r *run) client(ctx context.Context, client *client) error {
	name := client.Client()
	account := client.account()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case account.NotRun != "" || account.Error != "":
	default:
		if !client.Control {
			r.mu.Lock()
			r.ran[client.Variant.Suite] = true
			r.mu.Unlock()
		}
		place := client.place.now
		account.Image, account.Size, account.Source = place.Digest(), place.Size(), place.Source()
		account.Granted = client.Target.Needs
		if archive := client.Target.ArchiveOf(client.Variant); archive != nil {
			account.Archive = "sha256:" + archive.SHA256
		}
		if err := r.await(ctx, client, introduction); err != nil {
			return err
		}
		if err := r.introduce(ctx, client, account); err != nil {
			return err
		}
	}
	close(r.decided[name][introduction])
	if err := r.append(Line{Type: LineClient, Client: account}); err != nil {
		return err
	}
	r.observe(Event{Kind: EventPrepared, Client: name, Account: account})
	for group := range groups(client.Cells) {
		if err := r.group(ctx, client, account, group); err != nil {
			return err
		}
	}
	return nil
}

// groups are the cells by their features' group, in their order.
func groups(cells []Cell) iter.Seq[[]Cell] {
	return func(yield func([]Cell) bool) {
		for len(cells) > 0 {
			end := slices.IndexFunc(cells, func(cell Cell) bool { return groupOf(cell) != groupOf(cells[0]) })
			if end < 0 {
				end = len(cells)
			}
			if !yield(cells[:end]) {
				return
			}
			cells = cells[end:]
		}
	}
}

func groupOf(cell Cell) string {
	group, _, _ := strings.Cut(cell.Feature, "/")
	return group
}

// group has a client's cells of one group decided. The attempts that need the
// machine to themselves are put off, so that the others are stopped for them once.
// What passes, and what never does, is attempted further if what another feature of
// the group came to casts doubt on it.
func (r *run) group(ctx context.Context, client *client, account *ClientAccount, cells []Cell) error {
	begun := make([]*cellRun, len(cells)) // nil: not attempted
	doubts := make([]Doubt, len(cells))
	verdicts := make([]Verdict, len(cells))
	wentWrong := map[string]bool{} // features with a technique that did
	var putOff []int               // places of cells
	for i, cell := range cells {
		unattempted := false
		if verdicts[i], unattempted = account.unattempted(cell); unattempted {
			continue
		}
		err := r.await(ctx, client, cell.Feature)
		if err != nil {
			return err
		}
		if wentWrong[cell.Feature] {
			doubts[i] = DoubtTechnique
		}
		if begun[i], err = r.begin(ctx, client, account, cell); err != nil {
			return err
		}
		decided := false
		if verdicts[i], decided, err = begun[i].decide(ctx, doubts[i], inCompany); err != nil {
			return err
		}
		if !decided {
			putOff = append(putOff, i)
		}
		if begun[i].wrong {
			wentWrong[cell.Feature] = true
		}
	}
	for _, far := range []stretch{byItself, toTheEnd} {
		for _, i := range putOff {
			var err error
			if verdicts[i], _, err = begun[i].decide(ctx, doubts[i], far); err != nil {
				return err
			}
		}
	}
	for more := true; more; {
		more = false
		found := unsound(verdicts, begun)
		for i, verdict := range verdicts {
			doubt := found.doubtOn(verdict)
			if begun[i] == nil || doubts[i]|doubt == doubts[i] {
				continue
			}
			// What is found to fail, or to pass, after all may cast doubt on more.
			more = true
			doubts[i] |= doubt
			var err error
			if verdicts[i], _, err = begun[i].decide(ctx, doubts[i], toTheEnd); err != nil {
				return err
			}
		}
	}
	for i, verdict := range verdicts {
		if err := r.conclude(client.PlannedClient, verdict); err != nil {
			return err
		}
		if i == len(cells)-1 || cells[i+1].Feature != cells[i].Feature {
			close(r.decided[client.Client()][cells[i].Feature])
		}
	}
	return nil
}

// unsoundness is what of a group does not do the same each time, or writes where it
// must not.
type unsoundness struct {
	whole      bool            // a feature crashes, hangs or is flaky by its best technique, be it in a few of its attempts
	techniques map[string]bool // by which a feature crashes or fails now and then, though another mends it
	flaky      map[string]bool // by which a feature passes now and then
}

// unsound looks for it in the verdicts of a group.
func unsound(verdicts []Verdict, begun []*cellRun) unsoundness {
	best := map[string]int{}
	found := unsoundness{techniques: map[string]bool{}, flaky: map[string]bool{}}
	went := func(i int, wrong ...Outcome) bool {
		return begun[i] != nil && slices.ContainsFunc(begun[i].findings, func(finding Finding) bool {
			return slices.Contains(wrong, finding.Outcome)
		})
	}
	for i, verdict := range verdicts {
		if known, there := best[verdict.Feature]; !there || verdict.Outcome.Rank() < verdicts[known].Outcome.Rank() {
			best[verdict.Feature] = i
		}
		if went(i, Crash) || verdict.Outcome == Flaky && went(i, Fail) {
			found.techniques[verdict.Technique] = true
		}
		if verdict.Outcome == Flaky && verdict.Passes > 0 {
			found.flaky[verdict.Technique] = true
		}
	}
	for _, i := range best {
		found.whole = found.whole || verdicts[i].Outcome == Flaky || went(i, Crash, Hang)
	}
	return found
}

// doubtOn is the doubt that it casts on a verdict of the group.
func (u unsoundness) doubtOn(verdict Verdict) Doubt {
	switch verdict.Outcome {
	case Pass:
		if u.whole || u.techniques[verdict.Technique] {
			return DoubtGroup
		}
	case Fail, Crash, Hang:
		if u.flaky[verdict.Technique] {
			return DoubtFlaky
		}
	}
	return 0
}

// cellRun is a cell that is being decided: recorded attempts with the same key
// first, then new ones.
type cellRun struct {
	*run
	client  *client
	account *ClientAccount
	cell    Cell
	feature Feature
	key     string
	repeat  int
	lost    error // why the client can't be had again; the rest is then unset

	earlier             []Attempt // recorded, not looked at yet
	number              int       // of the last attempt
	findings            []Finding // of those that count
	slowest             time.Duration
	reused, traces      int
	hasDossier          bool
	share               int // of an attempt, as the last one took
	took                time.Duration
	wrong, hung         bool // as long as company may be the cause
	wrongAlone          bool // it is not
	disturbed           bool // a hang was put down to company
	hungAlone           bool
	counted, wereReused int // in the footer
}

// begin makes a cell ready to be decided.
func (r *run) begin(ctx context.Context, client *client, account *ClientAccount, cell Cell) (*cellRun, error) {
	place, err := client.place.get(ctx)
	if err != nil {
		return &cellRun{cell: cell, lost: err}, ctx.Err()
	}
	c := &cellRun{
		run: r, client: client, account: account, cell: cell, feature: r.features[cell.Feature],
		repeat: r.Repeat, share: wholeCore,
	}
	c.key = r.key(place.Digest(), client.PlannedClient, c.feature, cell)
	if r.Prior != nil {
		if c.earlier, err = r.Prior.Attempts(cell, c.key); err != nil {
			return nil, fmt.Errorf("reading earlier attempts of %s: %w", cell, err)
		}
	}
	// An attempt that was the harness's fault is not reused: it says nothing
	// about the client, and its cause may be gone. Nor is one that was given less
	// time than it would be now and did not end.
	made, bounds := len(c.earlier), r.bounds(client.PlannedClient, c.feature, cell)
	kept := c.earlier[:0]
	for _, attempt := range c.earlier {
		if attempt.Evidence.Cell != cell {
			continue
		}
		// The evidence is what was recorded; the finding is today's judge's.
		attempt.Finding = Conclude(c.feature, account.Trusted, attempt.Evidence)
		if attempt.Finding.Outcome != Error && (attempt.Traced || !bounds.beyond(attempt.Evidence.Account)) {
			kept = append(kept, attempt)
		}
	}
	c.earlier = kept
	c.number = made - len(c.earlier)
	if client.negative() {
		// It does the same each time, and why it crashes is known.
		c.repeat, c.hasDossier = 1, true
	}
	return c, nil
}

// judged is what its attempts come to so far.
func (c *cellRun) judged(doubt Doubt) Decision {
	if c.disturbed {
		doubt |= DoubtHang
	}
	return Decide(c.feature, c.cell, c.findings, c.repeat, doubt)
}

// stretch is how far a cell is attempted at once.
type stretch int

const (
	toTheEnd  stretch = iota
	inCompany         // up to an attempt that needs the machine to itself
	byItself          // as long as they do
)

// decide has the cell attempted until it is decided, or to the end of the stretch.
// It may be called again, for the next one or when there is more doubt.
func (c *cellRun) decide(ctx context.Context, doubt Doubt, far stretch) (verdict Verdict, decided bool, err error) {
	if c.lost != nil {
		return Verdict{Cell: c.cell, Outcome: Error, Reason: c.lost.Error()}, true, nil
	}
	decision := c.judged(doubt)
	// All that is recorded counts: to stop at the first that suffice would pass over
	// what went wrong later.
	for decision.More || c.repeat == 0 && len(c.earlier) > 0 || decision.Dossier && !c.hasDossier {
		// What goes wrong where timing matters is tried again with the machine to
		// itself, and so is what did not end in time, until it went wrong so: others
		// need not wait for what is no fault of theirs.
		alone := len(c.earlier) == 0 && (c.hung && !c.hungAlone || c.wrong && c.feature.Timing && !c.wrongAlone)
		if far == inCompany && alone || far == byItself && !alone {
			return Verdict{}, false, nil
		}
		c.number++
		traced := !decision.More
		var attempt Attempt
		if len(c.earlier) > 0 {
			attempt, c.earlier = c.earlier[0], c.earlier[1:]
			attempt.Number = c.number
			if attempt.ReusedFrom != "" {
				if !attempt.Traced {
					c.reused++
				}
				err = c.append(Line{Type: LineAttempt, Attempt: &attempt})
			}
		} else {
			if c.Parallel > 0 {
				c.share = wholeCore
			}
			if !c.client.place.started {
				c.share, c.took = wholeCore, 0 // it is started in its turn, which takes more
			}
			if err = c.client.turn.next(ctx, claim{c.urgency(c.client.PlannedClient), alone, c.share, c.took}); err != nil {
				return Verdict{}, false, err
			}
			c.observe(Event{Kind: EventAttempting, Cell: c.cell})
			attempt = Attempt{Number: c.number, Key: c.key, Traced: traced, HungAlone: c.hungAlone, Evidence: Evidence{Cell: c.cell}}
			bounds := c.bounds(c.client.PlannedClient, c.feature, c.cell)
			if traced {
				bounds = bounds.within(traceStart + traceFactor*c.slowest)
			}
			if attempt, err = c.attempt(ctx, c.client, c.feature, bounds, attempt, c.account.Trusted); err != nil {
				return Verdict{}, false, err
			}
			err = c.append(Line{Type: LineAttempt, Attempt: &attempt})
		}
		if err != nil {
			return Verdict{}, false, err
		}
		c.observe(Event{Kind: EventAttempt, Cell: c.cell, Attempt: &attempt})
		c.share, c.took = shareOf(attempt.Evidence.Account), attempt.Duration
		if attempt.Traced {
			c.traces++
			dossier := attempt.Evidence.Account.Dossier
			c.hasDossier = dossier != nil && dossier.Backtrace != "" || c.traces == tracedAttempts
			continue
		}
		hung := attempt.Finding.Outcome == Hang
		if red := attempt.Finding.Outcome.Red() && attempt.Finding.Outcome != Unsupported; red {
			c.wrong, c.wrongAlone = true, c.wrongAlone || !attempt.Shared || hung && attempt.undisturbed()
		}
		if hung {
			c.hung, c.hungAlone = true, c.hungAlone || attempt.undisturbed()
		}
		if !attempt.Counts() {
			c.disturbed = true
			continue
		}
		c.findings = append(c.findings, attempt.Finding)
		c.slowest = max(c.slowest, attempt.Duration)
		decision = c.judged(doubt)
	}
	verdict = decision.Verdict
	verdict.Reused, verdict.Slowest = c.reused, c.slowest
	if !c.client.negative() {
		c.mu.Lock()
		c.footer.Attempts += len(c.findings) - c.counted
		c.footer.Reused += c.reused - c.wereReused
		c.mu.Unlock()
		c.counted, c.wereReused = len(c.findings), c.reused
	}
	return verdict, true, nil
}

// conclude gives the verdict its layer, records it and remembers what others
// are compared with.
func (r *run) conclude(client PlannedClient, verdict Verdict) error {
	r.mu.Lock()
	r.left[client.Client()] -= r.took(client, verdict.Cell)
	if verdict.Outcome.Red() {
		if verdict.Layer == "" {
			verdict.Layer = InferLayer(verdict, client.Control, client.Binding.Raw, r.compared(client, verdict.Cell))
		}
		if verdict.Outcome == Hang && !client.Control && r.controlTime(client.Variant.Suite, verdict.Feature) == 0 {
			// Nothing shows that this machine ends it in time at all.
			verdict.Outcome, verdict.Layer = Error, ""
			verdict.Reason += "; the positive control did not pass it either, so that this is no statement about the client"
		}
	}
	r.footer.Counts[verdict.Outcome]++
	if client.Control {
		if verdict.Outcome == Pass {
			passed := r.control[client.Variant.Suite]
			if passed == nil {
				passed = map[string]time.Duration{}
				r.control[client.Variant.Suite] = passed
			}
			passed[verdict.Feature] = max(passed[verdict.Feature], verdict.Slowest)
		}
		suite := client.Variant.Suite
		r.judged[suite] = append(r.judged[suite], ControlResult{
			Name: verdict.Cell.String(), Expected: Pass, Outcome: verdict.Outcome, Reason: verdict.Reason,
		})
	}
	if client.Control || client.Binding.Raw {
		known := r.below[client.Client()]
		if known == nil {
			known = make(outcomes, 2*len(client.Cells))
			r.below[client.Client()] = known
		}
		known.add(verdict)
	}
	r.mu.Unlock()
	if err := r.append(Line{Type: LineVerdict, Verdict: &verdict}); err != nil {
		return err
	}
	r.observe(Event{Kind: EventVerdict, Cell: verdict.Cell, Verdict: &verdict})
	return nil
}

// outcomes are a client's verdicts, by feature and technique; the empty technique
// stands for the feature's best one.
type outcomes map[[2]string]Verdict

// add notes the verdict. What is red by its probe's fault says nothing of what
// the probe was to exercise.
func (o outcomes) add(verdict Verdict) {
	if verdict.Layer == LayerProbe {
		o[[2]string{verdict.Feature, verdict.Technique}] = Verdict{}
		return
	}
	o[[2]string{verdict.Feature, verdict.Technique}] = verdict
	best := [2]string{verdict.Feature, ""}
	if known, ok := o[best]; !ok || verdict.Outcome.Rank() < known.Outcome.Rank() {
		o[best] = verdict
	}
}

func (o outcomes) of(cell Cell) Verdict {
	if verdict, ok := o[[2]string{cell.Feature, cell.Technique}]; ok {
		return verdict
	}
	return o[[2]string{cell.Feature, ""}]
}

// compared looks up the same feature in the control and the raw binding. The
// caller holds mu.
func (r *run) compared(client PlannedClient, cell Cell) Compared {
	var compared Compared
	// Another suite has another libzmq, of which the control says nothing.
	if control, planned := r.controls[client.Variant.Suite]; planned {
		compared.Control = r.below[control].of(cell).Outcome
	}
	for client, outcomes := range r.below {
		if client.Target == cell.Target && client.Binding != cell.Binding {
			raw := outcomes.of(cell)
			compared.Raw, compared.RawReason = raw.Outcome, raw.Reason
		}
	}
	return compared
}

// attempt makes one attempt, of which the caller has filled in what it knows. An
// error means that the run can't go on; a fault of the harness in this one
// attempt is evidence of the outcome Error.
func (r *run) attempt(ctx context.Context, client *client, feature Feature, bounds Bounds, attempt Attempt, trusted bool) (Attempt, error) {
	place, err := r.started(ctx, client)
	attempt.Started = time.Now().UTC()
	attempt.Shared = client.turn.shared()
	attempt.Evidence.Seed, attempt.Evidence.Params = r.seed(attempt.Evidence.Cell, attempt.Number, ""), feature.Params
	if err == nil {
		err = r.perform(ctx, client, place, feature, bounds, &attempt)
	}
	if err != nil {
		if ctx.Err() != nil {
			return Attempt{}, ctx.Err()
		}
		attempt.Evidence.HarnessError = err.Error()
	}
	attempt.Duration = time.Since(attempt.Started)
	account := attempt.Evidence.Account
	r.spent(client.Client(), attempt.Duration, account.User+account.System+account.Supervision)
	attempt.Finding = Conclude(feature, trusted, attempt.Evidence)
	return attempt, nil
}

// started is the client's place, which is started in the client's turn if it was
// not needed before, or is lost.
func (r *run) started(ctx context.Context, client *client) (Place, error) {
	if client.place.started {
		return client.place.now, nil
	}
	began := time.Now()
	place, err := client.place.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("making %s ready: %w", client.Client(), err)
	}
	r.spent(client.Client(), time.Since(began), 0)
	return place, nil
}

// perform fills in the attempt's evidence.
func (r *run) perform(ctx context.Context, client *client, place Place, feature Feature, bounds Bounds, attempt *Attempt) error {
	evidence := &attempt.Evidence
	task := Task{
		Env: map[string]string{
			"ZM_PROTOCOL":  strconv.Itoa(Protocol),
			"ZM_FEATURE":   evidence.Cell.Feature,
			"ZM_TECHNIQUE": evidence.Cell.Technique,
			"ZM_SEED":      strconv.FormatUint(evidence.Seed, 10),
		},
		Bounds: bounds,
		Trace:  attempt.Traced,
	}
	for _, part := range client.Binding.Command {
		task.Command = append(task.Command, place.Expand(part))
	}
	if feature.Witness && client.Binding.Witness != "" {
		task.Witness = place.Expand(client.Binding.Witness)
	}
	for param, value := range feature.Params {
		task.Env["ZM_PARAM_"+variable(param)] = value
	}
	var endpoint Endpoint
	var err error
	if len(feature.Lane) > 0 {
		evidence.Sockets = slices.Clone(feature.Lane)
		for i := range evidence.Sockets {
			evidence.Sockets[i].Seed = r.seed(evidence.Cell, attempt.Number, evidence.Sockets[i].Name)
		}
		if endpoint, err = r.endpoint.get(ctx); err != nil {
			return fmt.Errorf("starting the endpoint: %w", err)
		}
		if evidence.Lane, err = endpoint.Open(ctx, LaneRequest{Sockets: evidence.Sockets}); err != nil {
			return r.endpoint.lost(ctx, endpoint, fmt.Errorf("opening a lane: %w", err))
		}
		for name, address := range evidence.Lane.Endpoints {
			task.Env["ZM_ENDPOINT_"+variable(name)] = address
		}
		task.Env["ZM_ENDPOINT"] = evidence.Lane.Endpoints[evidence.Sockets[0].Name]
	}
	evidence.Account, err = place.Run(ctx, task)
	if err != nil {
		err = client.place.lost(ctx, place, fmt.Errorf("running the probe: %w", err))
	}
	if endpoint != nil {
		// The lane is closed even if the probe could not be run: it would hold
		// its ports for the rest of the run.
		seen, closeError := endpoint.CloseLane(ctx, evidence.Lane.ID)
		evidence.Seen = seen
		if closeError != nil {
			err = errors.Join(err, r.endpoint.lost(ctx, endpoint, fmt.Errorf("closing the lane: %w", closeError)))
		}
	}
	evidence.Report = ParseReport(evidence.Account.Stdout, evidence.Account.StdoutLost)
	evidence.Account.Stdout = nil
	return err
}

// variable is a name as it stands in an environment variable.
func variable(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// controlTime is what the control took for the feature at most, in the same
// suite; where it has none there, in the one that took longest. 0 if it did not
// pass. The caller holds mu.
func (r *run) controlTime(suite, feature string) time.Duration {
	if _, planned := r.controls[suite]; planned {
		return r.control[suite][feature]
	}
	var longest time.Duration
	for _, passed := range r.control {
		longest = max(longest, passed[feature])
	}
	return longest
}

// bounds are the limits of one attempt of the feature.
func (r *run) bounds(client PlannedClient, feature Feature, cell Cell) Bounds {
	r.mu.Lock()
	control := r.controlTime(client.Variant.Suite, feature.Name)
	r.mu.Unlock()
	limits := client.Target.Limits
	factor := max(1, limits.TimeFactor)
	wall := time.Duration(factor * float64(feature.Wall+controlFactor*control))
	if expected := client.expected(cell); expected != nil && expected.WallSeconds > 0 {
		wall = time.Duration(expected.WallSeconds) * time.Second
	}
	return Bounds{Wall: wall, CPU: cpuFactor * wall, MemoryMiB: limits.MemoryMiB, Output: outputBytes, Processes: limits.Processes}
}

// within has the bounds end after the time, if they do not do so before.
func (b Bounds) within(wall time.Duration) Bounds {
	if wall < b.Wall {
		b.Wall, b.CPU = wall, cpuFactor*wall
	}
	return b
}

// beyond reports whether the account is of a process that was ended for its time
// and would have had more of it within these bounds.
func (b Bounds) beyond(account Account) bool {
	return account.Ending == EndedWall && account.Wall < b.Wall || account.Ending == EndedCPU && account.User+account.System < b.CPU
}

// seed is what an attempt's or one of its sockets' bytes are made from: the
// same run seed, cell and number give the same, and none tells another. 32 bits,
// which is what Payload uses.
func (r *run) seed(cell Cell, number int, socket string) uint64 {
	text := appendCell(r.seedText(), cell)
	text = strconv.AppendInt(append(text, 0), int64(number), 10)
	digest := sha256.Sum256(append(append(text, 0), socket...))
	return uint64(binary.BigEndian.Uint32(digest[:]))
}

// seedText begins what a digest that the run's seed decides is made from.
func (r *run) seedText() []byte {
	return append(strconv.AppendUint(make([]byte, 0, 256), r.Header.Seed, 10), 0)
}

// appendCell appends what Cell.String returns.
func appendCell(text []byte, cell Cell) []byte {
	text = append(append(text, cell.Target...), '/')
	text = append(append(text, cell.Binding...), '/')
	text = append(append(text, cell.Feature...), '/')
	return append(text, cell.Technique...)
}

// key digests what an attempt's evidence depends on but its seed: the machine,
// the client's image, confinement, command, witness, limits and what it was
// granted, the endpoint, the cell, and the feature's version, parameters, lane and
// limit.
func (r *run) key(image string, client PlannedClient, feature Feature, cell Cell) string {
	text := make([]byte, 0, 1024)
	text = append(strconv.AppendInt(text, Protocol, 10), '\n')
	for _, part := range []string{image, r.environment.EndpointDigest, r.environment.Confinement, r.environment.Engine, r.environment.Host, strconv.Itoa(r.environment.Cores), client.Binding.Witness} {
		text = append(append(text, part...), '\n')
	}
	for _, part := range client.Binding.Command {
		text = append(append(text, part...), 0)
	}
	limits := client.Target.Limits
	text = append(strconv.AppendInt(append(text, '\n'), int64(limits.MemoryMiB), 10), ' ')
	text = append(strconv.AppendInt(text, int64(limits.Processes), 10), ' ')
	text = append(strconv.AppendFloat(text, limits.TimeFactor, 'g', -1, 64), '\n')
	if needs := client.Target.Needs; needs != nil {
		text = fmt.Appendf(text, "personality %#x\n", needs.Personality)
	}
	text = append(appendCell(text, cell), '\n')
	if expected := client.expected(cell); expected != nil {
		text = fmt.Appendf(text, "wall %d\n", expected.WallSeconds)
	}
	digest := sha256.Sum256(append(text, r.keyTexts[feature.Name]...))
	return hex.EncodeToString(digest[:])
}

// keyText is the feature's part of what key digests.
func keyText(feature Feature) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d %s\n", feature.Version, feature.Wall)
	for _, param := range slices.Sorted(maps.Keys(feature.Params)) {
		fmt.Fprintf(&text, "%s=%s\n", param, feature.Params[param])
	}
	for _, socket := range feature.Lane {
		fmt.Fprintf(&text, "%s %s %d %v %d\n", socket.Name, socket.Role, socket.Count, socket.Sizes, socket.Parts)
	}
	return text.String()
}
