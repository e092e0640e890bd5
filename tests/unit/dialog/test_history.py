"""Transcripts read back from rows of today and of the old program, and what prompt variables make of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from app.course.element import Line
from app.course.prompt import Variable
from app.dialog.history import History, history_of, in_turn, value_of

BODY = {"type": "dialog", "text": "T", "prompt": "P"}
SYSTEM = {"role": "system", "content": "S"}


@dataclass(frozen=True)
class Row:
    role: str
    report: str | None
    json: str | None = None


def opening(text: str = "T", **more: Any) -> Row:
    return Row("bot", text, json.dumps({"element_data": {**BODY, "text": text, **more}}))


def user(text: str) -> Row:
    return Row("user", text, json.dumps({"content": text}))


def bot(text: str) -> Row:
    return Row("bot", f"shown {text}", json.dumps({"content": text}))


def old_turn(history: str, *before: dict[str, str]) -> list[Row]:
    """The two rows of a turn as the old program wrote them; ``history`` is ``u1 a1 u2 a2``, the last two are said."""
    words = history.split()
    lines = [{"role": "user" if word[0] == "u" else "assistant", "content": word} for word in words]
    snapshot = json.dumps({"element_data": {**BODY, "conversation": [*before, *lines]}})
    return [Row("user", words[-2], snapshot), Row("bot", f"shown {words[-1]}", snapshot)]


def lines_of(history: str) -> tuple[Line, ...]:
    return tuple(Line("user" if word[0] == "u" else "assistant", word) for word in history.split())


NEW = [opening(), user("u1"), bot("a1"), user("u2"), bot("a2")]
OLD = [opening(), *old_turn("u1 a1", SYSTEM), *old_turn("u1 a1 u2 a2", SYSTEM)]
MIXED = [opening(), *old_turn("u1 a1", SYSTEM), user("u2"), bot("a2")]


@pytest.mark.parametrize(
    ("rows", "history"),
    [
        ([], History()),
        ([opening()], History("T")),
        (NEW, History("T", (), lines_of("u1 a1 u2 a2"))),
        (OLD, History("T", (Line("system", "S"), *lines_of("u1 a1 u2 a2")))),
        (MIXED, History("T", (Line("system", "S"), *lines_of("u1 a1")), lines_of("u2 a2"))),
        ([*NEW, opening("T2"), user("u3")], History("T2", (), lines_of("u3"))),
        ([*OLD, opening(), user("u3")], History("T", (), lines_of("u3"))),
        ([opening(conversation=[SYSTEM]), user("u1")], History("T", (Line("system", "S"),), lines_of("u1"))),
        ([*NEW, Row("bot", "You are banned"), Row("user", "Finish")], History("T", (), lines_of("u1 a1 u2 a2"))),
        ([*NEW, Row("bot", "You are banned", opening().json)], History("T", (), lines_of("u1 a1 u2 a2"))),
        ([opening(), Row("user", "u1", "not JSON"), Row("user", "u1", "[]")], History("T")),
    ],
)  # fmt: skip
def test_history(rows: list[Row], history: History) -> None:
    assert history_of(rows) == history


TABLE = [
    (Variable("E"), "T u1 a1 u2 a2"),
    (Variable("E", first=1), "T u1"),
    (Variable("E", first=2), "T u1"),
    (Variable("E", first=3), "T u1 a1"),
    (Variable("E", first=4), "T u1 a1 u2"),
    (Variable("E", first=5), "T u1 a1 u2 a2"),
    (Variable("E", first=50), "T u1 a1 u2 a2"),
    (Variable("E", last=1), "a2"),
    (Variable("E", last=2), "u2 a2"),
    (Variable("E", last=3), "a1 u2 a2"),
    (Variable("E", last=4), "u1 a1 u2 a2"),
    (Variable("E", last=5), "T u1 a1 u2 a2"),
    (Variable("E", last=50), "T u1 a1 u2 a2"),
]
"""Section 4.3, exact counting."""


@pytest.mark.parametrize("rows", [NEW, OLD, MIXED], ids=["new", "old", "mixed"])
@pytest.mark.parametrize(("variable", "words"), TABLE)
def test_counting(rows: list[Row], variable: Variable, words: str) -> None:
    roles = {"u": "user", "a": "assistant", "T": "assistant"}
    blocks = [f"### {roles[word[0]]}:\n{word}" for word in words.split()]
    assert value_of(variable, rows) == "\n\n".join(blocks)


def test_stop_markers_are_kept() -> None:
    assert value_of(Variable("E", last=1), [opening(), user("u"), bot("Bye {STOP}")]) == "### assistant:\nBye {STOP}"


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        (NEW, "u2"),
        (OLD, "u2"),
        ([*NEW, Row("user", "Finish")], "u2"),
        ([opening()], None),
        ([], None),
    ],
)
def test_answer_in_a_dialog(rows: list[Row], answer: str | None) -> None:
    assert value_of(Variable("E", is_answer=True), rows) == answer


def snapshot(**body: Any) -> str:
    return json.dumps({"element_data": body})


def test_answer_to_another_element() -> None:
    body = snapshot(type="input", text="Your name?")
    rows = [Row("bot", "Your name?", body), Row("user", "Ann", body), Row("user", "Anna", body), Row("bot", "ok", body)]
    assert value_of(Variable("E", is_answer=True), rows) == "Anna"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (snapshot(type="test", text="You have {score}"), "You have {score}"),
        (snapshot(type="message", text=5), "5"),
        (snapshot(type="delay"), None),
        (None, None),
    ],
)
def test_other_elements_stand_for_their_raw_text(body: str | None, text: str | None) -> None:
    rows = [Row("bot", "rendered", body)]
    assert value_of(Variable("E"), rows) == text
    assert value_of(Variable("E", first=1), rows) == text


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("", ""),
        ("u1", "u1"),
        ("u1 u2", "u1 u2"),
        ("u1 a1 u2", "u1 a1 u2"),
        ("u1 u2 a1", "u1 a1 u2"),
        ("u1 u2 u3 a1", "u1 a1 u2 u3"),
        ("u1 u2 a1 a2 u3", "u1 a1 u2 a2 u3"),
        ("u1 u2 u3 a1 a2 u4", "u1 a1 u2 u3 a2 u4"),
        ("u1 u2 a1 u3", "u1 u2 a1 u3"),
        ("a1 u1", "a1 u1"),
        ("u1 a1 a2 u2", "u1 a1 a2 u2"),
    ],
)
def test_what_was_written_while_the_model_worked_comes_after_its_reply(stored: str, asked: str) -> None:
    assert in_turn(lines_of(stored)) == list(lines_of(asked))
