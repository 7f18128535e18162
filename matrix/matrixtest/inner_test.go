package matrixtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/fake"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
)

// innerVariable names the scenario of which the test binary is TestMatrix.
const innerVariable = "ZMQMATRIX_TEST_INNER"

// TestMain makes the test binary also one of a module that has nothing but a
// TestMatrix, so that the flags of go test and signals meet a real one. The runtime
// is always a fake, for the examples, too.
func TestMain(m *testing.M) {
	standard = house{catalogue: smallCatalogue, engines: []measure.Engine{scripted(scenario{})}, load: loadSmall}
	name := os.Getenv(innerVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	inner := func(t *testing.T) { allNames(t) }
	if name != "names" {
		played := scenarios[name]
		standard.engines = []measure.Engine{scripted(played)}
		inner = func(t *testing.T) {
			for range max(1, played.calls) {
				Run(t, played.options)
			}
		}
	}
	testing.Main(regexp.MatchString, []testing.InternalTest{{Name: "TestMatrix", F: inner}}, nil, nil)
}

// allNames are subtests of all the names that there are, for package testing
// alone to choose among.
func allNames(t *testing.T) {
	clients, err := matrix.Selected(smallTargets, smallCatalogue, matrix.Selection{})
	require.NoError(t, err)
	for _, client := range clients {
		t.Run(clientName(client.Client()), func(t *testing.T) {
			for _, cell := range client.Cells {
				t.Run(partName(cell), func(*testing.T) {})
			}
		})
	}
}

var smallTargets = []matrix.Target{
	{
		Name: "controls", Title: "Misbehave", Family: "c", Role: matrix.RoleNegativeControl,
		Variants: []matrix.Variant{{Name: "one", Suite: "one", Default: true}},
		Bindings: []matrix.Binding{{Name: "bad", Title: "bad"}},
		Expect:   []matrix.Expectation{{Binding: "bad", Feature: "callback/same-thread", Technique: "dies", Outcome: matrix.Crash, Signal: "SIGSEGV"}},
	},
	{
		Name: "reference", Title: "Reference", Family: "c", Role: matrix.RolePositiveControl,
		Variants: []matrix.Variant{{Name: "one", Suite: "one", Default: true}},
		Bindings: []matrix.Binding{{Name: "libzmq", Title: "libzmq", Raw: true}},
	},
	{
		Name: "tiny", Title: "Tiny Lisp", Family: "common-lisp",
		Variants:   []matrix.Variant{{Name: "one", Suite: "one", Default: true}, {Name: "two", Suite: "two"}},
		Bindings:   []matrix.Binding{{Name: "cffi", Title: "raw", Raw: true}, {Name: "pzmq", Title: "pzmq"}},
		Techniques: map[string][]string{"callback/foreign-thread": {"plain", "unblock-signals"}},
	},
}

var smallCatalogue = func() (catalogue []matrix.Feature) {
	for _, name := range []string{"callback/foreign-thread", "callback/same-thread", "zero-copy/wire", "messaging/req-rep"} {
		catalogue = append(catalogue, matrix.Feature{
			Name: name, Requirement: "what " + name + " requires", Source: "a manual", Method: "a probe", Version: 1, Wall: time.Second,
			Timing: name == "callback/foreign-thread",
			Judge:  func(matrix.Evidence) matrix.Finding { return matrix.Finding{Outcome: matrix.Pass} },
		})
	}
	return catalogue
}()

func loadSmall() (string, []matrix.Target, error) { return "/nowhere", smallTargets, nil }

// scenario is what the fake clients do, by the beginning of the cell's name: fail,
// crash, unsupported, hostile, error, slow; a client may be unavailable.
type scenario struct {
	answers map[string]string
	options Options
	calls   int // of Run, 0: 1
}

// The files that a scenario leaves in its working directory: a line for every
// client that is prepared and every cell that is attempted; and one that is there
// as long as the runtime is open.
const (
	preparedLog  = "prepared"
	attemptedLog = "attempted"
	startedLog   = "started"
	openMark     = "open"
)

const foreign = "tiny@one/cffi/callback/foreign-thread/"

var scenarios = map[string]scenario{
	"green":            {},
	"crash":            {answers: map[string]string{"tiny@one/pzmq/zero-copy": "crash"}},
	"mended":           {answers: map[string]string{foreign + "plain": "crash"}},
	"hopeless":         {answers: map[string]string{foreign + "plain": "crash", foreign + "unblock-signals": "fail"}},
	"unsupported":      {answers: map[string]string{"tiny@one/pzmq/zero-copy": "unsupported"}},
	"hostile":          {answers: map[string]string{"tiny@one/pzmq/zero-copy": "hostile"}},
	"error":            {answers: map[string]string{"tiny@one/pzmq/zero-copy": "error"}},
	"unavailable":      {answers: map[string]string{"tiny@one/pzmq": "unavailable"}},
	"only-not-run":     {answers: map[string]string{"tiny": "unavailable"}, options: Options{Targets: []string{"tiny"}}},
	"good-control":     {answers: map[string]string{"controls": "pass"}},
	"bad-reference":    {answers: map[string]string{"reference@one/libzmq/messaging": "fail"}},
	"slow":             {answers: map[string]string{"tiny@one/pzmq": "slow"}},
	"fails-then-hangs": {answers: map[string]string{foreign + "plain": "crash", foreign + "unblock-signals": "fail", "tiny@one/pzmq": "slow"}},
	"chosen":           {options: Options{Bindings: []string{"pzmq"}, Features: []string{"messaging"}}},
	"no-such":          {options: Options{Bindings: []string{"pzqm"}}},
	"twice":            {calls: 2},
	"no-engine":        {options: Options{Runtime: "dokcer"}},
	"less-than-none":   {options: Options{Repeat: -1}},
}

// scripted is an engine that plays the scenario.
func scripted(played scenario) measure.Engine {
	answerOf := func(name string) string {
		for prefix, answer := range played.answers {
			if strings.HasPrefix(name, prefix) {
				return answer
			}
		}
		return ""
	}
	script := fake.Script{
		Prepare: func(_ context.Context, client matrix.Client) error {
			if err := note(preparedLog, client.String()); err != nil {
				return err
			}
			if answerOf(client.String()+"/") == "unavailable" {
				return fmt.Errorf("%w: no licence was given", matrix.ErrUnavailable)
			}
			return nil
		},
		Start: func(_ context.Context, client matrix.Client) error { return note(startedLog, client.String()) },
		Answer: func(ctx context.Context, attempt fake.Attempt) (fake.Answer, error) {
			if strings.HasPrefix(attempt.Feature, "zz") {
				return fake.Passing(ctx, attempt)
			}
			cell := matrix.Cell{Target: attempt.Client.Target, Binding: attempt.Client.Binding, Feature: attempt.Feature, Technique: attempt.Technique}
			if err := note(attemptedLog, cell.String()); err != nil {
				return fake.Answer{}, err
			}
			answer := answerOf(cell.String())
			if answer == "" && attempt.Client.Target == "controls@one" {
				answer = "crash"
			}
			switch answer {
			case "fail":
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "errno 11", Condition: "zmq-error"}), nil
			case "crash":
				return fake.Dies(attempt, "SIGSEGV"), nil
			case "unsupported":
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingUnsupported, Reason: "pzmq has no such thing"}), nil
			case "hostile":
				return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingFailed, Reason: "\x1b[2J\n::error::owned\n--- PASS: TestMatrix (0.00s)", Condition: "c"}), nil
			case "error":
				return fake.Answer{}, errors.New("the warden does not answer")
			case "slow":
				<-ctx.Done()
				return fake.Answer{}, ctx.Err()
			}
			return fake.Says(attempt, matrix.Closing{Type: matrix.ClosingDone}), nil
		},
	}
	return measure.Engine{
		Name: "fake", Available: func(context.Context) error { return nil },
		Open: func(_ context.Context, options measure.OpenOptions) (matrix.Runtime, error) {
			if os.Getenv(innerVariable) == "" {
				return fake.New(script), nil
			}
			return openRuntime{fake.New(script)}, os.WriteFile(openMark, nil, 0o644)
		},
	}
}

