"""Finds texts that Telegram would refuse to read as they are marked up."""

from __future__ import annotations

from collections.abc import Iterator

from app.course.document import Items, Node, Scalar, Table
from app.course.element import AnyElement, ParseMode, Section, Unsupported
from app.course.markup import MarkupError, parse
from app.course.report import Report

_KEYS = ("text", "feedback_correct", "feedback_partial", "feedback_incorrect", "no_mistakes")


def check_markup(element: AnyElement, node: Table, report: Report) -> None:
    """Warn about every text of the element that would be sent without its markup because that is broken."""
    if isinstance(element, Section | Unsupported) or element.parse_mode is None:
        return
    for where, text in _marked_up(node):
        try:
            parse(text.text, element.parse_mode)
        except MarkupError as error:
            remedy = f"it is sent as plain text; {_REMEDIES[element.parse_mode]}"
            report.warning(text.place, f"{element.id}/{where}", f"Telegram {error}", remedy)


_REMEDIES = {
    ParseMode.MARKDOWN: r"write \_ or \* for a sign that is no markup",
    ParseMode.HTML: "close every tag, and write &lt; for < and &amp; for &",
}


def _marked_up(node: Table) -> Iterator[tuple[str, Scalar]]:
    """Yield the texts that are sent with the element's markup; what stands in a poll has none."""
    answers = node.items.get("answers")
    for key in _KEYS:
        text = node.items.get(key)
        if isinstance(text, Scalar) and not (key == "text" and answers is not None):
            yield key, text
    yield from _texts_of_rows("answers", "feedback", node)
    yield from _texts_of_rows("options", "wait_text", node)
    yield from _verdicts(node.items.get("score"))


def _texts_of_rows(rows: str, key: str, node: Table) -> Iterator[tuple[str, Scalar]]:
    items = node.items.get(rows)
    for number, row in enumerate(items.items if isinstance(items, Items) else (), 1):
        text = row.items.get(key) if isinstance(row, Table) else None
        if isinstance(text, Scalar):
            yield f"{rows}/{number}/{key}", text


def _verdicts(score: Node | None) -> Iterator[tuple[str, Scalar]]:
    for key, text in score.items.items() if isinstance(score, Table) else ():
        if isinstance(text, Scalar):
            yield f"score/{key}", text
