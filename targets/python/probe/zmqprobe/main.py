"""The dispatch: from the task to the feature, and its end to the report."""

import os
import sys

from . import loading
from .report import Report
from .task import Task

# All that the probe knows, also where a binding does not load.
FEATURES = (
    "callback/same-thread",
    "callback/foreign-thread",
    "callback/concurrent-threads",
    "callback/masked-thread",
    "callback/io-thread",
    "callback/io-thread-gc",
    "static-area/address-stable",
    "static-area/shared-view",
    "static-area/release",
    "static-area/pin",
    "zero-copy/callback-free",
    "zero-copy/deferred-free",
    "zero-copy/native-free",
    "zero-copy/kept-alive",
    "zero-copy/wire",
    "zero-copy/receive-in-place",
    "messaging/req-rep",
    "messaging/push-pull",
    "messaging/pub-sub",
    "messaging/multipart",
    "binding/loads",
    "binding/version",
    "binding/message-size",
    "binding/errors",
)


class Feature:
    """What a binding does, or why it can't. techniques is None where any is
    answered alike."""

    def __init__(self, run=None, techniques=("plain",), missing=""):
        self.run, self.techniques, self.missing = run, techniques, missing


class Unsupported(Exception):
    """Closes the report with unsupported."""


class NotLoaded(Exception):
    """Closes the report with failed, and with the condition of the loading."""

    def __init__(self, reason, condition):
        super().__init__(reason)
        self.condition = condition


def main(arguments):
    if arguments[1:] == ["--version"]:
        print(sys.version.split()[0])
        return 0
    names = ("ctypes", "pyzmq")
    if len(arguments) != 2 or arguments[1] not in names:
        print("usage: probe %s|--version" % "|".join(names), file=sys.stderr)
        return 2
    # A thread that wants the interpreter waits for so long before it asks for it,
    # each time, three times in a callback. At the default of 5 ms, 4000 callbacks
    # beside a busy main thread take between 3 s and a minute and a half.
    sys.setswitchinterval(0.0005)
    report = Report()
    binding = loaded(arguments[1], binding_of)
    report.hello(arguments[1], binding.version, binding.libzmq, os.environ.get("ZM_SEED", ""))
    try:
        attempt(binding, report, os.environ)
        report.done()
    except Unsupported as error:
        report.unsupported(str(error))
    except Exception as error:
        report.failed(str(error), getattr(error, "condition", type(error).__name__))
        # With the frames of the failure go its contexts, and a context that is
        # dropped waits for what was never sent.
        os._exit(0)
    return 0


class Binding:
    """What the dispatch knows of one. features are by name; said is what was
    warned of while it was imported."""

    def __init__(self, version, libzmq, features):
        self.version, self.libzmq, self.features, self.said = version, libzmq, features, []


def loaded(name, binding_of):
    """The binding, or, of one that does not load, what can be said of it."""
    try:
        with loading.listening() as said:
            binding = binding_of(name)
    except Exception as error:
        raised = NotLoaded("%s does not load: %s" % (name, error), type(error).__name__)

        def refuse(task, report):
            raise raised

        return Binding("", "", {known: Feature(refuse, techniques=None) for known in FEATURES})
    binding.said = said
    return binding


def binding_of(name):
    # Only the one that is measured is loaded.
    if name == "pyzmq":
        from .binding_pyzmq import PYZMQ

        return PYZMQ
    from .binding_ctypes import CTYPES

    return CTYPES


def attempt(binding, report, environment):
    protocol = environment.get("ZM_PROTOCOL", "")
    if protocol != "1":
        raise ValueError("protocol %s is not spoken here" % protocol)
    name, technique = environment.get("ZM_FEATURE", ""), environment.get("ZM_TECHNIQUE", "")
    feature = binding.features.get(name)
    if feature is None:
        raise Unsupported("unknown feature " + name)
    if feature.run is None:
        raise Unsupported(feature.missing)
    if feature.techniques is not None and technique not in feature.techniques:
        raise Unsupported("unknown technique " + technique)
    feature.run(Task(technique, environment), report)
