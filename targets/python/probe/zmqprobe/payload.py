"""The bodies of messages, by formula."""

from zlib import crc32

PERIOD = 4093


def payload(seed, index, size):
    """payload(seed, index, size) of targets/PROBE.md, as bytes."""
    x = (seed + index * 40503) & 0xFFFFFFFF
    start = bytearray(min(size, PERIOD))
    for k in range(len(start)):
        x = (x * 69069 + 12345) & 0xFFFFFFFF
        start[k] = x >> 24
    repeats, rest = divmod(size, PERIOD)
    return bytes(start) if size <= PERIOD else bytes(start) * repeats + bytes(start[:rest])


def payload_octet(seed, index, place):
    """One octet of a payload that is larger than its period."""
    return payload(seed, index, place % PERIOD + 1)[-1]


def mismatches(array, seed, index):
    """The language's own comparison: how many elements are not the payload's."""
    expected = payload(seed, index, len(array))
    if array == expected:
        return 0
    return sum(1 for got, want in zip(array, expected) if got != want)


def digest(body):
    return "%08x" % crc32(body)


def message_digest(frames):
    return "+".join(digest(frame) for frame in frames)
