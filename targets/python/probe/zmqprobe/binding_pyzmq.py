"""The binding pyzmq: Debian's python3-zmq, by its public interface.

What it does not offer is read from zmq/backend/cython of 20.0.0, 24.0.1, 26.4.0
and 27.1.0: Frame's constructor is the only caller of zmq_msg_init_data, always
with pyzmq's own free_python_msg."""

import os

import zmq

from . import pyzmq, zero_copy
from .binding import made, over
from .main import Feature

_NO_CALLBACK = Feature(
    missing="pyzmq has no way to give libzmq a function of the client: zmq.Frame gives zmq_msg_init_data its own free_python_msg"
)
_NO_MEMORY = Feature(missing="pyzmq has no interface to memory: it takes any object with a buffer, and allocates none")
_NO_FREE_FUNCTION = Feature(
    missing="zmq.Frame has no parameter for zmq_msg_init_data's free function: it is always pyzmq's own free_python_msg"
)


def _deferred_free(task, report, context):
    zero_copy.observe_sizes(report, context, zmq.COPY_THRESHOLD)
    zero_copy.Attempt(task, report, context, zero_copy.TrackedDeferredFree(task)).run()


def _wire(task, report, context):
    zero_copy.Attempt(task, report, context, zero_copy.TrackedKept(task)).run()


PYZMQ = made(
    zmq.__version__,
    zmq.zmq_version(),
    pyzmq.Context,
    os.path.dirname(zmq.__file__),
    ("zmq",),
    {
        "binding/message-size": Feature(
            missing="pyzmq keeps the zmq_msg_t within zmq.Frame: no function of its gives the size that it was compiled with"
        ),
        "callback/same-thread": _NO_CALLBACK,
        "callback/foreign-thread": _NO_CALLBACK,
        "callback/concurrent-threads": _NO_CALLBACK,
        "callback/masked-thread": _NO_CALLBACK,
        "callback/io-thread": _NO_CALLBACK,
        "callback/io-thread-gc": _NO_CALLBACK,
        "static-area/address-stable": _NO_MEMORY,
        "static-area/shared-view": _NO_MEMORY,
        "static-area/release": _NO_MEMORY,
        "static-area/pin": _NO_MEMORY,
        "zero-copy/callback-free": _NO_FREE_FUNCTION,
        "zero-copy/deferred-free": over(pyzmq.Context, _deferred_free, techniques=("plain", "c-queue")),
        "zero-copy/native-free": _NO_FREE_FUNCTION,
        "zero-copy/kept-alive": _NO_FREE_FUNCTION,
        "zero-copy/wire": over(pyzmq.Context, _wire),
        "zero-copy/receive-in-place": over(pyzmq.Context, zero_copy.receive_in_place),
    },
)
