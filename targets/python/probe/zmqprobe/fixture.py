"""The fixture, targets/c/fixture.h, through ctypes. ctypes gives up the
interpreter's lock around each call."""

import os
from ctypes import CDLL, CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p

# Beside the probe's folder, where the target was installed.
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "libzmfixture.so")

# uint64 f(uint64 sequence, uint64 value, uint64 *cell)
FUNCTION = CFUNCTYPE(c_uint64, c_uint64, c_uint64, POINTER(c_uint64))

library = CDLL(os.path.normpath(PATH))


def _function(name, result, *arguments):
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


call_here = _function("zm_call_here", None, FUNCTION, c_uint64, c_uint64)
_threads = (FUNCTION, c_int, c_uint64, c_uint64, c_int, c_uint64)
start_threads = _function("zm_start_threads", c_int, *_threads)
call_threads = _function("zm_call_threads", c_int, *_threads)
threads_running = _function("zm_threads_running", c_int)
join_threads = _function("zm_join_threads", None)
calls_made = _function("zm_calls_made", c_uint64)
calls_right = _function("zm_calls_right", c_uint64)
callers = _function("zm_callers", c_char_p)
mask_blocked = _function("zm_mask_blocked", c_int)
thread_id = _function("zm_thread_id", c_int)
note_thread = _function("zm_note_thread", c_int)
noted_threads = _function("zm_noted_threads", c_char_p)
noted_names = _function("zm_noted_names", c_char_p)
pattern_mismatches = _function("zm_mismatches", c_uint64, c_void_p, c_uint64, c_uint64, c_uint64)
fill = _function("zm_fill", None, c_void_p, c_uint64, c_uint64, c_uint64)
peek = _function("zm_peek", c_int, c_void_p, c_uint64)
poke = _function("zm_poke", None, c_void_p, c_uint64, c_int)
allocate = _function("zm_allocate", c_void_p, c_uint64)
release = _function("zm_release", None, c_void_p)
libc_free = _function("zm_libc_free", c_void_p)
crc32 = _function("zm_crc32", c_uint32, c_void_p, c_uint64)
queue_free_address = _function("zm_queue_free_address", c_void_p)
_queue_take = _function("zm_queue_take", c_int, POINTER(c_void_p), POINTER(c_void_p))


def queue_take():
    """The next (data, hint) that the free function queued, or None."""
    data, hint = c_void_p(), c_void_p()
    if _queue_take(byref(data), byref(hint)):
        return data.value or 0, hint.value or 0
    return None


def text(value):
    return value.decode("ascii")
