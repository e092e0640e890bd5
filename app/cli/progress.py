"""How a rollout looks: what will change, what has become of it, and why something failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from app.cli.lines import Lines
from app.deploy.change import Change, Kind
from app.deploy.rollout import Stage, Step

if TYPE_CHECKING:
    from app.deploy.docker import Engine

LOG_LINES = 10
"""How much of the log of a service that failed is shown."""

_COLORS = {
    Kind.NEW: typer.colors.GREEN,
    Kind.START: typer.colors.GREEN,
    Kind.CHANGED: typer.colors.YELLOW,
    Kind.IMAGE: typer.colors.YELLOW,
    Kind.RESTART: typer.colors.YELLOW,
    Kind.SCALE: typer.colors.YELLOW,
    Kind.SAME: typer.colors.WHITE,
    Kind.GONE: typer.colors.RED,
    Kind.OTHER: typer.colors.MAGENTA,
}


def show_changes(changes: Sequence[Change]) -> None:
    """Print a line per service that changes, and how many do not."""
    width = max((len(change.service) for change in changes), default=0)
    different = [change for change in changes if change.kind is not Kind.SAME]
    for change in different:
        kind = typer.style(f"{change.kind.value:8}", fg=_COLORS[change.kind])
        typer.echo(f"{kind} {change.service:{width}}  {change.why}".rstrip())
    same = len(changes) - len(different)
    if same:
        typer.echo(f"{Kind.SAME.value:8} {same} service{'' if same == 1 else 's'}")


@contextmanager
def progress(total: int, *, is_quiet: bool = False) -> Iterator[Callable[[Step], None]]:
    """Print what becomes of each service, with a bar on a terminal; yields what is to be told of every step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    starting: list[str] = []
    with Progress(*columns, console=console, transient=True, disable=is_quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def tell(step: Step) -> None:
            if step.stage is Stage.STARTING:
                starting.append(step.service)
            else:
                starting.remove(step.service)
                bar.advance(task)
            bar.update(task, description=", ".join(starting))
            if step.stage is not Stage.STARTING and not is_quiet:
                bar.print(_line(step), soft_wrap=True) if console.is_terminal else typer.echo(_line(step))

        yield tell


def _line(step: Step) -> str:
    if step.stage is Stage.READY:
        return f"ready    {step.service} ({step.seconds:.1f} s)"
    return f"failed   {step.service}: {step.why}"


def last_lines(engine: Engine, project: str, service: str) -> list[str]:
    """Return the end of the log of a service's first container."""
    found = [container for container in engine.containers(project) if container.service == service]
    return [line.text for line in engine.logs(found[0].id, tail=LOG_LINES)] if found else []


def show_failure(step: Step, log: Sequence[str]) -> None:
    """Print why a service failed, and the end of its log."""
    typer.secho(
        f"\n{step.service}: {step.why}" + ("; the end of its log:" if log else ""), fg=typer.colors.RED, err=True
    )
    lines = Lines()
    for line in log:
        typer.echo(f"  {lines.body(line)}", err=True)
