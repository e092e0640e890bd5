"""``flotilla logs``: what the bots wrote, merged."""

from __future__ import annotations

import json as json_format
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.cli.order import PlaceOption, WhereError, is_run
from app.errors import EXIT_USAGE, FlotillaError

if TYPE_CHECKING:
    from app.cli.whereabouts import Fleets
    from app.config.fleet import Fleet
    from app.deploy.docker import Container
    from app.deploy.target import Target

TAIL = 100
"""Lines of each bot that are shown if nobody says how many, or since when."""

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class TimeError(FlotillaError):
    """A time that cannot be understood."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log: when, of which bot or service, in which container or file, and what."""

    at: datetime
    who: str
    where: str
    text: str


def logs(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl+C.")] = False,
    since: Annotated[
        str | None, typer.Option(help="How far back: 30s, 15m, 2h, 3d, or a time like 2026-11-22T21:00.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option(help=f"Lines of each at most. [default: {TAIL}, or all --since]", min=0)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each line as JSON.")] = False,
    place: PlaceOption = None,
) -> None:
    """Print the logs of bots, groups or services (without names: of all), in the order of time.

    Times are UTC. Of a `flotilla run` the logs of bots with log_file are printed; the rest is in its terminal.
    """
    from app.cli.whereabouts import fleets

    begin = moment(since, datetime.now(UTC)) if since else None
    limit = TAIL if tail is None and since is None else tail
    with fleets(config) as found:
        source = _files if is_run(found, place) else _containers
        entries, width = source(found, bots or (), begin, limit, follow)
        try:
            for text in _written(entries, width, as_json=json):
                print(text, flush=follow)
        except KeyboardInterrupt:
            sys.stdout.flush()


def moment(text: str, now: datetime) -> datetime:
    """Understand a time, or how long ago it is; without a zone it is the local one.

    Raises ``TimeError``.
    """
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    if found:
        return now - timedelta(**{UNITS[found[2]]: int(found[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise TimeError(f"{text!r} is no time; write 30s, 15m, 2h, 3d, or a time like 2026-11-22T21:00") from None


def _written(entries: Iterable[Entry], width: int, *, as_json: bool) -> Iterator[str]:
    from app.cli.lines import Lines, event_of

    lines = Lines(width, has_color=sys.stdout.isatty())
    for entry in entries:
        if as_json:
            known = event_of(entry.text) or {"event": entry.text, "timestamp": entry.at.isoformat()}
            yield json_format.dumps({"bot": entry.who, **known, "where": entry.where}, ensure_ascii=False)
        else:
            yield lines.text(entry.who, entry.text, entry.at)


# --- of containers --------------------------------------------------------------------------------------------------


def _containers(
    found: Fleets, names: Sequence[str], since: datetime | None, tail: int | None, follow: bool
) -> tuple[Iterator[Entry], int]:
    from app.deploy.compose import hosts_of
    from app.deploy.stream import Stream
    from app.deploy.target import targets

    if found.engine is None:
        raise WhereError("no Docker engine answers")
    containers = found.containers()
    known = found.others() | {container.service for container in containers}
    hosts = hosts_of(found.fleet)
    meant = targets(found.fleet, names, known - set(hosts))
    services = {target.service for target in meant}
    stream = Stream(found.engine, found.project, lambda one: not names or one.service in services)

    def lines() -> Iterator[Entry]:
        now = datetime.now(UTC)
        wanted = _filter(meant, found.fleet)
        # The engine knows no bots: where only some of a container are meant, their lines are counted here.
        is_part = any(target.bot for target in meant)
        past = stream.past(since, None if is_part else tail)
        found_lines = (entry for line in past for entry in wanted(line.container, line.line.at, line.line.text))
        yield from _last(found_lines, tail) if is_part and tail is not None else found_lines
        if follow:
            for line in stream.future(now):
                yield from wanted(line.container, line.line.at, line.line.text)

    shown = services or {container.service for container in containers}
    bots = {bot.name for service in shown for bot in hosts.get(service, ())}
    return lines(), max(map(len, shown | bots), default=0)


def _last(entries: Iterable[Entry], tail: int) -> list[Entry]:
    """Return the last entries of each bot."""
    kept: dict[str, deque[Entry]] = {}
    for entry in entries:
        kept.setdefault(entry.who, deque(maxlen=tail)).append(entry)
    return sorted((entry for some in kept.values() for entry in some), key=lambda entry: entry.at)


def _filter(meant: Sequence[Target], fleet: Fleet) -> Callable[[Container, datetime, str], Iterator[Entry]]:
    """Return what makes entries of lines: of a group's container only those of the bots that are meant."""
    from app.cli.lines import event_of

    names = {name: bot.name for bot in fleet.bots for name in (bot.bot_name, bot.name)}
    groups = {bot.group for bot in fleet.bots if bot.group}
    whole = {target.service for target in meant if target.bot is None}
    single = {target.bot for target in meant if target.bot}

    def entries(container: Container, at: datetime, text: str) -> Iterator[Entry]:
        service = container.service
        event = event_of(text) if service in groups else None
        bot = names.get(str(event.get("bot"))) if event else None
        if bot is None or not meant or service in whole or bot in single:
            yield Entry(at, bot or service, container.name, text)

    return entries


# --- of a run -------------------------------------------------------------------------------------------------------


def _files(
    found: Fleets, names: Sequence[str], since: datetime | None, tail: int | None, follow: bool
) -> tuple[Iterator[Entry], int]:
    from app.cli.logfile import follow_files, read_files
    from app.deploy.target import bots_of, targets

    fleet = found.fleet
    bots = set(bots_of(fleet, targets(fleet, names)))
    chosen = [bot for bot in fleet.bots if not names or bot.name in bots]
    files = {bot.name: fleet.path.parent / bot.log_file for bot in chosen if bot.log_file}
    if not files:
        raise WhereError(
            f"the log of this flotilla run is in its terminal; bots of {fleet.path} with log_file have theirs here, too"
        )
    wanted = _lines_of(fleet)

    def lines() -> Iterator[Entry]:
        for line in read_files(set(files.values()), since, tail):
            yield from wanted(*line, set(files))
        if follow:
            for line in follow_files(set(files.values())):
                yield from wanted(*line, set(files))

    return lines(), max(map(len, files))


def _lines_of(fleet: Fleet) -> Callable[[datetime, Path, Mapping[str, Any], set[str]], Iterator[Entry]]:
    names = {name: bot.name for bot in fleet.bots for name in (bot.bot_name, bot.name)}

    def entries(at: datetime, path: Path, event: Mapping[str, Any], bots: set[str]) -> Iterator[Entry]:
        bot = names.get(str(event.get("bot")))
        if bot in bots:
            yield Entry(at, bot, str(path), json_format.dumps(event, ensure_ascii=False))

    return entries
