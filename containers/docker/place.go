package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

// installed is where every image has its target: {dir}.
const installed = "/opt/zmqmatrix"

// supervisor is a warden as a place needs it; *warden.Client is one.
type supervisor interface {
	Run(ctx context.Context, task matrix.Task) (matrix.Account, error)
}

// place is one client's image and, once it is started, container.
type place struct {
	runtime   *Runtime
	name      string
	image     images.Image
	plan      blueprint
	warden    supervisor
	container *running // nil until it is started
}

// Start implements matrix.Place.
func (p *place) Start(ctx context.Context) error {
	started, err := p.runtime.run(ctx, p.plan)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	greeting, cancel := context.WithTimeout(ctx, greetingTime)
	defer cancel()
	connected, err := p.runtime.greet(greeting, started.streams)
	if err != nil {
		return fmt.Errorf("start %s: the warden: %w", p.name, started.fail(ctx, err))
	}
	p.warden, p.container = connected, started
	return nil
}

// Digest implements matrix.Place: an image's id is over all that is in it.
func (p *place) Digest() string { return p.image.ID }

// Size implements matrix.Place.
func (p *place) Size() int64 { return p.image.Size }

// Source implements matrix.Place.
func (p *place) Source() *matrix.Source { return p.image.Source }

// Expand implements matrix.Place.
func (p *place) Expand(text string) string { return strings.ReplaceAll(text, "{dir}", installed) }

// Run implements matrix.Place.
func (p *place) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	account, err := p.warden.Run(ctx, task)
	if err != nil && ctx.Err() == nil {
		return account, fmt.Errorf("%s: %w", p.name, p.container.explain(err))
	}
	return account, err
}

// Close implements matrix.Place.
func (p *place) Close(ctx context.Context) error {
	if p.container == nil {
		return nil
	}
	return p.container.close(ctx)
}

// runningEndpoint is the endpoint in its container.
type runningEndpoint struct {
	client    *endpoint.Client
	container *running
	log       *lineWriter
}

// Open implements matrix.Endpoint.
func (e *runningEndpoint) Open(ctx context.Context, request matrix.LaneRequest) (matrix.Lane, error) {
	lane, err := e.client.Open(ctx, request)
	return lane, e.explain(err)
}

// CloseLane implements matrix.Endpoint.
func (e *runningEndpoint) CloseLane(ctx context.Context, id string) (matrix.LaneAccount, error) {
	account, err := e.client.CloseLane(ctx, id)
	return account, e.explain(err)
}

// Close implements matrix.Endpoint.
func (e *runningEndpoint) Close(ctx context.Context) error {
	err := e.client.Close(ctx)
	if said := e.container.streams.stderr.String(); err != nil && said != "" {
		e.log.say("the endpoint said:\n%s", said)
	}
	return errors.Join(err, e.container.close(ctx))
}

// explain adds the container's last words once the endpoint is gone.
func (e *runningEndpoint) explain(err error) error {
	if !errors.Is(err, endpoint.ErrGone) {
		return err
	}
	err = e.container.explain(err)
	e.log.say("%v", err)
	return err
}
