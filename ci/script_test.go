package ci

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zmqmatrix/zmqmatrix/results"
)

var update = flag.Bool("update", false, "write the golden outputs in testdata anew")

// TestScripts runs every testdata/script/*.txtar in a checkout with two fake
// targets.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			checkout(t, env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"same":   scriptSame,
			"alike":  scriptAlike,
		},
	})
}

// scriptStatus runs a command that must end with a status: status N COMMAND …
func scriptStatus(ts *testscript.TestScript, negate bool, args []string) {
	if negate || len(args) < 2 {
		ts.Fatalf("usage: status N command args")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("want exit status %s, got %s (%v)", args[0], got, err)
	}
}

// volatile is what differs from run to run: run names, times, seeds and the
// working directory.
var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{6}`), "RUN"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`took DURATION, \d+\.\d\d times the lower bound of DURATION: .*`), "took DURATION, RATIO times the lower bound of DURATION: WHY"},
	{regexp.MustCompile(`ZM_SEED=\d+`), "ZM_SEED=SEED"},
	{regexp.MustCompile(`(?m)^preparing .*\n`), ""}, // clients are prepared at the same time
}

// scriptSame compares stdout or stderr with a golden file, without what
// differs from run to run: same stdout FILE.
func scriptSame(ts *testscript.TestScript, negate bool, args []string) {
	if negate || len(args) != 2 {
		ts.Fatalf("usage: same stdout|stderr FILE")
	}
	got := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "$WORK")
	for _, v := range volatile {
		got = v.pattern.ReplaceAllString(got, v.name)
	}
	golden := filepath.Join("testdata", "golden", args[1])
	if *update {
		ts.Check(os.MkdirAll(filepath.Dir(golden), 0o755))
		ts.Check(os.WriteFile(golden, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(golden)
	ts.Check(err)
	if got != string(want) {
		ts.Fatalf("%s differs from %s (go test ./ci -update writes it anew):\n--- want\n%s\n--- got\n%s", args[0], golden, want, got)
	}
}

// scriptAlike compares published results without what tells runs apart: their
// headers, and when and by which run an attempt was made: alike FILE FILE.
func scriptAlike(ts *testscript.TestScript, negate bool, args []string) {
	if negate || len(args) != 2 {
		ts.Fatalf("usage: alike FILE FILE")
	}
	var texts [2]string
	for i, name := range args {
		published, err := results.ReadPublished(ts.MkAbs(name))
		ts.Check(err)
		published.Run = results.Run{}
		for j := range published.Cells {
			if evidence := published.Cells[j].Evidence; evidence != nil {
				evidence.Run, evidence.Started = "", time.Time{}
			}
		}
		text, err := json.MarshalIndent(published, "", " ")
		ts.Check(err)
		texts[i] = string(text)
	}
	if texts[0] != texts[1] {
		ts.Fatalf("%s and %s differ:\n%s", args[0], args[1], diff.Diff(args[0], []byte(texts[0]), args[1], []byte(texts[1])))
	}
}
