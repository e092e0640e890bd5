"""The machine and its Docker engine: is there what the fleet's containers need."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.checkup.finding import Finding, fail, ok, some, warning
from app.cli.whereabouts import run_of
from app.config.rules import memory_bytes
from app.deploy.change import Port, Service
from app.deploy.compose import compose, hosts_of, image_of
from app.deploy.docker import Engine, EngineError
from app.deploy.project import ComposeError, Project

if TYPE_CHECKING:
    from app.config.fleet import Fleet

FILE = "compose.yaml"

ENGINE_SECONDS = 5
"""How long the engine may take for an answer."""

MIB = 1024 * 1024

HOST_MIB, BOT_MIB = 73.0, 0.07
"""Memory of a container with one bot, and of each further bot in it; measured, see docs/performance.md."""

MEMORY_SHARE = 0.8
"""The share of the machine's memory that bots may take; the rest is PostgreSQL's and the system's."""

DISK_SHARE, DISK_BYTES = 0.1, 1024 * MIB
"""A disk with a smaller share free is nearly full, one with fewer bytes is full."""

LOG_IN = "correct its name, or `docker login` to that registry"
PULL = "`docker compose pull` says why; without a network bring them by `docker save` and `docker load`"
"""What to do about images that the engine does not have."""

DOCKER_FOLDER = Path("/var/lib/docker")


def examine_machine(fleet: Fleet, environ: Mapping[str, str]) -> list[Finding]:
    """Look at the engine, Compose, ports, images, memory and disk."""
    project = Project.of(fleet.path, environ)
    try:
        engine = Engine.connect(environ, ENGINE_SECONDS)
    except EngineError as error:
        judge = fail if (fleet.path.parent / FILE).exists() else warning  # without it nobody may want containers
        return [judge("engine", str(error)), _memory(fleet, _own_memory()), *_disks(fleet, is_local=False)]
    with closing(engine):
        return list(_with_engine(fleet, engine, project))


def _with_engine(fleet: Fleet, engine: Engine, project: Project) -> Iterator[Finding]:
    try:
        machine = engine.machine()
    except EngineError as error:
        yield fail("engine", str(error))
        return
    size = f"{machine.cpus} CPUs, {_gib(machine.memory)}"
    yield ok("engine", f"Docker {machine.version} at {machine.host}, {size}")
    is_local = machine.host.startswith("unix://")
    yield from _compose(fleet, engine, project, is_local=is_local)
    yield _images(fleet, engine)
    yield _memory(fleet, machine.memory)
    yield from _disks(fleet, is_local=is_local)


def _compose(fleet: Fleet, engine: Engine, project: Project, *, is_local: bool) -> Iterator[Finding]:
    try:
        project.require()
    except ComposeError as error:
        yield fail("compose", str(error))
        return
    yield ok("compose", f"Docker Compose {project.version()}")
    text, file = compose(fleet), fleet.path.parent / FILE
    try:
        services = project.services(text)
        running = {one.service for one in engine.containers(project.name) if one.is_running}
    except (ComposeError, EngineError) as error:
        yield fail(FILE, str(error), "look at .env, and at compose.override.yaml if there is one")
        return
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        how = "is not what the config says" if file.exists() else "is not there yet"
        yield warning(FILE, how, "`flotilla up` or `flotilla generate` writes it")
    profiles = set(fleet.environ.get("COMPOSE_PROFILES", "").split(","))
    wanted = [one for one in services.values() if not one.profiles or profiles & set(one.profiles)]
    yield from _other_images(fleet, engine, wanted)
    if is_local and run_of(fleet.path) is None:  # a run has those ports itself, and no containers start beside it
        yield from _ports(wanted, running)


def _ports(services: list[Service], running: set[str]) -> Iterator[Finding]:
    free = []
    for service, port in [(one.name, port) for one in services for port in one.ports]:
        trouble = None if service in running else taken(port)
        if trouble is None:
            free.append(f"{port.number} ({service})")
        else:
            yield fail("ports", f"{port.number} of {port.address}, for {service}, {trouble}", port_remedy(port))
    if free:
        yield ok("ports", f"free or ours: {some(free)}")


