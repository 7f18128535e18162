"""Tests of the probe, for the installation that sys.path leads to:

    sh targets/python/build.sh DIR
    PYTHONPATH=DIR/probe /usr/bin/python3 -m unittest discover targets/python/tests
"""

import ctypes
import gc
import json
import os
import tempfile
import unittest
import warnings
import zlib

import zmq
from zmqprobe import binding_ctypes, binding_pyzmq, fixture, libzmq, loading, main, memory, payload, pyzmq, sockets
from zmqprobe import trust, zero_copy
from zmqprobe.report import Report
from zmqprobe.task import Task


class Lines:
    """A report whose lines are kept, with what was observed by key."""

    def __init__(self):
        self.lines = []
        self.report = Report(self.lines.append)

    def read(self):
        return [json.loads(line) for line in self.lines]

    def observed(self):
        return {line["key"]: line["value"] for line in self.read() if line["type"] == "observe"}


def task(technique="plain", **parameters):
    environment = {"ZM_SEED": "4711"}
    environment.update(("ZM_PARAM_" + key.upper(), str(value)) for key, value in parameters.items())
    return Task(technique, environment)


class PayloadTest(unittest.TestCase):
    def test_check_values(self):
        self.assertEqual(payload.payload(1, 0, 8).hex(), "004fbfa48d0493bd")
        self.assertEqual(payload.digest(b"123456789"), "cbf43926")

    def test_it_is_the_fixtures(self):
        for size in (0, 1, 4092, 4093, 4094, 9000):
            body = bytearray(size + 1)
            fixture.fill(memory.address_of(body), size, 9, 100003)
            self.assertEqual(payload.payload(9, 100003, size), body[:size])
            self.assertEqual(payload.mismatches(bytes(body[:size]), 9, 100003), 0)
            self.assertEqual(zlib.crc32(body[:size]), fixture.crc32(memory.address_of(body), size))

    def test_one_octet(self):
        body = payload.payload(9, 3, 9000)
        for place in (0, 1, 4092, 4093, 8999):
            self.assertEqual(payload.payload_octet(9, 3, place), body[place])

    def test_every_mismatch_is_counted(self):
        body = bytearray(payload.payload(9, 3, 9000))
        for place in (0, 4093, 8999):
            body[place] ^= 1
        self.assertEqual(payload.mismatches(body, 9, 3), 3)


class ReportTest(unittest.TestCase):
    def test_a_line_is_ascii_and_reads_back(self):
        for text in ("", 'quote " and \\', "line\nend\0\x7f", "\u00e4\u20ac\U0001f600", "\udcff"):
            lines = Lines()
            lines.report.step(text)
            self.assertTrue(lines.lines[0].isascii() and lines.lines[0].endswith(b"\n"))
            self.assertEqual(lines.read(), [{"type": "step", "text": text}])


class TaskTest(unittest.TestCase):
    def test_a_number_is_decimal_digits(self):
        self.assertEqual(task(calls="0012").number("calls"), 12)
        for text in ("", "-3", "+3", " 3", "1_0", "0x3", "\u0663"):
            with self.assertRaisesRegex(ValueError, "parameter calls"):
                task(calls=text).number("calls")
        with self.assertRaisesRegex(ValueError, "parameter sizes"):
            task(sizes="1,,2").numbers("sizes")

    def test_a_key_has_its_variable(self):
        self.assertEqual(task(gc_every=7).number("gc-every"), 7)

    def test_a_missing_socket_and_a_missing_seed(self):
        with self.assertRaisesRegex(ValueError, "the lane has no socket 'sink'"):
            task().endpoint("sink")
        with self.assertRaisesRegex(ValueError, "ZM_SEED"):
            Task("plain", {})


