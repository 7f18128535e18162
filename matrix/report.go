package matrix

import "io"

// Protocol is the version of the probe protocol: the task's environment
// variables and the report's JSON lines.
const Protocol = 1

// Task is what a warden is asked to run once.
type Task struct {
	Command []string          // argument vector, {dir} already replaced by the place
	Env     map[string]string // ZM_PROTOCOL, ZM_FEATURE, ZM_TECHNIQUE, ZM_ENDPOINT…, ZM_SEED, ZM_PARAM_*
	Witness string            // library to preload, "" for none
	Bounds  Bounds
	Trace   bool // follow the probe with ptrace, so that a crash leaves a dossier
	// Core is where the core file of a crash goes, nil for nowhere. The runtime
	// must have been opened for that.
	Core CoreFile
}

// CoreFile takes a core file, with its holes; *os.File is one.
type CoreFile interface {
	io.WriterAt
	Truncate(size int64) error
}

// Hello is the first line of a report: who is speaking.
type Hello struct {
	Protocol       int    `json:"protocol"`
	Implementation string `json:"implementation"`
	Version        string `json:"version"`
	Binding        string `json:"binding"`
	BindingVersion string `json:"binding_version"`
	Libzmq         string `json:"libzmq"` // "4.3.4", "" when the client does not link libzmq
	Threads        bool   `json:"threads"`
	PID            int    `json:"pid"`
	// Seed is the task's, as the probe was given it: every attempt has another, so
	// that no report serves for two.
	Seed string `json:"seed"`
	// Collector is "moving", "non-moving" or "none".
	Collector string `json:"collector"`
}

// Observation is one fact a probe saw: a key, a value and its unit.
type Observation struct {
	Key   string `json:"key"`
	Value any    `json:"value"` // string, bool or json.Number
	Unit  string `json:"unit"`
}

// Report is what a probe printed, parsed.
type Report struct {
	Hello        *Hello        `json:"hello,omitempty"`
	Steps        []string      `json:"steps,omitempty"`
	Observations []Observation `json:"observations,omitempty"`
	Closing      Closing       `json:"closing,omitzero"`
	// Violation says how the output broke the protocol, with its line; the
	// report then holds what came before it.
	Violation string `json:"violation,omitempty"`
}

// Closing is the one line that ends a report.
type Closing struct {
	Type      string `json:"type"` // "done", "unsupported", "failed"; empty if the probe never closed
	Reason    string `json:"reason,omitempty"`
	Condition string `json:"condition,omitempty"`
}

// The closing types.
const (
	ClosingDone        = "done"
	ClosingUnsupported = "unsupported"
	ClosingFailed      = "failed"
)

// LastStep is what the probe was about to do when it last said so.
func (r Report) LastStep() string {
	if len(r.Steps) == 0 {
		return ""
	}
	return r.Steps[len(r.Steps)-1]
}
