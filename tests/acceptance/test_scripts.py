"""``bin/telegram/``: the old way of starting; and what a linter says of all shell scripts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.tokens import sandbox_token
from app.runtime.ask import ask
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from tests.acceptance.test_run import Run, url_of
from tests.stage import said

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv"
CONFIG = """
telegram: sandbox
bots:
  - {name: one, folder: a}
  - {name: two, folder: b}
  - {name: three, folder: b, group: g}
  - {name: four, folder: a, group: g}
"""

needs_launcher = pytest.mark.skipif(
    not (VENV / "done_for").exists(), reason="this checkout is not set up; run ./flotilla test"
)


def scripts() -> list[str]:
    """Name all shell scripts that git knows."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    files = [ROOT / name for name in names.split() if (ROOT / name).is_file() and os.access(ROOT / name, os.X_OK)]
    return [str(file.relative_to(ROOT)) for file in files if file.read_bytes().split(b"\n")[0].endswith(b"sh")]


def test_shell_scripts_have_no_mistakes() -> None:
    assert {".ci/run", "flotilla", "bin/telegram/run.sh", "bin/telegram/run-all.sh"} <= set(scripts())
    command = [str(Path(sys.executable).with_name("shellcheck")), "--severity=style", *scripts()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def checkout(server_folder: Path) -> Path:
    """A checkout with courses of its own and the environment of this one."""
    shutil.copytree(ROOT / "bin", server_folder / "bin")
    (server_folder / "flotilla").symlink_to(ROOT / "flotilla")
    (server_folder / ".venv").symlink_to(VENV)
    for folder in ("a", "b"):
        (server_folder / "scripts" / folder).mkdir(parents=True)
        (server_folder / "scripts" / folder / "courses.yml").write_text("default: {path: course.yml}\n")
        (server_folder / "scripts" / folder / "course.yml").write_text(f"A: {{type: end, text: hello from {folder}}}\n")
    return server_folder


@contextlib.contextmanager
def running(script: Path, *arguments: str, **environment: str) -> Iterator[Run]:
    """Start a script from another folder than its checkout's."""
    run = Run(script.parent, *arguments, program=(str(script),), **environment)
    try:
        yield run
    finally:
        run.process.kill()
        run.close()


@needs_launcher
async def test_run_all_starts_every_bot(checkout: Path) -> None:
    (checkout / "bots_config.yaml").write_text(CONFIG)
    with running(checkout / "bin" / "telegram" / "run-all.sh", "--port", "0") as run:
        async with SandboxClient(url_of(run)) as client:
            for bot, folder in {"one": "a", "two": "b", "three": "b", "four": "a"}.items():
                learner = client.learner(bot, 5)
                await learner.send("/start")
                await learner.wait_for(said(f"hello from {folder}"), 60)
        assert run.interrupt() == 0


@needs_launcher
@pytest.mark.parametrize(("script", "arguments"), [("run.sh", ["b_123"]), ("run-all.sh", [])])
async def test_one_bot_as_the_old_program_started_it(
    checkout: Path, database_url: str, script: str, arguments: list[str]
) -> None:
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        (checkout / ".env").write_text(
            f"BOT_API_TOKEN={sandbox_token('old')}\nBOT_NAME=oldbot\nBOT_FOLDER=b\nLANGUAGE=en\n"
            f"DATABASE_URL={database_url}\nTELEGRAM_API_URL={sandbox.url}\n"
        )
        with running(checkout / "bin" / "telegram" / script, *arguments) as run:
            learner = client.learner(sandbox_token("old"), 5)
            await learner.send("/start")
            await learner.wait_for(said("hello from b"), 60)
            state = checkout / ".flotilla" / "old" / (arguments[0] if arguments else "bot")
            assert ask(state / "control.sock", {"do": "status"})["bots"][0]["bot"] == "oldbot"
            assert stat.S_IMODE(state.stat().st_mode) == 0o700
            run.process.send_signal(signal.SIGTERM)
            assert run.wait_end() == 0
