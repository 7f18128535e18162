package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/zeebo/xxh3"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// maxLine bounds what one line of a record can make this process allocate, in
// bytes. The largest honest one holds a report of a mebibyte and as much of
// standard error in base64.
const maxLine = 64 << 20

// VersionError says that a record was made by another version of the schema.
type VersionError struct {
	Path   string
	Schema string // of the record
	Tool   string // the version of zmqmatrix that made it
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s:1: header.schema: the record is %q and this zmqmatrix reads %q; use zmqmatrix %s, which made it, or start a new run",
		e.Path, bounded(visible(e.Schema), 100), matrix.RecordSchema, bounded(visible(e.Tool), 100))
}

// State is what is in a record.
type State struct {
	Header   matrix.Header
	Footer   *matrix.Footer // nil: the run is unfinished
	Attempts int            // lines
	Decided  int            // cells that have a verdict
	Size     int64          // bytes of whole lines
	Torn     int64          // bytes of a torn last line after them
}

// Inspect reads a whole record and tells what is in it.
func Inspect(path string) (State, error) {
	var state State
	decided := map[xxh3.Uint128]struct{}{}
	reader, err := newLineReader(path)
	if err != nil {
		return State{}, err
	}
	defer reader.close()
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return State{}, err
		}
		switch line.Type {
		case matrix.LineHeader:
			state.Header = *line.Header
		case matrix.LineAttempt:
			state.Attempts++
		case matrix.LineVerdict:
			decided[xxh3.HashString128(line.Verdict.Cell.String())] = struct{}{}
		case matrix.LineFooter:
			state.Footer = line.Footer
		}
	}
	state.Decided, state.Size, state.Torn = len(decided), reader.offset, reader.torn
	return state, nil
}