class MemoryTest(unittest.TestCase):
    def test_the_address_is_that_of_the_octets(self):
        array = bytearray(b"abc")
        self.assertEqual(memory.address_of(array), ctypes.addressof(ctypes.c_char.from_buffer(array)))
        self.assertEqual(fixture.peek(memory.address_of(b"xyz"), 1), ord("y"))

    def test_a_pinned_array_can_not_be_resized_until_it_is_released(self):
        pinned = memory.PinnedArray(1024)
        array = pinned.array
        with self.assertRaises(BufferError):
            array.extend(b"x")
        pinned.release()
        array.extend(b"x")

    def test_asking_for_an_address_pins_nothing(self):
        array = bytearray(8)
        memory.address_of(array)
        array.extend(b"x")

    def test_foreign_memory_is_seen_in_place(self):
        foreign = memory.ForeignArray(16)
        foreign.array[3] = 77
        self.assertEqual(fixture.peek(foreign.address, 3), 77)
        fixture.poke(foreign.address, 4, 78)
        self.assertEqual(foreign.array[4], 78)
        self.assertEqual(memory.address_of(foreign.array), foreign.address)
        fixture.release(foreign.address)

    def test_what_is_an_array_of_the_language(self):
        for array in (bytearray(1), memoryview(bytearray(1))):
            self.assertTrue(memory.is_first_class(array))
        for other in ((ctypes.c_ubyte * 1)(), [1], "a", memoryview(bytearray(4)).cast("I"), memoryview(bytearray(4))[::2]):
            self.assertFalse(memory.is_first_class(other))

    def test_a_collection_is_said_to_have_been_done_only_if_it_was(self):
        self.assertTrue(memory.collect())
        nested = []

        def during(phase, info):
            if phase == "start":
                nested.append(memory.collect())

        gc.callbacks.append(during)
        try:
            gc.collect()
        finally:
            gc.callbacks.remove(during)
        self.assertIs(nested[0], False)

    def test_churn_leaves_work_to_the_cycle_collector(self):
        memory.churn()
        memory.churn()
        self.assertGreater(gc.collect(), 0)


class LibzmqTest(unittest.TestCase):
    def setUp(self):
        self.context = libzmq.Context()
        self.receiver = sockets.bound(self.context, "PAIR", "inproc://test")
        self.sender = sockets.connected(self.context, "PAIR", "inproc://test")

    def tearDown(self):
        self.receiver.close()
        self.sender.close()
        self.context.terminate()

    def test_frames_come_whole(self):
        frames = [b"", b"a", bytes(70000), b""]
        self.sender.send_message(frames)
        self.assertEqual(self.receiver.receive_message(), frames)

    def test_errors_have_their_numbers(self):
        self.receiver.set("rcvtimeo", 1)
        with self.assertRaises(libzmq.LibzmqError) as raised:
            self.receiver.receive()
        self.assertEqual(raised.exception.errno, zmq.EAGAIN)
        for endpoint, name in (("nonsense", "EINVAL"), ("inproc://test", "EADDRINUSE")):
            with self.assertRaises(libzmq.LibzmqError) as raised:
                self.receiver.bind(endpoint)
            self.assertEqual(raised.exception.errno, getattr(zmq, name))

    def test_a_received_message_is_viewed_in_place(self):
        self.sender.send_copy(b"abcd" * 100)
        received = self.receiver.receive()
        self.assertEqual(bytes(received.view()), b"abcd" * 100)
        self.assertEqual(memory.address_of(received.view()), received.address)
        received.close()


class WayTest(unittest.TestCase):
    def way(self):
        way = zero_copy.DeferredFree(task(count=2, gc_every=0))
        way.new(1, b"abc")
        return way

    def test_a_release_is_counted_once_for_its_hint_and_address(self):
        way = self.way()
        address = way.buffers[0].address
        way.release(address, 1)
        self.assertEqual((way.released_once(), way.freed, way.unknown), (1, [1], []))
        way.release(address, 1)
        self.assertEqual((way.released_once(), way.marks[0]), (0, 2))

    def test_what_was_never_sent_is_unknown(self):
        way = self.way()
        for address, hint in ((way.buffers[0].address + 1, 1), (way.buffers[0].address, None), (1, 0), (1, 4)):
            way.release(address, hint)
        self.assertEqual((len(way.unknown), way.freed), (4, []))


