package ci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rhysd/actionlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// action is ci/action.yml.
type action struct {
	Inputs map[string]struct {
		Description string  `yaml:"description"`
		Default     *string `yaml:"default"`
	} `yaml:"inputs"`
	Outputs map[string]struct {
		Description string `yaml:"description"`
		Value       string `yaml:"value"`
	} `yaml:"outputs"`
	Runs struct {
		Using string       `yaml:"using"`
		Steps []actionStep `yaml:"steps"`
	} `yaml:"runs"`
}

type actionStep struct {
	Name             string            `yaml:"name"`
	ID               string            `yaml:"id"`
	Uses             string            `yaml:"uses"`
	Run              string            `yaml:"run"`
	Shell            string            `yaml:"shell"`
	WorkingDirectory string            `yaml:"working-directory"`
	Env              map[string]string `yaml:"env"`
}

func readAction(t *testing.T) action {
	t.Helper()
	text, err := os.ReadFile("action.yml")
	require.NoError(t, err)
	var read action
	require.NoError(t, yaml.Unmarshal(text, &read))
	return read
}

func (a action) step(t *testing.T, name string) actionStep {
	t.Helper()
	i := slices.IndexFunc(a.Runs.Steps, func(step actionStep) bool { return step.Name == name })
	require.GreaterOrEqual(t, i, 0, "no step %q", name)
	return a.Runs.Steps[i]
}

// workflows are the project's, by name.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	found := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		found[filepath.Base(path)] = string(text)
	}
	return found
}

var (
	// usesLine is any use of an action or workflow, pinned one that is pinned as
	// we do: by a commit, with its version behind it.
	usesLine = regexp.MustCompile(`(?m)^ *(?:- )?uses: .*$`)
	pinned   = regexp.MustCompile(`(actions/[a-z/-]+)@[0-9a-f]{40} # v([0-9]+)[0-9.]*`)
	ours     = regexp.MustCompile(`uses: \./(ci|zmqmatrix/ci|\.github/workflows/zmqmatrix\.yml)$`)
)

// lint returns what actionlint says of workflows in a repository that has the
// action where they have it. Of official actions, which it knows by their versions,
// it checks the inputs.
func lint(t *testing.T, workflows map[string]string) []string {
	t.Helper()
	root := t.TempDir()
	text, err := os.ReadFile("action.yml")
	require.NoError(t, err)
	for _, folder := range []string{"ci", "zmqmatrix/ci"} {
		write(t, root, folder+"/action.yml", string(text))
	}
	var paths []string
	for name, workflow := range workflows {
		write(t, root, ".github/workflows/"+name, pinned.ReplaceAllStringFunc(workflow, func(use string) string { return lintable(t, use) }))
		paths = append(paths, filepath.Join(root, ".github", "workflows", name))
	}
	project, err := actionlint.NewProject(root)
	require.NoError(t, err)
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{WorkingDir: root})
	require.NoError(t, err)
	slices.Sort(paths)
	found, err := linter.LintFiles(paths, project)
	require.NoError(t, err)
	var problems []string
	for _, problem := range found {
		problems = append(problems, problem.Error())
	}
	return problems
}

// unknownToActionlint are the majors that it knows no inputs of, and those whose
// inputs they have.
var unknownToActionlint = map[string]string{"actions/upload-pages-artifact@v5": "actions/upload-pages-artifact@v4"}

// lintable names the major of a pinned action that actionlint knows the inputs of.
func lintable(t *testing.T, use string) string {
	t.Helper()
	found := pinned.FindStringSubmatch(use)
	major := found[1] + "@v" + found[2]
	known, older := unknownToActionlint[major]
	if !older {
		known = major
	}
	assert.Equal(t, older, actionlint.PopularActions[major] == nil, "what actionlint knows of %s", major)
	assert.NotNil(t, actionlint.PopularActions[known], "actionlint must know %s", known)
	return known
}

// asWorkflow is the action as a workflow of one job, for what checks workflows
// only: the same inputs, outputs and steps.
func asWorkflow(t *testing.T, read action) string {
	t.Helper()
	text, err := os.ReadFile("action.yml")
	require.NoError(t, err)
	_, steps, found := strings.Cut(string(text), "\nruns:\n  using: composite\n  steps:\n")
	require.True(t, found)
	var out strings.Builder
	out.WriteString("on:\n  workflow_call:\n    inputs:\n")
	for _, name := range slices.Sorted(maps.Keys(read.Inputs)) {
		fmt.Fprintf(&out, "      %s: {type: string, default: %q}\n", name, *read.Inputs[name].Default)
	}
	out.WriteString("jobs:\n  action:\n    runs-on: ubuntu-latest\n    outputs:\n")
	for _, name := range slices.Sorted(maps.Keys(read.Outputs)) {
		fmt.Fprintf(&out, "      %s: %s\n", name, read.Outputs[name].Value)
	}
	return out.String() + "    steps:\n" + steps
}

