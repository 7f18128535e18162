// Package fake is a runtime without processes: a script answers each task. With
// it the runner, the command line and the reports are tested without Docker.
package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Script says what happens when the runner asks for something. A nil function
// means that all goes well.
type Script struct {
	// Answer plays the probe. nil: every known feature passes.
	Answer func(ctx context.Context, attempt Attempt) (Answer, error)
	// Prepare is asked before a client is made ready; an error wrapping
	// matrix.ErrUnavailable makes it not-run.
	Prepare func(ctx context.Context, client matrix.Client) error
	// Start is asked before a client is started.
	Start func(ctx context.Context, client matrix.Client) error
	// Endpoint is asked before the endpoint starts.
	Endpoint func(ctx context.Context) error
	// Cores the environment claims; 0: 2.
	Cores int
	// Confinement of the environment.
	Confinement string
	// Digest makes a client's image digest; nil: the client's name.
	Digest func(client matrix.Client) string
	// Size is what every client's image has, in bytes.
	Size int64
}

// Attempt is what a scripted probe is asked.
type Attempt struct {
	Client    matrix.Client
	Feature   string
	Technique string
	// Number counts the attempts of this cell that the runtime was asked for,
	// from 1.
	Number int
	Task   matrix.Task
	// Lane is what the runner asked the endpoint for, empty without a lane.
	Lane []matrix.SocketSpec
}

// Answer is how a scripted probe ended and what the endpoint saw of it.
type Answer struct {
	Account matrix.Account
	Seen    matrix.LaneAccount
}

// Runtime implements matrix.Runtime.
type Runtime struct {
	script Script

	mu     sync.Mutex
	lanes  map[string]*lane // by id, which is also the host part of its addresses
	opened int
	asked  map[matrix.Cell]int
	open   int // places and endpoints not closed yet
}

type lane struct {
	sockets []matrix.SocketSpec
	seen    matrix.LaneAccount
}

// New returns a runtime that follows the script.
func New(script Script) *Runtime {
	return &Runtime{script: script, lanes: map[string]*lane{}, asked: map[matrix.Cell]int{}}
}

// Name is "fake".
func (r *Runtime) Name() string { return "fake" }

// Environment describes a machine that does not exist.
func (r *Runtime) Environment(context.Context) (matrix.Environment, error) {
	cores := r.script.Cores
	if cores == 0 {
		cores = 2
	}
	return matrix.Environment{Host: "fake", Cores: cores, Engine: "fake", EndpointDigest: "fake-endpoint", Confinement: r.script.Confinement}, nil
}

// StartEndpoint starts a scripted endpoint.
func (r *Runtime) StartEndpoint(ctx context.Context) (matrix.Endpoint, error) {
	if r.script.Endpoint != nil {
		if err := r.script.Endpoint(ctx); err != nil {
			return nil, err
		}
	}
	r.count(1)
	return endpoint{r}, nil
}

// Prepare makes a scripted client ready.
func (r *Runtime) Prepare(ctx context.Context, target matrix.Target, variant matrix.Variant, binding matrix.Binding) (matrix.Place, error) {
	client := matrix.PlannedClient{Target: target, Variant: variant, Binding: binding}.Client()
	if r.script.Prepare != nil {
		if err := r.script.Prepare(ctx, client); err != nil {
			return nil, err
		}
	}
	return &place{runtime: r, client: client}, nil
}

// Close ends nothing, for nothing runs.
func (r *Runtime) Close(context.Context) error { return nil }

// Open is how many places and endpoints are started and not closed: a
// runner that leaves none behind leaves it 0.
func (r *Runtime) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

func (r *Runtime) count(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += change
}

type place struct {
	runtime *Runtime
	client  matrix.Client
	started bool
}

func (p *place) Start(ctx context.Context) error {
	if start := p.runtime.script.Start; start != nil {
		if err := start(ctx, p.client); err != nil {
			return err
		}
	}
	p.started = true
	p.runtime.count(1)
	return nil
}

func (p *place) Digest() string {
	if p.runtime.script.Digest != nil {
		return p.runtime.script.Digest(p.client)
	}
	return "fake:" + p.client.String()
}

func (p *place) Size() int64 { return p.runtime.script.Size }

func (p *place) Source() *matrix.Source { return nil }

func (p *place) Expand(text string) string { return strings.ReplaceAll(text, "{dir}", "/fake") }

func (p *place) Close(context.Context) error {
	if p.started {
		p.runtime.count(-1)
	}
	return nil
}

