//go:build linux && !amd64

package supervisor

var oldCalls map[uintptr]string
