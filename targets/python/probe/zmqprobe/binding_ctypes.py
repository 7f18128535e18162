"""The binding ctypes: libzmq with nothing between.

There is no technique unblock-signals: CPython stops no threads with signals and
protects no pages, so that a callback needs none of those that libzmq's I/O
threads block. Nor is there pin: CPython's ordinary array, the bytearray, is the
one that stays where it is while its buffer is exported."""

from . import callback, libzmq, static_area, trust, zero_copy
from .binding import made, over
from .main import Feature


def _sent(way, techniques=("plain",)):
    return over(
        libzmq.Context,
        lambda task, report, context: zero_copy.Attempt(task, report, context, way(task)).run(),
        techniques=techniques,
    )


CTYPES = made(
    "",
    libzmq.version(),
    libzmq.Context,
    libzmq.__file__,
    (),  # one of the probe's own modules, in no place but the probe's package
    {
        "binding/message-size": Feature(trust.message_size),
        "callback/same-thread": Feature(callback.same_thread),
        "callback/foreign-thread": Feature(callback.foreign_thread),
        "callback/concurrent-threads": Feature(callback.concurrent_threads),
        "callback/masked-thread": Feature(callback.masked_thread),
        "callback/io-thread": Feature(callback.io_thread),
        "callback/io-thread-gc": Feature(callback.io_thread),
        "static-area/address-stable": Feature(static_area.address_stable),
        "static-area/shared-view": Feature(static_area.shared_view),
        "static-area/release": Feature(static_area.release),
        "static-area/pin": Feature(static_area.pin),
        "zero-copy/callback-free": _sent(zero_copy.CallbackFree),
        "zero-copy/deferred-free": _sent(zero_copy.DeferredFree, ("plain", "c-queue")),
        "zero-copy/native-free": _sent(zero_copy.NativeFree),
        "zero-copy/kept-alive": _sent(zero_copy.KeptAlive),
        "zero-copy/wire": _sent(zero_copy.KeptAlive),
        "zero-copy/receive-in-place": over(libzmq.Context, zero_copy.receive_in_place),
    },
)
