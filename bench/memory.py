"""Memory and start of a host with one bot and with groups, every bot in use."""

from __future__ import annotations

import json
from time import monotonic

from bench import machine
from bench.botapi import Drive
from bench.figures import Table
from bench.stage import Stage, settle

SIZES = (1, 10, 100, 1000)
START_SECONDS = 120.0


def measure(stage: Stage) -> list[Table]:
    """Start hosts of all sizes, one after the other, and let one learner of each bot make three steps."""
    hosts = {f"{size} bot{'s' if size > 1 else ''}": _host(stage, size) for size in SIZES}
    marginal = (hosts["1000 bots"][0] - hosts["10 bots"][0]) / (1000 - 10)
    rows = {**hosts, "each further bot": (marginal, None, None, None)}
    reach = {"1 bot": {"PSS MiB": 70.0}, "each further bot": {"PSS MiB": 0.3}}
    columns = ("PSS MiB", "PSS MiB idle", "start CPU s", "start s")
    return [Table("Memory and start of a host", columns, rows, "every bot has a learner who made three steps", reach)]


def _host(stage: Stage, size: int) -> tuple[float, float, float, float]:
    tokens = [stage.token() for _ in range(size)]
    begun = monotonic()
    process = stage.start_flotilla({"DATABASE_URL": stage.database(), **variables(tokens)})
    try:
        for token in tokens:
            stage.greet(token)
        started, cpu, idle = monotonic() - begun, machine.cpu(process.pid), machine.memory(process.pid)
        for token in tokens:
            stage.drive(Drive(token, stage.chats(), 1, 3))
        settle(1.0)
        return machine.memory(process.pid), idle, cpu, started
    finally:
        stage.end(process)


def variables(tokens: list[str]) -> dict[str, str]:
    """Return what tells a host of these bots."""
    if len(tokens) == 1:
        return {"BOT_API_TOKEN": tokens[0], "BOT_FOLDER": "input/", "BOT_NAME": "bench"}
    bots = [
        {"name": f"bot-{number}", "bot_name": f"bench{number}", "token_env": f"TOKEN_{number}", "folder": "input/"}
        for number in range(len(tokens))
    ]
    return {"FLOTILLA_BOTS": json.dumps(bots)} | {f"TOKEN_{number}": token for number, token in enumerate(tokens)}
