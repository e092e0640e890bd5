"""``flotilla adopt``: go on with the learners of the old program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.config.fleet import Bot
    from app.course.course import Courses
    from app.runtime.adopt import Plan
    from app.store.adopt import Adoption

MOST_REMARKS = 30
"""So many remarks are printed; with ``--json`` all of them are."""


def adopt(
    bots: Annotated[list[str] | None, typer.Argument(metavar="BOT", help="Names of bots; default: all.")] = None,
    config: Annotated[Path, typer.Option(help="The fleet's config.")] = Path("bots_config.yaml"),
    scripts: Annotated[Path | None, typer.Option(help="Folder of the courses; default: beside the config.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Where the old program ran (Europe/Moscow); default: the database's time zone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON; asks nothing.")] = False,
) -> None:
    """Go on with the learners of the old program, each at the element where they stand.

    Works on the old program's database: stop that program, run `flotilla migrate`, then this, then start the fleet.
    Says first what it will do, does it in one transaction, and can be run again.
    """
    import asyncio
    import os

    from app.cli.database import database
    from app.config.host import select_bots
    from app.config.load import load_fleet

    fleet = load_fleet(config, os.environ, scripts, need_secrets=False)
    chosen = select_bots(fleet, bots or [])
    with database(config.parent) as url:
        asyncio.run(_adopt(url, chosen, fleet.scripts, time_zone, _Manner(dry_run, yes or json, json)))


class _Manner:
    """How the operator wants to be asked and told."""

    def __init__(self, is_dry: bool, is_sure: bool, is_json: bool) -> None:
        self.is_dry = is_dry
        self.is_sure = is_sure
        self.is_json = is_json


async def _adopt(url: str, bots: tuple[Bot, ...], scripts: Path, time_zone: str | None, manner: _Manner) -> None:
    from app.store.adopt import adoption

    courses = await _courses(url, bots, scripts)
    told: _Findings | None = None
    while True:
        # Who may write locks hosts out, but never while the operator thinks: what is found then counts.
        may_write = not manner.is_dry and (manner.is_sure or told is not None)
        async with adoption(url, is_locked=may_write) as old:
            found = await _findings(old, courses, time_zone)
            if found != told:
                _tell(found, manner, is_news=told is not None)
            if manner.is_dry or not found.is_work:
                return
            if manner.is_sure or found == told:
                await old.commit(found.plan.chats, found.plan.waits, found.plan.moved)
                break
        if not typer.confirm("do it?"):
            raise typer.Exit(1)
        told = found
    if not manner.is_json:
        print("done; start the fleet, and everybody goes on where they stand")


@dataclass(frozen=True, slots=True)
class _Findings:
    """What an adoption would do now; ``others`` are bots of the database that it leaves alone, with their chats."""

    plan: Plan
    zone: str
    others: dict[str, int]

    @property
    def is_work(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.chats or self.plan.waits or self.plan.moved)


async def _findings(old: Adoption, courses: dict[str, Courses], time_zone: str | None) -> _Findings:
    from app.runtime.adopt import plan

    zone = await old.time_zone(time_zone)
    others = {name: chats for name, chats in (await old.botnames()).items() if name not in courses}
    return _Findings(await plan(old, courses, zone), zone, others)


async def _courses(url: str, bots: tuple[Bot, ...], scripts: Path) -> dict[str, Courses]:
    """Return the courses of each bot, by what the database calls it."""
    from functools import partial

    from app.runtime.library import Library
    from app.store.store import Store

    async with await Store.open(url, max_connections=1) as store:
        await store.check_schema()
        courses = {}
        for bot in bots:
            library = Library(scripts, bot.folder)
            await library.refresh(partial(store.courses, bot.bot_name))
            courses[bot.bot_name] = library.courses
        return courses


def _tell(found: _Findings, manner: _Manner, *, is_news: bool) -> None:
    planned, zone = found.plan, found.zone
    if manner.is_json:
        print(_json(planned, zone, found.others))
        return
    if is_news:
        print("the database has changed meanwhile; now it is:")
    for botname, count in sorted(Counter(chat.botname for chat in planned.chats).items()):
        print(f"{botname}: {_counted(count, 'chat goes', 'chats go')} on")
    if planned.ended:
        print(f"{_counted(planned.ended, 'run has ended and stays', 'runs have ended and stay')} so")
    if planned.waits:
        kept = _counted(len(planned.waits), "wait keeps its", "waits keep their")
        print(f"{kept} due time (read as {zone} time; --time-zone changes that)")
    if planned.known:
        print(
            _counted(
                planned.known,
                "chat is known already and stays as it is",
                "chats are known already and stay as they are",
            )
        )
    if not planned.chats:
        print("no chat is left to adopt")
    for name, count in found.others.items():
        chats = _counted(count, "chat", "chats")
        print(f"not touched: {chats} of {name!r}; for these, choose the bot that says 'bot_name: {name}' in the config")
    for remark in planned.remarks[:MOST_REMARKS]:
        print(f"{remark.botname}, chat {remark.chat_id}: {remark.text}")
    if len(planned.remarks) > MOST_REMARKS:
        print(f"... and {len(planned.remarks) - MOST_REMARKS} more remarks; --json shows all")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _json(planned: Plan, zone: str, others: dict[str, int]) -> str:
    from dataclasses import asdict
    from json import dumps

    told: dict[str, Any] = {
        "chats": [{"bot_name": chat.botname, "chat_id": chat.chat_id} for chat in planned.chats],
        "waits": [asdict(wait) for wait in planned.waits],
        "moved_rows": [asdict(row) for row in planned.moved],
        "remarks": [asdict(remark) for remark in planned.remarks],
        "ended_runs": planned.ended,
        "known_chats": planned.known,
        "other_bots": others,
        "time_zone": zone,
    }
    return dumps(told, ensure_ascii=False, indent=2, default=str)
