"""A model client against a real server: what is sent, what comes back, and every way it goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.config.settings import Api, DialogSettings
from app.course.element import Line
from app.dialog.errors import ModelUnavailable
from app.dialog.model import ModelClient
from app.dialog.reply import Reply, ReplyRequest
from tests.model_server import Fault, ModelServer

KEY = "sk-very-secret"
REQUEST = ReplyRequest("gpt-4.1", (Line("system", "Be kind."), Line("user", "Hello there")))

apis = pytest.mark.parametrize("api", Api)


@asynccontextmanager
async def client_of(server: ModelServer, **more: Any) -> AsyncIterator[ModelClient]:
    settings = {"base_url": server.url, "api_key": KEY, "timeout": 20.0, "retries": 0, **more}
    client = ModelClient(DialogSettings(**settings))
    try:
        yield client
    finally:
        await client.close()


async def ask(server: ModelServer, request: ReplyRequest = REQUEST, **more: Any) -> Reply:
    async with client_of(server, **more) as client:
        return await client.reply(request)


async def stream(server: ModelServer, **more: Any) -> tuple[Reply, list[str]]:
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    async with client_of(server, **more) as client:
        return await client.reply(REQUEST, show), shown


@apis
async def test_reply(server: ModelServer, api: Api) -> None:
    server.say("Hi, how are you?")
    assert await ask(server, api=api) == Reply("Hi, how are you?", input_tokens=4, output_tokens=4)
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"


@apis
async def test_streamed_reply_is_shown_as_it_grows(server: ModelServer, api: Api) -> None:
    server.say("Hi, how\nare you?")
    reply, shown = await stream(server, api=api)
    assert reply == Reply("Hi, how\nare you?", input_tokens=4, output_tokens=4)
    assert shown == ["Hi,", "Hi, how", "Hi, how\nare", "Hi, how\nare you?"]


@apis
async def test_streamed_text_is_shown_before_the_reply_is_complete(server: ModelServer, api: Api) -> None:
    server.fail(Fault(hold=1))
    server.say("One two")
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)
        server.release()  # the server waits for this: were the text held back, the test would never end

    async with client_of(server, api=api) as client:
        await client.reply(REQUEST, show)
    assert shown == ["One", "One two"]


async def test_chat_completions_request(server: ModelServer) -> None:
    await ask(server, ReplyRequest("gpt-4.1", REQUEST.messages, temperature=0.0, reasoning="high"), max_tokens=50)
    assert server.asked[0].path == "/v1/chat/completions"
    assert server.asked[0].body == {
        "model": "gpt-4.1",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello there"}],
        "temperature": 0.0,
        "max_tokens": 50,
    }


async def test_chat_completions_request_to_a_reasoning_model(server: ModelServer) -> None:
    request = ReplyRequest("gpt-5-mini", REQUEST.messages[1:], temperature=0.0, reasoning="high")
    await ask(server, request, max_tokens=50)
    assert server.asked[0].body == {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": "Hello there"}],
        "reasoning_effort": "high",
        "max_completion_tokens": 50,
    }


async def test_responses_request(server: ModelServer) -> None:
    lines = (Line("system", "Be kind."), Line("system", "Be brief."), Line("user", "Hello there"))
    await ask(server, ReplyRequest("gpt-4.1", lines, 0.0, "high"), api=Api.RESPONSES, max_tokens=50)
    assert server.asked[0].path == "/v1/responses"
    assert server.asked[0].body == {
        "model": "gpt-4.1",
        "instructions": "Be kind.\n\nBe brief.",
        "input": [{"role": "user", "content": "Hello there"}],
        "temperature": 0.0,
        "max_output_tokens": 50,
        "store": False,
        "stream": False,
    }


async def test_responses_request_to_a_reasoning_model(server: ModelServer) -> None:
    await ask(server, ReplyRequest("o3", REQUEST.messages[1:], 0.0, "low"), api=Api.RESPONSES)
    assert server.asked[0].body == {
        "model": "o3",
        "input": [{"role": "user", "content": "Hello there"}],
        "reasoning": {"effort": "low"},
        "store": False,
        "stream": False,
    }


async def test_what_is_not_set_is_not_sent(server: ModelServer) -> None:
    await ask(server)
    assert server.asked[0].body.keys() == {"model", "messages"}


@apis
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_tokens_are_estimated_when_the_server_does_not_count(api: Api, is_streamed: bool) -> None:
    async with ModelServer(is_counting=False) as server:
        server.say("Привет, Аня")
        reply = (await stream(server, api=api))[0] if is_streamed else await ask(server, api=api)
    # bytes / 4, and 4 for each message: 8 -> 2, 11 -> 3; 20 -> 5
    assert reply == Reply("Привет, Аня", input_tokens=2 + 3 + 8, output_tokens=5)


@apis
@pytest.mark.parametrize("fault", [Fault(429, retry_after=0.01), Fault(500), Fault(503), Fault(408), Fault(cut=0)])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_passing_trouble_is_tried_again(server: ModelServer, api: Api, fault: Fault, is_streamed: bool) -> None:
    server.fail(fault)
    server.say(*["Here I am"] * 2)
    reply = (await stream(server, api=api, retries=1))[0] if is_streamed else await ask(server, api=api, retries=1)
    assert (reply.text, len(server.asked)) == ("Here I am", 2)


async def test_a_server_that_asks_for_a_long_pause_is_not_asked_again(server: ModelServer) -> None:
    server.fail(Fault(429, says="come back tomorrow", retry_after=600))
    with pytest.raises(ModelUnavailable, match="come back tomorrow"):
        await ask(server, retries=3)
    assert len(server.asked) == 1


async def test_retries_come_to_an_end(server: ModelServer) -> None:
    server.fail(*[Fault(503, says="overloaded", retry_after=0.01)] * 4)
    with pytest.raises(ModelUnavailable) as failure:
        await ask(server, retries=2)
    assert str(failure.value) == f"{server.url} answered HTTP 503: 'overloaded'"
    assert len(server.asked) == 3
