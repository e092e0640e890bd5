"""``flotilla run``: the main job without Docker, as a newcomer starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from app.config.tokens import sandbox_token
from app.deploy.docker import ONE_OFF, PROJECT, SERVICE
from app.runtime.library import Library
from app.sandbox.client import SandboxClient
from app.sandbox.server import Sandbox
from tests.acceptance.project import docker, free_port
from tests.stage import play, said, script_of

ROOT = Path(__file__).parents[2]
RUN = (sys.executable, "-m", "app.cli.main", "run")
FOLDERS = {"lighthouse": "lighthouse", "samovar": "samovar", "fleet_school": "school"}
ONE_BOT = """
telegram: sandbox
bots:
  - {name: solo, folder: solo}
"""
COURSE = "A: {type: message, text: hello, button: On}\nB: {type: end, text: bye}\n"


class Run:
    """A ``flotilla run``, or another program that runs bots; ``lines`` is what it has printed."""

    def __init__(self, folder: Path, *arguments: str, program: Sequence[str] = RUN, **environment: str) -> None:
        command = [*program, *arguments]
        clean = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._new: Queue[str | None] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                self._new.put(line.rstrip())
        self._new.put(None)

    def wait_line(self, part: str) -> str:
        """Wait for a line that contains this."""
        while True:
            line = self._new.get(timeout=60)
            assert line is not None, f"{part!r} was never printed:\n" + "\n".join(self.lines)
            self.lines.append(line)
            if part in line:
                return line

    def wait_end(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(60)
        self._reader.join()
        while (line := self._new.get()) is not None:
            self.lines.append(line)
        return code

    def close(self) -> None:
        """Wait for the end of the process and of its output."""
        self.process.wait(60)
        self._reader.join()

    def interrupt(self) -> int:
        """Press Ctrl+C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait_end()


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Run]:
    run = Run(folder, *arguments, **environment)
    try:
        yield run
    finally:
        run.process.kill()
        run.close()


@pytest.fixture
def solo(server_folder: Path) -> Path:
    """A folder with a fleet of one bot in the sandbox."""
    (server_folder / "scripts" / "solo").mkdir(parents=True)
    (server_folder / "bots_config.yaml").write_text(ONE_BOT)
    (server_folder / "scripts" / "solo" / "courses.yml").write_text("default: {path: course.yml}\n")
    (server_folder / "scripts" / "solo" / "course.yml").write_text(COURSE)
    return server_folder


def url_of(run: Run) -> str:
    return run.wait_line("chat page").split()[2]


async def test_the_example_fleet(server_folder: Path) -> None:
    shutil.copy(ROOT / "bots_config.yaml", server_folder)
    shutil.copytree(ROOT / "scripts", server_folder / "scripts")
    with running(server_folder, "--port", "0") as run:
        url = url_of(run)
        assert [line for line in run.lines if line.startswith(("database", "bot"))] == [
            "database  embedded PostgreSQL in .flotilla/postgres",
            "bot       lighthouse: courses in scripts/lighthouse",
            "bot       samovar: courses in scripts/samovar",
            "bot       fleet_school: courses in scripts/school",
        ]
        async with aiohttp.ClientSession() as http, http.get(url) as page:
            assert (page.status, page.content_type) == (200, "text/html")
        async with SandboxClient(url) as client:
            for bot, folder in FOLDERS.items():
                answers, has_ended = script_of(Library(server_folder / "scripts", folder).courses.courses["default"])
                learner = client.learner(bot, 5)
                await learner.send("/start")
                await play(learner, has_ended, answers, choose=random.Random(5).randrange)
        assert run.interrupt() == 0
        assert run.lines[-1] == "stopped"
        assert not [line for line in run.lines if "error" in line.lower() or "Traceback" in line]


def test_ctrl_c_before_the_bots_are_started_ends_as_usual(solo: Path) -> None:
    with running(solo, "--port", "0", DATABASE_URL=f"postgresql://me@127.0.0.1:{free_port()}/db") as run:
        run.wait_line("waiting for the database")
        assert run.interrupt() == 0
        assert run.lines[-1] == "stopped"
        assert "Traceback" not in "\n".join(run.lines)


