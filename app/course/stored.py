"""Courses of the database: rows of ``course_element``, from and to course files (course-format.md, section 6)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.course.document import Node, Table, from_json
from app.course.element import Element
from app.course.grammar import body_of
from app.course.report import Place, Report, has_errors
from app.errors import InputError

STORED_FILE = "database"
"""What stands for the file in the problems of a stored course."""

_DATA = "element_data"
_MAX_LINE = 80
# PyYAML reads these as line breaks, not all of them back as what they were.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Stored:
    """A course as the database has it: id and JSON text of each element in order, and the file it came from if any."""

    elements: tuple[tuple[str, str], ...] = field(repr=False)
    yaml: str | None = field(default=None, repr=False)


def read_rows(elements: Iterable[tuple[str, str]], report: Report) -> Table | None:
    """Return the elements as the mapping of a course file would be; ``None`` when one is broken, which is reported."""
    items: dict[str, Node] = {}
    for element_id, text in elements:
        if element_id in items:
            report.warning(Place(), element_id, "occurs twice", "the last content is used, at the place of the first")
        try:
            items[element_id] = _data(from_json(text))
        except ValueError as error:
            report.error(Place(), element_id, str(error), "import the course again")
    return None if has_errors(report.problems) else Table(items, dict.fromkeys(items, Place()))


def json_of(element: Element) -> str:
    """Return the JSON text that stores an element."""
    return json.dumps({_DATA: element.body}, ensure_ascii=False)


def to_yaml(elements: Iterable[tuple[str, str]]) -> str:
    """Return a course file that loads to the same course as these ids and JSON texts.

    Raises ``InputError`` when a text is broken.
    """
    report = Report(STORED_FILE)
    table = read_rows(elements, report)
    if table is None:
        raise InputError([problem for problem in report.problems if problem.severity == "error"])
    return "\n".join(_dump({element_id: body_of(node)}) for element_id, node in table.items.items())


def _data(node: Node) -> Node:
    if not isinstance(node, Table) or _DATA not in node.items:
        raise ValueError(f"has no {_DATA!r}")
    return node.items[_DATA]


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, and long ones, as blocks that read as they will be shown."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def analyze_scalar(self, scalar: str) -> Any:
        """Allow blocks whose lines end in spaces, which PyYAML would escape; in a block they are kept all the same."""
        analysis = super().analyze_scalar(scalar)
        if not analysis.allow_block:
            stripped = "\n".join(line.rstrip(" ") for line in scalar.split("\n"))
            analysis.allow_block = super().analyze_scalar(stripped).allow_block
        return analysis


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What ends in several line breaks is no block: it would take up the blank line before the next element.
    is_block = ("\n" in text.rstrip("\n") or len(text) > _MAX_LINE) and not text.endswith("\n\n")
    style = '"' if _OTHER_BREAKS.search(text) else "|" if is_block else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _dump(data: Any) -> str:
    text: str = yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf"))
    return text
