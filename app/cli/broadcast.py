"""``flotilla broadcast``: one message to many learners, sent by the running bot."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

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
from app.errors import FlotillaError, InputError, Problem

if TYPE_CHECKING:
    from app.store.broadcast import Progress, Segment
    from app.store.store import Store

LOOK_SECONDS = 0.5
"""How often progress is looked at."""

SEGMENTS = "all, active:7d, finished:COURSE, unfinished:COURSE, tag:NAME, or a CSV file of chat ids"

_CHAT_ID = re.compile(r"-?[0-9]{1,16}", re.ASCII)


class _Group(TyperGroup):
    """Commands that look after broadcasts; anything else after ``broadcast`` is a bot to send one with."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = ["send", *args]
        return super().resolve_command(ctx, args)


broadcast = typer.Typer(
    help="Send one message to many learners: `broadcast BOT TEXTFILE`; see, pause, resume, cancel broadcasts.",
    cls=_Group,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The broadcast's number.", min=1, max=2**53)]
WaitOption = Annotated[bool, typer.Option("--wait", help="Return when it is done, also if this is no terminal.")]


@broadcast.command()
def send(
    bot: BotArgument,
    text_file: Annotated[Path, typer.Argument(metavar="TEXTFILE", help="The text, UTF-8; - for input.")],
    course: Annotated[str | None, typer.Option(help="Only those who ever began this course.")] = None,
    segment: Annotated[str, typer.Option(help=f"Whom it is for: {SEGMENTS}.")] = "all",
    parse_mode: Annotated[str | None, typer.Option(help="How the text is marked up: Markdown or HTML.")] = None,
    photo: Annotated[str | None, typer.Option(help="Link of a picture to send above the text.")] = None,
    config: ConfigOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Send a text to the bot's learners.

    The running bot sends it, so this window may be closed; answers to learners go first.
    """
    from dataclasses import asdict

    botname = botname_of(bot, config)
    method, params = message_of(read_text(text_file), str(text_file), parse_mode, photo)
    chosen = segment_of(segment, course)
    words = f"{segment}, course {course}" if course else segment

    async def work(store: Store) -> int | dict[str, Any]:
        if dry_run:
            return asdict(await store.broadcasts.audience(botname, chosen))
        return await store.broadcasts.create(botname, words, chosen, method, params)

    made = with_store(config, work)
    if isinstance(made, dict):
        _tell_audience({"bot": botname, "dry_run": True, "audience": words, **made}, as_json=json)
        return
    _follow(made, config, wait=wait or (sys.stdout.isatty() and not json), as_json=json)


@broadcast.command("list")
def list_(
    bot: Annotated[str | None, typer.Argument(metavar="[BOT]", help="Only those of this bot.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the broadcasts, the newest first."""
    botname = botname_of(bot, config) if bot else None
    found = with_store(config, lambda store: store.broadcasts.progress(botname=botname))
    if json:
        print_json([_plain(one) for one in found])
        return
    for one in found:
        print(f"{one.broadcast_id}\t{one.botname}\t{one.created_at:%Y-%m-%d %H:%M}\t{_line(one)}\t{one.audience}")


@broadcast.command()
def status(
    broadcast_id: IdArgument, config: ConfigOption = None, wait: WaitOption = False, json: JsonOption = False
) -> None:
    """Tell how far a broadcast is."""
    _follow(broadcast_id, config, wait=wait, as_json=json)


@broadcast.command()
def pause(broadcast_id: IdArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Stop a broadcast for now; a few messages that are on their way still arrive."""
    _change(broadcast_id, "paused", ("running",), config, as_json=json)


@broadcast.command()
def resume(broadcast_id: IdArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Go on with a paused broadcast."""
    _change(broadcast_id, "running", ("paused",), config, as_json=json)


@broadcast.command()
def cancel(broadcast_id: IdArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """End a broadcast for good; what was sent stays."""
    _change(broadcast_id, "cancelled", ("running", "paused"), config, as_json=json)


def _tell_audience(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    reached = report["chats"] - report["blocked"]
    print(f"would send to {reached} learners ({report['audience']}); {report['blocked']} more have blocked the bot")


def message_of(text: str, file: str, mode: str | None, photo: str | None) -> tuple[str, dict[str, Any]]:
    """Return method and parameters of the message, as the outbox knows them.

    Raises ``FlotillaError`` when Telegram would refuse it, or when it would take more than one message.
    """
    from app.course.element import ParseMode
    from app.course.markup import CAPTION_LIMIT, TEXT_LIMIT, MarkupError, parse, utf16_length

    modes = {known.value.lower(): known for known in ParseMode}
    if mode is not None and mode.lower() not in modes:
        raise FlotillaError(f"--parse-mode: {mode!r} is not known; write {' or '.join(ParseMode)}, or leave it out")
    chosen = modes[mode.lower()] if mode is not None else None
    text = text.strip()
    try:
        plain = parse(text, chosen).plain.strip()
    except MarkupError as error:
        raise FlotillaError(f"{file}: Telegram would refuse this {mode}: {error}; correct the markup") from None
    limit = CAPTION_LIMIT if photo else TEXT_LIMIT
    if not plain and not photo:
        raise FlotillaError(f"{file}: is empty; write the text of the message into it")
    if (length := utf16_length(plain)) > limit:
        raise FlotillaError(f"{file}: has {length} characters; {'below a photo' if photo else 'a message'} has {limit}")
    markup = {"parse_mode": chosen.value} if chosen is not None else {}
    if not photo:
        return "sendMessage", {"text": text, **markup}
    if not re.match(r"https?://[^/\s]+", photo):
        raise FlotillaError(f"--photo: {photo!r} is not a link; write it like https://example.org/picture.jpg")
    return "sendMedia", {"kind": "photo", "media": [photo], **({"caption": text, **markup} if text else {})}


def segment_of(text: str, course: str | None) -> Segment:
    """Read a segment; what is none of the known ones is a file of chat ids.

    Raises ``InputError`` with every line of the file that is wrong, and ``FlotillaError``.
    """
    from app.store.broadcast import Kind, Segment

    name, colon, value = text.partition(":")
    value = value.strip()
    match name:
        case "all" if not colon:
            return Segment(course_id=course)
        case "active" if colon:
            return Segment(Kind.ACTIVE, within=_interval(text, value), course_id=course)
        case "finished" | "unfinished" | "tag" if colon:
            if not value:
                raise FlotillaError(f"--segment: {text!r} names nothing; write it like {name}:NAME")
            return Segment(Kind(name), value, course_id=course)
    if not Path(text).is_file() and text != "-":
        raise FlotillaError(f"--segment: {text!r} is neither a segment nor a file; write {SEGMENTS}")
    return Segment(Kind.LISTED, chat_ids=read_chat_ids(read_text(Path(text)), text), course_id=course)


def _interval(text: str, value: str) -> timedelta:
    from app.course.interval import parse_interval

    try:
        found = parse_interval(value)
    except ValueError:
        found = timedelta()
    if not found:
        raise FlotillaError(f"--segment: {text!r} has no interval; write it like active:7d or active:12h")
    return found


def read_chat_ids(text: str, file: str) -> tuple[int, ...]:
    """Return the chat ids of a CSV file, each once: of its column ``chat_id``, else of its first.

    Raises ``InputError`` with every line that is wrong.
    """
    import csv

    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    header = [cell.lower() for cell in rows[0]] if rows else []
    column = header.index("chat_id") if "chat_id" in header else 0
    found: dict[int, None] = {}
    problems: list[Problem] = []
    for number, row in enumerate(rows, 1):
        cell = row[column] if len(row) > column else ""
        if _CHAT_ID.fullmatch(cell):
            found[int(cell)] = None
        elif any(row) and not (number == 1 and "chat_id" in header):
            remedy = "write the number that Telegram gave this person"
            problems.append(Problem(file, number, 0, "", f"{cell!r} is not a chat id", remedy))
    if problems:
        raise InputError(problems)
    if not found:
        raise FlotillaError(f"{file}: has no chat ids; write one per line")
    return tuple(found)


def _change(broadcast_id: int, state: str, before: tuple[str, ...], config: Path | None, *, as_json: bool) -> None:
    async def work(store: Store) -> tuple[bool, Progress]:
        is_changed = await store.broadcasts.change(broadcast_id, state, before)
        return is_changed, await _progress(store, broadcast_id)

    is_changed, now = with_store(config, work)
    if not is_changed and now.state != state:
        raise FlotillaError(f"broadcast {broadcast_id} is {now.state}; only one that is {' or '.join(before)} can be")
    _tell(now, as_json=as_json)


def _follow(broadcast_id: int, config: Path | None, *, wait: bool, as_json: bool) -> None:
    """Print how far it is; until it does not go on any more, if asked to wait."""
    import asyncio

    async def work(store: Store) -> Progress:
        with _bar() as show:
            while True:
                now = await _progress(store, broadcast_id)
                show(now)
                if not wait or now.state != "running":
                    return now
                await asyncio.sleep(LOOK_SECONDS)

    try:
        now = with_store(config, work)
    except KeyboardInterrupt:
        print(f"broadcast {broadcast_id} goes on; see `flotilla broadcast status {broadcast_id}`")
        return
    _tell(now, as_json=as_json)


def _tell(now: Progress, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(now))
    else:
        print(f"broadcast {now.broadcast_id}: {_line(now)}")


def _bar() -> Any:
    """Return a block that shows progress on a terminal, on standard error."""
    import contextlib

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    @contextlib.contextmanager
    def showing() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=None)
            yield lambda now: bar.update(task, description=_words(now), total=now.total, completed=now.done)

    return showing()


async def _progress(store: Store, broadcast_id: int) -> Progress:
    found = await store.broadcasts.progress(broadcast_id)
    if not found:
        raise FlotillaError(f"there is no broadcast {broadcast_id}; see `flotilla broadcast list`")
    return found[0]


def _words(now: Progress) -> str:
    is_idle = now.state == "running" and not now.is_served
    return "waiting: no host runs the bot" if is_idle else now.state


def _line(now: Progress) -> str:
    parts = [f"{now.sent} of {now.total} sent"]
    parts += [f"{count} {word}" for count, word in ((now.blocked, "blocked"), (now.failed, "failed")) if count]
    return f"{_words(now)}, {', '.join(parts)}"


def _plain(now: Progress) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(now), "total": now.total}
