"""``bench/run [NAME...] [--out FOLDER]``: measure, print a table for each measurement, write plots and figures."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.table import Table as Grid

from bench import backlog, generator, machine, memory, profile_step, scrape, step
from bench.environment import FOLDER, PYTHON, ROOT, prepare
from bench.figures import Table
from bench.stage import stage

MEASUREMENTS = {
    "step": step.measure,
    "kinds": step.measure_kinds,
    "memory": memory.measure,
    "backlog": backlog.measure,
    "generator": generator.measure,
    "scrape": scrape.measure,
    "profile": profile_step.measure,
}
ALL = [name for name in MEASUREMENTS if name != "profile"]

console = Console(width=None if sys.stdout.isatty() else 150)


def main() -> None:
    """Measure what was named, by default all but the profile."""
    parser = argparse.ArgumentParser("bench/run", description="Measure Flotilla beside its peers.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; default: {' '.join(ALL)}"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "out", help="folder for figures.json and the plots")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in MEASUREMENTS]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(MEASUREMENTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stage is cleared away then, PostgreSQL included
    begun = monotonic()
    prepare()
    console.print(machine.description(), style="dim")
    tables = [table for name in options.names or ALL for table in measured(name)]
    write(tables, options.out)
    console.print(f"{monotonic() - begun:.0f} s; plots and figures are in {options.out}", style="dim")


def measured(name: str) -> list[Table]:
    """Return the tables of a measurement, on a stage of its own, and print them."""
    load = os.getloadavg()[0]
    print(f"bench: {name}", file=sys.stderr)
    with stage() as opened:
        tables = MEASUREMENTS[name](opened)
    for table in tables:
        show(table, f"{table.note}; load {load:.1f} before, {os.getloadavg()[0]:.1f} after".removeprefix("; "))
    return tables


def show(table: Table, note: str) -> None:
    """Print a table; figures that exceed what is to be reached are red, those within are green."""
    grid = Grid(title=table.title, caption=note, title_justify="left", caption_justify="left")
    grid.add_column("")
    for column in table.columns:
        grid.add_column(column, justify="right")
    for name, figures in table.rows.items():
        reach = table.reach.get(name, {})
        cells = [_cell(figure, reach.get(column)) for column, figure in zip(table.columns, figures, strict=True)]
        grid.add_row(name, *cells)
    console.print(grid)


def _cell(figure: float | None, most: float | None) -> str:
    if figure is None:
        return ""
    text = f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"
    if most is None:
        return text
    return f"[{'green' if figure <= most else 'red'}]{text} (reach {most:g})[/]"


def write(tables: list[Table], folder: Path) -> None:
    """Write the figures as JSON, and the plots from them."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": machine.description(),
        "date": datetime.now(UTC).date().isoformat(),
        "tables": [table.as_json() for table in tables],
    }
    (folder / "figures.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    subprocess.run([str(PYTHON), str(ROOT / "bench" / "plot.py"), str(folder)], check=True)


if __name__ == "__main__":
    main()
