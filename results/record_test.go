package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// readAll gathers a record's lines up to the first error.
func readAll(path string) ([]matrix.Line, error) {
	var lines []matrix.Line
	for line, err := range ReadRecord(path) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// plain is lines as they are equal after a way through JSON: 4 and
// json.Number("4") are the same observation.
func plain(t *testing.T, lines []matrix.Line) string {
	t.Helper()
	data, err := json.Marshal(lines)
	require.NoError(t, err)
	return string(data)
}

func TestARecordGivesBackWhatWasAppended(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	read, err := readAll(writeRecord(t, lines))
	require.NoError(t, err)
	assert.Equal(t, plain(t, lines), plain(t, read))
}

func TestEveryAppendedLineFitsTheSchema(t *testing.T) {
	path := writeRecord(t, sampleLines(t, matrix.Selection{Features: []string{"callback"}}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for i, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		require.NoError(t, schema.CheckLine(schema.Record, path, i+1, line))
	}
}

func TestAnExistingRecordIsNotOverwritten(t *testing.T) {
	path := writeRecord(t, sampleLines(t, matrix.Selection{})[:2])
	_, err := OpenRecord(path)
	require.ErrorIs(t, err, os.ErrExist)
}

func TestTwoWritersOfOneRecordAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.jsonl")
	record, err := OpenRecord(path)
	require.NoError(t, err)
	require.NoError(t, record.Append(sampleLines(t, matrix.Selection{})[0]))
	_, _, err = ResumeRecord(path)
	require.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, path)
	require.NoError(t, record.Close())
	again, _, err := ResumeRecord(path)
	require.NoError(t, err, "a closed record is free")
	require.NoError(t, again.Close())
}

func TestResume(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	t.Run("goes on after the last whole line", func(t *testing.T) {
		path := writeRecord(t, lines[:10])
		record, state, err := ResumeRecord(path)
		require.NoError(t, err)
		assert.Equal(t, lines[0].Header.Run, state.Header.Run)
		assert.Nil(t, state.Footer)
		assert.Zero(t, state.Torn)
		for _, line := range lines[10:] {
			require.NoError(t, record.Append(line))
		}
		require.NoError(t, record.Close())
		read, err := readAll(path)
		require.NoError(t, err)
		assert.Equal(t, plain(t, lines), plain(t, read))
	})
	t.Run("cuts a torn last line off, wherever the kill came", func(t *testing.T) {
		whole, err := os.ReadFile(writeRecord(t, lines[:6]))
		require.NoError(t, err)
		lastStart := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
		for _, cut := range []int{1, 2, 10, (len(whole) - lastStart) / 2, len(whole) - lastStart - 1} {
			path := filepath.Join(t.TempDir(), "record.jsonl")
			require.NoError(t, os.WriteFile(path, whole[:lastStart+cut], 0o644))
			record, state, err := ResumeRecord(path)
			require.NoError(t, err)
			assert.EqualValues(t, cut, state.Torn)
			require.NoError(t, record.Append(lines[5]))
			require.NoError(t, record.Close())
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(whole), string(got))
		}
	})
	t.Run("refuses a complete run", func(t *testing.T) {
		path := writeRecord(t, lines)
		_, _, err := ResumeRecord(path)
		require.ErrorIs(t, err, ErrComplete)
	})
	t.Run("refuses another version, and names both", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "record.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(`{"type":"header","header":{"schema":"zmqmatrix/record/v9","tool":"v9.1","unheard":1}}`+"\n"), 0o644))
		_, _, err := ResumeRecord(path)
		var version *VersionError
		require.ErrorAs(t, err, &version)
		for _, part := range []string{path + ":1: header.schema", "zmqmatrix/record/v9", matrix.RecordSchema, "v9.1"} {
			assert.ErrorContains(t, err, part)
		}
	})
	t.Run("leaves a damaged record as it is", func(t *testing.T) {
		path := writeRecord(t, lines[:4])
		appendTo(t, path, `{"type":"verdict"}`+"\n"+`{"type":"ver`)
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		_, _, err = ResumeRecord(path)
		require.Error(t, err)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(before), string(after))
	})
	t.Run("refuses a record without a header", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "record.jsonl")
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		_, _, err := ResumeRecord(path)
		require.ErrorContains(t, err, "no header")
	})
}

