"""``flotilla generate``: write the deployment's files from the config."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from app.errors import EXIT_FAILED, EXIT_USAGE, FlotillaError

if TYPE_CHECKING:
    from app.config.fleet import Fleet
    from app.deploy.systemd import Place

SCHEMA_FILE = "bots_config.schema.json"

UNITS_FOLDER = "systemd"


class Target(StrEnum):
    """What the files are for."""

    COMPOSE = "compose"
    SWARM = "swarm"
    KUBERNETES = "kubernetes"
    SYSTEMD = "systemd"
    SUPERVISOR = "supervisor"
    SCHEMA = "schema"


class UnsupportedTargetError(FlotillaError):
    """A target that a later version will know."""

    exit_code = EXIT_USAGE


def generate(
    config: Annotated[Path, typer.Option(help="The fleet.")] = Path("bots_config.yaml"),
    output: Annotated[
        Path | None, typer.Option(help="The file to write, for systemd the folder. [default: beside the config]")
    ] = None,
    scripts: Annotated[Path | None, typer.Option(help="The folder with the courses.")] = None,
    target: Annotated[Target, typer.Option(help="What the file is for; schema: JSON Schema of the config.")] = (
        Target.COMPOSE
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the file is not current.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would change.")] = False,
) -> None:
    """Write compose.yaml from the config, or units of systemd, or a file for supervisord.

    It needs no secrets: what is written refers to them by their variables.
    """
    texts = _generated(target, config, scripts, output)
    obsolete = _obsolete(output or config.parent / UNITS_FOLDER, texts) if target is Target.SYSTEMD else []
    changes = {path: difference(path, text) for path, text in {**texts, **dict.fromkeys(obsolete, "")}.items()}
    changed = [path for path in changes if changes[path]]
    for path in texts if not changed else ():
        typer.echo(f"{path} is up to date")
    if check or dry_run:
        typer.echo("".join(changes.values()), nl=False)
    else:
        _make_folders(target, config, output)
        _write_all(texts, changed)
    if changed and check:
        names = ", ".join(map(str, changed))
        verb = "is" if len(changed) == 1 else "are"
        typer.echo(f"{names} {verb} not what {config} says; run 'flotilla generate{_option(target)}'", err=True)
        raise typer.Exit(EXIT_FAILED)


def _make_folders(target: Target, config: Path, output: Path | None) -> None:
    """Make the folder of the units, and the one that supervisord wants for its own files."""
    from app.deploy.supervisor import STATE

    wanted = {Target.SYSTEMD: output or config.parent / UNITS_FOLDER, Target.SUPERVISOR: config.parent / STATE}
    if target in wanted:
        wanted[target].mkdir(parents=True, exist_ok=True)


def _write_all(texts: Mapping[Path, str], changed: Sequence[Path]) -> None:
    """Write the files that have changed, and remove those that are not wanted any more."""
    for path in changed:
        if path in texts:
            write(path, texts[path])
            typer.echo(f"wrote {path}")
        else:
            path.unlink()
            typer.echo(f"removed {path}")


def _generated(target: Target, config: Path, scripts: Path | None, output: Path | None) -> dict[Path, str]:
    """Return the texts of a target's files."""
    match target:
        case Target.COMPOSE:
            from app.deploy.compose import compose, unset_variables

            fleet = _fleet(config, scripts)
            text = compose(fleet)
            _warn_of_unset(unset_variables(text, fleet.environ), fleet)
            return {output or config.parent / "compose.yaml": text}
        case Target.SCHEMA:
            from app.config.schema import schema

            return {output or config.parent / SCHEMA_FILE: schema()}
        case Target.SYSTEMD:
            from app.deploy.systemd import units

            fleet, folder = _fleet(config, scripts), output or config.parent / UNITS_FOLDER
            _warn_of_environment(fleet, needs_plain_lines=True)
            return {folder / name: text for name, text in units(fleet, _place(config, scripts), folder).items()}
        case Target.SUPERVISOR:
            from app.deploy.supervisor import supervisord

            fleet = _fleet(config, scripts)
            _warn_of_environment(fleet)
            return {output or config.parent / "supervisord.conf": supervisord(fleet, _place(config, scripts))}
        case Target.SWARM | Target.KUBERNETES:
            raise UnsupportedTargetError(f"target {target.value!r} is not supported yet; use 'compose'")
        case _:
            assert_never(target)


def _place(config: Path, scripts: Path | None) -> Place:
    """Say where things are on this machine."""
    from app.deploy.systemd import Place

    code = Path(__file__).resolve().parents[2]
    needed = (Path(sys.prefix), Path(sys.base_prefix).resolve(), code)
    return Place(config.resolve(), Path(sys.executable), needed, scripts.resolve() if scripts else None)


def _obsolete(folder: Path, texts: Mapping[Path, str]) -> list[Path]:
    """List the units in the folder that were generated for bots that are gone."""
    from app.deploy.systemd import HEADER

    mark = HEADER.partition("{")[0].encode()
    found = sorted(path for path in folder.glob("flotilla*") if path not in texts and path.is_file())
    return [path for path in found if path.read_bytes().startswith(mark)]


def _warn_of_environment(fleet: Fleet, *, needs_plain_lines: bool = False) -> None:
    """Say what the bots will lack when they are started."""
    from app.deploy.process import variables_of
    from app.deploy.systemd import misread_lines

    _warn_of_unset([name for name in variables_of(fleet) if not fleet.environ.get(name)], fleet)
    path = fleet.path.parent / ".env"
    if needs_plain_lines and path.is_file():
        for number in misread_lines(path.read_text(encoding="utf-8")):
            remedy = "write NAME=value, without 'export', and comments in lines of their own"
            typer.echo(f"warning: {path}:{number}: systemd reads this line otherwise; {remedy}", err=True)


def _fleet(config: Path, scripts: Path | None) -> Fleet:
    import os

    from app.config.load import load_fleet

    fleet = load_fleet(config, os.environ, scripts, need_secrets=False)
    for warning in fleet.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return fleet


def _warn_of_unset(names: Sequence[str], fleet: Fleet) -> None:
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
