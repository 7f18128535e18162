package results

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// threadsOf are a process's first thread and these.
func threadsOf(others ...matrix.ThreadState) []matrix.ThreadState {
	return append([]matrix.ThreadState{{ID: 1, Name: "probe", State: "asleep in futex"}}, others...)
}

func TestADossierIsToldInOneSentence(t *testing.T) {
	ioThread := matrix.ThreadState{ID: 8, Name: "ZMQbg/IO/0", State: "running"}
	for name, test := range map[string]struct {
		dossier matrix.Dossier
		want    string
	}{
		"nothing is known": {matrix.Dossier{Missing: "no debugger"}, ""},
		"a store of the I/O thread's into a protected page, its signal blocked": {
			matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_ACCERR", Address: "0x5014f760", Page: "r--p", Access: matrix.AccessWrite, Forced: true,
				Thread: "ZMQbg/IO/0 (8)", Threads: threadsOf(ioThread)},
			"SIGSEGV on an I/O thread of libzmq, which the runtime did not make, with SIGSEGV blocked, at a store into a write-protected page",
		},
		"the same, of a record from before": {
			matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_ACCERR", Address: "0x5014f760", Thread: "ZMQbg/IO/0 (8)"},
			"SIGSEGV on an I/O thread of libzmq, which the runtime did not make, at an access that its page does not allow",
		},
		"the signal alone":    {matrix.Dossier{Signal: "SIGKILL"}, "SIGKILL"},
		"of the first thread": {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_MAPERR", Address: "0x10", Page: matrix.PageNone, Thread: "probe (1)", Main: true}, "SIGSEGV on the process's first thread, at an access through a null pointer"},
		"far from null":       {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_MAPERR", Address: "0x1000"}, "SIGSEGV, at an access to where nothing is mapped"},
		"a jump to nowhere":   {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_MAPERR", Address: "0x0", Access: matrix.AccessExecute}, "SIGSEGV, at a jump to where nothing is mapped"},
		"a jump into data":    {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_ACCERR", Page: "rw-p", Access: matrix.AccessExecute}, "SIGSEGV, at a jump into a page that may not be executed"},
		"a guard page":        {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_ACCERR", Page: "---p"}, "SIGSEGV, at an access to a page without any rights"},
		"no address":          {matrix.Dossier{Signal: "SIGSEGV", Code: "SI_KERNEL"}, "SIGSEGV, at a fault without an address, as through a pointer that can't be one"},
		"a short file":        {matrix.Dossier{Signal: "SIGBUS", Code: "BUS_ADRERR"}, "SIGBUS, at an access to memory that is not there, as past the end of a mapped file"},
		"misaligned":          {matrix.Dossier{Signal: "SIGBUS", Code: "BUS_ADRALN"}, "SIGBUS, at a misaligned access"},
		"a division":          {matrix.Dossier{Signal: "SIGFPE", Code: "FPE_INTDIV"}, "SIGFPE, at an integer division by zero, or one whose result is too large"},
		"an instruction":      {matrix.Dossier{Signal: "SIGILL", Code: "ILL_ILLOPN"}, "SIGILL, at an instruction that the processor refuses"},
		"a breakpoint, blocked": {matrix.Dossier{Signal: "SIGTRAP", Code: "SI_KERNEL", Forced: true, Thread: "zm-caller (9)"},
			"SIGTRAP on a thread of the test's fixture, which the runtime did not make, with SIGTRAP blocked, at a breakpoint instruction"},
		"abort":             {matrix.Dossier{Signal: "SIGABRT", Code: "SI_TKILL", Sender: matrix.SenderSelf, Thread: "probe (1)", Main: true}, "SIGABRT on the process's first thread, sent by the process itself"},
		"killed":            {matrix.Dossier{Signal: "SIGTERM", Code: "SI_USER", Sender: matrix.SenderOther}, "SIGTERM, sent by another process"},
		"a code of no page": {matrix.Dossier{Signal: "SIGSEGV", Code: "SEGV_PKUERR", Thread: "probe (1)", Main: true}, "SIGSEGV on the process's first thread"},
		"libzmq's reaper": {matrix.Dossier{Signal: "SIGILL", Thread: "ZMQbg/Reaper (8)", Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "ZMQbg/Reaper", Start: "libzmq.so.5"})},
			"SIGILL on libzmq's reaper thread, which the runtime did not make"},
		"a thread of libzmq's that has no name yet": {matrix.Dossier{Signal: "SIGSEGV", Thread: "probe (8)", Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "probe", Start: "libzmq.so.5.2.4"})},
			"SIGSEGV on a thread of libzmq, which the runtime did not make"},
		"a thread of the fixture's by its start": {matrix.Dossier{Signal: "SIGSEGV", Thread: "probe (8)", Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "probe", Start: "caller_main in fixture.c"})},
			"SIGSEGV on a thread of the test's fixture, which the runtime did not make"},
		"a thread that starts elsewhere": {matrix.Dossier{Signal: "SIGSEGV", Thread: "worker (8)", Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "worker", Start: "GC_call_with_stack_base in libgc.so.1"})},
			"SIGSEGV on the thread “worker” (starting in GC_call_with_stack_base, libgc.so.1)"},
		"a name that its start speaks against": {matrix.Dossier{Signal: "SIGSEGV", Thread: "ZMQbg/IO/0 (8)", Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "ZMQbg/IO/0", Start: "impostor in probe.c"})},
			"SIGSEGV on the thread “ZMQbg/IO/0” (starting in impostor, probe.c)"},
		"a name that is none of libzmq's": {matrix.Dossier{Signal: "SIGSEGV", Thread: "ZMQbg/IO/x (8)"}, "SIGSEGV on the thread “ZMQbg/IO/x”"},
		"a hang": {matrix.Dossier{Threads: threadsOf(
			matrix.ThreadState{ID: 2, Name: "ZMQbg/Reaper", State: "asleep in epoll_wait"}, matrix.ThreadState{ID: 3, Name: "ZMQbg/IO/0", State: "running"},
			matrix.ThreadState{ID: 4, Name: "marker", State: "asleep in futex"}, matrix.ThreadState{ID: 5, Name: "marker", State: "asleep in futex"}, matrix.ThreadState{ID: 6, Name: "unseen"})},
			"when its time was up: the process's first thread asleep in futex; libzmq's reaper thread asleep in epoll_wait; an I/O thread of libzmq running; the thread “marker” asleep in futex (and 1 more thread like it)"},
		"a hang of many threads": {matrix.Dossier{Threads: threadsOf(manyThreads(20)...)},
			"when its time was up: the process's first thread asleep in futex; the thread “a” running; the thread “b” running; the thread “c” running; the thread “d” running; the thread “e” running; 15 more threads"},
		"a hang of which no state is known": {matrix.Dossier{Threads: []matrix.ThreadState{{ID: 1, Name: "probe"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, DossierInWords(test.dossier)) })
	}
}

