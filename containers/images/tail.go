package images

import (
	"io"
	"strings"
	"sync"
)

// outputLines is how much of a failed command's output is shown: enough for
// apt's or a compiler's last words and what led to them, less than a screen.
const outputLines = 40

// tail keeps the last lines written to it.
type tail struct {
	limit   int
	mutex   sync.Mutex
	lines   []string
	partial string
}

func (t *tail) Write(text []byte) (int, error) {
	t.add(string(text))
	return len(text), nil
}

func (t *tail) add(text string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	lines := strings.Split(t.partial+text, "\n")
	t.partial = lines[len(lines)-1]
	t.lines = append(t.lines, lines[:len(lines)-1]...)
	if extra := len(t.lines) - t.limit; extra > 0 {
		t.lines = append(t.lines[:0], t.lines[extra:]...)
	}
}

func (t *tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	lines := t.lines
	if t.partial != "" {
		lines = append(lines[:len(lines):len(lines)], t.partial)
	}
	return strings.Join(lines[max(0, len(lines)-t.limit):], "\n")
}

// endedEarlyError is how the command behind a stream failed.
type endedEarlyError struct{ err error }

func (e *endedEarlyError) Error() string { return "ended early: " + e.err.Error() }
func (e *endedEarlyError) Unwrap() error { return e.err }

// checkedStream is a command's output that ends well only if the command did:
// a reader that got the end of the file may believe that it has all.
type checkedStream struct {
	source io.Reader
	end    func() error
	ended  bool
	err    error
}

func (s *checkedStream) Read(buffer []byte) (int, error) {
	if s.ended {
		return 0, s.err
	}
	count, err := s.source.Read(buffer)
	if err != nil {
		s.ended, s.err = true, err
		if failure := s.end(); failure != nil {
			s.err = &endedEarlyError{failure}
		}
	}
	return count, s.err
}
