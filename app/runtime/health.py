"""The heartbeat file, by which a container's health check sees that the host is well without starting a Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

HEARTBEAT_SECONDS = 5.0


async def beat(file: Path, is_healthy: Callable[[], bool]) -> None:
    """Touch the file every five seconds while the host is healthy, until cancelled."""
    while True:
        if is_healthy():
            file.touch()  # noqa: ASYNC240 - on a tmpfs, which never waits
        await asyncio.sleep(HEARTBEAT_SECONDS)
