//go:build integration

package ci

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChaosOnTheEngine kills runners and containers, and cuts, stalls and breaks
// the connection to the engine: a proxy before its socket does, and the engine
// itself is left alone.
func TestChaosOnTheEngine(t *testing.T) {
	t.Parallel()
	root, api := controlModule(t), dockerAPI(t)
	proxy := newEngineProxy(t, api.DaemonHost())
	// Everything that these runs have on the engine, however they end.
	mine := map[string]bool{}
	left := func() (found []string) {
		records, err := filepath.Glob(filepath.Join(root, "*", "runs", "*"))
		require.NoError(t, err)
		for _, dir := range records {
			mine[filepath.Base(dir)] = true
		}
		for run := range mine {
			found = append(found, labelledWith(t, api, run)...)
		}
		return found
	}
	killContainer := func(random *rand.Rand, run *eventsRun) bool {
		var containers []string
		for _, item := range left() {
			if _, container, is := strings.Cut(item, " container "); is {
				containers = append(containers, strings.Fields(container)[0])
			}
		}
		if len(containers) == 0 {
			return false
		}
		// It may have ended by itself meanwhile.
		_, _ = api.ContainerKill(context.Background(), containers[random.IntN(len(containers))], client.ContainerKillOptions{Signal: "KILL"})
		return true
	}
	runners := map[string]*eventsRun{} // by process id
	// unstarted is a container that was created and not started by a runner that was
	// killed, or that lost its engine and said so: nothing ends it but the next start.
	unstarted := func(item string) bool {
		owner := strings.Split(item[strings.LastIndex(item, " ")+1:], ":") // host, process id and its start
		if !strings.HasPrefix(item, string(container.StateCreated)+" container ") || len(owner) != 3 {
			return false
		}
		runner := runners[owner[1]]
		return runner != nil && runner.cmd.ProcessState != nil &&
			(runner.cmd.ProcessState.ExitCode() == -1 || strings.Contains(runner.stderr.String(), "; the next run sweeps it"))
	}
	breakEngine := func(how func(time.Duration)) func(*rand.Rand, *eventsRun) bool {
		return func(random *rand.Rand, _ *eventsRun) bool {
			how(time.Duration(random.IntN(2000)) * time.Millisecond)
			return true
		}
	}
	c := chaos{
		root: root, flags: []string{"--runtime", "docker"}, times: 8,
		start: func(args ...string) *eventsRun {
			run := startCommand(t, realCommand(t, root, dockerCache(t), []string{"DOCKER_HOST=" + proxy.host}, args...))
			runners[strconv.Itoa(run.cmd.Process.Pid)] = run
			return run
		},
		disturbances: map[string]func(*rand.Rand, *eventsRun) bool{
			"runner killed": killRunner(t), "container killed": killContainer,
			"engine cut": breakEngine(proxy.cut), "engine stalled": breakEngine(proxy.stall), "engine broken": breakEngine(proxy.fail),
		},
		// A container ends with the run that is attached to it. A network of a run
		// that was killed, or that lost its engine at the end, is swept by the next
		// start.
		left: func() (containers []string) {
			for _, item := range left() {
				if strings.Contains(item, " container ") && !unstarted(item) {
					containers = append(containers, item)
				}
			}
			return containers
		},
	}
	if soaking() {
		c.times = 100
	}
	c.disturb(t)
	if len(left()) > 0 {
		// What was done to the engine last may outlast the run.
		through, err := client.New(client.WithHost(proxy.host))
		require.NoError(t, err)
		t.Cleanup(func() { through.Close() })
		require.Eventually(t, func() bool {
			_, err := through.Ping(t.Context(), client.PingOptions{})
			return err == nil
		}, time.Minute, 20*time.Millisecond)
		sweep := c.start("run", "--json", "--runtime", "docker", "--target", "c", "--feature", "callback/same-thread", "--out", "sweep")
		_, status := sweep.end(t)
		require.Zero(t, status, "%s", sweep.stderr.String())
	}
	assert.Empty(t, left())
}

// engineProxy stands before an engine's socket and can lose it.
type engineProxy struct {
	host    string
	failing atomic.Bool

	mu      sync.Mutex
	refuses bool          // new connections
	gate    chan struct{} // closed while bytes may pass
	open    map[*proxied]bool
}

// newEngineProxy listens on a socket of its own before the engine's.
func newEngineProxy(t *testing.T, engine string) *engineProxy {
	address, err := url.Parse(engine)
	require.NoError(t, err)
	require.Equal(t, "unix", address.Scheme, "the test is for an engine on this machine")
	// A socket's path is short.
	dir, err := os.MkdirTemp("", "engine")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	passing := make(chan struct{})
	close(passing)
	proxy := &engineProxy{host: "unix://" + socket, gate: passing, open: map[*proxied]bool{}}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(request *httputil.ProxyRequest) { request.Out.URL.Scheme, request.Out.URL.Host = "http", "engine" },
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", address.Path)
		}},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy.failing.Load() {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			w.Write([]byte(`{"message":"the test's engine is out of order"}`))
			return
		}
		reverse.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(&proxyListener{listener, proxy}) }()
	t.Cleanup(func() {
		server.Close()
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return proxy
}

// cut ends all connections, and for a while refuses new ones.
func (p *engineProxy) cut(while time.Duration) {
	p.mu.Lock()
	p.refuses = true
	for connection := range p.open {
		connection.UnixConn.Close()
	}
	p.mu.Unlock()
	time.AfterFunc(while, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refuses = false
	})
}

// stall lets no byte pass for a while.
func (p *engineProxy) stall(while time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		return // stalled already
	}
	gate := make(chan struct{})
	p.gate = gate
	time.AfterFunc(while, func() { close(gate) })
}

// fail answers every request with an error for a while; streams that are
// attached go on.
func (p *engineProxy) fail(while time.Duration) {
	p.failing.Store(true)
	time.AfterFunc(while, func() { p.failing.Store(false) })
}

// pass waits until bytes may pass.
func (p *engineProxy) pass() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	<-gate
}

type proxyListener struct {
	net.Listener
	proxy *engineProxy
}

func (l *proxyListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		connection := &proxied{accepted.(*net.UnixConn), l.proxy}
		l.proxy.mu.Lock()
		refused := l.proxy.refuses
		l.proxy.open[connection] = !refused
		l.proxy.mu.Unlock()
		if !refused {
			return connection, nil
		}
		connection.Close()
	}
}

// proxied is a connection of the run's to the proxy.
type proxied struct {
	*net.UnixConn
	proxy *engineProxy
}

func (c *proxied) Read(data []byte) (int, error) {
	n, err := c.UnixConn.Read(data)
	c.proxy.pass()
	return n, err
}

func (c *proxied) Write(data []byte) (int, error) {
	c.proxy.pass()
	return c.UnixConn.Write(data)
}

// ReadFrom is not the embedded connection's, which would pass the gate by.
func (c *proxied) ReadFrom(source io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, source)
}

// WriteTo neither.
func (c *proxied) WriteTo(sink io.Writer) (int64, error) {
	return io.Copy(sink, struct{ io.Reader }{c})
}

func (c *proxied) Close() error {
	c.proxy.mu.Lock()
	delete(c.proxy.open, c)
	c.proxy.mu.Unlock()
	return c.UnixConn.Close()
}
