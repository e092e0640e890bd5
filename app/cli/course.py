"""``flotilla course``: move courses between files and the database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.database import (
    BotArgument,
    ConfigOption,
    DryRunOption,
    JsonOption,
    botname_of,
    print_json,
    read_text,
    with_store,
)
from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.store.rows import StoredCourse
    from app.store.store import Store

course = typer.Typer(
    help="Courses in the database (path: db).",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The course's id.")]


@course.command("import")
def import_(
    bot: BotArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The course file; - for standard input.")],
    course_id: Annotated[str, typer.Option("--id", help="The course's id. [default: the file's name]")] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Put a course file into the database, in place of the course with this id.

    The file is checked first; with errors in it nothing changes. Running bots notice by themselves.
    """
    from app.course.loader import elements_of

    id_ = course_id or ("" if str(file) == "-" else file.stem)
    if not id_:
        raise FlotillaError("a course from standard input needs an id; add --id ID")
    text = read_text(file)
    elements = elements_of(text, str(file))
    _warn(text, str(file))
    botname = botname_of(bot, config)

    async def work(store: Store) -> int | None:
        before = await _find(store, botname, id_)
        if not dry_run:
            await store.replace_course(botname, id_, elements, text)
        return len(before.elements) if before else None

    before = with_store(config, work)
    if json:
        counts = {"elements": len(elements), "elements_before": before}
        print_json({"bot": botname, "course": id_, "dry_run": dry_run} | counts)
        return
    done = "would import" if dry_run else "imported"
    print(f"{done} {id_!r}: {_count(len(elements))}" + (f" in place of {before}" if before is not None else ""))
    if before is None:
        print(f"list it in the bot's courses.yml if it is not there: {id_}: {{path: db}}")


@course.command()
def export(
    bot: BotArgument,
    course_id: IdArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.")] = None,
    config: ConfigOption = None,
) -> None:
    """Print a course of the database as a course file, or write it."""
    botname = botname_of(bot, config)
    found = with_store(config, lambda store: _existing(store, botname, course_id))
    text = text_of(found)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FlotillaError(f"{output}: cannot be written: {error.strerror}; name another file") from None
    print(f"wrote {output}: {_count(len(found.elements))}")


@course.command()
def remove(
    bot: BotArgument,
    course_id: IdArgument,
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Delete a course of the database; what learners did in it stays."""
    botname = botname_of(bot, config)

    async def work(store: Store) -> int:
        found = await _existing(store, botname, course_id)
        if not dry_run:
            await store.delete_course(botname, course_id)
        return len(found.elements)

    elements = with_store(config, work)
    if json:
        print_json({"bot": botname, "course": course_id, "dry_run": dry_run, "elements_before": elements})
    else:
        print(f"{'would remove' if dry_run else 'removed'} {course_id!r}: {_count(elements)}")


@course.command("list")
def list_(bot: BotArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Tell which courses of a bot are in the database."""
    botname = botname_of(bot, config)
    found = with_store(config, lambda store: store.courses(botname))
    if json:
        print_json([{"course": one.course_id, "elements": len(one.elements)} for one in found])
        return
    for one in found:
        print(f"{one.course_id}\t{_count(len(one.elements))}")


def text_of(stored: StoredCourse) -> str:
    """Return a course file with what bots read of a stored course.

    It is the text that was imported, with its comments, unless somebody has changed the elements since.
    """
    from app.course.stored import to_yaml

    elements = _bodies(stored)
    if stored.yaml and (not stored.elements or _bodies_of_text(stored.yaml) == list(elements.items())):
        return stored.yaml if stored.yaml.endswith("\n") else f"{stored.yaml}\n"
    return to_yaml(stored.elements)


def _bodies(stored: StoredCourse) -> dict[str, Any]:
    from json import loads

    bodies: dict[str, Any] = {}
    for element_id, text in stored.elements:
        try:
            bodies[element_id] = loads(text)["element_data"]
        except (ValueError, KeyError, TypeError):
            text = 'is not {"element_data": ...}; repair the row, or import the course anew'
            raise FlotillaError(f"database: {stored.course_id}/{element_id}: {text}") from None
    return bodies


def _bodies_of_text(text: str) -> list[tuple[str, Any]] | None:
    from json import loads

    from app.course.loader import elements_of
    from app.errors import InputError

    try:
        return [(key, loads(json)["element_data"]) for key, _, json in elements_of(text, "database")]
    except InputError:
        return None


def _warn(text: str, file: str) -> None:
    from app.course.loader import load_course

    for problem in load_course(text, file)[1]:
        print(f"{problem.severity}: {problem}", file=sys.stderr)


async def _find(store: Store, botname: str, course_id: str) -> StoredCourse | None:
    return next((one for one in await store.courses(botname) if one.course_id == course_id), None)


async def _existing(store: Store, botname: str, course_id: str) -> StoredCourse:
    from app.course.report import nearest

    known = {one.course_id: one for one in await store.courses(botname)}
    if course_id not in known:
        remedy = nearest(course_id, known, "see `flotilla course list`")
        raise FlotillaError(f"the database has no course {course_id!r} of bot {botname!r}; {remedy}")
    return known[course_id]


def _count(elements: int) -> str:
    return f"{elements} element{'' if elements == 1 else 's'}"
