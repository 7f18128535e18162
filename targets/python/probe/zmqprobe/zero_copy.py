"""zero-copy/*: messages in the client's own memory. One procedure for both
bindings; a way is how the memory of its messages is made, sent and released."""

from . import fixture, libzmq
from .callback import wait_for
from .memory import ForeignArray, PinnedArray, address_of, churn, collect, is_first_class
from .payload import digest, payload
from .sockets import bound, connected


class Way:
    """What the ways have in common. Hints are 1 to count for the tcp messages,
    and count + 1 for the inproc one."""

    memory = PinnedArray
    releases_are_known = True  # while it sends

    def __init__(self, task):
        self.count = task.number("count")
        self.collect_every = task.number("gc-every")
        self.buffers = [None] * (self.count + 1)  # by hint - 1
        self.marks = [0] * (self.count + 1)  # how often each was released
        # Appending to a list needs no lock.
        self.freed, self.unknown, self.collected_in_callback = [], [], []

    def new(self, hint, octets):
        """The buffer behind a hint, filled."""
        buffer = self.buffers[hint - 1] = self.memory(len(octets))
        buffer.array[:] = octets
        return buffer

    def send(self, socket, hint):
        raise NotImplementedError

    def drain(self):
        """Releases what has come back meanwhile."""

    def finish(self):
        """After the context's end."""

    def release(self, address, hint):
        """Gives back the memory behind the hint. On any thread."""
        if not hint or hint > self.count + 1 or address != self.buffers[hint - 1].address:
            self.unknown.append(hint)
            return
        self.marks[hint - 1] += 1
        if self.marks[hint - 1] == 1:
            self.buffers[hint - 1].release()
        if hint <= self.count:
            self.freed.append(hint)

    def released_once(self):
        return self.marks[: self.count].count(1)


class _ByLibzmq(Way):
    """The ways of the binding ctypes."""

    free_function = None  # an address, or None

    def send(self, socket, hint):
        buffer = self.buffers[hint - 1]
        socket.send_data(buffer.address, len(buffer.array), self.free_function, hint)


class CallbackFree(_ByLibzmq):
    """A Python function, called by libzmq, releases it."""

    def __init__(self, task):
        super().__init__(task)
        # Kept as long as libzmq may call it.
        self.function = libzmq.FREE_FUNCTION(self.called)
        self.free_function = libzmq.address_of_function(self.function)

    def called(self, address, hint):
        # ctypes gives a null pointer as None.
        if hint and hint <= self.count:
            fixture.note_thread()
            if self.collect_every and hint % self.collect_every == 0 and collect():
                self.collected_in_callback.append(hint)
        self.release(address, hint)


class DeferredFree(_ByLibzmq):
    """The fixture's function queues it, the main thread releases it."""

    def __init__(self, task):
        super().__init__(task)
        self.free_function = fixture.queue_free_address()

    def drain(self):
        while True:
            taken = fixture.queue_take()
            if not taken:
                return
            self.release(*taken)

    finish = drain


class NativeFree(_ByLibzmq):
    """libc's free is the free function."""

    memory = ForeignArray
    releases_are_known = False

    def __init__(self, task):
        super().__init__(task)
        self.free_function = fixture.libc_free()

    def released_once(self):
        return -1


class KeptAlive(_ByLibzmq):
    """No free function: released after the context's end."""

    releases_are_known = False

    def finish(self):
        for k, buffer in enumerate(self.buffers):
            self.release(buffer.address, k + 1)


class _Tracked(Way):
    """The ways of pyzmq. send(copy=False) gives libzmq the buffer's memory and a
    free function of pyzmq's own in C, which queues to a thread of pyzmq's; that
    drops pyzmq's reference and says so by the MessageTracker.

    What is sent is the memoryview: pyzmq keeps the object that it was given, but
    not the buffer it got from it, so that a bytearray given itself could still
    be resized."""

    def __init__(self, task):
        super().__init__(task)
        self.trackers = [None] * (self.count + 1)
        self.pending = []  # hints in the order in which they were sent

    def send(self, socket, hint):
        self.trackers[hint - 1] = socket.send_in_place(self.buffers[hint - 1].view)
        self.pending.append(hint)

    def take_done(self):
        """The hints that pyzmq says it is done with since it was last asked."""
        done = [hint for hint in self.pending if self.trackers[hint - 1].done]
        self.pending = [hint for hint in self.pending if hint not in done]
        return done


