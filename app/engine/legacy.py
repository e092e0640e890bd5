"""The buttons of the old program: their data does not tell the element they belong to (course-format.md, section 2.1).

They count while an adopted run still stands at the element that the old program has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from app.course.element import Choice
from app.course.interval import parse_interval


def choice_meant(data: str, choices: Sequence[Choice]) -> Choice | None:
    """Return the choice that a button of the old program stands for, ``None`` if the element has no such choice."""
    kind, _, value = data.partition("_")
    match kind:
        case "goto":
            meant = [choice for choice in choices if choice.goto == value]
        case "wait":
            wait = _interval(value)
            meant = [one for one in choices if wait is not None and one.goto is None and one.wait == wait]
        case _:
            meant = [choice for choice in choices if choice.goto is None and choice.wait is None] or [*choices]
    return meant[0] if meant else None


def _interval(text: str) -> timedelta | None:
    try:
        return parse_interval(text)
    except ValueError:
        return None
