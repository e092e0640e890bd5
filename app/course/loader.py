"""From course files to courses: text in, values and problems out.

Files are named by their path from the project root (``scripts/school/courses.yml``); the caller says how such a path is
read. Nothing here raises on bad input: an error of a file is a ``Problem``, and the other files are read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from app.course.course import Course, Courses, Entry
from app.course.document import Node, Scalar, Table, parse
from app.course.element import AnyElement, Dialog, ParseMode, Revision, ScoredElement, Section, Test
from app.course.fields import Fields, Target
from app.course.grammar import read_element
from app.course.graph import check_floods
from app.course.prompt import variables
from app.course.proof import check_markup, check_text
from app.course.report import Place, Report, has_errors, nearest, quote
from app.course.stored import STORED_FILE, Stored, json_of, read_rows
from app.errors import InputError, Problem, Severity

ROOT = "scripts/"
LIST_FILE = "courses.yml"
EXTENSION = "ext_courses"
DATABASE = "db"
DEFAULT = "default"

ENTRY_KEYS = (
    "path", "element", "title", "restricted", "decline_text", "ban_enabled", "ban_text", "message_limit", "daily_limit",
    "token",
)  # fmt: skip
UNCHECKED = "read when the bot runs"
"""Ends the remedies of warnings that the database was not asked."""
_LINK_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_MAX_LINK_CHARACTERS = 64

Read = Callable[[str], str]
"""Returns the text of a file; raises ``OSError`` or ``UnicodeDecodeError``."""

Parse = Callable[[str, str], tuple[Course, list[Problem]]]
"""What ``load_course`` does; a caller may put a cache in between."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an entry of a list stands: the file, and the place of each of its keys."""

    file: str
    course_id: str
    keys: Mapping[str, Place]

    def problem(self, key: str, text: str, remedy: str = "", severity: Severity = "error") -> Problem:
        """Return a problem of one of the entry's keys."""
        place = self.keys[key]
        return Problem(self.file, place.line, place.column, f"{self.course_id}/{key}", text, remedy, severity)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of courses, and where each entry comes from.

    ``extension`` is the path under ``ext_courses`` and where it stands. ``is_complete`` is false when something of the
    list could not be read.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    extension: tuple[str, Source] | None = None
    is_complete: bool = True


def load_course(text: str, file: str) -> tuple[Course, list[Problem]]:
    """Read a course file. A course whose problems include an error is not whole: do not run it."""
    report = Report(file)
    return course_of(parse(text, report), report)


def course_of(root: Node | None, report: Report) -> tuple[Course, list[Problem]]:
    """Read a course from the mapping of its elements, ``None`` when that is broken; problems so far are included."""
    targets: list[Target] = []
    elements: dict[str, AnyElement] = {}
    for element_id, (node, place) in _entries(root, report, "element", "Intro_1: {type: message, text: ...}").items():
        element = read_element(element_id, node, place, report, targets)
        if element is not None and isinstance(node, Table):
            elements[element_id] = element
            check_markup(element, node, report)
    for target in targets:
        if isinstance(root, Table) and target.element_id not in root.items:
            remedy = report.nearest(target.element_id, root.items, "use the id of an element of this file")
            report.error(target.place, target.where, f"there is no element {quote(target.element_id)}", remedy)
    if elements and all(isinstance(element, Section) for element in elements.values()):
        report.warning(Place(1, 1), "", "has only sections, learners see nothing", "add a message")
    if isinstance(root, Table):
        _check_prefixes(elements, root, report)
        _check_variables(elements, root, report)
        places = {key: root.keys.get(key, root.place) for key in elements}
        report.problems.extend(check_floods(Course(elements, report.file), places.__getitem__))
    return Course(elements, report.file), sorted(report.problems, key=_in_file_order)


def _check_prefixes(elements: Mapping[str, AnyElement], root: Table, report: Report) -> None:
    """Warn about every test and revision that has nothing to count or to repeat."""
    scored = [key for key, element in elements.items() if isinstance(element, ScoredElement)]
    for element in elements.values():
        node = root.items[element.id]
        if not isinstance(element, Test | Revision) or not isinstance(node, Table) or not element.prefix:
            continue
        if not any(key.startswith(element.prefix) for key in scored):
            text = f"no quiz, input or multi_choice has an id that begins with {quote(element.prefix)}"
            report.warning(
                node.keys.get("prefix", node.place), f"{element.id}/prefix", text, "use the beginning of their ids"
            )


