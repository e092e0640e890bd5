"""Cancellations that come while a connection is waited for."""

from __future__ import annotations

import asyncio

from app.store.store import Store

MOMENTS = 300


async def ask_for_ever(store: Store) -> None:
    while True:
        await store.stranded(["bot"])


async def test_no_cancellation_is_lost(database_url: str) -> None:
    """Of tasks that share one connection, at every moment of the way of one to it."""
    async with await Store.open(database_url, max_connections=1) as store:
        for moment in range(MOMENTS):
            tasks = {asyncio.create_task(ask_for_ever(store)) for _ in range(4)}
            for _ in range(moment):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            _, lost = await asyncio.wait(tasks, timeout=10)
            assert not lost, f"cancelled {moment} steps of the loop after the start"
