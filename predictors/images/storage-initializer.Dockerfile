# KServe's storage initializer for remote addresses (s3, gs, https, hf, azure …), where its own image cannot be had.
# Only on demand: artifacts come from a volume (pvc://) or from an image (oci://), which need none.
ARG BASE
FROM ${BASE}
USER 0
COPY packages /app
# Byte code that is not compared with its source when it is loaded: the root is read-only, and dates are not kept.
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app"]
COPY programs /usr/local/bin
COPY sbom.json /usr/share/doc/podium/sbom.json
ENV HOME=/tmp
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/podium-initializer"]
ARG TITLE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="podium storage-initializer" \
      org.opencontainers.image.description="${TITLE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
