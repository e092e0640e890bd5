"""How each element takes its answer: feedback, score and rows (course-format.md, section 2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from html import escape
from typing import NamedTuple, assert_never

from app.course.element import Input, InputType, MultiChoice, Option, ParseMode, Question, Quiz
from app.engine.action import Action, SendText
from app.engine.row import bot_row, user_row
from app.engine.state import Run, Score

PollElement = Quiz | Question | MultiChoice
"""The elements that are answered by a vote."""


class Reply(NamedTuple):
    """What follows from an answer; ``score`` is ``None`` when the element is not scored."""

    actions: tuple[Action, ...]
    score: Score | None = None


def answer_input(element: Input, run: Run, text: str) -> Reply:
    """Take a text: one attempt, scored when there is something to compare it with."""
    if not element.correct_answer:
        acknowledgement = element.feedback_correct
        rows = (bot_row(run, acknowledgement),) if acknowledgement else ()
        return Reply((user_row(run, text), *_feedback(acknowledgement, element.parse_mode), *rows))
    is_right = _is_right(element.input_type, text, element.correct_answer)
    feedback = element.feedback_correct if is_right else element.feedback_incorrect
    score = score_of(run, float(is_right))
    shown = _feedback(feedback, element.parse_mode)
    return Reply((user_row(run, text), *shown, bot_row(run, feedback, score)), score)


def answer_poll(element: PollElement, run: Run, option_ids: tuple[int, ...]) -> Reply:
    """Take a vote; ``option_ids`` has at least one id, all of them are of this element."""
    match element:
        case Quiz():
            return _quiz(element, run, element.options[option_ids[0]])
        case Question():
            return _question(element, run, element.options[option_ids[0]])
        case MultiChoice():
            return _multi_choice(element, run, option_ids)
        case _:
            assert_never(element)


def _quiz(element: Quiz, run: Run, chosen: Option) -> Reply:
    score = score_of(run, float(chosen.correct))
    shown = _feedback(chosen.feedback, element.parse_mode)
    return Reply((user_row(run, chosen.text), *shown, bot_row(run, chosen.feedback, score)), score)


def _question(element: Question, run: Run, chosen: Option) -> Reply:
    rows = (bot_row(run, chosen.feedback),) if chosen.feedback else ()
    return Reply((user_row(run, chosen.text), *_feedback(chosen.feedback, element.parse_mode), *rows))


def _multi_choice(element: MultiChoice, run: Run, option_ids: Collection[int]) -> Reply:
    chosen = [option for index, option in enumerate(element.options) if index in option_ids]
    points, verdict = _verdict(element, option_ids)
    score = score_of(run, points)
    review = "\n".join(_review(chosen, element.parse_mode))
    return Reply(
        (
            user_row(run, "\n".join(option.text for option in chosen)),
            SendText(review, element.parse_mode),
            bot_row(run, review),
            *_feedback(verdict, element.parse_mode),
            bot_row(run, verdict, score),
        ),
        score,
    )


def score_of(run: Run, points: float) -> Score:
    """Return so many points of one for the element on screen, and count the attempt."""
    earlier = run.scores.get(run.element_id)
    return Score(points, 1, earlier.attempt + 1 if earlier else 1)


def _verdict(element: MultiChoice, option_ids: Collection[int]) -> tuple[float, str | None]:
    """Return 1 when every option is judged right, 0 when none is, else one half, with the text for it."""
    judged_right = sum(option.correct == (index in option_ids) for index, option in enumerate(element.options))
    if judged_right == len(element.options):
        return 1.0, element.feedback_correct
    if judged_right == 0:
        return 0.0, element.feedback_incorrect
    return 0.5, element.feedback_partial


def _review(chosen: list[Option], parse_mode: ParseMode) -> Iterator[str]:
    for option in chosen:
        yield f"{'✅' if option.correct else '🚫'} {_literal(option.text, parse_mode)}"
        if option.feedback:
            yield f"   👉 {option.feedback}"


def _literal(text: str, parse_mode: ParseMode) -> str:
    """Protect a text that is plain in the poll from being read as markup."""
    return escape(text, quote=False) if parse_mode is ParseMode.HTML else re.sub(r"([_*`\[])", r"\\\1", text)


def _feedback(text: str | None, parse_mode: ParseMode | None) -> tuple[Action, ...]:
    return (SendText(text, parse_mode),) if text else ()


def _is_right(input_type: InputType, answer: str, expected: str) -> bool:
    if input_type is InputType.SEQUENCE and (digits := _digits(expected)):
        return _digits(answer) == digits
    return answer.strip().lower() == expected.strip().lower()


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
