"""``flotilla check``: what is wrong in the config and in every course, with the place and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.database import DEFAULT_CONFIG
from app.cli.findings import Findings, Format, Walks, json_of, print_findings
from app.config.options import DEFAULT_OPTIONS, Options
from app.errors import EXIT_CONFIG, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.course.course import Course, Courses
    from app.runtime.robot import Failure, Robot

WALKS = 1000

_ANY_PAGE = "https://example.org/app/"
"""Where the robot finds mini apps when the bot has no page of its own."""


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The courses that one bot has, in the folder ``scripts``; ``serves_apps`` when it has a page for mini apps."""

    scripts: Path
    courses: Courses
    options: Options = DEFAULT_OPTIONS
    serves_apps: bool = True

    def path(self, course: Course) -> str:
        """Return a course's file as the person would type it."""
        from app.runtime.library import path_of

        return str(path_of(self.scripts, course.source))

    def text(self, course: Course) -> str:
        """Return the text of a course's file."""
        from app.runtime.library import read_text

        return read_text(self.scripts, course.source)

    def starts(self) -> dict[str, tuple[Course, dict[str | None, str]]]:
        """Return every file once, with the elements its courses start at and the id of one course for each."""
        files: dict[str, tuple[Course, dict[str | None, str]]] = {}
        for course_id, course in self.courses.courses.items():
            _, starts = files.setdefault(course.source, (course, {}))
            starts.setdefault(self.courses.entries[course_id].element, course_id)
        return files


def check(
    config: Annotated[Path | None, typer.Option(help=f"The fleet. [default: {DEFAULT_CONFIG}]")] = None,
    scripts: Annotated[
        Path | None, typer.Option(help="The folder with the courses; without --config, check only this folder.")
    ] = None,
    online: Annotated[bool, typer.Option("--online", help="Fetch every link of a media file or mini app.")] = False,
    walk: Annotated[bool, typer.Option("--walk", help="Have a robot walk every course and see that it ends.")] = False,
    walks: Annotated[
        int | None, typer.Option(help=f"How often it walks each course. [default with --walk: {WALKS}]", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="The first of the robot's walks; the next ones count up.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    format: Annotated[Format, typer.Option(help="How problems are written.")] = Format.TEXT,  # noqa: A002
) -> None:
    """Check the config and every course.

    Exits with 78 when there are errors.
    """
    if scripts is not None and config is None:
        findings, shelves = check_folder(scripts)
    else:
        findings, shelves = check_fleet(config or DEFAULT_CONFIG, scripts)
    prove_all(findings, shelves)
    if online:
        _fetch(findings, shelves)
    if walk or walks is not None:
        findings.walks = _walk(findings, shelves, walks or WALKS, seed)
    if json:
        print(json_of(findings))
    else:
        print_findings(findings, format)
    if findings.errors:
        raise typer.Exit(EXIT_CONFIG)


# --- reading --------------------------------------------------------------------------------------------------------


def check_fleet(config: Path, scripts: Path | None) -> tuple[Findings, list[_Shelf]]:
    """Check a config and the courses of its bots; without a usable config, all courses in the scripts folder."""
    import os

    from app.config.host import options_of
    from app.config.load import load_fleet
    from app.errors import InputError

    try:
        fleet = load_fleet(config, os.environ, scripts)
    except InputError as error:
        folder = scripts or config.parent / "scripts"
        findings, shelves = check_folder(folder) if folder.is_dir() else (Findings(), [])
        findings.problems.update(error.problems)
        return findings, shelves
    findings = Findings(bots=len(fleet.bots), problems=set(fleet.warnings))
    shelves = _read_lists(findings, fleet.scripts, [bot.folder for bot in fleet.bots])
    return findings, [
        replace(shelf, options=options_of(fleet, bot), serves_apps=fleet.sandbox or fleet.app_url(bot) is not None)
        for bot, shelf in zip(fleet.bots, shelves, strict=True)
    ]


def check_folder(scripts: Path) -> tuple[Findings, list[_Shelf]]:
    """Check the lists of courses in a folder and the folders in it; without any, every YAML file as a course."""
    from app.course.loader import LIST_FILE

    findings = Findings()
    lists = sorted([*scripts.glob(LIST_FILE), *scripts.glob(f"*/{LIST_FILE}")])
    if lists:
        return findings, _read_lists(findings, scripts, [path.parent.relative_to(scripts).as_posix() for path in lists])
    if files := _yaml_files(scripts):
        return findings, [_read_files(findings, scripts, files)]
    findings.problems.add(_nothing_in(scripts))
    return findings, []


def _read_lists(findings: Findings, scripts: Path, folders: list[str]) -> list[_Shelf]:
    """Read the courses of each folder, and the files beside them that no list names."""
    from app.runtime.library import Library

    libraries = {folder: Library(scripts, folder) for folder in dict.fromkeys(folders)}
    listed: set[Path] = set()
    for library in libraries.values():
        findings.problems.update(library.problems)
        findings.courses.update({course.source: course for course in library.courses.courses.values()})
        listed.update(library.files)
    for folder in sorted({library.files[0].parent for library in libraries.values()}):
        for path in _yaml_files(folder):
            if path not in listed:
                findings.unlisted.add(str(path))
                findings.problems.update(_unlisted(scripts, path))
    return [_Shelf(scripts, libraries[folder].courses) for folder in folders]


def _unlisted(scripts: Path, path: Path) -> Iterator[Problem]:
    """Report a file that no list names, and what would keep it from running if one did."""
    from app.course.loader import ROOT, load_course
    from app.course.report import has_errors
    from app.runtime.library import read_text

    remedy = "add it to courses.yml if learners should get it"
    yield Problem(str(path), 0, 0, "", "is in no list of courses", remedy, "hint")
    file = f"{ROOT}{path.relative_to(scripts).as_posix()}"
    try:
        course, problems = load_course(read_text(scripts, file), file)
    except (OSError, UnicodeDecodeError):
        return
    # A file without any element is something else, unless it cannot be read at all.
    if course.elements or (has_errors(problems) and problems[0].where == ""):
        for problem in problems:
            if problem.severity == "error":
                yield replace(problem, file=str(path), severity="warning")


def _read_files(findings: Findings, scripts: Path, files: list[Path]) -> _Shelf:
    from app.course.course import Courses, Entry
    from app.course.loader import ROOT, load_file
    from app.runtime.library import read_text

    courses: dict[str, Course] = {}
    for path in files:
        course, problems = load_file(lambda file: read_text(scripts, file), f"{ROOT}{path.name}")
        findings.problems.update(replace(problem, file=str(path)) for problem in problems)
        if course is not None:
            findings.courses[str(path)] = courses[path.stem] = course
    return _Shelf(scripts, Courses({name: Entry(name, course.source) for name, course in courses.items()}, courses))


def _nothing_in(scripts: Path) -> Problem:
    if not scripts.is_dir():
        return Problem(str(scripts), 0, 0, "", "is not a folder", "name the folder with courses.yml")
    return Problem(str(scripts), 0, 0, "", "has no courses.yml and no course files", "name the folder with courses.yml")


def _yaml_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])


