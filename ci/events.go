package ci

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// EventsSchema names the version of the lines that `run --json` prints;
// schema/events.json describes them.
const EventsSchema = "zmqmatrix/events/v1"

// eventLine is one line of `run --json`; Event says which of the others are
// set. The last line of every run is a "finished" one, unless the process was
// killed.
type eventLine struct {
	Event  string    `json:"event"`
	Time   time.Time `json:"time"`
	Schema string    `json:"schema,omitempty"`

	// "started"
	Run        string `json:"run,omitempty"`
	Dir        string `json:"dir,omitempty"`
	Runtime    string `json:"runtime,omitempty"`
	PlanDigest string `json:"plan_digest,omitempty"`
	Shard      string `json:"shard,omitempty"` // "2/3"; missing when the whole plan is run
	Cells      int    `json:"cells,omitempty"`

	Text    string                `json:"text,omitempty"`    // "stage", "preparing", "finished"
	Client  *matrix.Client        `json:"client,omitempty"`  // "preparing"
	Account *matrix.ClientAccount `json:"account,omitempty"` // "prepared"
	Cell    *matrix.Cell          `json:"cell,omitempty"`    // "attempting", "attempt"
	Attempt *attemptLine          `json:"attempt,omitempty"`
	Verdict *matrix.Verdict       `json:"verdict,omitempty"`
	Control *matrix.ControlResult `json:"control,omitempty"`

	// "compared"
	Runs        []string                `json:"runs,omitempty"`
	Differences *[]history.Disagreement `json:"differences,omitempty"`

	// "finished"
	Footer *matrix.Footer `json:"footer,omitempty"` // missing when the run was stopped
	Exit   *int           `json:"exit,omitempty"`
}

// attemptLine is what is worth telling at once of an attempt; the rest is in
// the record.
type attemptLine struct {
	Number     int            `json:"number"`
	Outcome    matrix.Outcome `json:"outcome"`
	Reason     string         `json:"reason,omitempty"`
	Signal     string         `json:"signal,omitempty"`
	Seed       uint64         `json:"seed"`
	Duration   float64        `json:"seconds"`
	Traced     bool           `json:"traced,omitempty"`
	ReusedFrom string         `json:"reused_from,omitempty"`
}

// eventWriter prints events as JSON lines.
type eventWriter struct {
	mu      sync.Mutex
	encoder *json.Encoder
	// broken is called once when nobody reads the lines any more.
	broken func(error)
	failed bool
}

func newEventWriter(out io.Writer, broken func(error)) *eventWriter {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &eventWriter{encoder: encoder, broken: broken}
}

func (w *eventWriter) write(line eventLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed {
		return
	}
	line.Time = line.Time.UTC()
	if err := w.encoder.Encode(line); err != nil {
		w.failed = true
		w.broken(err)
	}
}

// Observe prints a runner's event.
func (w *eventWriter) Observe(event matrix.Event) {
	line := eventLine{Time: event.Time, Text: event.Text}
	switch event.Kind {
	case matrix.EventStage:
		line.Event = "stage"
	case matrix.EventPreparing:
		line.Event, line.Client = "preparing", &event.Client
	case matrix.EventPrepared:
		line.Event, line.Account = "prepared", event.Account
	case matrix.EventAttempting:
		line.Event, line.Cell = "attempting", &event.Cell
	case matrix.EventAttempt:
		line.Event, line.Cell = "attempt", &event.Cell
		line.Attempt = &attemptLine{
			Number: event.Attempt.Number, Outcome: event.Attempt.Finding.Outcome, Reason: event.Attempt.Finding.Reason,
			Signal: event.Attempt.Finding.Signal, Seed: event.Attempt.Evidence.Seed,
			Duration: event.Attempt.Duration.Seconds(), Traced: event.Attempt.Traced, ReusedFrom: event.Attempt.ReusedFrom,
		}
	case matrix.EventVerdict:
		line.Event, line.Verdict = "verdict", event.Verdict
	case matrix.EventControl:
		line.Event, line.Control = "control", event.Control
	}
	w.write(line)
}
