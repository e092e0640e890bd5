"""``flotilla run --isolate``: each bot in a process of its own, one of which dies, or all of them lose their parent."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import psycopg
import pytest

from app.runtime.ask import ask
from app.sandbox.client import SandboxClient
from app.store.embedded import EmbeddedPostgres
from tests.acceptance.project import ROOT, free_port
from tests.acceptance.test_run import Run, running, url_of
from tests.stage import play, said

CONFIG = """
telegram: sandbox
bots:
  - {name: one, folder: one, log_file: logs/one.log}
  - {name: two, folder: two, group: pair}
  - {name: three, folder: two, group: pair, log_file: logs/three.log}
"""
COURSE = "\n".join(f"A{n}: {{type: message, text: step {n}, button: On}}" for n in range(8)) + (
    "\nAsk: {type: input, text: how many?, correct_answer: '8', feedback_correct: indeed}"
    "\nEnd: {type: end, text: bye}\n"
)
EACH_ONCE = [*(f"step {n}" for n in range(8)), "how many?", "indeed", "bye"]


@pytest.fixture
def fleet(server_folder: Path) -> Path:
    """A folder with three bots in two processes."""
    (server_folder / "bots_config.yaml").write_text(CONFIG)
    for folder in ("one", "two"):
        (server_folder / "scripts" / folder).mkdir(parents=True)
        (server_folder / "scripts" / folder / "courses.yml").write_text("default: {path: course.yml}\n")
        (server_folder / "scripts" / folder / "course.yml").write_text(COURSE)
    return server_folder


def pids_of(run: Run, *names: str) -> dict[str, int]:
    """Wait until these have started, and return their numbers."""
    found: dict[str, int] = {}
    while not set(names) <= set(found):
        line = re.sub(r"\x1b\[[0-9;]*m", "", run.wait_line("process started"))
        found |= {match[1]: int(match[2]) for match in re.finditer(r"bot=(\S+).* pid=(\d+)", line)}
    return found


async def test_a_process_that_is_killed_in_the_middle_of_a_course_is_started_again(fleet: Path) -> None:
    with running(fleet, "--isolate", "--port", "0") as run:
        url = url_of(run)
        pids = pids_of(run, "one", "pair")
        async with SandboxClient(url) as client:
            learner, other = client.learner("one", 5), client.learner("three", 5)
            await learner.send("/start")
            await other.send("/start")
            await play(learner, said("step 4"))
            os.kill(pids["one"], signal.SIGKILL)
            run.wait_line("process died")
            chat = await play(learner, said("bye"), {"how many": "8"}, patience=60, knows_repeats=True)
            # A message that it was sending when it died may come twice; no other does.
            assert list(dict.fromkeys(message.text for message in chat.by_bot)) == EACH_ONCE
            await play(other, said("bye"), {"how many": "8"})
        assert psutil.pid_exists(pids["pair"])
        assert run.interrupt() == 0
        assert run.lines[-1] == "stopped"
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert [file.name for file in sorted((fleet / "logs").iterdir())] == ["one.log", "three.log"]
    assert '"bot": "one"' in (fleet / "logs" / "one.log").read_text()
    with EmbeddedPostgres(fleet / ".flotilla" / "postgres", durable=False) as database, psycopg.connect(database) as db:
        rows = db.execute("SELECT report FROM conversation WHERE botname = 'one' AND role = 'bot' ORDER BY 1")
        assert [row[0] for row in rows] == sorted(EACH_ONCE)


async def test_processes_and_the_bots_in_them_are_stopped_and_started_at_one_socket(fleet: Path) -> None:
    socket = fleet / ".flotilla" / "control.sock"

    def states() -> dict[str, str]:
        return {bot["bot"]: bot["state"] for bot in ask(socket, {"do": "status"})["bots"]}

    with running(fleet, "--isolate", "--port", "0") as run:
        pids = pids_of(run, "one", "pair")
        for _ in range(3):
            run.wait_line("polling")
        assert states() == {"one": "polling", "two": "polling", "three": "polling"}
        assert ask(socket, {"do": "stop", "bot": "one"}) == {"ok": True, "bot": "one", "state": "stopped"}
        assert ask(socket, {"do": "stop", "bot": "two"}) == {"ok": True, "bot": "two", "state": "stopped"}
        assert states() == {"one": "stopped", "two": "stopped", "three": "polling"}
        assert (psutil.pid_exists(pids["one"]), psutil.pid_exists(pids["pair"])) == (False, True)
        assert ask(socket, {"do": "start", "bot": "one"})["ok"]
        assert pids_of(run, "one")["one"] != pids["one"]
        assert ask(socket, {"do": "restart", "bot": "pair"})["ok"]
        assert pids_of(run, "pair")["pair"] != pids["pair"]
        for _ in range(3):
            run.wait_line("polling")
        assert states() == {"one": "polling", "two": "polling", "three": "polling"}
        assert all(bot["memory"] > 2**20 for bot in ask(socket, {"do": "status"})["bots"])
        processes = ask(socket, {"do": "status"})["processes"]
        assert [(one["process"], one["state"], one["restarts"]) for one in processes] == [
            ("one", "running", 0),
            ("pair", "running", 0),
        ]
        assert ask(socket, {"do": "restart", "bot": "four"}) == {
            "ok": False,
            "error": "there is no bot 'four' here; it runs one, two, three",
        }
        assert run.interrupt() == 0
    assert not socket.exists()


async def test_nobody_is_left_when_the_parent_is_killed(fleet: Path) -> None:
    with running(fleet, "--isolate", "--port", "0") as run:
        pids = pids_of(run, "one", "pair")
        processes = [psutil.Process(pid) for pid in pids.values()]
        for _ in processes:
            run.wait_line("polling")
        run.process.kill()
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert alive == []
    with running(fleet, "--isolate", "--port", "0") as run:
        run.wait_line("polling")
        assert run.interrupt() == 0


SECRETS = {
    **{f"T_{n}": f"{n}23456789:MARKERmarkerMARKERmarkerMARKERmarke" for n in (1, 2, 3)},
    "ALERTS_TOKEN": "423456789:MARKERmarkerMARKERmarkerMARKERmarke",
    "MODEL_KEY": "MARKER-of-the-model",
    "OTHERS_KEY": "MARKER-of-others",
    "WEBHOOK_SECRET_TOKEN": "MARKER-of-webhooks",
}
"""What is in .env of a fleet whose Telegram is out of reach."""

SECRETIVE = """
telegram: http://127.0.0.1:9
webhook: {base_url: "https://bots.example.org"}
alerts: {chat_id: 7, token_env: ALERTS_TOKEN}
bots:
  - {name: one, folder: one, token_env: T_1, log_file: logs/one.log, dialog: {api_key_env: MODEL_KEY}}
  - {name: two, folder: two, group: pair, token_env: T_2}
  - {name: three, folder: two, group: pair, token_env: T_3, mode: webhook}
