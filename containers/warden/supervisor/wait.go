//go:build linux

package supervisor

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childState is what waitid(2) says of a child.
type childState struct {
	pid    int // 0: no child has anything to say
	exited bool
}

// peek looks at the next child that has something to say, without taking it.
func peek(options int) (childState, error) {
	// siginfo_t, 128 bytes: si_code at 8; si_pid at 16, after padding on
	// 64-bit systems, the only ones Docker and this program support.
	var info [128]byte
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info[0])),
			uintptr(options|unix.WNOHANG|unix.WNOWAIT|unix.WALL), 0, 0)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		default:
			return childState{}, errno
		}
		const exited, killed, dumped = 1, 2, 3 // CLD_*
		code := binary.NativeEndian.Uint32(info[8:])
		return childState{
			pid:    int(int32(binary.NativeEndian.Uint32(info[16:]))),
			exited: code == exited || code == killed || code == dumped,
		}, nil
	}
}

// wait is wait4, again when a signal interrupts it.
func wait(pid int, status *unix.WaitStatus, options int, usage *unix.Rusage) (int, error) {
	for {
		reaped, err := unix.Wait4(pid, status, options, usage)
		if err != unix.EINTR {
			return reaped, err
		}
	}
}

// signalName is the signal as manuals write it.
func signalName(signal unix.Signal) string {
	if name := unix.SignalName(signal); name != "" {
		return name
	}
	// Real-time signals are numbered from the first that the C library leaves
	// to programs: 34 with glibc.
	const realTimeMin = 34
	if signal >= realTimeMin {
		return fmt.Sprintf("SIGRTMIN+%d", signal-realTimeMin)
	}
	return fmt.Sprintf("SIG%d", signal)
}
