"""``flotilla pin`` and ``rollback``: give a bot another version, and its old one back if that does not work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.containers import DEFAULT_CONFIG, ConfigOption
from app.cli.database import DryRunOption, JsonOption, print_json, with_store
from app.errors import EXIT_FAILED, EXIT_USAGE, FlotillaError

if TYPE_CHECKING:
    from datetime import datetime

    from app.config.fleet import Bot, Fleet
    from app.deploy.pin import PinFailed, Pinning, Plan
    from app.store.pin import Outcome, Pin
    from app.store.store import Store

NameArgument = Annotated[str, typer.Argument(metavar="BOT", help="The bot's name in the config.")]
TimeoutOption = Annotated[
    float,
    typer.Option(min=1, max=3600, help="Seconds that the new version has to become healthy and hear of Telegram."),
]
TIMEOUT = 120.0


class BadVersion(FlotillaError):
    """Something that is no image tag."""

    exit_code = EXIT_USAGE


def pin(
    bot: NameArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The image tag.")],
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = TIMEOUT,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Run a bot with this version of the image, and with its old one again if it does not work.

    Changes the bot's version in the config, replaces its container alone, and waits until it is healthy and has asked
    Telegram for updates. Bots of a group share a container and are pinned together.
    """
    from app.config.rules import is_tag

    if not is_tag(version):
        raise BadVersion(f'{version!r} is not an image tag; write it like "1.4.0"')
    fleet, one = _bot(config, bot)
    _change(fleet, one, version, timeout, is_rollback=False, as_json=json, dry_run=dry_run)


def rollback(
    bot: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    timeout: TimeoutOption = TIMEOUT,
    json: JsonOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Undo the last pin of a bot that worked; again, the one before it."""
    from app.store.pin import NothingToUndo, last_good

    fleet, one = _bot(config, bot)
    history = with_store(config, lambda store: store.pins.history([one.bot_name]))
    try:
        version = last_good(history, one.version)
    except NothingToUndo:
        raise FlotillaError(
            f"{one.name} has no pin to undo; `flotilla versions {one.name}` shows the history"
        ) from None
    _change(fleet, one, version, timeout, is_rollback=True, as_json=json, dry_run=dry_run)


def _bot(config: Path, name: str) -> tuple[Fleet, Bot]:
    from app.cli.database import bot_in

    found = bot_in(config, name)
    assert found is not None  # noqa: S101 - a config that is named is there, or an error
    return found


def _change(
    fleet: Fleet, bot: Bot, version: str | None, timeout: float, *, is_rollback: bool, as_json: bool, dry_run: bool
) -> None:
    from datetime import UTC, datetime

    from app.deploy.docker import Engine
    from app.deploy.pin import Pinning, plan
    from app.deploy.project import Project

    planned = plan(fleet, bot, version)
    _tell_of_group(planned)
    with Engine.connect(os.environ) as engine:
        pinning = Pinning(planned, Project.of(fleet.path, os.environ), engine, _tell, timeout)
        pinning.check()
        if dry_run:
            _preview(planned, as_json=as_json)
            return
        began, failure = datetime.now(UTC), _failure_of(pinning)
    _write_down(fleet.path, _pins(planned, began, failure, is_rollback=is_rollback))
    if as_json:
        print_json({**_plain(planned), **_result(failure)})
    elif failure is not None:
        print(*failure.logs, failure, sep="\n", file=sys.stderr)
    else:
        print(f"{planned.service} runs {planned.word} (was {planned.word_before})")
    if failure is not None:
        raise typer.Exit(EXIT_FAILED)


def _failure_of(pinning: Pinning) -> PinFailed | None:
    from app.deploy.pin import PinFailed

    try:
        pinning.run()
    except PinFailed as error:
        return error
    return None


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_of_group(planned: Plan) -> None:
    if len(planned.bots) > 1:
        names = ", ".join(bot.name for bot in planned.bots)
        _tell(f"{names} share the container {planned.service}: all of them get the version")


def _preview(planned: Plan, *, as_json: bool) -> None:
    from difflib import unified_diff

    if as_json:
        print_json({**_plain(planned), "dry_run": True})
        return
    for draft in (planned.config, planned.compose):
        old, new = (
            (data or b"").decode(errors="replace").splitlines(keepends=True) for data in (draft.before, draft.after)
        )
        sys.stdout.writelines(unified_diff(old, new, str(draft.path), f"{draft.path} (pinned)"))
    print(f"would replace the container of {planned.service}: {planned.image}")


def _pins(planned: Plan, began: datetime, failure: PinFailed | None, *, is_rollback: bool) -> list[Pin]:
    from datetime import UTC, datetime

    from app.store.pin import Pin

    ended, actor, result, reason = datetime.now(UTC), _actor(), _outcome(failure), str(failure) if failure else None
    return [
        Pin(bot.bot_name, planned.before, planned.version, is_rollback, actor, began, ended, result, reason)
        for bot in planned.bots
    ]


def _outcome(failure: PinFailed | None) -> Outcome:
    from app.store.pin import Outcome

    if failure is None:
        return Outcome.DONE
    return Outcome.INTERRUPTED if failure.is_interrupted else Outcome.FAILED


def _actor() -> str:
    """Return who is at the keyboard, also behind sudo."""
    import getpass
    import socket

    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _write_down(config: Path, pins: list[Pin]) -> None:
    """Put the pins into the history; a pin does not fail because that is not possible."""

    async def work(store: Store) -> None:
        for one in pins:
            await store.pins.add(one)

    try:
        with_store(config, work)
    except FlotillaError as error:
        print(f"warning: the history of pins lacks this one: {error}", file=sys.stderr)


def _plain(planned: Plan) -> dict[str, Any]:
    return {
        "service": planned.service,
        "bots": [bot.name for bot in planned.bots],
        "from": planned.before,
        "to": planned.version,
        "image": planned.image,
    }


def _result(failure: PinFailed | None) -> dict[str, Any]:
    reason, logs = (str(failure), list(failure.logs)) if failure else (None, [])
    return {"result": _outcome(failure), "reason": reason, "logs": logs}
