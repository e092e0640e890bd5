"""What the commands for the fleet's containers share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.database import DEFAULT_CONFIG as DEFAULT_CONFIG

if TYPE_CHECKING:
    from app.deploy.change import Service
    from app.deploy.docker import Engine
    from app.deploy.project import Project

BotsArgument = Annotated[list[str] | None, typer.Argument(metavar="BOT", help="Names of bots, groups or services.")]
ConfigOption = Annotated[Path, typer.Option(help="The fleet.")]


@contextmanager
def engine_and_project(config: Path) -> Iterator[tuple[Engine, Project]]:
    """Connect to the engine, and name the Compose project of a config; raises when Compose cannot do its part."""
    from app.deploy.docker import Engine
    from app.deploy.project import Project

    project = Project.of(config, os.environ)
    with Engine.connect(os.environ) as engine:
        project.require()
        yield engine, project


def with_images(services: Mapping[str, Service], engine: Engine) -> dict[str, Service]:
    """Add what the services' images mean to the engine now."""
    found = {name: engine.image(name) for name in {service.image for service in services.values()} if name}
    ids = {name: image.id for name, image in found.items() if image}
    return {name: replace(service, image_id=ids.get(service.image)) for name, service in services.items()}
