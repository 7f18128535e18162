//go:build cgo && linux

package check

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
	"github.com/zmqmatrix/zmqmatrix/matrix/feature"
)

// edit replaces the one place in a source that has the old text.
type edit struct{ file, old, new string }

// mutant is a C client in which one step is done otherwise, and what the judge
// must find for it: sentences of the reason, all of them and in their order, as
// regular expressions. So each point of a proof is seen to fail on its own.
type mutant struct {
	feature string
	whole   bool // as much as in a run; otherwise fewer messages
	edits   []edit
	outcome matrix.Outcome
	finds   []string
}

// few are parameters with which a feature needs no more time than it must.
func few(catalogued matrix.Feature) matrix.Feature {
	fewer := map[string]string{}
	switch {
	case catalogued.Params["copy-count"] != "":
		fewer = map[string]string{"count": "24"}
	case catalogued.Name == "static-area/release":
		fewer = map[string]string{"count": "400"}
	}
	catalogued.Params, catalogued.Lane = maps.Clone(catalogued.Params), slices.Clone(catalogued.Lane)
	maps.Copy(catalogued.Params, fewer)
	for i, socket := range catalogued.Lane {
		if count := fewer["count"]; count != "" && socket.Name == "sink" {
			catalogued.Lane[i].Count, _ = strconv.Atoi(count)
		}
	}
	return catalogued
}

// sentInPlace is the send of the zero-copy features.
const sentInPlace = `  zmq_msg_t message;
  if (zmq_msg_init_data (&message, array, size, free_function (), (void *) (uintptr_t) hint))
    fail_errno ("zmq_msg_init_data");
`

// sentAsCopyIf sends a copy instead, and says nothing of it, if the condition
// holds.
func sentAsCopyIf(condition string) []edit {
	return []edit{{"zero_copy.c", sentInPlace, `  zmq_msg_t message;
  if (` + condition + `)
    {
      zmq_msg_init_size (&message, size);
      memcpy (zmq_msg_data (&message), array, size);
    }
  else if (zmq_msg_init_data (&message, array, size, free_function (), (void *) (uintptr_t) hint))
    fail_errno ("zmq_msg_init_data");
`}}
}

// What a finding says of the points of the zero-copy proof.
const (
	otherAddress = `over inproc the receiver has the data at 0x[0-9a-f]+, not at the array's 0x[0-9a-f]+`
	storeUnseen  = `over inproc the receiver does not see a store made after the send: \d+ instead of \d+`
	notGiven     = `the kernel was given \d+ of the \d+ octets that libzmq can send without a copy from the arrays' own addresses`
)

