"""Figures that need the database: refreshed apart from scrapes, for all bots that a host leads at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.course.course import Course, Courses
from app.observe.logs import get_log
from app.runtime.bot import Bot
from app.store.errors import StoreUnavailable
from app.store.rows import DatabaseFigures, RunPlace
from app.store.store import Store

REFRESH_SECONDS = 30.0
"""How often the figures are refreshed."""

FUNNEL_SECONDS, FUNNEL_PACE = 300.0, 1000.0
"""How often it is looked where all runs stand: after that many times as long as it took, with the first as a limit.

With 100,000 runs and 5 million rows it took 0.4 s.
"""

STAGES = {"started": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75}
"""The share of a course's elements that a run has come to. Finished is one whose course has ended."""

FINISHED = "finished"

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many runs of a course have come to each stage, from ``started`` to ``finished``."""

    stages: Mapping[str, int]

    @property
    def conversion(self) -> float | None:
        """The share of the runs started that are finished; ``None`` before the first."""
        started = self.stages["started"]
        return self.stages[FINISHED] / started if started else None


def funnels_of(courses: Courses, places: Iterable[RunPlace]) -> dict[str, Funnel]:
    """Return the funnel of each of the courses, by their ids, from where their runs stand.

    A run stands where its newest row is; at an element that the course no longer has, it only counts as started.
    """
    counts = {course_id: dict.fromkeys([*STAGES, FINISHED], 0) for course_id in courses.courses}
    for place in places:
        course = courses.get(place.course_id)
        if course is None:
            continue
        share, stages = _share(course, place), counts[place.course_id]
        for stage, least in STAGES.items():
            stages[stage] += place.runs if share >= least else 0
        stages[FINISHED] += place.runs if place.is_ended else 0
    return {course_id: Funnel(stages) for course_id, stages in counts.items()}


def _share(course: Course, place: RunPlace) -> float:
    """Return which share of the course's elements comes before where the run stands, or is it."""
    if place.is_ended:
        return 1.0
    index = course.position.get(place.element_id or "")
    return (index + 1) / len(course.order) if index is not None else 0.0


class Figures:
    """Keeps the figures of a host's bots, and those of the database, no older than needed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next, self._next_funnels = 0.0, 0.0
        self.database: DatabaseFigures | None = None

    async def refresh(self, bots: Sequence[Bot]) -> None:
        """Ask the database for what is due; to be called every second.

        A bot that this host leads now, and did not before, is asked for at once. While the database is away the figures
        stay as they are; others complain enough.
        """
        now = time.monotonic()
        try:
            await self._refresh_figures([bot for bot in bots if bot.is_leader], now)
            await self._refresh_funnels([bot for bot in bots if bot.is_leader], now)
        except StoreUnavailable as trouble:
            log.debug("figures not refreshed", reason=str(trouble))

    async def _refresh_figures(self, led: Sequence[Bot], now: float) -> None:
        if now >= self._next:
            self._next = now + REFRESH_SECONDS
            self.database = await self._store.database_figures()
            wanted = {bot.botname: bot for bot in led}
        else:
            wanted = {bot.botname: bot for bot in led if bot.figures is None}
        for figures in await self._store.figures(list(wanted)) if wanted else ():
            bot = wanted[figures.botname]
            bot.figures = figures if bot.is_leader else bot.figures

    async def _refresh_funnels(self, led: Sequence[Bot], now: float) -> None:
        is_due = now >= self._next_funnels
        wanted = {bot.botname: bot for bot in led if is_due or bot.funnels is None}
        if not wanted:
            return
        if is_due:
            self._next_funnels = now + REFRESH_SECONDS
        begun = time.monotonic()
        places: dict[str, list[RunPlace]] = {botname: [] for botname in wanted}
        for place in await self._store.run_places(list(wanted)):
            places[place.botname].append(place)
        if is_due:
            took = time.monotonic() - begun
            self._next_funnels = now + max(REFRESH_SECONDS, min(FUNNEL_SECONDS, FUNNEL_PACE * took))
        for botname, bot in wanted.items():
            if bot.is_leader:
                bot.funnels = funnels_of(bot.library.courses, places[botname])
