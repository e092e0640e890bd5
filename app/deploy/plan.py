"""In which order a fleet is started: pure, from what changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.deploy.change import Change, Kind, Service, changes, lost, needed_by
from app.deploy.docker import Container


@dataclass(frozen=True, slots=True)
class Batch:
    """Services that are started together; ``bots`` counts those whose first request Telegram sees.

    Unless ``is_start`` they run already, and it is only looked whether they do well, after a restart if ``is_restart``.
    """

    services: tuple[str, ...]
    bots: int = 0
    is_start: bool = True
    is_restart: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """Batches one after the other; when one of them fails that ``is_needed``, the next phases make no sense."""

    batches: tuple[Batch, ...]
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to which services; ``containers`` are those of the project as it is now."""

    services: Mapping[str, Service]
    changes: tuple[Change, ...]
    containers: Sequence[Container] = field(repr=False)

    @property
    def jobs(self) -> frozenset[str]:
        """The services that end by themselves."""
        return frozenset(name for name, service in self.services.items() if service.is_job)

    @property
    def gone(self) -> list[Container]:
        """The containers to be removed."""
        names = {change.service for change in self.changes if change.kind is Kind.GONE}
        return [container for container in self.containers if container.service in names]

    def phases(self, bots: Mapping[str, int], size: int) -> list[Phase]:
        """Return the order: what bots need, their jobs, the bots in batches of a size, all the rest.

        ``bots`` says how many bots are in which service. What goes on as it is comes last: it is only looked at.
        """
        starts = [change.service for change in self.changes if change.is_start and change.kind is not Kind.RESTART]
        again = tuple(change.service for change in self.changes if change.kind is Kind.RESTART)
        same = [change.service for change in self.changes if change.kind is Kind.SAME]
        jobs = [name for name in (*starts, *same) if name in self.jobs] if starts else []
        needed = needed_by(self.services, [name for name in bots if name in self.services])
        ground = [name for name in starts if name in needed and name not in jobs]
        rest = [name for name in starts if name not in {*ground, *jobs, *bots}]
        running = [name for name in same if name not in self.jobs]
        phases = [
            Phase((Batch(tuple(ground)),) if ground else (), is_needed=True),
            Phase(tuple(Batch((job,)) for job in jobs), is_needed=True),
            Phase(_batches({name: bots[name] for name in starts if name in bots}, size)),
            Phase((Batch(tuple(rest)),) if rest else ()),
            Phase((Batch(again, is_start=False, is_restart=True),) if again else ()),
            Phase((Batch(tuple(running), is_start=False),) if running else ()),
        ]
        return [phase for phase in phases if phase.batches]


def plan_of(
    services: Mapping[str, Service],
    containers: Sequence[Container],
    folder: str,
    chosen: Collection[str] = (),
    profiles: Collection[str] = (),
) -> Plan:
    """Plan for the services ``chosen`` and for what they need; without any, for all of them and for what is gone.

    Services of a profile run if it is active, or has been started before. ``folder`` is where the config is.
    """
    if chosen:
        names = {*chosen, *needed_by(services, chosen)}
    else:
        names = _active(services, {container.service for container in containers}, profiles)
    found = changes([service for name, service in services.items() if name in names], containers)
    return Plan(services, (*found, *([] if chosen else lost(services, containers, folder))), containers)


def _active(services: Mapping[str, Service], has: Collection[str], profiles: Collection[str]) -> set[str]:
    known = {profile for name in has if name in services for profile in services[name].profiles} | set(profiles)
    return {name for name, service in services.items() if not service.profiles or known & set(service.profiles)}


def _batches(bots: Mapping[str, int], size: int) -> tuple[Batch, ...]:
    names = list(bots)
    parts = [names[at : at + size] for at in range(0, len(names), size)]
    return tuple(Batch(tuple(part), sum(bots[name] for name in part)) for part in parts)
