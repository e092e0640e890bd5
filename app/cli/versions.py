"""``flotilla versions``: which versions run, which there are, and who pinned which bot when."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.containers import DEFAULT_CONFIG, ConfigOption
from app.cli.database import JsonOption, print_json, with_store
from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Bot, Fleet
    from app.deploy.docker import Container, Image

MOST_TAGS = 20
MOST_PINS = 20
"""So many are printed; with ``--json`` all of them are."""


def versions(
    bot: Annotated[str | None, typer.Argument(metavar="BOT", help="The bot's name; default: all.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Show the version of each bot, the versions there are here and in the registry, and the history of pins."""
    import asyncio

    from app.cli.database import bot_in
    from app.config.load import load_fleet
    from app.deploy.compose import LOCAL_IMAGE
    from app.deploy.registry import remote_tags

    found = bot_in(config, bot) if bot else None
    fleet = found[0] if found else load_fleet(config, os.environ, need_secrets=False)
    bots = [found[1]] if found else list(fleet.bots)
    containers, images = _engine_knows(fleet)
    told = {
        "image": fleet.image or LOCAL_IMAGE,
        "bots": [_bot(fleet, one, containers) for one in bots],
        "local": _local(fleet, images),
        "remote": asyncio.run(remote_tags(fleet.image)) if fleet.image else None,
        "history": _history(fleet, bots),
    }
    if json:
        print_json(told)
    else:
        _print(told)


def _engine_knows(fleet: Fleet) -> tuple[list[Container], list[Image] | None]:
    """Return the fleet's containers and its images; what the engine cannot tell is said on standard error."""
    from app.deploy.compose import LOCAL_IMAGE
    from app.deploy.docker import Engine
    from app.deploy.project import Project

    try:
        with Engine.connect(os.environ) as engine:
            project = Project.of(fleet.path, os.environ)
            return engine.containers(project.name), engine.images(fleet.image or LOCAL_IMAGE)
    except FlotillaError as error:
        print(f"warning: {error}", file=sys.stderr)
        return [], None


def _bot(fleet: Fleet, bot: Bot, containers: Sequence[Container]) -> dict[str, Any]:
    from app.deploy.compose import image_of

    image = image_of(fleet, bot.version)
    own = [one for one in containers if one.service == bot.service]
    return {
        "bot": bot.name,
        "version": image.rpartition(":")[2],
        "is_pinned": bot.version is not None,
        "containers": [
            {"container": one.name, "state": one.state, "image": one.image, "image_id": one.image_id} for one in own
        ],
    }


def _local(fleet: Fleet, images: Sequence[Image] | None) -> list[str] | None:
    """Return the tags that the engine has of the fleet's image, the newest image first."""
    from datetime import UTC, datetime

    from app.deploy.compose import LOCAL_IMAGE

    if images is None:
        return None
    name, never = fleet.image or LOCAL_IMAGE, datetime.min.replace(tzinfo=UTC)
    ordered = sorted(images, key=lambda image: image.created_at or never, reverse=True)
    tags = [tag.rpartition(":") for image in ordered for tag in image.tags]
    return [tag for found, _, tag in tags if found.removeprefix("docker.io/") == name.removeprefix("docker.io/")]


def _history(fleet: Fleet, bots: Sequence[Bot]) -> list[dict[str, Any]] | None:
    from dataclasses import asdict

    names = {bot.bot_name: bot.name for bot in bots}
    try:
        found = with_store(fleet.path, lambda store: store.pins.history(list(names)))
    except FlotillaError as error:
        print(f"warning: no history of pins: {error}", file=sys.stderr)
        return None
    return [{"bot": names[one.botname], **asdict(one)} for one in found]


def _print(told: dict[str, Any]) -> None:
    bots = [
        (one["bot"], one["version"] + (" (pinned)" if one["is_pinned"] else ""), _running(one)) for one in told["bots"]
    ]
    widths = [max((len(bot[at]) for bot in bots), default=0) for at in range(2)]
    for name, version, running in bots:
        print(f"{name:{widths[0]}}  {version:{widths[1]}}  {running}")
    for word, tags in (("images here", told["local"]), ("in the registry", told["remote"])):
        if tags is not None:
            shown = tags[:MOST_TAGS] if word == "images here" else tags[-MOST_TAGS:]
            more = f" and {len(tags) - len(shown)} more" if len(tags) > len(shown) else ""
            print(f"{word}: {told['image']}: {', '.join(shown) or 'no version'}{more}")
    for pin in (told["history"] or ())[-MOST_PINS:]:
        print(_line(pin))


def _running(bot: dict[str, Any]) -> str:
    """Say what is otherwise than the config wants it."""
    states = [
        f"{one['container']} {one['state']}" + ("" if tag == bot["version"] else f" with {tag}")
        for one in bot["containers"]
        for tag in [one["image"].rpartition(":")[2]]
    ]
    return ", ".join(states) or "no container"


def _line(pin: dict[str, Any]) -> str:
    word = "rollback" if pin["is_rollback"] else "pin"
    ends = [version or "the fleet's own" for version in (pin["from_version"], pin["to_version"])]
    reason = f": {pin['reason']}" if pin["reason"] else ""
    when = pin["began_at"].astimezone()
    return (
        f"{when:%Y-%m-%d %H:%M}  {pin['actor']}  {word} {pin['bot']}  {ends[0]} -> {ends[1]}  {pin['result']}{reason}"
    )
