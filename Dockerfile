# Two stages: the first installs from hashed wheels only, the second takes what came out of it and nothing that built it.
# Every instruction is in exec form: no shell runs, neither here nor in the container.

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The requirements first: they change seldom, so this layer is kept.
COPY requirements-build.txt requirements-image.txt ./
RUN ["python", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements-build.txt"]
RUN ["python", "-m", "venv", "--without-pip", "/opt/headrace"]
RUN ["python", "-m", "pip", "--python", "/opt/headrace/bin/python", "install", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements-image.txt"]

COPY pyproject.toml README.md LICENSE ./
COPY conf/demo.yaml conf/providers.yaml conf/
COPY proxy/ proxy/
RUN ["python", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN ["python", "-m", "pip", "--python", "/opt/headrace/bin/python", "install", "--no-deps", "--no-index", "--find-links", "/wheels", "headrace"]
# The only place that is written to. A new volume takes its owner from here.
RUN ["install", "--directory", "--owner=10001", "--group=10001", "/data"]


FROM python:3.13-slim

LABEL org.opencontainers.image.title="Headrace" \
      org.opencontainers.image.description="LLM API proxy for applications that count milliseconds" \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /opt/headrace /opt/headrace
COPY --from=build --chown=10001:10001 /data /data

# The modules were compiled when they were installed: with a read-only root there is nothing left to write.
ENV PATH=/opt/headrace/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HEADRACE_CONFIG=/etc/headrace/headrace.yaml

# `sqlite:///data/headrace.db`, the store unless the configuration says otherwise, is relative to this.
WORKDIR /
VOLUME /data
EXPOSE 8000 8001
USER 10001:10001

# Set HEADRACE_PORT for the check when the configuration moves the API to another port. A port that speaks TLS says 400 to plain HTTP:
# it is as alive as one that says 200, whatever certificate it wants to see.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["/opt/headrace/bin/python", "-I", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('HEADRACE_PORT', '8000')), timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status not in (200, 400))"]

ENTRYPOINT ["headrace"]
CMD ["serve"]
