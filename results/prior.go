package results

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Prior finds the attempts of earlier runs in their records. It keeps an index
// of 40 bytes for each, and reads the attempt when it is asked for. It is a
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
	offset int64
	length int32
	record int32
}

var _ matrix.Prior = (*Prior)(nil)

// PriorOf indexes the attempts in the record of the run that is being resumed
// ("" for a new run) and in those of earlier runs, finished or not. An attempt
// that one run reused from another is found once. An earlier record that can't
// be read, or whose controls were misjudged, is left out, and Skipped says so: its
// attempts are made anew. A resumed one that can't be read is an error.
func PriorOf(resumed string, earlier ...string) (*Prior, error) {
	prior := &Prior{}
	if resumed != "" {
		if err := prior.add(resumed, true); err != nil {
			return nil, errors.Join(err, prior.Close())
		}
	}
	for _, path := range earlier {
		if path == resumed {
			continue
		}
		if err := prior.add(path, false); err != nil {
			prior.skipped = append(prior.skipped, err)
		}
	}
	slices.SortFunc(prior.index, func(a, b located) int {
		return cmp.Or(compareNames(a.name, b.name), cmp.Compare(a.record, b.record), cmp.Compare(a.offset, b.offset))
	})
	return prior, nil
}

func compareNames(a, b xxh3.Uint128) int {
	return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo))
}

// attemptName is what attempts are found by.
func attemptName(client matrix.Client, key string) xxh3.Uint128 {
	return xxh3.HashString128(client.String() + "\x00" + key)
}

// add indexes one record; of a record with an error nothing stays.
func (p *Prior) add(path string, resumed bool) (err error) {
	before := len(p.index)
	reader, err := newLineReader(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.index = p.index[:before]
			reader.close()
		}
	}()
	record := priorRecord{file: reader.file, resumed: resumed}
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch line.Type {
		case matrix.LineHeader:
			record.run = line.Header.Run
		case matrix.LineFooter:
			if i := slices.IndexFunc(line.Footer.Controls, matrix.ControlResult.Misread); i >= 0 {
				return fmt.Errorf("%s: the run is invalid: its control %s", path, line.Footer.Controls[i].Text())
			}
		case matrix.LineAttempt:
			p.index = append(p.index, located{
				name:   attemptName(line.Attempt.Evidence.Cell.Client(), line.Attempt.Key),
				offset: reader.start, length: int32(len(reader.raw)), record: int32(len(p.records)),
			})
		}
	}
	p.records = append(p.records, record)
	return nil
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
		// The hash is no proof, and a run that reused an attempt has recorded
		// it again.
		if attempt.Key != key || attempt.Evidence.Cell.Client() != cell.Client() || slices.ContainsFunc(attempts, func(known matrix.Attempt) bool { return same(known, attempt) }) {
			continue
		}
		attempts = append(attempts, attempt)
	}
	return attempts, nil
}

// same tells whether two recorded attempts of a cell are one that was made
// once.
func same(a, b matrix.Attempt) bool {
	return a.Started.Equal(b.Started) && a.Evidence.Seed == b.Evidence.Seed && a.Duration == b.Duration
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
