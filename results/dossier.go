package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// DossierInWords says what happened in one sentence, without its full stop:
// "SIGSEGV on an I/O thread of libzmq, which the runtime did not make, with
// SIGSEGV blocked, at a store into a write-protected page". What the dossier
// does not show is left out; it is empty if that is all.
func DossierInWords(dossier matrix.Dossier) string {
	if dossier.Signal == "" {
		return visible(hangInWords(dossier.Threads))
	}
	text := dossier.Signal
	if where := hitInWords(dossier); where != "" {
		text += " on " + where
	}
	if dossier.Forced {
		text += ", with " + dossier.Signal + " blocked"
	}
	if how := causeInWords(dossier); how != "" {
		text += ", " + how
	}
	return visible(text)
}

// hitInWords is the thread that a signal was for.
func hitInWords(dossier matrix.Dossier) string {
	if dossier.Thread == "" {
		return ""
	}
	if dossier.Main {
		return firstThread
	}
	for _, thread := range dossier.Threads {
		if thread.String() == dossier.Thread {
			return threadInWords(thread)
		}
	}
	name := dossier.Thread
	if end := strings.LastIndex(name, " ("); end >= 0 {
		name = name[:end]
	}
	return threadInWords(matrix.ThreadState{Name: name})
}

const (
	firstThread = "the process's first thread"
	notRuntimes = ", which the runtime did not make"
)

// threadInWords is a thread that is not the process's first. Whose it is, is
// known by where it starts, or else by the name that libzmq and the fixture give
// theirs. A start elsewhere speaks against the name.
func threadInWords(thread matrix.ThreadState) string {
	function, place, found := strings.Cut(thread.Start, " in ")
	if !found {
		function, place = "", thread.Start
	}
	libzmqs, fixtures := strings.HasPrefix(place, "libzmq.so"), place == "fixture.c" || place == "libzmfixture.so"
	kind, number, _ := strings.Cut(strings.TrimPrefix(thread.Name, "ZMQbg/"), "/")
	named := strings.HasPrefix(thread.Name, "ZMQbg/") && (libzmqs || thread.Start == "")
	_, err := strconv.Atoi(number)
	switch {
	case named && kind == "IO" && err == nil:
		return "an I/O thread of libzmq" + notRuntimes
	case named && kind == "Reaper" && number == "":
		return "libzmq's reaper thread" + notRuntimes
	case libzmqs:
		return "a thread of libzmq" + notRuntimes
	case fixtures, thread.Name == "zm-caller" && thread.Start == "":
		return "a thread of the test's fixture" + notRuntimes
	}
	text := fmt.Sprintf("the thread “%s”", bounded(thread.Name, mostName))
	switch {
	case function != "":
		text += fmt.Sprintf(" (starting in %s, %s)", bounded(function, mostName), bounded(place, mostName))
	case place != "":
		text += fmt.Sprintf(" (starting in %s)", bounded(place, mostName))
	}
	return text
}

// causeInWords is what the signal was for.
func causeInWords(dossier matrix.Dossier) string {
	switch dossier.Sender {
	case matrix.SenderSelf:
		return "sent by the process itself"
	case matrix.SenderOther:
		return "sent by another process"
	}
	address, err := strconv.ParseUint(dossier.Address, 0, 64)
	switch {
	case dossier.Signal == "SIGSEGV" && dossier.Code == "SI_KERNEL":
		return "at a fault without an address, as through a pointer that can't be one"
	case dossier.Code == "SEGV_MAPERR" && dossier.Access == matrix.AccessExecute:
		return "at a jump to where nothing is mapped"
	case dossier.Code == "SEGV_MAPERR" && err == nil && address < firstPage:
		return "at an access through a null pointer"
	case dossier.Code == "SEGV_MAPERR":
		return "at an access to where nothing is mapped"
	case dossier.Code == "SEGV_ACCERR" && dossier.Access == matrix.AccessExecute:
		return "at a jump into a page that may not be executed"
	case dossier.Code == "SEGV_ACCERR" && dossier.Access == matrix.AccessWrite:
		return "at a store into a write-protected page"
	case dossier.Code == "SEGV_ACCERR" && strings.HasPrefix(dossier.Page, "---"):
		return "at an access to a page without any rights"
	case dossier.Code == "SEGV_ACCERR":
		return "at an access that its page does not allow"
	case dossier.Code == "BUS_ADRERR":
		return "at an access to memory that is not there, as past the end of a mapped file"
	case dossier.Code == "BUS_ADRALN":
		return "at a misaligned access"
	case dossier.Code == "FPE_INTDIV":
		return "at an integer division by zero, or one whose result is too large"
	case dossier.Signal == "SIGILL" && strings.HasPrefix(dossier.Code, "ILL_"):
		return "at an instruction that the processor refuses"
	case dossier.Signal == "SIGTRAP" && (dossier.Code == "SI_KERNEL" || dossier.Code == "TRAP_BRKPT"):
		return "at a breakpoint instruction"
	}
	return ""
}

