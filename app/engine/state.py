"""The state of one chat: one person with one bot. The store keeps it as JSON in ``chat.state``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.course.element import Body
from app.errors import FlotillaError


class Score(NamedTuple):
    """The latest attempt at an element; ``attempt`` counts those of the run, from 1.

    A tuple because every update reads all of a run: it is made in a third of the time of a frozen dataclass.
    """

    score: float
    maxscore: float
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Chain:
    """What a revision still has to repeat, in order; then comes what follows the revision."""

    revision_id: str
    element_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """How far the dialog on screen has come.

    ``messages`` counts those of the learner. ``is_busy`` while the model works; ``is_behind`` when it must work again:
    because the learner has written meanwhile or, while it does not work, because its last work brought no reply.
    """

    messages: int = 0
    is_busy: bool = False
    is_behind: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a course by one learner.

    ``step`` counts the elements shown in this run, from 1; buttons and polls carry it, which is how stale ones are told
    apart. ``body`` is the snapshot of the element on screen. ``scores`` maps element ids to their latest attempt.
    ``is_waiting`` says that the run stands still until its timer is due. ``chain`` is set while a revision repeats
    elements, also during the last one. ``talk`` is set while a dialog is on screen. ``is_adopted`` says that the old
    program has put the element on the screen, whose buttons and polls do not carry the step; the first move ends it.
    """

    run_id: int
    course_id: str
    element_id: str
    step: int
    body: Body = field(repr=False)
    is_ended: bool = False
    scores: Mapping[str, Score] = field(default_factory=dict)
    is_waiting: bool = False
    chain: Chain | None = None
    talk: Talk | None = None
    is_adopted: bool = False


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


STATE_VERSION = 1
"""Grows when an older program could no longer read the JSON; what is only added needs no new version."""


class StateVersionError(FlotillaError):
    """A chat was stored by a program that this one does not understand."""


def to_json(chat: Chat) -> dict[str, Any]:
    """Return the chat as the JSON object that the store keeps; what has its default is left out."""
    stored: dict[str, Any] = {"v": STATE_VERSION, "runs": {key: _run_to_json(run) for key, run in chat.runs.items()}}
    if chat.course_id is not None:
        stored["course"] = chat.course_id
    if chat.offer is not None:
        stored["offer"] = [chat.offer.course_id, chat.offer.utm_source, chat.offer.utm_campaign]
    return stored


def from_json(stored: Mapping[str, Any]) -> Chat:
    """Return the chat of such a JSON object; unknown keys are ignored, an empty object is a chat without any runs."""
    if stored.get("v", STATE_VERSION) != STATE_VERSION:
        raise StateVersionError(
            f"chat.state: version {stored['v']!r} is not known, this program reads {STATE_VERSION}; run a newer one"
        )
    offer = stored.get("offer")
    return Chat(
        runs={course_id: _run_from_json(course_id, run) for course_id, run in stored.get("runs", {}).items()},
        course_id=stored.get("course"),
        offer=Offer(*offer) if offer else None,
    )


def _run_to_json(run: Run) -> dict[str, Any]:
    stored: dict[str, Any] = {"id": run.run_id, "element": run.element_id, "step": run.step, "body": run.body}
    if run.is_ended:
        stored["ended"] = True
    if run.scores:
        stored["scores"] = {key: _score_to_json(score) for key, score in run.scores.items()}
    if run.is_waiting:
        stored["waiting"] = True
    if run.chain is not None:
        stored["chain"] = [run.chain.revision_id, *run.chain.element_ids]
    if run.talk is not None:
        stored["talk"] = [run.talk.messages, run.talk.is_busy, run.talk.is_behind]
    if run.is_adopted:
        stored["adopted"] = True
    return stored


def _score_to_json(score: Score) -> list[float]:
    points = [score.score, score.maxscore]
    return points if score.attempt == 1 else [*points, score.attempt]


def _run_from_json(course_id: str, stored: Mapping[str, Any]) -> Run:
    chain = stored.get("chain")
    return Run(
        run_id=stored["id"],
        course_id=course_id,
        element_id=stored["element"],
        step=stored["step"],
        body=stored["body"],
        is_ended=stored.get("ended", False),
        scores={key: Score(*score) for key, score in stored.get("scores", {}).items()},
        is_waiting=stored.get("waiting", False),
        chain=Chain(chain[0], tuple(chain[1:])) if chain else None,
        talk=Talk(*stored["talk"]) if "talk" in stored else None,
        is_adopted=stored.get("adopted", False),
    )
