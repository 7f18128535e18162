package measure

import (
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/targets"
)

func TestVersionOfABuild(t *testing.T) {
	setting := func(pairs ...string) (settings []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			settings = append(settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return settings
	}
	const revision = "c57b973c69ae0123456789abcdef0123456789ab"
	for want, info := range map[string]debug.BuildInfo{
		"v1.2.3": {Main: debug.Module{Version: "v1.2.3"}},
		"v0.0.0-20261124212433-c57b973c69ae+dirty": {Main: debug.Module{Version: "v0.0.0-20261124212433-c57b973c69ae+dirty"}, Settings: setting("vcs.revision", revision, "vcs.modified", "true")},
		"devel-c57b973c69ae":                       {Main: debug.Module{Version: "(devel)"}, Settings: setting("vcs.revision", revision, "vcs.modified", "false")},
		"devel-c57b973c69ae+dirty":                 {Settings: setting("vcs.revision", revision, "vcs.modified", "true")},
		"devel-17":                                 {Settings: setting("vcs.revision", "17")},
		"(devel)":                                  {Main: debug.Module{Version: "(devel)"}},
	} {
		assert.Equal(t, want, versionOf(&info))
	}
}

func TestVersionOfABuildWithoutGitNamesItsSources(t *testing.T) {
	program := filepath.Join(t.TempDir(), "zmqmatrix")
	for want, arguments := range map[string][]string{
		"devel-sources-0123456789ab": {"-ldflags", "-X github.com/zmqmatrix/zmqmatrix/measure.sources=0123456789ab"},
		"(devel)":                    nil,
	} {
		built := exec.Command("go", slices.Concat([]string{"build", "-buildvcs=false", "-o", program}, arguments, []string{".."})...)
		output, err := built.CombinedOutput()
		require.NoError(t, err, "%s", output)
		output, err = exec.Command(program, "--version").Output()
		require.NoError(t, err)
		assert.Equal(t, want, strings.TrimSpace(strings.TrimPrefix(string(output), "zmqmatrix")))
	}
}

func TestVersionInAnotherModulesProgram(t *testing.T) {
	info := debug.BuildInfo{
		Main: debug.Module{Path: "example.org/consumer", Version: "v9.9.9"},
		Deps: []*debug.Module{{Path: "example.org/other", Version: "v3.0.0"}, {Path: targets.Module, Version: "v1.2.3"}},
	}
	assert.Equal(t, "v1.2.3", versionOf(&info))
	info.Deps[1].Replace = &debug.Module{Path: "../zmqmatrix"}
	assert.Equal(t, "(devel)", versionOf(&info), "a checkout that nothing is known of")
}

func TestWhichBuildMayResumeARun(t *testing.T) {
	const pseudo, other = "v0.0.0-20261124212433-c57b973c69ae", "v0.0.0-20261124212928-cd8ddd8cd8dd"
	for _, test := range []struct {
		made, now string
		may       bool
	}{
		{"v1.2.3", "v1.2.3", true},
		{"v1.2.3", "v1.2.4", false},
		{"v1.2.3", "(devel)", false},
		{"(devel)", "v1.2.3", false},
		{"v1.2.3", "v1.2.3+dirty", false},
		{"(devel)", "(devel)", true},
		{pseudo, "(devel)", true},
		{"(devel)", pseudo + "+dirty", true},
		{pseudo, pseudo + "+dirty", true},
		{pseudo + "+dirty", pseudo, true},
		{pseudo, other, false},
		{"v1.2.4-0.20261124212433-c57b973c69ae", "v1.2.4-0.20261124212433-c57b973c69ae+dirty", true},
		{"v1.2.3-rc.0.20261124212433-c57b973c69ae", "(devel)", true},
		{pseudo + "+dirty", other + "+dirty", false},
		{"devel-c57b973c69ae", "devel-c57b973c69ae+dirty", true},
		{"devel-c57b973c69ae", "devel-cd8ddd8cd8dd", false},
		{"devel-sources-c57b973c69ae", "devel-sources-cd8ddd8cd8dd", false},
	} {
		assert.Equal(t, test.may, MayResume(test.made, test.now), "%s, then %s", test.made, test.now)
	}
}
