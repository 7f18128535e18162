package measure

import (
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/targets"
)

// Version is the version of zmqmatrix that the Go toolchain stamped into the
// program.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return develVersion
	}
	return versionOf(info)
}

// develVersion is of a build that says nothing of where it comes from, such as
// one by a plain go run.
const develVersion = "(devel)"

// sources is a digest of the sources that the program was built from, where git
// could not tell their revision: -ldflags "-X …/measure.sources=DIGEST". Two versions
// must not go by one name, or their runs would be merged.
var sources string

// dirtySuffix marks a build of a tree with changes that are not committed.
const dirtySuffix = "+dirty"

// versionOf is a release or pseudo-version; of a checkout that the toolchain
// gave none, its revision, or a digest of its sources. In another module's
// program, such as its tests, it is the version that this module is required in.
func versionOf(info *debug.BuildInfo) string {
	for _, module := range info.Deps {
		switch {
		case module.Path != targets.Module:
		case module.Replace != nil:
			return develVersion
		default:
			return module.Version
		}
	}
	if info.Main.Version != "" && info.Main.Version != develVersion {
		return info.Main.Version
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	revision := settings["vcs.revision"]
	switch {
	case revision == "" && sources != "":
		return "devel-sources-" + sources
	case revision == "":
		return develVersion
	}
	version := "devel-" + revision[:min(len(revision), 12)]
	if settings["vcs.modified"] == "true" {
		version += dirtySuffix
	}
	return version
}

// unreleased are the versions of builds from a checkout: no revision known, a
// revision, or a pseudo-version; a changed release is one too.
var unreleased = regexp.MustCompile(`^\(devel\)$|^devel-|[-.][0-9]{14}-[0-9a-f]{12}|\+dirty$`)

// MayResume reports whether a run that one version made may go on with another.
// Besides the same version that is, within a checkout, a build that does not
// know its revision, and one of the same revision with changes that are not
// committed: somebody who mends a probe goes on with the run. What must not be
// mixed then is told apart by the plan's digest and the attempts' keys.
func MayResume(made, now string) bool {
	if made == now {
		return true
	}
	if !unreleased.MatchString(made) || !unreleased.MatchString(now) {
		return false
	}
	return made == develVersion || now == develVersion || strings.TrimSuffix(made, dirtySuffix) == strings.TrimSuffix(now, dirtySuffix)
}
