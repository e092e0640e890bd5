"""Dialogs as ``docker compose up`` runs them: bots, PostgreSQL, the sandbox and a model's server, all in containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from app.sandbox.client import LearnerClient, SandboxClient, Transcript
from tests.acceptance.conftest import KEY
from tests.acceptance.project import ROOT, Project, docker, free_port, up
from tests.stage import said

CONFIG = """
    image: flotilla-test
    version: "{tag}"
    telegram: sandbox
    dialog: {{base_url: "http://model:8900/v1", api_key_env: MODEL_KEY, model: tiny, retries: 1}}
    bots:
      - {{name: talker, folder: talk, language: en}}
      - {{name: streamer, folder: talk, language: en, dialog: {{stream: true}}}}
"""

MODEL = """
    services:
      model:
        image: flotilla-test:{tag}
        init: true
        stop_grace_period: 2s
        command: [python, /srv/model_server.py, --host, 0.0.0.0]
        volumes: ["{server}:/srv/model_server.py:ro"]
        ports: ["127.0.0.1:{port}:8900"]
        healthcheck:
          test: [CMD, bash, -c, exec 3<>/dev/tcp/127.0.0.1/8900]
          start_period: 1m
          start_interval: 1s
"""

COURSE = """
    Talk: {type: dialog, text: Hello! What is your name?, prompt: "Be kind, then write {STOP}."}
    Bye: {type: end, text: Farewell}
"""

TALKING = ("talker", "streamer")

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder, port = tmp_path_factory.mktemp("fleet"), free_port()
    model = MODEL.format(tag=image, server=ROOT / "tests/model_server.py", port=port)
    project = Project(folder, CONFIG.format(tag=image), model, {"MODEL_KEY": KEY})
    project.courses("talk", default=COURSE)
    with up(project):
        yield project


class Model:
    """The model's server, told over HTTP what to do."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def tell(self, what: str, *values: Any) -> None:
        async with self._session.post(f"{self._url}/control/{what}", json=values) as answer:
            assert answer.status == 200

    async def asked(self) -> list[Any]:
        """Return the requests since it was started."""
        async with self._session.get(f"{self._url}/control/requests") as answer:
            return json.loads(await answer.text())

    async def wait_for(self, text: str, count: int = 1) -> list[list[Any]]:
        """Wait until it was asked so often for an answer to this text; return the messages of these requests."""
        async with asyncio.timeout(60):
            while True:
                bodies = [request["body"]["messages"] for request in await self.asked()]
                found = [messages for messages in bodies if messages[-1]["content"] == text]
                if len(found) >= count:
                    return found


@pytest.fixture
async def model(project: Project) -> AsyncIterator[Model]:
    address = project.compose("port", "model", "8900").strip()
    async with aiohttp.ClientSession() as session:
        yield Model(session, f"http://{address}")


@pytest.fixture
async def client(project: Project) -> AsyncIterator[SandboxClient]:
    async with project.client() as client:
        yield client


async def begin(client: SandboxClient, bot: str, number: int) -> LearnerClient:
    """Start the course as a learner whose id no other test has."""
    learner = client.learner(bot, 10 * number + TALKING.index(bot))
    await learner.send("/start")
    await learner.wait_for(said("What is your name?"))
    return learner


def shown(chat: Transcript) -> list[tuple[str, str]]:
    """Return what the chat page shows, without the command at the beginning."""
    return [("bot" if message.by_bot else "user", message.text) for message in chat.messages[1:]]


def recorded(project: Project, learner: LearnerClient) -> list[tuple[str, str]]:
    """Return the rows of a learner as reports read them: who, and what the learner saw or wrote."""
    found = project.query(
        f"SELECT role, report FROM conversation WHERE chat_id = {learner.id} ORDER BY conversation_id"
    )
    return [(role, report) for role, report in found]


async def farewell(project: Project, learner: LearnerClient, *presses: str) -> Transcript:
    """Speak until the model writes its stop marker; the chat page and the rows must have the same then.

    Except for presses of buttons, which are rows and no messages.
    """
    await learner.send("bye now")
    chat = await learner.wait_for(said("Farewell"))
    assert shown(chat)[-3:] == [("user", "bye now"), ("bot", "Goodbye!"), ("bot", "Farewell")]
    rows = recorded(project, learner)
    assert [text for who, text in rows if text in presses] == list(presses)
    assert [row for row in rows if row[1] not in presses] == shown(chat)
    assert project.query(f"SELECT count(*) AS jobs FROM job WHERE chat_id = {learner.id}") == [(0,)]
    return chat


@pytest.mark.parametrize("bot", TALKING)
async def test_a_conversation_to_its_stop_marker(
    project: Project, client: SandboxClient, model: Model, bot: str
) -> None:
    learner = await begin(client, bot, 1)
    await learner.send("Anna")
    await learner.wait_for(said("You said: Anna"))
    chat = await farewell(project, learner)
    assert shown(chat) == [
        ("bot", "Hello! What is your name?"),
        ("user", "Anna"),
        ("bot", "You said: Anna"),
        ("user", "bye now"),
        ("bot", "Goodbye!"),
        ("bot", "Farewell"),
    ]
    request = (await model.asked())[-1]
    assert (request["headers"]["Authorization"], request["body"]["model"]) == (f"Bearer {KEY}", "tiny")
    assert [message["content"] for message in request["body"]["messages"][1:]] == ["Anna", "You said: Anna", "bye now"]


