"""The fleet as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.deploy.row import Row

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Spaces between columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; those with the highest ``rank`` are left out first where there is no room for all."""

    title: str
    rank: int
    text: Callable[[Row, datetime], str]
    is_number: bool = False


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value}"


def _memory(row: Row, _: datetime) -> str:
    return "" if row.memory is None else f"{row.memory / 2**20:.0f}M"


def _cpu(row: Row, _: datetime) -> str:
    return "" if row.cpu_percent is None else f"{row.cpu_percent:.1f}%"


def _updates(row: Row, now: datetime) -> str:
    """Tell when the last poll was complete, or how many updates wait for a webhook."""
    if row.webhook is not None:
        return f"{row.webhook['pending_updates']} pending"
    return f"{ago(row.last_poll, now)} ago" if row.last_poll else ""


COLUMNS = (
    Column("BOT", 0, lambda row, _: row.bot),
    Column("STATE", 0, lambda row, _: row.state),
    Column("HEALTH", 1, lambda row, _: row.health),
    Column("MODE", 9, lambda row, _: row.mode or ""),
    Column("VERSION", 5, lambda row, _: row.version or ""),
    Column("IMAGE", 12, lambda row, _: row.image or ""),
    Column("UP", 4, lambda row, now: ago(row.started_at, now) if row.started_at else "", is_number=True),
    Column("RESTARTS", 8, lambda row, _: _figure(row.restarts), is_number=True),
    Column("CPU", 10, _cpu, is_number=True),
    Column("MEM", 7, _memory, is_number=True),
    Column("UPDATES", 3, _updates),
    Column("5MIN", 6, lambda row, _: _figure(row.active_5m), is_number=True),
    Column("24H", 6, lambda row, _: _figure(row.active_24h), is_number=True),
    Column("ERRORS", 2, lambda row, _: _figure(row.errors), is_number=True),
    Column("OUTBOX", 6, lambda row, _: _figure(row.outbox), is_number=True),
)


def ago(at: datetime, now: datetime) -> str:
    """Write how long ago something was, in one or two units."""
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 24 * 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02}h"


def cells(rows: Sequence[Row], now: datetime, width: int | None) -> tuple[list[Column], list[list[str]]]:
    """Return the columns for which there is room, and the text of each row; ``None`` is room for all.

    Columns in which no row has anything are left out, too.
    """
    texts = {column.title: [column.text(row, now) for row in rows] for column in COLUMNS}
    shown = [column for column in COLUMNS if any(texts[column.title])]
    widths = {column.title: max(len(column.title), *map(len, texts[column.title])) for column in shown}
    while width is not None and sum(widths[one.title] + GAP for one in shown) - GAP > width:
        last = max(shown, key=lambda column: column.rank)
        if last.rank == 0:
            break
        shown.remove(last)
    return shown, [[texts[column.title][at] for column in shown] for at in range(len(rows))]


def table(rows: Sequence[Row], width: int | None, now: datetime | None = None) -> Table:
    """Return the rows as a table without lines; what is not well is red."""
    from rich.table import Table

    shown, texts = cells(rows, now or datetime.now(UTC), width)
    result = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in shown:
        result.add_column(column.title, justify="right" if column.is_number else "left", no_wrap=True)
    for row, text in zip(rows, texts, strict=True):
        result.add_row(*text, style=_style(row))
    return result


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what is to be known about rows, a line for each."""
    return [f"{row.bot}: {row.note}" for row in rows if row.note]


def _style(row: Row) -> str:
    if row.is_well:
        return "" if row.is_bot else "dim"
    return "yellow" if row.health == "starting" else "red"