func (p *place) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	if err := ctx.Err(); err != nil {
		return matrix.Account{}, err
	}
	if !p.started {
		return matrix.Account{}, fmt.Errorf("%s is not started", p.client)
	}
	r := p.runtime
	attempt := Attempt{Client: p.client, Feature: task.Env["ZM_FEATURE"], Technique: task.Env["ZM_TECHNIQUE"], Task: task}
	host, _, _ := strings.Cut(strings.TrimPrefix(task.Env["ZM_ENDPOINT"], "tcp://"), ":")
	cell := matrix.Cell{Target: p.client.Target, Binding: p.client.Binding, Feature: attempt.Feature, Technique: attempt.Technique}
	r.mu.Lock()
	if opened := r.lanes[host]; opened != nil {
		attempt.Lane = opened.sockets
	}
	r.asked[cell]++
	attempt.Number = r.asked[cell]
	r.mu.Unlock()
	answer := r.script.Answer
	if answer == nil {
		answer = Passing
	}
	given, err := answer(ctx, attempt)
	if err != nil {
		return matrix.Account{}, err
	}
	r.mu.Lock()
	if opened := r.lanes[host]; opened != nil {
		opened.seen = given.Seen
	}
	r.mu.Unlock()
	return given.Account, nil
}

type endpoint struct{ runtime *Runtime }

func (e endpoint) Open(ctx context.Context, request matrix.LaneRequest) (matrix.Lane, error) {
	r := e.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened++
	id := fmt.Sprintf("lane%d", r.opened)
	r.lanes[id] = &lane{sockets: request.Sockets}
	endpoints := map[string]string{}
	for i, socket := range request.Sockets {
		endpoints[socket.Name] = fmt.Sprintf("tcp://%s:%d", id, 10000+i)
	}
	return matrix.Lane{ID: id, Endpoints: endpoints}, ctx.Err()
}

func (e endpoint) CloseLane(_ context.Context, id string) (matrix.LaneAccount, error) {
	r := e.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	opened, ok := r.lanes[id]
	if !ok {
		return matrix.LaneAccount{}, fmt.Errorf("lane %q is not open", id)
	}
	delete(r.lanes, id)
	return opened.seen, nil
}

func (e endpoint) Close(context.Context) error {
	e.runtime.count(-1)
	return nil
}

// Passing plays a client that says done of every feature of a group that
// exists in the catalogue, and unsupported of all others: the runner's random
// feature names begin with "zz".
func Passing(_ context.Context, attempt Attempt) (Answer, error) {
	if strings.HasPrefix(attempt.Feature, "zz") {
		return Says(attempt, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "unknown feature " + attempt.Feature}), nil
	}
	return Says(attempt, matrix.Closing{Type: matrix.ClosingDone}), nil
}

// Says is the answer of a probe that ends as it should, with these
// observations.
func Says(attempt Attempt, closing matrix.Closing, observations ...matrix.Observation) Answer {
	stdout := make([]byte, 0, 512)
	line := func(value any) {
		// Only plain data comes here; an error would be a mistake in this
		// package, and then the line is missing and the report breaks.
		encoded, _ := json.Marshal(value)
		stdout = append(append(stdout, encoded...), '\n')
	}
	stdout = append(stdout, fmt.Sprintf(`{"type":"hello","protocol":%d,"implementation":%q,"version":"1.0","binding":%q,"binding_version":"",`+
		`"libzmq":"4.3.4","threads":false,"pid":1,"seed":%q,"collector":"none"}`+"\n", matrix.Protocol, attempt.Client.Target, attempt.Client.Binding, attempt.Task.Env["ZM_SEED"])...)
	for _, observation := range observations {
		line(struct {
			Type string `json:"type"`
			matrix.Observation
		}{"observe", observation})
	}
	switch closing.Type {
	case matrix.ClosingDone:
		stdout = append(stdout, `{"type":"done"}`+"\n"...)
	case matrix.ClosingUnsupported:
		line(map[string]string{"type": closing.Type, "reason": closing.Reason})
	default:
		line(map[string]string{"type": closing.Type, "reason": closing.Reason, "condition": closing.Condition})
	}
	return Answer{Account: matrix.Account{Ending: matrix.Exited, Wall: time.Millisecond, PeakRSS: 1 << 20, BaselineRSS: 1 << 20, Stdout: stdout}}
}

// Dies is the answer of a probe that says hello and is killed by the signal.
func Dies(attempt Attempt, signal string) Answer {
	answer := Says(attempt, matrix.Closing{Type: matrix.ClosingDone})
	hello, _, _ := strings.Cut(string(answer.Account.Stdout), "\n")
	answer.Account.Stdout = []byte(hello + "\n")
	answer.Account.Ending, answer.Account.Signal = matrix.Signaled, signal
	return answer
}
