package matrix

import (
	"fmt"
	"slices"
	"time"
)

// RecordSchema names the version of the run record.
const RecordSchema = "zmqmatrix/record/v1"

// Line is one line of the run record: Type says which of the others is set.
type Line struct {
	Type    LineType       `json:"type"`
	Header  *Header        `json:"header,omitempty"`
	Client  *ClientAccount `json:"client,omitempty"`
	Attempt *Attempt       `json:"attempt,omitempty"`
	Verdict *Verdict       `json:"verdict,omitempty"`
	Footer  *Footer        `json:"footer,omitempty"`
}

// LineType says what a line of the record holds.
type LineType string

// The line types.
const (
	LineHeader  LineType = "header"
	LineClient  LineType = "client"
	LineAttempt LineType = "attempt"
	LineVerdict LineType = "verdict"
	LineFooter  LineType = "footer"
)

// Header opens a record: what was run, where and by which version.
type Header struct {
	Schema      string      `json:"schema"`
	Run         string      `json:"run"`  // "20261123T201500Z-1f3a"
	Tool        string      `json:"tool"` // version of zmqmatrix
	Started     time.Time   `json:"started"`
	Runtime     string      `json:"runtime"`
	Environment Environment `json:"environment"`
	PlanDigest  string      `json:"plan_digest"`
	Cells       int         `json:"cells"`
	Seed        uint64      `json:"seed"`
	// Selection is what was asked for on the command line, so that a resumed
	// run asks for the same.
	Selection Selection `json:"selection"`
	// Shard is the part of the plan that is run; nil: all of it. PlanDigest is
	// of the whole plan, Cells counts the part's.
	Shard  *Shard `json:"shard,omitempty"`
	Repeat int    `json:"repeat,omitempty"`
	// Sources are the folders given for bindings, by the bindings' names.
	Sources map[string]Source `json:"sources,omitempty"`
	// Fresh: no attempt of an earlier run may be reused, also when it is resumed.
	Fresh bool `json:"fresh,omitempty"`
}

// ClientAccount is what preparing a client came to.
type ClientAccount struct {
	Client
	Title    string   `json:"title"`
	Family   string   `json:"family"`
	Suite    string   `json:"suite"`
	Packages []string `json:"packages,omitempty"`
	Raw      bool     `json:"raw,omitempty"`
	Control  bool     `json:"control,omitempty"`
	Image    string   `json:"image,omitempty"`  // Place.Digest
	Size     int64    `json:"size,omitempty"`   // Place.Size: bytes of the image or installation
	Source   *Source  `json:"source,omitempty"` // Place.Source
	// Archive is the digest of the release file that the client was made from,
	// "sha256:…"; empty if from none, or if the client could not be prepared.
	Archive string `json:"archive,omitempty"`
	// Granted is what the environment granted the client beyond the default
	// hardening; nil if nothing, or if the client could not be prepared.
	Granted *Needs `json:"granted,omitempty"`
	Hello   *Hello `json:"hello,omitempty"` // identity, from the negative probe
	// Trusted: asked for a feature with a random name, the client said
	// unsupported; only then is its word believed.
	Trusted bool `json:"trusted"`
	// Distrust says what it did instead.
	Distrust string `json:"distrust,omitempty"`
	// NotRun says why the client can't be had here; Error why the harness
	// could not prepare it.
	NotRun string `json:"not_run,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Attempt is one execution of a cell, its evidence and what was found in it.
type Attempt struct {
	// Number is from 1, within the cell, and of a client's negative probe over all
	// its names.
	Number int `json:"number"`
	// Key digests everything that the attempt's evidence depends on but its
	// seed; an attempt with the same key may be reused by a later run.
	Key      string        `json:"key"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration"`
	// Traced attempts follow the probe with ptrace for a dossier; they don't
	// count towards the verdict, since the watcher changes what it watches.
	Traced bool `json:"traced,omitempty"`
	// Shared attempts ran while others might: a hang of theirs does not count,
	// since their company may be the cause, and is tried again, and alone unless
	// they slept.
	Shared bool `json:"shared,omitempty"`
	// HungAlone: an earlier attempt of the cell hung with the machine to itself or
	// asleep, so that a hang is no longer put down to company.
	HungAlone bool `json:"hung_alone,omitempty"`
	// ReusedFrom is the run that made the attempt, if it was not this one.
	ReusedFrom string   `json:"reused_from,omitempty"`
	Evidence   Evidence `json:"evidence"`
	Finding    Finding  `json:"finding"`
}

