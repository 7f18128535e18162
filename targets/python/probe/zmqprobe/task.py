"""The task, which the environment describes."""

import os


def name_in_environment(prefix, key):
    """"ZM_PARAM_" and "gc-every" are ZM_PARAM_GC_EVERY."""
    return prefix + key.upper().replace("-", "_")


def decimal(what, text):
    # int() would take signs, spaces and underscores, too.
    if not (text.isascii() and text.isdigit()):
        raise ValueError("%s is %r, not a number" % (what, text))
    return int(text)


class Task:
    """Its methods raise where a variable is missing or no number: the plan is
    wrong then, and no feature can go on."""

    def __init__(self, technique, environment=os.environ):
        self.technique = technique
        self.environment = environment
        self.seed = decimal("ZM_SEED", environment.get("ZM_SEED", ""))

    def parameter(self, key):
        return self.environment.get(name_in_environment("ZM_PARAM_", key), "")

    def number(self, key):
        return decimal("parameter " + key, self.parameter(key))

    def numbers(self, key):
        return [decimal("parameter " + key, part) for part in self.parameter(key).split(",")]

    def endpoint(self, name=""):
        """The address of the lane's socket of that name; "" is its first."""
        variable = name_in_environment("ZM_ENDPOINT_", name) if name else "ZM_ENDPOINT"
        address = self.environment.get(variable, "")
        if not address:
            raise ValueError("the lane has no socket %r" % name)
        return address
