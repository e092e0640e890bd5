"""The transcript of one element, read back from its rows (course-format.md, sections 4.2, 4.3 and 6.6).

Rows of today's turns hold ``{"content": what was said}``. Rows of the old program hold ``{"element_data": {...,
"conversation": [...]}}`` with the whole history, and a dialog that was begun there may go on here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.course.element import Line
from app.course.prompt import Variable

_SPEAKERS = {"bot": "assistant", "user": "user"}


class Said(Protocol):
    """A row about the element, as the store returns it; ``json`` is the text of ``conversation.json``."""

    @property
    def role(self) -> str:
        """``bot`` or ``user``."""

    @property
    def report(self) -> str | None:
        """What was shown or said."""

    @property
    def json(self) -> str | None:
        """The snapshot or the content, as JSON."""


@dataclass(frozen=True, slots=True)
class History:
    """What was said in a dialog since it was opened last.

    ``opening`` is the text it was opened with, ``base`` what the snapshot of the opening brought along: the
    conversation that the author wrote, or the old program's whole history. ``turns`` follow it.
    """

    opening: str = ""
    base: tuple[Line, ...] = ()
    turns: tuple[Line, ...] = ()

    @property
    def spoken(self) -> tuple[Line, ...]:
        """All messages without the system's."""
        return tuple(line for line in (*self.base, *self.turns) if line.role != "system")


def history_of(rows: Iterable[Said]) -> History:
    """Return the newest conversation that the rows of a dialog, in their order, hold."""
    history = History()
    for row in rows:
        content = _json_of(row)
        if isinstance(content.get("content"), str):
            line = Line(_SPEAKERS.get(row.role, row.role), content["content"])
            history = History(history.opening, history.base, (*history.turns, line))
        elif isinstance(body := content.get("element_data"), Mapping):
            history = _with_snapshot(history, row, body)
    return history


def in_turn(turns: Sequence[Line]) -> list[Line]:
    """Return the turns with each reply after what it answers, and at the end what the reply to come is to answer.

    Learners write on while the model works: rows ``u1 u2 a1`` mean that ``a1`` answers ``u1`` when another reply is
    asked for after it.
    """
    ordered: list[Line] = []
    blocks = _blocks(turns)
    for number, (asked, replies) in enumerate(blocks, 1):
        alone = len(replies) if number == len(blocks) else len(replies) - 1
        for place in range(alone):
            ordered += [*asked[place : place + 1], replies[place]]
        ordered += [*asked[alone:], *replies[alone:]]
    return ordered


def has_unasked_reply(turns: Sequence[Line]) -> bool:
    """Tell whether the model speaks first: its first replies, the one to come included, outnumber what was said."""
    blocks = _blocks(turns)
    asked, replies = blocks[0] if blocks else ([], [])
    return len(asked) < len(replies) + (len(blocks) <= 1)


def element_of(rows: Sequence[Said]) -> Mapping[str, Any]:
    """Return the newest snapshot of the element, empty without one."""
    bodies = (_json_of(row).get("element_data") for row in reversed(rows))
    return next((body for body in bodies if isinstance(body, Mapping)), {})


def value_of(variable: Variable, rows: Sequence[Said]) -> str | None:
    """Return what a prompt variable stands for, given the rows of its element; ``None`` if they do not tell.

    Counted as section 4.3 does: the opening text is one of the messages, and the first two are always taken.
    """
    body = element_of(rows)
    is_dialog = body.get("type") == "dialog"
    if variable.is_answer:
        return _answer_in(history_of(rows)) if is_dialog else _answer(rows)
    if not is_dialog:
        text = body.get("text")
        return None if text is None else str(text)
    history = history_of(rows)
    lines = (Line("assistant", history.opening), *history.spoken)
    if variable.first is not None:
        lines = lines[: max(variable.first, 2)]
    if variable.last is not None:
        lines = lines[-variable.last :] if variable.last else ()
    return "\n\n".join(f"### {line.role}:\n{line.content}" for line in lines)


def _blocks(turns: Sequence[Line]) -> list[tuple[list[Line], list[Line]]]:
    """Return the turns as messages of the learner, each time with the replies that follow them."""
    blocks: list[tuple[list[Line], list[Line]]] = []
    for line in turns:
        if not blocks or (line.role == "user" and blocks[-1][1]):
            blocks.append(([], []))
        blocks[-1][0 if line.role == "user" else 1].append(line)
    return blocks


def _with_snapshot(history: History, row: Said, body: Mapping[str, Any]) -> History:
    base = _lines(body.get("conversation"))
    opening = str(body.get("text") or "")
    is_opening = row.role == "bot" and (row.report or "").strip() == opening.strip()
    if is_opening or len(base) > len(history.base) + len(history.turns):
        return History(opening, base)
    # A button that was pressed, a notice that was sent: no part of the conversation.
    return history


def _answer(rows: Sequence[Said]) -> str | None:
    return next((row.report for row in reversed(rows) if row.role == "user"), None)


def _answer_in(history: History) -> str | None:
    return next((line.content for line in reversed(history.spoken) if line.role == "user"), None)


def _lines(conversation: Any) -> tuple[Line, ...]:
    if not isinstance(conversation, list):
        return ()
    said = (line for line in conversation if isinstance(line, Mapping))
    return tuple(Line(str(line.get("role", "user")), str(line.get("content") or "")) for line in said)


def _json_of(row: Said) -> Mapping[str, Any]:
    try:
        content = json.loads(row.json or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
