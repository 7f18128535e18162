package matrix

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// queue makes somebody wait for a slot, and returns when they do.
func queue(t *testing.T, s *slots, wanted claim, then func(*turn)) {
	s.mu.Lock()
	before := len(s.waiting)
	s.mu.Unlock()
	mine := &turn{slots: s}
	go func() {
		if mine.next(t.Context(), wanted) == nil {
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
	s := &slots{size: wholeCore}
	first := &turn{slots: s}
	require.NoError(t, first.next(t.Context(), claim{5, false, wholeCore, 0}))
	order := make(chan time.Duration, 4)
	for _, urgency := range []time.Duration{1, 9, 4} {
		queue(t, s, claim{urgency, false, wholeCore, 0}, func(mine *turn) { order <- urgency; mine.done() })
	}
	first.done()
	for _, want := range []time.Duration{9, 4, 1} {
		assert.Equal(t, want, <-order)
	}
}

func TestASlotIsKeptUnlessSomebodyMoreUrgentWaits(t *testing.T) {
	s := &slots{size: wholeCore}
	first := &turn{slots: s}
	require.NoError(t, first.next(t.Context(), claim{5, false, wholeCore, 0}))
	begun := make(chan time.Duration, 1)
	queue(t, s, claim{3, false, wholeCore, 0}, func(mine *turn) { begun <- 3; mine.done() })
	require.NoError(t, first.next(t.Context(), claim{4, false, wholeCore, 0}))
	assert.Empty(t, begun)
	require.NoError(t, first.next(t.Context(), claim{2, false, wholeCore, 0}))
	assert.Equal(t, time.Duration(3), <-begun)
}

func TestWhoWantsTheMachineAloneHasIt(t *testing.T) {
	s := &slots{size: 3 * wholeCore}
	first, second := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, first.next(t.Context(), claim{1, false, wholeCore, 0}))
	require.NoError(t, second.next(t.Context(), claim{1, false, wholeCore, 0}))
	alone, after := make(chan *turn, 1), make(chan *turn, 1)
	queue(t, s, claim{9, true, wholeCore, 0}, func(mine *turn) { alone <- mine })
	queue(t, s, claim{5, false, wholeCore, 0}, func(mine *turn) { after <- mine })
	assert.Empty(t, after, "though a slot is free: it would be in the company of who is next")
	first.done()
	assert.Empty(t, alone, "one is still under way")
	second.done()
	has := <-alone
	assert.Empty(t, after)
	has.done()
	(<-after).done()
	assert.Empty(t, s.running)
}

func TestThereIsRoomForWhatTheMachineHasCoresFor(t *testing.T) {
	s := &slots{size: 2 * wholeCore}
	first, second, third := &turn{slots: s}, &turn{slots: s}, &turn{slots: s}
	require.NoError(t, first.next(t.Context(), claim{1, false, 125, 0}))
	require.NoError(t, second.next(t.Context(), claim{1, false, 30, 0}))
	require.NoError(t, third.next(t.Context(), claim{1, false, 45, 0}))
	heavy, light := make(chan *turn, 1), make(chan *turn, 1)
	queue(t, s, claim{9, false, 500, 0}, func(mine *turn) { heavy <- mine })
	third.done()
	second.done()
	queue(t, s, claim{5, false, 30, 0}, func(mine *turn) { light <- mine })
	assert.Empty(t, light, "it would fit, but the more urgent would wait for ever")
	first.done()
	has := <-heavy
	assert.Equal(t, s.size, has.share, "nobody needs more than there is")
	assert.Empty(t, light)
	has.done()
	(<-light).done()
	assert.Empty(t, s.running)
}

func TestTheMachineIsNotKeptIdleForOneThatWouldWaitLong(t *testing.T) {
	s := &slots{size: 2 * wholeCore}
	long, short := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, long.next(t.Context(), claim{9, false, wholeCore, time.Hour}))
	alone, after := make(chan *turn, 1), make(chan *turn, 1)
	queue(t, s, claim{5, true, wholeCore, 0}, func(mine *turn) { alone <- mine })
	require.NoError(t, short.next(t.Context(), claim{1, false, wholeCore, time.Second}), "beside the long one it is as good as any")
	// Now that the long one has ended the other soon will, and nobody follows.
	queue(t, s, claim{8, false, wholeCore, time.Hour}, func(mine *turn) { after <- mine })
	long.done()
	assert.Empty(t, after, "be it more urgent")
	assert.Empty(t, alone, "one is still under way")
	short.done()
	has := <-alone
	assert.Empty(t, after)
	has.done()
	(<-after).done()
	assert.Empty(t, s.running)
}

