"""What is being worked on: log lines that are written meanwhile, by whomever, say so.

To note it costs as much as to make a small object; it is looked at when a line is written.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(slots=True)  # not frozen: one is made for each update, in a third of the time
class Work:
    """Ids of what is being worked on, as far as there are such; ``element`` is what was on screen before."""

    bot: str | None = None
    chat: int | None = None
    update: int | None = None
    run: int | None = None
    element: str | None = None
    job: int | None = None


_NAMES = tuple(field.name for field in fields(Work))
_NOTHING = Work()
_work: ContextVar[Work] = ContextVar("work", default=_NOTHING)
_bots: dict[str, str] = {}
_only: list[str] = []

work_on = _work.set
"""Note what is worked on from now on, in this task and those that it begins."""


def work_more_closely(**ids: Any) -> None:
    """Note more ids of what this task works on already."""
    _work.set(replace(_work.get(), **ids))


class Working:
    """A context manager that forgets at the end what is noted within; each turn has one, hence no generator."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _work.set(_work.get())

    def __exit__(self, *_: object) -> None:
        _work.reset(self._token)


def call_bot(botname: str, name: str) -> None:
    """Have log lines with a bot's ``botname`` call it by its name in the config, as others do."""
    _bots[botname] = name


def work_for(names: Sequence[str]) -> None:
    """Say which bots this process is for: what the process of a single one has to say of itself is of that bot."""
    _only[:] = names if len(names) == 1 else ()


def add_work(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids to an event: a structlog processor. What the event says itself wins, above all another bot."""
    work = _work.get()
    ours = _bots.get(work.bot, work.bot) if work.bot is not None else None
    said = event.get("bot")
    bot = _bots.get(said, said) if isinstance(said, str) else ours
    if bot is not None:
        event["bot"] = bot
    elif said is None:
        event.pop("bot", None)
    if bot == ours:
        for name in _NAMES[1:]:
            value = getattr(work, name)
            if value is not None:
                event.setdefault(name, value)
    if _only:
        event.setdefault("bot", _only[0])
    return event
