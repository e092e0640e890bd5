"""What a measurement returns: rows of a table, and medians over interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Table:
    """Figures by row and column; ``reach`` names, by row and column, what a figure should not exceed."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    note: str = ""
    reach: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": self.columns,
            "rows": {name: list(figures) for name, figures in self.rows.items()},
            "note": self.note,
        }


def percentile(values: list[float], share: float) -> float | None:
    """Return the value that this share of the values does not exceed; ``None`` of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def interleaved(rounds: int, names: list[str], measure: Callable[[str], tuple[float, ...]]) -> dict[str, list[Any]]:
    """Measure all in turn, so many times over, so that a busy machine disturbs all alike."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(measure(name))
    return found


def medians(rounds: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(median(column) for column in zip(*rounds, strict=True))