// Counts tells whether the attempt counts towards the verdict.
func (a Attempt) Counts() bool {
	return !a.Traced && !(a.Shared && !a.HungAlone && a.Finding.Outcome == Hang)
}

// sleepingPercent of an attempt's time is less CPU time than company could leave
// it: what was ready to run got more, and what got no more was not ready.
const sleepingPercent = 10

// undisturbed tells whether the attempt had no company, or slept, so that having
// the machine to itself would change nothing. A thread that was ready to run when
// the time was up did not sleep, however little it got: on a machine that is busy
// with other things that can be less.
func (a Attempt) undisturbed() bool {
	account := a.Evidence.Account
	running := account.Dossier != nil && slices.ContainsFunc(account.Dossier.Threads, func(thread ThreadState) bool { return thread.State == StateRunning })
	return !a.Shared || !running && 100*(account.User+account.System) < sleepingPercent*account.Wall
}

// Verdict is what the judge concludes from a cell's attempts.
type Verdict struct {
	Cell
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"`
	Layer    Layer   `json:"layer,omitempty"`
	Signal   string  `json:"signal,omitempty"`
	Attempts int     `json:"attempts"`
	Passes   int     `json:"passes"`
	Reused   int     `json:"reused,omitempty"` // of the attempts, how many an earlier run made
	// Slowest is the longest attempt, for cutting shards.
	Slowest time.Duration `json:"slowest"`
}

// Footer closes a record; one without it is unfinished.
type Footer struct {
	Finished time.Time       `json:"finished"`
	Counts   map[Outcome]int `json:"counts"` // cells by outcome
	Attempts int             `json:"attempts"`
	Reused   int             `json:"reused"`
	Controls []ControlResult `json:"controls"`
	// Bound compares the run's time with its lower bound; nil if nothing was
	// prepared.
	Bound *Bound `json:"bound,omitempty"`
}

// ControlsAmiss are the controls that did not come out as they must: no verdict of
// a run can be believed where one is misjudged, and the run is incomplete where
// one could not be attempted.
func ControlsAmiss(controls []ControlResult) (misjudged, unattempted []ControlResult) {
	for _, control := range controls {
		switch {
		case control.Held():
		case control.Misread():
			misjudged = append(misjudged, control)
		default:
			unattempted = append(unattempted, control)
		}
	}
	return misjudged, unattempted
}

// ControlResult compares a control's verdict with what it must be.
type ControlResult struct {
	Name     string  `json:"name"`
	Expected Outcome `json:"expected"`
	Outcome  Outcome `json:"outcome"`
	Reason   string  `json:"reason,omitempty"`
	// Misjudged says what else is not as it must be: the signal, the layer or
	// what the reason says. Empty if all is, or if the outcome itself is wrong.
	Misjudged string `json:"misjudged,omitempty"`
}

// Held tells whether the control is judged as it must be.
func (c ControlResult) Held() bool { return c.Outcome == c.Expected && c.Misjudged == "" }

// Misread tells whether the control was attempted and is judged otherwise than
// it must be.
func (c ControlResult) Misread() bool {
	return !c.Held() && c.Outcome != Error && c.Outcome != NotRun
}

// Text is how the control was misjudged, in words.
func (c ControlResult) Text() string {
	text := fmt.Sprintf("%s must be %s and is %s", c.Name, c.Expected, c.Outcome)
	if c.Misjudged != "" {
		text += ", but " + c.Misjudged
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// Recorder keeps the record. Append returns when the line can survive the
// death of the process.
type Recorder interface {
	Append(line Line) error
}

// Prior finds attempts made before: by this run, when it is resumed, or by an
// earlier one with the same key.
type Prior interface {
	// Attempts returns the recorded attempts of the cell's client under that
	// key, in order; Attempt.ReusedFrom is empty for those of the resumed run
	// itself, which are in the record already. They are of the cell, which the
	// key is of, too, but for the negative probe's: that has another name in each
	// run, and is asked for by Cell.NegativeProbe.
	Attempts(cell Cell, key string) ([]Attempt, error)
}
