"""Debian's pyzmq by its public interface."""

import copy
import threading

import zmq

from .memory import address_of

class Received:
    """A received Frame. It is asked for its own view of the body; where the
    body lies is asked of another Frame that shares the message (zmq_msg_copy),
    so that a view of a copy would not go unnoticed."""

    def __init__(self, frame):
        self._frame = frame
        self._shared = copy.copy(frame)
        # Not of its buffer, which pyzmq 20 keeps in a cycle with the Frame.
        self.address = address_of(self._shared)
        self.size = len(frame)

    def view(self):
        return self._frame.buffer

    def close(self):
        """Drops the message with its last references."""
        self._frame = self._shared = None


class Socket:
    def __init__(self, context, pattern):
        self._socket = context.socket(getattr(zmq, pattern))

    def set(self, option, value):
        setattr(self._socket, option, value)

    def subscribe(self, topic):
        self._socket.setsockopt(zmq.SUBSCRIBE, topic)

    def bind(self, endpoint):
        self._socket.bind(endpoint)

    def connect(self, endpoint):
        self._socket.connect(endpoint)

    def close(self):
        self._socket.close()

    def send_in_place(self, view):
        """The MessageTracker of a send that pyzmq is asked not to copy for."""
        return self._socket.send(view, copy=False, track=True)

    def send_copy(self, octets):
        self._socket.send(octets)

    def send_message(self, frames):
        self._socket.send_multipart(frames)

    def receive(self):
        return Received(self._socket.recv(copy=False))

    def receive_message(self):
        return self._socket.recv_multipart()


class Context:
    Error = zmq.ZMQError

    def __init__(self):
        self._context = zmq.Context()

    def socket(self, pattern):
        return Socket(self._context, pattern)

    def terminate(self):
        self._context.term()

    def terminate_elsewhere(self):
        """pyzmq has no zmq_ctx_shutdown, and term waits for the sockets."""
        thread = threading.Thread(target=self._context.term)
        thread.start()
        return thread.join
