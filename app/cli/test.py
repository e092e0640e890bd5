"""``flotilla test``: lint, types, imports and the test suite of a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import typer

from app.errors import EXIT_FAILED, FlotillaError

CHECKOUT = Path(__file__).parents[2]
CHECKS = {
    "lint": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "types": ("mypy",),
    "imports": ("lint-imports",),
}


def test(context: typer.Context) -> None:
    """Check a checkout: lint, types, imports, tests.

    All arguments are handed to pytest: without any, the whole suite is run.
    """
    if not run(CHECKOUT, context.args):
        raise typer.Exit(EXIT_FAILED)


def run(checkout: Path, args: list[str]) -> bool:
    """Run the checks and the tests of a checkout, with progress and a last line of counts; tell whether all is well."""
    if not (checkout / "pyproject.toml").is_file():
        raise FlotillaError(f"no tests in {str(checkout)!r}: they are not installed; run ./flotilla test in a checkout")
    failed = [name for name in CHECKS if not _check(name, checkout)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        pytest = ["pytest", "--quiet", *_workers(args), f"--junit-xml={report}", *args]
        passed = _program(pytest, checkout).returncode == 0
        counts = _counts(report) if report.exists() else ["0 passed, 0 failed"]
    if failed:
        print(f"failed before the tests: {', '.join(failed)}")
    print(*counts, sep="\n")
    return passed and not failed


def _check(name: str, checkout: Path) -> bool:
    """Run one check; print a line about it, and its output when it fails."""
    print(f"{name:8}", end="", flush=True)
    started = time.monotonic()
    done = _program(CHECKS[name], checkout, subprocess.PIPE)
    print(f"{'ok' if done.returncode == 0 else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
    if done.returncode:
        print(done.stdout, flush=True)
    return done.returncode == 0


def _program(command: Sequence[str], checkout: Path, output: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that is installed beside this Python."""
    program, *arguments = command
    path = str(Path(sys.executable).with_name(program))
    return subprocess.run(  # noqa: S603 - our own tools, and what the developer typed
        [path, *arguments], cwd=checkout, stdout=output, stderr=output and subprocess.STDOUT, text=True, check=False
    )


def _workers(args: list[str]) -> list[str]:
    """Return the options for the whole suite: a process per processor; the tests of a file share what they set up."""
    return [] if args else ["--numprocesses", str(os.cpu_count() or 1), "--dist", "loadfile"]


def _counts(report: Path) -> list[str]:
    """Return why tests were skipped, a line per reason, and the line of counts."""
    root = ElementTree.parse(report).getroot()  # noqa: S314 - pytest wrote it a moment ago
    cases = list(root.iter("testcase"))
    reasons = Counter(skip.get("message", "") for skip in root.iter("skipped"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = reasons.total()
    total = f"{len(cases) - failed - skipped} passed, {failed} failed"
    lines = [f"skipped {count}: {reason}" for reason, count in sorted(reasons.items())]
    return [*lines, f"{total}, {skipped} skipped" if skipped else total]
