package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// PublishedSchema names the version of the published JSON.
const PublishedSchema = "zmqmatrix/published/v1"

// Published is what a run found, in the form other programs read: the stable
// interface, described by matrix/schema/published.json. The order of every
// list is that of the plan and the catalogue, so that the same record gives
// the same bytes.
type Published struct {
	Schema   string                 `json:"schema"`
	Run      Run                    `json:"run"`
	Controls []matrix.ControlResult `json:"controls"`
	Targets  []Client               `json:"targets"`
	Features []Feature              `json:"features"`
	Cells    []Cell                 `json:"cells"`
	// Best has the best technique of each client and feature: by outcome, then
	// by the target's order of preference.
	Best []Best `json:"best"`
	// Ranges are over the versions of every implementation that was measured in
	// several.
	Ranges []Range `json:"ranges,omitempty"`
}

// Run says what was run, where, when and by what.
type Run struct {
	ID       string    `json:"id"`
	Tool     string    `json:"tool"` // version of zmqmatrix
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero only of an unfinished run, which is never published
	Runtime  string    `json:"runtime"`           // "docker", "local", "fake"
	Host     string    `json:"host"`              // kernel and architecture
	Cores    int       `json:"cores"`
	Engine   string    `json:"engine"`
	Endpoint string    `json:"endpoint"` // digest of the endpoint's build
	Plan     string    `json:"plan"`     // digest
	Seed     uint64    `json:"seed"`
	Repeat   int       `json:"repeat,omitempty"` // attempts asked for of every cell; absent: until it was decided
	// Partial says that only a selection or a shard was run.
	Partial   bool             `json:"partial"`
	Selection matrix.Selection `json:"selection,omitzero"`
	Shard     *matrix.Shard    `json:"shard,omitempty"` // nil: the whole plan was run
	Cells     int              `json:"cells"`
	Attempts  int              `json:"attempts"` // that count: without traced ones
	Reused    int              `json:"reused"`   // of these, made by an earlier run
	// Merged are runs whose cells were joined with this one's.
	Merged []MergedRun `json:"merged,omitempty"`
	// Bound compares the run's time with its lower bound; nanoseconds.
	Bound *matrix.Bound `json:"bound,omitempty"`
}

// Client is one implementation in one version with one binding.
type Client struct {
	Target         string   `json:"target"`
	Implementation string   `json:"implementation"` // the target's name: "sbcl"
	Title          string   `json:"title"`
	Version        string   `json:"version"` // in the client's own words, "" if it could not be asked
	Binding        string   `json:"binding"`
	BindingVersion string   `json:"binding_version"`
	Raw            bool     `json:"raw"`     // the thinnest layer of its target
	Control        bool     `json:"control"` // the positive control
	Family         string   `json:"family"`
	Suite          string   `json:"suite"`
	Packages       []string `json:"packages"`
	Homepage       string   `json:"homepage"`
	Licence        string   `json:"licence"`
	Image          string   `json:"image"`
	// Size is the bytes of the image or installation, 0 if unknown.
	Size int64 `json:"size,omitempty"`
	// Source is the origin of a binding that comes from elsewhere.
	Source    *matrix.Source `json:"source,omitempty"`
	Libzmq    string         `json:"libzmq"`    // "" where the client does not link it
	Threads   bool           `json:"threads"`   // the language can start threads of its own
	Collector string         `json:"collector"` // "moving", "non-moving", "none", or "" if it could not be asked
	// Trusted: its "unsupported" can be believed. Distrust says why not.
	Trusted  bool   `json:"trusted"`
	Distrust string `json:"distrust,omitempty"`
	NotRun   string `json:"not_run,omitempty"` // why it can't be had here
	Error    string `json:"error,omitempty"`   // why the harness could not prepare it
	// MeasuredBy is who measured it, if that was not the run itself.
	MeasuredBy *Contributor `json:"measured_by,omitempty"`
}

// Contributor is who measured a client that the run could not, in a signed run
// of their own.
type Contributor struct {
	Name     string    `json:"name"`
	Key      string    `json:"key"` // fingerprint of the key that signed: "SHA256:…"
	Run      string    `json:"run"`
	Tool     string    `json:"tool"` // version of zmqmatrix
	Finished time.Time `json:"finished"`
	Runtime  string    `json:"runtime"`
	Host     string    `json:"host"`
}

