"""What the scores of a run add up to: the result of a test, and the mistakes that a revision repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.course.course import Course
from app.course.element import Revision, ScoredElement, Verdict
from app.engine.state import Chain, Score

_MOST_FILLERS = 2


def result_of(prefix: str, scores: Mapping[str, Score]) -> Score:
    """Add up the latest attempts at the elements whose ids begin with ``prefix``, letter for letter."""
    counted = [score for element_id, score in scores.items() if element_id.startswith(prefix)]
    return Score(sum(score.score for score in counted), sum(score.maxscore for score in counted))


def verdict_of(verdicts: tuple[Verdict, ...], result: Score) -> str:
    """Return the first verdict for the rate of mistakes, above all of them the last; no answers are all mistakes."""
    if not verdicts:
        return ""
    rate = 100 * (result.maxscore - result.score) / result.maxscore if result.maxscore else 100
    return next((verdict.text for verdict in verdicts if rate <= verdict.up_to), verdicts[-1].text)


def chain_of(revision: Revision, course: Course, scores: Mapping[str, Score]) -> Chain | None:
    """Return what the revision repeats, ``None`` when there was no mistake.

    In the order of the course: every element whose latest attempt is below its maximum, then the first two that were
    answered right.
    """
    mistakes: list[str] = []
    solved: list[str] = []
    for element_id, score in _scored(revision.prefix, course, scores):
        (mistakes if score.score < score.maxscore else solved).append(element_id)
    return Chain(revision.id, (*mistakes, *solved[:_MOST_FILLERS])) if mistakes else None


def _scored(prefix: str, course: Course, scores: Mapping[str, Score]) -> Iterator[tuple[str, Score]]:
    for element_id, element in course.elements.items():
        if isinstance(element, ScoredElement) and element_id.startswith(prefix) and element_id in scores:
            yield element_id, scores[element_id]
