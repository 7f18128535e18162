package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/release"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/measure"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

type doctorCommand struct {
	Fix      bool   `help:"Install what is missing with apt-get, as root or through sudo, without asking (Debian and Ubuntu)."`
	Runtime  string `enum:"${runtimes}" default:"auto" help:"Check for this runtime: ${enum}. auto is the one that run would pick."`
	ForTests bool   `help:"Check for the project's own tests, which use every runtime; in continuous integration (CI=true) a missing engine is then an error."`
}

func (doctorCommand) Help() string {
	return `Exit status: 0 when the runtime that run would pick can be used, 3 when something that it
needs is missing. With --fix, what is missing is installed first.`
}

// check is one thing that was looked at.
type check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Needed: without it the runtime that was asked for can't be used, or not
	// for every target.
	Needed   bool     `json:"needed"`
	Detail   string   `json:"detail"`
	Mend     string   `json:"mend,omitempty"`     // the command that mends it
	Packages []string `json:"packages,omitempty"` // Debian packages that bring it
}

// diagnosis is what doctor found, as it is printed with --json.
type diagnosis struct {
	Runtime string  `json:"runtime"` // what run would pick, "" when none can be used
	Why     string  `json:"why"`
	OK      bool    `json:"ok"`
	Checks  []check `json:"checks"`
}

// hostTool is a program or a development file that a runtime needs on the host.
type hostTool struct {
	name     string
	runtimes []string
	packages []string
	// why says what it is for, and so what fails without it.
	why  string
	test func(ctx context.Context) error
}

// onPath holds when a program is found.
func onPath(program string) func(context.Context) error {
	return func(context.Context) error {
		_, err := exec.LookPath(program)
		return err
	}
}

// hostTools are what the runtimes need whatever the targets are. What a
// target's implementation needs stands in its target.yaml.
var hostTools = []hostTool{
	{"go", []string{"docker", "local"}, []string{"golang"}, "builds the endpoint, the warden and the Go clients", onPath("go")},
	{"mmdebstrap", []string{"docker"}, []string{"mmdebstrap"}, "builds base images from the Debian archive where no registry answers", onPath("mmdebstrap")},
	{"gcc", []string{"local"}, []string{"gcc", "libc6-dev"}, "builds the endpoint, the C client and the fixture", onPath("gcc")},
	{"libzmq", []string{"local"}, []string{"libzmq3-dev", "pkg-config"}, "libzmq's headers, for the endpoint and the clients", libzmqHeaders},
	{"gdb", []string{"local"}, []string{"gdb-minimal"}, "takes the C backtraces of crashes; without it dossiers have none", onPath("gdb")},
}

// testTools are what only the project's own tests need.
var testTools = []hostTool{
	{"chromium", nil, []string{"chromium", "fonts-dejavu-core"}, "reads the published site as people do", onPath("chromium")},
}

func libzmqHeaders(ctx context.Context) error {
	if _, err := exec.LookPath("pkg-config"); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "pkg-config", "--print-errors", "--exists", "libzmq").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// The room that is asked for, an estimate: two suites' base images and a handful
// of client images of some hundred MiB each, built programs and module caches.
// Less is only reported, since what is built already needs no room again; but a
// disk that fills up in the middle of an image's build fails in ways that are
// hard to read.
const (
	imageRoom  = 4 << 30
	cacheRoom  = 1 << 30
	recordRoom = 256 << 20
)

// engineData is where an engine on this machine keeps images by default.
const engineData = "/var/lib/docker"

func (c *doctorCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	diagnose := func() diagnosis { return c.diagnose(s, from) }
	found := diagnose()
	if c.Fix {
		packages := found.missingPackages()
		if len(packages) > 0 {
			if err := install(s, packages); err != nil {
				return err
			}
			found = diagnose()
		}
	}
	if s.json {
		if err := s.printJSON(found); err != nil {
			return err
		}
	} else {
		s.print("%s", found.text())
	}
	if !found.OK {
		return fmt.Errorf("something that a run needs is missing; %s", found.advice())
	}
	return nil
}