func TestWorkflowsAndTheActionAreSound(t *testing.T) {
	read, all := readAction(t), workflows(t)
	t.Run("by actionlint", func(t *testing.T) {
		assert.Empty(t, lint(t, all))
		assert.Empty(t, lint(t, map[string]string{"action.yml": asWorkflow(t, read)}))
	})
	t.Run("which is no blind eye", func(t *testing.T) {
		for name, change := range map[string][2]string{
			"an input that the action has not":      {"merge: ../shards", "merges: ../shards"},
			"an output that the action has not":     {"steps.plan.outputs.shards", "steps.plan.outputs.shard"},
			"an input that nobody declares":         {"${{ inputs.base }}", "${{ inputs.bases }}"},
			"an input that an official one has not": {"persist-credentials: false", "persists-credentials: false"},
			"a job that there is not":               {"needs: plan", "needs: plans"},
		} {
			changed := strings.Replace(all["zmqmatrix.yml"], change[0], change[1], 1)
			require.NotEqual(t, all["zmqmatrix.yml"], changed, name)
			assert.NotEmpty(t, lint(t, map[string]string{"zmqmatrix.yml": changed}), name)
		}
		workflow := asWorkflow(t, read)
		for name, change := range map[string][2]string{
			"an input that nobody declares":  {"${{ inputs.seed }}", "${{ inputs.seeds }}"},
			"a step that there is not":       {"steps.restore.outputs", "steps.restored.outputs"},
			"a function that there is not":   {"always()", "ever()"},
			"a value that the cache has not": {"restore-keys:", "restored-keys:"},
		} {
			changed := strings.Replace(workflow, change[0], change[1], 1)
			require.NotEqual(t, workflow, changed, name)
			assert.NotEmpty(t, lint(t, map[string]string{"action.yml": changed}), name)
		}
	})
	t.Run("inputs and outputs are described, and inputs are used", func(t *testing.T) {
		text, err := os.ReadFile("action.yml")
		require.NoError(t, err)
		for name, input := range read.Inputs {
			assert.NotEmpty(t, input.Description, name)
			assert.NotNil(t, input.Default, "%s is needed by nobody", name)
			assert.Regexp(t, `inputs\.`+name+`\b`, string(text), name)
		}
		for name, output := range read.Outputs {
			assert.NotEmpty(t, output.Description, name)
			assert.Regexp(t, `^\$\{\{ steps\.[a-z]+\.outputs\.[a-z-]+(?: \|\| steps\.[a-z]+\.outputs\.[a-z-]+)* \}\}$`, output.Value, name)
		}
	})
	t.Run("the workflow has the action's inputs, with the same words for the same things", func(t *testing.T) {
		var workflow struct {
			On struct {
				Call struct {
					Inputs map[string]struct{ Default any }
				} `yaml:"workflow_call"`
			}
		}
		require.NoError(t, yaml.Unmarshal([]byte(all["zmqmatrix.yml"]), &workflow))
		// What one job is asked for, and what only the parts of a workflow are told.
		apart := []string{"seed", "directory", "cache", "shard", "plan", "merge"}
		for name := range read.Inputs {
			_, there := workflow.On.Call.Inputs[name]
			assert.NotEqual(t, slices.Contains(apart, name), there, name)
		}
	})
	all["action.yml"] = asWorkflow(t, read)
	for name, text := range all {
		t.Run(name+" uses nothing but pinned official actions and our own", func(t *testing.T) {
			for _, line := range usesLine.FindAllString(text, -1) {
				assert.True(t, pinned.MatchString(line) || ours.MatchString(line), line)
			}
		})
		t.Run(name+" has no expression in a script", func(t *testing.T) {
			for _, script := range scripts(t, text) {
				assert.NotContains(t, script, "${{")
			}
		})
	}
}

