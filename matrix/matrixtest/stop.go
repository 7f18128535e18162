package matrixtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// Why a run ends before its time.
var (
	errDeadline     = errors.New("stopped in time before go test's -timeout")
	errFailFast     = errors.New("stopped by -failfast")
	errSubtestsOver = errors.New("stopped, since the subtests are over")
)

// leastGrace is what clean-up is given before the deadline if that is far enough:
// containers take a second or two each to be removed, and the engine may be slow.
const leastGrace = 15 * time.Second

// signalTime is more than a signal needs to end the process.
const signalTime = time.Second

// graceOf is how long before its deadline a run of which so much is left is
// stopped.
func graceOf(left time.Duration) time.Duration {
	return min(max(left/20, leastGrace), left/2)
}

// stoppable is the context of a run in the test. It ends in time before the test's
// deadline, with the test's own context, with SIGINT and SIGTERM unless they are
// ignored, and by stop.
// release, when what the run started is gone, gives the signals back, and has one
// that came do what it does otherwise: it ends the process.
func stoppable(t *testing.T) (ctx context.Context, stop func(cause error), release func()) {
	parent, forget := t.Context(), func() {}
	if deadline, limited := t.Deadline(); limited {
		parent, forget = context.WithDeadlineCause(parent, deadline.Add(-graceOf(time.Until(deadline))), errDeadline)
	}
	ctx, stop = context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, ends := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if !signal.Ignored(ends) { // as in a shell's background
			signal.Notify(signals, ends)
		}
	}
	released := make(chan struct{})
	caught := make(chan os.Signal, 1)
	go func() {
		defer close(caught)
		select {
		case received := <-signals:
			signal.Stop(signals) // a second one ends the process at once
			fmt.Fprintf(os.Stderr, "matrixtest: %v: what is under way is ended and removed\n", received)
			stop(fmt.Errorf("stopped by a signal: %v", received))
			caught <- received
		case <-released:
		}
	}()
	return ctx, stop, func() {
		close(released)
		signal.Stop(signals)
		stop(nil)
		forget()
		if received, interrupted := <-caught; interrupted {
			// It can't fail for one's own process. What handles the signal is another
			// thread; the tests are not to go on until it has, unless somebody else
			// has taken the signal for theirs.
			_ = syscall.Kill(os.Getpid(), received.(syscall.Signal))
			<-time.After(signalTime)
		}
	}
}
