"""Give a bot another version, and its old one back if the new one does not work."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from app.config.edit import replace_file, with_version
from app.config.fleet import Bot, Fleet
from app.config.settings import Mode
from app.config.tokens import redacted
from app.config.version import is_ordered, version_key
from app.deploy.change import needed_by
from app.deploy.compose import compose, image_of
from app.deploy.docker import Container, Engine, EngineError
from app.deploy.postgres import running_postgres
from app.deploy.project import Project
from app.deploy.survey import told_by
from app.errors import FlotillaError

FILE = "compose.yaml"
LOOK_SECONDS = 0.5
LOG_LINES = 15
RESTORE_SECONDS = 120.0

Tell = Callable[[str], None]


class PinFailed(FlotillaError):
    """The new version does not work; the bot has its old one again, or the text says what to do.

    ``logs`` are the last lines of the container that failed.
    """

    def __init__(self, text: str, logs: Sequence[str] = (), *, is_interrupted: bool = False) -> None:
        super().__init__(text)
        self.logs = tuple(logs)
        self.is_interrupted = is_interrupted


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as it is (``None``: not at all), and as it will be."""

    path: Path
    before: bytes | None
    after: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pin changes: the version of all bots that share the container of ``service``, and two files."""

    fleet: Fleet
    service: str
    bots: tuple[Bot, ...]
    version: str | None
    config: Draft
    compose: Draft

    @property
    def before(self) -> str | None:
        """The version that the bots have in the config; ``None`` is the fleet's own."""
        return self.bots[0].version

    @property
    def image(self) -> str:
        """The image that the bots will have."""
        return image_of(self.fleet, self.version)

    @property
    def word(self) -> str:
        """What people call the new version."""
        return called(self.fleet, self.version)

    @property
    def word_before(self) -> str:
        """What people call the old version."""
        return called(self.fleet, self.before)


def called(fleet: Fleet, version: str | None) -> str:
    """Return what people call a bot's version."""
    return version or f"{image_of(fleet).rpartition(':')[2]} (the fleet's own)"


def plan(fleet: Fleet, bot: Bot, version: str | None) -> Plan:
    """Plan a pin; ``None`` as the version takes the bot's pin away. Raises ``FlotillaError`` without any effect."""
    bots = tuple(one for one in fleet.bots if one.service == bot.service)
    raw = _read(fleet.path)
    assert raw is not None  # noqa: S101 - the fleet was read from it
    mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
    places = [index for index, one in enumerate(fleet.bots) if one in bots]
    text = with_version(raw[len(mark) :].decode(), places, version, str(fleet.path))
    pinned = [one.model_copy(update={"version": version}) if one in bots else one for one in fleet.bots]
    generated = compose(fleet.model_copy(update={"bots": tuple(pinned)})).encode()
    path = fleet.path.parent / FILE
    drafts = Draft(fleet.path, raw, mark + text.encode()), Draft(path, _read(path), generated)
    return Plan(fleet, bot.service, bots, version, *drafts)


