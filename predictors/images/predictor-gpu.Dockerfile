# Serves one ONNX variant on an NVIDIA GPU. Built by hand where a registry and a package index are in reach; the CPU images
# need neither. The node brings the driver (NVIDIA container toolkit); CUDA and cuDNN come as wheels of onnxruntime-gpu.
#
#   docker build -f predictors/images/predictor-gpu.Dockerfile -t REGISTRY/podium/predictor-gpu:TAG .
#
# PACKAGE_INDEX is an index of one's own; the default is pip's. It is used in the first stage only, so that it is not in the
# history of the image. BUILDER has pip and the same Python as BASE.
ARG BUILDER=docker.io/library/python:3.11-slim-bookworm
ARG BASE=gcr.io/distroless/python3-debian12@sha256:7d1042ce588ab97019fe95c24ffca7bc5a82ccdac572511d5e09bda4435c89c5
FROM ${BUILDER} AS packages
ARG PACKAGE_INDEX=""
COPY requirements/images/predictor-gpu.txt /tmp/requirements.txt
RUN ${PACKAGE_INDEX:+env PIP_INDEX_URL="$PACKAGE_INDEX"} pip install --no-cache-dir --no-compile --no-deps \
    --only-binary :all: --require-hashes --target /app -r /tmp/requirements.txt
COPY predictors /app/predictors
COPY predictors/images/launcher.py /app/bin/podium
RUN chmod 755 /app/bin/podium && rm -rf /app/predictors/images /app/predictors/models /app/predictors/recipes

FROM ${BASE}
USER 0
COPY --from=packages /app /app
RUN ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/app"]
# The loader finds CUDA and cuDNN here; onnxruntime looks for them nowhere else unless it is told to.
# And onnxruntime's wheels report their use to Microsoft unless they are told not to before they load.
ENV LD_LIBRARY_PATH=/app/nvidia/cu13/lib:/app/nvidia/cudnn/lib ORT_DISABLE_TELEMETRY=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 8081 8082
ENTRYPOINT ["/app/bin/podium", "serve"]
CMD ["/mnt/models", "--host", "0.0.0.0"]
LABEL org.opencontainers.image.title="podium predictor-gpu" \
      org.opencontainers.image.description="Serves one ONNX variant with onnxruntime on an NVIDIA GPU" \
      org.opencontainers.image.licenses="Apache-2.0"
