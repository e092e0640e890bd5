"""What a check found, and how people, scripts and GitHub read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from app.errors import Problem

if TYPE_CHECKING:
    from app.course.course import Course


class Format(StrEnum):
    """How problems are written: for people, or as annotations of a GitHub workflow."""

    TEXT = "text"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Walks:
    """What came of the walks of a robot: how many, their events, and the elements they saw of those there are."""

    seed: int
    count: int = 0
    steps: int = 0
    visited: int = 0
    elements: int = 0


@dataclass(slots=True)
class Findings:
    """What a check found. ``courses`` are by file, ``unlisted`` the course files that no list names.

    ``links`` is the number of links that were fetched; it and ``walks`` are ``None`` when nobody asked for them.
    """

    bots: int = 0
    problems: set[Problem] = field(default_factory=set)
    courses: dict[str, Course] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    links: int | None = None
    walks: Walks | None = None

    @property
    def errors(self) -> int:
        """The number of errors."""
        return self._count("error")

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return self._count("warning")

    @property
    def hints(self) -> int:
        """The number of hints."""
        return self._count("hint")

    def _count(self, severity: str) -> int:
        return sum(problem.severity == severity for problem in self.problems)


def print_findings(findings: Findings, format_: Format) -> None:
    """Print every problem, by file and line, and what was checked."""
    for problem in sorted(findings.problems):
        typer.echo(_annotation(problem) if format_ is Format.GITHUB else _line(problem))
    if findings.links is not None:
        typer.echo(f"{_count(findings.links, 'link')} fetched")
    if findings.walks is not None:
        typer.echo(_walked(findings.walks))
    typer.secho(_summary(findings), bold=True)


_COLORS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW, "hint": typer.colors.CYAN}
_LEVELS = {"error": "error", "warning": "warning", "hint": "notice"}


def _line(problem: Problem) -> str:
    return f"{typer.style(problem.severity, fg=_COLORS[problem.severity])}: {problem}"


def _annotation(problem: Problem) -> str:
    """Return the workflow command of GitHub that marks a problem in its file."""
    line = f",line={problem.line},col={max(problem.column, 1)}" if problem.line else ""
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    return f"::{_LEVELS[problem.severity]} file={file}{line}::{_escaped(str(problem))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _walked(walks: Walks) -> str:
    return (
        f"{_count(walks.count, 'walk')} with seed {walks.seed}, {_count(walks.steps, 'step')}: "
        f"came to {walks.visited} of {_count(walks.elements, 'element')}"
    )


def _summary(findings: Findings) -> str:
    elements = sum(len(course.elements) for course in findings.courses.values())
    checked = [_count(findings.bots, "bot")] if findings.bots else []
    checked += [_count(len(findings.courses), "course"), _count(elements, "element")]
    found = [_count(findings.errors, "error"), _count(findings.warnings, "warning")]
    found += [_count(findings.hints, "hint")] if findings.hints else []
    return f"{', '.join(checked)}: {', '.join(found)}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def json_of(findings: Findings) -> str:
    """Return the findings as JSON; ``links`` and ``walks`` are null when nobody asked for them."""
    from dataclasses import asdict
    from json import dumps

    return dumps(
        {
            "problems": [asdict(problem) for problem in sorted(findings.problems)],
            "unlisted": sorted(findings.unlisted),
            "bots": findings.bots,
            "courses": {file: len(course.elements) for file, course in sorted(findings.courses.items())},
            "links": findings.links,
            "walks": asdict(findings.walks) if findings.walks else None,
            "errors": findings.errors,
            "warnings": findings.warnings,
            "hints": findings.hints,
        },
        ensure_ascii=False,
        indent=2,
    )
