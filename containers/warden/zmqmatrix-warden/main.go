//go:build linux

// Command zmqmatrix-warden supervises probes: see package warden for what it
// reads and writes.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/zmqmatrix/zmqmatrix/containers/warden/supervisor"
)

// init runs on the main thread, and keeps main there: supervisor.Serve says why.
func init() { runtime.LockOSThread() }

func main() {
	if err := supervisor.Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "zmqmatrix-warden:", err)
		os.Exit(1)
	}
}
