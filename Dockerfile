# One image for every part: what runs is the command (docker-compose.yml). Versions are pinned here
# and, with hashes, in the lock files; add the digest of the base image where policy asks for it.
FROM python:3.12.11-slim-bookworm AS build
WORKDIR /opt/tollgate
COPY requirements.lock ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes --only-binary :all: -r requirements.lock

FROM python:3.12.11-slim-bookworm AS tollgate
# No name in the image's own files needs this user: a number that nobody else has is enough.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tollgate \
    && install -d -o tollgate -g tollgate -m 0700 /data /backups
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/tollgate
COPY manage.py pyproject.toml ./
COPY config ./config
COPY accounts ./accounts
COPY billing ./billing
COPY gateway ./gateway
COPY console ./console
RUN /opt/venv/bin/python -m compileall -q /opt/tollgate
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_FORMAT=json \
    TOLLGATE_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
# SIGTERM lets calls end and settles what is finished; give it the time.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "config/health.py"]
CMD ["python", "-m", "config.serve"]

# The same with PostgreSQL's own client programs, for backup and restore.
FROM build AS tools-build
COPY requirements-local.lock ./
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r requirements-local.lock

FROM tollgate AS tools
COPY --from=tools-build /opt/venv /opt/venv
HEALTHCHECK NONE
VOLUME /backups
ENTRYPOINT ["python", "manage.py"]
CMD ["help"]