// credit says who measured, when, and by which key it is known.
func (c Contributor) credit() string {
	return visible(fmt.Sprintf("%s, %s, key %s", c.Name, c.Finished.UTC().Format("2006-01-02"), c.Key))
}

// bindingAndSource is the client's binding with its version and, if it comes from
// elsewhere, what was measured of it.
func (c Client) bindingAndSource() string {
	text := c.Binding
	if c.BindingVersion != "" {
		text += " " + c.BindingVersion
	}
	if c.Source != nil {
		text += " (" + SourceText(*c.Source) + ")"
	}
	return visible(text)
}

// SourceText is the origin of a binding's source, in words.
func SourceText(source matrix.Source) string {
	text := "from " + source.From
	if source.Folder {
		text = "from the folder " + source.From
	}
	if source.Revision != "" {
		text += ", revision " + source.Revision
	}
	return text + ", source digest " + source.Digest
}

// measuredBy is the fingerprint of whoever measured the client, "" for the run
// itself.
func (c Client) measuredBy() string {
	if c.MeasuredBy == nil {
		return ""
	}
	return c.MeasuredBy.Key
}

// Key names the client.
func (c Client) Key() matrix.Client { return matrix.Client{Target: c.Target, Binding: c.Binding} }

// Feature is one checkable ability and how it is shown.
type Feature struct {
	Name        string `json:"name"`
	Group       string `json:"group"`
	Requirement string `json:"requirement"`
	Source      string `json:"source"`
	Method      string `json:"method"`
	Timing      bool   `json:"timing"` // attempted several times even when it passes, and alone when it does not
	Version     int    `json:"version"`
}

