"""What an operator may ask a running host: a Unix socket that takes requests and gives answers, each a line of JSON.

``{"do": "status"}``, ``{"do": "start" | "stop" | "restart", "bot": NAME}`` and ``{"do": "level", "bot": NAME or null,
"level": "debug" | "info" | "warning" | "error"}`` are answered with ``{"ok": true, ...}`` or ``{"ok": false, "error":
TEXT}``. A bot that is stopped stays so when its container restarts, until ``start`` or ``restart``, of ``null`` for all
that are stopped, or ``{"do": "forget stops"}``. Who may open the socket may do all that: only the user whose process it
is.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from app.observe.levels import LEVELS
from app.observe.logs import get_log, levels
from app.runtime.bot import State
from app.runtime.desk import Desk, listening, not_understood
from app.runtime.host import Host
from app.store.errors import StoreUnavailable

OLD_TOKEN = "it has the token it had; for a new one in .env restart the whole process"  # noqa: S105 - a text
"""Told when a bot is started that Telegram had refused."""

log = get_log(__name__)


def console(path: Path, host: Host) -> contextlib.AbstractAsyncContextManager[None]:
    """Take requests for the host at this socket meanwhile; where that is impossible, say so and go on without."""
    return listening(path, _Console(host))


class _Console(Desk):
    """Answers for the bots of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """See ``Desk``."""
        match request:
            case {"do": "status"}:
                return self._host.status()
            case {"do": "start" | "stop" | "restart" as what, "bot": str(name)}:
                return await self._order(what, name)
            case {"do": "start", "bot": None}:
                return await self._start_stopped()
            case {"do": "forget stops"}:
                await self._host.forget_stop()
                return {}
            case {"do": "level", "bot": str() | None as name, "level": str(level)} if level in LEVELS:
                return self._set_level(name, level)
            case _:
                raise not_understood(request)

    def _set_level(self, name: str | None, level: str) -> dict[str, Any]:
        if name is not None:
            self._host.crew.bot(name)
        levels.set(level, name)
        return {"bot": name, "level": level}

    async def _order(self, what: str, name: str) -> dict[str, Any]:
        crew = self._host.crew
        was_refused = crew.bot(name).state is State.REFUSED
        order = {"start": crew.start, "stop": crew.stop, "restart": crew.restart}[what]
        log.info(f"told to {what} a bot", bot=name)
        trouble = await self._remember(what, name)
        bot = await order(name)
        await self._host.tell()
        notes = [OLD_TOKEN] if was_refused and what != "stop" else []
        notes += [trouble] if trouble else []
        return {"bot": name, "state": bot.state.value, **({"note": "; ".join(notes)} if notes else {})}

    async def _remember(self, what: str, name: str) -> str:
        """Have an order hold for the next host, too; returns what the operator should know when that is impossible."""
        try:
            await (self._host.remember_stop(name) if what == "stop" else self._host.forget_stop(name))
        except StoreUnavailable as error:
            log.warning("an order holds only until the container restarts", bot=name, reason=str(error))
            return f"this holds only until its container restarts: {error}"
        return ""

    async def _start_stopped(self) -> dict[str, Any]:
        """Start all bots that were stopped alone."""
        names = self._host.crew.stopped
        answers = [await self._order("start", name) for name in names]
        notes = [f"{answer['bot']}: {answer['note']}" for answer in answers if "note" in answer]
        return {"bots": names, **({"note": "; ".join(notes)} if notes else {})}