@dataclass(slots=True)
class Pinning:
    """Carries out a plan; ``tell`` gets a line for each step, ``timeout`` is in seconds."""

    plan: Plan
    project: Project
    engine: Engine
    tell: Tell
    timeout: float
    _had: tuple[Container, ...] = field(default=(), init=False)
    _restarts: dict[str, int] = field(default_factory=dict, init=False)

    def check(self) -> None:
        """Raise ``FlotillaError`` when it cannot work, before anything is changed."""
        self.project.require()
        if running_postgres(self.engine, self.project) is None:
            raise FlotillaError(
                f"the fleet does not run (project {self.project.name!r}): its database has no running container; "
                "start it with `flotilla up`, then pin"
            )
        if changed := self._changed():
            raise FlotillaError(
                f"the config has changed otherwise, too, and that concerns {', '.join(changed)}; "
                "apply that with `flotilla up` first, then pin"
            )
        if self.plan.fleet.image is None and self.engine.image(self.plan.image) is None:
            build = f"docker build --build-arg VERSION={self.plan.version} --tag {self.plan.image} ."
            raise FlotillaError(f"there is no image {self.plan.image} here; make it from its checkout with `{build}`")

    def _changed(self) -> list[str]:
        """Name what the bot needs and what would be replaced with it, because it is not as the config says."""
        services = self.project.services(self.plan.compose.after.decode())
        needed = [services[name] for name in needed_by(services, [self.plan.service]) if not services[name].is_job]
        hashes = {service.name: service.config_hash for service in needed}
        containers = self.engine.containers(self.project.name)
        return sorted(
            {one.service for one in containers if one.config_hash != hashes.get(one.service, one.config_hash)}
        )

    def run(self) -> None:
        """Change the version and wait until it works; raises ``PinFailed`` after everything is as it was."""
        self._had = tuple(self._containers())
        self._restarts = {one.id: one.restarts for one in self._had}
        with _one_at_a_time(self.plan.config.path.parent), _interruptible():
            try:
                self._write()
                self._fetch()
                self._migrate()
                self._start()
                self._wait(self.timeout)
            except BaseException as error:
                failed = self._undone(error)
                if isinstance(error, FlotillaError | KeyboardInterrupt):
                    raise failed from error
                raise
        self.tell(f"{self.plan.service}: {self.plan.word} works")

    # --- forward ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        if _read(self.plan.config.path) != self.plan.config.before:
            raise FlotillaError(f"{self.plan.config.path} was changed a moment ago; try again")
        replace_file(self.plan.config.path, self.plan.config.after)
        _put(self.plan.compose.path, self.plan.compose.after)

    def _fetch(self) -> None:
        if self.engine.image(self.plan.image) is None:
            self.tell(f"{self.plan.service}: fetching {self.plan.image}")
            self.project.pull([self.plan.service])

    def _migrate(self) -> None:
        """Give the database what the new version needs, unless that would stop the other bots."""
        said = self.project.run_once(self.plan.service, "flotilla", "migrate", "--dry-run", "--json")
        missing = _migrations(said)
        if not missing:
            return
        oldest = max((one["oldest_app"] for one in missing), key=version_key)
        if behind := self._older_than(oldest):
            raise FlotillaError(
                f"{self.plan.word} changes the database so that only Flotilla {oldest} and newer work with it; "
                f"first pin to such a version: {', '.join(behind)}"
            )
        self.tell(f"{self.plan.service}: bringing the database to the schema of {self.plan.word}")
        self.project.run_once(self.plan.service, "flotilla", "migrate")

    def _older_than(self, version: str) -> list[str]:
        """Name the other services whose hosts are older than this, with their versions."""
        services = {bot.service for bot in self.plan.fleet.bots} - {self.plan.service}
        others = [one for one in self.engine.containers(self.project.name) if one.service in services]
        found = {(one.service, _version_of(self.engine, one)) for one in others}
        old = [pair for pair in found if is_ordered(pair[1]) and version_key(pair[1]) < version_key(version)]
        return [f"{service} ({tag})" for service, tag in sorted(old)]

    def _start(self) -> None:
        self.tell(f"{self.plan.service}: starting {self.plan.word}")
        self._up()

    def _up(self) -> None:
        """Replace the service's containers alone; ``docker compose up`` would run the migrations again."""
        self.project.replace(self.plan.service)
        self.engine.start_services(self.project.name, [self.plan.service])

    def _wait(self, seconds: float) -> None:
        """Return once all containers are healthy, and every bot has polled or looked at its webhook in one of them."""
        deadline, told = time.monotonic() + seconds, ""
        while lack := self._lack():
            if lack != told:
                self.tell(f"{self.plan.service}: {lack}")
                told = lack
            if time.monotonic() > deadline:
                raise FlotillaError(f"{lack}, also after {seconds:g} s")
            time.sleep(LOOK_SECONDS)

    def _lack(self) -> str:
        """Return what is still to come; raises ``FlotillaError`` when that will not come."""
        containers = self._containers()
        if not containers:
            return "there is no container"
        for one in containers:
            _require_life(one, self._restarts.get(one.id, 0))
        if waiting := [one.name for one in containers if not one.is_ready]:
            return f"{', '.join(waiting)} is not healthy yet"
        known = [_bots(told_by(self.engine, one)) for one in containers]
        lacks = [lack_of(bot, [status.get(bot.name) for status in known]) for bot in self.plan.bots]
        return next((lack for lack in lacks if lack), "")

    def _containers(self) -> list[Container]:
        return [one for one in self.engine.containers(self.project.name) if one.service == self.plan.service]

    # --- back -------------------------------------------------------------------------------------------------------

    def _undone(self, error: BaseException) -> PinFailed:
        """Put everything back as it was; return what to tell."""
        is_interrupted = isinstance(error, KeyboardInterrupt)
        why = "interrupted" if is_interrupted else redacted(str(error))
        with _uninterrupted():
            logs = self._last_lines()
            self.tell(f"{self.plan.service}: {why}; going back to {self.plan.word_before}")
            back = self._back()
        text = f"{self.plan.service}: {self.plan.word} was given up: {why}; {back}"
        return PinFailed(text, logs, is_interrupted=is_interrupted)

    def _back(self) -> str:
        """Put files and containers back; return what came of it."""
        before = self.plan.word_before
        self._restore_config()
        if self.plan.compose.before is None:
            self.plan.compose.path.unlink(missing_ok=True)
        else:
            _put(self.plan.compose.path, self.plan.compose.before)
        try:
            self._restore_containers()
        except FlotillaError as error:
            remedy = f"look at `flotilla logs {self.plan.service}`, and run `flotilla up`"
            return f"the config has {before} again, but its container does not work either ({error}); {remedy}"
        return f"it has {before} again"

    def _restore_config(self) -> None:
        """Put the config back to the byte, unless somebody else has changed it meanwhile: then only the versions."""
        draft = self.plan.config
        now = _read(draft.path)
        if now in (draft.after, draft.before):
            if now != draft.before:
                replace_file(draft.path, draft.before or b"")
            return
        places = [index for index, one in enumerate(self.plan.fleet.bots) if one in self.plan.bots]
        with suppress(FlotillaError, UnicodeDecodeError, LookupError):
            text = with_version((now or b"").decode(), places, self.plan.before, str(draft.path))
            replace_file(draft.path, text.encode())
            return
        self.tell(f"{draft.path} was changed meanwhile; put the old version back there by hand")

    def _restore_containers(self) -> None:
        if {one.id for one in self._containers() if one.is_ready} == {one.id for one in self._had}:
            return
        if not self._had:
            self.project.remove([self.plan.service])
            return
        if not any(one.is_running or one.state == "restarting" for one in self._had):
            self.project.replace(self.plan.service)
            return
        self._start_again()
        if all(one.is_ready for one in self._had):
            self._wait(RESTORE_SECONDS)

    def _start_again(self) -> None:
        """Start what ran before; Ctrl+C may have reached Compose as well, so try twice."""
        try:
            self._up()
        except FlotillaError:
            self._up()

    def _last_lines(self) -> list[str]:
        """Return the end of the log of the new containers."""
        old = {one.id for one in self._had}
        lines: list[str] = []
        with suppress(EngineError):
            for one in self._containers():
                if one.id not in old:
                    lines += [redacted(line.text) for line in self.engine.logs(one.id, tail=LOG_LINES)]
        return lines[-LOG_LINES:]