var mutants = map[string]mutant{
	// Point 1 of the zero-copy proof: over inproc, one memory.
	"a copying send passed off as zero-copy": {
		feature: "zero-copy/kept-alive", edits: sentAsCopyIf("1"),
		outcome: matrix.Fail, finds: []string{otherAddress, storeUnseen, notGiven},
	},
	"a copy over inproc alone": {
		feature: "zero-copy/kept-alive", edits: sentAsCopyIf("hint > count"),
		outcome: matrix.Fail, finds: []string{otherAddress, storeUnseen},
	},
	"another array's address over inproc": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", `"inproc.array-address", array)`, `"inproc.array-address", array + !copied)`}},
		outcome: matrix.Fail, finds: []string{otherAddress},
	},
	"no store after the send": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "  *element = stored;\n", ""}},
		outcome: matrix.Fail, finds: []string{storeUnseen},
	},
	// Point 2: every octet over tcp.
	"one octet of one message is wrong": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "      send_in_place (socket, array, size, i + 1);\n", "      array[size - 1] ^= i == 5;\n      send_in_place (socket, array, size, i + 1);\n"}},
		outcome: matrix.Fail, finds: []string{`1 of 24 messages on "sink" arrived with other bytes or in another order`},
	},
	"memory used again before libzmq is done with it": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "      send_in_place (socket, array, size, i + 1);\n", "      send_in_place (socket, array, size, i + 1);\n      memset (array, 0, size);\n"}},
		outcome: matrix.Fail, finds: []string{`\d+ of 24 messages on "sink" arrived with other bytes or in another order`},
	},
	"one message less": {
		feature: "messaging/push-pull",
		edits: []edit{{"messaging.c", `      step ("send message %lu", (unsigned long) i);
`, `      step ("send message %lu", (unsigned long) i);
      if (i + 1 == count)
        break;
`}},
		outcome: matrix.Fail, finds: []string{`the endpoint received 31 of 32 messages on "sink"`},
	},
	"one array less than messages": {
		feature: "zero-copy/kept-alive",
		edits: []edit{{"zero_copy.c", `      append (&list, "%s%p+%lu", i ? "," : "", (void *) array,`, `      if (i)
        append (&list, "%s%p+%lu", i > 1 ? "," : "", (void *) array,`}},
		outcome: matrix.Fail, finds: []string{`the report can't be judged: tcp.arrays lists 23 of 24 arrays`, `tcp.arrays: message 0 is "0x[0-9a-f]+\+262144"`},
	},
	// Point 3: the kernel is given the arrays' own addresses.
	"a copy over tcp alone": {
		feature: "zero-copy/kept-alive", edits: sentAsCopyIf("hint <= count"),
		outcome: matrix.Fail, finds: []string{notGiven},
	},
	"one message of four copied": {
		feature: "zero-copy/kept-alive", edits: sentAsCopyIf("hint <= count && hint % 4 == 0"),
		outcome: matrix.Fail, finds: []string{notGiven},
	},
	"arrays in another order than they were sent": {
		feature: "zero-copy/wire",
		edits:   []edit{{"zero_copy.c", "  observe_string (\"tcp.arrays\", text_of (&list), \"list\");\n", "  struct text turned = { 0 };\n  for (uint64_t i = count; i--;)\n    append (&turned, \"%s%p+%lu\", turned.length ? \",\" : \"\", (void *) arrays[i], 1048576ul);\n  observe_string (\"tcp.arrays\", text_of (&turned), \"list\");\n"}},
		outcome: matrix.Fail, finds: []string{notGiven},
	},
	// Point 4: released once, and memory bounded.
	"a buffer released twice": {
		feature: "zero-copy/callback-free",
		edits:   []edit{{"zero_copy.c", "  release (data, hint);\n}\n\nstatic zmq_free_fn", "  release (data, hint);\n  if ((uintptr_t) hint == 7)\n    marks[6]++;\n}\n\nstatic zmq_free_fn"}},
		outcome: matrix.Fail, finds: []string{`buffers released exactly once: 23 of 24 \(release.once\)`, `buffers released more than once: 1 \(release.repeated\)`},
	},
	"a buffer never released": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "hint = 1; hint <= count + 1; hint++", "hint = 2; hint <= count + 1; hint++"}},
		outcome: matrix.Fail, finds: []string{`buffers released exactly once: 23 of 24 \(release.once\)`},
	},
	"a buffer released that was never sent": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "  if (way == KEPT_ALIVE)\n", "  release (NULL, NULL);\n  if (way == KEPT_ALIVE)\n"}},
		outcome: matrix.Fail, finds: []string{`releases of a buffer that was never sent: 1 \(release.unknown\)`},
	},
	"released and not given back": {
		feature: "zero-copy/deferred-free", whole: true,
		edits:   []edit{{"zero_copy.c", "  if (marks[number - 1]++ == 0)\n    free (data);\n", "  marks[number - 1]++;\n"}},
		outcome: matrix.Fail, finds: []string{`the resident size grew by \d+ MiB, more than 112`},
	},
	"libc's free given nothing": {
		feature: "zero-copy/native-free", whole: true,
		edits:   []edit{{"zero_copy.c", "        return (zmq_free_fn *) zm_libc_free ();\n", "        return NULL;\n"}},
		outcome: matrix.Fail, finds: []string{`the resident size grew by \d+ MiB, more than 112`},
	},
	"released on the main thread": {
		feature: "zero-copy/callback-free",
		edits: []edit{
			{"zero_copy.c", "        return freed_by_libzmq;\n", "        return (zmq_free_fn *) zm_queue_free_address ();\n"},
			{"zero_copy.c", "  while (way == DEFERRED_FREE && zm_queue_take (&data, &hint))\n    release (data, hint);\n", "  while (zm_queue_take (&data, &hint))\n    freed_by_libzmq (data, hint);\n"},
		},
		outcome: matrix.Fail, finds: []string{`free functions ran on the main thread \[\d+\]`, `a free function ran on thread \d+, and libzmq sent on \[\d+\]: no I/O thread`},
	},
	"a callback where there is to be none": {
		feature: "zero-copy/deferred-free",
		edits:   []edit{{"zero_copy.c", "      return (zmq_free_fn *) zm_queue_free_address ();\n", "      return freed_by_libzmq;\n"}},
		outcome: matrix.Fail, finds: []string{`the report can't be judged: free functions of the client's ran on threads \[\d+\], and this is a way without any`},
	},
	// Point 5: the control shows none of it.
	"a control that does not copy over inproc": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "  if (zmq_msg_init_size (&message, size))\n    fail_errno (\"zmq_msg_init_size\");\n  memcpy (zmq_msg_data (&message), array, size);\n", "  if (zmq_msg_init_data (&message, (void *) array, size, NULL, NULL))\n    fail_errno (\"zmq_msg_init_data\");\n"}},
		outcome: matrix.Error, finds: []string{`not exercised: an ordinary copying send over inproc shows the sender's memory: the proof proves nothing`},
	},
	"a control that does not copy over tcp": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", "      if (zmq_send (copy, copied[i], copy_size, 0) < 0)\n", "      zmq_msg_t message;\n      zmq_msg_init_data (&message, copied[i], copy_size, NULL, NULL);\n      if (zmq_msg_send (&message, copy, 0) < 0)\n"}},
		outcome: matrix.Error, finds: []string{`not exercised: the witness takes \d+ octets of an ordinary copying send for the array's own: it proves nothing`},
	},
	"a client that is no C, and does not collect": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"probe.c", `\"collector\":\"none\"`, `\"collector\":\"moving\"`}},
		outcome: matrix.Error, finds: []string{`not exercised: only 0 full GCs \(gc.during\), want 3`},
	},
	"a client without a collector that collects": {
		feature: "zero-copy/kept-alive",
		edits:   []edit{{"zero_copy.c", `observe_count ("gc.during", 0)`, `observe_count ("gc.during", 16)`}},
		outcome: matrix.Fail, finds: []string{`the report can't be judged: the client says that it has no collector, and did 16 full GCs \(gc.during\)`},
	},
	"a view that is a copy": {
		feature: "zero-copy/receive-in-place",
		edits:   []edit{{"zero_copy.c", "      unsigned char *view = address; /* in C a view is the address */\n", "      unsigned char *view = allocate (size);\n      memcpy (view, address, size);\n"}},
		outcome: matrix.Fail, finds: []string{`bodies viewed at zmq_msg_data's own address: 0 of 8 .*`, `stores by C that the view showed: 0 of 8 .*`, `stores through the view that C saw: 0 of 8 .*`},
	},
	"a view that is a copy and says it is none": {
		feature: "zero-copy/receive-in-place",
		edits: []edit{
			{"zero_copy.c", "      unsigned char *view = address; /* in C a view is the address */\n", "      unsigned char *view = allocate (size);\n      memcpy (view, address, size);\n"},
			{"zero_copy.c", "in_place += view == address", "in_place += 1"},
		},
		outcome: matrix.Fail, finds: []string{`stores by C that the view showed: 0 of 8 .*`, `stores through the view that C saw: 0 of 8 .*`},
	},

	// Callbacks.
	"a callback counted and not made": {
		feature: "callback/same-thread",
		edits:   []edit{{"callback.c", "  zm_call_here (called, calls, task_seed ());\n", "  uint64_t cell;\n  for (uint64_t k = 0; k < calls; k++)\n    called (k, k, &cell);\n"}},
		outcome: matrix.Fail, finds: []string{`calls whose result and store were right: 0 of 1000 .*`, `the callbacks ran on threads \[\d+\], but C called on \[\]`},
	},
	"a free counted and not made": {
		feature: "callback/io-thread",
		edits:   []edit{{"callback.c", "  wait_for (&freed, count);\n", "  for (uint64_t k = 0; k < count; k++)\n    freed_by_libzmq (bodies[k], (void *) (uintptr_t) (k + 1));\n"}, {"callback.c", "bodies[i], size, free_function,", "bodies[i], size, (free_function = NULL),"}},
		outcome: matrix.Fail, finds: []string{`free functions ran on the main thread \[\d+\]`, `the frees ran on threads named "probe", not all of which are libzmq's`,
			`a free function ran on thread \d+, and libzmq sent on \[\d+\]: no I/O thread`},
	},
	"a result that is wrong": {
		feature: "callback/same-thread",
		edits:   []edit{{"callback.c", "  return value ^ sequence;\n", "  return value ^ (sequence == 500);\n"}},
		outcome: matrix.Fail, finds: []string{`calls whose result and store were right: 1 of 1000 .*`},
	},
	"a store that is not made": {
		feature: "callback/same-thread",
		edits:   []edit{{"callback.c", "  *cell = sequence;\n", "  if (sequence != 500)\n    *cell = sequence;\n"}},
		outcome: matrix.Fail, finds: []string{`calls whose result and store were right: 999 of 1000 .*`},
	},
	"a call seen twice": {
		feature: "callback/concurrent-threads",
		edits:   []edit{{"callback.c", "    marks[sequence]++;\n", "    marks[sequence] += 1 + (sequence == 500);\n"}},
		outcome: matrix.Fail, finds: []string{`calls that the client saw once: 3999 of 4000 .*`, `calls that the client saw more than once: 1 .*`},
	},
	"calls on the wrong thread": {
		feature: "callback/foreign-thread",
		edits:   []edit{{"callback.c", "  int error = zm_call_threads (called_by_technique (), 1, calls, parameter (\"pace-us\"),\n                               0, task_seed ());\n", "  int error = 0;\n  zm_call_here (called_by_technique (), calls, task_seed ());\n"}},
		outcome: matrix.Error, finds: []string{`not exercised: C called on \[\d+\], the main thread is \[\d+\]`},
	},
	"signals that are not blocked": {
		feature: "callback/masked-thread",
		edits:   []edit{{"callback.c", "  call_beside_work (1);\n", "  call_beside_work (0);\n"}},
		outcome: matrix.Error, finds: []string{`not exercised: 0 of 29 signals were blocked in the calling thread`},
	},
	"a hint for another pointer": {
		feature: "callback/io-thread-gc",
		edits:   []edit{{"callback.c", "(void *) (uintptr_t) (i + 1))", "(void *) (uintptr_t) ((i + 1) % count + 1))"}},
		outcome: matrix.Fail, finds: []string{`frees with another pointer than was given with the hint: 64 .*`},
	},
	"a hint that was never given": {
		feature: "callback/io-thread-gc",
		edits:   []edit{{"callback.c", "  marks[number - 1]++;\n", "  if (number == 7)\n    {\n      unknown++;\n      freed++;\n      return;\n    }\n  marks[number - 1]++;\n"}},
		outcome: matrix.Fail, finds: []string{`messages freed exactly once: 63 of 64 .*`, `frees with a hint that was never given: 1 .*`},
	},

	// Memory that stays where it is.
	"arrays that are not released": {
		feature: "static-area/release",
		edits:   []edit{{"static_area.c", "      free (array);\n      released++;\n", "      released++;\n"}},
		outcome: matrix.Fail, finds: []string{`the resident size grew by \d+ MiB, more than 256`},
	},
	"C writes elsewhere": {
		feature: "static-area/shared-view",
		edits:   []edit{{"static_area.c", "      zm_fill (array, size, task_seed (), 2 * r + 1);\n", "      unsigned char *elsewhere = allocate (size);\n      zm_fill (elsewhere, size, task_seed (), 2 * r + 1);\n      free (elsewhere);\n"}},
		outcome: matrix.Fail, finds: []string{`octets that the client read otherwise than C wrote them: \d+ .*`},
	},
	"an array that moves": {
		feature: "static-area/address-stable",
		edits:   []edit{{"static_area.c", "      uint64_t size = sizes.at[k];\n", "      uint64_t size = sizes.at[k];\n      if (k == 1)\n        arrays[k] = memcpy (allocate (size), arrays[k], size);\n"}, {"static_area.c", "#include <stdlib.h>\n", "#include <stdlib.h>\n#include <string.h>\n"}},
		outcome: matrix.Fail, finds: []string{`the array of 65536 octets moved from 0x[0-9a-f]+ to 0x[0-9a-f]+`, `C does not see what the language stores into the array of 65536 octets`},
	},
	"a pinned array that is written over": {
		feature: "static-area/pin",
		edits:   []edit{{"static_area.c", "  payload_fill (array, size, 0);\n  for (uint64_t gc", "  payload_fill (array, size, 0);\n  array[size / 2] ^= 1;\n  for (uint64_t gc"}},
		outcome: matrix.Fail, finds: []string{`octets that C found changed at the pinned array's address: 5 .*`},
	},

	// Messages.
	"a reply with the bytes of another": {
		feature: "messaging/req-rep",
		edits:   []edit{{"messaging.c", "100000 + i, sizes", "100000 + i + (i == 3), sizes"}},
		outcome: matrix.Fail, finds: []string{`1 of 32 messages on "requester" arrived with other bytes or in another order`},
	},
	"a subscription to everything": {
		feature: "messaging/pub-sub",
		edits:   []edit{{"messaging.c", `ZMQ_SUBSCRIBE, "match", 5`, `ZMQ_SUBSCRIBE, "", 0`}},
		outcome: matrix.Fail, finds: []string{`messages that the client got without having subscribed to them: 32 .*`},
	},
	"a message of one frame beside those expected": {
		feature: "messaging/pub-sub",
		edits:   []edit{{"messaging.c", "  send_text (pub, \"end\", 0);\n", "  send_text (pub, \"match\", 0);\n  send_text (pub, \"end\", 0);\n"}},
		outcome: matrix.Fail, finds: []string{`the endpoint's subscriber was sent 33 messages of topic match, 32 of them as they should be`},
	},
	"two frames made one": {
		feature: "messaging/multipart",
		edits:   []edit{{"messaging.c", "j + 1 < parts ? ZMQ_SNDMORE : 0", "j + 1 < parts && (i || j) ? ZMQ_SNDMORE : 0"}},
		outcome: matrix.Fail, finds: []string{`the endpoint received 33 of 32 messages on "sink"`, `32 of 32 messages on "sink" arrived with other bytes or in another order`},
	},

	// What a binding says.
	"another version than the library's": {
		feature: "binding/version",
		edits:   []edit{{"binding.c", "ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR,\n            ZMQ_VERSION_PATCH", "ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR,\n            ZMQ_VERSION_PATCH + 1"}},
		outcome: matrix.Fail, finds: []string{`the binding says that libzmq is "[0-9.]+", and it is [0-9.]+`},
	},
	"a message that is too small": {
		feature: "binding/message-size",
		edits:   []edit{{"binding.c", "(int64_t) sizeof (zmq_msg_t)", "(int64_t) sizeof (zmq_msg_t) / 2"}},
		outcome: matrix.Fail, finds: []string{`it gives a zmq_msg_t 32 octets, and the library's has 64`, `libzmq wrote \d+ octets of a message, for which the binding has 32`},
	},
	"an error with another number": {
		feature: "binding/errors",
		edits:   []edit{{"binding.c", "result == -1 ? number : -1", "result == -1 ? number + (number == 98) : -1"}},
		outcome: matrix.Fail, finds: []string{`EADDRINUSE arrives with the number 99, not 98`},
	},
}

