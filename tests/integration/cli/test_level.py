"""``flotilla log-level``, of a run that answers beside the config."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from app.runtime.ask import RUN_SOCKET
from app.runtime.desk import Desk, listening
from tests.integration.cli.conftest import call


class Part(Desk):
    """A run that was started with one of two bots."""

    def __init__(self) -> None:
        self.levels: list[dict[str, Any]] = []

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "level":
            self.levels.append(request)
        return {"pid": os.getpid(), "bots": [{"bot": "b", "state": "polling"}]}


@pytest.mark.parametrize("names", [(), ("b",)])
async def test_only_bots_that_run_are_named(folder: Path, names: tuple[str, ...]) -> None:
    (folder / "scripts").mkdir()
    (folder / "scripts" / "courses.yml").write_text("default: {path: course.yml}")
    (folder / "bots_config.yaml").write_text("telegram: sandbox\nbots: [{name: a}, {name: b}]\n")
    run = Part()
    async with listening(folder / RUN_SOCKET, run):
        assert await asyncio.to_thread(call, "log-level", "debug", *names) == ["b: debug"]
    assert run.levels == [{"do": "level", "bot": names[0] if names else None, "level": "debug"}]
