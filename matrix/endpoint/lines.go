package endpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// errLineTooLong is a line longer than the reader's limit. The line has been
// skipped: the next read yields the next one.
var errLineTooLong = errors.New("the line is too long")

// errLineCut is a last line without its newline.
var errLineCut = errors.New("the stream ended inside a line")

// lineReader yields lines in bounded memory, whatever arrives.
type lineReader struct {
	reader *bufio.Reader
	limit  int
	line   []byte
}

func newLineReader(r io.Reader, limit int) *lineReader {
	return &lineReader{reader: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next line without its newline; it is valid until the call
// after. io.EOF is a clean end.
func (l *lineReader) next() ([]byte, error) {
	l.line = l.line[:0]
	skipped := 0
	for {
		piece, err := l.reader.ReadSlice('\n')
		if ended := err == nil; ended {
			piece = piece[:len(piece)-1]
		}
		if skipped > 0 || len(l.line)+len(piece) > l.limit {
			skipped += len(l.line) + len(piece)
			l.line = l.line[:0]
		} else {
			l.line = append(l.line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil && skipped > 0:
			return nil, fmt.Errorf("%w: %d bytes, at most %d", errLineTooLong, skipped, l.limit)
		case err == nil:
			return l.line, nil
		case errors.Is(err, io.EOF) && len(l.line)+skipped > 0:
			return nil, errLineCut
		default:
			return nil, err
		}
	}
}
