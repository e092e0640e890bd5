"""Rows of the transcript about the element that a run stands on (course-format.md, section 6.6)."""

from __future__ import annotations

from dataclasses import replace

from app.engine.action import RecordRow, Role
from app.engine.state import Run, Score


def bot_row(run: Run, report: str | None, score: Score | None = None) -> RecordRow:
    """Record what the bot said, and the learner's score if this settles it."""
    return _row(run, Role.BOT, report, score)


def user_row(run: Run, report: str) -> RecordRow:
    """Record what the learner said, pressed or voted for; in a dialog, beside the conversation."""
    row = _row(run, Role.USER, report, None)
    return replace(row, body=None) if run.talk is not None else row


def said_row(run: Run, role: Role, report: str, content: str) -> RecordRow:
    """Record a turn of a dialog; ``content`` is what the model reads or wrote, ``report`` what the learner sees."""
    return replace(_row(run, role, report, None), body=None, content=content)


def notice_row(run: Run, report: str) -> RecordRow:
    """Record what the bot said in a dialog beside the conversation: the model does not read it."""
    return replace(_row(run, Role.BOT, report, None), body=None)


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
