"""The Docker engine: what it tells about containers, and what it does with them. Nothing else knows the docker SDK."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from socket import gaierror
from types import TracebackType
from typing import TYPE_CHECKING, Any

from app.deploy.tunnel import Tunnel, command_to
from app.errors import FlotillaError
from app.observe.secrets import masked

if TYPE_CHECKING:
    from docker import APIClient

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
ONE_OFF = "com.docker.compose.oneoff"
VERSION = "org.opencontainers.image.version"
"""Labels by which Compose knows its containers, and ours of an image."""

ANSWER_SECONDS = 20
"""How long the engine may take for an answer; for stopping it has the container's grace period on top."""

CONNECTIONS = 32
"""Connections that are kept; requests of more threads get one of their own."""

API = "1.44"
"""The API that we speak: of Docker 25, the first that knows ``start_interval``, which compose.yaml uses."""

ADDRESS = "look at DOCKER_HOST, or at 'docker context ls'"
"""Where the address of the engine comes from, if it is not the usual one."""

INSTALL = "https://docs.docker.com/engine/install/"


class EngineError(FlotillaError):
    """The engine cannot be used, or does not do what it is asked for."""


class ContainerGoneError(EngineError):
    """The engine knows no such container (any more)."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a Compose project.

    ``state`` is the engine's word (created, running, paused, restarting, removing, exited, dead), ``health`` too
    (starting, healthy, unhealthy; ``None`` without a check). ``restarts`` are those by the engine since it was created.
    ``image`` is the name that it was created from, ``image_id`` what that meant then.
    """

    id: str
    name: str
    service: str
    number: int
    state: str
    health: str | None
    exit_code: int
    error: str
    is_out_of_memory: bool
    restarts: int
    image: str
    image_id: str
    config_hash: str
    started_at: datetime | None
    labels: Mapping[str, str] = field(repr=False)

    @property
    def is_running(self) -> bool:
        """Whether it runs, well or not."""
        return self.state == "running"

    @property
    def is_ready(self) -> bool:
        """Whether it runs and, if it has a check, is healthy."""
        return self.is_running and self.health in (None, "healthy")

    @property
    def ending(self) -> str:
        """How it ended, if it has."""
        if self.error:
            return self.error
        if self.is_out_of_memory:
            return "ended for want of memory"
        return f"ended with exit code {self.exit_code}" if self.exit_code else "ended"

    @property
    def version(self) -> str | None:
        """The version that its image says it has."""
        return self.labels.get(VERSION)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses: seconds of CPU time until ``at``, and bytes of memory without the page cache."""

    at: datetime
    cpu_seconds: float
    memory: int
    memory_limit: int

    def cpu_percent(self, before: Usage) -> float:
        """Return the share of one CPU that was used since an earlier look, in percent."""
        seconds = (self.at - before.at).total_seconds()
        return 100 * (self.cpu_seconds - before.cpu_seconds) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a container wrote, without its end."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a container: ``start``, ``die``, ``destroy``, ``health_status: healthy``, ..."""

    at: datetime
    container_id: str
    service: str
    action: str


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command in a container."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the engine has; ``tags`` as ``name:tag``, ``digests`` as ``name@sha256:...`` of registries."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created_at: datetime | None
    labels: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """The engine itself and the machine it runs on; ``memory`` is in bytes."""

    version: str
    api: str
    cpus: int
    memory: int
    host: str


