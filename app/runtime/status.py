"""What a host tells of itself and its bots, as JSON: to the command line, which reads it from a file or a socket.

The file is written every few seconds beside the heartbeat, also while the host is not healthy: whoever looks at it sees
by ``at`` whether it is of now.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import __version__
from app.jsontext import to_bytes
from app.observe.logs import level_of
from app.observe.metrics import meter_of
from app.runtime.bot import Bot
from app.runtime.usage import Usage, memory

FILE_NAME = "flotilla-status.json"


def status_of(host: str, started_at: datetime, bots: Sequence[Bot], usage: Usage) -> dict[str, Any]:
    """Return the status of a host: of itself, and of each of its bots."""
    return {
        "host": host,
        "version": __version__,
        "pid": os.getpid(),
        "started_at": _iso(started_at),
        "at": _iso(datetime.now(UTC)),
        "cpu_percent": usage.cpu_percent(),
        "memory": memory(),
        "bots": [_bot(bot) for bot in bots],
    }


def write_status(path: Path, status: dict[str, Any]) -> None:
    """Put a status in the place of the last one: who reads the file meanwhile gets all of one or the other."""
    new = path.with_suffix(".new")
    new.write_bytes(to_bytes(status))
    new.replace(path)


def _bot(bot: Bot) -> dict[str, Any]:
    """Tell of one bot; what only its leader knows is null elsewhere."""
    settings, name = bot.settings, bot.settings.name
    return {
        "bot": name,
        "botname": bot.botname,
        "state": bot.state.value,
        "is_healthy": bot.is_healthy,
        "is_leader": bot.is_leader,
        "mode": settings.mode.value,
        "last_poll": _iso(bot.last_poll),
        "webhook": _webhook(bot),
        "errors": meter_of(name).errors_so_far,
        **_figures(bot),
        "log_level": level_of(name),
    }


def _webhook(bot: Bot) -> dict[str, Any] | None:
    info = bot.webhook_info
    if info is None:
        return None
    failed_at = datetime.fromtimestamp(info.error_date, UTC) if info.error_date is not None else None
    return {
        "checked_at": _iso(bot.webhook_checked_at),
        "pending_updates": info.pending,
        "last_error": info.error or None,
        "last_error_at": _iso(failed_at),
    }


def _figures(bot: Bot) -> dict[str, Any]:
    """Tell what the database says of the bot, ``figures_at`` when it was asked."""
    known = bot.figures
    return {
        "active_5m": known.active_5m if known else None,
        "active_24h": known.active_24h if known else None,
        "active_7d": known.active_7d if known else None,
        "dead_updates": known.dead_updates if known else None,
        "outbox": known.outbox if known else None,
        "outbox_age": known.outbox_age if known else None,
        "timers_late": known.timers_late if known else None,
        "jobs_open": known.jobs_open if known else None,
        "figures_at": _iso(known.at) if known else None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None
