"""``flotilla up``: bring the fleet's containers to what the config says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption, engine_and_project, with_images
from app.errors import EXIT_CONFIG, EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.config.fleet import Fleet
    from app.deploy.docker import Engine
    from app.deploy.plan import Plan
    from app.deploy.project import Project
    from app.deploy.rollout import Step

TIMEOUT = 180
"""Seconds for a service to become healthy; the health check of a bot is patient for two minutes."""

EXIT_INTERRUPTED = 130
"""What shells expect of a program that Ctrl+C has ended."""

SMALLEST_BATCH = 4
"""So many bots are started at once also on a machine with one processor; else two for each."""


def up(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scripts: Annotated[Path | None, typer.Option(help="The folder with the courses.")] = None,
    profile: Annotated[list[str] | None, typer.Option(help="Start the services of this profile, too.")] = None,
    timeout: Annotated[int, typer.Option(help="Seconds for a bot to become healthy.", min=1)] = TIMEOUT,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
) -> None:
    """Start the fleet in containers, or apply what has changed.

    Writes compose.yaml, checks the courses, shows what will change, and waits until every bot is healthy. Bots that
    are as the config says go on undisturbed. Exits with 1 if a bot fails; the others are started all the same.
    """
    from app.cli.progress import last_lines, show_changes, show_failure

    fleet, text = _checked(config, scripts)
    _alone(config)
    with engine_and_project(config) as (engine, project), _interruptible():
        if not dry_run:
            _prepare(fleet, project, text, is_quiet=json)
        plan = _plan(engine, project, fleet, text, bots or (), profile or ())
        if not json:
            show_changes(plan.changes)
        _start_stopped(engine, fleet, plan, dry_run=dry_run)
        failed = [] if dry_run else _apply(engine, project, fleet, plan, timeout, is_quiet=json)
        # One that was refused has written nothing; what is there is of the container before.
        logs = [last_lines(engine, project.name, step.service) if step.seconds else [] for step in failed]
    if json:
        _print_json(plan, failed, logs, dry_run=dry_run)
    for step, log in zip(failed, logs, strict=True):
        if log or json:  # without a log, its line has said all
            show_failure(step, log)
    if failed:
        raise typer.Exit(EXIT_FAILED)
    if not json and not dry_run:
        _show_page(plan)


def _checked(config: Path, scripts: Path | None) -> tuple[Fleet, str]:
    """Return the fleet and its compose.yaml; says what is wrong and exits with 78 if the config or a course is."""
    import os

    from app.cli.check import check_fleet, prove_all
    from app.cli.findings import Format, print_findings
    from app.config.load import load_fleet
    from app.deploy.compose import compose

    findings, shelves = check_fleet(config, scripts)
    prove_all(findings, shelves)
    if findings.errors:
        print_findings(findings, Format.TEXT)
        raise typer.Exit(EXIT_CONFIG)
    fleet = load_fleet(config, os.environ, scripts)
    for warning in fleet.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return fleet, compose(fleet)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say what becomes of the fleet when Ctrl+C comes in the middle: bots may be made and not started."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; what has started goes on, and `flotilla up` does the rest", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _alone(config: Path) -> None:
    """Refuse to start bots that run without containers: the two would take each other's updates."""
    from app.cli.whereabouts import run_of
    from app.errors import FlotillaError

    if (run := run_of(config)) is not None:
        raise FlotillaError(f"the fleet of {config} runs in a flotilla run (pid {run.status['pid']}); stop that first")


def _prepare(fleet: Fleet, project: Project, text: str, *, is_quiet: bool) -> None:
    """Write compose.yaml; build the image if the config names none and this is a checkout."""
    from app.cli.generate import difference, write

    path = project.folder / "compose.yaml"
    if difference(path, text):
        write(path, text)
        typer.echo(f"wrote {path}", err=True)
    if fleet.image is None and (project.folder / "Dockerfile").is_file():
        project.build(quiet=is_quiet)


