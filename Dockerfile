# One node. It needs C2C_JWT_SECRET, and C2C_REDIS_URL unless a private Redis in /data is enough.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY c2c c2c
COPY lua lua
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.11-slim
RUN --mount=type=bind,from=build,source=/wheel,target=/wheel \
    pip install --no-cache-dir /wheel/*.whl \
 && useradd --uid 1000 --home-dir /data --no-create-home --no-log-init --shell /usr/sbin/nologin c2c \
 && install --directory --mode=700 --owner=c2c /data
USER c2c
WORKDIR /data
# Auth mode dev trusts everybody and listens on the loopback only; a container listens to others.
ENV PYTHONUNBUFFERED=1 \
    C2C_AUTH=jwt \
    C2C_DATA_DIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('C2C_PORT', '8080') + '/healthz', timeout=2)"]
CMD ["c2c", "serve", "--host", "0.0.0.0"]
