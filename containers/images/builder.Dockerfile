# Where programs that link libzmq are built: the suite's own compiler, C library
# and libzmq, with the host's Go mounted beside them. The first line is the
# targets' own, so that its layer is shared.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libzmq3-dev
RUN apt-get update && apt-get install -y --no-install-recommends pkg-config
