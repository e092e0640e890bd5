"""Where the bots of a config run: in containers, in a ``flotilla run`` on this machine, or both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Fleet
    from app.deploy.docker import Container, Engine
    from app.deploy.row import Row
    from app.deploy.survey import Survey


@dataclass(frozen=True, slots=True)
class Run:
    """A ``flotilla run`` that answers at ``socket``, and what it told of itself."""

    socket: Path
    status: Mapping[str, Any]

    def ask(self, **request: Any) -> Mapping[str, Any]:
        """Have it do something; raises ``FlotillaError`` with what it says when it cannot."""
        from app.runtime.ask import ask

        answer = ask(self.socket, request)
        if answer.get("ok") is not True:
            raise FlotillaError(str(answer.get("error")))
        return answer


@dataclass(frozen=True, slots=True)
class Fleets:
    """A config, and what runs of it: ``engine`` is ``None`` where none answers, which need not matter then."""

    fleet: Fleet
    run: Run | None
    engine: Engine | None
    project: str

    def containers(self) -> list[Container]:
        """List the containers of the config's project."""
        return self.engine.containers(self.project) if self.engine else []

    def others(self) -> set[str]:
        """Return the services beside the bots that the config has, also those of an override."""
        from app.deploy.compose import hosts_of

        return set(self._services()) - set(hosts_of(self.fleet))

    def jobs(self) -> set[str]:
        """Return the services that end by themselves."""
        from app.deploy.change import JOB_RESTART

        return {name for name, keys in self._services().items() if keys.get("restart") == JOB_RESTART}

    def _services(self) -> dict[str, Any]:
        import yaml

        from app.deploy.compose import compose
        from app.deploy.project import OVERRIDES

        files = [self.fleet.path.parent / name for name in OVERRIDES]
        texts = [*(file.read_text(encoding="utf-8") for file in files if file.is_file()), compose(self.fleet)]
        found: dict[str, Any] = {}
        for text in texts:
            found |= (yaml.load(text, yaml.BaseLoader) or {}).get("services") or {}  # noqa: S506 - it only makes text
        return found

    def survey(self) -> Survey | None:
        """Return what looks at the containers, if there is an engine."""
        from app.deploy.survey import Survey

        return Survey(self.engine) if self.engine else None

    def rows(self, survey: Survey | None) -> list[Row]:
        """Look at the containers; without a ``survey``, or without any container, there are no rows."""
        from app.deploy.compose import hosts_of
        from app.deploy.row import container_rows

        containers = self.containers()
        if survey is None or not containers:
            return []
        looks = survey.look(containers, hosts_of(self.fleet))
        return container_rows(self.fleet, self.others(), containers, looks, datetime.now(UTC), self.jobs())


@contextmanager
def fleets(config: Path) -> Iterator[Fleets]:
    """Find what runs of a config; raises the engine's error when there is none, unless a run answers."""
    from app.config.load import load_fleet
    from app.deploy.docker import Engine, EngineError
    from app.deploy.project import Project

    fleet = load_fleet(config, os.environ, need_secrets=False)
    run = run_of(config)
    project = Project.of(config, os.environ).name
    try:
        engine = Engine.connect(os.environ)
    except EngineError:
        if run is None:
            raise
        yield Fleets(fleet, run, None, project)
        return
    with engine:
        yield Fleets(fleet, run, engine, project)


def run_of(config: Path) -> Run | None:
    """Return the ``flotilla run`` of a config that answers, if there is one."""
    from app.runtime.ask import RUN_SOCKET, NoAnswerError, ask, control_socket

    socket = control_socket(config.parent / RUN_SOCKET)
    if not socket.exists():
        return None
    try:
        return Run(socket, ask(socket, {"do": "status"}))
    except NoAnswerError:
        return None
