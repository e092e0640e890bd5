"""A fleet that a real supervisord runs from its generated file."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.config.tokens import sandbox_token
from app.sandbox.client import SandboxClient
from tests.stage import play, said, until

ROOT = Path(__file__).parents[2]
CONFIG = """
telegram: sandbox
bots:
  - {name: solo, folder: a}
  - {name: one, folder: a, group: pair}
  - {name: two, folder: a, group: pair}
  - {name: twins, folder: a, replicas: 2, log_file: logs/twins.log}
"""
COURSE = "A: {type: message, text: hello, button: On}\nB: {type: end, text: bye}\n"


@pytest.fixture
def fleet(empty_database_url: str) -> Iterator[Path]:
    """A folder with a fleet, its file for supervisord, and an empty database in .env."""
    with TemporaryDirectory(prefix="flotilla-test-") as folder:
        place = Path(folder)
        (place / "scripts" / "a").mkdir(parents=True)
        (place / "bots_config.yaml").write_text(CONFIG)
        (place / "scripts" / "a" / "courses.yml").write_text("default: {path: course.yml}\n")
        (place / "scripts" / "a" / "course.yml").write_text(COURSE)
        ports = f"SANDBOX_PORT={free_port()}\nPAGES_PORT={free_port()}\n"
        (place / ".env").write_text(f"DATABASE_URL={empty_database_url}\n{ports}")
        run(place, sys.executable, "-m", "app.cli.main", "generate", "--target", "supervisor")
        yield place


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(fleet: Path, *command: str) -> str:
    """Run a program in the fleet's folder and return what it prints."""
    done = subprocess.run(command, cwd=fleet, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextlib.contextmanager
def supervised(fleet: Path) -> Iterator[subprocess.Popen[str]]:
    """Run supervisord meanwhile; show its log, and its programs', if that fails."""
    command = [program("supervisord"), "--nodaemon", "-c", "supervisord.conf"]
    process = subprocess.Popen(command, cwd=fleet, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    except BaseException:
        for log in sorted((fleet / ".flotilla" / "supervisor").glob("*.log")):
            print(f"==> {log.name} <==\n{log.read_text()}")
        raise
    finally:
        process.terminate()
        process.communicate()


async def test_a_fleet_under_supervisord(fleet: Path) -> None:
    port = (fleet / ".env").read_text().split("SANDBOX_PORT=")[1].split()[0]
    log = fleet / ".flotilla" / "supervisor" / "sandbox.log"
    with supervised(fleet) as supervisord:
        await until(lambda: log.exists() and "chat page are at" in log.read_text(), 60)
        async with SandboxClient(f"http://127.0.0.1:{port}") as client:
            for bot in ("solo", "one", "two", "twins"):
                learner = client.learner(sandbox_token(bot), 5)
                await learner.send("/start")
                await play(learner, said("bye"), patience=60)
            control = (program("supervisorctl"), "-c", "supervisord.conf")
            before = pids(run(fleet, *control, "pid", "all"))
            assert len(before) == 5
            run(fleet, *control, "restart", "pair")
            after = pids(run(fleet, *control, "pid", "all"))
            assert len(set(after) - set(before)) == 1
            await client.learner(sandbox_token("two"), 6).send("/start")
            await client.learner(sandbox_token("two"), 6).wait_for(said("hello"), 60)
    assert supervisord.returncode == 0
    assert sorted(path.name for path in (fleet / "logs").iterdir()) == ["twins.log", "twins@2.log"]


def pids(output: str) -> list[int]:
    return sorted(map(int, output.split()))
