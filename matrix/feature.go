package matrix

import "time"

// Feature is one checkable ability. The catalogue is package matrix/feature.
type Feature struct {
	Name        string // "zero-copy/callback-free"
	Requirement string // what must hold, one sentence
	Source      string // where the requirement comes from: a manual's section, a libzmq file
	Method      string // how it is shown
	// Version counts changes of what the probe must do or of the parameters,
	// so that attempts recorded before are not taken for today's.
	Version int
	Params  map[string]string // ZM_PARAM_<KEY>, keys in lower case with hyphens
	Lane    []SocketSpec      // sockets the endpoint opens; seeds are set per attempt
	Witness bool              // the witness library is preloaded
	// Timing marks a feature whose outcome can depend on how threads happen to
	// be scheduled: it is attempted several times even when it passes. From the
	// first attempt on that does not, it has the machine to itself: what goes
	// right beside others is right, and what goes wrong there is seen again
	// without them.
	Timing bool
	// Attempts is how many attempts of a cell must pass at the least that passes
	// each time; 0 is 1.
	Attempts int
	Wall     time.Duration // limit on a machine where the control is instant
	// Judge concludes from evidence that closed with "done". It is pure.
	Judge func(Evidence) Finding
}

// Group is the part of the name before the slash.
func (f Feature) Group() string {
	for i := range f.Name {
		if f.Name[i] == '/' {
			return f.Name[:i]
		}
	}
	return f.Name
}

// Evidence is all that is known of one attempt.
type Evidence struct {
	Cell    Cell              `json:"cell"`
	Seed    uint64            `json:"seed"`
	Params  map[string]string `json:"params"`
	Sockets []SocketSpec      `json:"sockets,omitempty"` // as opened, seeds included
	Lane    Lane              `json:"lane,omitzero"`
	Report  Report            `json:"report"`
	Seen    LaneAccount       `json:"seen,omitzero"` // the endpoint's observations
	Account Account           `json:"account"`
	// HarnessError is set when the attempt could not be made or observed; it
	// is then no statement about the client.
	HarnessError string `json:"harness_error,omitempty"`
}

// Finding is what is concluded from one attempt.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // empty only with Pass
	Signal  string  `json:"signal,omitempty"`
	// Layer is set only where the evidence itself names it: a probe that broke
	// the protocol. Otherwise it is found by comparison.
	Layer Layer `json:"layer,omitempty"`
}
