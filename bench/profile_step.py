"""Where the CPU of a step goes: py-spy samples a host at work, and the samples are summed by part of the program."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

from bench.botapi import Drive
from bench.environment import PYTHON
from bench.figures import Table
from bench.stage import Stage, settle

LEARNERS, STEPS = 200, 35
RATE = 1000
"""Samples a second."""

PARTS = (
    ("getUpdates", "_next_batch"),
    ("decode", "(decode.py"),
    ("load chats", "load (app/store/turn.py"),
    ("save turn", "save (app/store/turn.py"),
    ("turn: else of the store", "turn (app/store/store.py"),
    ("state to and from JSON", "(app/engine/state.py"),
    ("engine", "(app/engine/"),
    ("encode", "(app/telegram/encode.py"),
    ("turn: else", "(app/runtime/turn.py"),
    ("POST to the Bot API", "(app/telegram/api.py"),
    ("sender", "(app/telegram/sender.py"),
    ("settle: delete from the outbox", "(app/runtime/settler.py"),
    ("outbox: else", "(app/runtime/outbox.py"),
    ("timers", "(app/runtime/timers.py"),
    ("poller: else", "(app/telegram/poller.py"),
    ("HTTP client's protocol", "(aiohttp/"),
    ("garbage collection", "garbage"),
)
"""A sample belongs to the first part of which a frame is on its stack; py-spy shows paths from the package on."""


def measure(stage: Stage) -> list[Table]:
    """Sample a saturated host."""
    token = stage.token()
    process = stage.start_flotilla(
        {"DATABASE_URL": stage.database(), "BOT_API_TOKEN": token, "BOT_FOLDER": "input/", "BOT_NAME": "bench"}
    )
    stage.greet(token)
    first = stage.chats()
    stage.drive(Drive(token, first, LEARNERS, 1))
    stacks = Path(os.environ.get("BENCH_STACKS") or stage.folder / "stacks.txt")
    spy = subprocess.Popen(
        [
            *(str(PYTHON.with_name("py-spy")), "record", "--pid", str(process.pid), "--format", "raw"),
            *("--rate", str(RATE), "--gil", "--native", "--output", str(stacks), "--duration", "3600"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settle(2.0)
    stage.drive(Drive(token, first, LEARNERS, STEPS))
    settle()
    spy.send_signal(2)
    spy.wait(60)
    stage.end(process)
    parts = by_part(stacks.read_text())
    whole = sum(parts.values())
    rows = {name: (100 * count / whole,) for name, count in parts.most_common()}
    return [Table("Where the CPU of a step goes", ("% of samples",), rows)]


def by_part(stacks: str) -> Counter[str]:
    """Sum py-spy's raw stacks, one a line with its count, by part."""
    parts: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        part = next((name for name, frame in PARTS if frame in stack), "event loop and else")
        parts[part] += int(count)
    return parts
