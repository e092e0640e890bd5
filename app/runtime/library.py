"""The courses of a bot, read from its folder and the database, and again when something changes there."""

from __future__ import annotations

import errno
from asyncio import Lock, to_thread
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from app.course.course import Course, Courses
from app.course.document import MAX_CHARACTERS
from app.course.loader import ROOT, UNCHECKED, Listing, load_course, load_files, load_lists
from app.course.stored import STORED_FILE, Stored
from app.errors import Problem
from app.observe.logs import get_log
from app.store.errors import StoreUnavailable
from app.store.rows import StoredCourse

_MAX_BYTES = 4 * MAX_CHARACTERS
"""No UTF-8 file that is larger can be short enough for the loader."""

_MAX_CACHED = 500

Stamp = tuple[int, int, int] | None
"""Time, size and inode of a file; ``None`` when there is none."""

log = get_log(__name__)

# Bots of one process often share course files, and most files are unchanged when one changes.
_load_course = lru_cache(maxsize=_MAX_CACHED)(load_course)


class Library:
    """The courses of the bot whose folder is ``folder`` (``""`` or ``school/``) below ``scripts``.

    ``courses`` is what learners get: of a course that has errors, the last version without. ``problems`` is what was
    wrong at the last reading, with the paths as they are on this machine. ``files`` are the files that were read or
    missed. Until the first ``refresh`` nothing is known of the database. Reading files never raises.
    """

    def __init__(self, scripts: Path, folder: str) -> None:
        self.scripts = scripts
        self._folder = folder
        self._stamps: dict[str, Stamp] = {}
        self._stored: Mapping[str, Stored] | None = None
        self._is_behind = False
        self._reading = Lock()
        self.courses = Courses()
        self.problems: list[Problem] = []
        self._told: set[Problem] = set()
        self.reload()

    @property
    def folder(self) -> Path:
        """The bot's folder."""
        return self.scripts / self._folder

    @property
    def files(self) -> list[Path]:
        """The files that the courses were read from, missing ones included."""
        return [self._path(file) for file in self._stamps]

    @property
    def awaits_database(self) -> bool:
        """Whether there are courses of the database in the list, and the database was not asked for them yet."""
        return self._stored is None and any(is_unchecked(problem) for problem in self.problems)

    def database_changed(self) -> None:
        """Note that courses in the database may be others now."""
        self._is_behind = True

    def changed(self) -> bool:
        """Tell whether there is something to read again; costs one ``stat`` for each file."""
        return self._is_behind or self._files_changed()

    async def refresh(self, stored_courses: Callable[[], Awaitable[Sequence[StoredCourse]]]) -> bool:
        """Read what changed in files and in the database; tell whether the courses that learners get are others now.

        Raises ``StoreUnavailable``: then the files alone were read, what is known of the database stays, and
        ``changed`` says so until it is read.
        """
        async with self._reading:
            self._is_behind = False
            try:
                stored = {one.course_id: Stored(one.elements, one.yaml) for one in await stored_courses()}
            except StoreUnavailable:
                self._is_behind = True
                if self._files_changed():
                    await to_thread(self.reload)
                raise
            is_news = self.awaits_database or stored != (self._stored or {})
            self._stored = stored
            return (is_news or self._files_changed()) and await to_thread(self.reload)

    def reload(self) -> bool:
        """Read all files again; tell whether the courses that learners get are others now."""
        before, self._stamps = self.courses, {}
        listing, problems = load_lists(self._read, self._folder, self._stored)
        read, more = load_files(self._read, listing, _load_course, self._stored)
        self.courses = _merged(before, listing, read)
        self.problems = [self._shown(problem) for problem in problems + more]
        return self.courses != before

    def report(self, bot: str, *, with_errors: bool = False) -> None:
        """Write into the log of this bot what is wrong since the last report, ``with_errors`` also all that still is.

        That the database was not asked is not wrong, and a warning that only moved in its file is no news.
        """
        for problem in self.problems:
            is_error = problem.severity == "error"
            if not is_unchecked(problem) and (_placeless(problem) not in self._told or (is_error and with_errors)):
                level = log.error if is_error else log.warning
                level(str(problem), bot=bot)
        self._told = {_placeless(problem) for problem in self.problems}

    def _files_changed(self) -> bool:
        return any(stamp_of(self._path(file)) != stamp for file, stamp in self._stamps.items())

    def _read(self, file: str) -> str:
        self._stamps[file] = stamp_of(self._path(file))
        return read_text(self.scripts, file)

    def _path(self, file: str) -> Path:
        return path_of(self.scripts, file)

    def _shown(self, problem: Problem) -> Problem:
        return problem if problem.file == STORED_FILE else replace(problem, file=str(self._path(problem.file)))


def _placeless(problem: Problem) -> Problem:
    return replace(problem, line=0, column=0)


def is_unchecked(problem: Problem) -> bool:
    """Tell whether the problem only says that the database was not asked."""
    return problem.remedy.endswith(UNCHECKED)


def path_of(scripts: Path, file: str) -> Path:
    """Return where a file is that the loader names by its path from the project root."""
    return scripts / file.removeprefix(ROOT)


def read_text(scripts: Path, file: str) -> str:
    """Read a file that the loader names.

    Raises ``UnicodeDecodeError`` and ``OSError``, the latter also for what is no file, too large, or a link that leads
    out of ``scripts``.
    """
    path = path_of(scripts, file)
    if path.exists() and not path.resolve().is_relative_to(scripts.resolve()):
        raise OSError(errno.EACCES, f"it is a link that leads out of {scripts}")
    if path.exists() and not path.is_file():
        raise OSError(errno.EISDIR, "it is not a file")
    with path.open("rb") as file_:
        content = file_.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {_MAX_BYTES} bytes")
    return content.decode()


def _merged(before: Courses, listing: Listing, read: dict[str, Course]) -> Courses:
    """Return the new courses, and the last good ones in place of what could not be read."""
    entries = dict(listing.entries) if listing.is_complete else {**before.entries, **listing.entries}
    good = {course_id: read.get(course_id) or before.courses.get(course_id) for course_id in entries}
    return Courses(entries, {course_id: course for course_id, course in good.items() if course is not None})


def stamp_of(path: Path) -> Stamp:
    """Return what changes with the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
