"""A sandbox on a free port, a client of it, and plain HTTP calls of the Bot API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from app.sandbox.client import LearnerClient, SandboxClient
from app.sandbox.server import Sandbox

TOKEN = "700:demo-token_A"


class BotApi:
    """Calls of one bot; ``ask`` returns status and whole answer, ``get`` the result of a call that must succeed."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self.session = session
        self.url = f"{url}/bot{token}"

    async def ask(self, method: str, **params: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.post(f"{self.url}/{method}", json=params) as response:
            return response.status, await response.json()

    async def get(self, method: str, **params: Any) -> Any:
        status, answer = await self.ask(method, **params)
        assert status == 200, answer
        return answer["result"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox({TOKEN: ("demo", "Demo bot")}) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[SandboxClient]:
    async with SandboxClient(sandbox.url) as client:
        yield client


@pytest.fixture
async def api(sandbox: Sandbox) -> AsyncIterator[BotApi]:
    async with aiohttp.ClientSession() as session:
        yield BotApi(session, sandbox.url, TOKEN)


@pytest.fixture
async def ann(client: SandboxClient, api: BotApi) -> LearnerClient:
    """A learner who has started the bot and whose message the bot has seen."""
    ann = client.learner("demo", 42, first_name="Ann", username="ann", language_code="en")
    await ann.send("/start")
    updates = await api.get("getUpdates")
    await api.get("getUpdates", offset=updates[-1]["update_id"] + 1)
    return ann
