"""``flotilla check``: what is wrong in the config and in every course, with the place and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import EXIT_CONFIG, Problem

if TYPE_CHECKING:
    from app.course.course import Course
    from app.runtime.library import Library

DEFAULT_CONFIG = Path("bots_config.yaml")


class Format(StrEnum):
    """How problems are written: for people, or as annotations of a GitHub workflow."""

    TEXT = "text"
    GITHUB = "github"


@dataclass(slots=True)
class Findings:
    """What a check found. ``unlisted`` are course files that no list names."""

    bots: int = 0
    problems: set[Problem] = field(default_factory=set)
    courses: dict[str, Course] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return len(self.problems) - self.errors

    @property
    def unlisted(self) -> list[Path]:
        """Course files beside a list of courses that no list names."""
        return sorted(path for folder in self.folders for path in _yaml_files(folder) if path not in self.files)

    def add(self, library: Library) -> None:
        """Take over what the courses of a bot's folder contain."""
        self.problems.update(library.problems)
        self.courses.update({course.source: course for course in library.courses.courses.values()})
        self.files.update(library.files)
        self.folders.add(library.files[0].parent)


def check(
    config: Annotated[Path | None, typer.Option(help=f"The fleet. [default: {DEFAULT_CONFIG}]")] = None,
    scripts: Annotated[
        Path | None, typer.Option(help="The folder with the courses; without --config, check only this folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    format: Annotated[Format, typer.Option(help="How problems are written.")] = Format.TEXT,  # noqa: A002
) -> None:
    """Check the config and every course.

    Exits with 78 when there are errors.
    """
    if scripts is not None and config is None:
        findings = check_folder(scripts)
    else:
        findings = check_fleet(config or DEFAULT_CONFIG, scripts)
    if json:
        print(_json(findings))
    else:
        _print(findings, format)
    if findings.errors:
        raise typer.Exit(EXIT_CONFIG)


def check_fleet(config: Path, scripts: Path | None) -> Findings:
    """Check a config and the courses of its bots; without a usable config, all courses in the scripts folder."""
    import os

    from app.config.load import load_fleet
    from app.errors import InputError

    try:
        fleet = load_fleet(config, os.environ, scripts)
    except InputError as error:
        folder = scripts or config.parent / "scripts"
        findings = check_folder(folder) if folder.is_dir() else Findings()
        findings.problems.update(error.problems)
        return findings
    findings = Findings(bots=len(fleet.bots), problems=set(fleet.warnings))
    _check_lists(findings, fleet.scripts, [bot.folder for bot in fleet.bots])
    return findings


def check_folder(scripts: Path) -> Findings:
    """Check the lists of courses in a folder and the folders in it; without any, every YAML file as a course."""
    from app.course.loader import LIST_FILE

    findings = Findings()
    lists = sorted([*scripts.glob(LIST_FILE), *scripts.glob(f"*/{LIST_FILE}")])
    if lists:
        _check_lists(findings, scripts, [path.parent.relative_to(scripts).as_posix() for path in lists])
    elif files := _yaml_files(scripts):
        _check_files(findings, scripts, files)
    else:
        findings.problems.add(_nothing_in(scripts))
    return findings


def _check_lists(findings: Findings, scripts: Path, folders: list[str]) -> None:
    from app.runtime.library import Library

    for folder in dict.fromkeys(folders):
        findings.add(Library(scripts, folder))


def _check_files(findings: Findings, scripts: Path, files: list[Path]) -> None:
    from dataclasses import replace

    from app.course.loader import ROOT, load_file
    from app.runtime.library import read_text

    for path in files:
        course, problems = load_file(lambda file: read_text(scripts, file), f"{ROOT}{path.name}")
        findings.problems.update(replace(problem, file=str(path)) for problem in problems)
        if course is not None:
            findings.courses[str(path)] = course


def _nothing_in(scripts: Path) -> Problem:
    if not scripts.is_dir():
        return Problem(str(scripts), 0, 0, "", "is not a folder", "name the folder with courses.yml")
    return Problem(str(scripts), 0, 0, "", "has no courses.yml and no course files", "name the folder with courses.yml")


def _yaml_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])


def _print(findings: Findings, format_: Format) -> None:
    for problem in sorted(findings.problems):
        typer.echo(_annotation(problem) if format_ is Format.GITHUB else _line(problem))
    for path in findings.unlisted:
        typer.echo(f"hint: {path}: is in no list of courses")
    typer.secho(_summary(findings), bold=True)


def _line(problem: Problem) -> str:
    color = typer.colors.RED if problem.severity == "error" else typer.colors.YELLOW
    return f"{typer.style(problem.severity, fg=color)}: {problem}"


def _annotation(problem: Problem) -> str:
    """Return the workflow command of GitHub that marks a problem in its file."""
    line = f",line={problem.line},col={max(problem.column, 1)}" if problem.line else ""
    file = _escaped(problem.file).replace(":", "%3A").replace(",", "%2C")
    return f"::{problem.severity} file={file}{line}::{_escaped(str(problem))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _summary(findings: Findings) -> str:
    elements = sum(len(course.elements) for course in findings.courses.values())
    checked = [_count(findings.bots, "bot")] if findings.bots else []
    checked += [_count(len(findings.courses), "course"), _count(elements, "element")]
    return f"{', '.join(checked)}: {_count(findings.errors, 'error')}, {_count(findings.warnings, 'warning')}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _json(findings: Findings) -> str:
    from dataclasses import asdict
    from json import dumps

    return dumps(
        {
            "problems": [asdict(problem) for problem in sorted(findings.problems)],
            "unlisted": [str(path) for path in findings.unlisted],
            "bots": findings.bots,
            "courses": {file: len(course.elements) for file, course in sorted(findings.courses.items())},
            "errors": findings.errors,
            "warnings": findings.warnings,
        },
        ensure_ascii=False,
        indent=2,
    )
