"""Logging: one line per event, coloured text for people and JSON for machines, every line with its bot.

What libraries log goes the same way. No line holds a secret, nor what learners write unless that is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TextIO, cast

from app.observe.levels import Levels
from app.observe.plain import structlog
from app.observe.secrets import keep_secret, masked
from app.observe.work import add_work

Format = Literal["text", "json"]

FILE_BYTES, OLD_FILES = 10_000_000, 3
"""Size at which a bot's log file is put aside, and how many of those are kept."""

levels = Levels()

_ROWS = re.compile(r"\n(?:DETAIL|CONTEXT):.*?(?=\n\n(?:The above|During handling)|\Z)", re.DOTALL)
"""What PostgreSQL adds to an error: values of rows and parameters, which are what learners wrote."""


def get_log(name: str) -> Any:
    """Return the logger of a module; events are lower-case sentences, all else is key and value."""
    return structlog.get_logger(name)


def level_of(bot: str) -> str:
    """Return the level at which a bot logs."""
    return levels.of(bot)


def style_of(text: str | None) -> Format | None:
    """Return the format that a variable names; None, which lets the output decide, if it names none."""
    return "text" if text == "text" else "json" if text == "json" else None


def configure_logs(
    style: Format | None = None,
    level: str = "info",
    files: Mapping[str, Path] | None = None,
    *,
    secrets: Iterable[str] = (),
    texts: bool = False,
) -> BotFiles:
    """Send the log to standard error; ``style``, text or json, is by default text on a terminal and JSON elsewhere.

    ``files`` maps bots to files that get their lines as well, in JSON; the folders are made. ``secrets`` are masked
    in all lines. ``texts`` lets debug lines hold what learners write. Returns the open files.
    """
    from app.observe.metrics import count_errors  # not by commands that only print

    levels.set(level)
    levels.has_texts = texts
    keep_secret(secrets)
    bot_files = BotFiles(files or {})
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_work,
            levels,
            structlog.processors.add_log_level,
            count_errors,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _without_rows,
            bot_files,
            _renderer(style or ("text" if sys.stderr.isatty() else "json")),
            _masked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Output(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    _take_over_libraries()
    return bot_files


def catch_defects() -> None:
    """Log what would end the process or one of its threads with a traceback, and warnings of Python."""
    log = get_log(__name__)
    sys.excepthook = lambda kind, error, trace: log.critical("ended by a defect", exc_info=(kind, error, trace))
    threading.excepthook = lambda args: log.error(
        "thread ended by a defect",
        thread=args.thread.name if args.thread is not None else None,
        exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
    )
    logging.captureWarnings(True)


class Output:
    """A stream whose failures hurt nobody: without a reader, or on a full disk, lines are lost, and not the turns."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a text, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Bring it to its reader, if there is one."""
        with suppress(OSError):
            self._stream.flush()


class BotFiles:
    """A structlog processor that copies each event with a ``bot`` to that bot's file, which is rotated by size."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        handlers = {path: _handler(path) for path in set(files.values())}
        self._handlers = {bot: handlers[path] for bot, path in files.items()}

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Write the event, and pass it on as it is."""
        handler = self._handlers.get(str(event.get("bot")))
        if handler is not None:
            line = masked(json.dumps(event, ensure_ascii=False, default=repr))
            handler.emit(logging.LogRecord("flotilla", logging.INFO, "", 0, line, None, None))
        return event

    def close(self) -> None:
        """Close the files."""
        for handler in self._handlers.values():
            handler.close()


def _handler(path: Path) -> RotatingFileHandler:
    path.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8", delay=True)


def _renderer(style: Format) -> Any:
    if style == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty() or bool(os.environ.get("FORCE_COLOR")),
        exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables, tokens among them
    )


def _without_rows(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if "exception" in event and not levels.has_texts:
        event["exception"] = _ROWS.sub("", event["exception"])
    return event


def _masked(_logger: Any, _method: str, line: Any) -> str:
    return masked(line)


class Libraries(logging.Handler):
    """Writes what libraries log as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, whatever is wrong with it."""
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit
            text = str(record.msg)
        log = get_log(record.name)
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        level = max((number for number in _METHODS if number <= record.levelno), default=logging.DEBUG)
        getattr(log, _METHODS[level])(text, logger=record.name, **({"exc_info": exc_info} if exc_info else {}))


_METHODS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


def _take_over_libraries() -> None:
    """Write warnings and worse of all libraries: what they tell below that holds learners' texts."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, Libraries)]
    root.addHandler(Libraries())
    root.setLevel(logging.WARNING)
