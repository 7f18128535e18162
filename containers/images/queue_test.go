package images

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQueue_serves_the_most_work_first_and_equals_in_turn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := newQueue(2)
		first, err := places.enter(t.Context())
		require.NoError(t, err)
		second, err := places.enter(withWork(t.Context(), 1))
		require.NoError(t, err)

		var mutex sync.Mutex
		var served []string
		for _, work := range []int{2, 5, 2, 0, 3} {
			go func() {
				leave, err := places.enter(withWork(t.Context(), work))
				assert.NoError(t, err)
				mutex.Lock()
				served = append(served, fmt.Sprint(work, " of ", len(served)))
				mutex.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		assert.Empty(t, served, "both places are taken")
		first()
		synctest.Wait()
		assert.Equal(t, []string{"5 of 0", "3 of 1", "2 of 2", "2 of 3", "0 of 4"}, served)
		second()
		for range 2 {
			_, err = places.enter(t.Context())
			require.NoError(t, err, "both are free again")
		}
	})
}

func TestQueue_is_left_by_who_is_cancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := newQueue(1)
		leave, err := places.enter(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var cancelled, other error
		go func() { _, cancelled = places.enter(ctx) }()
		go func() { _, other = places.enter(t.Context()) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, cancelled, context.Canceled)
		leave()
		synctest.Wait()
		require.NoError(t, other)
		assert.Zero(t, places.free)
		_, err = places.enter(ctx)
		require.ErrorIs(t, err, context.Canceled, "also where a place is free")
	})
}
