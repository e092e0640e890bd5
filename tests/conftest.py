"""Fixtures that several packages share: a real PostgreSQL with a fresh database per test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from app.store.embedded import EmbeddedPostgres
from app.store.migrate import migrate
from app.store.store import Store

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile("suite", deadline=None, derandomize=True, database=None, suppress_health_check=_QUIET)
settings.register_profile("long", deadline=None, max_examples=20_000, suppress_health_check=_QUIET)
# The suite tries the same examples each time; FLOTILLA_FUZZ=long looks for new ones.
settings.load_profile("long" if os.environ.get("FLOTILLA_FUZZ") == "long" else "suite")


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder for an embedded PostgreSQL.

    Not in ``tmp_path``: every pytest that starts closes the folder of all for users other than its own, and a server
    that root starts runs as another.
    """
    with TemporaryDirectory(prefix="flotilla-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server of this test process; TEST_DATABASE_URL names another one to use."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with (
        TemporaryDirectory(prefix="flotilla-test-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as url,
    ):
        yield url


class Databases:
    """Makes databases on the server, and drops them all at the end."""

    def __init__(self, postgres_url: str) -> None:
        self._postgres_url = postgres_url
        self._server = psycopg.connect(postgres_url, autocommit=True)
        self._prefix = f"flotilla_test_{uuid4().hex[:8]}"
        self._numbers = count(1)

    def create(self, template: str = "template0") -> str:
        """Return the name of a new database, a copy of the template."""
        name = f"{self._prefix}_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._server.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name: str) -> None:
        self._server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        return make_conninfo(self._postgres_url, dbname=name)

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[Databases]:
    """The means to make databases on the server."""
    databases = Databases(postgres_url)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def template(databases: Databases) -> Iterator[str]:
    """The name of a database with all migrations applied, to be copied."""
    name = databases.create()
    migrate(databases.url(name))
    yield name
    databases.drop(name)


@pytest.fixture
def database_url(databases: Databases, template: str) -> Iterator[str]:
    """A fresh database with all migrations applied."""
    name = databases.create(template)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A fresh database without any table."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """The store of a fresh database."""
    async with await Store.open(database_url) as store:
        yield store
