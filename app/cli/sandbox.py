"""``flotilla sandbox``: a Telegram of one's own, with a chat page."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

import typer


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
) -> None:
    """Serve a local Bot API and a chat page on which one can be a learner.

    FLOTILLA_SANDBOX_BOTS may hold the bots to be shown: [{"name": ..., "bot_name": ...}, ...]. Any well-formed token is a bot.
    """
    from app.runtime.loop import run

    bots = json.loads(os.environ.get("FLOTILLA_SANDBOX_BOTS") or "[]")
    run(_serve({bot["name"]: bot.get("bot_name") or bot["name"] for bot in bots}, host, port))


async def _serve(names: Mapping[str, str], host: str, port: int) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_sandbox(names, host, port) as url:
        print(f"the sandbox's Bot API and chat page are at {url}", flush=True)
        await stop.wait()


@contextlib.asynccontextmanager
async def running_sandbox(names: Mapping[str, str], host: str, port: int) -> AsyncIterator[str]:
    """Run a sandbox that knows these bots (name to username) for the length of the block, and give its address."""
    from app.config.tokens import sandbox_token
    from app.errors import FlotillaError
    from app.sandbox.server import Sandbox

    server = Sandbox({sandbox_token(name): (username, name) for name, username in names.items()})
    try:
        url = await server.start(host, port)
    except OSError as error:
        remedy = "stop the program that uses it, or choose another with --port"
        raise FlotillaError(f"port {port} of {host} cannot be used ({error.strerror}); {remedy}") from error
    try:
        yield url
    finally:
        await server.stop()