// Beside each mutant the client as it is, which passes with the same
// parameters: so it is the one step that the judge found.
func TestEachStepThatIsLeftOutIsFound(t *testing.T) {
	needCompiler(t)
	house, place := newHouse(t), t.TempDir()
	output, err := exec.CommandContext(t.Context(), "sh", "../build.sh", place).CombinedOutput()
	require.NoError(t, err, "%s", output)
	said, err := exec.CommandContext(t.Context(), "sh", "../loads.sh").Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(place, "loads.h"), said, 0o600))
	compileAside(t, place)
	t.Run("none", func(t *testing.T) {
		for _, catalogued := range feature.All() {
			t.Run(catalogued.Name, func(t *testing.T) {
				attempt := house.attempt(t, place, few(catalogued))
				assert.Equal(t, matrix.Pass, attempt.Finding.Outcome, attempt.Finding.Reason)
			})
		}
	})
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			for _, catalogued := range feature.All() {
				if catalogued.Name != mutant.feature {
					continue
				}
				if !mutant.whole {
					catalogued = few(catalogued)
				}
				finding := house.attempt(t, built(t, place, mutant.edits), catalogued).Finding
				assert.Equal(t, mutant.outcome, finding.Outcome)
				assert.Regexp(t, `^`+strings.Join(mutant.finds, `; `)+`$`, finding.Reason)
				assert.Len(t, strings.Split(finding.Reason, "; "), len(mutant.finds))
				return
			}
			require.FailNow(t, "no such feature", mutant.feature)
		})
	}
}

