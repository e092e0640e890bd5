"""CPU per update and latency: peers that echo, the old program's step, and Flotilla's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from bench import machine
from bench.botapi import Drive
from bench.environment import NODE_FOLDER, PYTHON, ROOT, has_node
from bench.figures import Table, interleaved, medians, percentile
from bench.stage import Stage, settle

PEERS = ROOT / "bench" / "peers"
UNIT = "aiogram echo"
UNIT_BY_WEBHOOK = "aiogram echo, webhook"
OURS = "Flotilla, full step"
OURS_BY_WEBHOOK = "Flotilla, full step, webhook"
ROUNDS = 11
LATENCY_ROUNDS = 3
LEARNERS = 200
RATE = 200.0
LATENCY_STEPS = 3


@dataclass(frozen=True)
class Contestant:
    """A program, and how many steps each of its learners makes in a round; ``database`` says whose tables it uses.

    One that ``is_called`` gets its updates by webhook.
    """

    command: tuple[str, ...]
    steps: int
    variables: Mapping[str, str] = field(default_factory=dict)
    database: str = ""
    learners: int = LEARNERS
    is_timed: bool = True
    is_called: bool = False


def contestants() -> dict[str, Contestant]:
    """Return who takes part."""
    grammy = ("node", str(NODE_FOLDER / "grammy_echo.mjs"))
    ours = (sys.executable, "-m", "app")
    found = {
        UNIT: Contestant(_peer("aiogram_echo.py"), 5),
        UNIT_BY_WEBHOOK: Contestant(_peer("aiogram_echo.py"), 5, is_called=True),
        "aiogram echo, uvloop": Contestant(_peer("aiogram_echo.py"), 5, {"LOOP": "uvloop"}),
        "python-telegram-bot echo": Contestant(
            _peer("telegram_echo.py"), 2, is_timed=False
        ),  # its default, one update at a time, cannot keep up
        "pyTelegramBotAPI echo": Contestant(_peer("telebot_echo.py"), 15),
        "grammY echo": Contestant(grammy, 15),
        "grammY echo, runner": Contestant(grammy, 30, {"RUNNER": "1"}),
        "the old way, full step": Contestant(
            _peer("old_way.py"), 2, {"BOT_FOLDER": "input/"}, "old", learners=10, is_timed=False
        ),
        OURS: Contestant(ours, 15, {"BOT_FOLDER": "input/", "BOT_NAME": "bench"}, "flotilla"),
        OURS_BY_WEBHOOK: Contestant(
            ours,
            15,
            {"BOT_FOLDER": "input/", "BOT_NAME": "bench", "BOT_MODE": "webhook"},
            "flotilla",
            is_called=True,
        ),
    }
    return {name: one for name, one in found.items() if has_node() or "grammY" not in name}


def _peer(script: str) -> tuple[str, ...]:
    return (str(PYTHON), str(PEERS / script))


@dataclass
class Running:
    """A contestant's process and its token."""

    contestant: Contestant
    process: subprocess.Popen[Any]
    token: str


def measure(stage: Stage) -> list[Table]:
    """Run all contestants side by side, idle except for the one whose turn it is."""
    running = {name: _start(stage, contestant) for name, contestant in contestants().items()}
    for one in running.values():
        stage.greet(one.token)
        _saturate(stage, one)  # warm: imports, connections, just-in-time compilers
    cpu = interleaved(ROUNDS, list(running), lambda name: _saturate(stage, running[name]))
    timed = [name for name, one in running.items() if one.contestant.is_timed]
    paced = interleaved(LATENCY_ROUNDS, timed, lambda name: _pace(stage, running[name]))
    for one in running.values():
        stage.end(one.process)
    return [_table(cpu, paced)]


def measure_kinds(stage: Stage) -> list[Table]:
    """Compare Flotilla's steps by what the learner does."""
    kinds = {"text answered": "input/", "vote in a quiz": "quiz/", "button pressed": "press/"}
    running = {
        name: _start(stage, Contestant((sys.executable, "-m", "app"), 15, {"BOT_FOLDER": folder}, "flotilla"))
        for name, folder in kinds.items()
    }
    for one in running.values():
        stage.greet(one.token)
        _saturate(stage, one)
    found = interleaved(ROUNDS, list(running), lambda name: _saturate(stage, running[name]))
    for one in running.values():
        stage.end(one.process)
    rows = {name: medians(rounds)[:3] for name, rounds in found.items()}
    return [Table("Flotilla's step by kind", ("CPU ms", "PostgreSQL ms", "updates/s"), rows)]


