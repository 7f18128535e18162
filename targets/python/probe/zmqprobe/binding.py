"""What both bindings have in common."""

from . import loading, messaging, trust
from .main import Binding, Feature


def over(context, run, **more):
    """A feature that is run with a context of its own."""
    return Feature(lambda task, report: run(task, report, context()), **more)


def made(version, libzmq, context, place, names, features):
    """A binding of that version, with libzmq's version by its own function; its
    kind of context; where its sources are and the names of its modules; and the
    features that it has beside these."""
    binding = Binding(version, libzmq, {})
    binding.features = {
        "messaging/req-rep": over(context, messaging.req_rep),
        "messaging/push-pull": over(context, messaging.push_pull),
        "messaging/pub-sub": over(context, messaging.pub_sub),
        "messaging/multipart": over(context, messaging.multipart),
        "binding/loads": Feature(lambda task, report: loading.observe(report, place, names, binding.said)),
        "binding/version": Feature(lambda task, report: trust.version(report, libzmq, version)),
        "binding/errors": over(context, trust.errors),
        **features,
    }
    return binding
