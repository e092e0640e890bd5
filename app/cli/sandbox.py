"""``flotilla sandbox``: a Telegram of one's own, with a chat page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from typing import Annotated

import typer

PORT = 8080


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            envvar="SANDBOX_PORT", help="Port to listen on. [default: SANDBOX_PORT of .env, or 8080]", min=0, max=65535
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse messages above Telegram's limits.")] = False,
) -> None:
    """Serve a local Bot API and a chat page.

    One can be a learner there. Any well-formed token is a bot; it shows up when it is first used.
    """
    from app.runtime.loop import run

    run(_serve(host, _port_of_this_folder() if port is None else port, strict))


def _port_of_this_folder() -> int:
    """Return the port at which the fleet of this folder expects its sandbox."""
    from pathlib import Path

    from app.config.load import read_environment
    from app.errors import FlotillaError

    text = read_environment(Path(), os.environ).get("SANDBOX_PORT") or str(PORT)
    if not text.isdecimal():
        raise FlotillaError(f".env: SANDBOX_PORT is {text!r}; write a port from 1 to 65535")
    return int(text)


async def _serve(host: str, port: int, strict: bool) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_sandbox(host, port, is_strict=strict) as url:
        print(f"the sandbox's Bot API and chat page are at {url}", flush=True)
        await stop.wait()


@contextlib.asynccontextmanager
async def running_sandbox(
    host: str, port: int, tokens: Iterable[str] = (), *, is_strict: bool = False
) -> AsyncIterator[str]:
    """Run a sandbox that knows the bots of these tokens for the length of the block, and give its address."""
    from app.errors import FlotillaError
    from app.sandbox.server import Sandbox

    server = Sandbox(is_strict=is_strict)
    for token in tokens:
        server.world.bot(token)
    try:
        url = await server.start(host, port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        remedy = "stop the program that uses it, or choose another with --port"
        raise FlotillaError(f"port {port} of {host} cannot be used ({reason}); {remedy}") from error
    try:
        yield url
    finally:
        await server.stop()
