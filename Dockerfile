# Two stages: the first builds a virtual environment, the second holds nothing else.
# tests/test_image.py runs the same steps without a container engine.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/kiroproxy
COPY pyproject.toml README.md LICENSE ./
COPY kiroproxy kiroproxy
RUN /opt/kiroproxy/bin/pip install --no-cache-dir ".[uvloop]"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="kiroproxy" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/kiroproxy /opt/kiroproxy
RUN useradd --uid 10001 --create-home kiroproxy \
 && install --directory --owner=kiroproxy --mode=0700 /state
USER 10001
# Inside a container only 0.0.0.0 can be reached, and on such an address the server
# refuses to start without KIRO_CLIENT_TOKEN: pass one with --env.
ENV PATH=/opt/kiroproxy/bin:$PATH \
    HOST=0.0.0.0 \
    PORT=8080 \
    KIROPROXY_STATE_DIR=/state
VOLUME /state
EXPOSE 8080
# http.client, because urllib would send this through HTTP_PROXY where one is set.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["kiroproxy"]
CMD ["server"]
