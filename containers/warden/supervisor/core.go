//go:build linux

package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
)

// coreChunkBytes is how much of a core file goes into one line.
const coreChunkBytes = 4 << 20

// sendCore sends the core file of a probe that a signal killed, or says why
// there is none.
func sendCore(scratch string, status unix.WaitStatus, send func(warden.CoreChunk) error) (missing string) {
	pattern, err := readProc("/proc/sys/kernel/core_pattern")
	if err != nil {
		return fmt.Sprintf("where the kernel writes core files is not known: %v", err)
	}
	name := strings.TrimSpace(string(pattern))
	switch {
	case !status.CoreDump():
		return fmt.Sprintf("the kernel wrote none, as for a signal that leaves none, a limit of 0 or a full disk (signal %s, core_pattern %q)", signalName(status.Signal()), name)
	case strings.ContainsAny(name, "|/"):
		return fmt.Sprintf("the kernel gave it away: this machine's /proc/sys/kernel/core_pattern is %q, and one is found only where that is a file's name alone, such as core", name)
	}
	file, err := openCore(scratch, name)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if err := sendData(file, send); err != nil {
		return fmt.Sprintf("sending it: %v", err)
	}
	return ""
}

// openCore opens the youngest file whose name the pattern can have made
// (core(5)), for a probe can leave others.
func openCore(scratch, pattern string) (*os.File, error) {
	fixed, _, _ := strings.Cut(pattern, "%")
	entries, err := os.ReadDir(scratch)
	if err != nil {
		return nil, fmt.Errorf("look for it: %w", err)
	}
	var youngest os.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(entry.Name(), fixed) {
			continue
		}
		if youngest == nil || info.ModTime().After(youngest.ModTime()) {
			youngest = info
		}
	}
	if youngest == nil {
		return nil, fmt.Errorf("the kernel wrote one, and not into the probe's folder: it had another one then")
	}
	file, err := os.OpenFile(filepath.Join(scratch, youngest.Name()), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open it: %w", err)
	}
	return file, nil
}

// sendData sends a file without its holes, and then its size.
func sendData(file *os.File, send func(warden.CoreChunk) error) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	buffer := make([]byte, coreChunkBytes)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(file.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(file.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for at = data; at < hole; {
			n, err := file.ReadAt(buffer[:min(hole-at, coreChunkBytes)], at)
			if n == 0 {
				return err
			}
			if err := send(warden.CoreChunk{Offset: at, Data: buffer[:n]}); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return send(warden.CoreChunk{Offset: size})
}
