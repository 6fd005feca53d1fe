# Two stages: the first builds a virtual environment, the second holds nothing else.
# tests/test_image.py runs the same steps without a container engine.
#
# Both architectures: docker buildx build --platform linux/amd64,linux/arm64 --tag … --push .
# A reproducible base is named by its digest (docker buildx imagetools inspect python:3.13-slim):
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:… .
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/kiroproxy
COPY requirements.lock requirements-build.lock ./
# Wheels alone, each with its hash, for either architecture: nothing is compiled here.
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements-build.lock \
 && /opt/kiroproxy/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY kiroproxy kiroproxy
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/kiroproxy/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="kiroproxy" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/kiroproxy /opt/kiroproxy
RUN useradd --uid 10001 --create-home kiroproxy \
 && install --directory --owner=kiroproxy --mode=0700 /state
USER 10001
# Inside a container only 0.0.0.0 can be reached, and on such an address the server
# refuses to start without KIRO_CLIENT_TOKEN: pass one with --env.
# Nothing is written outside /state: the root file system may be read-only.
ENV PATH=/opt/kiroproxy/bin:$PATH \
    HOST=0.0.0.0 \
    PORT=8080 \
    KIROPROXY_STATE_DIR=/state \
    PYTHONDONTWRITEBYTECODE=1
VOLUME /state
EXPOSE 8080
# http.client, because urllib would send this through HTTP_PROXY where one is set.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["kiroproxy"]
CMD ["server"]
