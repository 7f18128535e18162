//go:build cgo

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf16"
)

// report writes the probe's lines. It is for the main goroutine only. Each line
// is one write, so that a crash leaves whole lines.
type report struct {
	output io.Writer
}

func newReport(output io.Writer) *report { return &report{output: output} }

// quoted is a JSON string in ASCII.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case ' ' <= r && r <= '~':
			b.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (r *report) line(format string, values ...any) {
	if _, err := fmt.Fprintf(r.output, format+"\n", values...); err != nil {
		// Nobody is left to report to.
		os.Exit(1)
	}
}

func (r *report) hello(name, version, libzmq string) {
	r.line(`{"type":"hello","protocol":1,"implementation":"Go","version":%s,"binding":%s,"binding_version":%s,"libzmq":%s,"threads":true,"pid":%d,"seed":%s,"collector":"non-moving"}`,
		quoted(runtime.Version()), quoted(name), quoted(version), quoted(libzmq), os.Getpid(), quoted(os.Getenv("ZM_SEED")))
}

func (r *report) step(format string, values ...any) {
	r.line(`{"type":"step","text":%s}`, quoted(fmt.Sprintf(format, values...)))
}

func (r *report) observe(key, value, unit string) {
	r.line(`{"type":"observe","key":%s,"value":%s,"unit":%s}`, quoted(key), value, quoted(unit))
}

func (r *report) count(key string, value int)         { r.observe(key, strconv.Itoa(value), "count") }
func (r *report) bytes(key string, value int)         { r.observe(key, strconv.Itoa(value), "bytes") }
func (r *report) flag(key string, value bool)         { r.observe(key, strconv.FormatBool(value), "flag") }
func (r *report) thread(key string, id int)           { r.observe(key, strconv.Itoa(id), "thread") }
func (r *report) address(key string, address uintptr) { r.text(key, hex(address), "address") }
func (r *report) text(key, value, unit string)        { r.observe(key, quoted(value), unit) }

func hex(address uintptr) string { return "0x" + strconv.FormatUint(uint64(address), 16) }

func (r *report) done() { r.line(`{"type":"done"}`) }

func (r *report) unsupported(reason string) {
	r.line(`{"type":"unsupported","reason":%s}`, quoted(reason))
}

func (r *report) failed(reason, condition string) {
	r.line(`{"type":"failed","reason":%s,"condition":%s}`, quoted(reason), quoted(condition))
}
