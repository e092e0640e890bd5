"""systemd units: one service per bot or group, and a target for all of them. Pure: a fleet in, texts out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.config.fleet import Fleet
from app.config.rules import memory_bytes
from app.deploy.process import Process, processes_of
from app.errors import FlotillaError

HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""Folders that units do not see, but for what they need of them."""

HEADER = """\
# Written by 'flotilla generate --target systemd' from {config}; change that file and run it again instead of this one.
"""

TARGET = """\
{header}#
#   sudo cp {folder}/flotilla* /etc/systemd/system/ && sudo systemctl daemon-reload
#   sudo systemctl enable --now flotilla.target      start, now and with the machine
#   sudo systemctl restart flotilla-BOT              restart one bot; it reads {config} and .env anew
#   sudo systemctl restart flotilla.target           all, after an upgrade: the database is brought up to date first
#   systemctl list-units 'flotilla*'                 what runs
#   journalctl -f -u 'flotilla*'                     watch
#   sudo systemctl stop flotilla.target              stop

[Unit]
Description=Flotilla: the bots of {config}
Wants={units}

[Install]
WantedBy=multi-user.target
"""

UNIT = """\
{header}
[Unit]
Description=Flotilla: {description}
PartOf=flotilla.target
Wants=network-online.target
After={after}
{requires}\
StartLimitIntervalSec=0

[Service]
{service}\
WorkingDirectory={folder}
# Read by systemd itself: the file may belong to root alone.
EnvironmentFile={folder}/.env
Environment=READ_DOTENV=false PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
{limits}\

# Nobody in particular, who may write nowhere and sees little.
DynamicUser=yes
InaccessiblePaths=-{env_file}
{homes}\
CapabilityBoundingSet=
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
"""

HOST = """\
# It becomes the bot's process, with the variables of this bot and no others.
Type=notify
ExecStart={command}
Restart=always
RestartSec=5s
# Wrong settings: another start would not help.
RestartPreventExitStatus=2 78
TimeoutStartSec=150s
TimeoutStopSec=30s
WatchdogSec=60s
KillMode=mixed
RuntimeDirectory=flotilla/{instance}
{logs}\
"""

ONESHOT = """\
Type=oneshot
RemainAfterExit=yes
ExecStart={command}
TimeoutStartSec=10min
"""

SANDBOX = """\
Type=exec
ExecStart={command}
Restart=always
RestartSec=5s
"""

LIMITS = """\
MemoryMax={memory}
TasksMax=256
LimitNOFILE=16384
"""


class UnwritableError(FlotillaError):
    """A path that cannot be written into such a file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the fleet is on its machine, in absolute paths.

    ``python`` is the one with our packages, ``needed`` the folders without which it does not run; ``scripts`` is None
    for the folder beside the config.
    """

    config: Path
    python: Path
    needed: tuple[Path, ...] = ()
    scripts: Path | None = None

    @property
    def options(self) -> tuple[str | Path, ...]:
        """Name config and courses on a command line."""
        return ("--config", self.config, *(("--scripts", self.scripts) if self.scripts else ()))

    @property
    def folder(self) -> Path:
        """The folder of the config: with ``.env``, and the courses as a rule."""
        return self.config.parent


def units(fleet: Fleet, place: Place, output: Path) -> dict[str, str]:
    """Write the units of a fleet, by file name; ``output`` is the folder that they are written to, for what they tell.

    Raises ``SharedLogFileError`` and ``UnwritableError``.
    """
    services: dict[str, str] = {"flotilla-migrate.service": _migrate(fleet, place)}
    services |= {"flotilla-sandbox.service": _sandbox(fleet, place)} if fleet.sandbox else {}
    wanted = [*services]
    for process in processes_of(fleet):
        is_template = process.bots[0].replicas > 1
        wanted.append(f"flotilla-{process.service}{f'@{process.replica}' if is_template else ''}.service")
        services[f"flotilla-{process.service}{'@' if is_template else ''}.service"] = _host(fleet, process, place)
    target = TARGET.format(header=_header(fleet), folder=output, config=fleet.path.name, units=" \\\n    ".join(wanted))
    return {"flotilla.target": target, **services}