class OverInproc:
    """What the procedure's inproc part shows of a way."""

    def __init__(self, module, way):
        lines, context = Lines(), module.Context()
        attempt = zero_copy.Attempt(task(count=1, gc_every=0, inproc_size=70000), lines.report, context, way)
        attempt.over_inproc()
        context.terminate()
        way.finish()
        self.observed = lines.observed()

    def shared(self, prefix=""):
        of = {key: self.observed[prefix + "inproc." + key] for key in ("array-address", "received-address", "stored", "seen")}
        return of["array-address"] == of["received-address"], of["stored"] == of["seen"]


class Copying(zero_copy.KeptAlive):
    """Says that it does not copy."""

    def send(self, socket, hint):
        socket.send_copy(self.buffers[hint - 1].array)

    def finish(self):
        """Nothing was kept."""


class ProofTest(unittest.TestCase):
    given = {"count": 1, "gc_every": 0}

    def test_shared_memory_is_found(self):
        for way in (zero_copy.CallbackFree, zero_copy.DeferredFree, zero_copy.NativeFree):
            inproc = OverInproc(libzmq, way(task(**self.given)))
            self.assertEqual(inproc.shared(), (True, True), way.__name__)
            self.assertEqual(inproc.shared("copy."), (False, False), way.__name__)

    def test_pyzmqs_shared_memory_is_found_and_released(self):
        way = zero_copy.TrackedDeferredFree(task(**self.given))
        inproc = OverInproc(pyzmq, way)
        self.assertEqual(inproc.shared(), (True, True))
        self.assertEqual(inproc.shared("copy."), (False, False))
        self.assertEqual((way.marks, way.pending), ([0, 1], []))

    def test_a_copy_is_found(self):
        for module in (libzmq, pyzmq):
            self.assertEqual(OverInproc(module, Copying(task(**self.given))).shared(), (False, False))

    def test_pyzmq_shares_from_its_threshold_and_copies_below(self):
        lines, context = Lines(), pyzmq.Context()
        zero_copy.observe_sizes(lines.report, context, zmq.COPY_THRESHOLD)
        context.terminate()
        observed = lines.observed()
        self.assertEqual(observed["sizes.copied"], "1,33,34,1024,8192,65535")
        self.assertEqual(observed["sizes.shared"], "65536,65537,262144")
        self.assertEqual(observed["sizes.copied-without-threshold"], "")

    def test_pyzmq_is_not_done_while_a_message_is_held(self):
        context = pyzmq.Context()
        receiver = sockets.bound(context, "PAIR", "inproc://held")
        sender = sockets.connected(context, "PAIR", "inproc://held")
        pinned = memory.PinnedArray(70000)
        tracker = sender.send_in_place(pinned.view)
        received = receiver.receive()
        self.assertFalse(tracker.done)
        received.close()
        tracker.wait(10)
        for socket in (sender, receiver):
            socket.close()
        context.terminate()

    def test_a_frames_view_that_were_a_copy_is_found(self):
        context = pyzmq.Context()
        receiver = sockets.bound(context, "PAIR", "inproc://view")
        sender = sockets.connected(context, "PAIR", "inproc://view")
        sender.send_copy(bytes(70000))
        received = receiver.receive()
        self.assertEqual(memory.address_of(received.view()), received.address)
        self.assertNotEqual(memory.address_of(bytes(received.view())), received.address)
        received.close()
        for socket in (sender, receiver):
            socket.close()
        context.terminate()


