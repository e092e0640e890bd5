"""``flotilla participants``: who may take restricted courses."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.database import (
    BotArgument,
    ConfigOption,
    DryRunOption,
    JsonOption,
    bot_in,
    botname_of,
    print_json,
    read_text,
    with_store,
)
from app.errors import FlotillaError, InputError, Problem

if TYPE_CHECKING:
    from app.config.fleet import Bot, Fleet
    from app.store.rows import Participant
    from app.store.store import Store

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}|[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_COLUMNS = ("username", "chat_id", "course")

participants = typer.Typer(
    help="Who may take restricted courses.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CourseArgument = Annotated[str, typer.Argument(metavar="[COURSE]", help="The course's id.")]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAMES]...", help="Usernames (@ann or ann) or chat ids (numbers).")
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", help="CSV with a column username or chat_id, perhaps course; or one name per line; - for input."
    ),
]


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """Somebody to be a participant: a username without ``@``, or a chat id in digits."""

    course: str
    name: str


@participants.command()
def add(
    bot: BotArgument,
    course: CourseArgument = "",
    names: NamesArgument = None,
    file: FileOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Let people take a restricted course."""
    people = _people(course, names or [], file)
    if wrong := [repr(person.name) for person in people if not _NAME.fullmatch(person.name)]:
        if len(wrong) == 1:
            raise FlotillaError(f"{wrong[0]} is not a username; write it like @ann_smith, or the person's chat id")
        are = f"{', '.join(wrong)} are no usernames"
        raise FlotillaError(f"{are}; write them like @ann_smith, or the people's chat ids")
    known_bot = bot_in(config, bot)
    botname = known_bot[1].bot_name if known_bot else bot
    if known_bot is not None:
        _warn(*known_bot, list(dict.fromkeys(person.course for person in people)))

    async def work(store: Store) -> list[Person]:
        known = _names_of(await store.participants(botname))
        new = [person for person in people if person not in known]
        if not dry_run:
            for course_id, group in _by_course(new):
                await store.add_participants(botname, course_id, group)
        return new

    new = with_store(config, work)
    if json:
        print_json({"bot": botname, "dry_run": dry_run, "added": _plain(new), "known": len(people) - len(new)})
    else:
        _print("+", new)
        print(f"{'would add' if dry_run else 'added'} {len(new)}, {len(people) - len(new)} known already")


