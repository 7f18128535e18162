"""callback/*: C calls Python. ctypes takes the interpreter's lock on the thread
that C called on (PyGILState_Ensure), and makes a thread state for it there."""

import os
import time
from ctypes import memmove

from . import fixture, libzmq
from .memory import churn, collect
from .payload import mismatches, payload
from .sockets import connected


class Calls:
    """The function that the fixture calls, and what it saw."""

    def __init__(self, task, calls):
        self.marks = [0] * calls
        self.collect_every = task.number("gc-every")
        self.collected = []  # sequence numbers; appending needs no lock
        # Kept as long as C may call it.
        self.function = fixture.FUNCTION(self.called)

    def called(self, sequence, value, cell):
        cell[0] = sequence
        if sequence < len(self.marks):
            self.marks[sequence] += 1
        fixture.note_thread()
        if self.collect_every and sequence % self.collect_every == 0 and collect():
            self.collected.append(sequence)
        return value ^ sequence

    def observe(self, report, collected_meanwhile):
        report.count("calls.made", fixture.calls_made())
        report.count("calls.right", fixture.calls_right())
        report.count("calls.seen", self.marks.count(1))
        report.count("calls.repeated", sum(1 for mark in self.marks if mark > 1))
        report.thread("thread.main", fixture.thread_id())
        report.thread("thread.callers", fixture.text(fixture.callers()))
        report.thread("thread.ran-on", fixture.text(fixture.noted_threads()))
        report.count("gc.during", collected_meanwhile)
        report.count("gc.in-callback", len(self.collected))


def started(code):
    if code:
        raise OSError(code, "start threads: " + os.strerror(code))


def same_thread(task, report):
    count = task.number("calls")
    calls = Calls(task, count)
    report.step("be called %d times on the main thread" % count)
    fixture.call_here(calls.function, count, task.seed)
    calls.observe(report, 0)


def foreign_thread(task, report):
    count = task.number("calls")
    calls = Calls(task, count)
    report.step("be called %d times on a thread of the fixture" % count)
    started(fixture.call_threads(calls.function, 1, count, task.number("pace-us"), 0, task.seed))
    calls.observe(report, 0)


def concurrent_threads(task, report):
    _beside_work(task, report, masked=False)


def masked_thread(task, report):
    _beside_work(task, report, masked=True)


def _beside_work(task, report, masked):
    threads, count = task.number("threads"), task.number("calls")
    calls = Calls(task, threads * count)
    report.step("be called %d times on each of %d threads of the fixture" % (count, threads))
    started(fixture.start_threads(calls.function, threads, count, task.number("pace-us"), masked, task.seed))
    collected = 0
    while fixture.threads_running():
        churn()
        wrong = mismatches(bytearray(payload(task.seed, 0, 4096)), task.seed, 0)
        if wrong:
            raise ValueError("what the main thread computed meanwhile is wrong in %d octets" % wrong)
        finished = collect()
        collected += bool(finished and fixture.threads_running())
    fixture.join_threads()
    calls.observe(report, collected)
    if masked:
        report.count("mask.blocked", fixture.mask_blocked())


def io_thread(task, report):
    """callback/io-thread and callback/io-thread-gc."""
    count, size = task.number("count"), task.number("size")
    collect_main, collect_every = task.number("gc-main"), task.number("gc-every")
    marks, bodies = [0] * count, [0] * count  # by hint - 1
    # Lists that the callback appends to, which needs no lock.
    freed, unknown, wrong_pointer, collected_in_callback = [], [], [], []

    def free(data, hint):
        # ctypes gives a null pointer as None.
        if not hint or hint > count:
            unknown.append(hint)
            return
        marks[hint - 1] += 1
        if data != bodies[hint - 1]:
            wrong_pointer.append(hint)
        fixture.note_thread()
        if collect_every and hint % collect_every == 0 and collect():
            collected_in_callback.append(hint)
        freed.append(hint)

    function = libzmq.FREE_FUNCTION(free)
    context = libzmq.Context()
    push = connected(context, "PUSH", task.endpoint())
    collected = 0
    for i in range(count):
        body = fixture.allocate(size)
        if not body:
            raise MemoryError("no memory for %d octets" % size)
        memmove(body, payload(task.seed, i, size), size)
        bodies[i] = body
        report.step("send message %d" % i)
        push.send_data(body, size, libzmq.address_of_function(function), i + 1)
        if collect_main and (i + 1) % collect_main == 0:
            finished = collect()
            collected += bool(finished and len(freed) < count)
    report.step("wait for the free function")
    wait_for(lambda: len(freed) >= count, lambda: len(freed))
    push.close()
    report.step("terminate the context")
    context.terminate()
    # Only now, as libzmq may still read what it has not freed.
    for body in bodies:
        fixture.release(body)
    report.count("frees.once", marks.count(1))
    report.count("frees.repeated", sum(1 for mark in marks if mark > 1))
    report.count("frees.unknown", len(unknown))
    report.count("frees.wrong-pointer", len(wrong_pointer))
    report.thread("thread.main", fixture.thread_id())
    report.thread("thread.ran-on", fixture.text(fixture.noted_threads()))
    report.observe("thread.names", fixture.text(fixture.noted_names()), "list")
    report.count("gc.during", collected)
    report.count("gc.in-callback", len(collected_in_callback))


def wait_for(done, progress):
    """Waits until done, or until progress has not changed for ten seconds."""
    last, since = progress(), time.monotonic()
    while not done():
        if progress() != last:
            last, since = progress(), time.monotonic()
        if time.monotonic() - since > 10:
            return False
        time.sleep(0.001)
    return True
