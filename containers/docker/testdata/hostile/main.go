// Command hostile is a client that tries to get out of its container, for the
// test of containment. It is built without cgo, into the image of a test.
//
//	hostile listen PORT     accepts connections and says so on standard output
//	hostile try ADDRESS...  tries all that it knows of, and to connect to each ADDRESS
//
// Of each attempt it writes one JSON line; of the thousands of files and folders,
// of those that were granted. It only asks: where something is granted it is used
// for nothing.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attempt is one line of the output.
type attempt struct {
	Try   string `json:"try"`
	Got   bool   `json:"got"`   // whether it was granted
	Error string `json:"error"` // what was said otherwise
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "listen":
		listen(os.Args[2])
	case len(os.Args) >= 2 && os.Args[1] == "try":
		try(os.Args[2:])
	default:
		fmt.Fprintln(os.Stderr, "usage: hostile listen PORT | hostile try ADDRESS...")
		os.Exit(2)
	}
}

func listen(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Println("reached")
		connection.Close()
	}
}

func try(addresses []string) {
	output := json.NewEncoder(os.Stdout)
	say := func(name string, err error) {
		line := attempt{Try: name, Got: err == nil}
		if err != nil {
			line.Error = err.Error()
		}
		_ = output.Encode(line)
	}
	for _, asked := range privileges() {
		say(asked.name, asked.ask())
	}
	for _, asked := range warden() {
		say(asked.name, asked.ask())
	}
	for _, address := range addresses {
		connection, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err == nil {
			connection.Close()
		}
		say("connect "+address, err)
	}
	places(say)
}

type request struct {
	name string
	ask  func() error
}

// privileges are what an unprivileged process may not have.
func privileges() []request {
	return []request{
		{"setuid", func() error { return unix.Setresuid(0, 0, 0) }},
		{"setgid", func() error { return unix.Setresgid(0, 0, 0) }},
		{"setgroups", func() error { return unix.Setgroups([]int{0}) }},
		{"capset", func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0)}, {Effective: ^uint32(0), Permitted: ^uint32(0)}}
			return unix.Capset(&header, &all[0])
		}},
		{"no-new-privileges off", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) }},
		{"user namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"network namespace", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{"mount namespace", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"mount", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
		{"remount of the root", func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		{"chroot", func() error { return unix.Chroot("/tmp") }},
		{"block device", func() error { return unix.Mknod("/tmp/device", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) }},
		{"host name", func() error { return unix.Sethostname([]byte("hostile")) }},
		{"performance counters", func() error {
			_, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}, -1, 0, -1, 0)
			return err
		}},
		{"packet socket", func() error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300) }},
		{"raw socket", func() error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP) }},
	}
}

func socket(domain, kind, protocol int) error {
	_, err := unix.Socket(domain, kind, protocol)
	return err
}

// warden are the ways to who supervises: what is read and written there decides
// verdicts.
func warden() []request {
	open := func(name string, flags int) func() error {
		return func() error {
			file, err := os.OpenFile(name, flags, 0)
			if err != nil {
				return err
			}
			return file.Close()
		}
	}
	return []request{
		{"trace the warden", func() error { return unix.PtraceSeize(1) }},
		{"the warden's memory", open("/proc/1/mem", os.O_RDWR)},
		{"the warden's standard input", open("/proc/1/fd/0", os.O_RDONLY)},
		{"the warden's standard output", open("/proc/1/fd/1", os.O_WRONLY)},
		{"the warden's environment", open("/proc/1/environ", os.O_RDONLY)},
		{"the warden's descriptors", func() error {
			of, err := unix.PidfdOpen(1, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(of, 1, 0)
			return err
		}},
		{"the warden's limits", func() error {
			limit := unix.Rlimit{}
			return unix.Prlimit(1, unix.RLIMIT_NOFILE, nil, &limit)
		}},
	}
}

// places tries every folder for a new file, and every file of the kernel's and
// of the devices for writing; a socket anywhere is tried, too.
func places(say func(string, error)) {
	own, _ := os.Getwd()
	null := unix.Mkdev(1, 3)
	tried := 0
	granted := func(name string, err error) {
		tried++
		if err == nil {
			say(name, nil)
		}
	}
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case path == own, strings.HasPrefix(path, "/proc/") && strings.Trim(strings.Split(path, "/")[2], "0123456789") == "", path == "/proc/self", path == "/proc/thread-self":
			return fs.SkipDir // its own, or a process's
		case entry.IsDir():
			file, err := os.CreateTemp(path, "hostile")
			if err == nil {
				file.Close()
				os.Remove(file.Name())
			}
			granted("create in "+path, err)
		case entry.Type()&fs.ModeSocket != 0:
			connection, err := net.Dial("unix", path)
			if err == nil {
				connection.Close()
			}
			say("socket "+path, err)
		case entry.Type().IsRegular() || entry.Type()&fs.ModeDevice != 0:
			var status unix.Stat_t
			if unix.Stat(path, &status) == nil && status.Mode&unix.S_IFMT == unix.S_IFCHR && status.Rdev == null {
				return nil // what the engine hides it puts /dev/null over
			}
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
			if err == nil {
				unix.Close(fd)
			}
			granted("write "+path, err)
		}
		return nil
	})
	if tried < 1000 {
		say("places", fmt.Errorf("only %d: what was looked for is not there", tried))
	}
	for _, path := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"} {
		connection, err := net.Dial("unix", path)
		if err == nil {
			connection.Close()
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrNotExist
		}
		say("engine "+path, err)
	}
}