def _check_variables(elements: Mapping[str, AnyElement], root: Table, report: Report) -> None:
    """Warn about every ``{{name}}`` of a prompt that stands for no element."""
    for element in elements.values():
        node = root.items[element.id]
        if not isinstance(element, Dialog) or element.conversation or not isinstance(node, Table):
            continue
        for name in dict.fromkeys(variable.element_id for variable in variables(element.prompt, root.items)):
            if name not in root.items:
                remedy = report.nearest(name, root.items, "use the id of an element of this file")
                text = f"there is no element {quote(name)}, its variable stays empty"
                report.warning(node.keys.get("prompt", node.place), f"{element.id}/prompt", text, remedy)


def load_list(text: str, file: str) -> tuple[Listing, list[Problem]]:
    """Read a list of courses (``courses.yml``). Paths stay as they are written there."""
    report = Report(file)
    entries: dict[str, Entry] = {}
    sources: dict[str, Source] = {}
    extension = None
    for course_id, (node, place) in _entries(
        parse(text, report), report, "course", "default: {path: hello.yml}"
    ).items():
        if not isinstance(node, Table):
            report.error(place, course_id, "must be a mapping", "write '{path: FILE}'")
            continue
        fields = Fields(replace(node, place=place), course_id, report)
        source = Source(file, course_id, node.keys)
        if course_id == EXTENSION:
            extension = _extension(fields, source)
        elif (entry := _entry(course_id, fields)) is not None:
            entries[course_id], sources[course_id] = entry, source
    listing = Listing(entries, sources, extension, not has_errors(report.problems))
    return listing, sorted(report.problems, key=_in_file_order)


def load_lists(read: Read, folder: str, stored: Mapping[str, Stored] | None = None) -> tuple[Listing, list[Problem]]:
    """Read the list of a bot's folder and its extension; the entries' paths come out as paths from the project root.

    ``stored`` are the bot's courses in the database, ``None`` when that cannot be asked.
    """
    try:
        file = resolve(LIST_FILE, folder)
    except ValueError as error:
        return Listing(is_complete=False), [Problem(ROOT, 0, 0, "", str(error), "correct the bot's folder")]
    text = _read(read, file)
    if isinstance(text, Problem):
        return Listing(is_complete=False), [text]
    main, problems = load_list(text, file)
    extended, more = _extended(main, read, folder, stored)
    listing, wrong = _resolved(extended, folder)
    return listing, [*problems, *more, *wrong, *_check_default(listing, file)]


def load_files(
    read: Read,
    listing: Listing,
    parse_course: Parse = load_course,
    stored: Mapping[str, Stored] | None = None,
) -> tuple[dict[str, Course], list[Problem]]:
    """Read the courses of a list from ``load_lists``, each file once; a course with errors is left out.

    ``stored`` are the bot's courses in the database; without it those of the list are left out with a warning.
    """
    files: dict[str, Course | None] = {}
    courses: dict[str, Course] = {}
    problems: list[Problem] = []
    for course_id, entry in listing.entries.items():
        source = listing.sources[course_id]
        if entry.path == DATABASE:
            course, found = _from_database(source, stored)
            problems += found
        elif entry.path not in files:
            course, found = load_file(read, entry.path, source, parse_course)
            files[entry.path] = course
            problems += found
        else:
            course = files[entry.path]
        if course is not None:
            courses[course_id] = course
            problems += _check_start(entry, course, source)
    return courses, problems


def _from_database(source: Source, stored: Mapping[str, Stored] | None) -> tuple[Course | None, list[Problem]]:
    if stored is None:
        return None, [
            source.problem("path", "a course of the database is not checked", f"it is {UNCHECKED}", "warning")
        ]
    if source.course_id not in stored:
        remedy = nearest(source.course_id, stored, "import it, or remove it from the list of courses")
        text = "there is no such course"
        return None, [Problem(STORED_FILE, 0, 0, source.course_id, text, remedy)]
    course, problems = load_stored(source.course_id, stored[source.course_id])
    return None if has_errors(problems) else course, problems


