// Package warden speaks with the warden, the small static supervisor that runs
// probes inside a target and accounts for how each ended: the protocol's types,
// its client, and how the warden's program is built. The process side is
// package supervisor.
//
// The protocol is one JSON object a line, requests on the warden's standard
// input, replies on its standard output. The warden greets first:
//
//	{"warden":2,"pid":1}
//	{"id":1,"op":"run","command":["/zm/probe"],"env":{"ZM_SEED":"1"},"witness":"","bounds":{…},"trace":false,"core":false}
//	{"id":1,"account":{…},"stdout":"base64"}
//	{"id":2,"error":"start /zm/probe: no such file or directory"}
//
// Where a core file is asked for and there is one, its chunks come first, under
// the same id. It runs one request at a time, in their order, answers what it does not
// understand with an error, and ends, killing all it started, when its standard
// input ends.
package warden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Version of the protocol. Either side refuses another one.
const Version = 2

// Limits of the protocol. A reply carries at most two outputs of MaxOutput
// bytes in base64, the witness's 100000 calls of some 120 bytes and a
// backtrace; MaxReplyLine is well above their sum, so that only a broken stream
// reaches it.
const (
	MaxOutput      = 16 << 20
	MaxRequestLine = 1 << 20
	MaxReplyLine   = 96 << 20
)

// CoreFlag starts a warden whose probes may leave core files; without it no
// limit lets them.
const CoreFlag = "-core"

// SweepFlag names a folder in which every run may write and of which the warden
// leaves nothing to the next one: /tmp of a container. It may be given again.
const SweepFlag = "-sweep"

// NoCore is the limit of core files, in bytes, where none are wanted: too small for
// one to be written to a file, and the only limit that a kernel heeds that pipes
// them to a program (fs/coredump.c), which else would run for every crash, and
// the probe not end before it.
const NoCore = 1

// CoreMiB bounds what a core file takes where it is written, in MiB: holes in
// it don't count. A cut one is still good for its first segments.
const CoreMiB = 2048

// OpRun asks for one run.
const OpRun = "run"

// Greeting is the warden's first line.
type Greeting struct {
	Warden int `json:"warden"` // Version
	PID    int `json:"pid"`    // 1 as the first process of a container
}

// Request asks the warden for something.
type Request struct {
	ID      int64             `json:"id"`
	Op      string            `json:"op"`
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"`
	Witness string            `json:"witness"` // library to preload, or empty
	Bounds  matrix.Bounds     `json:"bounds"`
	Trace   bool              `json:"trace"`
	Core    bool              `json:"core"` // send a crash's core file
}

// Reply answers the request with the same id; id 0 answers a line whose id
// could not be read. It has exactly one of Core, Account and Error; Stdout and
// CoreMissing go with Account.
type Reply struct {
	ID      int64           `json:"id"`
	Account *matrix.Account `json:"account,omitempty"`
	Stdout  []byte          `json:"stdout,omitempty"` // base64; matrix.Account leaves it out of its JSON
	// CoreMissing says why a core file that was asked for did not come.
	CoreMissing string     `json:"core_missing,omitempty"`
	Core        *CoreChunk `json:"core,omitempty"`
	Error       string     `json:"error,omitempty"`
}

// CoreChunk is a piece of a core file. What no chunk has is a hole; the last one
// is empty, at the file's end.
type CoreChunk struct {
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"`
}

// Decode reads one line strictly: an unknown key or something after the object
// is an error.
func Decode(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// ErrLineTooLong is a line above the reader's limit. The line was skipped: the
// next call yields the one after it.
var ErrLineTooLong = errors.New("the line is too long")

// Lines reads lines in bounded memory, whatever arrives.
type Lines struct {
	source  io.Reader
	limit   int
	buffer  []byte // read, not yet yielded
	scanned int    // bytes of buffer known to hold no newline
	tooLong bool   // the line that begins the buffer has lost its beginning
	chunk   []byte
	err     error // what Read ended with
}

// NewLines reads lines of at most limit bytes from source.
func NewLines(source io.Reader, limit int) *Lines {
	return &Lines{source: source, limit: limit, chunk: make([]byte, 64<<10)}
}

// Next returns the next line without its newline, valid until the next call of
// any method. io.EOF is the end, io.ErrUnexpectedEOF an end inside a line.
func (l *Lines) Next() ([]byte, error) {
	for {
		if line, ok, err := l.Buffered(); ok {
			return line, err
		}
		if err := l.Fill(); err != nil {
			if errors.Is(err, io.EOF) && (l.tooLong || len(l.buffer) > 0) {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// Buffered is Next without reading: ok is false when no whole line has been
// read.
func (l *Lines) Buffered() (line []byte, ok bool, err error) {
	end := bytes.IndexByte(l.buffer[l.scanned:], '\n')
	if end < 0 {
		l.scanned = len(l.buffer)
		if len(l.buffer) > l.limit {
			l.tooLong, l.buffer, l.scanned = true, nil, 0
		}
		return nil, false, nil
	}
	line = l.buffer[:l.scanned+end]
	l.buffer, l.scanned = l.buffer[l.scanned+end+1:], 0
	if l.tooLong || len(line) > l.limit {
		l.tooLong = false
		return nil, true, fmt.Errorf("%w: more than %d bytes", ErrLineTooLong, l.limit)
	}
	return line, true, nil
}

// Waiting is how many bytes have been read and not yet yielded.
func (l *Lines) Waiting() int { return len(l.buffer) }

// Fill reads once. Its error is the source's, and stays.
func (l *Lines) Fill() error {
	if l.err != nil {
		return l.err
	}
	n, err := l.source.Read(l.chunk)
	l.buffer = append(l.buffer, l.chunk[:n]...)
	l.err = err
	if n > 0 {
		return nil
	}
	return err
}
