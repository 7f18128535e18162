package feature

import (
	"slices"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// bindings is the group binding/*: what a binding is to be trusted with before
// it sends a message.
func bindings() []matrix.Feature {
	return []matrix.Feature{
		{
			Name:        "binding/loads",
			Requirement: "The binding compiles and loads without a warning of the compiler and without a conflict of names.",
			Source:      "ANSI Common Lisp, COMPILE-FILE: failure-p is true for a WARNING that is no STYLE-WARNING; gcc(1), -Wall -Wextra",
			Method:      "The build of the probe counts what was said while the binding itself was compiled and loaded, and not what it depends on.",
			Version:     1,
			Wall:        20 * time.Second,
			Judge:       judgeLoads,
		},
		{
			Name:        "binding/version",
			Requirement: "The version that the binding reports for libzmq is that of the library in the process.",
			Source:      "zmq_version(3)",
			Method:      "The binding's own function beside a call of zmq_version that does not go through the binding.",
			Version:     1,
			Wall:        20 * time.Second,
			Judge:       judgeVersion,
		},
		{
			Name:        "binding/message-size",
			Requirement: "The binding gives a zmq_msg_t at least the size that the library takes it to have.",
			Source:      "zmq.h, zmq_msg_t: 32 octets in 3.2 and 4.0, 48 in 4.1, 64 from 4.1.8; zmq_ctx_get(3), ZMQ_MSG_T_SIZE",
			Method:      "The binding's size beside the library's own word, and beside how far libzmq is seen to write in memory with a guard pattern.",
			Version:     1,
			Wall:        20 * time.Second,
			Judge:       judgeMessageSize,
		},
		{
			Name:        "binding/errors",
			Requirement: "EAGAIN, EFSM, EADDRINUSE and ETERM arrive as errors of the binding's own kind, with the right number.",
			Source:      "zmq_errno(3); zmq.h, ZMQ_HAUSNUMERO",
			Method:      "Each is provoked over inproc; what the language sees is compared with the number in zmq.h.",
			Version:     1,
			Wall:        20 * time.Second,
			Judge:       judgeErrors,
		},
	}
}

func judgeLoads(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	by := f.text("loads.by", "text")
	f.wellFormed(by != "", "loads.by is empty")
	conflicts, conflict := f.count("loads.conflicts"), f.text("loads.first-conflict", "text")
	warnings, warning := f.count("loads.warnings"), f.text("loads.first-warning", "text")
	f.wellFormed((conflicts > 0) == (conflict != ""), "%d conflicts of names, the first: %q", conflicts, conflict)
	f.wellFormed((warnings > 0) == (warning != ""), "%d warnings, the first: %q", warnings, warning)
	f.require(conflicts == 0, "conflicts of names: %d (loads.conflicts), the first: %s", conflicts, conflict)
	f.require(warnings == 0, "warnings: %d (loads.warnings), the first: %s", warnings, warning)
	f.note("compiled and loaded by %s", by)
	style := f.count("loads.style-warnings")
	f.wellFormed(style >= 0, "%d style warnings", style)
	if style > 0 {
		f.note("style warnings: %d", style)
	}
	return f.finding()
}

func judgeVersion(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	says, is := f.text("version.binding", "text"), f.text("version.library", "text")
	f.wellFormed(strings.Count(is, ".") == 2, "version.library is %q", is)
	f.require(says == is, "the binding says that libzmq is %q, and it is %s", says, is)
	if own := f.text("version.own", "text"); own != "" {
		f.note("its own version is %s", own)
	}
	return f.finding()
}

func judgeMessageSize(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	believed, library, touched := f.whole("size.believed", "bytes"), f.whole("size.library", "bytes"), f.whole("size.touched", "bytes")
	f.wellFormed(believed > 0, "size.believed is %d", believed)
	f.exercised(touched > 0, "libzmq was not seen to write into a message")
	// -1: a library from before ZMQ_MSG_T_SIZE (4.2). What it wrote is the
	// least that it takes a message to have.
	known := library > 0
	f.wellFormed(known || library == -1, "size.library is %d", library)
	f.wellFormed(!known || touched <= library, "libzmq wrote %d octets of a message of %d", touched, library)
	f.require(!known || believed >= library, "it gives a zmq_msg_t %d octets, and the library's has %d", believed, library)
	f.require(touched <= believed, "libzmq wrote %d octets of a message, for which the binding has %d", touched, believed)
	if known && believed > library {
		f.note("%d octets for a message of %d", believed, library)
	}
	return f.finding()
}

// errnos are the numbers that must arrive, on Linux. Those of libzmq's own are
// ZMQ_HAUSNUMERO (156384712) and a small number.
var errnos = []struct {
	name   string
	number int64
}{
	{"eagain", 11},
	{"efsm", 156384712 + 51},
	{"eaddrinuse", 98},
	{"eterm", 156384712 + 53},
}

func judgeErrors(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	var missing []string
	for _, errno := range errnos {
		key, name := func(k string) string { return errno.name + "." + k }, strings.ToUpper(errno.name)
		if reason := f.text(key("missing"), "text"); reason != "" {
			missing = append(missing, name+": "+reason)
			continue
		}
		condition := f.text(key("condition"), "text")
		if !f.flag(key("signalled")) {
			f.require(false, "%s passes without an error", name)
			continue
		}
		f.require(f.flag(key("own")), "%s arrives as %s, which is not of the binding's own kind", name, condition)
		number := f.countOrUnknown(key("number"))
		f.require(number != unknownCount, "%s arrives as %s, which gives no number", name, condition)
		f.require(number == unknownCount || number == errno.number, "%s arrives with the number %d, not %d", name, number, errno.number)
	}
	finding := f.finding()
	if finding.Outcome == matrix.Pass && len(missing) > 0 {
		return matrix.Finding{Outcome: matrix.Unsupported, Reason: strings.Join(slices.Compact(missing), "; ")}
	}
	return finding
}