def load_stored(course_id: str, stored: Stored) -> tuple[Course, list[Problem]]:
    """Read a course of the database. A course whose problems include an error is not whole: do not run it.

    Problems have the file ``database`` and a ``where`` that begins with the course id. Without elements the course's
    YAML text is read, if it has one.
    """
    report = Report(STORED_FILE)
    root = parse(stored.yaml, report) if stored.yaml and not stored.elements else read_rows(stored.elements, report)
    course, problems = course_of(root, report)
    return course, [replace(problem, where=f"{course_id}/{problem.where}".rstrip("/")) for problem in problems]


def elements_of(text: str, file: str) -> list[tuple[str, str, str]]:
    """Return the id, type and JSON text of each element of a course file, as the database stores them, in order.

    Raises ``InputError`` when the course has errors.
    """
    course, problems = load_course(text, file)
    if has_errors(problems):
        raise InputError([problem for problem in problems if problem.severity == "error"])
    return [(element.id, element.body["type"].strip(), json_of(element)) for element in course.elements.values()]


def load_file(
    read: Read, file: str, source: Source | None = None, parse_course: Parse = load_course
) -> tuple[Course | None, list[Problem]]:
    """Read a course file that the entry at ``source`` names; ``None`` when it cannot be read or has errors."""
    text = _read(read, file, source)
    if isinstance(text, Problem):
        return None, [text]
    course, problems = parse_course(text, file)
    return None if has_errors(problems) else course, problems


def load_courses(read: Read, folder: str, stored: Mapping[str, Stored] | None = None) -> tuple[Courses, list[Problem]]:
    """Read all courses of a bot's folder (``""`` is ``scripts/`` itself)."""
    listing, problems = load_lists(read, folder, stored)
    courses, more = load_files(read, listing, stored=stored)
    return Courses(listing.entries, courses), problems + more