class DispatchTest(unittest.TestCase):
    def test_both_bindings_know_the_same_features(self):
        ours, theirs = binding_ctypes.CTYPES.features, binding_pyzmq.PYZMQ.features
        self.assertEqual(set(ours), set(theirs))
        for name, feature in list(ours.items()) + list(theirs.items()):
            self.assertNotEqual(feature.run is None, feature.missing == "", name)

    def test_the_endings(self):
        environment = {"ZM_PROTOCOL": "1", "ZM_FEATURE": "messaging/req-rep", "ZM_TECHNIQUE": "magic"}
        for change, error, reason in (
            ({"ZM_PROTOCOL": "2"}, ValueError, "protocol 2 is not spoken here"),
            ({"ZM_FEATURE": "no/such"}, main.Unsupported, "unknown feature no/such"),
            ({}, main.Unsupported, "unknown technique magic"),
        ):
            with self.assertRaises(error) as raised:
                main.attempt(binding_pyzmq.PYZMQ, Lines().report, {**environment, **change})
            self.assertEqual(str(raised.exception), reason)


    def test_they_know_what_the_dispatch_knows(self):
        self.assertEqual(set(binding_ctypes.CTYPES.features), set(main.FEATURES))

    def test_a_binding_that_does_not_load_says_so_of_what_it_knows(self):
        def broken(name):
            raise ImportError("no luck")

        binding = main.loaded("some", broken)
        environment = {"ZM_PROTOCOL": "1", "ZM_FEATURE": "binding/loads", "ZM_TECHNIQUE": "c-queue", "ZM_SEED": "1"}
        with self.assertRaisesRegex(main.NotLoaded, "some does not load: no luck") as raised:
            main.attempt(binding, Lines().report, environment)
        self.assertEqual(raised.exception.condition, "ImportError")
        with self.assertRaises(main.Unsupported):
            main.attempt(binding, Lines().report, {**environment, "ZM_FEATURE": "no/such"})


class LoadingTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def observed(self, names=(), said=()):
        lines = Lines()
        loading.observe(lines.report, self.folder.name, names, said)
        return lines.observed()

    def test_what_the_compiler_says_is_counted(self):
        self.write("one.py", "x = 1\nif x is 1: pass\n")
        self.write("tests/two.py", "x = 1\nif x is 1: pass\n")
        observed = self.observed()
        self.assertEqual(observed["loads.warnings"], 1)
        self.assertIn('one.py:2: SyntaxWarning: "is" with', observed["loads.first-warning"])

    def test_what_is_said_at_the_import_is_counted_where_the_binding_says_it(self):
        path = self.write("one.py", "import warnings\n")
        with loading.listening() as said:
            for place in (path, "/elsewhere.py"):
                for category in (RuntimeWarning, DeprecationWarning):
                    warnings.warn_explicit("old", category, place, 7)
        observed = self.observed(said=said)
        self.assertEqual((observed["loads.warnings"], observed["loads.style-warnings"]), (1, 1))

    def test_a_module_in_two_places_is_a_conflict(self):
        for place in ("a", "b"):
            self.write(place + "/twice/__init__.py", "")
        self.write("a/once.py", "")
        path = [os.path.join(self.folder.name, place) for place in ("a", "b")]
        self.assertEqual(len(loading.conflicts(["twice", "once"], path)), 1)
        self.assertEqual(len(loading.conflicts(["once"], path[1:])), 0)


class TrustTest(unittest.TestCase):
    def test_what_libzmq_writes_is_seen(self):
        touched = trust._furthest_write()
        self.assertTrue(0 < touched <= ctypes.sizeof(libzmq.Message))
        self.assertEqual(trust._size_by_the_library(), ctypes.sizeof(libzmq.Message))

    def test_an_error_that_does_not_come_or_is_not_the_bindings_is_said(self):
        def other():
            raise KeyError("other")

        lines = Lines()
        trust._observe_error(lines.report, libzmq.Context, "none", "", lambda: None)
        trust._observe_error(lines.report, libzmq.Context, "other", "", other)
        observed = lines.observed()
        self.assertEqual((observed["none.signalled"], observed["none.number"]), (False, -1))
        self.assertEqual((observed["other.signalled"], observed["other.own"], observed["other.number"]), (True, False, -1))


class InstallationTest(unittest.TestCase):
    def test_every_module_is_compiled(self):
        # Where the probe runs, nothing can be written.
        folder = os.path.dirname(main.__file__)
        modules = {name[:-3] for name in os.listdir(folder) if name.endswith(".py")}
        compiled = {name.split(".")[0] for name in os.listdir(os.path.join(folder, "__pycache__"))}
        self.assertEqual(compiled, modules)


if __name__ == "__main__":
    unittest.main()
