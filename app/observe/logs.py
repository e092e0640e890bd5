"""Logging: one line per event, coloured text for people and JSON for machines, every line with its bot."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

from app.observe.plain import structlog

Format = Literal["text", "json"]

FILE_BYTES, OLD_FILES = 10_000_000, 3
"""Size at which a bot's log file is put aside, and how many of those are kept."""


def get_log(name: str) -> Any:
    """Return the logger of a module; events are lower-case sentences, all else is key and value."""
    return structlog.get_logger(name)


_level = "info"


def level_of(_bot: str) -> str:
    """Return the level at which a bot logs."""
    return _level


def style_of(text: str | None) -> Format | None:
    """Return the format that a variable names; None, which lets the output decide, if it names none."""
    return "text" if text == "text" else "json" if text == "json" else None


def configure_logs(
    style: Format | None = None, level: str = "INFO", files: Mapping[str, Path] | None = None
) -> BotFiles:
    """Send the log to standard error; ``style`` defaults to text on a terminal and JSON elsewhere.

    ``files`` maps bots to files that get their lines as well, in JSON; the folders are made. Returns the open files.
    """
    from app.observe.metrics import count_errors  # not by commands that only print

    global _level
    _level = level.lower()
    bot_files = BotFiles(files or {})
    chosen = style or ("text" if sys.stderr.isatty() else "json")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            count_errors,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            bot_files,
            *_renderers(chosen),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return bot_files


class BotFiles:
    """A structlog processor that copies each event with a ``bot`` to that bot's file, which is rotated by size."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        handlers = {path: _handler(path) for path in set(files.values())}
        self._handlers = {bot: handlers[path] for bot, path in files.items()}

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Write the event, and pass it on as it is."""
        handler = self._handlers.get(str(event.get("bot")))
        if handler is not None:
            whole = structlog.processors.format_exc_info(None, "", dict(event))
            line = json.dumps(whole, ensure_ascii=False, default=repr)
            handler.emit(logging.LogRecord("flotilla", logging.INFO, "", 0, line, None, None))
        return event

    def close(self) -> None:
        """Close the files."""
        for handler in self._handlers.values():
            handler.close()


def _handler(path: Path) -> RotatingFileHandler:
    path.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8", delay=True)


def _renderers(style: Format) -> list[Any]:
    if style == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR")),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables, tokens among them
        )
    ]
