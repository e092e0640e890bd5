"""What this process uses of its machine."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path

STATM = Path("/proc/self/statm")
"""Where Linux tells the memory of a process, in pages; other systems have no such file."""


class Usage:
    """CPU of this process, in percent of one, since the last ``mark`` but one."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque(maxlen=2)
        self.mark()

    def mark(self) -> None:
        """Begin another moment."""
        self._marks.append((time.monotonic(), time.process_time()))

    def cpu_percent(self) -> float:
        """Return the share of one CPU that all threads of the process have used."""
        at, used = self._marks[0]
        seconds = time.monotonic() - at
        return round(100 * (time.process_time() - used) / seconds, 1) if seconds > 0 else 0.0


def memory() -> int | None:
    """Return the bytes of memory that the process has, also those it shares; ``None`` where the system has no word."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
