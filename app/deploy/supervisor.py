"""``supervisord.conf``: one program per bot or group. Pure: a fleet in, text out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from app.config.fleet import Fleet
from app.deploy.compose import hosts_of
from app.deploy.process import processes_of
from app.deploy.systemd import Place, UnwritableError

HEADER = """\
; Written by 'flotilla generate --target supervisor' from {config}; change that file, not this one.
;
;   supervisord -c supervisord.conf                    start all bots, in the background
;   supervisorctl -c supervisord.conf status           what runs
;   supervisorctl -c supervisord.conf restart BOT      restart one bot; it reads {config} and .env anew
;   supervisorctl -c supervisord.conf tail -f BOT      watch
;   supervisorctl -c supervisord.conf update           apply what has changed in this file
;   supervisorctl -c supervisord.conf shutdown         stop all bots

[supervisord]
directory={folder}
logfile={state}/supervisord.log
logfile_maxbytes=10MB
logfile_backups=3
pidfile={state}/supervisord.pid
childlogdir={state}
umask=077

[unix_http_server]
file={state}/supervisor.sock
chmod=0600

[supervisorctl]
serverurl=unix://{state}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
{several}\
directory={folder}
autostart=true
; 78: wrong settings, another start would not help.
autorestart=unexpected
exitcodes=78
startsecs=5
startretries=100
stopsignal=TERM
stopwaitsecs=30
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={state}/{log}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""

STATE = Path(".flotilla", "supervisor")
"""Beside the config."""


def supervisord(fleet: Fleet, place: Place) -> str:
    """Write supervisord's whole configuration of a fleet.

    Raises ``SharedLogFileError`` and ``UnwritableError``.
    """
    parts = [HEADER.format(config=fleet.path.name, folder=_escaped(place.folder), state=_state(place))]
    parts += [_program(place, "sandbox", "sandbox", "priority=1\n", "sandbox")] if fleet.sandbox else []
    replicas = {process.service: process.bots[0].replicas for process in processes_of(fleet)}
    return "".join([*parts, *(_host(place, service, replicas[service]) for service in hosts_of(fleet))])


def _host(place: Place, service: str, replicas: int) -> str:
    command = f"host --migrate {' '.join(map(_word, place.options))}"
    if replicas == 1:
        return _program(place, service, f"{command} {service}", "", service)
    several = f"process_name={service}@%(process_num)d\nnumprocs={replicas}\nnumprocs_start=1\n"
    log = f"{service}@%(process_num)d"
    return _program(place, service, f"{command} --replica %(process_num)d {service}", several, log)


def _program(place: Place, name: str, command: str, several: str, log: str) -> str:
    whole = f"{_word(place.python)} -m app.cli.main {command}"
    return PROGRAM.format(
        name=name, command=whole, several=several, folder=_escaped(place.folder), state=_state(place), log=log
    )


def _state(place: Place) -> str:
    return _escaped(place.folder / STATE)


def _word(path: str | Path) -> str:
    return _escaped(shlex.quote(str(path)))


def _escaped(text: str | Path) -> str:
    """Write a text in which supervisord replaces nothing and sees no comment."""
    if not str(text).isprintable() or re.search(r"\s[;#]", str(text)):
        raise UnwritableError(f"{str(text)!r} cannot be written for supervisord; rename the folder")
    return str(text).replace("%", "%%")