def _require_life(container: Container, restarts: int) -> None:
    """Raise ``FlotillaError`` when a container has crashed since it had so many, or says that it is not well."""
    if container.is_out_of_memory:
        raise FlotillaError(f"{container.name} was killed for want of memory; raise memory in the config")
    if container.error:
        raise FlotillaError(f"{container.name} does not start: {container.error}")
    if container.state in ("exited", "dead", "restarting"):
        raise FlotillaError(f"{container.name} ended by itself with exit code {container.exit_code}")
    if container.restarts > restarts:
        raise FlotillaError(f"{container.name} ended by itself, and was started again")
    if container.health == "unhealthy":
        raise FlotillaError(f"{container.name} is unhealthy")


def _bots(status: dict[str, Any]) -> dict[str, Any]:
    return {bot["bot"]: bot for bot in status.get("bots", ())}


def _version_of(engine: Engine, container: Container) -> str:
    """Return the version of a host, or of the image if the host does not say."""
    return str(told_by(engine, container).get("version") or container.version or "")


def lack_of(bot: Bot, seen: Sequence[dict[str, Any] | None]) -> str:
    """Return what a bot has not done yet; ``seen`` is what the hosts of its containers say of it.

    One has to have heard of Telegram, the others stand by. Raises ``FlotillaError`` when one has given up.
    """
    known = [one for one in seen if one is not None]
    for one in known:
        if one["state"] in ("token refused", "failed", "stopped"):
            raise FlotillaError(f"the bot {bot.name} does not work: {one['state']}")
    if any(one["is_healthy"] and _has_heard(one) for one in known):
        return ""
    way = "looked at its webhook" if bot.mode is Mode.WEBHOOK else "completed a poll"
    return f"{bot.name} has not {way} yet"


def _has_heard(bot: dict[str, Any]) -> bool:
    return bool(bot["last_poll"] or (bot["webhook"] or {}).get("checked_at"))


def _migrations(said: str) -> list[dict[str, str]]:
    try:
        return list(json.loads(said)["migrations"])
    except (ValueError, KeyError, TypeError):
        raise FlotillaError(f"the image does not say which migrations it needs: {redacted(said.strip())!r}") from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FlotillaError(f"{path} cannot be read: {error.strerror}") from error


def _put(path: Path, data: bytes) -> None:
    """Replace a file, or make it."""
    if _read(path) == data:
        return
    if not path.exists():
        try:
            path.touch()
        except OSError as error:
            raise FlotillaError(f"{path} cannot be written: {error.strerror}") from error
    replace_file(path, data)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let nobody else pin in this folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FlotillaError("another pin of this fleet is under way; wait for its end") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have a lost terminal and SIGTERM end the block as Ctrl+C does."""
    with _signals(signal.default_int_handler, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    with _signals(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _signals(
    handler: Callable[[int, FrameType | None], Any] | signal.Handlers, *numbers: signal.Signals
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
