"""Rows of the transcript about the element that a run stands on (course-format.md, section 6.6)."""

from __future__ import annotations

from app.engine.action import RecordRow, Role
from app.engine.state import Run, Score


def bot_row(run: Run, report: str | None, score: Score | None = None) -> RecordRow:
    """Record what the bot said, and the learner's score if this settles it."""
    return _row(run, Role.BOT, report, score)


def user_row(run: Run, report: str) -> RecordRow:
    """Record what the learner said, pressed or voted for."""
    return _row(run, Role.USER, report, None)


def _row(run: Run, role: Role, report: str | None, score: Score | None) -> RecordRow:
    return RecordRow(
        run_id=run.run_id,
        course_id=run.course_id,
        element_id=run.element_id,
        element_type=str(run.body.get("type", "")),
        role=role,
        report=report,
        score=score.score if score else None,
        maxscore=score.maxscore if score else None,
        body=run.body,
        attempt=score.attempt if score else 1,
    )