// built builds the C client from changed sources, and returns where it is. What
// no edit changes is taken from the place where the client was built as it is; so
// are the objects of all sources, for no edit changes a header.
func built(t *testing.T, unchanged string, edits []edit) string {
	t.Helper()
	sources, place := t.TempDir(), t.TempDir()
	names, err := filepath.Glob("../*.[chs]*")
	require.NoError(t, err)
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts[filepath.Base(name)] = string(text)
	}
	for _, edit := range edits {
		require.Equal(t, 1, strings.Count(texts[edit.file], edit.old), "%s has changed: the mutant must follow. Of this it must have one:\n%s", edit.file, edit.old)
		require.Equal(t, ".c", filepath.Ext(edit.file), "the other sources' objects are of the header as it is")
		texts[edit.file] = strings.Replace(texts[edit.file], edit.old, edit.new, 1)
	}
	texts["build-support.sh"] = "cp " + unchanged + `/*.so "$1"`
	texts["loads.sh"] = "cat " + unchanged + "/loads.h"
	for name, text := range texts {
		require.NoError(t, os.WriteFile(filepath.Join(sources, name), []byte(text), 0o600))
	}
	build := exec.CommandContext(t.Context(), "sh", filepath.Join(sources, "build.sh"), place)
	build.Env = append(os.Environ(), "CC="+filepath.Join(unchanged, "cc"))
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return place
}

