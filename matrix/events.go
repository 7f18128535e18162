package matrix

import "time"

// Event tells whoever watches a run what has just happened. Exactly one of the
// pointers is set, except for EventStage.
type Event struct {
	Time    time.Time
	Kind    EventKind
	Client  Client         // for EventPreparing, EventPrepared
	Cell    Cell           // for EventAttempting, EventAttempt, EventVerdict, EventControl
	Text    string         // for EventStage and EventPreparing
	Account *ClientAccount // for EventPrepared
	Attempt *Attempt       // for EventAttempt
	Verdict *Verdict       // for EventVerdict
	Control *ControlResult // for EventControl
}

// EventKind says what happened.
type EventKind int

// The kinds of event.
const (
	EventStage      EventKind = iota // a stage of the run began
	EventPreparing                   // a client is being prepared
	EventPrepared                    // a client is ready, or can't be had
	EventAttempting                  // an attempt begins
	EventAttempt                     // an attempt ended
	EventVerdict                     // a cell is decided
	EventControl                     // a cell of a negative control is judged
)
