"""How tasks are made to end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from app.runtime import crew


async def test_what_outlasts_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "CANCEL_SECONDS", 0.0)

    async def outlast(count: int) -> None:
        for _ in range(count):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    tasks = [asyncio.create_task(outlast(count)) for count in range(1, 4)]
    await asyncio.sleep(0)
    await crew.cancelled(tasks)
    assert all(task.done() for task in tasks)


async def test_nothing_is_cancelled_at_once() -> None:
    await crew.cancelled([])
