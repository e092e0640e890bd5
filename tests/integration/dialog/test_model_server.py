"""The model's server as a process of its own, as tests with containers use it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from app.config.settings import DialogSettings
from app.course.element import Line
from app.dialog.errors import ModelUnavailable
from app.dialog.model import ModelClient
from app.dialog.reply import Reply, ReplyRequest

FILE = Path(__file__).parents[2] / "model_server.py"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The base URL of a server that runs from its file alone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(FILE), "--port", "0", stdout=asyncio.subprocess.PIPE, cwd="/"
    )
    assert process.stdout
    yield (await process.stdout.readline()).decode().split()[-1]
    process.terminate()
    await process.communicate()


async def test_it_is_told_what_to_do(url: str) -> None:
    control = url.removesuffix("/v1") + "/control"
    request = ReplyRequest("m", (Line("user", "Hi"),))
    client = ModelClient(DialogSettings(base_url=url, api_key="k", retries=0))
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.post(f"{control}/replies", json=["Queued"])
        await session.post(f"{control}/faults", json=[{"status": 500}, {"hold": 0}])
        with pytest.raises(ModelUnavailable):
            await client.reply(request)
        held = asyncio.create_task(client.reply(request))
        asked: list[dict[str, object]] = []
        while len(asked) < 2:
            async with session.get(f"{control}/requests") as answer:
                asked = await answer.json()
        await session.post(f"{control}/release")
        assert await held == Reply("Queued", input_tokens=1, output_tokens=1)
    assert (await client.reply(request)).text == "You said: Hi"
    assert (await client.reply(ReplyRequest("m", (Line("user", "Bye!"),)))).text == "Goodbye! {STOP}"
    assert asked[0]["body"] == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    await client.close()
