"""The CPython client: one probe for the bindings ctypes (libzmq through ctypes,
with nothing between) and pyzmq, of which the first argument names one. The
contract is targets/PROBE.md."""

import sys

from zmqprobe.main import main

sys.exit(main(sys.argv))