func TestDamageIsNamedWithFileLineAndField(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	change := func(old, new string) func(string) string {
		return func(line string) string {
			changed := strings.Replace(line, old, new, 1)
			if changed == line {
				return "the change did not apply: " + old
			}
			return changed
		}
	}
	for name, test := range map[string]struct {
		line   int // 0-based
		change func(string) string
		want   []string
	}{
		"an unknown key":          {2, change(`"number":1`, `"nummer":1,"number":1`), []string{"attempt.nummer", "unknown key"}},
		"a missing field":         {2, change(`"number":1,`, ``), []string{"attempt.number", "missing"}},
		"a missing zero":          {3, change(`"passes":1,`, ``), []string{"verdict.passes", "missing"}},
		"a wrong type":            {2, change(`"number":1`, `"number":"1"`), []string{"attempt.number"}},
		"an unknown outcome":      {3, change(`"outcome":"pass"`, `"outcome":"passed"`), []string{"verdict.outcome", "passed"}},
		"an unknown line type":    {3, change(`"type":"verdict"`, `"type":"opinion"`), []string{"type", "opinion"}},
		"a line of nothing":       {3, func(string) string { return "" }, nil},
		"no JSON":                 {3, func(string) string { return "garbage" }, nil},
		"two things in a line":    {1, change(`"type":"client"`, `"type":"client","verdict":{}`), []string{"verdict"}},
		"a second header":         {1, func(string) string { return "" + mustJSON(lines[0]) }, []string{"second header"}},
		"a first line of attempt": {0, func(string) string { return mustJSON(lines[2]) }, []string{"header"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeRecord(t, lines[:6])
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			text := strings.Split(string(data), "\n")
			text[test.line] = test.change(text[test.line])
			require.NoError(t, os.WriteFile(path, []byte(strings.Join(text, "\n")), 0o644))
			read, err := readAll(path)
			require.Error(t, err)
			assert.Len(t, read, test.line, "lines before the damaged one are yielded")
			assert.ErrorContains(t, err, fmt.Sprintf("%s:%d:", path, test.line+1))
			for _, part := range test.want {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}

func mustJSON(line matrix.Line) string {
	data, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func TestAValidLineOfAnotherWriterIsRead(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	path := writeRecord(t, lines[:3])
	var generic map[string]any
	require.NoError(t, json.Unmarshal([]byte(mustJSON(lines[3])), &generic))
	reordered, err := json.Marshal(generic) // keys in alphabetical order
	require.NoError(t, err)
	appendTo(t, path, string(reordered)+"\n")
	read, err := readAll(path)
	require.NoError(t, err)
	require.Len(t, read, 4)
	assert.Equal(t, lines[3].Verdict, read[3].Verdict)
}

// failingFile is a disk that takes only so many bytes.
type failingFile struct {
	bytes.Buffer
	room     int
	fault    error
	cutFault error
	syncs    chan struct{}
	syncErr  error
}

func (f *failingFile) Write(data []byte) (int, error) {
	if len(data) > f.room {
		n, _ := f.Buffer.Write(data[:f.room])
		f.room = 0
		return n, f.fault
	}
	f.room -= len(data)
	return f.Buffer.Write(data)
}

func (f *failingFile) Truncate(size int64) error {
	if f.cutFault != nil {
		return f.cutFault
	}
	f.Buffer.Truncate(int(size))
	return nil
}

func (f *failingFile) Sync() error {
	if f.syncs != nil {
		f.syncs <- struct{}{}
	}
	return f.syncErr
}

func (f *failingFile) Close() error { return nil }

func TestAFullDisk(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	first := len(mustJSON(lines[0])) + 1
	t.Run("says what is needed and leaves no half line", func(t *testing.T) {
		file := &failingFile{room: first + 20, fault: syscall.ENOSPC}
		record := startRecord("record.jsonl", file, 0, "")
		require.NoError(t, record.Append(lines[0]))
		err := record.Append(lines[1])
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.ErrorContains(t, err, fmt.Sprintf("disk is full: %d bytes needed; free some and run again with --resume %s, or keep a new run on another disk with --out", len(mustJSON(lines[1]))+1, lines[0].Header.Run))
		assert.Equal(t, mustJSON(lines[0])+"\n", file.String())
		file.room = 1 << 20
		require.NoError(t, record.Append(lines[1]), "with room again the record goes on")
		require.NoError(t, record.Close())
	})
	t.Run("if the half line stays, nothing is written after it", func(t *testing.T) {
		file := &failingFile{room: first + 20, fault: syscall.ENOSPC, cutFault: syscall.EIO}
		record := startRecord("record.jsonl", file, 0, "")
		require.NoError(t, record.Append(lines[0]))
		require.ErrorIs(t, record.Append(lines[1]), syscall.EIO)
		file.room = 1 << 20
		require.ErrorIs(t, record.Append(lines[1]), syscall.EIO)
		require.ErrorIs(t, record.Close(), syscall.EIO)
		assert.Equal(t, first+20, file.Len())
	})
	t.Run("another fault names the run too", func(t *testing.T) {
		file := &failingFile{room: first, fault: io.ErrShortWrite}
		record := startRecord("record.jsonl", file, 0, "")
		require.NoError(t, record.Append(lines[0]))
		err := record.Append(lines[1])
		require.ErrorIs(t, err, io.ErrShortWrite)
		assert.ErrorContains(t, err, "--resume "+lines[0].Header.Run)
		require.NoError(t, record.Close())
	})
}

func TestSync(t *testing.T) {
	line := sampleLines(t, matrix.Selection{})[0]
	t.Run("comes every second, if there is anything to sync, and at Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			file := &failingFile{room: 1 << 20, syncs: make(chan struct{}, 10)}
			record := startRecord("record.jsonl", file, 0, "")
			require.NoError(t, record.Append(line))
			time.Sleep(syncEvery + time.Millisecond) // of the bubble's clock: takes no time
			synctest.Wait()
			assert.Len(t, file.syncs, 1)
			time.Sleep(5 * syncEvery)
			synctest.Wait()
			assert.Len(t, file.syncs, 1, "nothing was written since")
			require.NoError(t, record.Append(line))
			require.NoError(t, record.Close())
			assert.Len(t, file.syncs, 2)
		})
	})
	t.Run("that fails is told at the next Append and at Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			file := &failingFile{room: 1 << 20, syncErr: syscall.EIO}
			record := startRecord("record.jsonl", file, 0, "")
			require.NoError(t, record.Append(line))
			time.Sleep(syncEvery + time.Millisecond)
			synctest.Wait()
			require.ErrorIs(t, record.Append(line), syscall.EIO)
			require.ErrorIs(t, record.Close(), syscall.EIO)
		})
	})
}