// ReadRecord streams a record's lines in order, one in memory at a time. It
// stops after an error, a *schema.Error for a damaged line or a *VersionError. A
// torn last line, of a run that was killed or is just writing it, is not
// yielded and no error.
func ReadRecord(path string) iter.Seq2[matrix.Line, error] {
	return func(yield func(matrix.Line, error) bool) {
		reader, err := newLineReader(path)
		if err != nil {
			yield(matrix.Line{}, err)
			return
		}
		defer reader.close()
		for {
			line, err := reader.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// lineReader reads a record line by line.
type lineReader struct {
	path   string
	file   *os.File
	buffer *bufio.Reader
	long   []byte // a line that is longer than the buffer
	raw    []byte // the last line, without its newline
	number int
	start  int64 // of the last line
	offset int64 // after the last whole line
	torn   int64
	ended  bool // the footer was read
}

func newLineReader(path string) (*lineReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	return &lineReader{path: path, file: file, buffer: bufio.NewReaderSize(file, 1<<18)}, nil
}

// close can only fail for a file that was written to.
func (r *lineReader) close() { r.file.Close() }

// damaged says which field of the last line is wrong, "" for all of it.
func (r *lineReader) damaged(field, problem string) error {
	return &schema.Error{File: r.path, Line: r.number, Column: 1, Field: field, Problem: problem}
}

// next returns the next line; at the end the error is io.EOF.
func (r *lineReader) next() (matrix.Line, error) {
	if err := r.read(); err != nil {
		return matrix.Line{}, err
	}
	if r.number == 1 {
		if err := r.checkVersion(); err != nil {
			return matrix.Line{}, err
		}
	}
	line, err := r.decode()
	if err != nil {
		return matrix.Line{}, err
	}
	switch {
	case r.ended:
		return matrix.Line{}, r.damaged("type", fmt.Sprintf("a %s line after the footer", line.Type))
	case r.number == 1 && line.Type != matrix.LineHeader:
		return matrix.Line{}, r.damaged("type", fmt.Sprintf("the first line is of type %q, not %q", line.Type, matrix.LineHeader))
	case r.number > 1 && line.Type == matrix.LineHeader:
		return matrix.Line{}, r.damaged("type", "a second header")
	}
	r.ended = line.Type == matrix.LineFooter
	return line, nil
}

// read reads the next whole line into raw.
func (r *lineReader) read() error {
	r.number++
	r.long = r.long[:0]
	for {
		part, err := r.buffer.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if len(r.long)+len(part) > maxLine {
				return r.damaged("", fmt.Sprintf("longer than %d MiB, which no line of a record is", maxLine>>20))
			}
			r.long = append(r.long, part...)
			continue
		case errors.Is(err, io.EOF):
			r.torn = int64(len(r.long) + len(part))
			return io.EOF
		case err != nil:
			return fmt.Errorf("reading %s: %w", r.path, err)
		}
		if len(r.long) > 0 {
			r.long = append(r.long, part...)
			part = r.long
		}
		r.start = r.offset
		r.offset += int64(len(part))
		r.raw = part[:len(part)-1]
		return nil
	}
}

// checkVersion looks at the first line's schema before anything else of it:
// another version's header may have other fields.
func (r *lineReader) checkVersion() error {
	var first struct {
		Header struct {
			Schema string `json:"schema"`
			Tool   string `json:"tool"`
		} `json:"header"`
	}
	if err := json.Unmarshal(r.raw, &first); err != nil {
		return r.damaged("", fmt.Sprintf("no run record: %v", err))
	}
	if first.Header.Schema == "" {
		return r.damaged("header.schema", "missing: this is no run record")
	}
	if first.Header.Schema != matrix.RecordSchema {
		return &VersionError{Path: r.path, Schema: first.Header.Schema, Tool: first.Header.Tool}
	}
	return nil
}

// decode reads the last line strictly. A line that is byte for byte what Append
// would write has neither an unknown nor a missing field, and finding that out
// costs a tenth of asking the schema; only another line is worth that.
func (r *lineReader) decode() (matrix.Line, error) {
	var line matrix.Line
	decodeError := json.Unmarshal(r.raw, &line)
	if decodeError == nil {
		canonical := false
		err := encodeLine(line, func(data []byte) error {
			canonical = bytes.Equal(data[:len(data)-1], r.raw)
			return nil
		})
		if err == nil && canonical && checkLine(line) == "" {
			return line, nil
		}
	}
	if err := schema.CheckLine(schema.Record, r.path, r.number, r.raw); err != nil {
		return matrix.Line{}, err
	}
	if decodeError != nil {
		return matrix.Line{}, r.damaged("", decodeError.Error())
	}
	if problem := checkLine(line); problem != "" {
		return matrix.Line{}, r.damaged("", problem)
	}
	return line, nil
}

// checkLine says what a line's Go types alone do not promise: that it holds
// what its type says and nothing else, and that the words in it are known.
func checkLine(line matrix.Line) string {
	held, there := 0, false
	for _, part := range [...]struct {
		lineType matrix.LineType
		set      bool
	}{
		{matrix.LineHeader, line.Header != nil},
		{matrix.LineClient, line.Client != nil},
		{matrix.LineAttempt, line.Attempt != nil},
		{matrix.LineVerdict, line.Verdict != nil},
		{matrix.LineFooter, line.Footer != nil},
	} {
		if part.set {
			held++
			there = there || part.lineType == line.Type
		}
	}
	if held != 1 || !there {
		return fmt.Sprintf("a line of type %q that does not hold just that", line.Type)
	}
	switch line.Type {
	case matrix.LineHeader:
		if line.Header.Schema != matrix.RecordSchema || line.Header.Run == "" {
			return "a header without schema or run"
		}
	case matrix.LineClient:
		return checkWords(line.Client.Client, "", "")
	case matrix.LineAttempt:
		attempt := line.Attempt
		if attempt.Key == "" || attempt.Number < 1 || attempt.Finding.Outcome == "" {
			return "an attempt without key, number or outcome"
		}
		if attempt.Evidence.Cell.Feature == "" || attempt.Evidence.Cell.Technique == "" {
			return "an attempt of a cell without feature or technique"
		}
		return checkWords(attempt.Evidence.Cell.Client(), attempt.Finding.Outcome, attempt.Finding.Layer)
	case matrix.LineVerdict:
		verdict := line.Verdict
		if verdict.Feature == "" || verdict.Technique == "" {
			return "a verdict on a cell without feature or technique"
		}
		if verdict.Attempts < 0 || verdict.Passes < 0 || verdict.Reused < 0 {
			return "a verdict with a count below zero"
		}
		if verdict.Outcome == "" {
			return "a verdict without outcome"
		}
		return checkWords(verdict.Client(), verdict.Outcome, verdict.Layer)
	}
	return ""
}

func checkWords(client matrix.Client, outcome matrix.Outcome, layer matrix.Layer) string {
	if client.Target == "" || client.Binding == "" {
		return "a client without target or binding"
	}
	if outcome != "" && outcome.Rank() == len(matrix.Outcomes) {
		return fmt.Sprintf("unknown outcome %q", outcome)
	}
	switch layer {
	case "", matrix.LayerLibzmq, matrix.LayerRuntime, matrix.LayerBinding, matrix.LayerProbe, matrix.LayerEnvironment:
		return ""
	}
	return fmt.Sprintf("unknown layer %q", layer)
}
