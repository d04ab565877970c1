# Plays one runner's share of a load with k6 (our extension) or vegeta, and is also the results server that the runners
# report to. build.py makes the context; the programs come from ./scripts/build-k6.
ARG BASE
FROM ${BASE}
USER 0
COPY packages /app
# Byte code that is not compared with its source when it is loaded: the root is read-only, and dates are not kept.
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app"]
COPY code /app
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app/loadtest"]
# With a link `python`, because commands that charts give name the interpreter so.
COPY programs /usr/local/bin
COPY sbom.json /usr/share/doc/podium/sbom.json
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PODIUM_K6=/usr/local/bin/k6 PODIUM_VEGETA=/usr/local/bin/vegeta
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
CMD ["python", "-m", "loadtest.cluster_runner", "--help"]
ARG TITLE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="podium loadtest" \
      org.opencontainers.image.description="${TITLE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
