package results

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Prior finds the attempts of earlier runs in their records. It keeps an index
// of 56 bytes for each, and reads the attempt when it is asked for. It is a
// matrix.Prior, for any number of goroutines.
type Prior struct {
	records []priorRecord
	index   []located // sorted by name, then record, then offset
	skipped []error
}

type priorRecord struct {
	file    *os.File
	run     string
	resumed bool
}

// located is where an attempt of a client under a key stands.
type located struct {
	name   xxh3.Uint128
	made   made
	offset int64
	length int32
	record int32
}

// made tells an attempt from the others of its client under its key: a run that
// reused it has recorded it again.
type made struct {
	started, duration int64 // Unix time and length in nanoseconds
	seed              uint64
}

var _ matrix.Prior = (*Prior)(nil)

// PriorOf indexes the attempts in the record of the run that is being resumed
// ("" for a new run) and in those of earlier runs, finished or not. An attempt
// that one run reused from another is found once. An earlier record that can't
// be read, or whose controls were misjudged, is left out, and Skipped says so: its
// attempts are made anew. A resumed one that can't be read is an error.
func PriorOf(resumed string, earlier ...string) (*Prior, error) {
	var paths []string
	if resumed != "" {
		paths = append(paths, resumed)
	}
	for _, path := range earlier {
		if path != resumed {
			paths = append(paths, path)
		}
	}
	records, attempts, failures := make([]priorRecord, len(paths)), make([][]located, len(paths)), make([]error, len(paths))
	var reading errgroup.Group
	reading.SetLimit(runtime.GOMAXPROCS(0))
	for i, path := range paths {
		reading.Go(func() error {
			records[i], attempts[i], failures[i] = indexed(path)
			return nil
		})
	}
	_ = reading.Wait()

	prior := &Prior{}
	var unreadable error
	for i, path := range paths {
		switch {
		case failures[i] == nil:
			records[i].resumed = path == resumed
			prior.add(records[i], attempts[i])
		case path == resumed:
			unreadable = failures[i]
		default:
			prior.skipped = append(prior.skipped, failures[i])
		}
	}
	if unreadable != nil {
		return nil, errors.Join(unreadable, prior.Close())
	}
	prior.sort()
	return prior, nil
}

// add adds a record and the attempts in it.
func (p *Prior) add(record priorRecord, attempts []located) {
	for _, attempt := range attempts {
		attempt.record = int32(len(p.records))
		p.index = append(p.index, attempt)
	}
	p.records = append(p.records, record)
}

// sort makes the index one to search in, with each attempt once, where it stands first.
func (p *Prior) sort() {
	place := func(a, b located) int {
		return cmp.Or(cmp.Compare(a.record, b.record), cmp.Compare(a.offset, b.offset))
	}
	slices.SortFunc(p.index, func(a, b located) int {
		return cmp.Or(compareNames(a.name, b.name), a.made.compare(b.made), place(a, b))
	})
	p.index = slices.CompactFunc(p.index, func(a, b located) bool { return a.name == b.name && a.made == b.made })
	slices.SortFunc(p.index, func(a, b located) int {
		return cmp.Or(compareNames(a.name, b.name), place(a, b))
	})
}

func compareNames(a, b xxh3.Uint128) int {
	return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo))
}

// attemptName is what attempts are found by.
func attemptName(client matrix.Client, key string) xxh3.Uint128 {
	return xxh3.HashString128(client.String() + "\x00" + key)
}

func (m made) compare(other made) int {
	return cmp.Or(cmp.Compare(m.started, other.started), cmp.Compare(m.duration, other.duration), cmp.Compare(m.seed, other.seed))
}

// indexed indexes one record, which stays open.
func indexed(path string) (record priorRecord, attempts []located, err error) {
	reader, err := newLineReader(path)
	if err != nil {
		return priorRecord{}, nil, err
	}
	defer func() {
		if err != nil {
			reader.close()
		}
	}()
	record.file = reader.file
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			return record, attempts, nil
		}
		if err != nil {
			return priorRecord{}, nil, err
		}
		switch line.Type {
		case matrix.LineHeader:
			record.run = line.Header.Run
		case matrix.LineFooter:
			if i := slices.IndexFunc(line.Footer.Controls, matrix.ControlResult.Misread); i >= 0 {
				return priorRecord{}, nil, fmt.Errorf("%s: the run is invalid: its control %s", path, line.Footer.Controls[i].Text())
			}
		case matrix.LineAttempt:
			attempts = append(attempts, located{
				name:   attemptName(line.Attempt.Evidence.Cell.Client(), line.Attempt.Key),
				made:   made{line.Attempt.Started.UnixNano(), int64(line.Attempt.Duration), line.Attempt.Evidence.Seed},
				offset: reader.start, length: int32(len(reader.raw)),
			})
		}
	}
}

// Skipped says which earlier records could not be read, and why.
func (p *Prior) Skipped() []error { return p.skipped }

// Attempts returns the recorded attempts of the cell's client under the key, those
// of the resumed run first. Traced ones are among them.
func (p *Prior) Attempts(cell matrix.Cell, key string) ([]matrix.Attempt, error) {
	name := attemptName(cell.Client(), key)
	first, found := slices.BinarySearchFunc(p.index, name, func(at located, name xxh3.Uint128) int { return compareNames(at.name, name) })
	if !found {
		return nil, nil
	}
	var attempts []matrix.Attempt
	for _, at := range p.index[first:] {
		if at.name != name {
			break
		}
		attempt, err := p.read(at)
		if err != nil {
			return nil, err
		}
		// The hash is no proof.
		if attempt.Key != key || attempt.Evidence.Cell.Client() != cell.Client() {
			continue
		}
		attempts = append(attempts, attempt)
	}
	return attempts, nil
}

func (p *Prior) read(at located) (matrix.Attempt, error) {
	record := p.records[at.record]
	raw := make([]byte, at.length)
	if _, err := record.file.ReadAt(raw, at.offset); err != nil {
		return matrix.Attempt{}, fmt.Errorf("reading an attempt of run %s: %w", record.run, err)
	}
	var line matrix.Line
	if err := json.Unmarshal(raw, &line); err != nil || line.Attempt == nil {
		return matrix.Attempt{}, fmt.Errorf("reading an attempt of run %s at byte %d of %s, which was one when the run began: %w", record.run, at.offset, record.file.Name(), cmp.Or(err, errors.New("another line")))
	}
	attempt := *line.Attempt
	switch {
	case record.resumed:
		attempt.ReusedFrom = ""
	case attempt.ReusedFrom == "":
		attempt.ReusedFrom = record.run
	}
	return attempt, nil
}

// Close closes the records.
func (p *Prior) Close() error {
	var err error
	for _, record := range p.records {
		err = errors.Join(err, record.file.Close())
	}
	return err
}
