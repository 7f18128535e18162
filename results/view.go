package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Question is one that decided in 2010 whether a Common Lisp binding could
// offer zero-copy. Its feature is the strictest of its kind, and has a column
// of its own.
type Question struct {
	Feature string
	Title   string // "callback on I/O thread"
	Claim   string // what claims call it: "callback"
	Asks    string // the question in full
}

var questions = []Question{
	{"callback/io-thread-gc", "callback on I/O thread", "callback", "Can libzmq's I/O thread call into it, while it collects?"},
	{"static-area/address-stable", "static area", "static-area", "Has it arrays that the collector never moves?"},
	{"zero-copy/callback-free", "zero-copy by callback", "zero-copy", "Both together: are its arrays sent without a copy, and freed by its own callback?"},
}

// view is published results as the renderings look at them.
type view struct {
	Published
	groups   []string // in the features' order
	features map[string]Feature
	inGroup  map[string][]Feature
	cells    map[matrix.Client]map[string][]Cell // techniques in order of preference
	clients  map[matrix.Client]Client
	controls map[string][]Client // by suite
	raw      map[string][]Client // by target
	link     Linker
}

func viewOf(published Published) view {
	v := view{
		Published: published, features: map[string]Feature{}, inGroup: map[string][]Feature{}, cells: map[matrix.Client]map[string][]Cell{},
		clients: map[matrix.Client]Client{}, controls: map[string][]Client{}, raw: map[string][]Client{}, link: inPage,
	}
	for _, client := range published.Targets {
		v.clients[client.Key()] = client
		if client.Control {
			v.controls[client.Suite] = append(v.controls[client.Suite], client)
		}
		if client.Raw {
			v.raw[client.Target] = append(v.raw[client.Target], client)
		}
	}
	for _, feature := range published.Features {
		v.features[feature.Name] = feature
		v.inGroup[feature.Group] = append(v.inGroup[feature.Group], feature)
		if !slices.Contains(v.groups, feature.Group) {
			v.groups = append(v.groups, feature.Group)
		}
	}
	for _, cell := range published.Cells {
		client := cell.Key().Client()
		if v.cells[client] == nil {
			v.cells[client] = map[string][]Cell{}
		}
		v.cells[client][cell.Feature] = append(v.cells[client][cell.Feature], cell)
	}
	return v
}

// questions are those whose features were measured.
func (v view) questions() []Question {
	return slices.DeleteFunc(slices.Clone(questions), func(q Question) bool { _, ok := v.features[q.Feature]; return !ok })
}

// best is a client's best technique for a feature.
func (v view) best(client Client, feature string) (Cell, bool) {
	techniques := v.cells[client.Key()][feature]
	if len(techniques) == 0 {
		return Cell{}, false
	}
	return bestOf(techniques), true
}

// mark is an outcome's sign, which stands beside the word and never alone.
func mark(outcome matrix.Outcome) string {
	switch outcome {
	case matrix.Pass:
		return "✓"
	case matrix.Flaky:
		return "≈"
	case matrix.Unsupported:
		return "–"
	case matrix.Error:
		return "!"
	case matrix.NotRun, "":
		return "·"
	}
	return "✗"
}

// label is a feature's verdict in words: "pass, with unblock-signals",
// "flaky 7/12", "crash".
func label(best Cell, name func(string) string) string {
	word := string(best.Outcome)
	if best.Outcome == matrix.Flaky {
		word = fmt.Sprintf("flaky %d/%d", best.Passes, best.Attempts)
	}
	return withTechnique(word, best, name)
}

// withTechnique adds to an outcome's word the technique that it needs.
func withTechnique(word string, best Cell, name func(string) string) string {
	if best.Technique == plainTechnique || best.Outcome != matrix.Pass && best.Outcome != matrix.Flaky {
		return word
	}
	return word + ", with " + name(best.Technique)
}

// shortWord is an outcome for a narrow column.
func shortWord(outcome matrix.Outcome) string {
	switch outcome {
	case matrix.Unsupported:
		return "unsup."
	case "":
		return string(matrix.NotRun)
	}
	return string(outcome)
}

// tally counts a client's features of a group by their best technique.
type tally struct {
	passes, said int                    // said: features with a statement about the client
	others       map[matrix.Outcome]int // what did not pass
}