func TestWhoWaitsForAMoreUrgentOneKeepsNobodyOut(t *testing.T) {
	s := &slots{size: 2 * wholeCore}
	longest, light := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, longest.next(t.Context(), claim{9, false, wholeCore, 0}))
	heavy := make(chan *turn, 1)
	queue(t, s, claim{5, false, 150, 0}, func(mine *turn) { heavy <- mine })
	require.NoError(t, light.next(t.Context(), claim{1, false, 50, 0}), "the longest goes on, whoever waits")
	longest.done()
	(<-heavy).done()
	light.done()
	assert.Empty(t, s.running)
}

func TestAsManySleepBesideTheOthersAsThereAreCores(t *testing.T) {
	s := &slots{size: 2 * wholeCore}
	turns := make([]*turn, 5)
	for i := range turns {
		turns[i] = &turn{slots: s}
	}
	for i, share := range []int{leastShare, wholeCore, leastShare, wholeCore} {
		require.NoError(t, turns[i].next(t.Context(), claim{1, false, share, 0}))
	}
	third := make(chan *turn, 1)
	queue(t, s, claim{1, false, leastShare, 0}, func(mine *turn) { third <- mine })
	assert.Empty(t, third)
	turns[1].done()
	(<-third).done()
}

func TestWhoHasAllOfTheMachineSharesItWithNobody(t *testing.T) {
	for _, wanted := range []claim{{1, true, wholeCore, 0}, {1, false, 2 * wholeCore, 0}} {
		s := &slots{size: 2 * wholeCore}
		first := &turn{slots: s}
		require.NoError(t, first.next(t.Context(), wanted))
		assert.False(t, first.shared())
		second := make(chan *turn, 1)
		queue(t, s, claim{9, false, leastShare, 0}, func(mine *turn) { second <- mine })
		assert.Empty(t, second, "not even with one that sleeps")
		first.done()
		has := <-second
		assert.True(t, has.shared())
		has.done()
	}
}

func TestShareOf(t *testing.T) {
	account := func(wall, user, system time.Duration) Account {
		return Account{Wall: wall * time.Second, User: user * time.Second, System: system * time.Second}
	}
	assert.Equal(t, 100, shareOf(account(10, 8, 2)))
	assert.Equal(t, 300, shareOf(account(10, 25, 5)), "several threads")
	assert.Equal(t, 100, shareOf(account(10, 10, 1)), "a little more than a core leaves the next one free")
	assert.Equal(t, 200, shareOf(account(10, 14, 2)))
	assert.Equal(t, leastShare, shareOf(account(40, 0, 0)), "asleep")
	assert.Equal(t, 100, shareOf(Account{}), "not known")
}

func TestAWaiterThatGivesUpBlocksNobody(t *testing.T) {
	s := &slots{size: wholeCore}
	first, patient := &turn{slots: s}, &turn{slots: s}
	require.NoError(t, first.next(t.Context(), claim{1, false, wholeCore, 0}))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- (&turn{slots: s}).next(ctx, claim{9, true, wholeCore, 0}) }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 1
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	first.done()
	require.NoError(t, patient.next(t.Context(), claim{1, false, wholeCore, 0}))
	patient.done()
	assert.Empty(t, s.running)
}