def misread_lines(dotenv: str) -> list[int]:
    """Return the numbers of the lines of ``.env`` that systemd understands otherwise than everybody else does."""
    numbered = enumerate(map(str.strip, dotenv.splitlines()), 1)
    return [number for number, line in numbered if re.match(r"export\s|[A-Za-z_]\w*\s*=\s*[^\s'\"#][^'\"]*\s#", line)]


def _host(fleet: Fleet, process: Process, place: Place) -> str:
    is_template = process.bots[0].replicas > 1
    replica = ("--replica", "%i") if is_template else ()
    instance = f"{process.service}@%i" if is_template else process.service
    names = ", ".join(bot.name for bot in process.bots)
    return _unit(
        fleet,
        place,
        description=f"{process.service} ({names})" if process.bots[0].group else process.service,
        service=HOST.format(
            command=_command(place, "host", *place.options, *replica, process.service),
            instance=instance,
            logs=f"LogsDirectory=flotilla/{instance}\n" if any(bot.log_file for bot in process.bots) else "",
        ),
        needs=["flotilla-migrate.service", *(["flotilla-sandbox.service"] if fleet.sandbox else [])],
        memory=_memory(process),
    )


def _migrate(fleet: Fleet, place: Place) -> str:
    service = ONESHOT.format(command=_command(place, "migrate"))
    return _unit(fleet, place, "brings the database to the schema of this version", service, [], "512M")


def _sandbox(fleet: Fleet, place: Place) -> str:
    service = SANDBOX.format(command=_command(place, "sandbox"))
    return _unit(fleet, place, "takes the place of Telegram", service, [], "512M")


def _unit(fleet: Fleet, place: Place, description: str, service: str, needs: Sequence[str], memory: str) -> str:
    return UNIT.format(
        header=_header(fleet),
        description=_escaped(description),
        after=" ".join(["network-online.target", "postgresql.service", *needs]),
        requires=f"Requires={' '.join(needs)}\n" if needs else "",
        service=service,
        folder=_escaped(place.folder),
        env_file=_word(place.folder / ".env"),
        limits=LIMITS.format(memory=memory),
        homes=_homes(
            [*place.needed, place.folder, *([place.scripts] if place.scripts else []), *_certificate(fleet, place)]
        ),
    )


def _header(fleet: Fleet) -> str:
    return HEADER.format(config=fleet.path.name)


def _certificate(fleet: Fleet, place: Place) -> list[Path]:
    path = fleet.webhook and fleet.webhook.ssl_cert_path
    return [place.folder / path] if path else []


def _memory(process: Process) -> str:
    wanted = max(memory_bytes(bot.memory) or 0 for bot in process.bots)
    return str(wanted) if wanted % 1024**2 else f"{wanted // 1024**2}M"


def _homes(needed: Iterable[Path]) -> str:
    """Hide people's folders, but for what is needed of them."""
    inside = {path for path in needed if any(path.is_relative_to(home) for home in HOMES)}
    shown = sorted(path for path in inside if not inside & set(path.parents))
    if not shown:
        return "ProtectHome=yes\n"
    return f"ProtectHome=tmpfs\nBindReadOnlyPaths={' '.join(map(_word, shown))}\n"


def _command(place: Place, *arguments: str | Path) -> str:
    return " ".join(_argument(part) for part in (place.python, "-m", "app.cli.main", *arguments))


def _argument(part: str | Path) -> str:
    """Write one word of a command line, in which systemd would replace variables, too."""
    return str(part) if part == "%i" else _word(part).replace("$", "$$")


def _word(text: str | Path) -> str:
    """Write one word of a list."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if set(" ;:'\"\\") & set(str(text)) else escaped


def _escaped(text: str | Path) -> str:
    if not str(text).isprintable():
        raise UnwritableError(f"{str(text)!r} cannot be written into a unit of systemd; rename the folder")
    return str(text).replace("%", "%%")
