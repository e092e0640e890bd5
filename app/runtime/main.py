"""The process of a container: reads the environment, waits for the database, runs its host until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from app.config.environment import host_settings_from_environment
from app.config.load import read_environment
from app.config.settings import HostSettings
from app.config.tokens import sandbox_name
from app.errors import FlotillaError
from app.observe.logs import Format, catch_defects, configure_logs, get_log, style_of
from app.observe.secrets import mask_tracebacks, masked
from app.observe.work import work_for
from app.runtime.ask import CONTAINER_SOCKET, control_socket
from app.runtime.console import console
from app.runtime.host import Host
from app.runtime.loop import SETTLED_SECONDS, run, spare_the_collector
from app.runtime.starter import stop_with_parent, tell_manager, tell_of_life
from app.runtime.watch import wait_and_tell
from app.store.connection import parameters_of, seldom, wait_until_ready

HEARTBEAT = Path("/tmp/flotilla-heartbeat")  # noqa: S108 - the container's own tmpfs; the health check looks at it
"""Where the heartbeat file is unless ``HEARTBEAT_FILE`` says otherwise: several processes of a machine need several."""
DATABASE_WAIT_SECONDS = 60.0

log = get_log(__name__)


def main() -> None:
    """Run the host that the environment describes; exit 78 when it is wrong, 1 when it cannot run."""
    mask_tracebacks()
    try:
        stop_with_parent(os.environ)
        environ = read_environment(Path(), os.environ)
        settings = host_settings_from_environment(environ, sys.argv[1:])
        start_logs(settings, environ)
        heartbeat = Path(environ.get("HEARTBEAT_FILE") or HEARTBEAT)
        run(serve(settings, control_socket(CONTAINER_SOCKET), heartbeat, place_of_host(environ)))
    except FlotillaError as error:
        print(masked(str(error)), file=sys.stderr)
        sys.exit(error.exit_code)


def start_logs(
    settings: HostSettings, environ: Mapping[str, str], style: Format | None = None, level: str | None = None
) -> None:
    """Log as the environment says, else in this style and at this level, and keep the secrets of the settings."""
    work_for([bot.name for bot in settings.bots])
    configure_logs(
        style_of(environ.get("LOG_FORMAT")) or style,
        level or environ.get("BOT_LOG_LEVEL") or environ.get("LOG_LEVEL") or "info",
        log_files(settings),
        secrets=secrets_of(settings),
        texts=environ.get("LOG_TEXTS") == "true",
    )
    catch_defects()


def secrets_of(settings: HostSettings) -> set[str]:
    """Return what nobody may read in a log."""
    alerts = settings.alerts
    found = {str(parameters_of(settings.database_url).get("password", "")), alerts.token if alerts else ""}
    for bot in settings.bots:
        voice = bot.dialog.voice if bot.dialog is not None else None
        found |= {"" if sandbox_name(bot.token) else bot.token, bot.webhook.secret_token if bot.webhook else ""}
        found |= {bot.dialog.api_key if bot.dialog else "", voice.api_key if voice else ""}
    return found - {""}


def log_files(settings: HostSettings) -> dict[str, Path]:
    """Return the log files that the bots want, by the names that their log lines carry."""
    named = [(name, bot.log_file) for bot in settings.bots for name in (bot.name, bot.bot_name)]
    return {name: file for name, file in named if file is not None}


def place_of_host(environ: Mapping[str, str]) -> str | None:
    """Return where bots that are stopped alone stay so: in this container, whose host name is another than any other's.

    ``None`` where whoever starts the process anew wants all its bots.
    """
    return f"container {platform.node()}" if environ.get("HOST_PLACE") == "container" else None


async def serve(settings: HostSettings, control: Path, heartbeat: Path | None = None, place: str | None = None) -> None:
    """Run a host until the process is told to stop; it can be asked at the socket ``control`` meanwhile."""
    leave_no_core()
    if settings.alerts is not None and settings.alerts.is_speaker:
        await wait_and_tell(settings, settings.alerts, _countdown)
    else:
        await wait_until_ready(settings.database_url, DATABASE_WAIT_SECONDS, seldom(_countdown))
    host = Host(settings, heartbeat, place)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    loop.call_later(SETTLED_SECONDS, spare_the_collector)
    life = asyncio.create_task(tell_of_life())
    try:
        async with console(control, host):
            await host.run(lambda: tell_manager("READY=1"))
    finally:
        life.cancel()


def leave_no_core() -> None:
    """Have no crash write this process's memory to a disk: tokens and what learners wrote are in it."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _countdown(remaining: float, reason: str) -> None:
    log.warning("waiting for the database", reason=reason, seconds_left=round(remaining))
