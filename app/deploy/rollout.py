"""Starting many services: in batches, no faster than Telegram admits bots, until each is ready or has failed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.config.pace import earliest
from app.deploy.docker import Container, Engine, EngineError
from app.deploy.plan import Batch, Phase
from app.deploy.project import ComposeError, Project

LOOK_SECONDS = 0.5
"""How often the engine is asked how the services are."""

RESTARTS = 2
"""A container that the engine had to restart so often while it was waited for has failed."""


class Stage(StrEnum):
    """How far a service has come."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """A service came to a stage; ``why`` it failed, ``seconds`` since it was started."""

    service: str
    stage: Stage
    why: str = ""
    seconds: float = 0.0


def outcome(containers: Sequence[Container], *, is_job: bool = False) -> tuple[Stage, str]:
    """Tell from its containers how far a service has come, and why it failed."""
    if not containers:
        return Stage.FAILED, "has no container"
    stages = [_job(container) if is_job else _stage(container) for container in containers]
    failed = next((stage for stage in stages if stage[0] is Stage.FAILED), None)
    if failed is not None:
        return failed
    return (Stage.READY, "") if all(stage is Stage.READY for stage, _ in stages) else (Stage.STARTING, "")


def _job(container: Container) -> tuple[Stage, str]:
    if container.state not in ("exited", "dead"):
        return Stage.STARTING, ""
    return (Stage.FAILED, container.ending) if container.exit_code else (Stage.READY, "")


def _stage(container: Container) -> tuple[Stage, str]:
    if container.is_ready:
        return Stage.READY, ""
    if container.is_running and container.health == "unhealthy":  # so it is called, too, when it has ended
        return Stage.FAILED, "runs, but is not healthy"
    if container.restarts >= RESTARTS and not container.is_running:
        return Stage.FAILED, f"{container.ending}, again and again"
    if container.state in ("exited", "dead"):
        return Stage.FAILED, container.ending
    return Stage.STARTING, ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Starts services of a project and tells how they do; ``timeout`` is in seconds, for one batch."""

    engine: Engine
    project: Project
    timeout: float
    is_limited: bool = False

    def run(self, phases: Iterable[Phase], jobs: frozenset[str] = frozenset()) -> Iterator[Step]:
        """Start batch after batch; each waits until the one before is ready or has failed.

        Yields each service when it is started and when it has come to its end. Nothing is raised for a single one;
        when something fails that all the rest needs, it ends.
        """
        began, bots = time.monotonic(), 0
        for phase in phases:
            has_failed = False
            for batch in phase.batches:
                bots += batch.bots
                if self.is_limited:
                    time.sleep(max(0.0, began + earliest(bots) - time.monotonic()))
                for step in self._start(batch, jobs):
                    has_failed = has_failed or step.stage is Stage.FAILED
                    yield step
            if phase.is_needed and has_failed:
                return

    def _start(self, batch: Batch, jobs: frozenset[str]) -> Iterator[Step]:
        began = time.monotonic()
        yield from (Step(service, Stage.STARTING) for service in batch.services)
        refused = self._create(batch.services, is_alone=batch.bots > 0) if batch.is_start else {}
        refused |= self._restart(batch.services) if batch.is_restart else {}
        yield from (Step(service, Stage.FAILED, why) for service, why in refused.items())
        yield from self._wait([service for service in batch.services if service not in refused], jobs, began)

    def _create(self, services: Sequence[str], *, is_alone: bool) -> dict[str, str]:
        """Create and start services; return those that are refused, and why: one by one, for one spoils all.

        Bots start alone, what they need runs already. Compose would run its jobs again for each batch.
        """
        try:
            if is_alone:
                self.project.create(services)
                self.engine.start_services(self.project.name, services)
            else:
                self.project.up(services)
        except (ComposeError, EngineError) as error:
            if len(services) == 1:
                return {services[0]: str(error)}
            found = [self._create([service], is_alone=is_alone) for service in services]
            return {service: why for refused in found for service, why in refused.items()}
        return {}

    def _restart(self, services: Sequence[str]) -> dict[str, str]:
        """Restart the containers of services; return those that are refused, and why."""
        refused = {}
        for container in self.engine.containers(self.project.name):
            if container.service in services:
                try:
                    self.engine.restart(container.id)
                except EngineError as error:
                    refused[container.service] = str(error)
        return refused

    def _wait(self, services: Sequence[str], jobs: frozenset[str], began: float) -> Iterator[Step]:
        ids: dict[str, list[str]] = {service: [] for service in services}
        for container in self.engine.containers(self.project.name):
            if container.service in ids:
                ids[container.service].append(container.id)
        waiting = list(services)
        while waiting:
            for service in list(waiting):
                stage, why = outcome(self.engine.those_left(ids[service]), is_job=service in jobs)
                seconds = time.monotonic() - began
                if stage is Stage.STARTING and seconds > self.timeout:
                    stage, why = Stage.FAILED, f"is not healthy after {self.timeout:.0f} s"
                if stage is not Stage.STARTING:
                    waiting.remove(service)
                    yield Step(service, stage, why, seconds)
            if waiting:
                time.sleep(LOOK_SECONDS)
