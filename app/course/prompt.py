"""The variables of a prompt: what was said in earlier elements (course-format.md, section 4.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass

# What is left open is matched too, up to where it could be closed, so that no place is searched twice.
_COMMENT = re.compile(r"<!--.*?(?P<close>-->|\Z)", re.DOTALL)
_VARIABLE = re.compile(r"\{\{(?P<name>.*?)(?P<close>\}\}|$)", re.MULTILINE)
_FIRST = re.compile(r"(?P<count>[^\]]+)\](?P<id>.+)")
_LAST = re.compile(r"(?P<id>[^\[]+)\[(?P<count>.+)")
_COUNT = re.compile(r"[0-9]{1,9}")
_ANSWER = ".answer"


@dataclass(frozen=True, slots=True)
class Variable:
    """What ``{{Intro_1}}`` and its like stand for: all of an element, unless one of the others is set.

    ``first`` and ``last`` count the messages to take from that end, the opening text is one of them. ``is_answer`` asks
    for the learner's newest answer only.
    """

    element_id: str
    first: int | None = None
    last: int | None = None
    is_answer: bool = False


def variables(prompt: str, known: Container[str] = ()) -> list[Variable]:
    """Return the variables of a prompt in their order; those in comments are none.

    ``{{E}}``, ``{{3]E}}`` (the first three messages), ``{{E[3}}`` (the last three), ``{{E.answer}}``. A name that is
    ``known`` as the id of an element is that element, whatever signs it has.
    """
    matches = _VARIABLE.finditer(_without_comments(prompt))
    return [_variable(found["name"], known) for found in matches if found["close"]]


def render(prompt: str, lookup: Callable[[Variable], str], known: Container[str] = ()) -> str:
    """Return the prompt without comments, each variable replaced by what ``lookup`` says; that is not read again."""

    def value(found: re.Match[str]) -> str:
        return lookup(_variable(found["name"], known)) if found["close"] else found[0]

    return _VARIABLE.sub(value, _without_comments(prompt))


def _without_comments(prompt: str) -> str:
    return _COMMENT.sub(lambda found: "" if found["close"] else found[0], prompt)


def _variable(name: str, known: Container[str]) -> Variable:
    name = name.strip()
    if name in known:
        return Variable(name)
    if found := _FIRST.fullmatch(name):
        return Variable(found["id"].strip(), first=_count(found["count"]))
    if found := _LAST.fullmatch(name):
        return Variable(found["id"].strip(), last=_count(found["count"]))
    if name.endswith(_ANSWER):
        return Variable(name.removesuffix(_ANSWER), is_answer=True)
    return Variable(name)


def _count(text: str) -> int | None:
    """Read a number of messages; what is none means all of them."""
    return int(text) if _COUNT.fullmatch(text.strip()) else None