@pytest.mark.containers
async def test_containers_with_the_same_bots_are_told_of(solo: Path, image: str) -> None:
    project = f"flotilla-test-{uuid4().hex[:8]}"
    labels = {PROJECT: project, SERVICE: "solo", ONE_OFF: "False"}
    options = [part for name, text in labels.items() for part in ("--label", f"{name}={text}")]
    container = docker("run", "--detach", "--rm", "--init", *options, f"flotilla-test:{image}", "sleep", "600").strip()
    (solo / "compose.yaml").write_text("services: {}\n")
    try:
        async with Sandbox() as telegram:
            config = f"telegram: {telegram.url}\nbots: [{{name: solo, token_env: SOLO_TOKEN, folder: solo}}]\n"
            (solo / "bots_config.yaml").write_text(config)
            with running(solo, COMPOSE_PROJECT_NAME=project, SOLO_TOKEN=sandbox_token("solo")) as run:
                assert await asyncio.to_thread(run.wait_line, "warning   ") == (
                    f"warning   containers of project {project!r} run solo, too; Telegram gives updates to one "
                    "program; end this run, or stop them: flotilla stop --in containers"
                )
                assert await asyncio.to_thread(run.interrupt) == 0
    finally:
        docker("rm", "--force", container)


async def test_learners_go_on_after_a_power_cut(solo: Path) -> None:
    with running(solo, "--port", "0") as run:
        async with SandboxClient(url_of(run)) as client:
            learner = client.learner("solo", 5)
            await learner.send("/start")
            await learner.press(await learner.wait_message())
            await learner.wait_for(said("bye"))
            await learner.send("/start")
            await learner.wait_for(said("hello"))
        run.process.kill()
        run.wait_end()
    postmaster = int((solo / ".flotilla" / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    with running(solo, "--port", "0") as run:
        async with SandboxClient(url_of(run)) as client:
            learner = client.learner("solo", 5)
            await learner.send("what now?")
            await learner.wait_for(said("buttons above"))
        assert run.interrupt() == 0


APP = """
A:
  type: miniapp
  text: look
  button: Open
  question: {text: "Which?", options: [{text: this}]}
  answer: {actual: this}
B: {type: end, text: bye}
"""


async def test_a_mini_app_is_served_although_the_port_after_that_of_the_chat_page_is_taken(solo: Path) -> None:
    (solo / "scripts" / "solo" / "course.yml").write_text(APP)
    with port_before_a_taken_one() as port, running(solo, "--port", str(port)) as run:
        await answer_the_app(url_of(run))
        assert run.interrupt() == 0


@contextlib.contextmanager
def port_before_a_taken_one() -> Iterator[int]:
    """Give a free port whose successor is taken meanwhile."""
    for port in range(20_000, 60_000, 97):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            first.close()
            second.listen()
            yield port
            return


async def answer_the_app(sandbox_url: str) -> None:
    """Be a learner who answers the question of the course in the bot's page."""
    async with SandboxClient(sandbox_url) as client, aiohttp.ClientSession() as http:
        learner = client.learner("solo", 5)
        await learner.send("/start")
        await learner.wait_for(said("look"))
        app = await learner.open_app((await learner.transcript()).by_bot[-1])
        async with http.get(app.url) as page:
            assert (page.status, page.content_type) == (200, "text/html")
        parts = urlsplit(app.url)
        body = {"conversation_id": parts.path.rpartition("/")[2], "answer": "this", "init_data": app.init_data}
        async with http.post(f"http://{parts.netloc}/app/solo/api/submit_response", json=body) as response:
            assert (response.status, (await response.json())["correct"]) == (200, True)
        await learner.wait_for(said("bye"))


async def test_metrics_of_a_run_and_a_port_for_them_that_is_taken(solo: Path) -> None:
    port = str(free_port())
    with running(solo, "--port", "0", "--metrics-port", port) as run:
        told = run.wait_line("metrics")
        run.wait_line("polling")
        async with aiohttp.ClientSession() as http, http.get(told.split()[1]) as response:
            text = await response.text()
        assert 'flotilla_bot_state{bot="solo",state="polling"} 1.0' in text.splitlines()
        assert run.interrupt() == 0
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of the scrape, a connection may linger
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        with running(solo, "--port", "0", "--metrics-port", port) as run:
            assert run.wait_end() == 1
    assert run.lines[-1] == (
        f"port {port} of 127.0.0.1 cannot be used for metrics (address already in use); "
        "stop the program that uses it, or choose another with METRICS_PORT"
    )


def test_a_port_for_pages_that_is_taken(solo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with running(solo, "--port", "0", "--pages-port", port) as run:
            assert run.wait_end() == 1
        assert run.lines[-1] == (
            f"port {port} of 127.0.0.1 cannot be used for web pages (address already in use); "
            "stop the program that uses it, or choose another"
        )


def test_a_taken_port(solo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with running(solo, "--port", port) as run:
            assert run.wait_end() == 1
        assert run.lines[-1] == (
            f"port {port} of 127.0.0.1 cannot be used (address already in use); "
            "stop the program that uses it, or choose another with --port"
        )


def test_a_second_run_of_one_folder_is_refused(solo: Path) -> None:
    with running(solo, "--port", "0") as first:
        first.wait_line("polling")
        with running(solo, "--port", "0") as second:
            assert second.wait_end() == 1
        assert second.lines == [f"the fleet of {str(solo.resolve())!r} is running already; stop that run first"]
        assert first.interrupt() == 0


def test_an_unknown_bot(solo: Path) -> None:
    with running(solo, "sola") as run:
        assert run.wait_end() == 2
    assert run.lines == ["bots_config.yaml has no bot 'sola'; did you mean 'solo'?"]


def test_no_config(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        assert run.wait_end() == 78
    assert "flotilla init" in run.lines[0]


def test_missing_token(solo: Path) -> None:
    (solo / "bots_config.yaml").write_text("bots: [{name: solo, folder: solo, token_env: SOLO_TOKEN}]\n")
    with running(solo) as run:
        assert run.wait_end() == 78
    assert "SOLO_TOKEN" in run.lines[0]
    assert ".env" in run.lines[0]


def test_a_course_with_errors_is_named_and_the_bot_runs(solo: Path) -> None:
    (solo / "scripts" / "solo" / "course.yml").write_text("A: {type: mesage, text: hello}\n")
    with running(solo, "--port", "0") as run:
        run.wait_line("scripts/solo/course.yml:1:")
        run.wait_line("polling")
        assert run.interrupt() == 0


def test_an_unreachable_database(solo: Path) -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/nowhere"
    with running(solo, "--port", "0", "--database-wait", "2", DATABASE_URL=url) as run:
        assert run.wait_end() == 1
    output = "\n".join(run.lines)
    assert "secret" not in output
    assert "waiting for the database" in output
    assert run.lines[-1].endswith("start PostgreSQL, or correct host and port in DATABASE_URL")


async def test_a_running_fleet_is_told_what_to_log(solo: Path) -> None:
    def flotilla(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli.main", *arguments],
            cwd=solo,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    with running(solo, "--port", "0") as run:
        async with SandboxClient(url_of(run)) as client:
            learner = client.learner("solo", 5)
            await learner.send("/start")
            await learner.wait_for(said("hello"))
            assert flotilla("log-level", "debug", "solo") == (0, "solo: debug\n")
            await learner.press((await learner.transcript()).by_bot[-1])
            line = run.wait_line("update ")
            assert (
                "[debug    ] update                         bot=solo chat=5 element=A kind=callback_query run=1" in line
            )
            assert flotilla("log-level", "warning", "--json") == (
                0,
                '{\n  "level": "warning",\n  "bots": [\n    "solo"\n  ]\n}\n',
            )
            await learner.send("/start")
            await learner.wait_for(lambda chat: len(chat.by_bot) > 2)
        assert flotilla("log-level", "debug", "sola")[1].endswith("has no bot 'sola'; did you mean 'solo'?\n")
        assert run.interrupt() == 0
        assert not [line for line in run.lines if "chat=5" in line and "kind=message" in line]