func (c *doctorCommand) diagnose(s *session, from sources) diagnosis {
	found := diagnosis{}
	picked, why, err := s.chooseEngine("auto")
	found.Why = why
	if err != nil {
		found.Why = err.Error()
	}
	found.Runtime = picked.Name
	needed := func(runtime string) bool {
		return c.ForTests || runtime == c.Runtime || c.Runtime == "auto" && runtime == picked.Name
	}
	for _, engine := range s.engines {
		check := check{
			Name: "runtime " + engine.Name, OK: true, Detail: "can be used",
			Needed: engine.Name == c.Runtime || engine.Name == picked.Name || c.ForTests && os.Getenv("CI") == "true",
		}
		if err := engine.Available(s); err != nil {
			check.OK = false
			check.Detail, check.Mend = measure.MendOf(err)
		}
		found.Checks = append(found.Checks, check)
	}
	tools := hostTools
	if c.ForTests {
		tools = slices.Concat(hostTools, testTools)
	}
	for _, tool := range tools {
		check := check{Name: tool.name, OK: true, Needed: c.ForTests || slices.ContainsFunc(tool.runtimes, needed), Detail: tool.why}
		if err := tool.test(s); err != nil {
			check.OK, check.Detail, check.Packages = false, tool.why+": "+err.Error(), tool.packages
			check.Mend = aptGet(tool.packages)
		}
		found.Checks = append(found.Checks, check)
	}
	for _, target := range from.targets {
		found.Checks = append(found.Checks, checkTarget(target, needed("local")))
	}
	found.Checks = append(found.Checks, checkFolder("builds", cacheRoom, measure.CacheDir),
		checkFolder("results", recordRoom, func() (string, error) { return writableOut(from) }))
	if _, err := os.Stat(engineData); err == nil && needed("docker") {
		found.Checks = append(found.Checks, checkRoom("images", imageRoom, engineData))
	}
	found.OK = picked.Name != "" && !slices.ContainsFunc(found.Checks, func(check check) bool { return check.Needed && !check.OK })
	return found
}

// checkTarget looks for what a target needs to run on the host.
func checkTarget(target matrix.Target, needed bool) check {
	check := check{Name: "target " + target.Name, OK: true, Needed: needed, Detail: target.Title + " on the host, for the local runtime"}
	var missing []string
	for _, requirement := range target.Local.Requires {
		if _, err := targets.Locate(requirement); err != nil {
			missing = append(missing, requirement)
		}
	}
	if len(missing) == 0 {
		if !releaseKept(target) {
			// A run may still get it.
			check.OK, check.Needed = false, false
			check.Detail += fmt.Sprintf(", once a run has fetched its release file, which is not here yet; where it can't, give it: --archive %s=FILE", target.Name)
		}
		return check
	}
	check.OK = false
	check.Detail = "not on this host: " + strings.Join(missing, ", ") + "; the local runtime can't run " + target.Title
	if target.Local.Supplied == "" && len(target.Local.Packages) > 0 {
		check.Packages, check.Mend = target.Local.Packages, aptGet(target.Local.Packages)
	} else {
		// Nothing that apt-get could bring, or not all of it; its cells are then
		// not-run, which is no reason to refuse the rest.
		check.Needed = false
	}
	return check
}

// releaseKept reports whether the release file that the target's default variant is
// made from, if it is, is in the cache.
func releaseKept(target matrix.Target) bool {
	cache, err := measure.CacheDir()
	if err != nil {
		return true // told by the check of that folder
	}
	store := release.NewStore(cache, nil)
	return !slices.ContainsFunc(target.Variants, func(variant matrix.Variant) bool {
		return variant.Default && !store.Kept(target, variant)
	})
}

