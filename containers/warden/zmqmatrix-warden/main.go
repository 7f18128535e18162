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
	var options supervisor.Options
	flag.BoolVar(&options.Cores, strings.TrimPrefix(warden.CoreFlag, "-"), false, "let probes leave core files")
	flag.Func(strings.TrimPrefix(warden.SweepFlag, "-"), "a `folder` of which nothing is left to the next probe", func(folder string) error {
		options.Sweep = append(options.Sweep, folder)
		return nil
	})
	flag.Parse()
	if err := supervisor.Serve(os.Stdin, os.Stdout, options); err != nil {
		fmt.Fprintln(os.Stderr, "zmqmatrix-warden:", err)
		os.Exit(1)
	}
}
