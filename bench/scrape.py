"""What a scrape of the metrics costs, and what serving them does."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from statistics import median

from bench import machine, memory
from bench.botapi import Drive
from bench.figures import Table
from bench.stage import Stage, settle

SCRAPES = {1: 300, 100: 30}
"""How many scrapes a round has, by the number of bots: enough for the kernel's clock of 10 ms."""

ROUNDS = 3

HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
    "Accept-Encoding": "gzip",
}
"""What Prometheus says that it takes."""


@dataclass(frozen=True)
class _Found:
    """CPU of a scrape in ms, its size in KiB, its number of samples, and the memory in MiB after all."""

    cpu: float
    size: float
    samples: int
    memory: float


def measure(stage: Stage) -> list[Table]:
    """Scrape hosts whose bots each have a learner who made three steps."""
    rows: dict[str, tuple[float | None, ...]] = {}
    for bots, scrapes in SCRAPES.items():
        quiet = _host(stage, bots, 0)
        found = _host(stage, bots, scrapes)
        rows[f"{bots} bot{'s' if bots > 1 else ''}"] = (
            found.cpu / bots,
            found.cpu,
            found.samples,
            found.size,
            quiet.memory,
            found.memory,
        )
    columns = ("CPU ms per bot", "CPU ms", "samples", "KiB", "PSS MiB, not served", "PSS MiB, scraped")
    note = f"median of {ROUNDS} rounds of {' and '.join(str(scrapes) for scrapes in SCRAPES.values())} scrapes"
    return [Table("A scrape of the metrics", columns, rows, note, {name: {"CPU ms per bot": 1.0} for name in rows})]


def _host(stage: Stage, bots: int, scrapes: int) -> _Found:
    """Measure a host; without ``scrapes`` it serves no metrics."""
    tokens, port = [stage.token() for _ in range(bots)], stage.port()
    served = {"METRICS_PORT": str(port)} if scrapes else {}
    process = stage.start_flotilla({"DATABASE_URL": stage.database(), **memory.variables(tokens), **served})
    try:
        for token in tokens:
            stage.greet(token)
            stage.drive(Drive(token, stage.chats(), 1, 3))
        settle(2.0)  # for the figures of the last bot
        costs, text = [], b""
        for _ in range(ROUNDS if scrapes else 0):
            before = machine.cpu(process.pid)
            for _ in range(scrapes):
                text = _scrape(port)
            costs.append((machine.cpu(process.pid) - before) / scrapes * 1e3)
        samples = sum(not line.startswith(b"#") for line in text.splitlines())
        return _Found(median(costs) if costs else 0.0, len(text) / 1024, samples, machine.memory(process.pid))
    finally:
        stage.end(process)


def _scrape(port: int) -> bytes:
    """Scrape as Prometheus does."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=HEADERS)
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())