// compileAside puts objects of the sources as they are into place, and a compiler
// that takes these for sources that no edit has changed.
func compileAside(t *testing.T, place string) {
	t.Helper()
	originals, err := filepath.Abs("..")
	require.NoError(t, err)
	script := fmt.Sprintf(`set -e
. ../flags.sh
for source in $(grep -o '[a-z_]*\.c\>' ../build.sh); do gcc $flags -I '%[1]s' -c -o "%[1]s/$source.o" "../$source"; done
cat >'%[1]s/cc' <<'END'
#!/bin/sh
for argument; do
  shift
  case $argument in
    *.c) source=$(basename "$argument"); if cmp -s "$argument" "%[2]s/$source"; then argument=%[1]s/$source.o; fi ;;
  esac
  set -- "$@" "$argument"
done
exec gcc "$@"
END
chmod +x '%[1]s/cc'
`, place, originals)
	output, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// house is a matrix.Runtime of this process's endpoint and one warden, so that
// a mutant is attempted and judged as a client is in a run.
type house struct {
	warden   *warden.Client
	endpoint *peer.Peer
}

func newHouse(t *testing.T) *house {
	t.Helper()
	program, err := warden.Build(t.Context(), "../../..", t.TempDir())
	require.NoError(t, err)
	command := exec.Command(program.Path)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	client, err := warden.NewClient(t.Context(), stream{out, in})
	require.NoError(t, err)
	endpoint, err := peer.New(peer.Options{Bind: "127.0.0.1"})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, client.Close())
		assert.NoError(t, command.Wait())
		assert.NoError(t, endpoint.Close(context.WithoutCancel(t.Context())))
	})
	return &house{client, endpoint}
}

