"""The end of a process, and the garbage collector of a host."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest

from app.runtime import loop
from app.runtime.loop import run, spare_the_collector


def test_what_refuses_to_end_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "REST_SECONDS", 0.0)
    tasks = []

    async def refuse() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def work() -> str:
        tasks.append(asyncio.create_task(refuse()))
        await asyncio.sleep(0)
        return "done"

    assert run(work()) == "done"
    assert "a task refuses to be cancelled" in capsys.readouterr().out


def test_what_the_start_leaves_is_not_collected_again() -> None:
    before = gc.get_threshold()
    try:
        spare_the_collector()

        assert gc.get_freeze_count() > 10_000
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
