package docker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
)

// Labels on every container and network.
const (
	labelRun = "zmqmatrix.run"
	// labelInstance is one Runtime: a run that is resumed while its first half
	// still ends has the same run id.
	labelInstance = "zmqmatrix.instance"
	// labelOwner is the process that a thing belongs to: host:pid:start time.
	labelOwner = "zmqmatrix.owner"
	// labelSpace is where that process id means anything: the machine's boot
	// and the process id namespace. A host's name alone does not tell two
	// machines that share an engine apart.
	labelSpace = "zmqmatrix.space"
)

// foreignAge is after how long a thing of another machine's owner is taken for
// a leftover: longer than any run, since removing a live one would spoil it.
const foreignAge = 24 * time.Hour

// owner is a process as the labels name it.
type owner struct {
	Host  string
	PID   int
	Start string // clock ticks from boot to the process's start, see proc_pid_stat(5), field 22
	Space string
}

// self is this process.
func self() owner {
	host, _ := os.Hostname() // only shown to people
	pid := os.Getpid()
	start, _ := startTime(pid)
	return owner{Host: host, PID: pid, Start: start, Space: space()}
}

func (o owner) labels() map[string]string {
	return map[string]string{
		images.LabelOurs: "1",
		labelOwner:       fmt.Sprintf("%s:%d:%s", o.Host, o.PID, o.Start),
		labelSpace:       o.Space,
	}
}

// leftover reports whether a thing with these labels can be removed, as this
// process sees it: its owner was of this boot and namespace and is gone, or it
// is older than any run. start answers with the start time of a live process.
func (o owner) leftover(labels map[string]string, age time.Duration, start func(pid int) (string, bool)) bool {
	if labels[images.LabelOurs] != "1" {
		return false
	}
	parts := strings.Split(labels[labelOwner], ":")
	if o.Space == "" || labels[labelSpace] != o.Space || len(parts) != 3 {
		return age > foreignAge
	}
	pid, err := strconv.Atoi(parts[1])
	if err != nil {
		return age > foreignAge
	}
	// A process id is used again; its start time tells.
	now, alive := start(pid)
	return !alive || now != parts[2]
}

// startTime is the start time of a live process.
func startTime(pid int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The command's name, in parentheses, may hold spaces and parentheses.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const startField = 22 - 3 // the first one after the name is field 3
	if len(fields) <= startField {
		return "", false
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", false
	}
	return fields[startField], true
}

// space is empty where there is no /proc; owners are then told by age only.
func space() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + namespace
}
