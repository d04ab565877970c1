# Serves one ONNX variant in a replica of Ray Serve on CPUs; only on demand, because Ray's processes take a gigabyte.
# build.py makes the context: packages (hashed wheels), code (ours), programs, sbom.json. A build needs no network, and no
# installer or index is in the image. BASE is any image with Python 3.11 at /usr/bin/python3, normally base.Dockerfile's.
ARG BASE
FROM ${BASE}
USER 0
COPY packages /app
# Byte code that is not compared with its source when it is loaded: the root is read-only, and dates are not kept.
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app"]
COPY code /app
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app/predictors"]
COPY programs /usr/local/bin
COPY sbom.json /usr/share/doc/podium/sbom.json
# onnxruntime's wheels report their use to Microsoft unless they are told not to before they load.
ENV ORT_DISABLE_TELEMETRY=1
# Plugins of pydantic are looked for in every installed package, and numpy's own threads in every core: neither is used.
ENV PYDANTIC_DISABLE_PLUGINS=__all__ OPENBLAS_NUM_THREADS=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 8081 8082
ENTRYPOINT ["/usr/local/bin/podium", "serve"]
CMD ["/mnt/models", "--host", "0.0.0.0"]
ARG TITLE
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="podium predictor-ray" \
      org.opencontainers.image.description="${TITLE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