// openRuntime is a fake that shows that it is open, and fails to close if the
// runner left something behind.
type openRuntime struct{ *fake.Runtime }

func (r openRuntime) Close(ctx context.Context) error {
	if left := r.Open(); left != 0 {
		return fmt.Errorf("%d places or endpoints were left open", left)
	}
	return errors.Join(os.Remove(openMark), r.Runtime.Close(ctx))
}

// note adds a line to a scenario's file; an example has none.
func note(file, line string) error {
	if os.Getenv(innerVariable) == "" {
		return nil
	}
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(log, line)
	return errors.Join(err, log.Close())
}

// ended is what a TestMatrix came to.
type ended struct {
	status map[string]string // PASS, FAIL or SKIP, by the test's name
	output string
	code   int
}

// inner runs the scenario's TestMatrix in the folder, with flags as go test hands
// them on: -run=X for -test.run=X.
func inner(t *testing.T, folder, scenario string, flags ...string) ended {
	t.Helper()
	command := innerCommand(t, folder, scenario, flags...)
	output, _ := command.CombinedOutput() // what it came to is in the state
	return endedWith(command, string(output))
}

func innerCommand(t *testing.T, folder, scenario string, flags ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	arguments := []string{"-test.v"}
	for _, flag := range flags {
		arguments = append(arguments, "-test."+strings.TrimPrefix(flag, "-"))
	}
	command := exec.CommandContext(t.Context(), self, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), innerVariable+"="+scenario, "XDG_CACHE_HOME="+filepath.Join(folder, "cache"))
	return command
}

var reported = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

func endedWith(command *exec.Cmd, output string) ended {
	end := ended{status: map[string]string{}, output: output, code: command.ProcessState.ExitCode()}
	for _, found := range reported.FindAllStringSubmatch(output, -1) {
		end.status[found[2]] = found[1]
	}
	return end
}

// cells are the subtests of cells, without the name of the test, by what they came
// to; "" for any.
func (e ended) cells(status string) (names []string) {
	for name, came := range e.status {
		if strings.Count(name, "/") == 4 && (status == "" || status == came) {
			names = append(names, strings.TrimPrefix(name, "TestMatrix/"))
		}
	}
	return names
}

// lines are those of a scenario's file, each once.
func lines(t *testing.T, folder, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return strings.Fields(string(content))
}
