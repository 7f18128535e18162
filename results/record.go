package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// syncEvery is how much of a run a power cut may take. A kill of the process
// takes nothing: a line is with the kernel when Append returns.
const syncEvery = time.Second

// keptBuffer is the largest encoding buffer that is kept for the next line, in
// bytes, so that one huge line does not stay in memory for the rest of a run.
const keptBuffer = 1 << 20

// Why a record can't be written to.
var (
	// ErrLocked: another process writes it.
	ErrLocked = errors.New("another process writes this record")
	// ErrComplete: the run has its footer; there is nothing to resume.
	ErrComplete = errors.New("the run is complete")
)

// recordFile is what a Record needs of its file.
type recordFile interface {
	Write(p []byte) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Record is a run's record, open for appending. It is a matrix.Recorder, for
// any number of goroutines.
type Record struct {
	path string

	mu   sync.Mutex // guards what follows
	file recordFile
	run  string
	size int64 // bytes of whole lines
	// pending are whole lines that are not in the file yet.
	pending []byte
	dirty   bool  // lines were written since the last sync
	broken  error // why nothing more may be written

	stop    chan struct{}
	stopped chan struct{}
}

var _ matrix.Recorder = (*Record)(nil)

// OpenRecord creates the record of a new run, and the folder it is in. A file
// that is there already is an error (os.ErrExist).
func OpenRecord(path string) (*Record, error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of a record: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("creating a record: %w", err)
	}
	if err := lock(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := syncFolder(folder); err != nil {
		return nil, errors.Join(fmt.Errorf("creating a record: %w", err), file.Close())
	}
	return startRecord(path, file, 0, ""), nil
}

// ResumeRecord opens the record of an unfinished run, cuts off a last line
// that was torn (State.Torn says how much), and tells what is in it. A record
// that is damaged before its last line, that another version made
// (*VersionError), that is complete (ErrComplete) or that another process
// writes (ErrLocked) is left as it is.
func ResumeRecord(path string) (*Record, *State, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("resuming a run: %w", err)
	}
	fail := func(err error) (*Record, *State, error) {
		return nil, nil, errors.Join(err, file.Close())
	}
	if err := lock(file); err != nil {
		return fail(err)
	}
	state, err := Inspect(path)
	if err != nil {
		return fail(fmt.Errorf("resuming a run: %w", err))
	}
	if state.Header.Run == "" {
		return fail(fmt.Errorf("resuming a run: %s has no header, so that nothing was recorded; start a new run", path))
	}
	if state.Footer != nil {
		return fail(fmt.Errorf("%w: %s has its footer, of %s; start a new run", ErrComplete, path, state.Footer.Finished.Format(time.RFC3339)))
	}
	if state.Torn > 0 {
		if err := file.Truncate(state.Size); err != nil {
			return fail(fmt.Errorf("cutting a torn last line off %s: %w", path, err))
		}
	}
	return startRecord(path, file, state.Size, state.Header.Run), &state, nil
}

func startRecord(path string, file recordFile, size int64, run string) *Record {
	record := &Record{path: path, file: file, size: size, run: run, stop: make(chan struct{}), stopped: make(chan struct{})}
	go record.syncLoop()
	return record
}

// lock takes the file for this process, until it is closed or the process dies.
func lock(file *os.File) error {
	switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: %s; wait for it to end, or stop it", ErrLocked, file.Name())
	case err != nil:
		return fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return nil
}

// syncFolder makes a new file's name survive a power cut.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// jsonBuffer is an encoder with a buffer that is used again.
type jsonBuffer struct {
	bytes.Buffer
	encoder *json.Encoder
}

var jsonBuffers = sync.Pool{New: func() any {
	buffer := &jsonBuffer{}
	buffer.encoder = json.NewEncoder(&buffer.Buffer)
	buffer.encoder.SetEscapeHTML(false)
	return buffer
}}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// encodeLine calls use with the line as it stands in a record, with its
// newline; the bytes are only valid until use returns.
func encodeLine(line matrix.Line, use func([]byte) error) error {
	buffer := lineBuffers.Get().(*[]byte)
	data, err := appendLine((*buffer)[:0], line)
	if err != nil {
		return err
	}
	err = use(append(data, '\n'))
	if cap(data) <= keptBuffer {
		*buffer = data
		lineBuffers.Put(buffer)
	}
	return err
}