func manyThreads(count int) []matrix.ThreadState {
	var threads []matrix.ThreadState
	for i := range count {
		threads = append(threads, matrix.ThreadState{ID: 2 + i, Name: string(rune('a' + i)), State: "running"})
	}
	return threads
}

func TestADossiersSentenceIsBoundedAndVisible(t *testing.T) {
	long := strings.Repeat(hostile, 1000)
	for _, dossier := range []matrix.Dossier{
		{Signal: hostile, Thread: long, Threads: []matrix.ThreadState{{Name: long, Start: long + " in " + long, State: long}}},
		{Threads: []matrix.ThreadState{{}, {Name: long, Start: long + " in " + long, State: long}}},
	} {
		text := DossierInWords(dossier)
		requireVisible(t, text)
		assert.NotContains(t, text, "\n")
		assert.Less(t, len(text), 4000)
	}
}

func TestTheFactsOfADossier(t *testing.T) {
	assert.Equal(t, [][2]string{
		{"signal", "SIGSEGV SEGV_ACCERR"}, {"address", "0x10000010"}, {"page", "r--p, write"}, {"executing", "movb $0x1,(%rax)"},
		{"thread", "ZMQbg/IO/0 (8), not the process's first"}, {"handler", "taken away by the kernel, as the thread blocked SIGSEGV"},
		{"blocked", "SIGINT SIGUSR2"}, {"had thread", "1 probe, asleep in futex"}, {"had thread", "8 ZMQbg/IO/0, running; starts in libzmq.so.5; made by 1"},
		{"had thread", "9 new"},
	}, DossierFacts(matrix.Dossier{
		Signal: "SIGSEGV", Code: "SEGV_ACCERR", Address: "0x10000010", Page: "r--p", Access: matrix.AccessWrite, Instruction: "movb $0x1,(%rax)",
		Thread: "ZMQbg/IO/0 (8)", Forced: true, Blocked: []string{"SIGINT", "SIGUSR2"},
		Threads: threadsOf(matrix.ThreadState{ID: 8, Name: "ZMQbg/IO/0", State: "running", Start: "libzmq.so.5", Maker: 1}, matrix.ThreadState{ID: 9, Name: "new"}),
	}))
	assert.Equal(t, [][2]string{{"signal", "SIGABRT"}, {"sender", "self"}, {"page", "not mapped"}, {"missing", "no debugger"}},
		DossierFacts(matrix.Dossier{Signal: "SIGABRT", Sender: matrix.SenderSelf, Page: matrix.PageNone, Missing: "no debugger"}))
}

func TestWhatADossierCanNotSayIsNotPublished(t *testing.T) {
	brief := inBrief(matrix.Dossier{Sender: "<b>", Access: "delete", Threads: manyThreads(200)})
	assert.Empty(t, brief.Sender)
	assert.Empty(t, brief.Access)
	assert.Len(t, brief.Threads, matrix.MaxThreads)
}
