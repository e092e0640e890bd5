"""``flotilla generate``: write the deployment's files from the config."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import EXIT_FAILED, EXIT_USAGE, FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Fleet

SCHEMA_FILE = "bots_config.schema.json"


class Target(StrEnum):
    """What the files are for."""

    COMPOSE = "compose"
    SWARM = "swarm"
    KUBERNETES = "kubernetes"
    SYSTEMD = "systemd"
    SCHEMA = "schema"


class UnsupportedTargetError(FlotillaError):
    """A target that a later version will know."""

    exit_code = EXIT_USAGE


def generate(
    config: Annotated[Path, typer.Option(help="The fleet.")] = Path("bots_config.yaml"),
    output: Annotated[Path | None, typer.Option(help="The file to write. [default: beside the config]")] = None,
    scripts: Annotated[Path | None, typer.Option(help="The folder with the courses.")] = None,
    target: Annotated[Target, typer.Option(help="What the file is for; schema: JSON Schema of the config.")] = (
        Target.COMPOSE
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the file is not current.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would change.")] = False,
) -> None:
    """Write compose.yaml from the config.

    It needs no secrets: the file refers to them by their variables.
    """
    file, text = _generated(target, config, scripts)
    path = output or config.parent / file
    changed = difference(path, text)
    if not changed:
        typer.echo(f"{path} is up to date")
    elif check:
        typer.echo(changed, nl=False)
        typer.echo(f"{path} is not what {config} says; run 'flotilla generate{_option(target)}'", err=True)
        raise typer.Exit(EXIT_FAILED)
    elif dry_run:
        typer.echo(changed, nl=False)
    else:
        write(path, text)
        typer.echo(f"wrote {path}")


def _generated(target: Target, config: Path, scripts: Path | None) -> tuple[str, str]:
    """Return the usual name and the text of a target's file."""
    match target:
        case Target.COMPOSE:
            from app.deploy.compose import compose

            fleet = _fleet(config, scripts)
            text = compose(fleet)
            _warn_of_unset(text, fleet)
            return "compose.yaml", text
        case Target.SCHEMA:
            from app.config.schema import schema

            return SCHEMA_FILE, schema()
        case _:
            raise UnsupportedTargetError(f"target {target.value!r} is not supported yet; use 'compose'")


def _fleet(config: Path, scripts: Path | None) -> Fleet:
    import os

    from app.config.load import load_fleet

    fleet = load_fleet(config, os.environ, scripts, need_secrets=False)
    for warning in fleet.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return fleet


def _warn_of_unset(text: str, fleet: Fleet) -> None:
    from app.deploy.compose import unset_variables

    names = unset_variables(text, fleet.environ)
    if names:
        path = fleet.path.parent / ".env"
        typer.echo(f"warning: before you start, put {', '.join(names)} into {path}", err=True)


def difference(path: Path, text: str) -> str:
    """Return a unified diff from the file to the text; empty if they are the same."""
    from difflib import unified_diff

    try:
        current = path.read_bytes().decode(errors="replace") if path.exists() else ""
    except OSError as error:
        raise FlotillaError(f"{path} cannot be read: {error.strerror}") from error
    if current == text:
        return ""
    old, new = current.splitlines(keepends=True), text.splitlines(keepends=True)
    return "".join(unified_diff(old, new, str(path), f"{path} (generated)"))


def write(path: Path, text: str) -> None:
    """Replace the file in one step, so that it is never half written."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(text.encode())
        draft.replace(path)
    except OSError as error:
        raise FlotillaError(f"{path} cannot be written: {error.strerror}") from error


def _option(target: Target) -> str:
    return "" if target is Target.COMPOSE else f" --target {target.value}"
