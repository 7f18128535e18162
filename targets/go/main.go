//go:build cgo

// The Go client: one probe for the bindings cgo (libzmq through cgo, with
// nothing between), pebbe and go-zeromq, of which the first argument names one.
// The contract is targets/PROBE.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
)

// binding is one way from Go to ZeroMQ.
type binding struct {
	name     string
	module   string        // Go module path, "" for our own
	libzmq   func() string // version of the libzmq below, "" if there is none
	features map[string]feature
}

// feature is what a binding does, or why it can't.
type feature struct {
	techniques []string
	run        func(*task, *report) error
	missing    string // reason of unsupported; then run is nil
}

// unsupportedError closes the report with unsupported.
type unsupportedError string

func (e unsupportedError) Error() string { return string(e) }

// The probe's main goroutine stays on the process's first thread: thread.main
// is then one thread, and libzmq's sockets are used from one only.
func init() { runtime.LockOSThread() }

func main() {
	bindings := []binding{cgoBinding(), pebbeBinding(), goZeromqBinding()}
	if len(os.Args) == 2 {
		if os.Args[1] == "--version" {
			fmt.Println(runtime.Version())
			return
		}
		for _, chosen := range bindings {
			if chosen.name == os.Args[1] {
				probe(chosen)
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: probe cgo|pebbe|go-zeromq|--version")
	os.Exit(2)
}

func probe(chosen binding) {
	output := newReport(os.Stdout)
	output.hello(chosen.name, moduleVersion(chosen.module), chosen.libzmq())
	err := attempt(chosen, output)
	var unsupported unsupportedError
	switch {
	case err == nil:
		output.done()
	case errors.As(err, &unsupported):
		output.unsupported(unsupported.Error())
	default:
		output.failed(err.Error(), innermostType(err))
	}
}

func attempt(chosen binding, output *report) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("panic: %w", asError(thrown))
		}
	}()
	if protocol := os.Getenv("ZM_PROTOCOL"); protocol != "1" {
		return fmt.Errorf("protocol %s is not spoken here", protocol)
	}
	name, technique := os.Getenv("ZM_FEATURE"), os.Getenv("ZM_TECHNIQUE")
	wanted, known := chosen.features[name]
	switch {
	case !known:
		return unsupportedError("unknown feature " + name)
	case wanted.run == nil:
		return unsupportedError(wanted.missing)
	case !slices.Contains(wanted.techniques, technique):
		return unsupportedError("unknown technique " + technique)
	}
	given, err := newTask(technique)
	if err != nil {
		return err
	}
	return wanted.run(given, output)
}

func asError(thrown any) error {
	if err, ok := thrown.(error); ok {
		return err
	}
	return fmt.Errorf("%v", thrown)
}

// innermostType is the report's condition: Go's name for the kind of the error
// that started it, "" where it is no more than a text.
func innermostType(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	if condition := fmt.Sprintf("%T", err); condition != "*errors.errorString" {
		return condition
	}
	return ""
}

// moduleVersion is the version that the probe was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok || path == "" {
		return ""
	}
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return ""
}
