"""static-area/*: arrays whose memory stays where it is."""

from . import fixture
from .memory import PinnedArray, address_of, churn, collect, is_first_class
from .payload import mismatches, payload, payload_octet


def address_stable(task, report):
    sizes, gcs = task.numbers("sizes"), task.number("gcs")
    pinned = []
    for k, size in enumerate(sizes):
        report.step("allocate a static array of %d" % size)
        one = PinnedArray(size)
        one.array[:] = payload(task.seed, k, size)
        pinned.append(one)
    collected, moved = _collect_beside(report, task.number("ordinary"), gcs)
    for k, (size, one) in enumerate(zip(sizes, pinned)):
        key = "array.%d." % size
        array, before = one.array, one.address
        report.flag(key + "first-class", is_first_class(array))
        report.address(key + "address-before", before)
        report.address(key + "address-after", address_of(array))
        report.count(key + "mismatches", fixture.pattern_mismatches(before, size, task.seed, k))
        report.count(key + "array-mismatches", mismatches(array, task.seed, k))
        array[size // 2] ^= 255
        report.flag(key + "write-seen", fixture.peek(before, size // 2) == array[size // 2])
        one.release()
    report.count("ordinary.moved", moved)
    report.count("gc.count", collected)


def _collect_beside(report, size, gcs, after_each=lambda: None):
    """Does full collections with churn between, and follows an ordinary array
    over them: how many finished, and after how many its address was another."""
    ordinary = bytearray(size)
    last, collected, moved = address_of(ordinary), 0, 0
    for k in range(gcs):
        report.step("collection %d" % k)
        churn()
        collected += collect()
        after_each()
        address = address_of(ordinary)
        moved += address != last
        last = address
    return collected, moved


def shared_view(task, report):
    size, rounds = task.number("size"), task.number("rounds")
    pinned = PinnedArray(size)
    array, address = pinned.array, pinned.address
    by_c = by_client = collected = 0
    for k in range(rounds):
        report.step("round %d" % k)
        array[:] = payload(task.seed, 2 * k, size)
        churn()
        collected += collect()
        by_c += fixture.pattern_mismatches(address, size, task.seed, 2 * k)
        fixture.fill(address, size, task.seed, 2 * k + 1)
        churn()
        collected += collect()
        by_client += mismatches(array, task.seed, 2 * k + 1)
    report.count("c.mismatches", by_c)
    report.count("client.mismatches", by_client)
    report.flag("array.first-class", is_first_class(array))
    report.count("gc.count", collected)
    pinned.release()


def release(task, report):
    count, size = task.number("count"), task.number("size")
    allocated = released = wrong = 0
    report.step("allocate and release")
    for i in range(count):
        pinned = PinnedArray(size)
        allocated += 1
        fixture.fill(pinned.address, size, task.seed, i)
        wrong += pinned.array[size - 1] != payload_octet(task.seed, i, size - 1)
        pinned.release()
        released += 1
    report.count("allocated", allocated)
    report.count("released", released)
    report.count("wrong", wrong)


def pin(task, report):
    size, gcs = task.number("size"), task.number("gcs")
    array = bytearray(payload(task.seed, 0, size))
    wrong = 0

    with memoryview(array):
        before = address_of(array)

        def look():
            nonlocal wrong
            wrong += fixture.pattern_mismatches(before, size, task.seed, 0)

        collected, unpinned_moved = _collect_beside(report, size, gcs, look)
        after = address_of(array)
    report.address("pinned.address-before", before)
    report.address("pinned.address-after", after)
    report.count("mismatches", wrong)
    report.count("gc.count", collected)
    report.count("unpinned.moved", unpinned_moved)
