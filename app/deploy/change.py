"""What starting a fleet would change: pure, from what Compose wants and what the engine has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.deploy.docker import Container

WORKING_FOLDER = "com.docker.compose.project.working_dir"
"""Label of a container: the folder of the compose.yaml that it comes from."""

JOB_RESTART = "no"
"""Restart policy of services that end by themselves."""


class Kind(StrEnum):
    """What would happen to a service."""

    NEW = "new"
    CHANGED = "changed"
    IMAGE = "image"
    SCALE = "scale"
    START = "start"
    RESTART = "restart"
    SAME = "same"
    GONE = "gone"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of the machine at which a service can be reached."""

    address: str
    number: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service as Compose understands it.

    ``image_id`` is what its image means now, ``None`` if the engine does not have it. A job ends by itself. ``needs``
    are the services that it depends on, ``follows`` those of them after whose change it starts again; it belongs to
    ``profiles``.
    """

    name: str
    image: str
    config_hash: str
    image_id: str | None = None
    replicas: int = 1
    is_job: bool = False
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What would happen to a service, and why."""

    service: str
    kind: Kind
    why: str = ""

    @property
    def is_start(self) -> bool:
        """Whether containers are made or started."""
        return self.kind not in (Kind.SAME, Kind.GONE, Kind.OTHER)


def services_of(config: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Service]:
    """Read the services out of Compose's JSON, in its order."""
    return {name: _service(name, keys, hashes.get(name, "")) for name, keys in config["services"].items()}


def _service(name: str, keys: Mapping[str, Any], config_hash: str) -> Service:
    return Service(
        name=name,
        image=keys.get("image") or "",
        config_hash=config_hash,
        replicas=int((keys.get("deploy") or {}).get("replicas", 1)),
        is_job=keys.get("restart") == JOB_RESTART,
        needs=tuple(keys.get("depends_on") or ()),
        follows=tuple(name for name, need in (keys.get("depends_on") or {}).items() if need.get("restart")),
        profiles=tuple(keys.get("profiles") or ()),
        ports=tuple(_ports(keys.get("ports") or ())),
    )


def _ports(published: Iterable[Mapping[str, Any]]) -> Iterator[Port]:
    """Read the ports that are published by TCP at a certain number."""
    for port in published:
        number = str(port.get("published", ""))
        if number.isdecimal() and port.get("protocol", "tcp") == "tcp":
            yield Port(port.get("host_ip") or "0.0.0.0", int(number))


def needed_by(services: Mapping[str, Service], names: Collection[str]) -> set[str]:
    """Return the services that others need, directly or not."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for need in services[waiting.pop()].needs:
            if need not in found and need in services:
                found.add(need)
                waiting.append(need)
    return found


def changes(services: Iterable[Service], containers: Sequence[Container]) -> list[Change]:
    """Tell what happens to each of the services."""
    known = {service.name: service for service in services}
    found = [_change(one, [has for has in containers if has.service == one.name]) for one in known.values()]
    started = {change.service for change in found if change.is_start}
    return [_followed(change, known[change.service], started) for change in found]


def lost(services: Collection[str], containers: Iterable[Container], folder: str) -> list[Change]:
    """Tell what happens to containers whose service is gone: only those that come from this folder are ours."""
    found = {container.service: container for container in containers if container.service not in services}
    return [_lost(name, container, folder) for name, container in found.items()]


def _change(service: Service, has: Sequence[Container]) -> Change:
    if not has:
        return Change(service.name, Kind.NEW, service.image)
    if any(container.config_hash != service.config_hash for container in has):
        return Change(service.name, Kind.CHANGED, _images(service, has) or "its settings")
    if service.image_id is None or any(container.image_id != service.image_id for container in has):
        return Change(service.name, Kind.IMAGE, f"{service.image} is another one now")
    if len(has) != service.replicas:
        return Change(service.name, Kind.SCALE, f"{len(has)} -> {service.replicas} containers")
    stopped = [container for container in has if not container.is_running]
    if stopped and not service.is_job:
        return Change(service.name, Kind.START, f"its container is {stopped[0].state}")
    return Change(service.name, Kind.SAME)


def _followed(change: Change, service: Service, started: Collection[str]) -> Change:
    """Tell that a service starts again which has read what another one brings, and does not look for changes there."""
    before = [name for name in service.follows if name in started]
    if change.kind is not Kind.SAME or not before:
        return change
    return Change(service.name, Kind.RESTART, f"{before[0]} changes")


def _images(service: Service, has: Sequence[Container]) -> str:
    before = {container.image for container in has} - {service.image}
    return f"{before.pop()} -> {service.image}" if before else ""


def _lost(name: str, container: Container, folder: str) -> Change:
    origin = container.labels.get(WORKING_FOLDER, folder)
    if origin == folder:
        return Change(name, Kind.GONE, "not in the config any more")
    return Change(name, Kind.OTHER, f"belongs to {origin}, which calls its project the same; it is left alone")
