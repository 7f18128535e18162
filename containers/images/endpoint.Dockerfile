# The one ZeroMQ peer of a run. The debugger is not for it: with it, this line is
# the targets' own, and its layer is shared.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends libzmq5 gdb-minimal && rm -rf /var/lib/apt/lists/*
COPY bin/zmqmatrix-endpoint /zmqmatrix-endpoint
