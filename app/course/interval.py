"""Intervals such as ``30s``, ``1h:30m`` or ``1d12h`` (course-format.md, section 5.1)."""

from __future__ import annotations

import re
from datetime import timedelta

_INTERVAL = re.compile(r"(?:(\d{1,6})d)?:?(?:(\d{1,8})h)?:?(?:(\d{1,8})m)?:?(?:(\d{1,8})s)?", re.ASCII)


def parse_interval(text: str) -> timedelta:
    """Read an interval; the empty one is zero. Raises ``ValueError``."""
    found = _INTERVAL.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an interval")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
