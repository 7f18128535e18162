package images

import (
	"context"
	"slices"
	"sync"
)

// queue lets so many builds run at once. Who waits is served by how much work his
// image is, then by how long he has waited: images are made step by step, and the
// one that is the most work, served in turn, would end alone.
type queue struct {
	mutex   sync.Mutex
	free    int
	waiting []*waiter // the next one first
}

type waiter struct {
	work   int
	served chan struct{}
}

func newQueue(places int) *queue { return &queue{free: places} }

// enter waits for a place, or for ctx; leave gives it back.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mutex.Lock()
	if q.free > 0 {
		q.free--
		q.mutex.Unlock()
		return q.leave, nil
	}
	own := &waiter{work: workOf(ctx), served: make(chan struct{})}
	after := slices.IndexFunc(q.waiting, func(other *waiter) bool { return other.work < own.work })
	if after < 0 {
		after = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, after, own)
	q.mutex.Unlock()
	select {
	case <-own.served:
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mutex.Lock()
	at := slices.Index(q.waiting, own)
	if at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
	}
	q.mutex.Unlock()
	if at < 0 {
		q.leave() // served meanwhile
	}
	return nil, ctx.Err()
}

// leave hands the place on.
func (q *queue) leave() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if len(q.waiting) == 0 {
		q.free++
		return
	}
	close(q.waiting[0].served)
	q.waiting = slices.Delete(q.waiting, 0, 1)
}

type workKey struct{}

// withWork notes how much work the image is that builds are for.
func withWork(ctx context.Context, work int) context.Context {
	return context.WithValue(ctx, workKey{}, work)
}

func workOf(ctx context.Context) int {
	work, _ := ctx.Value(workKey{}).(int)
	return work
}
