# What build.sh runs in, with the grant that GCL needs and no engine's builder gives.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libzmq3-dev
ARG GCL=gcl
RUN apt-get update && apt-get install -y --no-install-recommends ${GCL}
COPY targets /src/targets
