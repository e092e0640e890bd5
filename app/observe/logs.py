"""Logging: one line per event, coloured text for people and JSON for machines, every line with its bot."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

Format = Literal["text", "json"]


def get_log(name: str) -> Any:
    """Return the logger of a module; events are lower-case sentences, all else is key and value."""
    return structlog.get_logger(name)


def configure_logs(style: Format | None = None, level: str = "INFO") -> None:
    """Send the log to standard error; ``style`` defaults to text on a terminal and JSON elsewhere."""
    chosen = style or ("text" if sys.stderr.isatty() else "json")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *_renderers(chosen),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _renderers(style: Format) -> list[Any]:
    if style == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables, tokens among them
        )
    ]
