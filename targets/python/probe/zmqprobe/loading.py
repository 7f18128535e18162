"""What Python says while a binding is compiled and loaded. Its compiler runs
wherever the source is, so that the probe counts here and not its build."""

import os
import sys
import warnings
from contextlib import contextmanager
from importlib.machinery import PathFinder

# What Python itself shows nobody but who asks for it.
STYLE = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@contextmanager
def listening():
    """Gathers all that is warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield said


def sources(place):
    """The Python files of a module or a package, without a package's tests."""
    if os.path.isfile(place):
        return [place]
    found = []
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if name not in ("tests", "__pycache__"))
        found += [os.path.join(folder, name) for name in sorted(files) if name.endswith(".py")]
    return found


def compiled(files):
    """What the compiler says of the files. A SyntaxError is the caller's."""
    with listening() as said:
        for path in files:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec", dont_inherit=True)
    return said


def conflicts(names, path=None):
    """Modules of the binding's that stand in more than one place of the path, or
    hide one of the standard library: which is loaded is then by chance."""
    found = []
    for name in names:
        places = []
        for folder in sys.path if path is None else path:
            spec = PathFinder.find_spec(name, [folder])
            if spec and spec.origin and spec.origin not in places:
                places.append(spec.origin)
        if name in sys.builtin_module_names:
            places.append("built-in")
        if len(places) > 1:
            found.append("%s is in %s" % (name, " and ".join(places)))
    return found


def observe(report, place, names, said_at_import):
    """binding/loads, of the binding whose sources are in the place and whose
    modules have the names."""
    files = sources(place)
    said = compiled(files) + [one for one in said_at_import if one.filename in files]
    style = [one for one in said if issubclass(one.category, STYLE)]
    others = [one for one in said if not issubclass(one.category, STYLE)]
    conflicting = conflicts(names)
    report.observe("loads.by", "CPython " + sys.version.split()[0], "text")
    report.count("loads.warnings", len(others))
    report.observe("loads.first-warning", _line(others[0]) if others else "", "text")
    report.count("loads.style-warnings", len(style))
    report.count("loads.conflicts", len(conflicting))
    report.observe("loads.first-conflict", conflicting[0] if conflicting else "", "text")
    if style:
        report.observe("loads.first-style-warning", _line(style[0]), "text")


def _line(warning):
    return "%s:%d: %s: %s" % (warning.filename, warning.lineno, warning.category.__name__, warning.message)
