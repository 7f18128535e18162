package matrix

import (
	"context"
	"errors"
	"sync"
)

// endpointKeeper starts the endpoint, and again when it is needed after it was
// lost.
type endpointKeeper struct {
	start func(context.Context) (Endpoint, error)
	mu    sync.Mutex
	now   Endpoint
}

func (k *endpointKeeper) get(ctx context.Context) (Endpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil {
		started, err := k.start(ctx)
		if err != nil {
			return nil, err
		}
		k.now = started
	}
	return k.now, nil
}

// lost drops the endpoint after an error, so that the next attempt has a new
// one, and returns the error.
func (k *endpointKeeper) lost(ctx context.Context, endpoint Endpoint, err error) error {
	if ctx.Err() != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == endpoint {
		k.now = nil
		return errors.Join(err, endpoint.Close(ctx))
	}
	return err
}

func (k *endpointKeeper) close(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil {
		return nil
	}
	defer func() { k.now = nil }()
	return k.now.Close(ctx)
}

// placeKeeper has a client's place, which is started when it is needed, and
// prepares it anew when it is lost.
type placeKeeper struct {
	prepare func(context.Context) (Place, error)
	now     Place
	started bool
}

func (k *placeKeeper) get(ctx context.Context) (Place, error) {
	if k.now == nil {
		place, err := k.prepare(ctx)
		if err != nil {
			return nil, err
		}
		k.now = place
	}
	return k.now, nil
}

// start starts the place, if it is not. One that does not start is dropped, so that
// the next try prepares it anew.
func (k *placeKeeper) start(ctx context.Context) (Place, error) {
	place, err := k.get(ctx)
	if err != nil || k.started {
		return place, err
	}
	if err := place.Start(ctx); err != nil {
		return nil, k.lost(ctx, place, err)
	}
	k.started = true
	return place, nil
}

func (k *placeKeeper) lost(ctx context.Context, place Place, err error) error {
	if ctx.Err() != nil {
		return err
	}
	k.now, k.started = nil, false
	return errors.Join(err, place.Close(ctx))
}

func (k *placeKeeper) close(ctx context.Context) error {
	if k.now == nil {
		return nil
	}
	return k.now.Close(ctx)
}
