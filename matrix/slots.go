package matrix

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slots share the machine out: as many attempts at once as there are slots, or
// one that has it to itself. Who is most urgent goes first, so that the longest
// chain of attempts is not what the run waits for in the end.
type slots struct {
	size int

	mu      sync.Mutex
	used    int
	alone   bool // the one under way has the machine to itself
	waiting []*waiter
}

// turn is one client's hold on the machine, from attempt to attempt. Its methods
// are called by one goroutine.
type turn struct {
	slots *slots
	held  bool
	alone bool
}

type waiter struct {
	urgency time.Duration
	alone   bool
	ready   chan struct{}
}

// next waits for a slot, or keeps the one held unless somebody more urgent
// waits: the request is queued before the slot is given back. With alone nothing
// else is under way from then on.
func (t *turn) next(ctx context.Context, urgency time.Duration, alone bool) error {
	s := t.slots
	asked := &waiter{urgency: urgency, alone: alone, ready: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, asked)
	t.giveBack()
	s.hand()
	s.mu.Unlock()
	select {
	case <-asked.ready:
		t.held, t.alone = true, alone
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-asked.ready: // just now, and nobody else can know
		t.held, t.alone = true, alone
		t.giveBack()
	default:
		s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool { return w == asked })
	}
	s.hand()
	return ctx.Err()
}

// done gives the slot back, if one is held.
func (t *turn) done() {
	t.slots.mu.Lock()
	defer t.slots.mu.Unlock()
	t.giveBack()
	t.slots.hand()
}

// giveBack gives back what is held. The caller holds mu.
func (t *turn) giveBack() {
	if !t.held {
		return
	}
	t.slots.used--
	if t.alone {
		t.slots.alone = false
	}
	t.held, t.alone = false, false
}

// hand lets the most urgent begin. While one waits that wants the machine to
// itself and is the most urgent, no other begins. The caller holds mu.
func (s *slots) hand() {
	for len(s.waiting) > 0 && !s.alone && s.used < s.size {
		best := 0
		for i, candidate := range s.waiting {
			if candidate.urgency > s.waiting[best].urgency {
				best = i
			}
		}
		chosen := s.waiting[best]
		if chosen.alone && s.used > 0 {
			return
		}
		s.waiting = slices.Delete(s.waiting, best, best+1)
		s.used++
		s.alone = chosen.alone
		close(chosen.ready)
	}
}
