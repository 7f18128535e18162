package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zmqmatrix/zmqmatrix/containers/fake"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
)

// TestMain makes the test binary the command zmqmatrix too, with a small
// catalogue and fake runtimes, so that scripts and signals meet a real process;
// and zmqmatrix-real is the command as it is.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"zmqmatrix": func() {
			os.Exit(fakeHouse(os.Getenv).main(context.Background(), os.Args[1:]))
		},
		"zmqmatrix-real": func() {
			os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
		},
	})
}

// fakeHouse is scripted by the environment:
//
//	FAKE_DOCKER=down       no engine answers
//	FAKE_VERSION           version of the command
//	FAKE_TODAY             the day, 2026-11-27
//	FAKE_LOG=FILE          a line for every attempt that is begun
//	FAKE_SLOW=DURATION     what an attempt takes
//	FAKE_STUBBORN=1        an attempt does not end when it is told to
//	FAKE_UNTIDY=1          what was started can't be removed at the end
//	FAKE_OPEN=FILE         names a file that is there while the runtime is open
//	FAKE_ANSWERS="PREFIX=ANSWER …"  how attempts end, by the beginning of
//	                       TARGET/BINDING/GROUP/FEATURE/TECHNIQUE: fail,
//	                       crash, garbage, escape, error, unavailable, late-pass,
//	                       fickle (every other time it fails), undefined
//	                       (it fails, and every other time it crashes; a trace
//	                       is no time)
func fakeHouse(env func(string) string) *house {
	version := env("FAKE_VERSION")
	if version == "" {
		version = "v1.0.0"
	}
	open := func(name string) func(context.Context, measure.OpenOptions) (matrix.Runtime, error) {
		return func(_ context.Context, options measure.OpenOptions) (matrix.Runtime, error) {
			fmt.Fprintf(options.Log, "%s engine opened\n", name)
			if path := env("FAKE_OPEN"); path != "" {
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					return nil, err
				}
			}
			return namedRuntime{fake.New(fakeScript(env)), name, env("FAKE_OPEN"), env("FAKE_UNTIDY") != ""}, nil
		}
	}
	return &house{
		catalogue: fakeCatalogue(),
		engines: []measure.Engine{
			{Name: "docker", Available: func(context.Context) error {
				if env("FAKE_DOCKER") == "down" {
					return errors.New("no engine answers at /var/run/docker.sock\nRun: sudo systemctl start docker")
				}
				return nil
			}, Open: open("docker")},
			{Name: "local", Available: func(context.Context) error { return nil }, Open: open("local")},
		},
		version: version, out: os.Stdout, err: os.Stderr,
		now: func() time.Time {
			if day, err := time.Parse(time.DateOnly, env("FAKE_TODAY")); err == nil {
				return day
			}
			return time.Now()
		},
	}
}

func fakeCatalogue() []matrix.Feature {
	var catalogue []matrix.Feature
	for _, name := range []string{"callback/same-thread", "callback/foreign-thread", "zero-copy/wire", "messaging/req-rep"} {
		catalogue = append(catalogue, matrix.Feature{
			Name: name, Requirement: "what " + name + " requires", Source: "a manual", Method: "a probe", Version: 1, Wall: time.Second,
			Timing: name == "callback/foreign-thread",
			Judge:  func(matrix.Evidence) matrix.Finding { return matrix.Finding{Outcome: matrix.Pass} },
		})
	}
	return catalogue
}

type namedRuntime struct {
	*fake.Runtime
	name, open string
	untidy     bool
}

func (r namedRuntime) Name() string { return r.name }

// Close fails when the runner left something behind.
func (r namedRuntime) Close(ctx context.Context) error {
	if r.open != "" {
		os.Remove(r.open)
	}
	if left := r.Runtime.Open(); left != 0 {
		return fmt.Errorf("%d places or endpoints were left open", left)
	}
	if r.untidy {
		return errors.New("the engine does not answer")
	}
	return r.Runtime.Close(ctx)
}

func fakeScript(env func(string) string) fake.Script {
	answerOf := func(name string) string {
		for _, rule := range strings.Fields(env("FAKE_ANSWERS")) {
			if prefix, answer, _ := strings.Cut(rule, "="); strings.HasPrefix(name, prefix) {
				return answer
			}
		}
		return ""
	}
	return fake.Script{
		Prepare: func(_ context.Context, client matrix.Client) error {
			if answerOf(client.String()+"/") == "unavailable" {
				return fmt.Errorf("%w: no licence was given", matrix.ErrUnavailable)
			}
			return nil
		},
		Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			if strings.HasPrefix(attempt.Feature, "zz") {
				return fake.Passing(ctx, attempt)
			}
			cell := matrix.Cell{Target: attempt.Client.Target, Binding: attempt.Client.Binding, Feature: attempt.Feature, Technique: attempt.Technique}
			if path := env("FAKE_LOG"); path != "" {
				log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
				if err != nil {
					return fake.Answer{}, err
				}
				_, err = fmt.Fprintln(log, cell)
				if err = errors.Join(err, log.Close()); err != nil {
					return fake.Answer{}, err
				}
			}
			if slow, err := time.ParseDuration(env("FAKE_SLOW")); err == nil {
				told := ctx.Done()
				if env("FAKE_STUBBORN") != "" {
					told = nil
				}
				select {
				case <-time.After(slow):
				case <-told:
					return fake.Answer{}, ctx.Err()
				}
			}
			done := matrix.Closing{Type: matrix.ClosingDone}
			switch how := answerOf(cell.String()); how {
			case "fail":
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "errno 11", Condition: "zmq-error"}), nil
			case "crash":
				return fake.Dies(attempt, "SIGSEGV"), nil
			case "garbage":
				answer := fake.Says(attempt, done)
				answer.Account.Stdout = []byte("\x1b[2Jnot a report\n")
				return answer, nil
			case "escape":
				answer := fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "\x1b[2J\x1b]0;owned\a", Condition: "\x9b31m"})
				answer.Account.Stderr = []byte("\x1b[31mred\n")
				return answer, nil
			case "error":
				return fake.Answer{}, errors.New("the warden does not answer")
			case "fickle", "undefined":
				const otherNext = "other-next"
				if attempt.Task.Trace {
					return fake.Dies(attempt, "SIGSEGV"), nil
				}
				other := os.Remove(otherNext) == nil
				if !other {
					if err := os.WriteFile(otherNext, nil, 0o644); err != nil {
						return fake.Answer{}, err
					}
				}
				switch {
				case other && how == "undefined":
					return fake.Dies(attempt, "SIGSEGV"), nil
				case other || how == "undefined":
					return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "not today"}), nil
				}
			}
			return fake.Says(attempt, done), nil
		},
	}
}

// checkout copies the test checkout into a folder of its own.
func checkout(t testing.TB, dir string) {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "checkout"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module github.com/zmqmatrix/zmqmatrix\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command is the command zmqmatrix in a checkout.
func command(t testing.TB, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "zmqmatrix", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(dir, ".cache"), "NO_COLOR=1"), env...)
	return cmd
}