func (v view) tally(client Client, group string) tally {
	tally := tally{others: map[matrix.Outcome]int{}}
	for _, feature := range v.inGroup[group] {
		best, ok := v.best(client, feature.Name)
		switch {
		case !ok:
			tally.others[matrix.NotRun]++
		case best.Outcome == matrix.Pass:
			tally.passes++
			tally.said++
		default:
			tally.others[best.Outcome]++
			if best.Outcome.Red() {
				tally.said++
			}
		}
	}
	return tally
}

// String is "6/6", "4/6 (2 crash)", or "not-run" where nothing was said.
func (t tally) String() string {
	var others []string
	for _, outcome := range matrix.Outcomes {
		if count := t.others[outcome]; count > 0 {
			if t.said == 0 && len(t.others) == 1 {
				return string(outcome)
			}
			others = append(others, fmt.Sprintf("%d %s", count, outcome))
		}
	}
	text := fmt.Sprintf("%d/%d", t.passes, t.said)
	if len(others) > 0 {
		text += " (" + strings.Join(others, ", ") + ")"
	}
	return text
}

// name is a client's target and version: "sbcl@bookworm 2.2.9.debian".
func (c Client) name() string {
	text := c.Target
	if c.Version != "" {
		text += " " + c.Version
	}
	return visible(text)
}

// finding is features of a row that have the same to say.
type finding struct {
	happened string // by its dossier; nothing where the features differ in it
	cell     Cell   // the red cell that says it: the best, or the plain one that another technique mends
	mended   string // the technique that passes instead, or ""
	features []string
	tried    []string // techniques, where none passes
	clients  []Client // that it was found in, oldest version first
	versions string   // of these, or "" for all of the row
}

// findings are what a reader should know of a row beyond the table: what is
// red, and what only a technique mends. Features with the same outcome, layer
// and reason stand together, as one cause often reddens many; so do versions.
func (v view) findings(r row) (red, mended []finding) {
	for _, client := range r.clients {
		if client.NotRun != "" || client.Error != "" {
			continue // its cells say no more than that
		}
		foundRed, foundMended := v.findingsOf(client)
		for _, found := range foundRed {
			red = addVersion(red, found)
		}
		for _, found := range foundMended {
			mended = addVersion(mended, found)
		}
	}
	for _, list := range [][]finding{red, mended} {
		for i := range list {
			list[i].versions = r.labelled(list[i].clients)
		}
	}
	return red, mended
}

// findingsOf are one client's.
func (v view) findingsOf(client Client) (red, mended []finding) {
	for _, feature := range v.Features {
		techniques := v.cells[client.Key()][feature.Name]
		if len(techniques) == 0 {
			continue
		}
		best := bestOf(techniques)
		switch {
		case best.Outcome == matrix.Pass:
			if plain := techniques[0]; plain.Outcome.Red() {
				mended = addFinding(mended, finding{cell: plain, mended: best.Technique, clients: []Client{client}}, feature.Name)
			}
		case best.Outcome != matrix.NotRun:
			var tried []string
			for _, technique := range techniques {
				tried = append(tried, technique.Technique)
			}
			red = addFinding(red, finding{cell: best, tried: tried, clients: []Client{client}}, feature.Name)
		}
	}
	return red, mended
}

// alike tells whether two findings differ in nothing but their reason.
func (f finding) alike(other finding) bool {
	return f.mended == other.mended && slices.Equal(f.tried, other.tried) &&
		f.cell.Outcome == other.cell.Outcome && f.cell.Layer == other.cell.Layer &&
		f.cell.Signal == other.cell.Signal && f.cell.Cause == other.cell.Cause
}

func addFinding(findings []finding, found finding, feature string) []finding {
	found.happened = found.cell.happened()
	for i := range findings {
		if known := &findings[i]; known.alike(found) && known.cell.Reason == found.cell.Reason {
			known.features = append(known.features, feature)
			if known.happened != found.happened {
				known.happened = ""
			}
			return findings
		}
	}
	found.features = []string{feature}
	return append(findings, found)
}

// addVersion joins what several versions have to say of the same features. Where
// the cause is known the reasons may differ, such as in the step that a crash
// came at; the newest version's is shown.
func addVersion(findings []finding, found finding) []finding {
	for i := range findings {
		known := &findings[i]
		if known.alike(found) && slices.Equal(known.features, found.features) && (known.cell.Cause != "" || known.cell.Reason == found.cell.Reason) {
			known.cell, known.happened = found.cell, found.happened
			known.clients = append(known.clients, found.clients...)
			return findings
		}
	}
	return append(findings, found)
}

