"""What Prometheus is told beside the counters: how bots, database and disk are at the moment of the scrape.

Nothing here asks the database or Telegram: a scrape tells what is known already. It comes in a thread of its own, so
that all it does is read. What this host does not know, such as the figures of a bot that another one leads, is left
out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.runtime.bot import Bot, State
from app.runtime.figures import Figures
from app.store.store import Store

Read = Callable[[Bot], float | None]
"""Reads a value off a bot; ``None`` when it is not known here."""

_WINDOWS = {"5m": "active_5m", "24h": "active_24h", "7d": "active_7d"}


def _poll_age(bot: Bot) -> float | None:
    at = bot.last_poll or bot.polled_since
    return max(0.0, time.time() - at.timestamp()) if at is not None else None


def _webhook_pending(bot: Bot) -> float | None:
    info = bot.webhook_info
    return info.pending if info is not None else None


def _webhook_error(bot: Bot) -> float | None:
    info = bot.webhook_info
    return info.error_date if info is not None else None


def _outbox_age(bot: Bot) -> float | None:
    known = bot.figures
    return (known.outbox_age or 0.0) if known is not None else None


def _figure(name: str) -> Read:
    """Return what reads one of the figures that the database told."""

    def read(bot: Bot) -> float | None:
        known = bot.figures
        return getattr(known, name) if known is not None else None

    return read


OF_BOTS: dict[str, tuple[str, Read]] = {
    "flotilla_poll_age_seconds": ("Time since Telegram last answered a getUpdates, or the polling began", _poll_age),
    "flotilla_webhook_pending_updates": ("Updates that Telegram could not deliver yet", _webhook_pending),
    "flotilla_webhook_last_error_timestamp_seconds": ("When a delivery to the webhook failed last", _webhook_error),
    "flotilla_certificate_expiry_timestamp_seconds": (
        "When the webhook's certificate expires",
        attrgetter("certificate_expiry"),
    ),
    "flotilla_outbox_messages": ("Messages that Telegram has not accepted yet", _figure("outbox")),
    "flotilla_outbox_age_seconds": ("Age of the oldest of them; 0 without any", _outbox_age),
    "flotilla_timers_late": ("Timers that were due several seconds ago", _figure("timers_late")),
    "flotilla_jobs_open": ("Jobs that are not done", _figure("jobs_open")),
}
"""Gauges with a value per bot."""


class Gauges(Collector):
    """The gauges of a host, made anew for each scrape; ``disk`` is any path on the disk to be watched."""

    def __init__(self, bots: Callable[[], Sequence[Bot]], figures: Figures, store: Store, disk: Path) -> None:
        self._bots = bots
        self._figures = figures
        self._store = store
        self._disk = disk

    def collect(self) -> Iterator[Metric]:
        """Return those that have a value."""
        return (metric for metric in self._all() if metric.samples)

    def _all(self) -> Iterator[Metric]:
        bots = list(self._bots())
        yield _gauge("flotilla_build_info", "The version of this program", ["version"], [([__version__], 1)])
        yield _states(bots)
        for name, (text, read) in OF_BOTS.items():
            values = [(bot.settings.name, read(bot)) for bot in bots]
            known = [([bot], value) for bot, value in values if value is not None]
            yield _gauge(name, text, ["bot"], known)
        yield _learners(bots)
        yield from _courses(bots)
        yield from self._of_the_host()

    def _of_the_host(self) -> Iterator[Metric]:
        used, idle, waiting = self._store.connections()
        pool = {"used": used, "idle": idle, "waiting": waiting}
        yield _gauge(
            "flotilla_pool_connections",
            "Connections of this process to the database: used, idle; and who waits for one",
            ["state"],
            [([state], number) for state, number in pool.items()],
        )
        found = os.statvfs(self._disk)
        yield _plain("flotilla_disk_free_bytes", "Free space of the disk", found.f_bavail * found.f_frsize)
        yield _plain("flotilla_disk_size_bytes", "Size of the disk", found.f_blocks * found.f_frsize)
        known = self._figures.database
        if known is not None:
            yield _plain("flotilla_database_bytes", "Size of the database", known.size)
            yield _plain(
                "flotilla_database_connections", "Connections to the server, of all clients", known.connections
            )
            yield _plain("flotilla_database_max_connections", "The server's max_connections", known.max_connections)
            yield _plain(
                "flotilla_figures_timestamp_seconds",
                "When the figures from the database were last refreshed",
                known.at.timestamp(),
            )


def _gauge(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values:
        gauge.add_metric(label_values, value)
    return gauge


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _states(bots: Sequence[Bot]) -> Metric:
    values = [([bot.settings.name, state.value], float(bot.state is state)) for bot in bots for state in State]
    return _gauge(
        "flotilla_bot_state", "Where a bot stands: 1 for its state, 0 for all others", ["bot", "state"], values
    )


def _learners(bots: Sequence[Bot]) -> Metric:
    known = [(bot.settings.name, bot.figures) for bot in bots]
    values = [
        ([bot, window], getattr(figures, field))
        for bot, figures in known
        if figures is not None
        for window, field in _WINDOWS.items()
    ]
    text = "Learners who did something within the window, to the minute"
    return _gauge("flotilla_active_learners", text, ["bot", "window"], values)


def _courses(bots: Sequence[Bot]) -> Iterator[Metric]:
    funnels = [
        (bot.settings.name, course_id, funnel) for bot in bots for course_id, funnel in (bot.funnels or {}).items()
    ]
    yield _gauge(
        "flotilla_course_runs",
        "Runs that have come so far, of all that were ever started",
        ["bot", "course", "stage"],
        [([bot, course, stage], runs) for bot, course, funnel in funnels for stage, runs in funnel.stages.items()],
    )
    yield _gauge(
        "flotilla_course_conversion_ratio",
        "Share of the runs started that are finished",
        ["bot", "course"],
        [([bot, course], funnel.conversion) for bot, course, funnel in funnels if funnel.conversion is not None],
    )
