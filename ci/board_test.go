package ci

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
)

var boardStart = time.Date(2026, 11, 23, 20, 15, 0, 0, time.UTC)

// boardPlan has the real catalogue and as many clients as are named.
func boardPlan(names ...string) matrix.Plan {
	var plan matrix.Plan
	for _, name := range names {
		target, binding, _ := strings.Cut(name, "/")
		target, variant, _ := strings.Cut(target, "@")
		client := matrix.PlannedClient{
			Target: matrix.Target{Name: target}, Variant: matrix.Variant{Name: variant}, Binding: matrix.Binding{Name: binding},
		}
		for _, feature := range feature.All() {
			techniques := []string{"plain"}
			if feature.Group() == "callback" {
				techniques = append(techniques, "unblock-signals")
			}
			for _, technique := range techniques {
				client.Cells = append(client.Cells, matrix.Cell{Target: client.Client().Target, Binding: binding, Feature: feature.Name, Technique: technique})
			}
		}
		plan.Clients = append(plan.Clients, client)
		plan.Cells += len(client.Cells)
	}
	return plan
}

func verdictEvent(cell matrix.Cell, outcome matrix.Outcome) matrix.Event {
	return matrix.Event{Kind: matrix.EventVerdict, Cell: cell, Verdict: &matrix.Verdict{Cell: cell, Outcome: outcome, Attempts: 3}}
}

// boardHalfWay is a run in the middle: one client done, one at work, one not
// run, one that waits.
func boardHalfWay() *board {
	plan := boardPlan("c@bookworm/libzmq", "sbcl@bookworm/cffi", "clisp@bookworm/cffi", "lispworks@bookworm/cl-zmq")
	b := newBoard("run 20261123T201500Z-1f3a2b · docker", plan, feature.All(), boardStart)
	for _, client := range plan.Clients {
		b.apply(matrix.Event{Kind: matrix.EventPreparing, Client: client.Client()})
	}
	b.apply(matrix.Event{Kind: matrix.EventPrepared, Client: plan.Clients[0].Client(), Account: &matrix.ClientAccount{}})
	b.apply(matrix.Event{Kind: matrix.EventPrepared, Client: plan.Clients[3].Client(), Account: &matrix.ClientAccount{NotRun: "not available here: no licence\x1b[2J"}})
	b.apply(matrix.Event{Kind: matrix.EventAttempting, Cell: plan.Clients[0].Cells[0], Time: boardStart.Add(10 * time.Second)})
	for _, cell := range plan.Clients[0].Cells {
		b.apply(verdictEvent(cell, matrix.Pass))
	}
	outcomes := []matrix.Outcome{matrix.Crash, matrix.Pass, matrix.Fail, matrix.Hang, matrix.Unsupported, matrix.Unsupported, matrix.Flaky, matrix.Crash, matrix.Error, matrix.Error}
	for i, outcome := range outcomes {
		b.apply(verdictEvent(plan.Clients[1].Cells[i], outcome))
	}
	b.apply(matrix.Event{Kind: matrix.EventAttempting, Cell: plan.Clients[1].Cells[len(outcomes)], Time: boardStart.Add(60 * time.Second)})
	return b
}

func TestBoardFrames(t *testing.T) {
	now := boardStart.Add(70 * time.Second)
	for name, test := range map[string]struct {
		board  *board
		canvas canvas
	}{
		"half-way-80":       {boardHalfWay(), canvas{width: 80, height: 24}},
		"half-way-80-ascii": {boardHalfWay(), canvas{width: 80, height: 24, ascii: true}},
		"half-way-colour":   {boardHalfWay(), canvas{width: 120, height: 24, colour: true}},
		"half-way-narrow":   {boardHalfWay(), canvas{width: 50, height: 24}},
		"half-way-low":      {boardHalfWay(), canvas{width: 80, height: 6}},
		"beginning":         {newBoard("run R · local", boardPlan("c@bookworm/libzmq"), feature.All(), boardStart), canvas{width: 80, height: 24}},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "board-"+name+".txt", strings.Join(test.board.frame(now, test.canvas), "\n")+"\n")
		})
	}
}

// golden compares with testdata/golden/name, or writes it anew.
func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "go test ./ci -update writes it anew")
}

func TestBoardFitsEveryTerminal(t *testing.T) {
	b := boardHalfWay()
	b.log = strings.Repeat("長い行 ", 80)
	for width := minWidth; width < 140; width++ {
		for height := minHeight; height < 30; height++ {
			lines := b.frame(boardStart.Add(time.Minute), canvas{width: width, height: height, colour: width%2 == 0})
			require.Less(t, len(lines), height, "width %d height %d", width, height)
			for _, line := range lines {
				require.Less(t, text.StringWidthWithoutEscSequences(line), width, "width %d height %d: %q", width, height, line)
			}
		}
	}
}

func TestBoardShowsNothingAClientSaidUnescaped(t *testing.T) {
	frame := strings.Join(boardHalfWay().frame(boardStart, canvas{width: 200, height: 24}), "\n")
	assert.Contains(t, frame, `no licence\x1b[2J`)
	assert.NotContains(t, frame, "\x1b")
}

