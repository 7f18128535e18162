"""What the features need of a binding's sockets, whichever it is: a context
with socket(pattern), terminate(), its terminate_elsewhere() and the binding's
kind of Error, which has an errno; and sockets with set, subscribe, bind, connect,
close, send_copy, send_message, receive and receive_message."""

# How long a receive waits before it is an error.
PATIENCE_MS = 10000


def opened(context, pattern, **options):
    """A socket that keeps what it has to send when it is closed, and does not
    wait for ever for what it has to receive."""
    socket = context.socket(pattern)
    for option, value in {"linger": -1, "rcvtimeo": PATIENCE_MS, **options}.items():
        socket.set(option, value)
    return socket


def connected(context, pattern, endpoint, topics=(), **options):
    socket = opened(context, pattern, **options)
    for topic in topics:
        socket.subscribe(topic)
    socket.connect(endpoint)
    return socket


def bound(context, pattern, endpoint):
    socket = opened(context, pattern)
    socket.bind(endpoint)
    return socket
