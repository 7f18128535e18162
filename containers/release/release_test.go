package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const content = "what upstream released"

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// madeFrom is a target whose default variant is made from the file at url.
func madeFrom(url string) (matrix.Target, matrix.Variant) {
	variant := matrix.Variant{Name: "1.13", Default: true}
	archive := &matrix.Archive{URL: url, SHA256: digestOf(content)}
	return matrix.Target{Name: "tiny", Variants: []matrix.Variant{variant}, Image: matrix.Image{Archive: archive}}, variant
}

// server counts what it is asked.
func server(t *testing.T, answer http.HandlerFunc) (url string, asked func() int) {
	t.Helper()
	var mutex sync.Mutex
	count := 0
	started := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		count++
		mutex.Unlock()
		answer(w, r)
	}))
	t.Cleanup(started.Close)
	return started.URL + "/tiny-1.13.tar.gz", func() int {
		mutex.Lock()
		defer mutex.Unlock()
		return count
	}
}

func whole(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, content) }

// left lists what a store holds.
func left(t *testing.T, store *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(store.folder)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestStore_fetches_a_release_once_and_finds_it_in_later_runs(t *testing.T) {
	url, asked := server(t, whole)
	cache := t.TempDir()
	target, variant := madeFrom(url)
	assert.False(t, NewStore(cache, nil).Kept(target, variant))
	for range 2 {
		file, err := NewStore(cache, nil).Of(t.Context(), target, variant)
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, content, string(text))
	}
	assert.True(t, NewStore(cache, nil).Kept(target, variant))
	assert.Equal(t, 1, asked())
}

func TestStore_has_nothing_for_a_target_made_from_no_release(t *testing.T) {
	file, err := NewStore(t.TempDir(), nil).Of(t.Context(), matrix.Target{}, matrix.Variant{})
	require.NoError(t, err)
	assert.Empty(t, file)
	assert.True(t, NewStore(t.TempDir(), nil).Kept(matrix.Target{}, matrix.Variant{}), "nothing is missing")
}

func TestStore_takes_the_variants_release_before_the_images(t *testing.T) {
	url, _ := server(t, whole)
	target, variant := madeFrom("http://127.0.0.1:1/never")
	variant.Archive = &matrix.Archive{URL: url, SHA256: digestOf(content)}
	_, err := NewStore(t.TempDir(), nil).Of(t.Context(), target, variant)
	assert.NoError(t, err)
}

func TestStore_never_gives_out_a_file_with_another_digest(t *testing.T) {
	url, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>please log in</html>") })
	target, variant := madeFrom(url)
	store := NewStore(t.TempDir(), nil)
	_, err := store.Of(t.Context(), target, variant)
	var other *DigestError
	require.ErrorAs(t, err, &other)
	assert.NotErrorIs(t, err, matrix.ErrUnavailable, "a wrong file is no missing one")
	assert.ErrorContains(t, err, url)
	assert.ErrorContains(t, err, digestOf(content))
	assert.ErrorContains(t, err, digestOf("<html>please log in</html>"))
	assert.Empty(t, left(t, store))
}

func TestStore_fetches_anew_what_was_changed_on_the_disk(t *testing.T) {
	url, asked := server(t, whole)
	target, variant := madeFrom(url)
	store := NewStore(t.TempDir(), nil)
	file, err := store.Of(t.Context(), target, variant)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("rot"), 0o644))
	assert.False(t, store.Kept(target, variant))
	_, err = store.Of(t.Context(), target, variant)
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, content, string(text))
	assert.Equal(t, 2, asked())
}

func TestStore_makes_a_client_unavailable_when_its_release_is_not_to_be_had(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"the server has it no more", http.NotFound, "404 Not Found"},
		{"the download breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			fmt.Fprint(w, content)
		}, "unexpected EOF"},
		{"the connection breaks in a chunk", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, content)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "EOF"},
		{"nothing more comes", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			fmt.Fprint(w, content)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "nothing more came"},
	} {
		t.Run(row.name, func(t *testing.T) {
			url, _ := server(t, row.answer)
			target, variant := madeFrom(url)
			store := NewStore(t.TempDir(), nil)
			store.stallTime = 100 * time.Millisecond
			_, err := store.Of(t.Context(), target, variant)
			require.ErrorIs(t, err, matrix.ErrUnavailable)
			assert.ErrorContains(t, err, "tiny-1.13.tar.gz could not be fetched")
			assert.ErrorContains(t, err, row.says)
			assert.ErrorContains(t, err, "give it with --archive tiny=FILE")
			assert.Empty(t, left(t, store))
		})
	}
}

func TestStore_asks_a_host_out_of_reach_only_once(t *testing.T) {
	// A port that nothing listens on, at which connections are refused.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	target, variant := madeFrom("http://" + address + "/tiny-1.13.tar.gz")
	store := NewStore(t.TempDir(), nil)
	dials := 0
	transport := store.client.Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	for range 3 {
		_, err = store.Of(t.Context(), target, variant)
		require.ErrorIs(t, err, matrix.ErrUnavailable)
		assert.ErrorContains(t, err, "connection refused")
	}
	assert.Equal(t, 1, dials)

	variant.Name, variant.Default = "1.12", false
	_, err = store.Of(t.Context(), target, variant)
	assert.ErrorContains(t, err, "give it with --archive tiny@1.12=FILE")
}

func TestStore_reads_no_more_than_a_release_can_have(t *testing.T) {
	url, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 4096)) })
	target, variant := madeFrom(url)
	store := NewStore(t.TempDir(), nil)
	store.sizeLimit = 1024
	_, err := store.Of(t.Context(), target, variant)
	require.ErrorContains(t, err, "is no release: it has more than")
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
	assert.Empty(t, left(t, store))
}

func TestStore_that_is_stopped_says_so_and_not_that_the_client_is_unavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, content)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	target, variant := madeFrom(url)
	_, err := NewStore(t.TempDir(), nil).Of(ctx, target, variant)
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, matrix.ErrUnavailable)
}

func TestKeep_takes_the_users_file_if_it_is_the_release(t *testing.T) {
	file := filepath.Join(t.TempDir(), "download")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	target, variant := madeFrom("http://127.0.0.1:1/never")
	cache := t.TempDir()
	require.NoError(t, NewStore(cache, nil).Keep(file, digestOf(content)))
	_, err := NewStore(cache, nil).Of(t.Context(), target, variant)
	require.NoError(t, err, "it is kept for later runs, and nothing is fetched")

	require.NoError(t, os.WriteFile(file, []byte("another"), 0o600))
	err = NewStore(cache, nil).Keep(file, digestOf(content))
	var other *DigestError
	require.ErrorAs(t, err, &other)
	assert.Equal(t, DigestError{File: file, Want: digestOf(content), Got: digestOf("another")}, *other)
}