func TestBoardSignIsThatOfTheBestTechnique(t *testing.T) {
	plan := boardPlan("sbcl@bookworm/cffi")
	first, second := plan.Clients[0].Cells[0], plan.Clients[0].Cells[1]
	require.Equal(t, first.Feature, second.Feature)
	b := newBoard("", plan, feature.All(), boardStart)
	assert.Equal(t, signOpen, b.rows[0].sign(first.Feature))
	b.apply(matrix.Event{Kind: matrix.EventAttempting, Cell: first, Time: boardStart})
	assert.Equal(t, signAttempt, b.rows[0].sign(first.Feature))
	b.apply(verdictEvent(first, matrix.Crash))
	assert.Equal(t, signOpen, b.rows[0].sign(first.Feature), "a technique is still to come, which may pass")
	b.apply(verdictEvent(second, matrix.Pass))
	assert.Equal(t, signs[matrix.Pass], b.rows[0].sign(first.Feature))
}

func TestEveryOutcomeHasASign(t *testing.T) {
	seen := map[string]bool{}
	for _, outcome := range matrix.Outcomes {
		require.Contains(t, signs, outcome)
		assert.False(t, seen[signs[outcome].mark], "%s has a sign of its own", outcome)
		seen[signs[outcome].mark] = true
	}
}

// testScreen draws into a buffer, on a terminal whose width can be changed.
func testScreen(out *bytes.Buffer, width *int) *screen {
	return &screen{
		out: out, board: boardHalfWay(), now: func() time.Time { return boardStart }, stop: make(chan struct{}),
		size: func() (int, int, error) {
			if *width == 0 {
				return 0, 0, errors.New("no terminal")
			}
			return *width, 24, nil
		},
	}
}

func TestScreenDrawsOverItsLastFrame(t *testing.T) {
	var out bytes.Buffer
	width := 80
	s := testScreen(&out, &width)
	s.draw()
	lines := strings.Count(out.String(), "\n")
	out.Reset()
	s.draw()
	assert.True(t, strings.HasPrefix(out.String(), "\r\x1b["+strconv.Itoa(lines)+"A"), "%q", out.String())

	// Half as wide, every line that was longer takes another row.
	long := 0
	for _, used := range s.drawn {
		if used > 40 {
			long++
		}
	}
	require.Positive(t, long)
	width = 40
	out.Reset()
	s.draw()
	assert.True(t, strings.HasPrefix(out.String(), "\r\x1b["+strconv.Itoa(lines+long)+"A"), "%q", out.String())
}

func TestScreenGivesTheCursorBack(t *testing.T) {
	for name, complete := range map[string]bool{"complete": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			width := 80
			s := testScreen(&out, &width)
			s.draw()
			s.Close(complete)
			assert.True(t, strings.HasSuffix(out.String(), "\x1b[?25h"))
			s.Close(complete)
			s.Say("later")
			assert.True(t, strings.HasSuffix(out.String(), "\x1b[?25hlater\n"), "after it, lines are only lines")
		})
	}
}

func TestATerminalThatNobodyLooksAtIsNotPainted(t *testing.T) {
	for want, environments := range map[bool][]map[string]string{
		true:  {nil, {"TERM": "xterm"}, {"CI": "", "TERM": "xterm"}, {"CI": "false"}},
		false: {{"TERM": "dumb"}, {"CI": "true", "TERM": "xterm"}, {"CI": "1"}},
	} {
		for _, env := range environments {
			assert.Equal(t, want, paintable(func(name string) string { return env[name] }), "%v", env)
		}
	}
}

func TestTerminalStyle(t *testing.T) {
	for name, test := range map[string]struct {
		env           map[string]string
		colour, ascii bool
	}{
		"UTF-8 by LANG":            {map[string]string{"LANG": "de_DE.UTF-8"}, true, false},
		"LC_ALL wins over LANG":    {map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, true, true},
		"nothing set is ASCII":     {nil, true, true},
		"NO_COLOR is honoured":     {map[string]string{"NO_COLOR": "1", "LANG": "C.utf8"}, false, false},
		"an empty NO_COLOR is not": {map[string]string{"NO_COLOR": "", "LANG": "C.utf8"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			style := terminalStyle(func(name string) string { return test.env[name] })
			assert.Equal(t, test.colour, style.colour)
			assert.Equal(t, test.ascii, style.ascii)
		})
	}
}

func TestLineWriterHandsOnLines(t *testing.T) {
	var lines []string
	w := &lineWriter{each: func(line string) { lines = append(lines, line) }}
	for _, piece := range []string{"one\ntw", "o\rthree\r\n", "\n", strings.Repeat("x", maxLogLine+1), "\n"} {
		n, err := w.Write([]byte(piece))
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	assert.Equal(t, []string{"one", "two", "three", strings.Repeat("x", maxLogLine), "x"}, lines)
}
