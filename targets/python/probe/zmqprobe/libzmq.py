"""libzmq through ctypes, with nothing between: the binding of that name."""

import errno
from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p, sizeof
from ctypes import cast, get_errno, memmove

from .memory import address_of, memory_at

# zmq.h
_TYPES = {"PAIR": 0, "PUB": 1, "SUB": 2, "REQ": 3, "REP": 4, "PULL": 7, "PUSH": 8}
_OPTIONS = {"linger": 17, "sndhwm": 23, "rcvtimeo": 27}
_SUBSCRIBE, _RCVMORE, _SNDMORE = 6, 13, 2

# void f(void *data, void *hint)
FREE_FUNCTION = CFUNCTYPE(None, c_void_p, c_void_p)


def address_of_function(function):
    """Where C finds a function made with FREE_FUNCTION."""
    return cast(function, c_void_p).value


class LibzmqError(Exception):
    """A call of libzmq that failed, with its errno."""

    def __init__(self, call, number):
        super().__init__("%s: %s" % (call, _strerror(number).decode("ascii", "replace")))
        self.errno = number


class Message(Structure):
    """zmq_msg_t: 64 octets, aligned as a pointer, in libzmq 4.2 and later."""

    _fields_ = [("opaque", c_uint64 * 8)]


_library = CDLL("libzmq.so.5", use_errno=True)


def _function(name, result, *arguments):
    found = getattr(_library, name)
    found.restype, found.argtypes = result, arguments
    return found


def _checked(name, *arguments):
    """A function that returns -1 on an error, and is called again when a signal
    interrupted it."""
    function = _function(name, c_int, *arguments)

    def call(*values):
        while True:
            result = function(*values)
            if result != -1:
                return result
            number = get_errno()
            if number != errno.EINTR:
                raise LibzmqError(name, number)

    return call


_strerror = _function("zmq_strerror", c_char_p, c_int)
_version = _function("zmq_version", None, POINTER(c_int), POINTER(c_int), POINTER(c_int))
_ctx_new = _function("zmq_ctx_new", c_void_p)
_socket = _function("zmq_socket", c_void_p, c_void_p, c_int)
_msg_data = _function("zmq_msg_data", c_void_p, POINTER(Message))
_msg_size = _function("zmq_msg_size", c_size_t, POINTER(Message))
_ctx_shutdown = _checked("zmq_ctx_shutdown", c_void_p)
_ctx_term = _checked("zmq_ctx_term", c_void_p)
_close = _checked("zmq_close", c_void_p)
_bind = _checked("zmq_bind", c_void_p, c_char_p)
_connect = _checked("zmq_connect", c_void_p, c_char_p)
_setsockopt = _checked("zmq_setsockopt", c_void_p, c_int, c_void_p, c_size_t)
_getsockopt = _checked("zmq_getsockopt", c_void_p, c_int, c_void_p, POINTER(c_size_t))
_msg_init = _checked("zmq_msg_init", POINTER(Message))
_msg_init_size = _checked("zmq_msg_init_size", POINTER(Message), c_size_t)
_msg_init_data = _checked("zmq_msg_init_data", POINTER(Message), c_void_p, c_size_t, c_void_p, c_void_p)
_msg_send = _checked("zmq_msg_send", POINTER(Message), c_void_p, c_int)
_msg_recv = _checked("zmq_msg_recv", POINTER(Message), c_void_p, c_int)
_msg_close = _checked("zmq_msg_close", POINTER(Message))


def version():
    parts = [c_int(), c_int(), c_int()]
    _version(*map(byref, parts))
    return ".".join(str(part.value) for part in parts)


class Received:
    """A received message, in libzmq's memory until it is closed."""

    def __init__(self, message):
        self._message = message
        self.address = _msg_data(byref(message)) or 0
        self.size = _msg_size(byref(message))

    def view(self):
        return memory_at(self.address, self.size)

    def close(self):
        _msg_close(byref(self._message))


class Socket:
    def __init__(self, context, pattern):
        self._socket = _socket(context, _TYPES[pattern])
        if not self._socket:
            raise LibzmqError("zmq_socket", get_errno())

    def set(self, option, value):
        number = c_int(value)
        _setsockopt(self._socket, _OPTIONS[option], byref(number), sizeof(number))

    def subscribe(self, topic):
        _setsockopt(self._socket, _SUBSCRIBE, topic, len(topic))

    def bind(self, endpoint):
        _bind(self._socket, endpoint.encode("ascii"))

    def connect(self, endpoint):
        _connect(self._socket, endpoint.encode("ascii"))

    def close(self):
        _close(self._socket)

    def send_data(self, address, size, free_function, hint):
        """Sends the memory itself; free_function is an address, or None."""
        message = Message()
        _msg_init_data(byref(message), address, size, free_function, hint)
        _msg_send(byref(message), self._socket, 0)

    def send_copy(self, octets, more=False):
        message = Message()
        _msg_init_size(byref(message), len(octets))
        memmove(_msg_data(byref(message)), address_of(octets), len(octets))
        _msg_send(byref(message), self._socket, _SNDMORE if more else 0)

    def send_message(self, frames):
        for k, frame in enumerate(frames):
            self.send_copy(frame, more=k + 1 < len(frames))

    def receive(self):
        message = Message()
        _msg_init(byref(message))
        _msg_recv(byref(message), self._socket, 0)
        return Received(message)

    def receive_message(self):
        frames, more = [], c_int(1)
        while more.value:
            received = self.receive()
            frames.append(bytes(received.view()) if received.size else b"")
            received.close()
            size = c_size_t(sizeof(more))
            _getsockopt(self._socket, _RCVMORE, byref(more), byref(size))
        return frames


class Context:
    Error = LibzmqError

    def __init__(self):
        self._context = _ctx_new()
        if not self._context:
            raise LibzmqError("zmq_ctx_new", get_errno())

    def socket(self, pattern):
        return Socket(self._context, pattern)

    def terminate(self):
        _ctx_term(self._context)

    def terminate_elsewhere(self):
        """What is called of a context whose sockets are still open, and what
        waits for its end when they are closed."""
        _ctx_shutdown(self._context)
        return self.terminate