// scripts are the run: of all steps of a workflow.
func scripts(t *testing.T, text string) (found []string) {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Steps []actionStep `yaml:"steps"`
		} `yaml:"jobs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &workflow))
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			found = append(found, step.Run)
		}
	}
	return found
}

// runner runs steps of the action as GitHub's does, as far as they need it.
type runner struct {
	action
	folder  string // has all else
	inputs  map[string]string
	outputs map[string]map[string]string // by step
	path    string                       // of programs that stand in for others
	env     []string                     // of the job
}

func newRunner(t *testing.T) *runner {
	t.Helper()
	r := &runner{action: readAction(t), folder: t.TempDir(), inputs: map[string]string{}, outputs: map[string]map[string]string{}}
	r.path = filepath.Join(r.folder, "stand-ins")
	for _, folder := range []string{"stand-ins", "record", "temp", "home", "workspace", "out"} {
		require.NoError(t, os.Mkdir(filepath.Join(r.folder, folder), 0o755))
	}
	for name, input := range r.Inputs {
		r.inputs[name] = *input.Default
	}
	r.outputs["source"] = map[string]string{"root": r.in("workspace")}
	r.outputs["build"] = map[string]string{"program": r.standIn(t, "zmqmatrix", ""), "out": r.in("out")}
	return r
}

func (r *runner) in(name string) string { return filepath.Join(r.folder, name) }

// standIn writes a program that records its arguments, each ended by a NUL, and
// then does what the script says.
func (r *runner) standIn(t *testing.T, name, script string) string {
	t.Helper()
	write(t, r.path, name, "#!/bin/bash\nprintf '%s\\0' \"$@\" >\"$(mktemp '"+r.in("record")+"/"+name+".XXXXXX')\"\n"+script+"\n")
	return filepath.Join(r.path, name)
}

// calls are the arguments with which a stand-in was called since, by time.
func (r *runner) calls(t *testing.T, name string) (calls [][]string) {
	t.Helper()
	paths, err := filepath.Glob(r.in("record/" + name + ".*"))
	require.NoError(t, err)
	slices.SortFunc(paths, func(a, b string) int {
		first, err := os.Stat(a)
		require.NoError(t, err)
		second, err := os.Stat(b)
		require.NoError(t, err)
		return first.ModTime().Compare(second.ModTime())
	})
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		calls = append(calls, strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00"))
		require.NoError(t, os.Remove(path))
	}
	return calls
}

var expression = regexp.MustCompile(`^\$\{\{ (?:inputs\.([a-z-]+)|steps\.([a-z]+)\.outputs\.([a-z-]+)) \}\}$`)

// value is what an expression of ours comes to; other expressions are a mistake
// in the action, which hands nothing else to a script.
func (r *runner) value(t *testing.T, text string) string {
	t.Helper()
	found := expression.FindStringSubmatch(text)
	require.NotNil(t, found, "%q is none of the expressions that a script is handed", text)
	if found[1] != "" {
		return r.inputs[found[1]]
	}
	return r.outputs[found[2]][found[3]]
}

// run runs a step, returns its exit status and what it printed, and remembers its
// outputs.
func (r *runner) run(t *testing.T, name string) (status int, printed string) {
	t.Helper()
	step := r.step(t, name)
	require.Equal(t, "bash", step.Shell)
	write(t, r.folder, "step.sh", step.Run)
	write(t, r.folder, "outputs", "")
	// As the runner does: https://docs.github.com/actions, "jobs.<job_id>.steps[*].shell".
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "--noprofile", "--norc", "-eo", "pipefail", r.in("step.sh"))
	cmd.Dir = r.in("workspace")
	if step.WorkingDirectory != "" {
		cmd.Dir = filepath.Join(cmd.Dir, r.value(t, step.WorkingDirectory))
	}
	cmd.Env = []string{
		"PATH=" + r.path + ":" + os.Getenv("PATH"), "HOME=" + r.in("home"), "RUNNER_TEMP=" + r.in("temp"), "RUNNER_OS=Linux", "RUNNER_ARCH=X64",
		"GITHUB_OUTPUT=" + r.in("outputs"), "GITHUB_STEP_SUMMARY=" + r.in("summary.md"), "GITHUB_ACTION_PATH=" + r.in("action path $(touch pwned)/./ci"), "XDG_CACHE_HOME=" + r.in("home/.cache"), "NO_COLOR=1",
	}
	cmd.Env = append(cmd.Env, r.env...)
	for name, value := range step.Env {
		cmd.Env = append(cmd.Env, name+"="+r.value(t, value))
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	written, err := os.ReadFile(r.in("outputs"))
	require.NoError(t, err)
	r.outputs[step.ID] = readOutputs(t, string(written))
	r.notExecuted(t)
	return cmd.ProcessState.ExitCode(), output.String()
}

// outputForm is a line NAME=VALUE, or NAME<<END, lines and END:
// https://docs.github.com/actions, "Setting an output parameter", "Multiline strings".
var outputForm = regexp.MustCompile(`^([a-z-]+)(?:=(.*)|<<(.+))$`)

func readOutputs(t *testing.T, text string) map[string]string {
	t.Helper()
	outputs := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for text != "" && len(lines) > 0 {
		found := outputForm.FindStringSubmatch(lines[0])
		require.NotNil(t, found, "the output %q", lines[0])
		lines = lines[1:]
		outputs[found[1]] = found[2]
		if end := found[3]; end != "" {
			i := slices.Index(lines, end)
			require.GreaterOrEqual(t, i, 0, "the output %s has no end", found[1])
			outputs[found[1]], lines = strings.Join(lines[:i], "\n"), lines[i+1:]
		}
	}
	return outputs
}

// notExecuted holds that no input was taken for a script.
func (r *runner) notExecuted(t *testing.T) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(r.folder, func(path string, entry os.DirEntry, err error) error {
		require.NoError(t, err)
		assert.NotEqual(t, "pwned", entry.Name(), "an input was executed: %s", path)
		return nil
	}))
}

// oddInputs are what must arrive as it is.
var oddInputs = []string{
	"two words", `"double" and 'single'`, "$(touch pwned)", "`touch pwned`", "; touch pwned #", "&& touch pwned", "|| touch pwned", "> pwned",
	"a[$(touch pwned)]", "${PATH}", "$IFS", "*", "/*", "~", "{a,b}", "-rf", "--version", "!!", `back\slash\n`, `trailing\`, "%s%n", "a=b", "#no comment",
	"::set-output name=status::9", "::error::no", "##[error]no", "${{ github.token }}", "umlaut ü and ‮turned", "EOF", "''", "\x1b[31mred",
}

// listInputs are values by commas or a line each.
var listInputs = []struct{ input, flag string }{
	{"targets", "--target="}, {"bindings", "--binding="}, {"features", "--feature="}, {"techniques", "--technique="},
}

func TestTheActionHandsInputsOnAsTheyAre(t *testing.T) {
	several := strings.Join(oddInputs, "\n")
	t.Run("to run", func(t *testing.T) {
		r := newRunner(t)
		for name := range r.inputs {
			r.inputs[name] = ""
		}
		want := []string{"run", "--out=" + r.in("out"), "--runtime=" + several}
		for _, list := range listInputs {
			r.inputs[list.input] = "\n, " + strings.Join(oddInputs, " \t\r\n\n ") + " ,last "
			for _, odd := range oddInputs {
				for part := range strings.SplitSeq(odd, ",") {
					want = append(want, list.flag+part)
				}
			}
			want = append(want, list.flag+"last")
		}
		r.inputs["binding-source"] = several + "\n"
		for _, odd := range oddInputs {
			want = append(want, "--binding-source="+odd)
		}
		for input, flag := range map[string]string{"seed": "--seed=", "shard": "--shard=", "plan": "--durations="} {
			r.inputs[input] = flag + several
		}
		r.inputs["runtime"], r.inputs["all-variants"] = several, several
		want = append(want, "--seed=--seed="+several, "--shard=--shard="+several, "--durations=--durations="+several)
		status, printed := r.run(t, "Measure")
		assert.Zero(t, status)
		assert.Empty(t, printed)
		assert.Equal(t, [][]string{want}, r.calls(t, "zmqmatrix"))
		assert.Equal(t, map[string]string{"status": "0", "folder": r.in("out"), "results": "", "report": ""}, r.outputs["measure"])
	})
	for name, odd := range map[string]string{
		"lines": several, "one line": strings.Join(oddInputs, " "), "a flag": "-rf", "a command": "$(touch pwned)", "an index": "a[$(touch pwned)]", "a workflow command": "::set-output name=status::9",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t)
			// To plan.
			r.inputs["shards"], r.inputs["all-variants"] = odd, "true"
			r.outputs["build"]["program"] = r.standIn(t, "zmqmatrix", "exit 2")
			status, printed := r.run(t, "Measure")
			assert.Zero(t, status, "the last step says how it ends")
			assert.Empty(t, printed)
			assert.Equal(t, [][]string{{"plan", "--json", "--shards=" + odd, "--all-variants"}}, r.calls(t, "zmqmatrix"))
			assert.Equal(t, map[string]string{"status": "2", "folder": r.in("out"), "results": "", "report": "", "problem": ""}, r.outputs["measure"])
			assert.NoFileExists(t, r.in("out/plan.json"), "the artifact has no plan that is none")
			r.inputs["shards"] = ""

			// To merge.
			folder := strings.ReplaceAll(strings.ReplaceAll(odd, "/", "-"), "\n", " ")[:min(100, len(odd))]
			write(t, r.in("workspace"), folder+"/a b/published.json", "{}")
			write(t, r.in("workspace"), folder+"/$(touch pwned)/published.json", "{}")
			r.inputs["merge"] = folder
			r.run(t, "Measure")
			assert.Equal(t, [][]string{{"merge", "--to=" + r.in("out/published.json"), "./" + folder + "/$(touch pwned)/published.json", "./" + folder + "/a b/published.json"}}, r.calls(t, "zmqmatrix"))
			// The one artifact of a plan that is not divided has no folder of its own.
			alone := folder + "/a b"
			r.inputs["merge"] = alone
			r.run(t, "Measure")
			assert.Equal(t, [][]string{{"merge", "--to=" + r.in("out/published.json"), "./" + alone + "/published.json"}}, r.calls(t, "zmqmatrix"))

			// To the gate, before and after.
			r.inputs["expectations"], r.inputs["base"] = odd, odd
			status, printed = r.run(t, "Check what is known")
			assert.Equal(t, 2, status, "nothing is measured")
			assert.Empty(t, printed)
			assert.Equal(t, [][]string{{
				"gate", "--check", "--annotations", "--summary=" + r.in("summary.md"), "--outputs=" + r.in("outputs"), "--expect=" + odd, "--base=" + odd,
			}}, r.calls(t, "zmqmatrix"))
			r.outputs["measure"] = map[string]string{"folder": r.in("out"), "results": odd}
			status, printed = r.run(t, "Gate")
			assert.Zero(t, status)
			assert.Empty(t, printed)
			assert.Equal(t, [][]string{{
				"gate", "--annotations", "--summary=" + r.in("summary.md"), "--outputs=" + r.in("outputs"), "--junit=" + r.in("out/junit.xml"), "--expect=" + odd, "--base=" + odd, odd,
			}}, r.calls(t, "zmqmatrix"))
			assert.Equal(t, map[string]string{"status": "2"}, r.outputs["gate"])

			// As a block in YAML, which ends with a newline.
			r.inputs["expectations"], r.inputs["base"] = odd+"\n", odd+"\n"
			r.run(t, "Check what is known")
			assert.Equal(t, []string{"--expect=" + odd, "--base=" + odd}, r.calls(t, "zmqmatrix")[0][5:])
			r.run(t, "Gate")
			assert.Equal(t, []string{"--expect=" + odd, "--base=" + odd, odd}, r.calls(t, "zmqmatrix")[0][5:])
			r.inputs["merge"], r.inputs["seed"] = "", odd+"\n"
			r.run(t, "Measure")
			assert.Contains(t, r.calls(t, "zmqmatrix")[0], "--seed="+odd)

			// To the folder.
			write(t, r.folder, "action path $(touch pwned)/ci/action.yml", "")
			r.inputs["directory"] = odd + " that is not there"
			source := r.outputs["source"]
			status, printed = r.run(t, "Find the source")
			assert.Equal(t, 2, status)
			assert.Equal(t, "2", r.outputs["source"]["exit-status"])
			assert.Equal(t, "::error title=zmqmatrix::the input directory names no folder of the workspace; is it checked out?\n", printed)
			r.inputs["directory"], r.outputs["source"] = ".", source

			// To the name of the images.
			write(t, r.in("workspace"), "go.mod", "")
			for _, file := range []string{"go.sum", "targets/a b", "containers/c", "matrix/d"} {
				write(t, r.in("workspace"), file, "")
			}
			r.inputs["targets"], r.inputs["bindings"], r.inputs["shard"], r.inputs["plan"] = odd, odd, odd, odd
			status, printed = r.run(t, "Name the images")
			assert.Zero(t, status)
			assert.Empty(t, printed)
			assert.Regexp(t, `^zmqmatrix-images-Linux-X64-[0-9a-f]{16}-[0-9a-f]{16}$`, r.outputs["images"]["key"])
			assert.Len(t, r.outputs["images"], 2)

			// To the end.
			r.outputs["measure"], r.outputs["gate"] = map[string]string{"status": "0"}, map[string]string{"status": "0"}
			status, printed = r.run(t, "Conclude")
			assert.Zero(t, status)
			assert.Empty(t, printed)
		})
	}
}

func TestTheActionBuildsWhatItIsUsedFrom(t *testing.T) {
	r := newRunner(t)
	write(t, r.folder, "action path $(touch pwned)/ci/action.yml", "")
	r.standIn(t, "go", `pwd >`+r.in("record")+`/where; echo "$CGO_ENABLED" >>`+r.in("record")+`/where`)
	status, printed := r.run(t, "Find the source")
	assert.Zero(t, status, printed)
	root := r.in("action path $(touch pwned)")
	assert.Equal(t, map[string]string{"root": root}, r.outputs["source"])
	status, printed = r.run(t, "Build zmqmatrix")
	assert.Zero(t, status, printed)
	built := r.outputs["build"]
	calls := r.calls(t, "go")
	require.Len(t, calls, 1)
	require.Len(t, calls[0], 6)
	sources := calls[0][2]
	assert.Regexp(t, `^-X github\.com/zmqmatrix/zmqmatrix/measure\.sources=[0-9a-f]{12}$`, sources, "git has nothing to tell here")
	assert.Equal(t, []string{"build", "-ldflags", sources, "-o", built["program"], "."}, calls[0])
	where, err := os.ReadFile(r.in("record/where"))
	require.NoError(t, err)
	assert.Equal(t, root+"\n0\n", string(where))
	assert.DirExists(t, built["out"])
	assert.True(t, strings.HasPrefix(built["program"], r.in("temp")+"/"), built["program"])

	write(t, root, "targets/c/probe.c", "")
	r.run(t, "Build zmqmatrix")
	assert.NotEqual(t, sources, r.calls(t, "go")[0][2], "another source is another version")

	for _, arguments := range [][]string{{"init", "-q"}, {"-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "a"}} {
		output, err := exec.Command("git", append([]string{"-C", root}, arguments...)...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	r.run(t, "Build zmqmatrix")
	assert.Equal(t, [][]string{{"build", "-o", r.outputs["build"]["program"], "."}}, r.calls(t, "go"), "go stamps the revision")
}

func TestImagesAreKeptForOtherJobs(t *testing.T) {
	key := func(change func(*runner)) string {
		r := newRunner(t)
		for _, file := range []string{"go.mod", "go.sum", "targets/a", "containers/c", "matrix/d"} {
			write(t, r.in("workspace"), file, "")
		}
		change(r)
		r.run(t, "Name the images")
		assert.True(t, strings.HasPrefix(r.outputs["images"]["key"], r.outputs["images"]["prefix"]))
		return r.outputs["images"]["key"]
	}
	usual := key(func(*runner) {})
	assert.Equal(t, usual, key(func(r *runner) { r.inputs["features"] = "callback" }), "features don't change images")
	assert.NotEqual(t, usual, key(func(r *runner) { r.inputs["targets"] = "sbcl" }))
	assert.NotEqual(t, usual, key(func(r *runner) { r.inputs["shard"] = "1/2" }))
	plan := func(content string) func(*runner) {
		return func(r *runner) {
			r.inputs["shard"], r.inputs["plan"] = "1/2", "plan.json\n"
			write(t, r.in("workspace"), "plan.json", content)
		}
	}
	assert.Equal(t, key(plan("one")), key(plan("one")))
	assert.NotEqual(t, key(plan("one")), key(plan("two")), "another plan has other targets in the shard")
	assert.NotEqual(t, key(func(r *runner) { r.inputs["targets"] = "a" }), key(func(r *runner) { r.inputs["bindings"] = "a" }))
	assert.NotEqual(t, usual, key(func(r *runner) { write(t, r.in("workspace"), "targets/a", "changed") }))

	archive := "home/.cache/zmqmatrix-images.tar"
	t.Run("saved", func(t *testing.T) {
		r := newRunner(t)
		r.standIn(t, "docker", `case "$*" in
			"image ls --quiet zmqmatrix-supplied/*") ;;
			"image ls "*) printf '%s\n' 'zmqmatrix/sbcl:bookworm-1' '<none>:<none>' 'zmqmatrix/steps:bookworm-2' 'zmqmatrix-base:bookworm' ;;
		esac`)
		status, printed := r.run(t, "Save the images")
		assert.Zero(t, status, printed)
		assert.Equal(t, "true", r.outputs["save"]["saved"])
		calls := r.calls(t, "docker")
		require.Len(t, calls, 3)
		assert.Equal(t, []string{"image", "ls", "--filter", "label=zmqmatrix", "--format", "{{.Repository}}:{{.Tag}}"}, calls[1])
		assert.Equal(t, []string{"save", "--output", r.in(archive), "zmqmatrix/sbcl:bookworm-1", "zmqmatrix-base:bookworm"}, calls[2])
	})
	t.Run("not where there is no room, which costs no verdict", func(t *testing.T) {
		r := newRunner(t)
		r.standIn(t, "docker", `case "$*" in
			"image ls --quiet zmqmatrix-supplied/*") ;;
			"image ls "*) echo zmqmatrix/sbcl:bookworm-1 ;;
			"save "*) echo part >"$3"; exit 1 ;;
		esac`)
		status, printed := r.run(t, "Save the images")
		assert.Zero(t, status)
		assert.Contains(t, printed, "can not be kept")
		assert.Empty(t, r.outputs["save"])
		assert.NoFileExists(t, r.in(archive))
	})
	t.Run("not if the user supplied one", func(t *testing.T) {
		r := newRunner(t)
		r.standIn(t, "docker", `[[ $* != *zmqmatrix-supplied* ]] || echo 0123456789ab`)
		status, printed := r.run(t, "Save the images")
		assert.Zero(t, status, printed)
		assert.Empty(t, r.outputs["save"])
		assert.Len(t, r.calls(t, "docker"), 1, "it holds what may not leave the machine")
	})
	t.Run("not if there is none", func(t *testing.T) {
		r := newRunner(t)
		r.standIn(t, "docker", "")
		status, printed := r.run(t, "Save the images")
		assert.Zero(t, status, printed)
		assert.Empty(t, r.outputs["save"])
		assert.Len(t, r.calls(t, "docker"), 2)
	})
	t.Run("loaded, or built anew", func(t *testing.T) {
		r := newRunner(t)
		r.standIn(t, "docker", "exit 1")
		status, printed := r.run(t, "Load the images")
		assert.Zero(t, status)
		assert.Contains(t, printed, "built anew")
		assert.Equal(t, [][]string{{"load", "--quiet", "--input", r.in(archive)}}, r.calls(t, "docker"))
	})
}

func TestTheActionEndsAsTheRunAndTheGateDid(t *testing.T) {
	for name, test := range map[string]struct {
		measured, gated, shard string
		status                 int
		output, says           string
	}{
		"nothing unexpected":               {"0", "0", "", 0, "0", ""},
		"unexpected verdicts":              {"0", "1", "", 1, "1", ""},
		"the harness failed":               {"3", "0", "", 3, "3", ""},
		"both":                             {"3", "1", "", 1, "1", ""},
		"misjudged controls":               {"5", "5", "", 5, "5", ""},
		"wrong inputs":                     {"2", "", "", 2, "2", "::error title=zmqmatrix::zmqmatrix ended with status 2"},
		"wrong expectations":               {"0", "2", "", 2, "2", ""},
		"nothing ran":                      {"4", "4", "", 4, "4", ""},
		"nothing of a shard ran":           {"4", "", "2/3", 0, "4", "the gate says, for all shards"},
		"a shard's controls are misjudged": {"5", "", "2/3", 5, "5", "::error title=zmqmatrix::"},
		"a plan":                           {"0", "", "", 0, "0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t)
			r.outputs["measure"], r.outputs["gate"] = map[string]string{"status": test.measured}, map[string]string{"status": test.gated}
			r.inputs["shard"] = test.shard
			status, printed := r.run(t, "Conclude")
			assert.Equal(t, test.status, status)
			assert.Equal(t, test.output, r.outputs["conclude"]["exit-status"])
			assert.Contains(t, printed, test.says)
			if test.says == "" {
				assert.Empty(t, printed)
			}
		})
	}
}

// TestTheActionsPartsAreAWholeRun goes the way of the workflow's jobs, with the
// command itself on the fake runtime.
func TestTheActionsPartsAreAWholeRun(t *testing.T) {
	program, err := exec.LookPath("zmqmatrix")
	require.NoError(t, err)
	root := t.TempDir()
	checkout(t, root)
	job := func() *runner {
		r := newRunner(t)
		r.outputs["build"]["program"], r.outputs["source"]["root"] = program, root
		r.inputs["targets"], r.inputs["all-variants"], r.inputs["directory"] = "tiny, reference", "true", "check out"
		require.NoError(t, os.Mkdir(r.in("workspace/check out"), 0o755))
		return r
	}
	plan := job()
	plan.inputs["shards"] = "2"
	_, printed := plan.run(t, "Measure")
	require.Equal(t, "0", plan.outputs["measure"]["status"], printed)
	require.JSONEq(t, `[{"shard": "1/2", "number": 1}, {"shard": "2/2", "number": 2}]`, plan.outputs["measure"]["shards"])

	gate := job()
	for i, shard := range []string{"1/2", "2/2"} {
		part := job()
		part.inputs["shard"], part.inputs["plan"], part.inputs["seed"] = shard, plan.outputs["measure"]["plan"], "7"
		_, printed := part.run(t, "Measure")
		measured := part.outputs["measure"]
		require.Equal(t, "0", measured["status"], printed)
		assert.Equal(t, filepath.Join(measured["folder"], "published.json"), measured["results"])
		assert.FileExists(t, measured["report"])
		assert.FileExists(t, filepath.Join(measured["folder"], measure.RecordName), "the artifact has the record")
		require.NoError(t, os.CopyFS(gate.in(fmt.Sprintf("workspace/shards/zmqmatrix-shard-%d", i+1)), os.DirFS(measured["folder"])))
	}
	gate.inputs["targets"], gate.inputs["all-variants"], gate.inputs["merge"] = "", "false", "../shards"
	_, printed = gate.run(t, "Measure")
	measured := gate.outputs["measure"]
	require.Equal(t, "0", measured["status"], printed)
	merged, err := results.ReadPublished(measured["results"])
	require.NoError(t, err)
	assert.Nil(t, merged.Run.Shard)
	assert.Len(t, merged.Cells, 24)
	assert.Equal(t, uint64(7), merged.Run.Seed)
	assert.FileExists(t, measured["report"])

	t.Run("held to what is known", func(t *testing.T) {
		status, printed := gate.run(t, "Gate")
		assert.Zero(t, status, printed)
		for name, output := range gate.Outputs {
			if key, ofGate := strings.CutPrefix(output.Value, "${{ steps.gate.outputs."); ofGate {
				assert.NotEmpty(t, gate.outputs["gate"][strings.TrimSuffix(key, " }}")], name)
			}
		}
		assert.Equal(t, "0", gate.outputs["gate"]["breaking"])
		assert.Equal(t, merged.Run.ID, gate.outputs["gate"]["run"])
		assert.FileExists(t, gate.outputs["gate"]["junit"])
		summary, err := os.ReadFile(gate.in("summary.md"))
		require.NoError(t, err)
		assert.Contains(t, string(summary), "as expected")
		status, _ = gate.run(t, "Conclude")
		assert.Zero(t, status)
	})
	t.Run("with a failure that nobody expects", func(t *testing.T) {
		r := job()
		r.env = []string{"FAKE_ANSWERS=tiny@bookworm/pzmq/messaging/=fail"}
		r.run(t, "Measure")
		status, printed := r.run(t, "Gate")
		assert.Zero(t, status, "the artifact is still to be kept")
		assert.Contains(t, printed, "::error")
		assert.Equal(t, "1", r.outputs["gate"]["unexpected-failures"])
		status, _ = r.run(t, "Conclude")
		assert.Equal(t, 1, status)
	})
	t.Run("with expectations that are wrong", func(t *testing.T) {
		r := job()
		write(t, r.in("workspace/check out"), "known.yaml", "rules: everything\n")
		status, printed := r.run(t, "Check what is known")
		assert.Zero(t, status, "without a file of them: %s", printed)
		assert.Empty(t, r.outputs["check"])
		r.inputs["expectations"] = "known.yaml"
		status, printed = r.run(t, "Check what is known")
		assert.Equal(t, 2, status, "nothing is measured")
		assert.Equal(t, map[string]string{"exit-status": "2"}, r.outputs["check"])
		assert.Contains(t, printed, "known.yaml:1")
		// A shard's are checked where all are together.
		r.run(t, "Measure")
		_, printed = r.run(t, "Gate")
		assert.Contains(t, printed, "known.yaml:1")
		status, _ = r.run(t, "Conclude")
		assert.Equal(t, 2, status)
	})

	t.Run("a shard that is missing", func(t *testing.T) {
		require.NoError(t, os.RemoveAll(gate.in("workspace/shards/zmqmatrix-shard-2")))
		require.NoError(t, os.Remove(measured["results"]))
		_, printed := gate.run(t, "Measure")
		problem := gate.outputs["measure"]["problem"]
		assert.Contains(t, problem, "shards are missing: 2/2")
		assert.Equal(t, map[string]string{"status": "3", "folder": gate.in("out"), "results": "", "report": "", "problem": problem}, gate.outputs["measure"])
		assert.Contains(t, printed, problem)
	})
	t.Run("no shard at all", func(t *testing.T) {
		require.NoError(t, os.RemoveAll(gate.in("workspace/shards")))
		_, printed := gate.run(t, "Measure")
		assert.Equal(t, "2", gate.outputs["measure"]["status"])
		assert.Contains(t, printed, "no published.json")
	})
	t.Run("a selection that matches nothing", func(t *testing.T) {
		r := job()
		r.inputs["targets"] = "100%, tinny\r$(touch pwned)"
		_, printed := r.run(t, "Measure")
		problem := r.outputs["measure"]["problem"]
		assert.Contains(t, problem, "no target matches")
		assert.Contains(t, printed, "zmqmatrix: "+problem+"\n", "it is told as it comes, too")
		assert.Equal(t, map[string]string{"status": "2", "folder": r.in("out"), "results": "", "report": "", "problem": problem}, r.outputs["measure"])
		status, printed := r.run(t, "Conclude")
		assert.Equal(t, 2, status)
		assert.Equal(t, "::error title=zmqmatrix::zmqmatrix ended with status 2: "+strings.ReplaceAll(problem, "%", "%25")+"; the step Measure has all that it said\n", printed)
	})
}
