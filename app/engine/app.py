"""Mini apps: the link to their page, and what an answer is worth (course-format.md, section 2.9)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from app.config.options import Options
from app.course.element import Form, MiniApp
from app.course.miniapp import placeholders
from app.engine.action import SendText
from app.engine.answer import Reply, score_of
from app.engine.row import bot_row, user_row
from app.engine.state import Run
from app.texts import Texts

STEPS = 1_000_000
"""More steps than a run has."""


def app_number(run_id: int, step: int) -> int:
    """Return the one number that stands for a step of a run in the address of a page, as pages expect it."""
    return run_id * STEPS + step


def app_link(element: MiniApp, run: Run, options: Options) -> str | None:
    """Return the address of the page for this step, ``None`` when neither the element nor the bot has one (D43).

    The number is the last part of the path, or the value of a query that ends with ``=``.
    """
    base = element.app_url or options.app_url
    if base is None:
        return None
    number, url = str(app_number(run.run_id, run.step)), urlsplit(base)
    if url.query.endswith("="):
        return urlunsplit(url._replace(query=url.query + number))
    return urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/{number}"))


def answer_app(element: MiniApp, run: Run, answer: str, texts: Texts) -> Reply:
    """Take an answer: one attempt, scored when there is something to compare it with."""
    if element.correct_answer is None:
        feedback, own, score = element.feedback_correct, texts.app_taken, None
    elif _meaning(element, answer) == _meaning(element, element.correct_answer):
        feedback, own, score = element.feedback_correct, texts.app_right, score_of(run, 1)
    else:
        feedback, own, score = element.feedback_incorrect, texts.app_wrong, score_of(run, 0)
    sent = SendText(feedback, element.parse_mode) if feedback else SendText(own)
    return Reply((user_row(run, answer), sent, bot_row(run, sent.text, score)), score)


def _meaning(element: MiniApp, answer: str) -> frozenset[tuple[str, str]]:
    """Return what was answered, whatever the order in which it was typed."""
    names = placeholders(element.question) if element.form is Form.TYPEIN else ()
    if not names:
        return frozenset({("", answer.strip())})
    marks = list(re.finditer(rf"(?:^|,)\s*({'|'.join(names)})\s*:", answer))
    ends = [*(mark.start() for mark in marks[1:]), len(answer)]
    before = answer[: marks[0].start()] if marks else answer
    pairs = {(mark[1], answer[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=False)}
    return frozenset(pairs | {("", before.strip())})
