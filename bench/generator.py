"""The generator at 10, 100 and 1,000 bots."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import monotonic

import yaml

from bench.environment import ROOT
from bench.figures import Table
from bench.stage import Stage

SIZES = (10, 100, 1000)
ROUNDS = 3


def measure(stage: Stage) -> list[Table]:
    """Write compose.yaml for fleets of all sizes, in fresh processes."""
    rows = {f"{size} bots": _generate(stage.folder / f"fleet-{size}", size) for size in SIZES}
    return [Table("The generator", ("seconds", "CPU s", "lines written"), rows, f"medians of {ROUNDS}")]


def _generate(folder: Path, size: int) -> tuple[float, float, float]:
    _write_fleet(folder, size)
    runs = [_run(folder, size) for _ in range(ROUNDS)]
    lines = len((folder / "compose.yaml").read_text().splitlines())
    return median(seconds for seconds, _ in runs), median(cpu for _, cpu in runs), lines


def _write_fleet(folder: Path, size: int) -> None:
    (folder / "scripts" / "input").mkdir(parents=True)
    (folder / "scripts" / "input" / "courses.yml").write_text("default: {path: course.yml}\n")
    (folder / "scripts" / "input" / "course.yml").write_text("a: {type: end, text: The end.}\n")
    bots = [{"name": f"bot-{number}", "token_env": f"TOKEN_{number}", "folder": "input/"} for number in range(size)]
    (folder / "bots_config.yaml").write_text(yaml.safe_dump({"bots": bots}))


def _run(folder: Path, size: int) -> tuple[float, float]:
    tokens = {f"TOKEN_{number}": f"{number + 1000000}:{'A' * 35}" for number in range(size)}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "POSTGRES_PASSWORD": "bench", **tokens}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), monotonic()
    subprocess.run(
        [sys.executable, str(ROOT / "compose.generate.py")],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds, after = monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