"""


@pytest.fixture
def dumping() -> Iterator[None]:
    """A machine on which a process that crashes leaves its memory in a file."""
    before, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (before, most))


@pytest.mark.usefixtures("dumping")
def test_secrets_are_told_nobody_but_the_process_that_needs_them(fleet: Path) -> None:
    (fleet / "bots_config.yaml").write_text(SECRETIVE)
    (fleet / ".env").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    told = {target: flotilla(fleet, "generate", "--target", target) for target in ("systemd", "supervisor", "compose")}
    port = free_port()
    with running(fleet, "--isolate", "--log-level", "debug", "--metrics-port", str(port)) as run:
        metrics = [run.wait_line("metrics   ") for _ in range(2)]
        pids = pids_of(run, "one", "pair")
        for _ in range(3):
            run.wait_line("cannot start yet")
        children = {name: psutil.Process(pid) for name, pid in pids.items()}
        held = {name: {n for n in process.environ() if n in SECRETS} for name, process in children.items()}
        assert {process.rlimit(psutil.RLIMIT_CORE)[0] for process in children.values()} == {0}
        processes = [psutil.Process(run.process.pid), *children.values()]
        told |= {f"command of {process.pid}": " ".join(process.cmdline()) for process in processes}
        told |= {
            f"metrics at {at}": urlopen(f"http://127.0.0.1:{at}/metrics").read().decode() for at in (port, port + 1)
        }
        told |= {
            word: flotilla(fleet, *word.split()) for word in ("status", "status --json", "logs --tail 99", "doctor")
        }
        assert run.interrupt() == 0
    told["printed"] = "\n".join(run.lines)
    told |= {str(path): path.read_text(errors="replace") for path in written(fleet)}
    assert {place for place, text in told.items() if "MARKER" in text} == set()
    assert {"compose.yaml", "supervisord.conf", "flotilla-one.service", "one.log"} <= {
        path.name for path in written(fleet)
    }
    assert metrics == [
        f"metrics   http://127.0.0.1:{port}/metrics (one)",
        f"metrics   http://127.0.0.1:{port + 1}/metrics (pair)",
    ]
    assert held == {"one": {"T_1", "MODEL_KEY"}, "pair": {"T_2", "T_3", "WEBHOOK_SECRET_TOKEN"}}


def flotilla(fleet: Path, *arguments: str) -> str:
    """Return all that a command prints, whatever comes of it."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app.cli.main", *arguments]
    done = subprocess.run(command, cwd=fleet, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr
    return done.stdout + done.stderr


def written(fleet: Path) -> list[Path]:
    """List what Flotilla has written beside the config, but for PostgreSQL's own."""
    found = (path for path in fleet.rglob("*") if path.is_file() and path.name != ".env")
    return [path for path in found if "postgres" not in path.parts]


def test_two_processes_do_not_write_one_file(fleet: Path) -> None:
    (fleet / "bots_config.yaml").write_text(CONFIG.replace("three.log", "one.log"))
    with running(fleet, "--isolate", "--port", "0") as run:
        assert run.wait_end() == 78
    assert run.lines == [
        "one and three have the same log_file 'logs/one.log', and are processes of their own; "
        "give each its own, or put them into one group"
    ]
