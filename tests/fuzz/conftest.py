"""A store and its event loop for many examples of one test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import psycopg
import pytest

from app.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Database:
    """A database; ``run`` waits for what is done with its store, always in the same event loop."""

    url: str
    store: Store
    runner: asyncio.Runner
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self.runner.run(wait())

    def new_bot(self) -> str:
        """Return the name of a bot that nobody has used yet."""
        return f"bot{next(self.numbers)}"

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database for one test."""
    with asyncio.Runner() as runner:
        opened: Callable[[str], Awaitable[Store]] = Store.open

        async def open_() -> Store:
            return await opened(database_url)

        store = runner.run(open_())
        yield Database(database_url, store, runner)
        runner.run(store.close())
