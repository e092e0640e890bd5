"""The commands of an operator for a ``flotilla run`` on this machine; no engine is needed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.project import Project
from tests.acceptance.test_run import running

CONFIG = """
    telegram: sandbox
    bots:
      - {name: filed, folder: a, language: en, log_file: logs/filed.log}
      - {name: other, folder: a, language: en}
"""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A fleet of two that runs without containers; where it is: see ``server_folder``."""
    with TemporaryDirectory(prefix="flotilla-test-") as folder:
        project = Project(Path(folder), CONFIG)
        project.courses("a", default="A: {type: message, text: hello, button: On}\nB: {type: end, text: bye}\n")
        with running(project.folder, "--port", "0") as run:
            for _ in range(2):
                run.wait_line("polling")
            yield project
            assert run.interrupt() == 0


@pytest.fixture(autouse=True)
def without_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no engine on this machine."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")


def states(project: Project, expect: int = 0) -> dict[str, str]:
    told = json.loads(project.flotilla("status", "--json", expect=expect).stdout)
    return {bot["bot"]: bot["state"] for bot in told["run"]["bots"]}


def test_status_tells_of_the_run(project: Project) -> None:
    assert states(project) == {"filed": "polling", "other": "polling"}
    bots = json.loads(project.flotilla("status", "--json").stdout)["run"]["bots"]
    assert all(bot["cpu_percent"] >= 0 and bot["memory"] > 2**20 for bot in bots)
    printed = project.flotilla("status").stdout.splitlines()
    assert printed[0].startswith("flotilla run (pid ")
    assert [line.split()[:3] for line in printed[1:]] == [
        ["BOT", "STATE", "HEALTH"],
        ["filed", "polling", "healthy"],
        ["other", "polling", "healthy"],
    ]


def test_one_bot_is_stopped_and_started_while_the_other_goes_on(project: Project) -> None:
    assert project.flotilla("stop", "filed").stdout == "stopped filed\n"
    assert states(project, expect=1) == {"filed": "stopped", "other": "polling"}
    bots = json.loads(project.flotilla("status", "--json", expect=1).stdout)["run"]["bots"]
    assert {bot["bot"]: bot["started_at"] is not None for bot in bots} == {"filed": False, "other": True}
    assert project.flotilla("start", "filed").stdout == "started filed\n"
    assert project.flotilla("restart").stdout == "restarted filed\nrestarted other\n"
    assert project.flotilla("restart", "--dry-run", "other").stdout == "would restart other\n"


def test_logs_are_those_of_log_files(project: Project) -> None:
    lines = [json.loads(line) for line in project.flotilla("logs", "--json").stdout.splitlines()]
    assert {(line["bot"], line["where"]) for line in lines} == {("filed", "logs/filed.log")}
    assert "polling" in [line["event"] for line in lines]
    assert project.flotilla("logs", "--tail", "1").stdout.startswith("filed | ")
    assert project.flotilla("logs", "other", expect=1).stderr == (
        "the log of this flotilla run is in its terminal; bots of bots_config.yaml with log_file have theirs here,"
        " too\n"
    )


def test_containers_are_not_there(project: Project) -> None:
    error = project.flotilla("stop", "--in", "containers", expect=1).stderr
    assert error == (
        f"project {project.name!r} has no containers; start it with 'flotilla up', or with 'flotilla run' without"
        " containers\n"
    )
    error = project.flotilla("up", expect=1).stderr
    assert re.fullmatch(r"the fleet of bots_config.yaml runs in a flotilla run \(pid \d+\); stop that first\n", error)
    error = project.flotilla("down", expect=1).stderr
    assert error.startswith("no Docker engine answers at unix://")


def test_top_shows_it_until_q(project: Project) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "app.cli.main", "top", "--interval", "0.5"]
    environment = {**project.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(
        command, cwd=project.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as top:
        os.close(theirs)
        shown = b""
        while b"other" not in shown:
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        drained = _drain(ours)
    os.close(ours)
    assert top.returncode == 0, shown + drained
    assert b"filed" in shown


def _drain(terminal: int) -> bytes:
    """Read to the end, without which what writes there would wait; the system calls the end an error."""
    read = b""
    try:
        while part := os.read(terminal, 65536):
            read += part
    except OSError:
        pass
    return read


def test_top_needs_a_terminal(project: Project) -> None:
    error = project.flotilla("top", expect=2).stderr
    assert error == "top needs a terminal; use 'flotilla status' instead, or 'flotilla status --json'\n"