def port_remedy(port: Port) -> str:
    """Say what to do about a port that is taken."""
    return f"`ss -ltnp 'sport = :{port.number}'` shows by what; stop that, or choose another port in .env"


def taken(port: Port) -> str | None:
    """Say why a container could not publish there; ``None`` when it could."""
    family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.address, port.number))
        except PermissionError:  # low ports are the engine's to take, not ours
            return None if probe.connect_ex(("127.0.0.1", port.number)) else "is in use"
        except OSError as error:
            return "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
    return None


def _images(fleet: Fleet, engine: Engine) -> Finding:
    wanted = dict.fromkeys(image_of(fleet, bot.version) for bot in fleet.bots)
    try:
        missing = [name for name in wanted if engine.image(name) is None]
    except EngineError as error:
        return fail("images", str(error))
    if not missing:
        return ok("images", some(list(wanted)))
    if fleet.image:
        return warning("images", f"not on this machine: {some(missing)}", "`flotilla up` fetches them")
    pinned = [name for name in missing if name != image_of(fleet)]
    if pinned:
        remedy = "`flotilla versions` lists those there are, `flotilla pin BOT VERSION` chooses one"
        return fail("images", f"not on this machine, and no registry has them: {some(pinned)}", remedy)
    return warning("images", f"not on this machine: {some(missing)}", "`flotilla up` builds it")


def _other_images(fleet: Fleet, engine: Engine, services: list[Service]) -> Iterator[Finding]:
    """Look at the images that are none of the bots', such as PostgreSQL's."""
    bots = {image_of(fleet, bot.version) for bot in fleet.bots} | {image_of(fleet)}
    wanted = [name for name in dict.fromkeys(service.image for service in services) if name and name not in bots]
    try:
        missing = [name for name in wanted if engine.image(name) is None]
    except EngineError as error:
        yield fail("images", str(error))
        return
    away = []
    for name in missing:
        try:
            if not engine.can_fetch(name):
                yield fail("images", f"{name} is not on this machine, and its registry does not give it", LOG_IN)
                continue
        except EngineError:
            away.append(name)
    if away:
        yield warning("images", f"not on this machine, and their registry does not answer: {some(away)}", PULL)
    elif missing:
        yield warning("images", f"not on this machine: {some(missing)}", "`flotilla up` fetches them")


def _memory(fleet: Fleet, memory: int) -> Finding:
    hosts = hosts_of(fleet).values()
    containers = sum(bots[0].replicas for bots in hosts)
    need = sum((HOST_MIB + BOT_MIB * (len(bots) - 1)) * bots[0].replicas for bots in hosts) * MIB
    limits = sum(max(memory_bytes(bot.memory) or 0 for bot in bots) * bots[0].replicas for bots in hosts)
    who = "the container of bots takes" if containers == 1 else f"the {containers} containers of bots take"
    text = f"{who} about {_gib(need)} of {_gib(memory)} (limited to {_gib(limits)})"
    if need <= MEMORY_SHARE * memory:
        return ok("memory", text)
    return fail("memory", text, "let bots share containers (group: NAME), or take a larger machine")


def _own_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _disks(fleet: Fleet, *, is_local: bool) -> Iterator[Finding]:
    """Look at the disks of the config and of the engine; they are often the same."""
    folders = [fleet.path.parent.absolute(), *([DOCKER_FOLDER] if is_local and DOCKER_FOLDER.is_dir() else [])]
    for folder in {folder.stat().st_dev: folder for folder in reversed(folders)}.values():
        disk = shutil.disk_usage(folder)
        text = f"{_gib(disk.free)} of {_gib(disk.total)} are free at {folder}"
        remedy = "`docker system df` and `du -x --max-depth=2 /` show what takes it"
        if disk.free < DISK_BYTES:
            yield fail("disk", text, remedy)
        elif disk.free < DISK_SHARE * disk.total:
            yield warning("disk", text, remedy)
        else:
            yield ok("disk", text)


def _gib(size: float) -> str:
    return f"{size / MIB / 1024:.1f} GiB"
