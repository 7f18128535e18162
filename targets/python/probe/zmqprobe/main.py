"""The dispatch: from the task to the feature, and its end to the report."""

import os
import sys

from .report import Report
from .task import Task


class Feature:
    """What a binding does, or why it can't."""

    def __init__(self, run=None, techniques=("plain",), missing=""):
        self.run, self.techniques, self.missing = run, techniques, missing


class Unsupported(Exception):
    """Closes the report with unsupported."""


def main(arguments):
    if arguments[1:] == ["--version"]:
        print(sys.version.split()[0])
        return 0
    names = ("ctypes", "pyzmq")
    if len(arguments) != 2 or arguments[1] not in names:
        print("usage: probe %s|--version" % "|".join(names), file=sys.stderr)
        return 2
    name, report = arguments[1], Report()
    try:
        binding = binding_of(name)
    except Exception as error:
        report.hello(name, "", "")
        report.failed("load the binding: %s" % error, type(error).__name__)
        return 0
    report.hello(name, binding.version, binding.libzmq)
    try:
        attempt(binding, report, os.environ)
        report.done()
    except Unsupported as error:
        report.unsupported(str(error))
    except Exception as error:
        report.failed(str(error), type(error).__name__)
        # With the frames of the failure go its contexts, and a context that is
        # dropped waits for what was never sent.
        os._exit(0)
    return 0


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
    if technique not in feature.techniques:
        raise Unsupported("unknown technique " + technique)
    feature.run(Task(technique, environment), report)
