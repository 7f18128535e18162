package matrix

import (
	"cmp"
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
	shut    bool // nobody is let in yet
	running []*turn
	waiting []*waiter
}

// turn is one client's hold on the machine, from attempt to attempt. Its methods
// are called by one goroutine; what it holds is the slots' to say, under mu.
type turn struct {
	slots *slots
	claim // what is held
	given time.Time
}

// claim is what an attempt needs of the machine.
type claim struct {
	urgency time.Duration
	alone   bool          // nothing else is to be under way
	share   int           // hundredths of a core
	takes   time.Duration // what the last one like it took, 0 if not known
}

// A core's worth, and the least that an attempt is taken to need: one that sleeps
// is started, watched and accounted for all the same, and takes memory.
const (
	wholeCore  = 100
	leastShare = 25
)

// soon is how long cores may be kept idle for one that wants the machine alone.
const soon = 5 * time.Second

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
	turn  *turn
	ready chan struct{}
}

// next waits for a slot, or keeps the one held unless somebody more urgent
// waits: the request is queued before the slot is given back. With alone nothing
// else is under way from then on.
func (t *turn) next(ctx context.Context, wanted claim) error {
	s := t.slots
	wanted.share = min(wanted.share, s.size)
	asked := &waiter{claim: wanted, turn: t, ready: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, asked)
	s.takeBack(t)
	s.hand()
	s.mu.Unlock()
	select {
	case <-asked.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// It may have been let in just now.
	s.takeBack(t)
	s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool { return w == asked })
	s.hand()
	return ctx.Err()
}

// done gives the slot back, if one is held.
func (t *turn) done() {
	t.slots.mu.Lock()
	defer t.slots.mu.Unlock()
	t.slots.takeBack(t)
	t.slots.hand()
}

// shared reports whether others may be under way meanwhile.
func (t *turn) shared() bool {
	t.slots.mu.Lock()
	defer t.slots.mu.Unlock()
	return !t.alone && t.share < t.slots.size
}

// open lets in who waits.
func (s *slots) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = false
	s.hand()
}

// takeBack ends the turn's hold, if it has one. The caller holds mu.
func (s *slots) takeBack(t *turn) {
	s.running = slices.DeleteFunc(s.running, func(other *turn) bool { return other == t })
}

// hand lets the most urgent begin, once there is room. The caller holds mu.
func (s *slots) hand() {
	for !s.shut {
		chosen := s.choose()
		if chosen == nil {
			return
		}
		s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool { return w == chosen })
		chosen.turn.claim, chosen.turn.given = chosen.claim, time.Now()
		s.running = append(s.running, chosen.turn)
		close(chosen.ready)
	}
}

// choose returns who is let in next, nil if nobody is. The caller holds mu.
//
// Who wants the machine alone comes first, once the others have given it up, which
// is asked of them only if they soon will: cores that wait for one that hangs are
// lost. Of the rest, who is there no room for keeps out those less urgent, who might
// be followed by others for ever; but not while it waits for a more urgent one,
// whatever others do meanwhile.
func (s *slots) choose() *waiter {
	slices.SortStableFunc(s.waiting, func(a, b *waiter) int { return cmp.Compare(b.urgency, a.urgency) })
	for _, candidate := range s.waiting {
		switch {
		case !candidate.alone:
		case len(s.running) == 0:
			return candidate
		case s.soonOver():
			return nil
		}
	}
	for _, candidate := range s.waiting {
		switch {
		case candidate.alone:
		case s.room(candidate.claim):
			return candidate
		case !slices.ContainsFunc(s.running, func(t *turn) bool { return t.urgency > candidate.urgency }):
			return nil
		}
	}
	return nil
}

// soonOver reports whether all that is under way is likely to end before long. The
// caller holds mu.
func (s *slots) soonOver() bool {
	return !slices.ContainsFunc(s.running, func(t *turn) bool { return time.Until(t.given.Add(t.takes)) > soon })
}

// held lists what is held. The caller holds mu.
func (s *slots) held() []claim {
	var held []claim
	for _, t := range s.running {
		held = append(held, t.claim)
	}
	return held
}

// room reports whether what is claimed is free. As many as there are cores may
// sleep beside those who work, unless one has all of the machine. The caller
// holds mu.
func (s *slots) room(wanted claim) bool {
	used, sleepers := 0, s.size/wholeCore
	for _, of := range append(s.held(), wanted) {
		switch {
		case of.alone || of.share == s.size:
			return len(s.running) == 0
		case of.share <= leastShare && sleepers > 0:
			sleepers--
		default:
			used += of.share
		}
	}
	return used <= s.size
}
