"""Intervals such as ``30s``, ``1h:30m`` or ``1d12h`` (course-format.md, section 5.1)."""

from __future__ import annotations

import re
from datetime import timedelta

LONGEST = timedelta(days=36_500)
"""A century; a wait that is longer is a typo, and one that is much longer ends after the last year there is."""

_INTERVAL = re.compile(r"(?:(\d+)d)?:?(?:(\d+)h)?:?(?:(\d+)m)?:?(?:(\d+)s)?", re.ASCII)
_SECONDS = (86_400, 3600, 60, 1)
_MAX_DIGITS = 10
"""So many are enough for the seconds of a century."""


class IntervalTooLong(ValueError):
    """An interval is longer than ``LONGEST``."""


def parse_interval(text: str) -> timedelta:
    """Read an interval; the empty one is zero. Raises ``ValueError``, ``IntervalTooLong`` if it is one."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an interval")
    seconds = sum(int(part[-_MAX_DIGITS:]) * unit for part, unit in _parts(found))
    if seconds > LONGEST.total_seconds() or any(len(part) > _MAX_DIGITS for part, _ in _parts(found)):
        raise IntervalTooLong(f"{text!r} is too long")
    return timedelta(seconds=seconds)


def _parts(found: re.Match[str]) -> list[tuple[str, int]]:
    """Return the digits of each part that is there, and what they count, in seconds."""
    return [(part, unit) for part, unit in zip(found.groups(), _SECONDS, strict=True) if part]
