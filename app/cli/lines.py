"""Log lines of bots as people read them, wherever the lines come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

COLORS = (
    "cyan",
    "green",
    "yellow",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_green",
    "bright_yellow",
    "bright_magenta",
)


def event_of(text: str) -> dict[str, Any] | None:
    """Return the event of a line that a host wrote; ``None`` for a line of anything else."""
    if not text.startswith("{"):
        return None
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


class Lines:
    """Writes lines as the log of ``flotilla run`` looks; each begins with who wrote it, in a colour of their own."""

    def __init__(self, width: int = 0, *, has_color: bool = False) -> None:
        from app.observe.plain import structlog

        self._width = width
        self._has_color = has_color
        self._colors: dict[str, str] = {}
        self._render = structlog.dev.ConsoleRenderer(
            colors=has_color, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )

    def text(self, who: str, line: str, at: datetime | None = None) -> str:
        """Write a line; one that is no event of a host gets the time ``at`` which it was written."""
        return self._name(who) + self.body(line, at)

    def body(self, line: str, at: datetime | None = None) -> str:
        """Write a line without who wrote it."""
        event = event_of(line)
        if event is not None:
            return str(self._render(None, "", _shortened(event)))
        return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} {line}" if at else line

    def _name(self, who: str) -> str:
        from typer import style

        color = self._colors.setdefault(who, COLORS[len(self._colors) % len(COLORS)])
        padded = f"{who:{self._width}} | "
        return style(padded, fg=color) if self._has_color else padded


def _shortened(event: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the line says already, and the digits of the time below a millisecond."""
    shown = {key: value for key, value in event.items() if key != "bot"}
    time = shown.get("timestamp")
    if isinstance(time, str) and time.endswith("Z") and "." in time:
        shown["timestamp"] = time[: time.index(".") + 4] + "Z"
    return shown