def resolve(path: str, folder: str, *, from_root: bool = True) -> str:
    """Return a path of a list as a path from the project root (course-format.md, section 1.3).

    With ``from_root`` a path that begins with ``scripts/`` is one already. Raises ``ValueError`` when the path leads
    out of ``scripts/``.
    """
    inside = path.removeprefix(ROOT) if from_root and path.startswith(ROOT) else f"{folder.strip('/')}/{path}"
    parts: list[str] = []
    for part in inside.split("/"):
        if part == "..":
            if not parts:
                raise ValueError(f"{quote(path)} leads out of {ROOT}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if path.startswith("/") or "\\" in path:
        raise ValueError(f"{quote(path)} leads out of {ROOT}")
    return ROOT + "/".join(parts)


def _entries(root: Node | None, report: Report, what: str, example: str) -> dict[str, tuple[Node, Place]]:
    """Return the entries of a file's top level, each with the place of its key."""
    if isinstance(root, Table) and root.items:
        return {key: (node, root.keys[key]) for key, node in root.items.items()}
    if root is None and has_errors(report.problems):
        return {}
    if root is None or isinstance(root, Table) or (isinstance(root, Scalar) and root.value is None):
        report.error(Place(), "", f"has no {what}", f"write for example '{example}'")
    else:
        report.error(root.place, "", f"must be a mapping with an id for each {what}", f"write for example '{example}'")
    return {}


def _entry(course_id: str, fields: Fields) -> Entry | None:
    fields.check_keys(ENTRY_KEYS)
    if not _fits_link(course_id):
        fields.warning("", *_unfit(course_id))
    path = fields.required_text("path").strip()
    entry = Entry(
        course_id, path,
        element=fields.text("element"), title=(fields.text("title") or "").strip() or None,
        restricted=bool(fields.flag("restricted")), decline_text=fields.text("decline_text"),
        ban_enabled=bool(fields.flag("ban_enabled")), ban_text=fields.text("ban_text"),
        message_limit=fields.count("message_limit"), daily_limit=fields.count("daily_limit"),
    )  # fmt: skip
    for key in ("decline_text", "ban_text"):
        text = fields.table.items.get(key)
        if isinstance(text, Scalar):
            check_text(text, ParseMode.MARKDOWN, f"{course_id}/{key}", fields.report)
    if entry.message_limit and not entry.ban_enabled:
        fields.warning("message_limit", "has no effect without 'ban_enabled'", "add 'ban_enabled: yes'")
    return entry if path else None


def _fits_link(course_id: str) -> bool:
    fits = 0 < len(course_id) <= _MAX_LINK_CHARACTERS and _LINK_CHARACTERS.issuperset(course_id)
    return fits and "__" not in course_id


def _unfit(course_id: str) -> tuple[str, str]:
    remedy = f"use at most {_MAX_LINK_CHARACTERS} of the characters A-Z a-z 0-9 _ - without '__'"
    return f"the course id {quote(course_id)} does not fit into a start link", remedy


def _extension(fields: Fields, source: Source) -> tuple[str, Source] | None:
    fields.check_keys(("path",))
    path = fields.required_text("path").strip()
    return (path, source) if path else None


def _extended(
    main: Listing, read: Read, folder: str, stored: Mapping[str, Stored] | None
) -> tuple[Listing, list[Problem]]:
    """Return the list with the entries of its extension, which replace those of the same id completely."""
    if main.extension is None:
        return main, []
    path, source = main.extension
    if path == DATABASE:
        return _extended_by_database(main, source, stored)
    file = _resolve(path, folder, source, from_root=False)
    text = file if isinstance(file, Problem) else _read(read, file, source)
    if isinstance(file, Problem) or isinstance(text, Problem):
        return replace(main, is_complete=False), [problem for problem in (text,) if isinstance(problem, Problem)]
    more, problems = load_list(text, file)
    return _replaced(main, more), problems


def _replaced(main: Listing, more: Listing) -> Listing:
    return Listing(
        {**main.entries, **more.entries},
        {**main.sources, **more.sources},
        is_complete=main.is_complete and more.is_complete,
    )


def _extended_by_database(
    main: Listing, source: Source, stored: Mapping[str, Stored] | None
) -> tuple[Listing, list[Problem]]:
    if stored is None:
        problem = source.problem(
            "path", "the courses of the database are not checked", f"they are {UNCHECKED}", "warning"
        )
        return replace(main, is_complete=False), [problem]
    more = Listing(
        {course_id: Entry(course_id, DATABASE) for course_id in stored},
        {course_id: replace(source, course_id=course_id) for course_id in stored},
    )
    unfit = [course_id for course_id in stored if not _fits_link(course_id)]
    problems = [Problem(STORED_FILE, 0, 0, course_id, *_unfit(course_id), "warning") for course_id in unfit]
    return _replaced(main, more), problems


def _resolved(listing: Listing, folder: str) -> tuple[Listing, list[Problem]]:
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for course_id, entry in listing.entries.items():
        file = DATABASE if entry.path == DATABASE else _resolve(entry.path, folder, listing.sources[course_id])
        if isinstance(file, Problem):
            problems.append(file)
        else:
            entries[course_id] = replace(entry, path=file)
    return replace(listing, entries=entries, is_complete=listing.is_complete and not problems), problems


def _resolve(path: str, folder: str, source: Source, *, from_root: bool = True) -> str | Problem:
    try:
        return resolve(path, folder, from_root=from_root)
    except ValueError as error:
        return source.problem("path", str(error), "name a file inside it")


def _read(read: Read, file: str, source: Source | None = None) -> str | Problem:
    """Read a file; a missing one is a problem of the entry that names it."""
    try:
        return read(file)
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        return Problem(file, line, 0, "", "is not UTF-8", "save the file as UTF-8")
    except OSError as error:
        reason = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
        )
        if source is None:
            return Problem(file, 0, 0, "", reason, "create it or correct the bot's folder")
        return source.problem("path", f"{file} {reason}", "create it or correct the path")


def _check_start(entry: Entry, course: Course, source: Source) -> list[Problem]:
    if entry.element is None or entry.element in course.elements:
        return []
    remedy = nearest(entry.element, course.elements, "the course starts at its first element")
    place = "the course in the database" if entry.path == DATABASE else entry.path
    return [source.problem("element", f"{place} has no element {quote(entry.element)}", remedy, "warning")]


def _check_default(listing: Listing, file: str) -> list[Problem]:
    if DEFAULT in listing.entries or not listing.is_complete:
        return []
    text = f"has no course {DEFAULT!r}, which /start without a link opens"
    return [Problem(file, 0, 0, "", text, f"add '{DEFAULT}: {{path: FILE}}'", "warning")]


def _in_file_order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column
