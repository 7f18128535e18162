package ci

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// progress shows people what a run is doing, on standard error: a screen on a
// terminal, plain lines elsewhere.
type progress interface {
	Observe(matrix.Event)
	// Log is told each line that an engine or a build prints.
	Log(line string)
	// Say prints lines to stay. They must be printable.
	Say(lines string)
	Stopping()
	// Close leaves the terminal as it was found. complete: the run came to its
	// end. Say may be used after it.
	Close(complete bool)
}

// newProgress chooses by where err goes. With JSON lines on the same terminal
// a screen would be torn apart by them, so it is plain lines then.
func newProgress(err *os.File, quiet bool, board *board) progress {
	if !quiet && term.IsTerminal(int(err.Fd())) && paintable(os.Getenv) {
		return newScreen(err, terminalStyle(os.Getenv), board)
	}
	return &plainLines{out: err, total: board.total}
}

// paintable reads from the environment whether a terminal shows a screen to
// somebody: some runners of CI have one, of which a log is kept.
func paintable(env func(string) string) bool {
	return env("TERM") != "dumb" && (env("CI") == "" || env("CI") == "false")
}

// terminalStyle reads from the environment what the terminal can do: NO_COLOR
// (no-color.org: set and not empty) and the character set, in the order of
// setlocale(3).
func terminalStyle(env func(string) string) canvas {
	locale := env("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = env(name)
		}
	}
	charset := strings.ToLower(locale)
	return canvas{
		width: 80, height: 24,
		colour: env("NO_COLOR") == "",
		ascii:  !strings.Contains(charset, "utf-8") && !strings.Contains(charset, "utf8"),
	}
}

// plainLines prints one line per event that is worth reading later: clients
// and verdicts, not attempts.
type plainLines struct {
	mu      sync.Mutex
	out     io.Writer
	total   int
	decided int
}

func (p *plainLines) Observe(event matrix.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line := p.line(event); line != "" {
		fmt.Fprintln(p.out, line)
	}
}

func (p *plainLines) line(event matrix.Event) string {
	switch event.Kind {
	case matrix.EventStage:
		return printable(event.Text)
	case matrix.EventPreparing:
		return strings.TrimSpace("preparing " + event.Client.String() + " " + printable(event.Text))
	case matrix.EventPrepared:
		line := accountLine(event.Account)
		if event.Account.NotRun+event.Account.Error != "" {
			// It may end with what a build printed; told once, as it was printed.
			return strings.ReplaceAll(printableLines(line), "\n", "\n  ")
		}
		return shortened(printable(line))
	case matrix.EventControl:
		if !event.Control.Held() {
			return shortened("control misjudged: " + printable(event.Control.Text()))
		}
	case matrix.EventVerdict:
		p.decided++
		return fmt.Sprintf("[%*d/%d] %s", len(fmt.Sprint(p.total)), p.decided, p.total, shortened(printable(verdictLine(event.Verdict))))
	}
	return ""
}

func (p *plainLines) Log(string) {}

func (p *plainLines) Say(lines string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, lines)
}

func (p *plainLines) Stopping()  {}
func (p *plainLines) Close(bool) {}

// accountLine says what preparing a client came to.
func accountLine(account *matrix.ClientAccount) string {
	switch {
	case account.NotRun != "":
		return account.Client.String() + " is not run: " + account.NotRun
	case account.Error != "":
		return account.Client.String() + " could not be prepared: " + account.Error
	case account.Distrust != "":
		return account.Client.String() + " is not trusted with the word unsupported: " + account.Distrust
	case account.Hello == nil:
		return account.Client.String() + " is ready"
	}
	hello := account.Hello
	line := fmt.Sprintf("%s is ready: %s %s", account.Client, hello.Implementation, hello.Version)
	if hello.BindingVersion != "" {
		line += ", " + hello.Binding + " " + hello.BindingVersion
	}
	if hello.Libzmq != "" {
		line += ", libzmq " + hello.Libzmq
	}
	if account.Size > 0 {
		// In the engine's own unit.
		line += fmt.Sprintf(", %.1f MB", float64(account.Size)/1e6)
	}
	return line
}

// verdictLine is a verdict in one line, without the time, which would differ
// from run to run.
func verdictLine(verdict *matrix.Verdict) string {
	line := fmt.Sprintf("%-11s %s", verdict.Outcome, verdict.Cell)
	if verdict.Attempts > 1 {
		line += fmt.Sprintf(" (%d of %d passed)", verdict.Passes, verdict.Attempts)
	}
	if verdict.Reused > 0 {
		line += fmt.Sprintf(" (%d reused)", verdict.Reused)
	}
	reason := verdict.Reason
	if verdict.Outcome == matrix.Error || verdict.Outcome == matrix.NotRun {
		// What follows a harness's first line was told when the client was
		// prepared, and explain has it; it would come again for every cell.
		reason, _, _ = strings.Cut(reason, "\n")
	}
	if reason != "" {
		line += ": " + reason
	}
	if verdict.Layer != "" {
		line += " [" + string(verdict.Layer) + "]"
	}
	return line
}

// lineWriter hands on what is written to it line by line. A line longer than
// maxLogLine comes in pieces, so that a build that prints no line end can't
// fill the memory.
type lineWriter struct {
	mu   sync.Mutex
	rest []byte
	each func(line string)
}

const maxLogLine = 4096

func (w *lineWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, data...)
	for {
		// A progress bar ends its lines with carriage returns.
		end := bytes.IndexAny(w.rest, "\r\n")
		if end < 0 && len(w.rest) < maxLogLine {
			return len(data), nil
		}
		skip := 1
		if end < 0 {
			end, skip = maxLogLine, 0
		}
		if line := strings.TrimSpace(string(w.rest[:end])); line != "" {
			w.each(line)
		}
		w.rest = slices.Clone(w.rest[end+skip:])
	}
}

// seconds is a duration for people.
func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return clock(d) + " min"
}
