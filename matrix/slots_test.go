package matrix

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queue makes somebody wait for a slot, and returns when they do.
func queue(t *testing.T, s *slots, urgency time.Duration, alone bool, then func(*turn)) {
	s.mu.Lock()
	before := len(s.waiting)
	s.mu.Unlock()
	mine := &turn{slots: s}
	go func() {
		if mine.next(t.Context(), urgency, alone) == nil {
			then(mine)
		}
	}()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == before+1
	}, 10*time.Second, time.Millisecond)
}

func TestSlotsGoToTheMostUrgent(t *testing.T) {
	s := &slots{size: 1}
	first := &turn{slots: s}
	require.NoError(t, first.next(t.Context(), 5, false))
	order := make(chan time.Duration, 4)
	for _, urgency := range []time.Duration{1, 9, 4} {
		queue(t, s, urgency, false, func(mine *turn) { order <- urgency; mine.done() })
	}
	first.done()
	for _, want := range []time.Duration{9, 4, 1} {
		assert.Equal(t, want, <-order)
	}
}

func TestASlotIsKeptUnlessSomebodyMoreUrgentWaits(t *testing.T) {
	s := &slots{size: 1}
	first := &turn{slots: s}
	require.NoError(t, first.next(t.Context(), 5, false))
	begun := make(chan time.Duration, 1)
	queue(t, s, 3, false, func(mine *turn) { begun <- 3; mine.done() })
	require.NoError(t, first.next(t.Context(), 4, false))
	assert.Empty(t, begun)
	require.NoError(t, first.next(t.Context(), 2, false))
	assert.Equal(t, time.Duration(3), <-begun)
}

func TestWhoWantsTheMachineAloneHasIt(t *testing.T) {
	s := &slots{size: 3}
	first, second := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, first.next(t.Context(), 1, false))
	require.NoError(t, second.next(t.Context(), 1, false))
	alone, after := make(chan *turn, 1), make(chan *turn, 1)
	queue(t, s, 9, true, func(mine *turn) { alone <- mine })
	queue(t, s, 5, false, func(mine *turn) { after <- mine })
	assert.Empty(t, after, "though a slot is free: it would be in the company of who is next")
	first.done()
	assert.Empty(t, alone, "one is still under way")
	second.done()
	has := <-alone
	assert.Empty(t, after)
	has.done()
	(<-after).done()
	assert.Zero(t, s.used)
}

func TestAWaiterThatGivesUpBlocksNobody(t *testing.T) {
	s := &slots{size: 1}
	first, patient := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, first.next(t.Context(), 1, false))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- (&turn{slots: s}).next(ctx, 9, true) }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 1
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	first.done()
	require.NoError(t, patient.next(t.Context(), 1, false))
	patient.done()
	assert.Zero(t, s.used)
}
