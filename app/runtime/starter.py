"""Who started this process: what is told to systemd, and how it is noticed that a parent is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

STOP_AT_EOF = "STOP_AT_EOF"
"""Variable; ``true`` when standard input is held open by a parent without which this process must not go on."""

LAST_WORDS_SECONDS = 30.0
"""How long a process may take to stop without its parent; a stop that is not stuck takes less."""


def tell_manager(message: str) -> None:
    """Send one message of systemd's sd_notify protocol; without effect where nobody asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, suppress(OSError):
        out.sendto(message.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


async def tell_of_life() -> None:
    """Tell systemd again and again that the event loop turns, if it watches; until cancelled."""
    interval = watch_interval(os.environ)
    while interval is not None:
        tell_manager("WATCHDOG=1")
        await asyncio.sleep(interval)


def watch_interval(environ: Mapping[str, str]) -> float | None:
    """Return after how many seconds a sign of life is due: half of what systemd waits; None if it does not."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdecimal() else None


def stop_with_parent(environ: Mapping[str, str]) -> None:
    """Stop this process, by SIGTERM and then for good, when its parent is gone; only if ``environ`` says so.

    A thread looks, so that a loop that is stuck does not outlive the parent either.
    """
    if environ.get(STOP_AT_EOF) == "true":
        threading.Thread(target=_until_gone, name="parent", daemon=True).start()


def _until_gone() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_WORDS_SECONDS)
    os._exit(1)
