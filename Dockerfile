# The image that every component runs on. `make image` builds it.
#
# No ENTRYPOINT: KFP's DockerRunner and a cluster give the whole command.
# No BuildKit feature is used, so that any engine builds it.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The dependencies are a stage of their own: a change of the code leaves it, and its copy below, as they are.
FROM ${BASE_IMAGE} AS dependencies
# GPU=1 takes TensorFlow with CUDA.
ARG GPU=0
RUN python3 -m venv /opt/twotower
ENV PATH=/opt/twotower/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock requirements-gpu.lock ./
RUN if [ "$GPU" = 1 ]; then lock=requirements-gpu.lock; else lock=requirements.lock; fi \
    && pip install --require-hashes -r "$lock"
# What serves only those who compile against these libraries or test them: half a gigabyte. Compiled Python
# (.pyc, 0.2 GB) stays: the image also runs on a read-only file system, where each start would compile anew.
RUN cd /opt/twotower/lib/python3*/site-packages \
    && rm -r tensorflow/include clang pyarrow/include pandas/tests numpy/_core/tests pyarrow/tests matplotlib/tests

FROM dependencies AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY components components
COPY pipelines pipelines
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/twotower /opt/twotower
COPY --from=wheel /wheels /wheels
# HOME lies where any user id can write: a cluster or `docker run --user` may set another than this one.
ENV PATH=/opt/twotower/bin:$PATH \
    HOME=/tmp \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib
RUN pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
# Last, since every revision changes them: the layers above stay as they are.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="twotower" \
      org.opencontainers.image.description="Steps of a pipeline that trains and publishes a two-tower movie recommender" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /tmp
USER 10001:10001
CMD ["twotower", "--help"]
