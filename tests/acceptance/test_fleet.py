"""The example fleet as ``docker compose up`` runs it: one container per bot, PostgreSQL and the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.runtime.library import Library
from app.sandbox.client import LearnerClient, SandboxClient, Transcript
from tests.stage import play, script_of

ROOT = Path(__file__).parents[2]
FOLDERS = {"lighthouse": "lighthouse", "samovar": "samovar", "fleet_school": "school"}

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


class Fleet:
    """A Compose project of this checkout, beside any other that runs here."""

    def __init__(self) -> None:
        self.name = f"flotilla-test-{uuid4().hex[:8]}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def compose(self, *arguments: str, expect: int = 0) -> str:
        """Run docker compose on the committed compose.yaml; return what it prints."""
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        environment = {**os.environ, "SANDBOX_PORT": str(self.port)}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    def containers(self) -> dict[str, dict[str, str]]:
        """Return the containers by service."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {container["Service"]: container for container in map(json.loads, lines)}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """The fleet, up and healthy; its containers and volume are removed afterwards."""
    fleet = Fleet()
    try:
        fleet.compose("up", "--detach", "--build", "--wait")
        yield fleet
    finally:
        fleet.compose("down", "--volumes")


@pytest.fixture
async def client(fleet: Fleet) -> AsyncIterator[SandboxClient]:
    """The learners' side of the fleet's sandbox."""
    async with SandboxClient(f"http://127.0.0.1:{fleet.port}") as client:
        yield client


def test_everything_is_healthy(fleet: Fleet) -> None:
    states = {service: (one["State"], one["Health"], one["ExitCode"]) for service, one in fleet.containers().items()}
    running = ("running", "healthy", 0)
    assert states == {
        "postgres": running,
        "sandbox": running,
        "migrate": ("exited", "", 0),
        "lighthouse": running,
        "samovar": running,
        "fleet_school": running,
    }


def test_each_container_tells_of_its_bot(fleet: Fleet) -> None:
    ask = "import sys, urllib.request as net; print(net.urlopen(sys.argv[1]).read().decode())"
    for bot in FOLDERS:
        status = json.loads(fleet.compose("exec", "-T", bot, "cat", "/tmp/flotilla-status.json"))
        assert [(one["bot"], one["state"], one["is_healthy"]) for one in status["bots"]] == [(bot, "polling", True)]
        text = fleet.compose("exec", "-T", "sandbox", "python", "-c", ask, f"http://{bot}:9400/metrics")
        assert f'flotilla_bot_state{{bot="{bot}",state="polling"}} 1.0' in text.splitlines()


@pytest.mark.parametrize("bot", FOLDERS)
async def test_a_learner_finishes_a_course(client: SandboxClient, bot: str) -> None:
    learner = client.learner(bot, 1, language_code="ru")
    course = Library(ROOT / "scripts", FOLDERS[bot]).courses.courses["default"]
    answers, has_ended = script_of(course)
    await learner.send("/start")
    order = random.Random(1)
    await play(learner, has_ended, answers, choose=order.randrange)


def asked(question: str) -> Callable[[Transcript], bool]:
    """Return the condition that the bot's last message is a poll with this in its question."""
    return lambda chat: chat.last is not None and chat.last.poll is not None and question in chat.last.poll.question


async def begin(client: SandboxClient, learner_id: int) -> LearnerClient:
    learner = client.learner("lighthouse", learner_id)
    await learner.send("/start")
    await learner.press(await learner.wait_message())
    await learner.wait_for(lambda chat: chat.last is not None and chat.last.poll is not None)
    return learner


async def test_a_restart_in_mid_course_changes_nothing_for_the_learner(fleet: Fleet, client: SandboxClient) -> None:
    learner = await begin(client, 2)
    await asyncio.to_thread(fleet.compose, "restart", "lighthouse")
    question = (await learner.transcript()).by_bot[-1]
    await learner.vote(question, 1)
    await learner.wait_for(asked("list of duties"), patience=60)


async def test_kill_9_in_mid_course_changes_nothing_for_the_learner(fleet: Fleet, client: SandboxClient) -> None:
    learner = await begin(client, 3)
    question = (await learner.transcript()).by_bot[-1]
    await asyncio.to_thread(fleet.compose, "kill", "--signal", "KILL", "lighthouse")
    await learner.vote(question, 1)
    others = {service: one["ID"] for service, one in fleet.containers().items() if service != "lighthouse"}
    await asyncio.to_thread(fleet.compose, "up", "--detach", "--wait")
    await learner.wait_for(asked("list of duties"), patience=60)
    assert {service: one["ID"] for service, one in fleet.containers().items() if service in others} == others


def test_stopping_leaves_no_error(fleet: Fleet) -> None:
    fleet.compose("stop", "lighthouse")
    assert fleet.containers()["lighthouse"]["ExitCode"] == 0
    lines = fleet.compose("logs", "--no-log-prefix", "lighthouse", "samovar", "fleet_school").splitlines()
    # Compose 2.26 begins lines by clearing them, terminal or not.
    events = [json.loads(line.removeprefix("\x1b[2K")) for line in lines]
    assert [event for event in events if event["level"] not in ("info", "warning")] == []
    fleet.compose("start", "lighthouse")


async def test_the_log_level_of_a_running_bot(fleet: Fleet, client: SandboxClient) -> None:
    def flotilla(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "app.cli.main", *arguments]
        environment = {**os.environ, "COMPOSE_PROJECT_NAME": fleet.name, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    assert await asyncio.to_thread(flotilla, "log-level", "debug", "samovar") == (0, "samovar: debug\n")
    for bot in ("samovar", "fleet_school"):
        await begin_with(client.learner(bot, 4))
    assert await asyncio.to_thread(flotilla, "log-level", "info") == (
        0,
        "lighthouse: info\nsamovar: info\nfleet_school: info\n",
    )
    await begin_with(client.learner("samovar", 5))
    lines = fleet.compose("logs", "--no-log-prefix", "samovar", "fleet_school").splitlines()
    events = [json.loads(line.removeprefix("\x1b[2K")) for line in lines]
    told = [(event["bot"], event["chat"], event["kind"]) for event in events if event["level"] == "debug"]
    assert told == [("samovar", 4, "message")]
    fleet.compose("stop", "samovar")
    code, text = await asyncio.to_thread(flotilla, "log-level", "debug", "samovar")
    assert (code, text) == (1, "bot 'samovar' does not run, neither here nor in containers; start it first\n")


async def begin_with(learner: LearnerClient) -> None:
    await learner.send("/start")
    await learner.wait_message()