class TrackedDeferredFree(_Tracked):
    def drain(self):
        for hint in self.take_done():
            self.release(self.buffers[hint - 1].address, hint)

    def finish(self):
        wait_for(lambda: self.drain() or not self.pending, lambda: len(self.pending))


class TrackedKept(_Tracked):
    """As kept-alive, but for the free function, without which pyzmq does not
    send: the arrays are kept until the context's end, and pyzmq must be done
    with each then."""

    releases_are_known = False

    def finish(self):
        done = []

        def all_done():
            done.extend(self.take_done())
            return not self.pending

        wait_for(all_done, lambda: len(done))
        for hint in done:
            self.release(self.buffers[hint - 1].address, hint)


class Attempt:
    """The procedure of targets/PROBE.md."""

    def __init__(self, task, report, context, way):
        self.task, self.report, self.context, self.way = task, report, context, way
        self.counting = False  # between the first tcp send and the last release
        self.collected = 0

    def collect(self):
        finished = collect()
        way = self.way
        if self.counting and not (way.releases_are_known and len(way.freed) >= way.count):
            self.collected += finished
        churn()

    def run(self):
        task, report, way = self.task, self.report, self.way
        first_class = self.over_inproc()
        sink = connected(self.context, "PUSH", task.endpoint("sink"), sndhwm=4)
        self.over_tcp(sink)
        control = connected(self.context, "PUSH", task.endpoint("copy"), sndhwm=4)
        copied = self.copy_over_tcp(control)
        if way.releases_are_known:
            report.step("wait for the releases")
            self.wait_for_releases(way.count)
        sink.close()
        control.close()
        report.step("terminate the context")
        self.context.terminate()
        way.finish()
        copied.clear()
        report.count("release.once", way.released_once())
        report.count("release.repeated", sum(1 for mark in way.marks[: way.count] if mark > 1))
        report.count("release.unknown", len(way.unknown))
        report.observe("memory", "array", "text")
        report.flag("array.first-class", first_class)
        report.thread("thread.main", fixture.thread_id())
        report.thread("thread.ran-on", fixture.text(fixture.noted_threads()))
        report.count("gc.during", self.collected)
        report.count("gc.in-callback", len(way.collected_in_callback))

    def wait_for_releases(self, target):
        def enough():
            self.way.drain()
            return len(self.way.freed) >= target

        return wait_for(enough, lambda: len(self.way.freed))

    def over_inproc(self):
        """Whether what was sent is a first-class array."""
        way, size = self.way, self.task.number("inproc-size")
        octets = payload(self.task.seed, 1000000, size)
        receiver = bound(self.context, "PAIR", "inproc://zero-copy")
        sender = connected(self.context, "PAIR", "inproc://zero-copy")
        hint = way.count + 1
        buffer = way.new(hint, octets)
        first_class = is_first_class(buffer.array)
        self.inproc("inproc.", receiver, buffer.array, lambda: way.send(sender, hint))
        copied = bytearray(octets)
        self.inproc("copy.inproc.", receiver, copied, lambda: sender.send_copy(copied))
        sender.close()
        receiver.close()
        return first_class

    def inproc(self, prefix, receiver, array, send):
        """Sends, stores into the array and looks whether the received message
        shows it."""
        report, place = self.report, len(array) // 2
        report.step("send over inproc: %sarray" % prefix)
        report.address(prefix + "array-address", address_of(array))
        send()
        self.collect()
        array[place] ^= 255
        received = receiver.receive()
        if received.size != len(array):
            raise ValueError("%d octets were sent over inproc, and %d received" % (len(array), received.size))
        report.address(prefix + "received-address", received.address)
        report.count(prefix + "stored", array[place])
        report.count(prefix + "seen", fixture.peek(received.address, place))
        received.close()
        self.way.drain()

    def over_tcp(self, sink):
        task, report, way = self.task, self.report, self.way
        sizes, window, collect_every = task.numbers("sizes"), task.number("window"), task.number("gc-every")
        arrays = []
        for i in range(way.count):
            way.drain()
            if window and way.releases_are_known and i >= window and not self.wait_for_releases(i - window + 1):
                raise ValueError("before message %d: of as many sent %d were released" % (i, len(way.freed)))
            size = sizes[i % len(sizes)]
            buffer = way.new(i + 1, payload(task.seed, i, size))
            arrays.append("%s+%d" % (hex(buffer.address), size))
            report.step("send message %d" % i)
            way.send(sink, i + 1)
            self.counting = True
            if collect_every and (i + 1) % collect_every == 0:
                self.collect()
        report.list("tcp.arrays", arrays)

    def copy_over_tcp(self, control):
        """The control: ordinary sends, of arrays that are to be kept."""
        task, report = self.task, self.report
        kept, arrays = [], []
        for i in range(task.number("copy-count")):
            array = bytearray(payload(task.seed, 500000 + i, task.number("copy-size")))
            kept.append(array)
            arrays.append("%s+%d" % (hex(address_of(array)), len(array)))
            report.step("send copied message %d" % i)
            control.send_copy(array)
        report.list("copy.arrays", arrays)
        return kept


