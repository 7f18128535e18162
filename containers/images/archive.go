package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errStaleArchive is that the archive's copy of a suite is past its validity
// date.
var errStaleArchive = errors.New("the archive's copy of this suite is past its validity date")

// bootstrap builds the base of a suite from the Debian archive on the host and
// imports it. Two of the same archive are byte for byte the same.
func bootstrap(ctx context.Context, engine Engine, suite, tag string, stale bool) error {
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return errors.New("no registry answers and mmdebstrap, which builds the base from the Debian archive, is not installed: apt-get install mmdebstrap")
	}
	// Whatever ends the import early ends mmdebstrap too, before we return.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	command := exec.CommandContext(ctx, program, bootstrapArguments(suite, stale)...)
	command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(buildTime.Unix(), 10))
	// mmdebstrap runs apt and dpkg below itself and removes its folder when it
	// is interrupted, not when it is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGINT) }
	command.WaitDelay = 20 * time.Second
	said := &tail{limit: outputLines}
	command.Stderr = said
	rootfs, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	wait := sync.OnceValue(command.Wait)
	// Half an archive is a valid tar to the engine if mmdebstrap dies between
	// two files, so the stream must not end well when mmdebstrap did not.
	importErr := engine.Import(ctx, tag, &checkedStream{source: rootfs, end: wait}, ours(suite))
	if importErr != nil {
		stop()
	}
	// The engine may stop reading at the tar's own end, a few zeros early.
	_, drainErr := io.Copy(io.Discard, rootfs)
	if waitErr := wait(); importErr == nil && waitErr != nil {
		importErr = errors.Join(waitErr, drainErr)
	}
	if early := (*endedEarlyError)(nil); errors.As(importErr, &early) {
		// The engine's words about its broken request say nothing more.
		importErr = early
	}
	if importErr != nil {
		return bootstrapError(importErr, said.String())
	}
	return nil
}

// mergedUsr is mmdebstrap's own hook that merges /usr where the suite knows how
// to, before any package is unpacked. Older versions have none.
const mergedUsr = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"

// bootstrapArguments are what makes a base like the registry's slim ones:
// nothing but what is essential, no documentation, no package cache.
func bootstrapArguments(suite string, stale bool) []string {
	arguments := []string{
		"--variant=minbase", "--format=tar",
		// What the registry's slim images leave out; the most of the files.
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/lintian/*",
		// An image that is lost in a power cut is built again.
		"--dpkgopt=force-unsafe-io",
		`--aptopt=APT::Install-Recommends "false"`,
		// For what is installed on top; mmdebstrap itself needs its downloads. The
		// caches of package lists are 64 MB and more of every layer that installs.
		`--customize-hook=printf '%s\n' 'APT::Keep-Downloaded-Packages "false";' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' >"$1/etc/apt/apt.conf.d/99keep-no-packages"`,
		`--aptopt=Acquire::Languages "none"`,
	}
	// Without it bookworm comes with all of perl, which only usrmerge needs, once.
	if _, err := os.Stat(mergedUsr); err == nil {
		arguments = append(arguments, "--hook-dir="+mergedUsr)
	}
	if stale {
		arguments = append(arguments, `--aptopt=Acquire::Check-Valid-Until "false"`)
	}
	return append(arguments, suite, "-")
}

// bootstrapError says what to do about a failure of mmdebstrap.
func bootstrapError(err error, said string) error {
	advice := ""
	switch {
	case strings.Contains(said, "is not valid anymore") || strings.Contains(said, "is expired"):
		err = fmt.Errorf("%w: %w", err, errStaleArchive)
		advice = "\nIf that is the mirror's lateness and not an attack, accept it explicitly (--stale-archive)."
	case strings.Contains(said, "Temporary failure resolving") || strings.Contains(said, "Could not connect"):
		advice = "\nThe Debian archive can't be reached from this machine."
	case strings.Contains(said, "does not have a Release file") || strings.Contains(said, "404  Not Found"):
		advice = "\nThe archive does not have this suite (any more)."
	}
	if said == "" {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	return fmt.Errorf("mmdebstrap: %w%s\n%s", err, advice, said)
}
