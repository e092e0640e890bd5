"""Answers for bots that run in processes under this one: of itself what it knows, the rest of their hosts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import __version__
from app.config.host import UnknownBotError
from app.errors import FlotillaError
from app.observe.logs import get_log
from app.runtime.ask import ANSWER_SECONDS, NoAnswerError, ask
from app.runtime.children import Child, Children, Standing
from app.runtime.desk import Desk, not_understood

STATUS_SECONDS = 5.0
"""How long a host may take to tell its status; the others' are not held up for longer."""

QUESTIONS = 8
"""How many questions a host may leave open until those to others wait."""

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Branch:
    """A process under this one: its name, its bots as (name, botname, mode), and where its host can be asked."""

    name: str
    bots: tuple[tuple[str, str, str], ...]
    socket: Path

    def runs(self, name: str) -> bool:
        """Whether an operator may mean this process by that name: its own, or that of its only bot."""
        return name == self.name or [bot for bot, _, _ in self.bots] == [name]

    def has(self, name: str) -> bool:
        """Whether one of its bots has that name."""
        return any(bot == name for bot, _, _ in self.bots)


class Parent(Desk):
    """Starts, stops and restarts processes and the bots in them, and tells how all are doing."""

    def __init__(self, children: Children, branches: Iterable[Branch]) -> None:
        self._children = children
        self._branches = tuple(branches)
        self._asking = ThreadPoolExecutor(QUESTIONS * max(1, len(self._branches)))
        self._started_at = datetime.now(UTC)

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """See ``Desk``."""
        match request:
            case {"do": "status"}:
                return await self._status()
            case {"do": "start" | "stop" | "restart" as what, "bot": str(name)}:
                return await self._order(what, name, request)
            case {"do": "level", "bot": str() | None as name}:
                return await self._pass_on(self._branches if name is None else self._with(name), request)
            case _:
                raise not_understood(request)

    async def _status(self) -> dict[str, Any]:
        told = await asyncio.gather(*map(self._status_of, self._branches))
        return {
            "host": "run",
            "version": __version__,
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "bots": [bot for bots in told for bot in bots],
            "processes": [self._process(branch) for branch in self._branches],
        }

    def _process(self, branch: Branch) -> dict[str, Any]:
        child = self._child(branch)
        return {
            "process": branch.name,
            "pid": child.pid,
            "state": child.standing.value,
            "restarts": child.restarts,
            "deaths_in_a_row": child.deaths,
        }

    async def _status_of(self, branch: Branch) -> list[dict[str, Any]]:
        """Return what the host tells of its bots, or what is known of them while it tells nothing."""
        child = self._child(branch)
        try:
            told = await self._ask(branch, {"do": "status"}, STATUS_SECONDS) if child.pid else {}
        except NoAnswerError:
            told = {}
        bots = told.get("bots") or [_silent(bot, child) for bot in branch.bots]
        of_process = {"process": branch.name, **{name: told.get(name) for name in ("cpu_percent", "memory")}}
        return [{**bot, **of_process} for bot in bots]

    async def _order(self, what: str, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        branches = self._with(name)
        whole = [branch for branch in branches if branch.runs(name) or self._child(branch).pid is None]
        rest = [branch for branch in branches if branch not in whole]
        if whole:
            log.info(f"told to {what} a process", bot=name)
            await asyncio.gather(*(_ordered(what, self._child(branch)) for branch in whole))
        if rest:
            return await self._pass_on(rest, request)
        return {"bot": name, "state": self._child(whole[0]).standing.value}

    def _with(self, name: str) -> Sequence[Branch]:
        """Return the processes that are meant by a name, or run the bot of that name."""
        found = [branch for branch in self._branches if branch.runs(name) or branch.has(name)]
        if not found:
            names = [bot for branch in self._branches for bot, _, _ in branch.bots]
            raise UnknownBotError(f"there is no bot {name!r} here; it runs {', '.join(dict.fromkeys(names))}")
        return found

    async def _pass_on(self, branches: Sequence[Branch], request: Mapping[str, Any]) -> dict[str, Any]:
        """Have hosts do it, all at the same time, and return what the last says; raises what one of them complains."""
        running = [branch for branch in branches if self._child(branch).pid is not None]
        answers = await asyncio.gather(*(self._ask(branch, request) for branch in running))
        for answer in answers:
            if not answer.pop("ok", False):
                raise FlotillaError(str(answer.get("error")))
        if not answers:
            raise FlotillaError("none of the processes that are meant runs; start them first")
        return answers[-1]

    async def _ask(self, branch: Branch, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(self._asking, ask, branch.socket, request, seconds)

    def _child(self, branch: Branch) -> Child:
        return self._children.all[branch.name]


async def _ordered(what: str, child: Child) -> None:
    if what != "start":
        await child.stop()
    if what != "stop":
        child.start()


def _silent(bot: tuple[str, str, str], child: Child) -> dict[str, Any]:
    """Return the status of a bot whose host says nothing."""
    name, botname, mode = bot
    state = "starting" if child.standing is Standing.RUNNING else child.standing.value
    known = {"bot": name, "botname": botname, "state": state, "is_healthy": False, "is_leader": False, "mode": mode}
    return known | dict.fromkeys(
        (
            *("last_poll", "webhook", "errors", "active_5m", "active_24h", "active_7d", "dead_updates", "outbox"),
            *("outbox_age", "timers_late", "jobs_open", "figures_at", "log_level"),
        )
    )
