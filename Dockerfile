# docker build -t chatkit-backend .
# The image serves; "migrate" and "doctor" are its other commands.

FROM python:3.12-slim AS build
COPY requirements.lock .
# Wheels only: what would have to be compiled does not get in.
RUN python -m venv /opt/venv && \
    /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement requirements.lock

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chatkit && \
    install --directory --owner=chatkit /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv
COPY pyproject.toml ./
COPY migrations ./migrations
COPY app ./app
RUN python -m compileall -q app migrations
USER chatkit
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=3)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
