package ci

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errInterrupted is the cause of a context that a signal cancelled.
var errInterrupted = errors.New("interrupted")

// patience is how long stopping may take before a person is told that they may
// give up. Attempts are killed at once; containers take a second or two each.
const patience = 10 * time.Second

// sameSignal is how close a second signal must follow to be taken for the first
// one: Ctrl-C reaches the whole process group, and a parent may pass it on too.
const sameSignal = 300 * time.Millisecond

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels, with errInterrupted as its cause. first is then called; slow, if
// stopping takes longer than patience; a second signal calls second and ends
// the process. release gives the signals back.
func interruptible(parent context.Context, first, slow, second func()) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(signals, wanted...)
	// A reader of our output that goes away, or a file that may not grow, must
	// not end the process before its containers are gone: writes then fail.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ)
	released := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-released:
			return
		}
		stopped := time.Now()
		first()
		cancel(errInterrupted)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		for {
			select {
			case <-signals:
				if time.Since(stopped) > sameSignal {
					second()
					os.Exit(exitHarness)
				}
			case <-timer.C:
				slow()
			case <-released:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(released)
		cancel(context.Canceled)
	}
}
