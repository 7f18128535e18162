package targets_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

var update = flag.Bool("update", false, "write the golden files")

func TestLoadReadsEveryTargetInTheOrderOfTheirNames(t *testing.T) {
	loaded, err := targets.Load("testdata/good")
	require.NoError(t, err)
	require.Len(t, loaded, 2, "a folder without target.yaml is no target")
	beta := matrix.Target{
		Schema: "zmqmatrix/target/v1", Name: "beta", Title: "Beta", Homepage: "https://example.org/alpha", Family: "c", Licence: "MIT",
		Variants: []matrix.Variant{
			{Name: "trixie", Suite: "trixie", Packages: []string{"alpha"}},
			{Name: "bookworm", Suite: "bookworm", Packages: []string{"alpha"}, Args: map[string]string{"LEVEL": "3"}, Default: true},
		},
		Image: matrix.Image{
			Supplied: "It may not be redistributed.", Include: []string{"targets/shared"}, Go: map[string]string{"probe": "./targets/shared"},
		},
		Local: matrix.Local{Requires: []string{"alpha"}, Packages: []string{"alpha"}, Build: "build.sh"},
		Bindings: []matrix.Binding{
			{Name: "raw", Title: "Raw", Raw: true, Command: []string{"{dir}/probe"}, Witness: "{dir}/libzmwitness.so"},
			{Name: "thick", Title: "Thick", Command: []string{"{dir}/probe", "thick"}, Techniques: map[string][]string{"zero-copy/*": {"plain", "pin"}}},
		},
		Techniques: map[string][]string{"callback/*-thread": {"plain", "unblock-signals"}, "*/*": {"plain"}},
		Limits:     matrix.Limits{MemoryMiB: 512, Processes: 64, TimeFactor: 1.5},
		Version:    []string{"{dir}/probe", "--version"},
		Causes: []matrix.Cause{
			{Binding: "thick", Feature: "messaging/*", Technique: "*", Outcomes: []matrix.Outcome{matrix.Crash}, Text: "It frees twice.", Source: "thick.c"},
		},
	}
	alpha := beta
	alpha.Name, alpha.Title, alpha.Role = "alpha", "Alpha", matrix.RolePositiveControl
	alpha.Image.Dockerfile, alpha.Image.Supplied = "Dockerfile", ""
	alpha.Needs = &matrix.Needs{Personality: []uint32{0x40000, 0x400000}, Reason: "It turns address space randomization off."}
	assert.Equal(t, []matrix.Target{alpha, beta}, loaded)

	one, err := targets.LoadFile("testdata/good", "testdata/good/targets/beta/target.yaml")
	require.NoError(t, err)
	assert.Equal(t, beta, one)
}

func TestAMistakeInSharedCausesIsTheRegistrys(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS("testdata/good")))
	shared := filepath.Join(root, "targets", "shared", "causes.yaml")
	require.NoError(t, os.WriteFile(shared, []byte("schema: zmqmatrix/causes/v1\ncauses:\n  - {binding: thick}\n"), 0o600))
	_, err := targets.Load(root)
	assert.ErrorContains(t, err, "targets/shared/causes.yaml:3:")
}

// The mistakes of a single file: what is replaced in alpha's, and by what.
var mistakes = []struct{ name, old, new string }{
	{"unknown key", "    witness:", "    witnes:"},
	{"wrong schema version", "target/v1", "target/v2"},
	{"name is not the folder's", "name: alpha", "name: alfa"},
	{"no default variant", "default: true", "default: false"},
	{"two default variants", "suite: trixie,", "suite: trixie, default: true,"},
	{"two variants of one name", "name: trixie", "name: bookworm"},
	{"two bindings of one name", "name: thick", "name: raw"},
	{"glob that is none", `"callback/*-thread"`, `"callback/[a-"`},
	{"glob of a binding without a group", `"zero-copy/*"`, `"*"`},
	{"no techniques", "[plain, unblock-signals]", "[]"},
	{"empty command", `["{dir}/probe", thick]`, "[]"},
	{"suite that is none", "suite: trixie", "suite: --help"},
	{"missing Dockerfile", "dockerfile: Dockerfile", "dockerfile: docker/Dockerfile"},
	{"Dockerfile that is a folder", "dockerfile: Dockerfile", "dockerfile: ."},
	{"Dockerfile outside the folder", "dockerfile: Dockerfile", "dockerfile: a/../../beta/build.sh"},
	{"neither Dockerfile nor supplied", "  dockerfile: Dockerfile\n", ""},
	{"include that does not exist", "[targets/shared]", "[targets/shared, targets/gone]"},
	{"include that is a file", "[targets/shared]", "[targets/shared/README.md]"},
	{"include outside the module", "[targets/shared]", "[targets/../../good]"},
	{"Go package that does not exist", "probe: ./targets/shared", "probe: ./targets/probe"},
	{"missing build script", "build: build.sh", "build: make.sh"},
	{"personality twice", "0x400000]", "262144]"},
	{"personality beyond 32 bits", "0x400000]", "0x140000000]"},
	{"needs of nothing", "[0x40000, 0x400000]", "[]"},
	{"needs without a reason", "\n  reason: It turns address space randomization off.", ""},
	{"several at once", "packages: [alpha]\n  build: build.sh", "packages: alpha\n  biuld: build.sh"},
	{"several that the schema can't see", ", default: true}\nimage:\n  dockerfile: Dockerfile", "}\nimage:\n  dockerfile: gone"},
}