def observe_sizes(report, context, threshold):
    """Which sizes a copy=False send shares and which it copies even so, around
    the binding's threshold and with the threshold switched off."""
    receiver = bound(context, "PAIR", "inproc://sizes")
    sender = connected(context, "PAIR", "inproc://sizes")
    for suffix, option in (("", threshold), ("-without-threshold", 0)):
        sender.set("copy_threshold", option)
        shared, copied = [], []
        for size in sorted({1, 33, 34, 1024, 8192, threshold - 1, threshold, threshold + 1, 262144}):
            buffer = PinnedArray(size)
            tracker = sender.send_in_place(buffer.view)
            received = receiver.receive()
            (shared if received.address == buffer.address else copied).append(size)
            received.close()
            wait_for(lambda: tracker.done, lambda: tracker.done)
            buffer.release()
        report.list("sizes.shared" + suffix, shared)
        report.list("sizes.copied" + suffix, copied)
    sender.close()
    receiver.close()


def receive_in_place(task, report, context):
    count = task.number("count")
    source = connected(context, "PULL", task.endpoint("source"))
    digests = []
    in_place = to_view = to_c = copy_seen = 0
    kind = ""
    for i in range(count):
        report.step("receive message %d" % i)
        received = source.receive()
        address, size, view = received.address, received.size, received.view()
        if size < 4:
            raise ValueError("message %d has only %d octets" % (i, size))
        digests.append(digest(view))
        in_place += address_of(view) == address
        changed = view[size // 2] ^ 255
        fixture.poke(address, size // 2, changed)
        to_view += view[size // 2] == changed
        if view.readonly:
            to_c = -1
        else:
            written = view[size // 3] ^ 255
            view[size // 3] = written
            to_c += fixture.peek(address, size // 3) == written
        copied = bytearray(view)
        poked = copied[size // 4] ^ 255
        fixture.poke(address, size // 4, poked)
        copy_seen += copied[size // 4] == poked
        kind = "array" if is_first_class(view) else "foreign"
        # Before the message: its memory is libzmq's again then.
        view.release()
        received.close()
    source.close()
    context.terminate()
    report.list("received.digests", digests, "digest")
    report.count("views.in-place", in_place)
    report.count("store.c-to-view", to_view)
    report.count("store.view-to-c", to_c)
    report.count("copy.seen", copy_seen)
    report.observe("view.kind", kind, "text")
