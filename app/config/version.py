"""Versions, as image tags and as the program's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ORDERED = re.compile(r"v?\d+(\.\d+)*([-.]?(a|b|rc|dev|post)\.?\d+)?")


def version_key(text: str) -> tuple[int, ...]:
    """Return what versions are ordered by: their first three numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def is_ordered(tag: str | None) -> bool:
    """Tell whether a tag is older or newer than others; ``latest`` is not."""
    return tag is not None and _ORDERED.fullmatch(tag) is not None


def newest(tags: Iterable[str]) -> str | None:
    """Return the newest of the tags that are ordered."""
    return max((tag for tag in tags if is_ordered(tag)), key=version_key, default=None)
