"""A stage whose hosts serve pages, a bot with two questions, and plain HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from app.config.options import Options
from app.config.settings import BotSettings
from app.config.tokens import sandbox_token
from app.runtime.bot import State
from app.runtime.host import Host
from app.sandbox.apps import sign_init_data
from app.sandbox.client import LearnerClient, Message, SandboxClient
from app.sandbox.server import Sandbox
from tests.stage import Stage, until

COURSE = """
Pick:
  type: miniapp
  text: Look at this
  button: Open
  question:
    type: multiple_choice
    text: Which is red?
    options: [{text: Sky}, {text: Rose}]
  answer: {actual: Rose, correct_feedback: 'Yes, *red*', incorrect_feedback: No}
Fill:
  type: miniapp
  text: And this
  button: Open
  question: {type: typein, text: "<p>I {q1} here and you {q2} there.</p>"}
  answer: {actual: 'q1: am, q2: are'}
Free:
  type: miniapp
  text: At last
  button: Open
  question: {type: typein, text: 'My name: {q1}'}
Bye: {type: end, text: Bye}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def short(self) -> tuple[int, Any]:
        """What tests compare."""
        return self.status, self.body


class Web:
    """Plain HTTP to the pages of a host."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.port = port

    def app_url(self, bot: str = "bot") -> str:
        return f"http://127.0.0.1:{self.port}/app/{bot}/"

    def at(self, port: int) -> Web:
        """Return the same at another port."""
        return Web(self._session, port)

    async def ask(self, verb: str, path: str, **options: Any) -> Answer:
        async with self._session.request(verb, f"http://127.0.0.1:{self.port}{path}", **options) as response:
            content = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(content) if is_json else content.decode(), response.headers)

    async def question(self, number: int, init_data: str | None = None, path: str = "/app/bot/api/questions") -> Answer:
        headers = {} if init_data is None else {"Authorization": f"tma {init_data}"}
        return await self.ask("GET", path, params={"conversation_id": number}, headers=headers)

    async def submit(
        self, number: Any, answer: Any, init_data: Any, path: str = "/app/bot/api/submit_response"
    ) -> Answer:
        body = {"conversation_id": number, "answer": answer, "init_data": init_data}
        return await self.ask("POST", path, json=body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def stage(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A sandbox, a database and a course; hosts are started by the test."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    async with Sandbox() as sandbox, SandboxClient(sandbox.url) as client:
        stage = Stage(sandbox.url, client, database_url, scripts)
        stage.course(COURSE)
        yield stage
        await stage.close()


@pytest.fixture
async def web(stage: Stage) -> AsyncIterator[Web]:
    stage.listen = ("127.0.0.1", free_port())
    async with aiohttp.ClientSession() as session:
        yield Web(session, stage.listen[1])


def bot_with_page(stage: Stage, web: Web, name: str = "bot", **more: Any) -> BotSettings:
    return stage.bot(name, options=Options(app_url=web.app_url(name)), **more)


@pytest.fixture
async def host(stage: Stage, web: Web) -> Host:
    """A running host with one bot."""
    host = stage.start(bot_with_page(stage, web))
    await until(lambda: [bot.state for bot in host.bots] == [State.POLLING])
    return host


@pytest.fixture
async def ann(stage: Stage, host: Host) -> LearnerClient:
    """A learner who has the first question on the screen."""
    ann = stage.learner()
    await ann.send("/start")
    await ann.wait_message()
    return ann


async def opened(learner: LearnerClient, message: Message | None = None) -> tuple[int, str]:
    """Open the newest mini app; return its number and what Telegram tells it."""
    message = message or (await learner.transcript()).last
    assert message is not None
    app = await learner.open_app(message)
    return int(urlsplit(app.url).path.rpartition("/")[2]), app.init_data


def init_data_of(learner_id: int, bot: str = "bot", age: int = 0, **profile: str) -> str:
    """Return what Telegram would tell a page that this learner opened so many seconds ago."""
    user = {"id": learner_id, "first_name": "A", **profile}
    fields = {"query_id": "q", "user": json.dumps(user), "auth_date": str(int(time.time()) - age)}
    return sign_init_data(sandbox_token(bot), fields)
