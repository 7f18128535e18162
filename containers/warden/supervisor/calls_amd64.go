//go:build linux

package supervisor

import "golang.org/x/sys/unix"

var oldCalls = map[uintptr]string{
	unix.SYS_POLL: "poll", unix.SYS_EPOLL_WAIT: "epoll_wait", unix.SYS_SELECT: "select", unix.SYS_PAUSE: "pause",
}