// checkFolder holds a folder to be writable and its disk to have room.
func checkFolder(name string, want uint64, folder func() (string, error)) check {
	dir, err := folder()
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".doctor-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		check := check{Name: "disk for " + name, Needed: true, Detail: "can't be written: " + err.Error()}
		if dir != "" {
			check.Mend = asRoot("chown -R $(id -u) " + dir)
		}
		return check
	}
	return checkRoom(name, want, dir)
}

// checkRoom reports a disk that is nearly full.
func checkRoom(name string, want uint64, dir string) check {
	check := check{Name: "disk for " + name, OK: true}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		check.OK, check.Detail = false, fmt.Sprintf("asking the disk of %s for its room: %v", dir, err)
		return check
	}
	free := stat.Bavail * uint64(stat.Bsize)
	check.Detail = fmt.Sprintf("%s, %.1f GiB free", dir, float64(free)/(1<<30))
	if free < want {
		check.OK = false
		check.Detail += fmt.Sprintf(": that may be too little, %.1f GiB are wanted", float64(want)/(1<<30))
		check.Mend = "df -h " + dir
	}
	return check
}

// writableOut is the first existing folder on the way to the run folders.
func writableOut(from sources) (string, error) {
	folder, err := outFlag{}.folder(from)
	if err != nil {
		return "", err
	}
	for dir := string(folder); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, err
		}
	}
}

// asRoot puts sudo before a command for whoever is not root.
func asRoot(command string) string {
	if os.Geteuid() == 0 {
		return command
	}
	return "sudo " + command
}

func aptGet(packages []string) string {
	return asRoot("apt-get install --yes --no-install-recommends " + strings.Join(packages, " "))
}

// missingPackages are those that would mend what is needed.
func (d diagnosis) missingPackages() []string {
	var packages []string
	for _, check := range d.Checks {
		if check.Needed && !check.OK {
			packages = append(packages, check.Packages...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

func (d diagnosis) advice() string {
	if packages := d.missingPackages(); len(packages) > 0 {
		return "`zmqmatrix doctor --fix` installs " + strings.Join(packages, ", ")
	}
	return "the lines above say how to mend it"
}

func (d diagnosis) text() string {
	var out strings.Builder
	width := 0
	for _, check := range d.Checks {
		width = max(width, len(check.Name))
	}
	for _, check := range d.Checks {
		state := "ok       "
		switch {
		case !check.OK && check.Needed:
			state = "MISSING  "
		case !check.OK:
			state = "note     " // a run does without it
		}
		fmt.Fprintf(&out, "%s %-*s  %s\n", state, width, check.Name, printable(check.Detail))
		if !check.OK && check.Mend != "" {
			fmt.Fprintf(&out, "%*s  mend: %s\n", width+len(state)+1, "", check.Mend)
		}
	}
	fmt.Fprintf(&out, "\nrun would use: %s\n", printable(d.Why))
	return out.String()
}

// install installs Debian packages, and prints what it does.
func install(s *session, packages []string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("--fix installs with apt-get, which is not here (%w); install by hand what brings %s", err, strings.Join(packages, ", "))
	}
	command := func(arguments ...string) error {
		line := append([]string{apt}, arguments...)
		if os.Geteuid() != 0 {
			line = append([]string{"sudo", "DEBIAN_FRONTEND=noninteractive"}, line...)
		}
		fmt.Fprintf(s.err, "+ %s\n", strings.Join(line, " "))
		run := exec.CommandContext(s, line[0], line[1:]...)
		run.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		// Standard output stays clean for --json. sudo asks for its password on
		// the terminal itself.
		run.Stdout, run.Stderr = s.err, s.err
		if err := run.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(line, " "), err)
		}
		return nil
	}
	// A machine that was just set up knows of no package yet.
	if err := command("update", "--quiet"); err != nil {
		return err
	}
	return command(append([]string{"install", "--yes", "--quiet", "--no-install-recommends"}, packages...)...)
}
