"""Bots' log files, read and followed: JSON lines, put aside when they grow too long."""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from app.cli.lines import event_of

Logged: TypeAlias = tuple[datetime, Path, Mapping[str, Any]]

LOOK_SECONDS = 0.3
"""How often a file is looked at that is followed."""


def read_files(paths: Iterable[Path], since: datetime | None, tail: int | None) -> Iterator[Logged]:
    """Yield the events of log files in the order of time; ``tail`` at most of each."""
    yield from heapq.merge(*(_read(path, since, tail) for path in sorted(paths)), key=lambda line: line[0])


def _read(path: Path, since: datetime | None, tail: int | None) -> Iterator[Logged]:
    files = [path.with_name(f"{path.name}.{number}") for number in (3, 2, 1)]
    found = (line for file in (*files, path) if file.is_file() for line in _lines(file))
    recent = (line for line in found if since is None or line[0] >= since)
    return iter(deque(((at, path, event) for at, _, event in recent), tail))


def _lines(path: Path) -> Iterator[Logged]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from (line for text in file if (line := _logged(path, text)) is not None)


def _logged(path: Path, text: str) -> Logged | None:
    event = event_of(text)
    try:
        return (datetime.fromisoformat(event["timestamp"]), path, event) if event else None
    except (KeyError, TypeError, ValueError):
        return None


def follow_files(paths: Iterable[Path]) -> Iterator[Logged]:
    """Yield what is written into log files from now on, also after they were put aside; never ends."""
    return _follow({path: (path.stat().st_ino, path.stat().st_size) if path.is_file() else (0, 0) for path in paths})


def _follow(places: dict[Path, tuple[int, int]]) -> Iterator[Logged]:
    while True:
        for path in places:
            places[path] = yield from _news(path, *places[path])
        time.sleep(LOOK_SECONDS)


def _news(path: Path, number: int, place: int) -> Generator[Logged, None, tuple[int, int]]:
    """Yield the whole lines after ``place``; returns which file it is now, and the place after them."""
    if not path.is_file():
        return number, place
    with path.open("rb") as file:
        now = os.fstat(file.fileno()).st_ino
        place = place if now == number else 0
        file.seek(place)
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            place = file.tell()
            line = _logged(path, raw.decode(errors="replace"))
            if line is not None:
                yield line
    return now, place