class Engine:
    """A connection to the engine; methods may be called from several threads.

    All of them raise ``EngineError``, with what to do about it, and ``ContainerGoneError`` for a container that is no
    longer there.
    """

    def __init__(self, client: APIClient, host: str, tunnel: Tunnel | None = None) -> None:
        self._client = client
        self._tunnel = tunnel
        self.host = host

    @classmethod
    def connect(cls, environ: Mapping[str, str], timeout: int = ANSWER_SECONDS) -> Engine:
        """Connect as the docker command does: to ``DOCKER_HOST``, else to that of the (current) context.

        ``timeout`` is how many seconds an answer may take.
        """
        with _talking("of DOCKER_HOST"):
            address = _address(environ)
        host = address.get("base_url") or "unix:///var/run/docker.sock"
        tunnel = Tunnel(command_to(host)) if host.startswith("ssh://") else None
        if tunnel is not None:
            address = {"base_url": tunnel.address}
        host = masked(host)  # from here on it is only told
        try:
            return cls(_client(address, host, timeout), host, tunnel)
        except EngineError as error:
            if tunnel is None:
                raise
            trouble = tunnel.trouble
            tunnel.close()
            raise EngineError(f"no Docker engine answers at {host}: {trouble or error}") from error

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        if self._tunnel is not None:
            self._tunnel.close()

    @property
    def parallel(self) -> int:
        """How many questions at a time make sense: each is a connection, and ssh servers refuse more than ten."""
        return CONNECTIONS if self._tunnel is None else 6

    def machine(self) -> Machine:
        """Tell about the engine and its machine."""
        with self._talking():
            version, info = self._client.version(), self._client.info()
        return Machine(version["Version"], version["ApiVersion"], info["NCPU"], info["MemTotal"], self.host)

    # --- containers -------------------------------------------------------------------------------------------------

    def containers(self, project: str) -> list[Container]:
        """List the containers of a Compose project that belong to services, by service and number."""
        labels = [f"{PROJECT}={project}", f"{ONE_OFF}=False"]
        with self._talking():
            ids = [one["Id"] for one in self._client.containers(all=True, filters={"label": labels})]
        return sorted(self.those_left(ids), key=lambda one: (one.service, one.number))

    def container(self, container_id: str) -> Container:
        """Look at one container."""
        with self._talking():
            return _container(self._client.inspect_container(container_id))

    def those_left(self, ids: Iterable[str]) -> list[Container]:
        """Look at containers, some of which may have been removed meanwhile."""
        found = []
        for container_id in ids:
            with suppress(ContainerGoneError):
                found.append(self.container(container_id))
        return found

    def start_services(self, project: str, services: Collection[str]) -> None:
        """Start those containers of a project's services that do not run."""
        for container in self.containers(project):
            if container.service in services and not container.is_running:
                self.start(container.id)

    def start(self, container_id: str) -> None:
        """Start a container; one that runs goes on."""
        with self._talking():
            self._client.start(container_id)

    def stop(self, container_id: str) -> None:
        """Stop a container, within its own grace period; one that is stopped stays so."""
        with self._talking():
            self._client.stop(container_id, timeout=self._grace(container_id))

    def restart(self, container_id: str) -> None:
        """Stop a container as ``stop`` does, and start it."""
        with self._talking():
            self._client.restart(container_id, timeout=self._grace(container_id))

    def remove(self, container_id: str) -> None:
        """Remove a container that is stopped."""
        with self._talking():
            self._client.remove_container(container_id)

    def _grace(self, container_id: str) -> int:
        """Return the seconds that a container has to stop; the SDK has no word for "its own"."""
        return int(self._client.inspect_container(container_id)["Config"].get("StopTimeout") or 10)

    def usage(self, container_id: str) -> Usage | None:
        """Look at what a container uses now; ``None`` if it does not run."""
        with self._talking():
            stats: Any = self._client.stats(container_id, stream=False, one_shot=True)
        return _usage(stats)

    def exec(self, container_id: str, command: Sequence[str]) -> Ran:
        """Run a command in a running container, as the container's own user, and wait for it."""
        with self._talking():
            created = self._client.exec_create(container_id, list(command))
            output, errors = self._client.exec_start(created["Id"], demux=True)
            code = self._client.exec_inspect(created["Id"])["ExitCode"]
        return Ran(int(code), (output or b"").decode(errors="replace"), (errors or b"").decode(errors="replace"))

    # --- logs and events --------------------------------------------------------------------------------------------

    def logs(
        self, container_id: str, *, since: datetime | None = None, tail: int | None = None, follow: bool = False
    ) -> Iterator[LogLine]:
        """Yield what a container wrote from ``since`` on, or its last ``tail`` lines; ``follow`` waits for more.

        It ends when the container does. Of 16 KB and more, the engine counts a line as several.
        """
        options: dict[str, Any] = {"tail": "all" if tail is None else tail}
        if since is not None:
            options["since"] = since.timestamp()
        with self._talking():
            chunks = self._client.logs(container_id, stream=True, follow=follow, timestamps=True, **options)
            try:
                yield from _lines(chunks)
            finally:
                _close(chunks)

    def events(self, project: str, since: datetime) -> Iterator[Event]:
        """Yield what happens to a project's containers, from ``since`` on, for ever."""
        filters = {"type": "container", "label": [f"{PROJECT}={project}", f"{ONE_OFF}=False"]}
        with self._talking():
            events = self._client.events(since=int(since.timestamp()), filters=filters, decode=True)
            try:
                yield from map(_event, events)
            finally:
                _close(events)

    # --- images -----------------------------------------------------------------------------------------------------

    def images(self, name: str | None = None) -> list[Image]:
        """List the engine's images that have a tag; with ``name`` (without a tag) only those called so."""
        with self._talking():
            found = self._client.images(name=name)
        return [_listed_image(image) for image in found if image.get("RepoTags")]

    def image(self, reference: str) -> Image | None:
        """Look at an image by its name with tag, or id; ``None`` if the engine does not have it."""
        from docker.errors import ImageNotFound

        with self._talking():
            try:
                found: Any = self._client.inspect_image(reference)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None
        return _image(found)

    def can_fetch(self, reference: str) -> bool:
        """Whether its registry has an image for this engine; nothing is fetched. Raises when the registry is away."""
        from docker.errors import APIError

        with self._talking():
            try:
                self._client.inspect_distribution(reference)  # type: ignore[no-untyped-call]
            except APIError as error:
                if error.status_code in (401, 403, 404):
                    return False
                raise
        return True

    def _talking(self) -> Any:
        return _talking(f"at {self.host}")