@participants.command()
def remove(
    bot: BotArgument,
    course: CourseArgument = "",
    names: NamesArgument = None,
    file: FileOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Take the right to a restricted course from people.

    Rows of the old program, which counted for every bot, go too.
    """
    people = _people(course, names or [], file)
    botname = botname_of(bot, config)

    async def work(store: Store) -> list[Person]:
        known = _names_of(await store.participants(botname))
        found = [person for person in people if person in known]
        if not dry_run:
            for course_id, group in _by_course(found):
                await store.remove_participants(botname, course_id, group)
        return found

    found = with_store(config, work)
    if json:
        print_json({"bot": botname, "dry_run": dry_run, "removed": _plain(found), "unknown": len(people) - len(found)})
    else:
        _print("-", found)
        print(f"{'would remove' if dry_run else 'removed'} {len(found)}, {len(people) - len(found)} not there")


@participants.command("list")
def list_(bot: BotArgument, course: CourseArgument = "", config: ConfigOption = None, json: JsonOption = False) -> None:
    """Tell who may take the restricted courses, or this one."""
    from dataclasses import asdict

    botname = botname_of(bot, config)
    found = with_store(config, lambda store: store.participants(botname, course or None))
    if json:
        print_json([asdict(participant) for participant in found])
        return
    for participant in found:
        person = f"@{participant.username}" if participant.username else ""
        number = str(participant.chat_id) if participant.chat_id is not None else ""
        print(f"{participant.course_id}\t{person}\t{number}")


def read_people(text: str, file: str, course: str) -> list[Person]:
    """Return the people of a CSV file, each once; ``course`` is the one of rows that name none.

    Raises ``InputError`` with every line that is wrong.
    """
    problems: list[Problem] = []
    people = list(dict.fromkeys(_rows(text, file, course, problems)))
    if problems:
        raise InputError(problems)
    return people


def _rows(text: str, file: str, course: str, problems: list[Problem]) -> Iterator[Person]:
    import csv

    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count))
    columns: list[str] | None = None
    for row in _read(reader, file, problems):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if columns is None:
            columns, is_header = _header(cells)
            if not {"username", "chat_id"} & set(columns):
                remedy = "begin with a line like 'username,course', or write one name per line"
                problems.append(Problem(file, reader.line_num, 0, "", "has no column username or chat_id", remedy))
                return
            if is_header:
                continue
        found = dict(zip(columns, cells, strict=False))
        person = Person(found.get("course") or course, (found.get("chat_id") or found.get("username", "")).lstrip("@"))
        if problem := _flaw(person, found.get("chat_id", "")):
            problems.append(Problem(file, reader.line_num, 0, "", *problem))
        else:
            yield person


def _read(reader: Any, file: str, problems: list[Problem]) -> Iterator[list[str]]:
    import csv

    try:
        yield from reader
    except csv.Error as error:
        remedy = "look for a quote that is not closed"
        problems.append(Problem(file, reader.line_num, 0, "", f"cannot be read: {error}", remedy))


def _header(cells: Sequence[str]) -> tuple[list[str], bool]:
    """Return the names of the columns, and whether this line is where they stand: one column needs no header."""
    names = [cell.lower() for cell in cells]
    if set(names) & set(_COLUMNS):
        return names, True
    return (["username"] if len([cell for cell in cells if cell]) == 1 else names), False


def _flaw(person: Person, chat_id: str) -> tuple[str, str] | None:
    if chat_id and not _NUMBER.fullmatch(chat_id):
        return f"{chat_id!r} is not a chat id", "write the number that Telegram gave this person"
    if not _NAME.fullmatch(person.name):
        return f"{person.name!r} is not a username", "write it like @ann_smith, or the person's chat id"
    if not person.course:
        return "names no course", "name it after the bot, or add a column 'course'"
    return None


def _people(course: str, names: Sequence[str], file: Path | None) -> list[Person]:
    if not names and file is None:
        raise FlotillaError("nobody is named; write `BOT COURSE NAMES...`, or --file with a list")
    listed = read_people(read_text(file), str(file), course) if file is not None else []
    return list(dict.fromkeys([Person(course, name.strip().lstrip("@")) for name in names] + listed))


def _warn(fleet: Fleet, bot: Bot, courses: Sequence[str]) -> None:
    """Tell of courses for which a participant makes no difference, as far as the files tell."""
    from app.course.loader import LIST_FILE, load_lists
    from app.course.report import nearest
    from app.runtime.library import read_text as read_course

    listing, _ = load_lists(lambda file: read_course(fleet.scripts, file), bot.folder)
    file = fleet.scripts / bot.folder / LIST_FILE
    for course in courses:
        if course not in listing.entries and listing.is_complete:
            remedy = nearest(course, listing.entries, "add it there, restricted: yes")
            print(f"warning: {file}: has no course {course!r}; {remedy}", file=sys.stderr)
        elif course in listing.entries and not listing.entries[course].restricted:
            text = "is open to everybody; add 'restricted: yes' to make it a course for participants"
            print(f"warning: {file}: {course!r} {text}", file=sys.stderr)


def _names_of(known: Sequence[Participant]) -> set[Person]:
    """Return everything by which these participants may be named."""
    usernames = {Person(one.course_id, one.username) for one in known if one.username is not None}
    return usernames | {Person(one.course_id, str(one.chat_id)) for one in known if one.chat_id is not None}


def _by_course(people: Sequence[Person]) -> Iterator[tuple[str, list[str]]]:
    for course in dict.fromkeys(person.course for person in people):
        yield course, [person.name for person in people if person.course == course]


def _plain(people: Sequence[Person]) -> list[dict[str, str]]:
    return [{"course": person.course, "name": person.name} for person in people]


def _print(sign: str, people: Sequence[Person]) -> None:
    for person in people:
        print(f"{sign} {person.course}\t{person.name}")