# --- proving --------------------------------------------------------------------------------------------------------


def prove_all(findings: Findings, shelves: Sequence[_Shelf]) -> None:
    """Look for what is wrong in how the courses hang together."""
    for shelf in shelves:
        _prove(findings, shelf)


def _prove(findings: Findings, shelf: _Shelf) -> None:
    from app.course.proof import prove

    for course, starts in shelf.starts().values():
        named = [element for element in starts if element is not None]
        problems = prove(course, shelf.text(course), named, shelf.options.stop_markers, shelf.serves_apps)
        findings.problems.update(replace(problem, file=shelf.path(course)) for problem in problems)


def _fetch(findings: Findings, shelves: Sequence[_Shelf]) -> None:
    """Fetch every link of the courses."""
    import asyncio

    from app.runtime.links import check_links, links_of

    links = {
        link
        for shelf in shelves
        for course, _ in shelf.starts().values()
        for link in links_of(course, shelf.text(course), shelf.path(course))
    }
    findings.links = len({link.url for link in links})
    with _progress("links", findings.links) as done:
        findings.problems.update(asyncio.run(check_links(links, done)))


def _walk(findings: Findings, shelves: Sequence[_Shelf], walks: int, seed: int) -> Walks:
    """Walk every course from each of its starts; the first failure of each kind at an element is reported."""
    routes = list(_routes(shelves))
    result, seen = Walks(seed), set[tuple[str, str]]()
    failed: set[tuple[str, str, str]] = set()
    with _progress("walks", len(routes) * walks) as done:
        for shelf, robot, course_id in routes:
            for number in range(seed, seed + walks):
                walked = robot.walk(course_id, number)
                result = replace(result, count=result.count + 1, steps=result.steps + walked.steps)
                seen |= {(shelf.path(shelf.courses.courses[course]), element) for course, element in walked.visited}
                failure = walked.failure
                if failure and (kind := (failure.course_id, failure.element_id, failure.text)) not in failed:
                    failed.add(kind)
                    findings.problems.add(_failure(shelf, failure, course_id, number))
                done()
    elements = {
        (shelf.path(course), element.id)
        for shelf in shelves
        for course in shelf.courses.courses.values()
        for element in course.elements.values()
        if element.body["type"] != "section"
    }
    return replace(result, visited=len(seen & elements), elements=len(elements))


def _routes(shelves: Sequence[_Shelf]) -> Iterator[tuple[_Shelf, Robot, str]]:
    """Yield every start of every file once for each set of options, with the robot for it."""
    from app.runtime.robot import Robot
    from app.texts import texts_for

    known: set[tuple[str, str | None, Options]] = set()
    for shelf in shelves:
        options = replace(shelf.options, app_url=shelf.options.app_url or _ANY_PAGE)
        robot = Robot(shelf.courses, texts_for("en"), options)
        for course, starts in shelf.starts().values():
            for element, course_id in starts.items():
                route = (shelf.path(course), element, options)
                if route not in known:
                    known.add(route)
                    yield shelf, robot, course_id


def _failure(shelf: _Shelf, failure: Failure, course_id: str, seed: int) -> Problem:
    course = shelf.courses.courses[failure.course_id]
    element = course.elements.get(failure.element_id)
    text = f"walk {seed} of course {course_id!r} fails: {failure.text}; its steps: {failure.path}"
    remedy = f"repeat it with --walks 1 --seed {seed}"
    return Problem(shelf.path(course), element.line if element else 0, 0, failure.element_id, text, remedy)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how much is done, on a terminal; yields what is to be called after each part."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
