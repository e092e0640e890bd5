"""``flotilla top``: how every bot does, live."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from app.cli.containers import DEFAULT_CONFIG, BotsArgument, ConfigOption
from app.errors import EXIT_USAGE, FlotillaError

INTERVAL = 3.0


class NoTerminalError(FlotillaError):
    """There is no terminal to show something on."""

    exit_code = EXIT_USAGE


def top(
    bots: BotsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.5)] = INTERVAL,
) -> None:
    """Show how every bot does, again and again, until q or Ctrl+C; see `flotilla status`."""
    if not sys.stdout.isatty():
        raise NoTerminalError("top needs a terminal; use 'flotilla status' instead, or 'flotilla status --json'")
    from rich.console import Console, Group
    from rich.live import Live

    from app.cli.status import picture, rows_of
    from app.cli.whereabouts import fleets

    console = Console()
    with fleets(config) as found, _single_keys(), contextlib.suppress(KeyboardInterrupt):
        survey = found.survey()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                rows = rows_of(found, bots or (), survey)
                parts = picture(found, *rows, console.width)
                headline = f"{time.strftime('%H:%M:%S')}  q ends"
                live.update(Group(headline, *parts), refresh=True)
                if _is_end(interval):
                    return


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Get keys without Enter, where they come from a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_end(seconds: float) -> bool:
    """Wait so long, or until somebody wants to end it."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0] and sys.stdin.read(1) in ("q", "Q", ""):
            return True
    return False
