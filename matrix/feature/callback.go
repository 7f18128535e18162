package feature

import (
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Sources of the group's requirements.
const (
	sourceMsgInitData = "zmq_msg_init_data(3): “the ffn function is called on some other thread”; libzmq src/msg.cpp, close()"
	sourceSignals     = "libzmq src/thread.cpp, thread_routine: I/O threads block all signals before they run"
	source2010        = "the 2010 account of cl-zmq's author: callbacks come on a thread that the Lisp never made"
)

// callbacks is the group callback/*.
func callbacks() []matrix.Feature {
	ioLane := func(count, size int) []matrix.SocketSpec {
		return []matrix.SocketSpec{{Name: "sink", Role: matrix.RoleSink, Count: count, Sizes: []int{size}, Parts: 1}}
	}
	const ioSize = 65536
	return []matrix.Feature{
		{
			Name:        "callback/same-thread",
			Requirement: "C calls a client function on the calling thread; arguments and result arrive intact.",
			Source:      "the language's foreign function interface",
			Method:      "The fixture calls the function 1000 times with 64-bit values and a pointer to store through, and checks each result and store.",
			Version:     1,
			Params:      map[string]string{"threads": "1", "calls": "1000", "pace-us": "0", "gc-every": "0"},
			Wall:        10 * time.Second,
			Judge:       func(e matrix.Evidence) matrix.Finding { return judgeCalls(e, callsOn{main: true}) },
		},
		{
			Name:        "callback/foreign-thread",
			Requirement: "C calls a client function from a thread that the runtime did not create, while the thread that started it is blocked in C; arguments and result arrive intact.",
			Source:      source2010,
			Method:      "As same-thread, from a thread made by the fixture with pthread_create; the client notes the thread it runs on.",
			Attempts:    severalAttempts,
			Version:     1,
			Params:      map[string]string{"threads": "1", "calls": "1000", "pace-us": "0", "gc-every": "0"},
			Wall:        10 * time.Second,
			Judge:       func(e matrix.Evidence) matrix.Finding { return judgeCalls(e, callsOn{}) },
		},
		{
			Name:        "callback/concurrent-threads",
			Requirement: "Four threads that the runtime did not create call a client function 1000 times each while the main thread computes, allocates and collects; every call happens once.",
			Source:      source2010,
			Method:      "Each call has a sequence number of its own, which the client marks in an array of its own; full GCs must fall between calls.",
			Version:     1,
			Params:      map[string]string{"threads": "4", "calls": "1000", "pace-us": "100", "gc-every": "0"},
			Timing:      true,
			Wall:        20 * time.Second,
			Judge:       func(e matrix.Evidence) matrix.Finding { return judgeCalls(e, callsOn{during: true}) },
		},
		{
			Name:        "callback/masked-thread",
			Requirement: "The same from a thread in which every signal is blocked, as in libzmq's I/O threads, with full GCs inside and outside the callback.",
			Source:      sourceSignals,
			Method:      "The fixture blocks all signals before it calls and counts that they are; the callback does a full GC at every 50th call, the main thread does them all the time.",
			Version:     1,
			Params:      map[string]string{"threads": "1", "calls": "200", "pace-us": "1000", "gc-every": "50"},
			Timing:      true,
			Wall:        20 * time.Second,
			Judge:       func(e matrix.Evidence) matrix.Finding { return judgeCalls(e, callsOn{during: true, masked: true}) },
		},
		{
			Name:        "callback/io-thread",
			Requirement: "libzmq's own I/O thread runs the client's free function given to zmq_msg_init_data: once per message, with the right pointer and hint, on a thread that is not the main one.",
			Source:      sourceMsgInitData,
			Method:      "512 messages of 64 KiB over tcp, so that the main thread runs the language while callbacks come; the client counts each hint, compares the pointer and notes thread and thread name; the witness sees which thread sends; the endpoint digests what arrives.",
			Version:     3,
			Params:      map[string]string{"count": "512", "size": "65536", "gc-main": "0", "gc-every": "0"},
			Lane:        ioLane(512, ioSize),
			Witness:     true,
			Timing:      true,
			Wall:        20 * time.Second,
			Judge:       judgeFrees,
		},
		{
			Name:        "callback/io-thread-gc",
			Requirement: "The same with full GCs in the main thread and in the callback.",
			Source:      sourceMsgInitData,
			Method:      "As io-thread; the main thread does a full GC after every fourth send, the callback at every eighth hint.",
			Version:     2,
			Params:      map[string]string{"count": "64", "size": "65536", "gc-main": "4", "gc-every": "8"},
			Lane:        ioLane(64, ioSize),
			Witness:     true,
			Timing:      true,
			Wall:        30 * time.Second,
			Judge:       judgeFrees,
		},
	}
}

// callsOn says where and when the fixture's calls must have happened.
type callsOn struct {
	main   bool // on the main thread, instead of on the fixture's
	during bool // while the main thread collected
	masked bool // with every signal blocked
}

// blockableSignals of 1 to 31: all but SIGKILL and SIGSTOP.
const blockableSignals = 29

// judgeCalls judges the features in which the fixture calls the client.
func judgeCalls(evidence matrix.Evidence, where callsOn) matrix.Finding {
	f := read(evidence)
	calls := f.param("threads") * f.param("calls")
	made := f.count("calls.made")
	f.exercised(made == calls, "the fixture made %d of %d calls", made, calls)
	f.equal("calls.right", calls, "calls whose result and store were right")
	f.equal("calls.seen", calls, "calls that the client saw once")
	f.none("calls.repeated", "calls that the client saw more than once")

	mainThread, callers, ranOn := f.threads("thread.main"), f.threads("thread.callers"), f.threads("thread.ran-on")
	f.wellFormed(len(mainThread) == 1, "thread.main is %v, not one thread", mainThread)
	f.require(len(ranOn) > 0, "no callback noted its thread")
	threads := int(f.param("threads"))
	if where.main {
		threads = 1
	}
	f.exercised(len(callers) == threads, "the fixture called from %d threads, want %d", len(callers), threads)
	f.require(sameSet(ranOn, callers), "the callbacks ran on threads %v, but C called on %v", ranOn, callers)
	f.exercised(slices.Equal(callers, mainThread) == where.main && (where.main || !overlaps(callers, mainThread)),
		"C called on %v, the main thread is %v", callers, mainThread)
	f.collectedDuring(where.during)
	f.collectedInCallback(f.param("gc-every"), calls)
	if where.masked {
		blocked := f.count("mask.blocked")
		f.exercised(blocked == blockableSignals, "%d of %d signals were blocked in the calling thread", blocked, blockableSignals)
	}
	return f.finding()
}

// collectedDuring requires full GCs in the main thread meanwhile, if they were
// asked for.
func (f *facts) collectedDuring(asked bool) {
	least := int64(0)
	if asked {
		least = minimumCollections
	}
	f.collected("gc.during", least)
}

// collectedInCallback requires a full GC in every callback whose number is a
// multiple of every, and none where it is 0.
func (f *facts) collectedInCallback(every, calls int64) {
	want := int64(0)
	if every > 0 && f.collects() {
		want = calls / every
	}
	got := f.count("gc.in-callback")
	f.exercised(got == want, "%d full GCs in callbacks, want %d", got, want)
}

// judgeFrees judges the features in which libzmq's I/O thread frees messages.
func judgeFrees(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count, size := f.param("count"), f.param("size")
	f.equal("frees.once", count, "messages freed exactly once")
	f.none("frees.repeated", "messages freed more than once")
	f.none("frees.unknown", "frees with a hint that was never given")
	f.none("frees.wrong-pointer", "frees with another pointer than was given with the hint")
	f.onIOThread("thread.ran-on")
	names := f.text("thread.names", "list")
	f.wellFormed(names != "", "thread.names is empty")
	f.require(!slices.ContainsFunc(splitList(names), func(name string) bool { return !strings.HasPrefix(name, "ZMQ") }),
		"the frees ran on threads named %q, not all of which are libzmq's", names)
	sent, _, _ := f.sends("sink", slices.Repeat([]int64{size}, int(count)))
	f.onSendingThread("thread.ran-on", sent)
	f.collectedDuring(f.param("gc-main") > 0)
	f.collectedInCallback(f.param("gc-every"), count)
	f.arrived("sink", func(yield func(frames ...[]byte)) {
		for i := range int(count) {
			yield(matrix.Payload(f.Seed, i, int(size)))
		}
	})
	return f.finding()
}

// onIOThread requires that callbacks ran, and never on the main thread.
func (f *facts) onIOThread(key string) {
	mainThread, ranOn := f.threads("thread.main"), f.threads(key)
	f.wellFormed(len(mainThread) == 1, "thread.main is %v, not one thread", mainThread)
	f.require(len(ranOn) > 0, "no free function noted its thread")
	f.require(!overlaps(ranOn, mainThread), "free functions ran on the main thread %v", mainThread)
}

func sameSet(a, b []int64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func overlaps(a, b []int64) bool {
	return slices.ContainsFunc(a, func(id int64) bool { return slices.Contains(b, id) })
}
