package ci

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// redrawEvery bounds what a run spends on its own picture: ten frames a second
// look like motion.
const redrawEvery = 100 * time.Millisecond

// screen draws a board in place on a terminal. Lines said in between scroll
// away above it. The frame is drawn on the ordinary screen, so that what was
// there before and the last frame both stay to be scrolled to.
type screen struct {
	out   io.Writer
	size  func() (width, height int, err error)
	style canvas
	now   func() time.Time

	mu     sync.Mutex
	board  *board
	drawn  []int // widths of the lines that stand on the terminal
	dirty  bool
	closed bool

	stop chan struct{}
}

// newScreen begins to draw. Close must be called, or the cursor stays hidden.
func newScreen(terminal *os.File, style canvas, board *board) *screen {
	s := &screen{
		out: terminal, style: style, board: board, now: time.Now, dirty: true,
		size: func() (int, int, error) { return term.GetSize(int(terminal.Fd())) },
		stop: make(chan struct{}),
	}
	io.WriteString(s.out, "\x1b[?25l")
	go s.run()
	return s
}

func (s *screen) run() {
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	sinceDrawn := 0
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		// Once a second even when nothing happened: the clock goes on, and the
		// terminal may have been resized.
		if sinceDrawn++; !s.closed && (s.dirty || sinceDrawn >= 10) {
			s.draw()
			sinceDrawn = 0
		}
		s.mu.Unlock()
	}
}

// Observe updates the board.
func (s *screen) Observe(event matrix.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.apply(event)
	s.dirty = true
}

// Log shows a line of an engine's or a build's output until the next one.
func (s *screen) Log(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.log = line
	s.dirty = true
}

// Stopping shows that the run is being stopped.
func (s *screen) Stopping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.board.stopping = true
	s.dirty = true
}

// Say prints lines above the board, to stay.
func (s *screen) Say(lines string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		io.WriteString(s.out, lines+"\n")
		return
	}
	io.WriteString(s.out, s.home()+"\x1b[J"+lines+"\n")
	s.draw()
}

// Close gives the cursor back. The frame of a run that came to its end makes
// room for the table that follows; that of any other stays.
func (s *screen) Close(complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.stop)
	if complete {
		io.WriteString(s.out, s.home()+"\x1b[J\x1b[?25h")
		return
	}
	s.draw()
	io.WriteString(s.out, "\x1b[?25h")
}

// draw replaces the frame that stands on the terminal, line over line, so that
// nothing flickers. The caller holds mu.
func (s *screen) draw() {
	home := s.home()
	style := s.style
	if width, height, err := s.size(); err == nil && width > 0 && height > 0 {
		style.width, style.height = width, height
	}
	lines := s.board.frame(s.now(), style)
	for _, line := range lines {
		s.drawn = append(s.drawn, text.StringWidthWithoutEscSequences(line))
	}
	s.dirty = false
	io.WriteString(s.out, home+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n\x1b[J")
}

// home moves the cursor to where the frame on the terminal begins, and forgets
// that frame. After the terminal has been made narrower its lines take several
// rows each.
func (s *screen) home() string {
	if len(s.drawn) == 0 {
		return ""
	}
	width, _, err := s.size()
	rows := 0
	for _, used := range s.drawn {
		rows++
		if err == nil && width > 0 && used > width {
			rows += (used - 1) / width
		}
	}
	s.drawn = nil
	return fmt.Sprintf("\r\x1b[%dA", rows)
}
