"""A binding as the dispatch knows it."""

from . import messaging
from .main import Feature


class Binding:
    """features are those that it has beside messaging/*, by name."""

    def __init__(self, version, libzmq, context, features):
        self.version, self.libzmq = version, libzmq
        self.features = {
            "messaging/req-rep": over(context, messaging.req_rep),
            "messaging/push-pull": over(context, messaging.push_pull),
            "messaging/pub-sub": over(context, messaging.pub_sub),
            "messaging/multipart": over(context, messaging.multipart),
            **features,
        }


def over(context, run, **more):
    """A feature that is run with a context of its own."""
    return Feature(lambda task, report: run(task, report, context()), **more)
