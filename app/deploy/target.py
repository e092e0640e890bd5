"""What the names mean that an operator gives: bots, groups, and the services beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.config.fleet import Fleet
from app.course.report import nearest
from app.deploy.compose import hosts_of
from app.errors import EXIT_USAGE, FlotillaError


class UnknownNameError(FlotillaError):
    """Neither a bot nor a service has that name."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True)
class Target:
    """A service, or only one bot of a service that has several."""

    service: str
    bot: str | None = None


def targets(fleet: Fleet, names: Sequence[str], others: Collection[str] = ()) -> list[Target]:
    """Return what ``names`` mean, each once: bots (by either name), groups, and ``others``, which are services.

    Raises ``UnknownNameError``, with the name that was probably meant.
    """
    known = _known(fleet, others)
    for name in names:
        if name not in known:
            remedy = nearest(name, known, f"it has {', '.join(bot.name for bot in fleet.bots[:10])}")
            raise UnknownNameError(f"{fleet.path}: there is no bot {name!r}; {remedy}")
    return list(dict.fromkeys(known[name] for name in names))


def bots_of(fleet: Fleet, meant: Sequence[Target]) -> list[str]:
    """Name the bots that are meant, in the order of the targets; services beside the bots have none."""
    hosts = hosts_of(fleet)
    return [
        name for one in meant for name in ([one.bot] if one.bot else [bot.name for bot in hosts.get(one.service, ())])
    ]


def _known(fleet: Fleet, others: Collection[str]) -> dict[str, Target]:
    hosts = hosts_of(fleet)
    bots = {
        name: Target(bot.service, bot.name if len(hosts[bot.service]) > 1 else None)
        for bot in fleet.bots
        for name in (bot.bot_name, bot.name)
    }
    return bots | {service: Target(service) for service in (*others, *hosts)}
