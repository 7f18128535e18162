"""binding/*: what a binding is to be trusted with before it sends a message."""

from ctypes import CDLL, byref, c_int, c_size_t, c_void_p, memset, sizeof, string_at

from . import fixture, libzmq
from .sockets import bound

_ENDPOINT = "inproc://errors"


def version(report, says, own):
    report.observe("version.binding", says, "text")
    report.observe("version.library", _version_past_the_binding(), "text")
    report.observe("version.own", own, "text")


def _version_past_the_binding():
    parts = [c_int(), c_int(), c_int()]
    CDLL("libzmq.so.5").zmq_version(*map(byref, parts))
    return ".".join(str(part.value) for part in parts)


def message_size(task, report):
    report.observe("size.believed", sizeof(libzmq.Message), "bytes")
    report.observe("size.library", _size_by_the_library(), "bytes")
    report.step("write into messages before a guard")
    report.observe("size.touched", _furthest_write(), "bytes")


def _size_by_the_library():
    """-1 where the library does not know the option."""
    zmq_msg_t_size = 6
    library = CDLL("libzmq.so.5")
    library.zmq_ctx_new.restype = c_void_p
    library.zmq_ctx_get.argtypes = c_void_p, c_int
    library.zmq_ctx_term.argtypes = (c_void_p,)
    context = library.zmq_ctx_new()
    size = library.zmq_ctx_get(context, zmq_msg_t_size)
    library.zmq_ctx_term(context)
    return size


def _furthest_write():
    """How far libzmq writes into a message by any of the ways to fill one, and a
    receive moves it. Two patterns: an octet that is written may happen to be one
    of them."""
    guard = 512
    library = CDLL("libzmq.so.5")
    library.zmq_msg_init.argtypes = library.zmq_msg_close.argtypes = (c_void_p,)
    library.zmq_msg_init_size.argtypes = c_void_p, c_size_t
    library.zmq_msg_move.argtypes = c_void_p, c_void_p
    message, other = fixture.allocate(guard), fixture.allocate(guard)

    def moved(size):
        library.zmq_msg_init(message)
        library.zmq_msg_init_size(other, size)
        result = library.zmq_msg_move(message, other)
        library.zmq_msg_close(other)
        return result

    ways = [lambda: library.zmq_msg_init(message)]
    for size in (8, 1000):
        ways.append(lambda size=size: library.zmq_msg_init_size(message, size))
        ways.append(lambda size=size: moved(size))
    furthest = 0
    for pattern in (0xA5, 0x5A):
        for k, way in enumerate(ways):
            memset(message, pattern, guard)
            if way():
                raise OSError("fill a message in way %d: failed" % k)
            furthest = max(furthest, len(string_at(message, guard).rstrip(bytes([pattern]))))
            library.zmq_msg_close(message)
    fixture.release(message)
    fixture.release(other)
    return furthest


def errors(task, report, context):
    pull = bound(context, "PULL", _ENDPOINT)
    second, asking = context.socket("PULL"), context.socket("REQ")
    ended = None

    def terminated():
        nonlocal ended
        ended = context.terminate_elsewhere()
        pull.receive()

    pull.set("rcvtimeo", 1)
    _observe_error(report, context, "eagain", "receive where nothing comes", pull.receive)
    _observe_error(report, context, "efsm", "receive a reply before there was a request", asking.receive)
    _observe_error(
        report, context, "eaddrinuse", "bind a second socket to the same endpoint", lambda: second.bind(_ENDPOINT)
    )
    # Long enough for a context that another thread terminates.
    pull.set("rcvtimeo", 10000)
    _observe_error(report, context, "eterm", "receive from a terminated context", terminated)
    report.step("close and terminate")
    for socket in (pull, second, asking):
        socket.close()
    ended()


def _observe_error(report, context, name, step, provoke):
    report.step(step)
    error = None
    try:
        provoke()
    except Exception as raised:
        error = raised
    own = isinstance(error, context.Error)
    report.observe(name + ".missing", "", "text")
    report.flag(name + ".signalled", error is not None)
    report.observe(name + ".condition", "" if error is None else "%s: %s" % (type(error).__name__, error), "text")
    report.flag(name + ".own", own)
    report.count(name + ".number", error.errno if own else -1)