type stream struct {
	io.Reader
	io.WriteCloser
}

// attempt runs the client in the place once.
func (h *house) attempt(t *testing.T, place string, asked matrix.Feature) matrix.Attempt {
	t.Helper()
	target := matrix.Target{
		Name: "c", Variants: []matrix.Variant{{Name: "here", Suite: "here", Default: true}},
		Bindings: []matrix.Binding{{Name: "libzmq", Raw: true, Command: []string{"{dir}/probe"}, Witness: "{dir}/libzmwitness.so"}},
		Limits:   matrix.Limits{MemoryMiB: 1024, Processes: 64, TimeFactor: 3},
	}
	plan, err := matrix.MakePlan([]matrix.Target{target}, []matrix.Feature{asked}, matrix.Selection{})
	require.NoError(t, err)
	recorder := &attempts{feature: asked.Name}
	_, err = matrix.Run(t.Context(), matrix.Options{
		Plan: plan, Catalogue: []matrix.Feature{asked}, Runtime: runtime{h, place}, Recorder: recorder,
		Header: matrix.Header{Run: "mutants", Seed: 4711}, Repeat: 1, Parallel: 1,
	})
	require.NoError(t, err)
	require.NotEmpty(t, recorder.made)
	return recorder.made[0]
}

// attempts is a matrix.Recorder that keeps the attempts of the feature.
type attempts struct {
	feature string
	made    []matrix.Attempt
}

