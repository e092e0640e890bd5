"""``flotilla ban``, ``unban`` and ``bans``: who may not talk to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.database import BotArgument, ConfigOption, DryRunOption, JsonOption, botname_of, print_json, with_store
from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.store.rows import Ban
    from app.store.store import Store

LearnerArgument = Annotated[str, typer.Argument(metavar="LEARNER", help="Their @username, or their chat id, a number.")]

CHAT_ID = "a chat id is the number in the column chat_id of the tables run and conversation"

LARGEST_ID = 2**53
"""Telegram's ids are smaller (core.telegram.org/bots/api, Chat)."""


def ban(
    bot: BotArgument,
    learner: LearnerArgument,
    reason: Annotated[str | None, typer.Option(help="Why; only operators see it.")] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Keep a learner from talking to the model, in courses with ban_enabled."""
    botname = botname_of(bot, config)

    async def work(store: Store) -> tuple[int, str]:
        chat_id = await _chat_id(store, botname, learner)
        before = await _standing(store, botname, chat_id)
        if not dry_run:
            await store.ban(botname, chat_id, reason)
        return chat_id, before

    _tell(*with_store(config, work), "banned", as_json=json, dry_run=dry_run)


def unban(
    bot: BotArgument,
    learner: LearnerArgument,
    exempt: Annotated[bool, typer.Option("--exempt", help="Let no ban and no limit concern them.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Lift a learner's ban; an exemption ends too, unless --exempt is given."""
    botname = botname_of(bot, config)

    async def work(store: Store) -> tuple[int, str]:
        chat_id = await _chat_id(store, botname, learner)
        before = await _standing(store, botname, chat_id)
        if not dry_run:
            await store.unban(botname, chat_id, exempt=exempt)
        return chat_id, before

    after = "exempt" if exempt else "not banned"
    _tell(*with_store(config, work), after, as_json=json, dry_run=dry_run)


def bans(bot: BotArgument, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Tell who is banned, or exempt from bans and limits."""
    from dataclasses import asdict

    botname = botname_of(bot, config)
    found = with_store(config, lambda store: store.bans(botname))
    if json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        when = f"{one.banned_at:%Y-%m-%d}" if one.banned_at else ""
        print(f"{one.chat_id}\t{f'@{one.username}' if one.username else ''}\t{_word(one)}\t{when}\t{one.reason or ''}")


async def _chat_id(store: Store, botname: str, learner: str) -> int:
    """Return whom a number or a username means; whoever never wrote to the bot has to be named by their number."""
    name = learner.removeprefix("@")
    if learner.isdecimal():
        if 0 < int(learner) <= LARGEST_ID:
            return int(learner)
        raise FlotillaError(f"{learner!r} is no learner's chat id: it is positive and at most {LARGEST_ID}; {CHAT_ID}")
    found = await store.chats_of(botname, name) if name else []
    match found:
        case [chat_id]:
            return chat_id
        case []:
            raise FlotillaError(
                f"nobody with the username {name!r} wrote to {botname!r}; give their chat id: {CHAT_ID}"
            )
        case _:
            ids = ", ".join(map(str, found))
            raise FlotillaError(
                f"{len(found)} learners of {botname!r} had the username {name!r}; give a chat id: {ids}"
            )


async def _standing(store: Store, botname: str, chat_id: int) -> str:
    found = [_word(one) for one in await store.bans(botname) if one.chat_id == chat_id]
    return found[0] if found else "not banned"


def _word(one: Ban) -> str:
    return "exempt" if one.is_exempt else "banned"


def _tell(chat_id: int, before: str, after: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"chat_id": chat_id, "before": before, "after": after, "dry_run": dry_run})
    elif before == after:
        print(f"{chat_id} is {after} already")
    else:
        print(f"{chat_id} {'would be' if dry_run else 'is now'} {after} (was {before})")
