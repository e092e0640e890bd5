"""Draw ``figures.json`` of a folder as SVG: ``python bench/plot.py FOLDER``; runs where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

mpl.rcParams.update({"svg.hashsalt": "flotilla", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

PLOTS = {
    "ratio": ("step-cpu.svg", "CPU per update (aiogram's echo = 1)", True),
    "p99 ms": ("step-latency.svg", "99th percentile of latency at 200 updates/s, ms", True),
    "PSS MiB": ("memory.svg", "memory of a host (PSS), MiB", True),
    "CPU ms each": ("backlog.svg", "CPU per item of a backlog, ms", False),
    "lines written": ("generator.svg", "", False),
    "% of samples": ("profile.svg", "share of the CPU of a step, %", False),
}
OURS, THEIRS = "#0b7285", "#adb5bd"


def main(folder: Path) -> None:
    for table in json.loads((folder / "figures.json").read_text())["tables"]:
        for index, column in enumerate(table["columns"]):
            if column in PLOTS and PLOTS[column][1]:
                draw(folder, table, index, *PLOTS[column])


def draw(folder: Path, table: dict[str, Any], index: int, file: str, label: str, is_log: bool) -> None:
    """Draw one column as bars, the first row on top."""
    found = {name: figures[index] for name, figures in table["rows"].items() if figures[index] is not None}
    names, values = list(found), list(found.values())
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1))
    has_peers = any("echo" in name for name in names)
    colours = [THEIRS if has_peers and not name.startswith("Flotilla") else OURS for name in names]
    bars = axes.barh(names, values, color=colours, log=is_log)
    axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    figure.savefig(folder / file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
