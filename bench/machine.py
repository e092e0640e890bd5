"""The machine as the benchmark sees it: cores, CPU time and memory of processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
BOT_CORE, OTHER_CORE = CORES[0], CORES[-1]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Within, what is started runs on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu(pid: int) -> float:
    """Return the CPU seconds (user and system) of a process so far, its ended children not included."""
    user, system, _, _ = _times(pid)
    return user + system


def cpu_of_family(pid: int) -> float:
    """Return the CPU seconds of a process and all its children, ended ones included (PostgreSQL's are many)."""
    while True:
        own = _times(pid)
        try:
            return sum(own) + sum(cpu(child) for child in _children(pid))
        except OSError:  # a child has ended since it was listed; its time is its parent's now
            continue


def memory(pid: int) -> float:
    """Return the process's proportional share of memory (PSS) in MiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) / 1024


def description() -> str:
    """Return one line about this machine and what else it does."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown CPU"
    )
    load = os.getloadavg()[0]
    return (
        f"{model}, {len(CORES)} cores, Linux {platform.release()}, Python {platform.python_version()}, load {load:.1f}"
    )


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _times(pid: int) -> tuple[float, ...]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return tuple(int(ticks) / TICK for ticks in fields[11:15])


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found
