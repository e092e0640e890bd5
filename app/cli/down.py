"""``flotilla down``: remove the fleet's containers."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.containers import DEFAULT_CONFIG, ConfigOption, engine_and_project

VOLUMES = "this deletes the database of project {name!r} with all learners and their answers; go on?"


def down(
    config: ConfigOption = DEFAULT_CONFIG,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the database and all other data, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
) -> None:
    """Stop the fleet and remove its containers; the database stays.

    With --volumes it goes, too. To stop bots without removing anything: flotilla stop.
    """
    with engine_and_project(config) as (engine, project):
        containers = engine.containers(project.name)
        if volumes and not (yes or dry_run):
            typer.confirm(VOLUMES.format(name=project.name), abort=True)
        if not dry_run:
            project.down(volumes=volumes)
    for container in containers:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {container.name}")
    if volumes:
        typer.echo(f"{'would delete' if dry_run else 'deleted'} the volumes of project {project.name!r}")
    elif not containers:
        typer.echo(f"project {project.name!r} has no containers")
