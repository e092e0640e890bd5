"""The state of one chat: one person with one bot. The store keeps it as JSON in ``chat.state``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.course.element import Body


@dataclass(frozen=True, slots=True)
class Score:
    """The latest attempt at an element."""

    score: float
    maxscore: float


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a course by one learner.

    ``step`` counts the elements shown in this run, from 1; buttons and polls carry it, which is how stale ones are told
    apart. ``body`` is the snapshot of the element on screen. ``scores`` maps element ids to their latest attempt.
    """

    run_id: int
    course_id: str
    element_id: str
    step: int
    body: Body = field(repr=False)
    is_ended: bool = False
    scores: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """The start that waits for the learner's choice between going on and starting over."""

    course_id: str
    utm_source: str | None = None
    utm_campaign: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What the engine knows of a chat: the newest run of each course, and which course the learner is in."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    course_id: str | None = None
    offer: Offer | None = None

    @property
    def run(self) -> Run | None:
        """The run the learner is in, ended or not; ``None`` before the first start."""
        return self.runs.get(self.course_id) if self.course_id is not None else None


