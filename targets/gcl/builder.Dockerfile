# What build.sh runs in, with the grant that GCL needs and no engine's builder gives.
ARG BASE
FROM ${BASE}
ARG GCL=gcl
RUN apt-get update && apt-get install -y --no-install-recommends ${GCL} gcc libc6-dev
COPY targets /src/targets
