// Package release keeps the upstream release files that targets are made from:
// fetched or given by the user, verified by their digest, and kept by it.
package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const (
	// sizeLimit bounds what is read of a file. Releases of Lisp implementations
	// have some dozen MiB; what goes on beyond this is none.
	sizeLimit = 1 << 30
	// dialTime bounds the connection, and name and handshake too. A run without
	// a way out must lose no more than this, once.
	dialTime = 5 * time.Second
	// answerTime bounds the wait for the first byte of an answer.
	answerTime = 15 * time.Second
	// stallTime is how long a download may bring nothing at all.
	stallTime = 30 * time.Second
)

// DigestError is that a file is not the release it was taken for.
type DigestError struct {
	File      string // or URL
	Want, Got string // sha256 in hex
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s is not the release that is wanted: its sha256 is %s, and %s is wanted", e.File, e.Got, e.Want)
}

// Store is a folder of verified files, named by their digests. Its methods may
// be called by several goroutines and processes.
type Store struct {
	folder    string
	say       func(format string, values ...any)
	client    *http.Client
	sizeLimit int64
	stallTime time.Duration

	mutex sync.Mutex
	// unreachable has why a host could not be asked: the next file and the
	// next client would only wait for the same.
	unreachable map[string]error
}

// NewStore is the store in the cache folder, which need not exist. say, if not
// nil, is told of downloads.
func NewStore(cacheDir string, say func(format string, values ...any)) *Store {
	if say == nil {
		say = func(string, ...any) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: dialTime}).DialContext
	transport.TLSHandshakeTimeout = dialTime
	transport.ResponseHeaderTimeout = answerTime
	// The digest is of the file as it is kept, not of what a server makes of it.
	transport.DisableCompression = true
	return &Store{
		folder: filepath.Join(cacheDir, "releases"), say: say, client: &http.Client{Transport: transport},
		sizeLimit: sizeLimit, stallTime: stallTime, unreachable: map[string]error{},
	}
}

// Of is the path of the verified release file that the variant is made from,
// "" if it is made from none. matrix.ErrUnavailable means that it is neither
// here nor to be fetched; the error says what to do.
func (s *Store) Of(ctx context.Context, target matrix.Target, variant matrix.Variant) (string, error) {
	archive := target.ArchiveOf(variant)
	if archive == nil {
		return "", nil
	}
	file, err := s.get(ctx, *archive)
	if errors.Is(err, matrix.ErrUnavailable) {
		name := target.Name
		if !variant.Default {
			name += "@" + variant.Name
		}
		return "", fmt.Errorf("%w; give it with --archive %s=FILE", err, name)
	}
	return file, err
}

// Kept reports whether the release file that the variant is made from is here, if it
// is made from one.
func (s *Store) Kept(target matrix.Target, variant matrix.Variant) bool {
	archive := target.ArchiveOf(variant)
	return archive == nil || verify(filepath.Join(s.folder, archive.SHA256), archive.SHA256) == nil
}

// Keep verifies the file that the user names and copies it into the store. The
// error is a *DigestError if it is another.
func (s *Store) Keep(file, digest string) error {
	source, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	defer source.Close()
	return s.keep(file, digest, source)
}

// get finds the file in the store or fetches it.
func (s *Store) get(ctx context.Context, archive matrix.Archive) (string, error) {
	// One at a time: what two clients need is fetched once.
	s.mutex.Lock()
	defer s.mutex.Unlock()
	file := filepath.Join(s.folder, archive.SHA256)
	err := verify(file, archive.SHA256)
	var other *DigestError
	switch {
	case err == nil:
		return file, nil
	case errors.As(err, &other):
		// A disk or a person changed it; the next copy is verified like the first.
		s.say("%v; it is fetched anew", err)
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	return file, s.fetch(ctx, archive)
}

func verify(file, digest string) error {
	source, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	defer source.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, source); err != nil {
		return fmt.Errorf("release file %s: %w", file, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return &DigestError{File: file, Want: digest, Got: got}
	}
	return nil
}

// fetch downloads the file into the store. What is not on this machine's side
// or is a broken line makes it unavailable; a file that came whole and is
// another does not.
func (s *Store) fetch(ctx context.Context, archive matrix.Archive) error {
	unavailable := func(err error) error {
		return fmt.Errorf("%w: %s could not be fetched: %w", matrix.ErrUnavailable, archive.URL, err)
	}
	address, err := url.Parse(archive.URL)
	if err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	if err, asked := s.unreachable[address.Host]; asked {
		return unavailable(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, archive.URL, nil)
	if err != nil {
		return fmt.Errorf("release file: %w", err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("fetching %s: %w", archive.URL, context.Cause(ctx))
		}
		s.unreachable[address.Host] = plainly(err)
		return unavailable(s.unreachable[address.Host])
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return unavailable(fmt.Errorf("%s answered %s", response.Request.URL.Host, response.Status))
	}
	s.say("fetching %s", archive.URL)
	body := &lively{source: response.Body, time: s.stallTime, cancel: cancel}
	err = s.keep(archive.URL, archive.SHA256, body)
	if body.err != nil && (errors.Is(context.Cause(ctx), errStalled) || ctx.Err() == nil) {
		return unavailable(err)
	}
	return err
}

// plainly leaves out of a request's error what it says about this machine's
// name server, and the address, which is named beside it.
func plainly(err error) error {
	var name *net.DNSError
	if errors.As(err, &name) {
		return fmt.Errorf("the name %s: %s", name.Name, name.Err)
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

var errStalled = errors.New("nothing more came")

// lively reads a body and cancels it when it brings nothing for some time.
type lively struct {
	source io.Reader
	time   time.Duration
	cancel context.CancelCauseFunc
	err    error // the source's, other than io.EOF
}

func (l *lively) Read(buffer []byte) (int, error) {
	watch := time.AfterFunc(l.time, func() { l.cancel(errStalled) })
	defer watch.Stop()
	n, err := l.source.Read(buffer)
	if err != nil && err != io.EOF {
		l.err = err
	}
	return n, err
}

// keep writes what source has into the store, if it has the digest.
func (s *Store) keep(name, digest string, source io.Reader) (err error) {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return fmt.Errorf("cache of release files: %w", err)
	}
	copied, err := os.CreateTemp(s.folder, ".incoming-*")
	if err != nil {
		return fmt.Errorf("cache of release files: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(copied.Name()))
		}
	}()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(copied, hash), io.LimitReader(source, s.sizeLimit+1))
	if err = errors.Join(err, copied.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	if size > s.sizeLimit {
		return fmt.Errorf("%s is no release: it has more than %d MiB", name, s.sizeLimit>>20)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digest {
		return &DigestError{File: name, Want: digest, Got: got}
	}
	if err := os.Chmod(copied.Name(), 0o644); err != nil {
		return fmt.Errorf("cache of release files: %w", err)
	}
	if err := os.Rename(copied.Name(), filepath.Join(s.folder, digest)); err != nil {
		return fmt.Errorf("cache of release files: %w", err)
	}
	return nil
}
