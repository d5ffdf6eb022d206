# Scores, masks, exports, refreshes: Spark's driver and executors, on Kubernetes or alone. Nothing is fetched at run time.
#   docker build -f docker/score.Dockerfile -t tokensieve-score:cpu .
#   docker build -f docker/score.Dockerfile -t tokensieve-score:cuda --build-arg VARIANT=cuda .
#   docker build -f docker/score.Dockerfile -t tokensieve-demo --build-arg EXTRAS=spark,score,fast,s3,pretrain .
#   docker run --rm -v "$PWD/out:/opt/spark/work-dir/out" tokensieve-demo tokensieve demo --config demo
# Base images are pinned by digest (docs/operations/images.md says how they were found and how to renew them).
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG SPARK_IMAGE=spark:4.1.3-scala2.13-java17-python3-ubuntu@sha256:4873c4e211353b76e736ca058b59c5fe80847e15784a80685e63128f1c69a4bc

# Only Java and Spark's own entry point are taken from here: its Python is 3.10, and its Spark is not the tested one.
FROM ${SPARK_IMAGE} AS spark

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
# cpu or cuda: the same but for torch. The CUDA libraries are wheels; the host brings the driver and NVIDIA's runtime.
ARG VARIANT=cpu
ARG CPU_TORCH=https://download.pytorch.org/whl/cpu
# Of pyproject.toml; `pretrain` as well makes an image that runs the whole demo.
ARG EXTRAS=spark,score,fast,s3
# Connectors beyond Delta's and S3's, as Maven coordinates separated by commas.
ARG PACKAGES=
# A classifier bundle of your own, below the build's context.
ARG BUNDLE=conf/classifiers/medicine-tiny
# Dataproc's batches want 1099.
ARG SPARK_UID=185
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Debian removes old versions of a package, so a pinned one would soon fail to build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnss-wrapper procps tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid "$SPARK_UID" spark \
    && useradd --system --uid "$SPARK_UID" --gid spark --create-home spark
COPY --from=spark /opt/java/openjdk /opt/java/openjdk
COPY --from=spark /opt/entrypoint.sh /opt/decom.sh /opt/
ENV JAVA_HOME=/opt/java/openjdk \
    PATH=/opt/java/openjdk/bin:/opt/spark/bin:$PATH \
    SPARK_HOME=/opt/spark \
    PYSPARK_PYTHON=/usr/local/bin/python3 \
    PYTHONUNBUFFERED=1 \
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
# Spark mounts its settings at /opt/spark/conf, so that must be a real folder; the rest is the wheel's.
COPY docker/install_spark.sh docker/discover_gpus.sh /opt/tokensieve/
RUN /opt/tokensieve/install_spark.sh "$PACKAGES" && chown -R spark:spark /opt/spark/work-dir
COPY ${BUNDLE} /opt/tokensieve/bundle
WORKDIR /opt/spark/work-dir
USER ${SPARK_UID}
ENTRYPOINT ["/opt/entrypoint.sh"]
CMD ["tokensieve", "--help"]
