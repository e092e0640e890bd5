"""From which level on each bot's lines are written; changed while they are."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from app.observe.plain import structlog

LEVELS = ("debug", "info", "warning", "error")
"""From the one that tells most to the one that tells least."""

_NUMBERS = {**logging.getLevelNamesMapping(), "EXCEPTION": logging.ERROR, "WARN": logging.WARNING}


def number_of(level: str) -> int:
    """Return the number that the library has for a level; that of ``info`` for a word that is none."""
    return _NUMBERS.get(level.upper(), logging.INFO)


class Levels:
    """A structlog processor that drops the lines below the level of their bot, or of the host if they have none.

    ``is_verbose`` while there is somebody whose debug lines are written: without, they need not be made. ``has_texts``
    lets those hold what learners write.
    """

    def __init__(self) -> None:
        self._host = logging.INFO
        self._bots: dict[str, int] = {}
        self.is_verbose = False
        self.has_texts = False

    def set(self, level: str, bot: str | None = None) -> None:
        """Set the level of one bot, or of the host and all its bots."""
        if bot is None:
            self._host = number_of(level)
            self._bots.clear()
        else:
            self._bots[bot] = number_of(level)
        self.is_verbose = min([self._host, *self._bots.values()]) <= logging.DEBUG

    def of(self, bot: str) -> str:
        """Return the level of a bot."""
        return logging.getLevelName(self._bots.get(bot, self._host)).lower()

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Pass the event on, or drop it."""
        if _NUMBERS.get(method.upper(), logging.ERROR) < self._bots.get(str(event.get("bot")), self._host):
            raise structlog.DropEvent
        return event