func (a *attempts) Append(line matrix.Line) error {
	if line.Attempt != nil && line.Attempt.Evidence.Cell.Feature == a.feature {
		a.made = append(a.made, *line.Attempt)
	}
	return nil
}

type runtime struct {
	house *house
	place string
}

func (r runtime) Name() string { return "local" }

func (r runtime) Environment(context.Context) (matrix.Environment, error) {
	return matrix.Environment{Cores: 1}, nil
}

func (r runtime) StartEndpoint(context.Context) (matrix.Endpoint, error) {
	return lasting{r.house.endpoint}, nil
}

func (r runtime) Prepare(context.Context, matrix.Target, matrix.Variant, matrix.Binding) (matrix.Place, error) {
	return r, nil
}

func (r runtime) Close(context.Context) error { return nil }

func (r runtime) Start(context.Context) error { return nil }

func (r runtime) Digest() string { return r.place }

func (r runtime) Size() int64 { return 0 }

func (r runtime) Source() *matrix.Source { return nil }

func (r runtime) Expand(text string) string { return strings.ReplaceAll(text, "{dir}", r.place) }

func (r runtime) Run(ctx context.Context, task matrix.Task) (matrix.Account, error) {
	return r.house.warden.Run(ctx, task)
}

// lasting is the endpoint of all runs: one of them does not close it.
type lasting struct{ matrix.Endpoint }

func (lasting) Close(context.Context) error { return nil }
