"""The database: is it there, has it the schema of this version, has it connections for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.cli.checkup.finding import Finding, fail, ok, warning
from app.deploy.compose import CONNECTIONS_PER_HOST, hosts_of
from app.errors import FlotillaError
from app.store.connection import wait_until_ready
from app.store.errors import StoreError
from app.store.schema import SchemaMismatch, known_migrations
from app.store.store import Store

if TYPE_CHECKING:
    from app.config.fleet import Fleet


async def examine_database(fleet: Fleet, environ: Mapping[str, str]) -> list[Finding]:
    """Look at the database of ``DATABASE_URL``, else at that of the containers, else at that of ``flotilla run``.

    None is started for that.
    """
    try:
        with _way(fleet, environ) as (place, url):
            if url is None:
                return [warning("database", place, "`flotilla up` or `flotilla run` starts it")]
            if not url:
                return [
                    fail("database", place, "`flotilla start postgres` starts it; `flotilla logs postgres` says why")
                ]
            return await _examine(fleet, place, url)
    except FlotillaError as error:
        return [warning("database", f"not checked: {error}")]


@contextmanager
def _way(fleet: Fleet, environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Lend what the database is called and its URL; ``None`` when none runs, empty when bots run without it.

    Raises ``FlotillaError``.
    """
    folder = fleet.path.parent
    if url := fleet.environ.get("DATABASE_URL"):
        yield "the one in DATABASE_URL", url
        return
    embedded = folder / ".flotilla" / "postgres"
    if (embedded / "postmaster.pid").exists():
        from app.store.embedded import running_url

        yield f"of `flotilla run` in {embedded}", running_url(embedded)
        return
    if not (folder / "compose.yaml").exists():
        yield "none runs yet", None
        return
    from app.deploy.docker import Engine
    from app.deploy.postgres import running_postgres, way_to
    from app.deploy.project import Project

    with Engine.connect(environ, 5) as engine:
        project = Project.of(fleet.path, environ)
        container = running_postgres(engine, project)
        bots = {one.service for one in engine.containers(project.name) if one.is_running} & set(hosts_of(fleet))
    if container is None:
        yield ("its container does not run, and bots do", "") if bots else ("its container does not run", None)
        return
    with way_to(container, fleet.environ) as url:
        yield f"in container {container.name}", url


async def _examine(fleet: Fleet, place: str, url: str) -> list[Finding]:
    try:
        await wait_until_ready(url, 0, lambda _seconds, _reason: None)
        async with await Store.open(url, max_connections=1) as store:
            await store.check_schema()
            situation = await store.watch.situation()
    except SchemaMismatch as error:
        return [ok("database", place), fail("schema", str(error))]
    except StoreError as error:
        return [fail("database", str(error))]
    hosts = sum(bots[0].replicas for bots in hosts_of(fleet).values())
    used = f"{situation.connections} of {situation.max_connections} connections are in use"
    found = [ok("database", f"{place}, {used}"), ok("schema", known_migrations()[-1])]
    if hosts * CONNECTIONS_PER_HOST > situation.max_connections:
        remedy = "raise max_connections of PostgreSQL, or let bots share containers (group: NAME)"
        found.append(warning("database", f"{hosts} containers may want more connections than it admits", remedy))
    return found
