"""Cancellations that come while a connection is waited for, given back or replaced."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from app.store.errors import StoreUnavailable
from app.store.store import Store

MOMENTS = 300
LAST_MOMENTS = 60

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"


async def ask_for_ever(store: Store) -> None:
    while True:
        await store.stranded(["bot"])


async def pass_moments(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_cancellation_is_lost(database_url: str) -> None:
    """Of tasks that share one connection, at every moment of the way of one to it."""
    async with await Store.open(database_url, max_connections=1) as store:
        for moment in range(MOMENTS):
            tasks = {asyncio.create_task(ask_for_ever(store)) for _ in range(4)}
            await pass_moments(moment)
            for task in tasks:
                task.cancel()
            _, lost = await asyncio.wait(tasks, timeout=10)
            assert not lost, f"cancelled {moment} steps of the loop after the start"


async def test_no_connection_is_lost(database_url: str) -> None:
    """Who is cancelled one after the other leaves the only connection to the next."""

    async def use_it(store: Store) -> None:
        while True:
            async with store.turn("bot"):
                await asyncio.sleep(0)

    for moment in range(LAST_MOMENTS):
        async with await Store.open(database_url, max_connections=1) as store:
            tasks = [asyncio.create_task(use_it(store)) for _ in range(4)]
            for task in tasks:
                await pass_moments(moment)
                task.cancel()
            await asyncio.wait(tasks)
            await store.stranded(["bot"])


async def test_a_cancellation_while_connections_are_replaced_is_not_lost(database_url: str) -> None:
    server = psycopg.connect(database_url, autocommit=True)

    async def ask_in_spite_of_all(store: Store) -> None:
        while True:
            with pytest.raises(StoreUnavailable):
                await ask_for_ever(store)

    for moment in range(LAST_MOMENTS):
        async with await Store.open(database_url, max_connections=2) as store:
            async with store.turn("bot"), store.turn("bot"):
                pass
            server.execute(CUT, [server.info.backend_pid])
            task = asyncio.create_task(ask_in_spite_of_all(store))
            await pass_moments(moment)
            task.cancel()
            _, lost = await asyncio.wait({task}, timeout=10)
            assert not lost, f"cancelled {moment} steps of the loop after the start"
    server.close()
