"""A stage for each test, on the tests' PostgreSQL or on one of its own, and hosts that are processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from tests.stage import Stage


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A sandbox, a database and an empty scripts folder; hosts are started by the test."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, database_url, scripts)
        yield stage
        await stage.close()