// Append writes the line, whole or not at all. When it returns without an error
// the line survives the death of the process; within a second, that of the
// machine. A verdict only joins the next line that is not one, or the next
// sync: it follows from its attempts, so that a resumed run that lost it comes
// to it again, and a write for each would be half of all writes. After an error
// the record holds the lines before it and no part of this one.
func (r *Record) Append(line matrix.Line) error {
	if problem := checkLine(line); problem != "" {
		return fmt.Errorf("appending to %s: %s", r.path, problem)
	}
	return encodeLine(line, func(data []byte) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.broken != nil {
			return r.broken
		}
		if line.Type == matrix.LineHeader {
			r.run = line.Header.Run
		}
		before := len(r.pending)
		r.pending = append(r.pending, data...)
		if line.Type == matrix.LineVerdict && len(r.pending) < keptBuffer {
			return nil
		}
		if err := r.write(); err != nil {
			r.pending = r.pending[:before]
			return err
		}
		return nil
	})
}

// write writes what is pending. The caller holds mu.
func (r *Record) write() error {
	if len(r.pending) == 0 {
		return nil
	}
	written, err := r.file.Write(r.pending)
	if err != nil {
		return r.writeFailed(int64(len(r.pending)), written, err)
	}
	r.size += int64(len(r.pending))
	r.dirty = true
	r.pending = r.pending[:0]
	if cap(r.pending) > keptBuffer {
		r.pending = nil
	}
	return nil
}

// writeFailed takes a half-written line off again and says what to do. If that
// fails too, nothing more is written: a line after the half one would make the
// record unreadable, while a torn last line is cut off on resume.
func (r *Record) writeFailed(needed int64, written int, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = fmt.Errorf("appending to %s: disk is full: %d bytes needed; free some and run again with --resume %s, or keep a new run on another disk with --out: %w", r.path, needed, r.run, err)
	default:
		err = fmt.Errorf("appending to %s: %w; what was recorded is kept: mend the cause and run again with --resume %s", r.path, err, r.run)
	}
	if written > 0 {
		if cut := r.file.Truncate(r.size); cut != nil {
			err = errors.Join(err, fmt.Errorf("taking off the half-written line: %w", cut))
			r.broken = err
		}
	}
	return err
}

// syncLoop syncs every second what was written since.
func (r *Record) syncLoop() {
	defer close(r.stopped)
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			r.sync()
		}
	}
}

// sync syncs without holding the lock, so that a slow disk does not hold up
// the run. After a failed sync the kernel may have dropped what was not yet on
// the disk (fsync(2)), so that nothing more is written.
func (r *Record) sync() {
	r.mu.Lock()
	if r.broken == nil {
		// What could not be written stays pending: the next Append says why.
		_ = r.write()
	}
	dirty := r.dirty && r.broken == nil
	r.dirty = false
	r.mu.Unlock()
	if !dirty {
		return
	}
	if err := r.file.Sync(); err != nil {
		r.mu.Lock()
		r.broken = fmt.Errorf("syncing %s: %w; check the disk, then run again with --resume %s", r.path, err, r.run)
		r.mu.Unlock()
	}
}

// Close syncs and closes the record, and lets another process have it. It
// returns what a sync in the background met, too.
func (r *Record) Close() error {
	r.mu.Lock()
	if errors.Is(r.broken, os.ErrClosed) {
		r.mu.Unlock()
		return r.broken
	}
	r.mu.Unlock()
	close(r.stop)
	<-r.stopped
	r.sync()
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.broken
	if err == nil {
		err = r.write() // empty, unless the sync could not write it either
	}
	r.broken = fmt.Errorf("record %s: %w", r.path, os.ErrClosed)
	if closeError := r.file.Close(); closeError != nil {
		err = errors.Join(err, fmt.Errorf("closing %s: %w", r.path, closeError))
	}
	return err
}