def _plan(
    engine: Engine, project: Project, fleet: Fleet, text: str, names: Sequence[str], profiles: Collection[str]
) -> Plan:
    import os

    from app.deploy.plan import plan_of
    from app.deploy.target import targets

    services = with_images(project.services(text), engine)
    chosen = {target.service for target in targets(fleet, names, services)}
    active = {*profiles, *fleet.environ.get("COMPOSE_PROFILES", "").split(",")}
    return plan_of(services, engine.containers(project.name), os.path.realpath(project.folder), chosen, active)


def _start_stopped(engine: Engine, fleet: Fleet, plan: Plan, *, dry_run: bool) -> None:
    """Start bots that were stopped alone in containers that go on; what cannot be done is told."""
    from app.deploy.change import Kind
    from app.deploy.compose import hosts_of
    from app.deploy.survey import ask_host, stopped_in
    from app.errors import FlotillaError

    groups = {service for service, bots in hosts_of(fleet).items() if len(bots) > 1}
    same = groups & {change.service for change in plan.changes if change.kind is Kind.SAME}
    for container in plan.containers:
        stopped = stopped_in(engine, container) if container.service in same else []
        if not stopped:
            continue
        typer.echo(f"{'would start' if dry_run else 'starting'} {', '.join(stopped)} in {container.name}", err=True)
        try:
            note = "" if dry_run else ask_host(engine, container, do="start", bot=None).get("note", "")
        except FlotillaError as error:
            note = str(error)
        if note:
            typer.echo(f"{container.name}: {note}", err=True)


def _apply(engine: Engine, project: Project, fleet: Fleet, plan: Plan, timeout: int, *, is_quiet: bool) -> list[Step]:
    """Do what is planned; return the last steps of the services that failed."""
    from app.cli.progress import progress
    from app.config.settings import TELEGRAM_API_URL
    from app.deploy.compose import hosts_of
    from app.deploy.rollout import Rollout, Stage

    for container in plan.gone:
        engine.stop(container.id)
        engine.remove(container.id)
    bots = {service: len(bots) for service, bots in hosts_of(fleet).items()}
    phases = plan.phases(bots, max(SMALLEST_BATCH, 2 * engine.machine().cpus))
    rollout = Rollout(engine, project, timeout, is_limited=fleet.telegram_url == TELEGRAM_API_URL)
    total = sum(len(batch.services) for phase in phases for batch in phase.batches)
    failed = []
    with progress(total, is_quiet=is_quiet) as tell:
        for told in rollout.run(phases, plan.jobs):
            step = _explained(told, engine, plan)
            tell(step)
            failed += [step] if step.stage is Stage.FAILED else []
    return failed


def _explained(step: Step, engine: Engine, plan: Plan) -> Step:
    """Say it in our words if a service fails because a port that it publishes is taken."""
    from dataclasses import replace

    from app.cli.checkup.machine import port_remedy, taken
    from app.deploy.rollout import Stage

    if step.stage is not Stage.FAILED or step.seconds or not engine.machine().host.startswith("unix://"):
        return step
    for port in plan.services[step.service].ports:
        if (trouble := taken(port)) is not None:
            return replace(step, why=f"port {port.number} of {port.address} {trouble}; {port_remedy(port)}")
    return step


def _show_page(plan: Plan) -> None:
    """Say where the sandbox's chat page is."""
    sandbox = plan.services.get("sandbox")
    for port in sandbox.ports if sandbox else ():
        typer.echo(f"chat page http://{port.address}:{port.number}")


def _print_json(plan: Plan, failed: Sequence[Step], logs: Sequence[Sequence[str]], *, dry_run: bool) -> None:
    from dataclasses import asdict

    from app.cli.database import print_json

    failures = [{"service": step.service, "why": step.why, "log": log} for step, log in zip(failed, logs, strict=True)]
    print_json({"changes": [asdict(change) for change in plan.changes], "failed": failures, "dry_run": dry_run})
