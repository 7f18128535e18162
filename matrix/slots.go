package matrix

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slots share the machine out: as many attempts at once as it has cores for, or
// one that has it to itself. Who is most urgent goes first, so that the longest
// chain of attempts is not what the run waits for in the end.
type slots struct {
	size int // in hundredths of a core

	mu      sync.Mutex
	used    int  // of size
	alone   bool // the one under way has the machine to itself
	waiting []*waiter
}

// turn is one client's hold on the machine, from attempt to attempt. Its methods
// are called by one goroutine.
type turn struct {
	slots *slots
	held  int // 0: no slot
	alone bool
}

// claim is what an attempt needs of the machine.
type claim struct {
	urgency time.Duration
	alone   bool // nothing else is to be under way
	share   int  // hundredths of a core
}

// A core's worth, and the least that an attempt is taken to need: one that sleeps
// is started, watched and accounted for all the same, and takes memory.
const (
	wholeCore  = 100
	leastShare = 25
)

// shareOf is what an attempt like this one needs: the CPU time that it took of
// the time that it took. Past one core it is a number of cores, the nearest:
// else a probe that takes a little more than one, as the JVM's do, would leave
// most of another idle.
func shareOf(account Account) int {
	if account.Wall <= 0 {
		return wholeCore
	}
	share := int(wholeCore * (account.User + account.System) / account.Wall)
	if share > wholeCore {
		return (share + wholeCore/2) / wholeCore * wholeCore
	}
	return max(leastShare, share)
}

type waiter struct {
	claim
	ready chan struct{}
}

// next waits for a slot, or keeps the one held unless somebody more urgent
// waits: the request is queued before the slot is given back. With alone nothing
// else is under way from then on.
func (t *turn) next(ctx context.Context, wanted claim) error {
	s := t.slots
	wanted.share = min(wanted.share, s.size)
	asked := &waiter{claim: wanted, ready: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, asked)
	t.giveBack()
	s.hand()
	s.mu.Unlock()
	select {
	case <-asked.ready:
		t.held, t.alone = wanted.share, wanted.alone
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-asked.ready: // just now, and nobody else can know
		t.held, t.alone = wanted.share, wanted.alone
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
	if t.held == 0 {
		return
	}
	t.slots.used -= t.held
	if t.alone {
		t.slots.alone = false
	}
	t.held, t.alone = 0, false
}

// hand lets the most urgent begin, once there is room for it: nobody less urgent
// is let in before, who might be followed by others for ever. The caller holds mu.
func (s *slots) hand() {
	for len(s.waiting) > 0 && !s.alone {
		best := 0
		for i, candidate := range s.waiting {
			if candidate.urgency > s.waiting[best].urgency {
				best = i
			}
		}
		chosen := s.waiting[best]
		if chosen.alone && s.used > 0 || s.used+chosen.share > s.size {
			return
		}
		s.waiting = slices.Delete(s.waiting, best, best+1)
		s.used += chosen.share
		s.alone = chosen.alone
		close(chosen.ready)
	}
}
