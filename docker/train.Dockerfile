# Trains on exported shards, on Slurm (pyxis), Kubernetes or one machine; no Spark, no Java.
#   docker build -f docker/train.Dockerfile -t tokensieve-train:cuda .
#   docker build -f docker/train.Dockerfile -t tokensieve-train:cpu --build-arg VARIANT=cpu .
# The digest is pinned; docs/operations/images.md says how to renew it. Transformer Engine is not in it: kernels "local".
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /source
COPY pyproject.toml constraints.txt LICENSE README.md ./
COPY tokensieve tokensieve
COPY jobs jobs
COPY udfs udfs
COPY pretrain pretrain
COPY conf conf
RUN PIP_CONSTRAINT=constraints.txt pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE}
# cuda or cpu: the same but for torch. The CUDA libraries are wheels; the host brings the driver and NVIDIA's runtime.
ARG VARIANT=cuda
ARG CPU_TORCH=https://download.pytorch.org/whl/cpu
ARG EXTRAS=pretrain,transformers,tensorboard
ARG USER_ID=1000
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Debian removes old versions of a package, so a pinned one would soon fail to build. Triton compiles with gcc.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev procps tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid "$USER_ID" trainer \
    && useradd --uid "$USER_ID" --gid trainer --create-home trainer
ENV PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY constraints.txt /opt/tokensieve/
RUN case "$VARIANT" in \
        cpu) pip install --no-cache-dir --constraint /opt/tokensieve/constraints.txt \
            --index-url "$CPU_TORCH" --no-deps torch ;; \
        cuda) pip install --no-cache-dir --constraint /opt/tokensieve/constraints.txt torch ;; \
        *) echo "VARIANT is cpu or cuda, not '$VARIANT'" >&2; exit 2 ;; \
    esac
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /opt/tokensieve/constraints.txt "$(echo /wheels/tokensieve-*.whl)[$EXTRAS]"
WORKDIR /work
RUN chown trainer:trainer /work
USER ${USER_ID}
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["tokensieve", "pretrain", "--help"]