// Cell is a verdict and what it rests on.
type Cell struct {
	Target         string         `json:"target"`
	Implementation string         `json:"implementation"`
	Version        string         `json:"version"`
	Binding        string         `json:"binding"`
	Libzmq         string         `json:"libzmq"`
	Feature        string         `json:"feature"`
	Technique      string         `json:"technique"`
	Outcome        matrix.Outcome `json:"outcome"`
	Signal         string         `json:"signal,omitempty"`
	Layer          matrix.Layer   `json:"layer,omitempty"`
	Reason         string         `json:"reason,omitempty"`
	// Cause is why the cell is red, as people found out, and CauseSource what
	// that rests on; neither has a part in the verdict.
	Cause       string `json:"cause,omitempty"`
	CauseSource string `json:"cause_source,omitempty"`
	Attempts    int    `json:"attempts"`
	Passes      int    `json:"passes"`
	Reused      int    `json:"reused,omitempty"` // of the attempts, made by an earlier run
	Image       string `json:"image"`
	Replay      string `json:"replay"`
	// Evidence is of the attempt that shows the outcome: the first that had
	// it; of a flaky cell the first that did not pass. Absent where none was
	// made.
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Key names the cell.
func (c Cell) Key() matrix.Cell {
	return matrix.Cell{Target: c.Target, Binding: c.Binding, Feature: c.Feature, Technique: c.Technique}
}

// Evidence is what is known of one attempt, in brief.
type Evidence struct {
	Attempt int       `json:"attempt"` // its number in the cell
	Run     string    `json:"run"`     // the run that made it
	Started time.Time `json:"started"`
	// LastStep is what the probe was about to do when it last said so.
	LastStep     string               `json:"last_step,omitempty"`
	Closing      string               `json:"closing,omitempty"` // how the report closed; absent if it did not
	Observations []matrix.Observation `json:"observations,omitempty"`
	// ObservationsLeft counts the observations that are not shown.
	ObservationsLeft int      `json:"observations_left,omitempty"`
	Endpoint         []Socket `json:"endpoint,omitempty"`
	WitnessCalls     int64    `json:"witness_calls,omitempty"` // calls of send and its kin that the witness saw
	Account          Account  `json:"account"`
	Stderr           string   `json:"stderr,omitempty"` // tail
	// Dossier is of the crash, from an attempt under trace where there was
	// one.
	Dossier *matrix.Dossier `json:"dossier,omitempty"`
	// HarnessError is why the attempt says nothing about the client.
	HarnessError string `json:"harness_error,omitempty"`
}

// Socket is the endpoint's view of one socket of the attempt's lane.
type Socket struct {
	Name     string      `json:"name"`
	Role     matrix.Role `json:"role"`
	Count    int         `json:"count"`    // messages to send or expected
	Received int64       `json:"received"` // messages
	Bytes    int64       `json:"bytes"`    // received, of all bodies
	Sent     int64       `json:"sent"`     // messages
	Peers    int         `json:"peers"`    // connections accepted
	// Curve is of a secured socket's handshakes.
	Curve   *matrix.CurveAccount `json:"curve,omitempty"`
	Rolling string               `json:"rolling,omitempty"`
	Error   string               `json:"error,omitempty"`
}

// Account is the warden's word on the attempt, in brief.
type Account struct {
	Ending      matrix.Ending `json:"ending"`
	Code        int           `json:"code"`
	Signal      string        `json:"signal,omitempty"`
	WallMS      float64       `json:"wall_ms"`      // milliseconds
	CPUMS       float64       `json:"cpu_ms"`       // milliseconds, user and system
	PeakRSS     int64         `json:"peak_rss"`     // bytes
	BaselineRSS int64         `json:"baseline_rss"` // bytes, when the first line of output came
	Strays      int           `json:"strays,omitempty"`
}

// Best is a feature's verdict for one client: its best technique.
type Best struct {
	Target    string         `json:"target"`
	Binding   string         `json:"binding"`
	Feature   string         `json:"feature"`
	Technique string         `json:"technique"`
	Outcome   matrix.Outcome `json:"outcome"`
}

// Why a record or its results are refused.
var (
	// ErrUnfinished: the record has no footer.
	ErrUnfinished = errors.New("the run is not finished")
	// ErrMisjudged: a control did not get the outcome it must get, so that no
	// verdict of the run can be believed.
	ErrMisjudged = errors.New("the run is invalid: its controls are misjudged")
	// ErrOtherPlan: the record was made from other targets or features than
	// are known here.
	ErrOtherPlan = errors.New("the record was made with another plan")
	// ErrPartial: the results of a selection or a shard would replace those of a
	// full run.
	ErrPartial = errors.New("a partial run does not replace a full one")
)

// encode gives the file's bytes: indented, for a reader of its diffs.
func (p Published) encode() ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("encoding the results of run %s: %w", p.Run.ID, err)
	}
	return buffer.Bytes(), nil
}

// ReadPublished reads published results and holds them to their schema. A file
// that is not there is os.ErrNotExist.
func ReadPublished(path string) (Published, error) {
	published, _, err := ReadPublishedSource(path)
	return published, err
}

// ReadPublishedSource also returns the file as it stands.
func ReadPublishedSource(path string) (Published, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Published{}, nil, fmt.Errorf("reading published results: %w", err)
	}
	published, err := parsePublished(path, data)
	return published, data, err
}

// WritePublished writes the results to path, all or nothing. Results of a
// partial run don't replace those of a full one: ErrPartial. Nor do they
// replace a file that can't be read as results.
func WritePublished(path string, published Published) error {
	data, err := published.encode()
	if err != nil {
		return err
	}
	if published.Run.Partial {
		switch there, err := ReadPublished(path); {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return fmt.Errorf("%s is there and can't be read as results, so that a partial run may not replace it: %w", path, err)
		case !there.Run.Partial:
			if shard := published.Run.Shard; shard != nil {
				return fmt.Errorf("%w: %s has the full run %s, and run %s is shard %s; write elsewhere, or merge it with the other shards", ErrPartial, path, there.Run.ID, published.Run.ID, shard)
			}
			return fmt.Errorf("%w: %s has the full run %s, and run %s had a selection; write elsewhere, or run without a selection", ErrPartial, path, there.Run.ID, published.Run.ID)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of the published results: %w", err)
	}
	return ReplaceFile(path, data)
}

// ReplaceFile puts data at path so that a reader, or a kill, finds the old or
// the new content and nothing between.
func ReplaceFile(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		file.Close()
		if err != nil {
			err = errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(file.Name()))
		}
	}()
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