def _start(stage: Stage, contestant: Contestant) -> Running:
    token = stage.token()
    variables = {"BOT_API_TOKEN": token, "SCRIPTS_FOLDER": str(stage.scripts), **contestant.variables}
    match contestant.database:
        case "flotilla":
            variables |= {"DATABASE_URL": stage.database(), "PYTHONPATH": str(ROOT)}
        case "old":
            variables["DATABASE_URL"] = _old_database(stage)
    if contestant.is_called:
        variables |= _webhook(stage)
    return Running(contestant, stage.start(contestant.command, variables), token)


def _webhook(stage: Stage) -> dict[str, str]:
    port = stage.port()
    secret = "benchbenchbenchbenchbenchbenchbench"
    return {
        "PAGES_PORT": str(port),
        "WEBHOOK_URL": f"http://127.0.0.1:{port}/webhook/bench",
        "WEBHOOK_SECRET_TOKEN": secret,
    }


def _old_database(stage: Stage) -> str:
    url = stage.database(is_migrated=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(Path(PEERS / "old_way.sql").read_text())
    return url


def _saturate(stage: Stage, one: Running) -> tuple[float, float, float, float]:
    """Let learners answer at once; return CPU and PostgreSQL's CPU in ms, updates/s, and CPU of the Bot API in ms."""
    first = stage.chats()
    stage.drive(Drive(one.token, first, one.contestant.learners, 1))
    settle()
    bot, postgres = machine.cpu(one.process.pid), machine.cpu_of_family(stage.postgres_pid)
    report = stage.drive(Drive(one.token, first, one.contestant.learners, one.contestant.steps))
    settle()
    bot, postgres = machine.cpu(one.process.pid) - bot, machine.cpu_of_family(stage.postgres_pid) - postgres
    updates = report.updates
    return bot / updates * 1e3, postgres / updates * 1e3, updates / report.seconds, report.server_cpu / updates * 1e3


def _pace(stage: Stage, one: Running) -> tuple[float, float, float]:
    """Let learners answer at a steady rate; return CPU per update, median and 99th percentile of latency, in ms."""
    first = stage.chats()
    stage.drive(Drive(one.token, first, LEARNERS, 1))
    settle()
    cpu = machine.cpu(one.process.pid)
    report = stage.drive(Drive(one.token, first, LEARNERS, LATENCY_STEPS, RATE, patience=20))
    settle()
    cpu = machine.cpu(one.process.pid) - cpu
    p50, p99 = (percentile(report.latencies, share) or 0.0 for share in (0.5, 0.99))
    return cpu / report.updates * 1e3, p50 * 1e3, p99 * 1e3


def _table(cpu: dict[str, list[Any]], paced: dict[str, list[Any]]) -> Table:
    rows: dict[str, tuple[float | None, ...]] = {}
    for name, rounds in cpu.items():
        ratio = _ratio(rounds, cpu[UNIT])
        like = _ratio(rounds, cpu[UNIT_BY_WEBHOOK]) if name in (UNIT_BY_WEBHOOK, OURS_BY_WEBHOOK) else None
        own, postgres, rate, _ = medians(rounds)
        slow: tuple[float | None, ...] = medians(paced[name]) if name in paced else (None, None, None)
        rows[name] = (ratio, like, own, postgres, rate, *slow)
    columns = ("ratio", "of webhooks", "CPU ms", "PostgreSQL ms", "updates/s", "CPU ms at 200/s", "p50 ms", "p99 ms")
    return Table(
        "CPU per update, and latency at 200 updates/s",
        columns,
        rows,
        f"saturated by {LEARNERS} learners; medians of {ROUNDS} and {LATENCY_ROUNDS} interleaved rounds",
        {OURS: {"ratio": 0.27, "p99 ms": 50.0}, OURS_BY_WEBHOOK: {"p99 ms": 50.0}},
    )


def _ratio(rounds: list[Any], unit: list[Any]) -> float:
    """Return the median of the ratios in CPU per update, each of the same round."""
    return median(figures[0] / one[0] for figures, one in zip(rounds, unit, strict=True))
