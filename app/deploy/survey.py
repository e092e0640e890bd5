"""Looking at many containers at the same time: what they use, and what their hosts tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.deploy.docker import Container, Engine, EngineError, Usage
from app.deploy.row import STOPPED, Look
from app.errors import FlotillaError

T = TypeVar("T")

STATUS_FILE = "/tmp/flotilla-status.json"  # noqa: S108 - in a container; its host writes it every few seconds

MEASURE_SECONDS = 1.0
"""How long the use of CPU is measured at least."""


def told_by(engine: Engine, container: Container) -> dict[str, Any]:
    """Return what the host in a container tells of itself; nothing as long as it tells nothing, or does not run."""
    try:
        ran = engine.exec(container.id, ["cat", STATUS_FILE])
        return dict(json.loads(ran.output)) if ran.code == 0 else {}
    except (EngineError, ValueError, TypeError):
        return {}


def stopped_in(engine: Engine, container: Container) -> list[str]:
    """Name the bots that an operator has stopped alone in a container that runs."""
    bots = told_by(engine, container).get("bots", ()) if container.is_running else ()
    return [bot["bot"] for bot in bots if bot["state"] == STOPPED]


def ask_host(engine: Engine, container: Container, **request: Any) -> dict[str, Any]:
    """Have the host in a container do something, see ``app.runtime.console``; raises ``FlotillaError``."""
    ran = engine.exec(container.id, ["python", "-m", "app.runtime.ask", json.dumps(request)])
    try:
        answer = dict(json.loads(ran.output))
    except (ValueError, TypeError):
        reason = "".join((ran.errors or ran.output).strip().splitlines()[-1:]) or f"exit code {ran.code}"
        text = f"container {container.name!r} does not answer ({reason}); its version may be too old for that"
        raise FlotillaError(text) from None
    if answer.get("ok") is not True:
        raise FlotillaError(str(answer.get("error")))
    return answer


class Survey:
    """Looks again and again; the use of CPU is that since the last look."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before: dict[str, Usage] = {}

    def look(self, containers: Sequence[Container], hosts: Iterable[str]) -> dict[str, Look]:
        """Return what is seen of the containers that run, by their ids; ``hosts`` are the services that run bots.

        The first look takes a moment, in which the use of CPU is measured.
        """
        running = [container for container in containers if container.is_running]
        began = time.monotonic()
        is_first = not self._before
        if is_first:
            self._before = self._usages(running)
        telling = set(hosts)
        told = self._each([one for one in running if one.service in telling], self._told)
        if is_first:
            time.sleep(max(0.0, began + MEASURE_SECONDS - time.monotonic()))
        usages = self._usages(running)
        before, self._before = self._before, usages
        return {one.id: _look(usages.get(one.id), before.get(one.id), told.get(one.id)) for one in running}

    def _usages(self, containers: Iterable[Container]) -> dict[str, Usage]:
        return self._each(containers, lambda one: self._engine.usage(one.id))

    def _told(self, container: Container) -> Mapping[str, Any] | None:
        return told_by(self._engine, container) or None

    def _each(self, containers: Iterable[Container], ask: Callable[[Container], T | None]) -> dict[str, T]:
        """Ask about each container; what is None, or gone meanwhile, is left out."""

        def answer(container: Container) -> tuple[str, T | None]:
            try:
                return container.id, ask(container)
            except EngineError:
                return container.id, None

        with ThreadPoolExecutor(self._engine.parallel) as pool:
            return {key: found for key, found in pool.map(answer, containers) if found is not None}


def _look(usage: Usage | None, before: Usage | None, status: Mapping[str, Any] | None) -> Look:
    if usage is None:
        return Look(status=status)
    cpu = usage.cpu_percent(before) if before else None
    return Look(cpu, usage.memory, usage.memory_limit, status)
