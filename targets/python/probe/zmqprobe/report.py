"""The report's lines."""

import json
import os
import sys


class Report:
    """Writes each line with one write of its own, so that a crash leaves whole
    lines. For the main thread only."""

    def __init__(self, write=lambda line: os.write(1, line)):
        self.write = write

    def line(self, **members):
        self.write(json.dumps(members, separators=(",", ":")).encode("ascii") + b"\n")

    def hello(self, binding, binding_version, libzmq, seed):
        self.line(
            type="hello",
            protocol=1,
            implementation="CPython",
            version=sys.version.split()[0],
            binding=binding,
            binding_version=binding_version,
            libzmq=libzmq,
            threads=True,
            pid=os.getpid(),
            seed=seed,
            collector="non-moving",
        )

    def step(self, text):
        self.line(type="step", text=text)

    def observe(self, key, value, unit):
        self.line(type="observe", key=key, value=value, unit=unit)

    def count(self, key, value):
        self.observe(key, value, "count")

    def flag(self, key, value):
        self.observe(key, value, "flag")

    def thread(self, key, value):
        self.observe(key, value, "thread")

    def address(self, key, value):
        self.observe(key, hex(value), "address")

    def list(self, key, values, unit="list"):
        self.observe(key, ",".join(str(value) for value in values), unit)

    def done(self):
        self.line(type="done")

    def unsupported(self, reason):
        self.line(type="unsupported", reason=reason)

    def failed(self, reason, condition):
        self.line(type="failed", reason=reason, condition=condition)
