"""The units as systemd reads them, and what they start."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psutil
import pytest

from app.config.tokens import sandbox_token
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from tests.stage import said

ROOT = Path(__file__).parents[2]
EXPOSURE = 15
"""Tenths; systemd itself calls 0 to 2 perfect and safe."""

CONFIG = """
telegram: sandbox
bots:
  - {name: solo, log_file: logs/solo.log}
  - {name: one, group: pair}
  - {name: two, group: pair, memory: 1g}
  - {name: twin.s, replicas: 2}
"""
DENY_WRITE_EXECUTE = 65
"""``PR_SET_MDWE`` of prctl(2), which is what MemoryDenyWriteExecute asks for."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")


@pytest.fixture
def fleet() -> Iterator[Path]:
    """A folder with a fleet and its units; not pytest's own, which other users must not enter."""
    with TemporaryDirectory(prefix="flotilla-test-") as folder:
        place = Path(folder, "my fleet")
        (place / "scripts").mkdir(parents=True)
        (place / "bots_config.yaml").write_text(CONFIG)
        (place / "scripts" / "courses.yml").write_text("default: {path: course.yml}\n")
        (place / "scripts" / "course.yml").write_text("A: {type: end, text: hello}\n")
        command = [sys.executable, "-m", "app.cli.main", "generate", "--target", "systemd"]
        subprocess.run(command, cwd=place, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
        yield place


def units_of(fleet: Path) -> list[str]:
    return sorted(str(path) for path in (fleet / "systemd").iterdir())


@needs_systemd
def test_systemd_has_no_complaint(fleet: Path) -> None:
    units = units_of(fleet)
    assert [Path(unit).name for unit in units] == [
        "flotilla-migrate.service",
        "flotilla-pair.service",
        "flotilla-sandbox.service",
        "flotilla-solo.service",
        "flotilla-twin.s@.service",
        "flotilla.target",
    ]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{fleet}/systemd:"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_units_are_little_exposed(fleet: Path) -> None:
    for unit in units_of(fleet):
        if unit.endswith(".service"):
            command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", unit]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


def settings_of(unit: Path) -> dict[str, str]:
    """Return the settings of a unit; of one that is written several times the last."""
    lines = (line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name: text for name, _, text in (line.partition("=") for line in lines)}


def deny_write_execute() -> None:
    """Forbid this process memory that is written and run, if the kernel can."""
    ctypes.CDLL(None).prctl(DENY_WRITE_EXECUTE, 1, 0, 0, 0)


async def test_what_a_unit_starts_tells_systemd_and_answers(fleet: Path, database_url: str) -> None:
    unit = settings_of(fleet / "systemd" / "flotilla-solo.service")
    assert unit["EnvironmentFile"] == f"{fleet}/.env"
    (fleet / ".env").write_text("READ_DOTENV says that this is not read")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(fleet / "notify"))
    told.setblocking(False)
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **dict(word.split("=") for word in unit["Environment"].split()),
            "DATABASE_URL": database_url,
            "SANDBOX_PORT": str(urlsplit(sandbox.url).port),
            "OTHERS_TOKEN": "123456789:MARKERmarkerMARKERmarkerMARKERmarke",
            "NOTIFY_SOCKET": str(fleet / "notify"),
            "WATCHDOG_USEC": "1000000",
            "RUNTIME_DIRECTORY": str(fleet / "run"),
            "LOGS_DIRECTORY": str(fleet / "log"),
        }
        process = await asyncio.create_subprocess_exec(
            *shlex.split(unit["ExecStart"]), cwd=unit["WorkingDirectory"], env=environ, preexec_fn=deny_write_execute
        )
        try:
            heard: set[bytes] = set()
            while heard < {b"READY=1", b"WATCHDOG=1"}:
                heard.add(await asyncio.get_running_loop().sock_recv(told, 4096))
            learner = client.learner(sandbox_token("solo"), 5)
            await learner.send("/start")
            await learner.wait_for(said("hello"))
            assert "OTHERS_TOKEN" not in psutil.Process(process.pid).environ()
            assert sorted(path.name for path in (fleet / "run").iterdir())[0] == "control.sock"
            assert '"bot": "solo"' in (fleet / "log" / "solo.log").read_text()
            process.terminate()
            assert await process.wait() == 0
        finally:
            told.close()
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "bots_config.yaml has no bot or group 'nobody'; it has solo, pair, twin.s"),
        (["solo", "--replica", "2"], "bots_config.yaml has no replica 2 of 'solo'; replicas: 1"),
        (
            ["solo"],
            "solo needs DATABASE_URL (the address of the database); put it into .env, or set it",
        ),
    ],
)
def test_a_host_that_cannot_start(fleet: Path, arguments: list[str], message: str) -> None:
    clean = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "host", *arguments],
        cwd=fleet,
        env={**clean, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == f"{message}\n"
    assert done.returncode in (2, 78)
