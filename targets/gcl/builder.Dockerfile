# What build.sh runs in, with the grant that GCL needs and no engine's builder gives.
ARG BASE
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends gcl gcc libc6-dev
COPY targets /src/targets
