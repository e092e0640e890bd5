"""The fields that only mini apps have (course-format.md, section 2.9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.course.document import Items, Scalar, Table
from app.course.element import Form
from app.course.fields import Fields
from app.course.media import is_link
from app.course.report import quote

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"(?:^|,)\s*(\w+)\s*:")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page shows; ``options`` is empty for a form to fill in."""

    form: Form = Form.MULTIPLE_CHOICE
    text: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is right, and what is said to it."""

    actual: str | None = None
    correct_feedback: str | None = None
    incorrect_feedback: str | None = None


def placeholders(text: str) -> tuple[str, ...]:
    """Return the names of the fields to fill in, ``q1`` for ``{q1}``, each once."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def app_url(fields: Fields) -> str | None:
    """Return the address of the page, ``None`` for that of the bot's host."""
    text = fields.text("app_url")
    if text is None:
        return None
    if is_link(text.strip()):
        return text.strip()
    remedy = "write a URL that begins with https://, or remove it"
    fields.warning("app_url", f"{quote(text)} is not a link, the page of the bot is used", remedy)
    return None


def question(fields: Fields) -> Asked:
    """Return what the page asks."""
    inner = _inner(fields, "question", "text")
    if inner is None:
        fields.error("", "'question' is missing", "add for example 'question: {type: typein, text: ...}'")
        return Asked()
    inner.check_keys(("type", "text", "options"))
    form = inner.word("type", Form, Form.MULTIPLE_CHOICE)
    asked = Asked(form, inner.required_text("text"), tuple(_options(inner)))
    if form is Form.TYPEIN and not placeholders(asked.text):
        inner.warning("text", "has no field to fill in", "write {q1} where one goes")
    if form is Form.TYPEIN and asked.options:
        inner.warning("options", "has no effect with 'type: typein'", "use 'type: multiple_choice'")
    if form is Form.MULTIPLE_CHOICE and not asked.options:
        inner.error("options" if inner.has("options") else "", "'options' is missing or empty", "add '- text: ...'")
    return asked


def answer(fields: Fields, asked: Asked) -> Answer:
    """Return what is right, a bare text stands for ``{actual: ...}``; warn when nobody can answer so."""
    inner = _inner(fields, "answer", "actual")
    if inner is None:
        return Answer()
    inner.check_keys(("actual", "correct_feedback", "incorrect_feedback"))
    actual = inner.text("actual")
    if actual is not None:
        _check(actual, asked, inner)
    elif inner.has("incorrect_feedback"):
        inner.warning("incorrect_feedback", "has no effect without 'actual'", "add 'actual'")
    return Answer(actual, inner.text("correct_feedback"), inner.text("incorrect_feedback"))


def _check(actual: str, asked: Asked, fields: Fields) -> None:
    if asked.form is Form.TYPEIN:
        names, wanted = set(_NAME.findall(actual)), placeholders(asked.text)
        if names != set(wanted):
            found = ", ".join(sorted(names)) or "none"
            text = f"names the fields {found}, the question has {', '.join(wanted) or 'none'}"
            fields.warning("actual", text, "write 'NAME: VALUE' for each of them, with ', ' between")
    elif asked.options and actual.strip() not in asked.options:
        fields.warning(
            "actual",
            f"{quote(actual.strip())} is none of the options, so that every answer is wrong",
            fields.report.nearest(actual.strip(), asked.options, "write one of the options"),
        )


def _options(fields: Fields) -> Iterator[str]:
    for row in fields.rows("options"):
        row.check_keys(("text",))
        if text := row.required_text("text").strip():
            yield text


def _inner(fields: Fields, key: str, only: str) -> Fields | None:
    """Return the fields of a mapping below ``key``; a bare text stands for its field ``only``."""
    if not fields.has(key):
        return None
    node = fields.table.items[key]
    match node:
        case Table():
            return fields.inner(key, node)
        case Scalar():
            return fields.inner(key, Table({only: node}, {only: node.place}, node.place))
        case Items():
            fields.error(key, "must be a mapping, not a list", f"write '{only}: ...' below it")
            return fields.inner(key, Table({}, {}, node.place))