// firstPage is the memory that no program has, so that a null pointer leads
// nowhere.
const firstPage = 4096

// mostGroups bounds the kinds of threads that a hang is told by.
const mostGroups = 6

// hangInWords is what the threads of a process that did not end were doing,
// those alike together.
func hangInWords(threads []matrix.ThreadState) string {
	type group struct {
		who, state string
		count      int
	}
	var groups []group
	for i, thread := range threads {
		if thread.State == "" {
			continue
		}
		who := firstThread
		if i > 0 {
			who = strings.TrimSuffix(threadInWords(thread), notRuntimes)
		}
		known := slices.IndexFunc(groups, func(g group) bool { return g.who == who && g.state == thread.State })
		if known < 0 {
			groups = append(groups, group{who, thread.State, 1})
			continue
		}
		groups[known].count++
	}
	var parts []string
	left := 0
	for i, g := range groups {
		switch {
		case i >= mostGroups:
			left += g.count
		case g.count > 1:
			parts = append(parts, fmt.Sprintf("%s %s (and %s like it)", g.who, bounded(g.state, mostName), plural(g.count-1, "more thread")))
		default:
			parts = append(parts, g.who+" "+bounded(g.state, mostName))
		}
	}
	if left > 0 {
		parts = append(parts, plural(left, "more thread"))
	}
	if len(parts) == 0 {
		return ""
	}
	return "when its time was up: " + strings.Join(parts, "; ")
}

// DossierFacts are a dossier's parts with names, without its backtrace and the
// sentence that they come to.
func DossierFacts(dossier matrix.Dossier) [][2]string {
	thread := dossier.Thread
	if thread != "" {
		thread += map[bool]string{true: ", the process's first", false: ", not the process's first"}[dossier.Main]
	}
	var page []string
	if dossier.Page != "" {
		page = append(page, map[bool]string{true: "not mapped", false: dossier.Page}[dossier.Page == matrix.PageNone])
	}
	if dossier.Access != "" {
		page = append(page, string(dossier.Access))
	}
	handler := ""
	if dossier.Forced {
		handler = "taken away by the kernel, as the thread blocked " + dossier.Signal
	}
	var facts [][2]string
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, [2]string{name, visible(value)})
		}
	}
	add("signal", strings.TrimSpace(dossier.Signal+" "+dossier.Code))
	add("sender", string(dossier.Sender))
	add("address", dossier.Address)
	add("page", strings.Join(page, ", "))
	add("executing", dossier.Instruction)
	add("thread", thread)
	add("handler", handler)
	add("blocked", strings.Join(dossier.Blocked, " "))
	for _, state := range dossier.Threads {
		text := fmt.Sprintf("%d %s", state.ID, state.Name)
		if state.State != "" {
			text += ", " + state.State
		}
		if state.Start != "" {
			text += "; starts in " + state.Start
		}
		if state.Maker != 0 {
			text += fmt.Sprintf("; made by %d", state.Maker)
		}
		add("had thread", text)
	}
	add("missing", dossier.Missing)
	return facts
}