# --- where it is ----------------------------------------------------------------------------------------------------


def _address(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return address and TLS of the engine as the SDK wants them; empty for the default socket."""
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    if environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env(environment=dict(environ)))
    name = environ.get("DOCKER_CONTEXT") or None
    context = ContextAPI.get_context(name)
    if context is None:
        where = "DOCKER_CONTEXT" if name else "the current Docker context"
        remedy = "'docker context ls' lists those there are"
        raise EngineError(f"{where} names a context that does not exist{f': {name!r}' if name else ''}; {remedy}")
    return dict(ContextAPI.kwargs_from_context(name, environment=dict(environ)))


def _client(address: Mapping[str, Any], host: str, timeout: int) -> APIClient:
    """Connect to an engine that answers and is new enough."""
    import docker

    with _talking(f"at {host}"):
        client = docker.APIClient(**address, version=API, timeout=timeout, max_pool_size=CONNECTIONS)
        try:
            found = client.version(api_version=False)
            if _numbers(found["ApiVersion"]) >= _numbers(API):
                return client
        except BaseException:
            client.close()
            raise
    client.close()
    raise EngineError(
        f"the Docker engine at {host} has version {found['Version']}; update it to 25 or newer: {INSTALL}"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


# --- what is wrong --------------------------------------------------------------------------------------------------


@contextmanager
def _talking(where: str) -> Iterator[None]:
    """Raise the SDK's errors as ours."""
    from docker.errors import APIError, DockerException, NotFound
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except NotFound as error:
        raise ContainerGoneError(f"the Docker engine {where} says: {error.explanation}") from error
    except APIError as error:
        raise EngineError(f"the Docker engine {where} refuses: {error.explanation or error}") from error
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise EngineError(_trouble(where, list(_causes(error)))) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it, wherever the libraries in between keep them."""
    seen, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        more = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [cause for cause in more if isinstance(cause, BaseException)]


def _trouble(where: str, causes: Sequence[BaseException]) -> str:
    from requests.exceptions import Timeout

    if any(isinstance(cause, PermissionError) for cause in causes):
        remedy = "'sudo usermod -aG docker $USER' and a new login give it, or use sudo"
        return f"you have no permission to use the Docker engine {where}; {remedy}"
    if any(isinstance(cause, TimeoutError | Timeout) for cause in causes):
        return f"the Docker engine {where} does not answer; look why with 'sudo systemctl status docker'"
    if any(isinstance(cause, gaierror) for cause in causes):
        return f"no Docker engine answers {where}: nobody knows a machine of that name; {ADDRESS}"
    if any(isinstance(cause, FileNotFoundError | ConnectionRefusedError) for cause in causes):
        remedy = f"start it ('sudo systemctl start docker'), or install it: {INSTALL}; 'flotilla run' needs none"
        return f"no Docker engine answers {where}; {remedy}"
    return f"the Docker engine {where} cannot be used: {masked(str(causes[0]))}; {ADDRESS}"


# --- what the engine says, in our words -----------------------------------------------------------------------------


def _container(found: Any) -> Container:
    state, config = found["State"], found["Config"]
    labels = config.get("Labels") or {}
    return Container(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=labels.get(SERVICE, ""),
        number=int(labels.get(NUMBER, 1)),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status"),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        is_out_of_memory=state.get("OOMKilled", False),
        restarts=found.get("RestartCount", 0),
        image=config["Image"],
        image_id=found["Image"],
        config_hash=labels.get(CONFIG_HASH, ""),
        started_at=_time(state.get("StartedAt")),
        labels=labels,
    )


def _usage(stats: Any) -> Usage | None:
    at, cpu, memory = _time(stats.get("read")), stats.get("cpu_stats") or {}, stats.get("memory_stats") or {}
    if at is None or "cpu_usage" not in cpu or "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    # As the docker command counts: version 1 and version 2 of control groups have different names for it.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    used = max(0, memory["usage"] - cache)
    return Usage(at, cpu["cpu_usage"]["total_usage"] / 1e9, used, memory.get("limit", 0))


def _event(event: Any) -> Event:
    at = datetime.fromtimestamp(event["timeNano"] / 1e9, UTC)
    return Event(at, event["Actor"]["ID"], event["Actor"]["Attributes"].get(SERVICE, ""), event["Action"])


def _listed_image(image: Any) -> Image:
    tags, digests = tuple(image.get("RepoTags") or ()), tuple(image.get("RepoDigests") or ())
    return Image(image["Id"], tags, digests, datetime.fromtimestamp(image["Created"], UTC), image.get("Labels") or {})


def _image(found: Any) -> Image:
    tags, digests = tuple(found.get("RepoTags") or ()), tuple(found.get("RepoDigests") or ())
    return Image(found["Id"], tags, digests, _time(found.get("Created")), found["Config"].get("Labels") or {})


def _close(stream: Any) -> None:
    """End a stream that may have more to say; by itself it would only cut the connection, and keep it open."""
    stream.close()
    stream._response.close()


_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) ")


def _lines(chunks: Iterator[bytes]) -> Iterator[LogLine]:
    """Make whole lines of what the log consists of: a long line is cut in pieces, each with a time of its own."""
    stamp, text = b"", b""
    for chunk in chunks:
        for piece in chunk.splitlines(keepends=True):
            found = _STAMP.match(piece)
            if found and not text:
                stamp = found[0]
            text += piece[found.end() :] if found else piece
            if piece.endswith(b"\n"):
                yield _line(stamp, text)
                text = b""
    if text:
        yield _line(stamp, text)


def _line(stamp: bytes, text: bytes) -> LogLine:
    at = _time(stamp.decode().strip()) or datetime.now(UTC)
    return LogLine(at, text.decode(errors="replace").rstrip("\r\n"))


def _time(text: str | None) -> datetime | None:
    """Read a time of the engine, which writes the year 1 for "never"."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)