// happened is what the dossier of a crash or hang comes to.
func (c Cell) happened() string {
	switch c.Outcome {
	case matrix.Crash, matrix.Hang, matrix.Flaky:
		if c.Evidence != nil {
			return c.Evidence.Happened()
		}
	}
	return ""
}

// Happened is what the dossier comes to. That of a crash is from another attempt,
// under trace, which may have crashed in another way.
func (e Evidence) Happened() string {
	if e.Dossier == nil {
		return ""
	}
	text := DossierInWords(*e.Dossier)
	if e.Dossier.Signal != "" {
		text = "under trace: " + text
	}
	return text
}

// where is a red cell's layer in words: "in the runtime".
func where(cell Cell) string {
	switch {
	case !cell.Outcome.Red():
		return ""
	case cell.Layer == "":
		return "layer not known"
	case cell.Layer == matrix.LayerLibzmq:
		return "in libzmq"
	}
	return "in the " + visible(string(cell.Layer))
}

// layerFound says how a red cell's layer was found, or why it is not known.
func (v view) layerFound(cell Cell) string {
	if !cell.Outcome.Red() {
		return ""
	}
	self := v.clients[cell.Key().Client()]
	var control, raw *Cell
	for _, client := range v.controls[self.Suite] {
		if best, ok := v.best(client, cell.Feature); ok {
			control = &best
		}
	}
	for _, client := range v.raw[cell.Target] {
		best, ok := v.best(client, cell.Feature)
		if !ok || client.Control && client.Suite == self.Suite {
			continue
		}
		raw = &best
		for _, same := range v.cells[client.Key()][cell.Feature] {
			if same.Technique == cell.Technique {
				raw = &same
			}
		}
	}
	say := func(other *Cell) string {
		return visible(fmt.Sprintf("%s (%s: %s)", other.Key().Client(), other.Technique, other.Outcome))
	}
	switch {
	case cell.Layer != "" && cell.Layer != matrix.LayerRuntime && cell.Layer != matrix.LayerBinding:
		return "the evidence itself names it"
	case self.MeasuredBy != nil:
		return "found in the contributor's own run, by comparison with the control there"
	case self.Control:
		return "this is the control: below it are only libzmq and the environment, which one red cell can't tell apart"
	case control == nil:
		return "the control was not measured on this feature, so that there is nothing to compare with"
	case control.Outcome != matrix.Pass:
		return fmt.Sprintf("the control %s does not pass this feature either", say(control))
	case self.Raw:
		return fmt.Sprintf("the control %s passes this feature, and %s is the thinnest layer of %s: what breaks is the implementation", say(control), visible(cell.Binding), visible(cell.Target))
	case raw == nil:
		return fmt.Sprintf("the control %s passes this feature; %s has no raw binding that was measured on it", say(control), visible(cell.Target))
	case raw.Outcome == matrix.Pass:
		return fmt.Sprintf("the control %s and the raw layer %s pass this feature: what breaks is the binding", say(control), say(raw))
	case raw.Outcome.Red() && cell.Layer != matrix.LayerRuntime:
		return fmt.Sprintf("the control %s passes this feature, and the raw layer %s is red too, but not in the same way: that does not tell what breaks", say(control), say(raw))
	case raw.Outcome.Red():
		return fmt.Sprintf("the control %s passes this feature, and the raw layer %s is red too: what breaks is the implementation", say(control), say(raw))
	}
	return fmt.Sprintf("the control %s passes this feature, but the raw layer %s says nothing", say(control), say(raw))
}

// inWords is an outcome for someone who meets the word for the first time.
func inWords(outcome matrix.Outcome) string {
	switch outcome {
	case matrix.Pass:
		return "it does what is required"
	case matrix.Flaky:
		return "its attempts disagree"
	case matrix.Fail:
		return "it behaves wrongly"
	case matrix.Crash:
		return "it died without a verdict"
	case matrix.Hang:
		return "it did not end within its limit"
	case matrix.Unsupported:
		return "it offers no way to do it, and says so"
	case matrix.Error:
		return "the harness failed; this says nothing about the client"
	case matrix.NotRun:
		return "it was not run; this says nothing about the client"
	}
	return "unknown outcome"
}

