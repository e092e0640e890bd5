# The image of every container of a fleet: `docker build --build-arg VERSION=1.4.0 --tag flotilla:1.4.0 .`
# Only plain instructions, so that BuildKit and the classic builder both build it.

FROM python:3.13-slim AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/flotilla \
    UV_PYTHON=/usr/local/bin/python \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
WORKDIR /build
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY app app
COPY db/migrations db/migrations
ARG VERSION
RUN if [ -n "$VERSION" ]; then uv version --frozen "$VERSION"; fi \
    && uv sync --frozen --no-dev --no-editable


FROM python:3.13-slim
# pip would only serve an intruder.
RUN python -B -m pip uninstall --yes --root-user-action=ignore pip \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin flotilla \
    && install --directory --owner=10001 --group=10001 /var/log/flotilla
COPY --from=build /opt/flotilla /opt/flotilla
ENV PATH=/opt/flotilla/bin:$PATH \
    PYTHONUNBUFFERED=1
# The base image's own modules are not compiled, and a read-only root file system keeps nothing: compile those of a start
# here, once.
RUN python -c "import app.runtime.main, app.telegram.lean as lean; lean.import_aiogram()"
# Bots that are stopped alone stay so when this container restarts.
ENV PYTHONDONTWRITEBYTECODE=1 \
    HOST_PLACE=container
ARG VERSION
LABEL org.opencontainers.image.title="Flotilla" \
      org.opencontainers.image.description="Many Telegram course bots from one file" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION:-local}"
WORKDIR /app
COPY monitoring /usr/share/flotilla/monitoring
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["python", "-m", "app"]
