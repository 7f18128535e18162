"""Arrays and where they lie. The array of the language is the bytearray.

CPython's objects never move, but a bytearray that is resized gets other
memory. While its buffer is exported it can't be: that is how it is pinned."""

import gc
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_ssize_t, c_ubyte, c_void_p, py_object, pythonapi

from . import fixture


class _Buffer(Structure):
    """Py_buffer of the C API, which Python 3.11 made part of the stable ABI as
    it had been before."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", POINTER(c_ssize_t)),
        ("strides", POINTER(c_ssize_t)),
        ("suboffsets", POINTER(c_ssize_t)),
        ("internal", c_void_p),
    ]


_get_buffer = pythonapi.PyObject_GetBuffer
_get_buffer.restype, _get_buffer.argtypes = c_int, (py_object, POINTER(_Buffer), c_int)
_release_buffer = pythonapi.PyBuffer_Release
_release_buffer.restype, _release_buffer.argtypes = None, (POINTER(_Buffer),)
_PYBUF_SIMPLE = 0


def address_of(array):
    """Where the octets of anything that exports a buffer lie, writable or not.
    ctypes' from_buffer would take only what is writable."""
    buffer = _Buffer()
    _get_buffer(array, byref(buffer), _PYBUF_SIMPLE)
    address = buffer.buf
    _release_buffer(byref(buffer))
    return address or 0


class PinnedArray:
    """A bytearray that is pinned until it is released."""

    def __init__(self, size):
        self.array = bytearray(size)
        self.view = memoryview(self.array)
        self.address = address_of(self.array)

    def release(self):
        self.view.release()
        self.view = self.array = None


class ForeignArray:
    """Memory of libc's, as a memoryview: an array to every function of the
    language that takes octets."""

    def __init__(self, size):
        self.address = fixture.allocate(size)
        if not self.address:
            raise MemoryError("no memory for %d octets" % size)
        self.array = memory_at(self.address, size)


def memory_at(address, size):
    """The octets there, in place."""
    # A ctypes array's own format is "<B"; as "B" it is a sequence of integers
    # for every function.
    return memoryview((c_ubyte * size).from_address(address)).cast("B")


def is_first_class(array):
    """Whether the language takes it for an array of octets of its own."""
    return type(array) is bytearray or type(array) is memoryview and array.format == "B" and array.contiguous


_kept = []


def churn():
    """Allocates 8 MiB of objects of mixed size, in cycles that only the cycle
    collector can free; every seventh lives until the next churn."""
    sizes = (24, 200, 1700, 13000, 100000)
    _kept.clear()
    total = k = 0
    while total < 8 << 20:
        size = sizes[k % len(sizes)]
        item = [bytearray(size)]
        item.append(item)
        if k % 7 == 0:
            _kept.append(item)
        total += size
        k += 1


def full_collections():
    """How many collections of the oldest generation the collector has done."""
    return gc.get_stats()[-1]["collections"]


def collect():
    """A full collection; False if the collector did none, as it does when a
    collection is under way on another thread."""
    before = full_collections()
    gc.collect()
    return full_collections() > before