func TestEveryMistakeIsNamedWhereItStands(t *testing.T) {
	good, err := os.ReadFile("testdata/good/targets/alpha/target.yaml")
	require.NoError(t, err)
	var text strings.Builder
	for _, mistake := range mistakes {
		t.Run(mistake.name, func(t *testing.T) {
			root := t.TempDir()
			require.NoError(t, os.CopyFS(root, os.DirFS("testdata/good")))
			require.Equal(t, 1, strings.Count(string(good), mistake.old), "the mistake is made exactly once")
			bad := strings.Replace(string(good), mistake.old, mistake.new, 1)
			path := filepath.Join(root, "targets", "alpha", "target.yaml")
			require.NoError(t, os.WriteFile(path, []byte(bad), 0o644))

			_, err := targets.LoadFile(root, path)
			require.Error(t, err)
			assert.NotEmpty(t, schema.Problems(err), "it has positions")
			assert.NotContains(t, err.Error(), root, "paths are the module's")
			text.WriteString(mistake.name + "\n  " + strings.ReplaceAll(err.Error(), "\n", "\n  ") + "\n")

			_, all := targets.Load(root)
			require.ErrorContains(t, all, err.Error(), "in the whole registry it is the same")
		})
	}
	if *update {
		require.NoError(t, os.WriteFile("testdata/mistakes.txt", []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/mistakes.txt")
	require.NoError(t, err)
	assert.Equal(t, string(want), text.String())
}

func TestTheMistakesOfAllFilesAreNamed(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS("testdata/good")))
	for _, name := range []string{"alpha", "beta"} {
		require.NoError(t, os.Remove(filepath.Join(root, "targets", name, "build.sh")))
	}
	_, err := targets.Load(root)
	assert.EqualError(t, err, `the registry of targets is wrong:
targets/alpha/target.yaml:19:10: local.build: the target's folder has no file "build.sh"; want a script there
targets/beta/target.yaml:18:10: local.build: the target's folder has no file "build.sh"; want a script there`)
}

func TestThereIsOnePositiveControlAtMost(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS("testdata/good")))
	path := filepath.Join(root, "targets", "beta", "target.yaml")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(data, "role: positive-control\n"...), 0o644))
	_, err = targets.Load(root)
	require.Error(t, err)
	assert.Equal(t, "the registry of targets is wrong:\n"+
		`targets/beta/target.yaml:38:7: role: a second positive-control; the first is "alpha"`, err.Error())
}

func TestNoTargetsAtAllIsNoRegistry(t *testing.T) {
	_, err := targets.Load(t.TempDir())
	require.ErrorContains(t, err, "has no targets/*/target.yaml")
}

func TestAFolderWithGlobCharactersIsAFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a[b]*")
	require.NoError(t, os.CopyFS(root, os.DirFS("testdata/good")))
	loaded, err := targets.Load(root)
	require.NoError(t, err)
	assert.Len(t, loaded, 2)
}

func TestTheProjectsOwnTargetsAreRight(t *testing.T) {
	root, err := targets.Root(".")
	require.NoError(t, err)
	loaded, err := targets.Load(root)
	require.NoError(t, err)
	controls := 0
	for _, target := range loaded {
		if target.Role == matrix.RolePositiveControl {
			controls++
		}
	}
	assert.Equal(t, 1, controls, "the project itself has its positive control")
}
