//go:build linux

// Command zmqmatrix-warden supervises probes: see package warden for what it
// reads and writes.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/containers/warden/supervisor"
)

// init runs on the main thread, and keeps main there: supervisor.Serve says why.
func init() { runtime.LockOSThread() }

func main() {
	cores := flag.Bool(strings.TrimPrefix(warden.CoreFlag, "-"), false, "let probes leave core files")
	flag.Parse()
	if err := supervisor.Serve(os.Stdin, os.Stdout, *cores); err != nil {
		fmt.Fprintln(os.Stderr, "zmqmatrix-warden:", err)
		os.Exit(1)
	}
}
