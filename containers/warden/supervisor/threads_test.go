//go:build linux

package supervisor

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// As gdb 13 writes them in Debian 12, where libzmq and libc have no symbols.
const backtraces = `Thread 5 (Thread 0x7fe798d0c6c0 (LWP 37) "ZMQbg/IO/0"):
#0  0x000055d544096729 in ?? ()
#1  0x00007fe799f4219e in ?? () from /lib/x86_64-linux-gnu/libffcall.so.0
#2  0x00007fe799b3fd9b in ?? () from /lib/x86_64-linux-gnu/libzmq.so.5
#3  0x00007fe799c271f5 in ?? () from /lib/x86_64-linux-gnu/libc.so.6
#4  0x00007fe799ca6b50 in clone () from /lib/x86_64-linux-gnu/libc.so.6

Thread 4 (Thread 0x7fb5db9fc6c0 (LWP 80) "zm-caller"):
#0  0x00007fb5dd9a5545 in clock_nanosleep () from /lib/x86_64-linux-gnu/libc.so.6
#1  0x00007fb5dd8c5064 in caller_main (argument=<optimized out>) at targets/c/fixture.c:319
#2  0x00007fb5dd95f1f5 in start_thread (arg=<optimized out>) at ./nptl/pthread_create.c:442
#3  0x00007fb5dd9deb50 in clone3 () at ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81

Thread 3 (Thread 0x7efe44ba96c0 (LWP 301) "a (LWP 999) name"):
#0  0x00007efe46262e01 in ?? () from /lib/x86_64-linux-gnu/libgc.so.1
#1  0x00007efe46255b75 in GC_call_with_stack_base () from /lib/x86_64-linux-gnu/libgc.so.1
#2  0x00007efe45ca71f5 in ?? () from /lib/x86_64-linux-gnu/libc.so.6
#3  0x00007efe45d26b50 in clone () from /lib/x86_64-linux-gnu/libc.so.6

Thread 2 (LWP 7):
#0  0x00000000534d760c in ?? ()
#1  0x0000000000000000 in ?? ()

Thread 1 (Thread 0x7f1e03530b80 (LWP 9) "probe"):
#0  0x00007f1e035b7f16 in deep () from /lib/libdeep.so
(More stack frames follow...)
`

func TestWhereThreadsStartIsReadFromTheirBacktraces(t *testing.T) {
	assert.Equal(t, map[int]string{37: "libzmq.so.5", 80: "caller_main in fixture.c", 301: "GC_call_with_stack_base in libgc.so.1"},
		threadStarts(backtraces), "those whose backtrace is lost or cut are left out")
	assert.Empty(t, threadStarts(""))
}

func TestTheInstructionIsThatOfTheThread(t *testing.T) {
	const text = `
Thread 2 (Thread 0x7f (LWP 12) "ZMQbg/IO/0"):
=> 0x52ae08b4:	mov    %rdx,0x1(%rax)

Thread 1 (Thread 0x7f (LWP 11) "probe"):
=> 0x7ffff7af1bd7 <__GI___poll+79>:	cmp    $0xfffffffffffff000,%rax
`
	assert.Equal(t, "mov %rdx,0x1(%rax)", instructionOf(text, 12))
	assert.Equal(t, "cmp $0xfffffffffffff000,%rax", instructionOf(text, 11))
	assert.Empty(t, instructionOf(text, 13))
}

func TestAThreadsStateIsToldByItsSystemCall(t *testing.T) {
	for _, test := range []struct{ state, call, want string }{
		{"R (running)", "running\n", "running"},
		{"S (sleeping)", "202 0x7f 0x80 0x0 0x0 0x0 0x0 0x7ffc 0x7f1e\n", "asleep in futex"},
		{"S (sleeping)", "9999 0x0\n", "asleep in system call 9999"},
		{"S (sleeping)", "-1 0x7ffc 0x7f1e\n", "asleep"},
		{"S (sleeping)", "", "asleep"},
		{"D (disk sleep)", "", "asleep, uninterruptibly"},
		{"T (stopped)", "202 0x7f\n", "stopped"},
		{"t (tracing stop)", "202 0x7f\n", ""},
		{"Z (zombie)", "", "ended"},
		{"", "", ""},
	} {
		if test.want == "asleep in futex" && callName(202) != "futex" {
			continue // another architecture's number
		}
		assert.Equal(t, test.want, stateInWords(test.state, test.call))
	}
}

func TestThePagesRightsAreThoseOfItsMapping(t *testing.T) {
	const maps = `10000000-10001000 r--p 00000000 00:00 0
7f0000000000-7f0000002000 rw-p 00000000 fd:01 131 /usr/lib/a file
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
`
	for address, want := range map[uint64]string{
		0x0fffffff: matrix.PageNone, 0x10000000: "r--p", 0x10000fff: "r--p", 0x10001000: matrix.PageNone, 0x7f0000001fff: "rw-p", 0xffffffffff600000: "--xp",
	} {
		assert.Equal(t, want, pageRights([]byte(maps), address), "%#x", address)
	}
}

func TestAnAccessIsOnlySaidWhereThereIsNoOther(t *testing.T) {
	const counter = 0x401000
	for _, test := range []struct {
		name, code, rights string
		address            uint64
		want               matrix.Access
	}{
		{"a page that may be read alone", "SEGV_ACCERR", "r--p", 0x1000, matrix.AccessWrite},
		{"a page that may be read and executed", "SEGV_ACCERR", "r-xp", 0x1000, matrix.AccessWrite},
		{"a page without rights", "SEGV_ACCERR", "---p", 0x1000, ""},
		{"a page that may be written by now", "SEGV_ACCERR", "rw-p", 0x1000, ""},
		{"a page that was not mapped then", "SEGV_MAPERR", "r--p", 0x1000, ""},
		{"a page that is not mapped", "SEGV_MAPERR", matrix.PageNone, 0x1000, ""},
		{"the instruction itself", "SEGV_ACCERR", "rw-p", counter, matrix.AccessExecute},
		{"the instruction itself, where nothing is", "SEGV_MAPERR", matrix.PageNone, counter, matrix.AccessExecute},
		{"the end of an instruction", "SEGV_ACCERR", "r--p", counter + 4, ""},
		{"a store into its own page", "SEGV_ACCERR", "r-xp", counter + 64, matrix.AccessWrite},
	} {
		assert.Equal(t, test.want, accessOf(test.code, test.rights, test.address, counter), test.name)
	}
}