@pytest.mark.parametrize("bot", TALKING)
async def test_texts_that_come_while_the_model_is_slow(
    project: Project, client: SandboxClient, model: Model, bot: str
) -> None:
    learner = await begin(client, bot, 2)
    await model.tell("faults", {"hold": 0})
    await learner.send(f"one for {bot}")
    await model.wait_for(f"one for {bot}")
    await learner.send("two")
    await learner.send("three")
    await client.wait_idle(bot)
    await model.tell("release")
    chat = await learner.wait_for(said("You said: three"))
    assert [text for who, text in shown(chat) if who == "bot"][1:] == [f"You said: one for {bot}", "You said: three"]
    (messages,) = [found for found in await model.wait_for("three") if found[1]["content"] == f"one for {bot}"]
    assert [message["content"] for message in messages[1:]] == [
        f"one for {bot}",
        f"You said: one for {bot}",
        "two",
        "three",
    ]
    await farewell(project, learner)


def is_excused(chat: Transcript) -> bool:
    return chat.last is not None and "Try again" in [button.text for button in chat.last.buttons]


@contextlib.asynccontextmanager
async def model_away(project: Project) -> AsyncIterator[None]:
    """Have the model's server stopped meanwhile."""
    await asyncio.to_thread(project.compose, "stop", "model")
    try:
        yield
    finally:
        await asyncio.to_thread(project.compose, "up", "--detach", "--wait", "--no-recreate", "model")


@pytest.mark.parametrize("bot", TALKING)
async def test_a_model_that_is_down(project: Project, client: SandboxClient, bot: str) -> None:
    learner = await begin(client, bot, 3)
    async with model_away(project):
        await learner.send("Anna")
        excuse = (await learner.wait_for(is_excused, patience=60)).by_bot[-1]
    assert excuse.text.startswith("Sorry, I could not answer this time. What you wrote is not lost")
    await learner.press(excuse, "Try again")
    chat = await learner.wait_for(said("You said: Anna"), patience=60)
    assert shown(chat) == [
        ("bot", "Hello! What is your name?"),
        ("user", "Anna"),
        ("bot", excuse.text),
        ("bot", "You said: Anna"),
    ]
    await farewell(project, learner, "Try again")


def restarts(project: Project, service: str) -> int:
    (container,) = project.containers(service)
    return int(docker("inspect", "--format", "{{.RestartCount}}", container))


@pytest.mark.parametrize(("bot", "hold", "draft"), [("talker", 0, "name?"), ("streamer", 3, "You said: My")])
async def test_a_bot_that_is_killed_in_mid_answer(
    project: Project, client: SandboxClient, model: Model, bot: str, hold: int, draft: str
) -> None:
    learner = await begin(client, bot, 4)
    text, before = f"My name, {bot}, is Anna", restarts(project, bot)
    await model.tell("faults", {"hold": hold})
    await learner.send(text)
    await model.wait_for(text)
    chat = await learner.wait_for(said(draft))
    on_screen = chat.by_bot[-1].id
    await asyncio.to_thread(project.crash, bot)
    chat = await learner.wait_for(said(f"You said: {text}"), patience=90)
    assert restarts(project, bot) == before + 1
    first, second = await model.wait_for(text, 2)
    assert first == second
    await model.tell("release")
    chat = await farewell(project, learner)
    assert [text for who, text in shown(chat) if who == "bot"][1:] == [f"You said: {text}", "Goodbye!", "Farewell"]
    assert (chat.by_bot[1].id == on_screen) == (bot == "streamer")


async def test_texts_of_a_learner_while_the_bot_is_dead_are_answered(
    project: Project, client: SandboxClient, model: Model
) -> None:
    learner = await begin(client, "talker", 5)
    await model.tell("faults", {"hold": 0})
    await learner.send("Are you alive?")
    await model.wait_for("Are you alive?")
    container = project.containers("talker")[0]
    await asyncio.to_thread(docker, "kill", "--signal", "KILL", container)
    await learner.send("Hello?")
    await asyncio.to_thread(project.compose, "up", "--detach", "--wait", "--no-recreate", "talker")
    await model.tell("release")
    chat = await learner.wait_for(said("You said: Hello?"), patience=90)
    assert [text for who, text in shown(chat) if who == "user"] == ["Are you alive?", "Hello?"]
    await farewell(project, learner)


async def test_the_key_is_where_it_is_used_and_nowhere_else(
    project: Project, client: SandboxClient, model: Model, image: str
) -> None:
    """The engine shows it in the environment of the containers of bots with a model, as it does with tokens."""
    learner = await begin(client, "talker", 6)
    await model.tell("faults", {"status": 401, "says": f"Incorrect API key provided: {KEY}"})
    await learner.send("Anna")
    await learner.wait_for(is_excused)
    logs = await asyncio.to_thread(project.compose, "logs", "--no-color")
    assert "refuses the key" in logs
    assert KEY not in logs
    assert KEY not in (project.folder / "compose.yaml").read_text()
    assert holders(project, ("talker", "streamer", "postgres", "sandbox", "model", "migrate")) == set(TALKING)
    rows = await asyncio.to_thread(project.compose, "exec", "-T", "postgres", "pg_dump", "-U", "flotilla", "flotilla")
    assert "Are you alive?" in rows
    assert KEY not in rows


def holders(project: Project, services: tuple[str, ...]) -> set[str]:
    """Return the services whose containers hold the key, as the engine shows them."""
    return {service for service in services if KEY in docker("inspect", *project.containers(service))}


def test_the_key_is_not_in_the_image(image: str) -> None:
    name = f"flotilla-test:{image}"
    assert KEY not in docker("image", "inspect", name) + docker("history", "--no-trunc", name)
    save = subprocess.Popen(["docker", "image", "save", name], stdout=subprocess.PIPE)
    with save:
        assert save.stdout is not None
        found = subprocess.run(["grep", "--quiet", "--text", "--fixed-strings", KEY], stdin=save.stdout, check=False)
    assert found.returncode == 1
