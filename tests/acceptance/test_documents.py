"""The commands of README.md and of the operators' pages are run as they stand there, in their order, in a checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.project import ROOT, free_port

PAGES = ("README.md", "docs/operating.md", "docs/runbook.md")
"""Pages whose commands are run here, one page after the other, on one fleet."""

STARTS = ("./flotilla", "flotilla", "docker", "python", ".venv/bin/python", "export", "bin/", "git", "sudo", "pip")

UNTIL = {"./flotilla run": "stop      Ctrl+C"}
"""Commands that go on until Ctrl+C, and what they print by then."""

PROFILE = "docker compose --profile monitoring up -d --wait"
INSTEAD = {PROFILE: f"{PROFILE} prometheus alertmanager"}
"""What is run in place of commands that need what the test machine lacks: images of Grafana and of an exporter."""

FAILS = {"./flotilla doctor", "docker compose logs proxy | grep -i -E 'acme|obtain|renew'"}
"""Commands that end with 1 where something is wrong with the machine, or nothing is found."""

ADOPTING = ("tests/acceptance/test_database.py", "tests/integration/adopt/test_adopt.py")
ELSEWHERE = {
    "./flotilla test": ("tests/unit/cli/test_test.py",),
    "./flotilla run --isolate": ("tests/acceptance/test_isolate.py",),
    "./flotilla top": ("tests/acceptance/test_run_operation.py",),
    "export DATABASE_URL=postgresql://...": ADOPTING,
    "./flotilla adopt --dry-run": ADOPTING,
    "./flotilla adopt": ADOPTING,
    "docker compose exec -T postgres psql -U flotilla -d flotilla < dump.sql": ADOPTING,
    "export DATABASE_URL=postgresql://user:password@127.0.0.1:5432/database": ADOPTING,
    "./flotilla migrate": ADOPTING,
}
"""Commands that need an old database, or would run this test again, or a terminal: the tests that run them."""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


def commands_of(page: str) -> Iterator[str]:
    """Yield the commands of a page's indented blocks, without their comments; one may go on over several lines."""
    lines = iter((ROOT / page).read_text(encoding="utf-8").splitlines())
    for line in lines:
        text = line.strip()
        if not line.startswith("    ") or not text.startswith(STARTS):
            continue
        while text.endswith("\\") or text.count('"') % 2:
            text = f"{text.removesuffix(chr(92)).rstrip()} {next(lines).strip()}"
        yield re.sub(r"\s+# .*", "", text).replace("BOT", "lighthouse")


class Checkout:
    """The files of this checkout in a folder of their own, with this environment in place of one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        self._script("flotilla", f'exec {shlex.quote(sys.executable)} -m app.cli.main "$@"')
        self._script(".venv/bin/python", f'exec {shlex.quote(sys.executable)} "$@"')
        self._script("bin/python", f'exec {shlex.quote(sys.executable)} "$@"')
        ports = {
            name: str(free_port()) for name in ("SANDBOX_PORT", "PAGES_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT")
        }
        self._environ = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            **ports,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PYTHONUNBUFFERED": "1",
            "COMPOSE_PROJECT_NAME": f"flotilla-test-{uuid4().hex[:8]}",
        }

    def _script(self, name: str, line: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, command: str) -> tuple[int, str]:
        """Run a command to its end; return exit code and output."""
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, **self._options)
        return done.returncode, done.stdout

    def run_until(self, command: str, shown: str) -> tuple[int, str]:
        """Run a command until it has shown this, and press Ctrl+C; return exit code and output."""
        with subprocess.Popen(["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL, **self._options) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if shown in line and process.poll() is None:
                    process.send_signal(signal.SIGINT)
        return process.returncode, "".join(lines)

    @property
    def _options(self) -> dict[str, Any]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return {"cwd": self.folder, "env": self._environ, "text": True, **pipes}


@pytest.fixture
def checkout(server_folder: Path) -> Iterator[Checkout]:
    checkout = Checkout(server_folder)
    yield checkout
    checkout.run("docker compose --profile monitoring down --volumes --remove-orphans --timeout 5")


def test_the_commands_of_the_pages(checkout: Checkout) -> None:
    for page in PAGES:
        for command in commands_of(page):
            if command in UNTIL:
                code, output = checkout.run_until(command, UNTIL[command])
                assert (UNTIL[command] in output, code in (0, 130)) == (True, True), f"{page}: {command}\n{output}"
            elif command not in ELSEWHERE:
                code, output = checkout.run(INSTEAD.get(command, command))
                assert code in ((0, 1) if command in FAILS else (0,)), f"{page}: {command}\n{output}"


def test_the_exceptions_are_needed() -> None:
    commands = {command for page in PAGES for command in commands_of(page)}
    assert {*UNTIL, *INSTEAD, *FAILS, *ELSEWHERE} - commands == set()
    assert [path for paths in ELSEWHERE.values() for path in paths if not (ROOT / path).is_file()] == []
    assert len(commands) > 40
