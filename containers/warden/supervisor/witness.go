//go:build linux

package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// mostWitnessCalls is the witness's own cap. A probe of several processes may
// write more; the rest is counted as lost.
const mostWitnessCalls = 100_000

// witnessBytes of its file are read: well above the cap's lines of at most 96
// bytes, of a few processes.
const witnessBytes = 64 << 20

// witnessLine is the most of one line that is held: the folder is the probe's,
// and what it wrote there itself may have no end.
const witnessLine = 4096

// readWitness reads what the witness library wrote: one call a line,
//
//	call peer thread 0xADDRESS length result
//
// and, past its cap, lines "lost N", of which the last holds. A last line
// without its newline was cut off with the probe and is left out.
func readWitness(path, library string) (calls []matrix.WitnessCall, lost int64, err error) {
	// The folder is the probe's: what has that name may be no file at all, and
	// opening it must neither wait nor lead elsewhere.
	file, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("the witness %s left no file %s: it was not loaded, which a static program or one of another architecture does to a preloaded library", library, path)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read what the witness saw: %w", err)
	}
	defer file.Close()
	reader := bufio.NewReaderSize(io.LimitReader(file, witnessBytes), witnessLine)
	over := int64(0)
	for number := 1; ; number++ {
		read, err := reader.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return calls, lost + over, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, 0, fmt.Errorf("%s, line %d: %.80q: longer than %d bytes", path, number, read, witnessLine)
		case err != nil:
			return nil, 0, fmt.Errorf("read what the witness saw: %w", err)
		}
		line := strings.TrimSuffix(string(read), "\n")
		if count, ok := strings.CutPrefix(line, "lost "); ok {
			if lost, err = strconv.ParseInt(count, 10, 64); err != nil {
				return nil, 0, fmt.Errorf("%s, line %d: %.80q", path, number, line)
			}
			continue
		}
		call, err := parseWitnessCall(line)
		if err != nil {
			return nil, 0, fmt.Errorf("%s, line %d: %.80q: %w", path, number, line, err)
		}
		if len(calls) == mostWitnessCalls {
			over++
			continue
		}
		calls = append(calls, call)
	}
}

func parseWitnessCall(line string) (matrix.WitnessCall, error) {
	words := strings.Split(line, " ")
	if len(words) != 6 {
		return matrix.WitnessCall{}, fmt.Errorf("%d words instead of 6", len(words))
	}
	switch words[0] {
	case "send", "sendto", "sendmsg", "write", "writev":
	default:
		return matrix.WitnessCall{}, fmt.Errorf("unknown call %.80q", words[0])
	}
	peer, peerErr := strconv.ParseUint(words[1], 10, 16)
	thread, threadErr := strconv.ParseInt(words[2], 10, 32)
	address, addressErr := strconv.ParseUint(strings.TrimPrefix(words[3], "0x"), 16, 64)
	length, lengthErr := strconv.ParseInt(words[4], 10, 64)
	result, resultErr := strconv.ParseInt(words[5], 10, 64)
	return matrix.WitnessCall{
			Call: words[0], Peer: int(peer), Thread: int(thread), Address: address, Length: length, Result: result,
		}, errors.Join(wrongNumber("peer", peerErr), wrongNumber("thread", threadErr), wrongNumber("address", addressErr),
			wrongNumber("length", lengthErr), wrongNumber("result", resultErr))
}

// wrongNumber is strconv's error without the text it quotes, which has the
// probe's length.
func wrongNumber(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, errors.Unwrap(err))
}