func TestAppendAfterCloseIsAnError(t *testing.T) {
	record, err := OpenRecord(filepath.Join(t.TempDir(), "record.jsonl"))
	require.NoError(t, err)
	require.NoError(t, record.Close())
	require.ErrorIs(t, record.Append(sampleLines(t, matrix.Selection{})[0]), os.ErrClosed)
	require.ErrorIs(t, record.Close(), os.ErrClosed)
}

func TestAppendRefusesALineThatHoldsNotWhatItSays(t *testing.T) {
	record, err := OpenRecord(filepath.Join(t.TempDir(), "record.jsonl"))
	require.NoError(t, err)
	require.Error(t, record.Append(matrix.Line{Type: matrix.LineVerdict}))
	require.Error(t, record.Append(matrix.Line{Type: matrix.LineAttempt, Verdict: &matrix.Verdict{}}))
	require.NoError(t, record.Close())
}

func TestConcurrentAppendsDoNotMix(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	path := filepath.Join(t.TempDir(), "record.jsonl")
	record, err := OpenRecord(path)
	require.NoError(t, err)
	require.NoError(t, record.Append(lines[0]))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				assert.NoError(t, record.Append(lines[2]))
			}
		})
	}
	group.Wait()
	require.NoError(t, record.Close())
	read, err := readAll(path)
	require.NoError(t, err)
	assert.Len(t, read, 401)
}

// TestHelperAppendForever is no test: it is the process that the next one
// kills.
func TestHelperAppendForever(t *testing.T) {
	path := os.Getenv("ZMQMATRIX_TEST_APPEND_TO")
	if path == "" {
		return
	}
	lines := sampleLines(t, matrix.Selection{})
	record, err := OpenRecord(path)
	require.NoError(t, err)
	require.NoError(t, record.Append(lines[0]))
	for number := 1; ; number++ {
		attempt := *lines[2].Attempt
		attempt.Number = number
		require.NoError(t, record.Append(matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt}))
		fmt.Fprintf(os.Stderr, "%d\n", number)
	}
}

func TestAKillLosesNothingThatWasAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.jsonl")
	command := exec.Command(os.Args[0], "-test.run=^TestHelperAppendForever$")
	command.Env = append(os.Environ(), "ZMQMATRIX_TEST_APPEND_TO="+path)
	said, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	appended := 0
	for appended < 500 {
		_, err := fmt.Fscan(said, &appended)
		require.NoError(t, err)
	}
	require.NoError(t, command.Process.Kill())
	for {
		if _, err := fmt.Fscan(said, &appended); err != nil {
			break
		}
	}
	var exit *exec.ExitError
	require.True(t, errors.As(command.Wait(), &exit))
	record, state, err := ResumeRecord(path)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, state.Attempts, appended, "an attempt that was appended is lost")
	require.NoError(t, record.Close())
}

func TestVerdictsGoWithTheNextLineOrTheSync(t *testing.T) {
	lines := sampleLines(t, matrix.Selection{})
	verdict := slices.IndexFunc(lines, func(line matrix.Line) bool { return line.Type == matrix.LineVerdict })
	path := filepath.Join(t.TempDir(), "record.jsonl")
	record, err := OpenRecord(path)
	require.NoError(t, err)
	count := func() int {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		return bytes.Count(data, []byte("\n"))
	}
	for _, line := range lines[:verdict] {
		require.NoError(t, record.Append(line))
	}
	assert.Equal(t, verdict, count(), "all but verdicts are there at once")
	for _, line := range lines[verdict : verdict+2] {
		require.NoError(t, record.Append(line))
	}
	assert.Equal(t, verdict+2, count())
	require.NoError(t, record.Append(lines[verdict]))
	require.NoError(t, record.Close())
	assert.Equal(t, verdict+3, count())
}