// ended is the warden's account of how the probe ended, in words.
func (a Account) ended() string {
	how := ""
	switch a.Ending {
	case matrix.Exited:
		how = fmt.Sprintf("exited with status %d", a.Code)
	case matrix.Signaled:
		how = "died of " + cmp.Or(a.Signal, "a signal")
	case "":
		return "no account: the probe was not run to its end"
	default:
		how = "killed by the warden: " + string(a.Ending)
	}
	text := fmt.Sprintf("%s after %s (CPU %s), peak memory %s", how, milliseconds(a.WallMS), milliseconds(a.CPUMS), byteSize(a.PeakRSS))
	if a.Strays > 0 {
		text += fmt.Sprintf(", left %d processes behind", a.Strays)
	}
	return visible(text)
}

// saw is the endpoint's view of a socket in words.
func (s Socket) saw() string {
	text := fmt.Sprintf("%s (%s): ", s.Name, s.Role)
	var parts []string
	if s.Received > 0 || s.Sent == 0 {
		parts = append(parts, fmt.Sprintf("received %s of %d expected, %s", plural(int(s.Received), "message"), s.Count, byteSize(s.Bytes)))
	}
	if s.Sent > 0 {
		parts = append(parts, fmt.Sprintf("sent %s", plural(int(s.Sent), "message")))
	}
	parts = append(parts, plural(s.Peers, "connection"))
	if s.Curve != nil {
		parts = append(parts, HandshakesInWords(*s.Curve))
	}
	text += strings.Join(parts, ", ")
	if s.Error != "" {
		text += "; error: " + s.Error
	}
	return visible(text)
}

// HandshakesInWords says who got into a secured socket, and who did not and why.
func HandshakesInWords(curve matrix.CurveAccount) string {
	text := plural(curve.Accepted, "CURVE handshake") + " accepted"
	var refused []string
	for _, reason := range matrix.Refusals {
		if times := curve.Refused[reason]; times > 0 {
			refused = append(refused, fmt.Sprintf("%d %s", times, refusalInWords[reason]))
		}
	}
	if len(refused) > 0 {
		text += ", refused: " + strings.Join(refused, ", ")
	}
	return text
}

var refusalInWords = map[matrix.Refusal]string{
	matrix.RefusedKey:        "with an unknown client key",
	matrix.RefusedCipher:     "that the lane's keys can't open",
	matrix.RefusedMechanism:  "without CURVE",
	matrix.RefusedProtocol:   "that broke the protocol",
	matrix.RefusedUnfinished: "unfinished",
}

// value is an observation's value and unit in words.
func value(observation matrix.Observation) string {
	text := visible(fmt.Sprint(observation.Value))
	switch observation.Unit {
	case "bytes":
		return text + " bytes"
	case "count", "flag", "text", "list", "address", "digest":
		return text
	}
	return strings.TrimSpace(text + " " + visible(observation.Unit))
}

// summary is the run in one line.
func (r Run) summary() string {
	text := fmt.Sprintf("Run %s: %s, %s", r.ID, plural(r.Cells, "cell"), plural(r.Attempts, "attempt"))
	if r.Reused > 0 {
		text += fmt.Sprintf(" (%d from earlier runs)", r.Reused)
	}
	if contributed := r.contributed(); contributed > 0 {
		text += fmt.Sprintf(" (%s contributed)", plural(contributed, "cell"))
	}
	text += fmt.Sprintf(", %s on %s, %s, zmqmatrix %s", cmp.Or(r.Engine, r.Runtime), r.Host, r.Started.UTC().Format("2006-01-02"), r.Tool)
	switch {
	case r.Finished.IsZero():
		text += "; UNFINISHED"
	case r.Shard != nil:
		text += fmt.Sprintf("; only shard %s", r.Shard)
	case r.Partial:
		text += "; only a selection"
	}
	return visible(text)
}

// contributed counts the cells that others measured.
func (r Run) contributed() int {
	cells := 0
	for _, merged := range r.Merged {
		if merged.Key != "" {
			cells += merged.Cells
		}
	}
	return cells
}

// controlsHeld says whether the run's controls got the outcomes they must get.
func (p Published) controlsHeld() string {
	var wrong []string
	for _, control := range p.Controls {
		if !control.Held() {
			wrong = append(wrong, visible(control.Text()))
		}
	}
	switch {
	case len(wrong) > 0:
		return fmt.Sprintf("INVALID, controls misjudged: %s", strings.Join(wrong, "; "))
	case len(p.Controls) == 0:
		return "no control was measured yet"
	}
	return fmt.Sprintf("controls: %d of %d as they must be", len(p.Controls), len(p.Controls))
}
