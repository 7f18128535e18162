package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// patience is how long an answer under way may take once serving ends.
const patience = 2 * time.Second

// Serve shows a site that Write made, at a port of this machine alone, until the
// context ends; 0 takes any free port. listening is called with the address once
// it can be opened.
func Serve(ctx context.Context, dir string, port int, listening func(address string)) error {
	if _, err := os.Stat(filepath.Join(dir, marker)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", dir, ErrNotOurs)
		}
		return fmt.Errorf("looking for a site in %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the site: %w", err)
	}
	defer root.Close()
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil {
		return fmt.Errorf("listening for readers of the site: %w", err)
	}
	server := &http.Server{Handler: handler(root.FS()), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	listening(fmt.Sprintf("http://%s/", listener.Addr()))
	select {
	case err := <-served:
		return fmt.Errorf("serving the site: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if server.Shutdown(ending) == nil {
		return nil
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("ending with readers of the site: %w", err)
	}
	return nil
}

// handler serves the site's files, and neither lists of folders nor what is
// hidden in them.
func handler(site fs.FS) http.Handler {
	files := http.FileServerFS(site)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache")
		if strings.Contains(r.URL.Path, "/.") || strings.HasSuffix(r.URL.Path, "/") && r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
}
