"""How each bot of a fleet does: pure, from what the engine and the hosts tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.config.fleet import Bot, Fleet
from app.deploy.compose import hosts_of
from app.deploy.docker import Container

OLD = timedelta(seconds=30)
"""A status of a host that is older than this says nothing any more; hosts write it every five seconds."""

MISSING, STOPPED = "missing", "stopped"
"""States of a bot without a container, and of one that an operator has stopped."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a container beside what the engine says: CPU in percent of one, bytes, its host's status."""

    cpu_percent: float | None = None
    memory: int | None = None
    memory_limit: int | None = None
    status: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One bot in one container or process, or a service beside the bots.

    ``state`` is the bot's own word for where it stands, or the engine's for its container; ``health`` is healthy,
    starting or unhealthy, empty where nobody checks. ``image`` is the beginning of the image's id. Figures are ``None``
    where nobody knows them. ``note`` says what an operator should know or do.
    """

    bot: str
    service: str
    is_bot: bool = True
    container: str | None = None
    state: str = MISSING
    health: str = ""
    mode: str | None = None
    version: str | None = None
    image: str | None = None
    started_at: datetime | None = None
    restarts: int | None = None
    cpu_percent: float | None = None
    memory: int | None = None
    memory_limit: int | None = None
    last_poll: datetime | None = None
    webhook: Mapping[str, Any] | None = None
    active_5m: int | None = None
    active_24h: int | None = None
    errors: int | None = None
    dead_updates: int | None = None
    outbox: int | None = None
    outbox_age: float | None = None
    log_level: str | None = None
    note: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.health == "healthy" or (not self.is_bot and self.health == "" and self.state in ("running", "done"))


def container_rows(
    fleet: Fleet,
    others: Collection[str],
    containers: Sequence[Container],
    looks: Mapping[str, Look],
    now: datetime,
    jobs: Collection[str] = (),
) -> list[Row]:
    """Return the rows of the fleet's bots in the config's order, then ``others``, then what is gone from the config.

    ``others`` are the services beside the bots that the config has, ``jobs`` those of them that end by themselves;
    ``looks`` are by container id.
    """
    rows: list[Row] = []
    hosts = hosts_of(fleet)
    for service, bots in hosts.items():
        has = [container for container in containers if container.service == service]
        for bot in bots:
            rows += [_bot_row(bot, one, looks.get(one.id, Look()), len(has), now) for one in has] or [_missing(bot)]
    rest = [container for container in containers if container.service not in hosts]
    rows += [_service_row(one, looks.get(one.id, Look()), jobs) for one in rest if one.service in others]
    return [*rows, *(_gone_row(one, looks.get(one.id, Look())) for one in rest if one.service not in others)]


def run_rows(status: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the bots of ``flotilla run``, from what it tells; CPU and memory are those of a process."""
    processes = {one["process"]: one for one in status.get("processes", ())}
    return [
        Row(
            bot=bot["bot"],
            service=bot.get("process", bot["bot"]),
            state=bot["state"],
            health=_bot_health(bot, is_starting=bot["state"] == "starting"),
            version=status["version"],
            started_at=None if bot["state"] == STOPPED else _time(status["started_at"]),
            cpu_percent=bot.get("cpu_percent", status.get("cpu_percent")),
            memory=bot.get("memory", status.get("memory")),
            restarts=processes.get(bot.get("process", ""), {}).get("restarts"),
            note=_bot_note(bot, "start flotilla run anew"),
            **_figures(bot),
        )
        for bot in status["bots"]
    ]


def _missing(bot: Bot) -> Row:
    return Row(bot.name, bot.service, mode=bot.mode.value, note="it has no container; start it: flotilla up")


def _bot_row(bot: Bot, container: Container, look: Look, count: int, now: datetime) -> Row:
    told = _told(bot.name, container, look, now)
    name = f"{bot.name}/{container.number}" if count > 1 else bot.name
    if told is None:
        state = container.state
        return Row(
            name,
            bot.service,
            mode=bot.mode.value,
            state=state,
            health=_health(container),
            note=_end(container),
            **_of(container, look),
        )
    return Row(
        bot=name,
        service=bot.service,
        state=told["state"],
        health=_bot_health(told, is_starting=container.health == "starting"),
        note=_bot_note(told, "flotilla up"),
        **_figures(told),
        **_of(container, look),
    )


def _bot_health(told: Mapping[str, Any], *, is_starting: bool) -> str:
    if told["state"] == STOPPED:
        return ""
    return "healthy" if told["is_healthy"] else "starting" if is_starting else "unhealthy"


def _told(name: str, container: Container, look: Look, now: datetime) -> Mapping[str, Any] | None:
    """Return what a running host tells of a bot, if it is of now."""
    status = look.status
    at = _time(status.get("at")) if status else None
    if status is None or at is None or not container.is_running or now - at > OLD:
        return None
    return next((bot for bot in status["bots"] if bot["bot"] == name), None)


def _service_row(container: Container, look: Look, jobs: Collection[str]) -> Row:
    name = container.service
    is_over = container.state == "exited" and container.exit_code == 0
    state = "done" if is_over and name in jobs else container.state
    note = f"it is stopped; start it: flotilla start {name}" if is_over and name not in jobs else _end(container)
    return Row(name, name, is_bot=False, state=state, health=_health(container), note=note, **_of(container, look))


def _gone_row(container: Container, look: Look) -> Row:
    note = "not in the config any more; flotilla up removes it"
    name = container.service
    return Row(
        name, name, is_bot=False, state=container.state, health=_health(container), note=note, **_of(container, look)
    )


def _of(container: Container, look: Look) -> dict[str, Any]:
    return {
        "container": container.name,
        "version": container.version,
        "image": container.image_id.removeprefix("sha256:")[:12],
        "started_at": container.started_at if container.is_running else None,
        "restarts": container.restarts,
        "cpu_percent": look.cpu_percent,
        "memory": look.memory,
        "memory_limit": look.memory_limit,
    }


def _figures(told: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "mode",
        "webhook",
        "active_5m",
        "active_24h",
        "errors",
        "dead_updates",
        "outbox",
        "outbox_age",
        "log_level",
    )
    return {"last_poll": _time(told.get("last_poll")), **{name: told.get(name) for name in names}}


def _health(container: Container) -> str:
    return container.health or "" if container.is_running else "unhealthy" if container.exit_code else ""


def _end(container: Container) -> str:
    """Say why a container does not run as it should."""
    if container.is_running:
        return "its host has not told how it does" if container.health == "unhealthy" else ""
    if container.error:
        return container.error
    log = f"see its log: flotilla logs {container.service}"
    if container.state == "restarting":
        return f"{container.ending}, restarted {container.restarts} times; {log}"
    return f"{container.ending}; {log}" if container.exit_code else ""


def _bot_note(told: Mapping[str, Any], anew: str) -> str:
    """Tell what a host has to say of a bot; ``anew`` is how its process is started with new settings."""
    return "; ".join(_bot_notes(told, anew))


def _bot_notes(told: Mapping[str, Any], anew: str) -> Iterator[str]:
    webhook = told.get("webhook") or {}
    if told["state"] == STOPPED:
        yield f"stopped by an operator; start it: flotilla start {told['bot']}"
    if told["state"] == "token refused":
        yield f"Telegram refuses its token; get a new one from @BotFather, put it into .env, then {anew}"
    if webhook.get("last_error"):
        yield f"last error of its webhook: {webhook['last_error']} ({webhook.get('last_error_at') or 'time unknown'})"
    if told.get("dead_updates"):
        yield f"{told['dead_updates']} updates could not be processed (table dead_update)"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
