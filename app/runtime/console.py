"""What an operator may ask a running host: a Unix socket that takes requests and gives answers, each a line of JSON.

``{"do": "status"}``, ``{"do": "start" | "stop" | "restart", "bot": NAME}`` and ``{"do": "level", "bot": NAME or null,
"level": "debug" | "info" | "warning" | "error"}`` are answered with ``{"ok": true, ...}`` or ``{"ok": false, "error":
TEXT}``. Who may open the socket may do all that: only the user whose process it is.
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
        bot = await order(name)
        await self._host.tell()
        note = {"note": OLD_TOKEN} if was_refused and what != "stop" else {}
        return {"bot": name, "state": bot.state.value, **note}
