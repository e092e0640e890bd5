"""A model client against a real server: what is sent, what comes back, and every way it goes wrong."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.config.settings import Api, DialogSettings
from app.course.element import Line
from app.dialog.errors import ModelRefused, ModelUnavailable
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


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(401, says=f"wrong key {KEY}"), " refuses the key (HTTP 401); set the right one in the key's variable"),
        (Fault(403, says="forbidden"), " refuses the key (HTTP 403); set the right one in the key's variable"),
        (
            Fault(404, says="no such model"),
            " answered HTTP 404: 'no such model'; correct the model's name, base_url or settings",
        ),
        (
            Fault(400, says=f"bad\nrequest of {KEY}"),
            " answered HTTP 400: 'bad request of ***'; correct the model's name, base_url or settings",
        ),
        (
            Fault(429, says="no money", code="insufficient_quota"),
            " answered HTTP 429: 'no money'; pay the provider's bill or raise its limit",
        ),
    ],
)
async def test_refusals(server: ModelServer, fault: Fault, text: str, is_streamed: bool) -> None:
    server.fail(fault)
    with pytest.raises(ModelRefused) as failure:
        await (stream(server) if is_streamed else ask(server))
    assert str(failure.value) == server.url + text
    assert_no_key(failure.value)


async def test_refusals_are_not_tried_again(server: ModelServer) -> None:
    server.fail(Fault(401))
    with pytest.raises(ModelRefused):
        await ask(server, retries=3)
    assert len(server.asked) == 1


@apis
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(garbage="{"),
        Fault(garbage="[]"),
        Fault(garbage='{"choices": []}'),
        Fault(garbage='{"choices": [{"message": null}]}'),
        Fault(garbage="<p>Welcome</p>", content_type="text/html"),
        Fault(garbage="data: {\n\n", content_type="text/event-stream"),
        Fault(garbage='data: {"choices": 5}\n\n', content_type="text/event-stream"),
        Fault(garbage=""),
    ],
)
async def test_garbage(server: ModelServer, api: Api, fault: Fault, is_streamed: bool) -> None:
    server.fail(fault)
    with pytest.raises(ModelUnavailable) as failure:
        await (stream(server, api=api) if is_streamed else ask(server, api=api))
    assert str(failure.value).startswith(f"{server.url} ")
    assert_no_key(failure.value)


@apis
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_empty_reply_is_none(server: ModelServer, api: Api, is_streamed: bool) -> None:
    server.say(" \n")
    with pytest.raises(ModelUnavailable) as failure:
        await (stream(server, api=api) if is_streamed else ask(server, api=api))
    assert str(failure.value) == f"{server.url} answered with an empty reply"


FAILED_RESPONSE = (
    '{"id": "r", "object": "response", "output": [], "error": {"code": "server_error", "message": "melted"}}'
)


@pytest.mark.parametrize(
    ("api", "garbage"),
    [
        (Api.RESPONSES, FAILED_RESPONSE),
        (Api.RESPONSES, 'data: {"type": "response.failed", "response": {"error": {"message": "melted"}}}\n\n'),
        (Api.RESPONSES, 'data: {"type": "error", "message": "melted"}\n\n'),
        (Api.CHAT_COMPLETIONS, 'data: {"error": {"message": "melted"}}\n\n'),
    ],
)
async def test_failures_told_in_an_answer(server: ModelServer, api: Api, garbage: str) -> None:
    is_streamed = garbage.startswith("data:")
    server.fail(Fault(garbage=garbage, content_type="text/event-stream" if is_streamed else "application/json"))
    with pytest.raises(ModelUnavailable) as failure:
        await (stream(server, api=api) if is_streamed else ask(server, api=api))
    assert str(failure.value) == f"{server.url} answered with an error: 'melted'"


@apis
@pytest.mark.parametrize("is_short", [False, True])
async def test_a_stream_that_breaks_off_is_asked_for_again(server: ModelServer, api: Api, is_short: bool) -> None:
    server.fail(Fault(cut=2, is_short=is_short))
    server.say("One two three", "Another reply")
    reply, shown = await stream(server, api=api, retries=1)
    assert (reply.text, shown) == ("Another reply", ["One", "One two"])
    assert [asked.body.get("stream", False) for asked in server.asked] == [True, False]


@apis
@pytest.mark.parametrize("is_short", [False, True])
async def test_a_stream_that_breaks_off_for_good(server: ModelServer, api: Api, is_short: bool) -> None:
    server.fail(Fault(cut=2, is_short=is_short))
    with pytest.raises(ModelUnavailable) as failure:
        await stream(server, api=api)
    assert str(failure.value) == f"{server.url} broke off in the middle of the reply"


@apis
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_silent_server_is_left(server: ModelServer, api: Api, is_streamed: bool) -> None:
    server.fail(Fault(hold=0))
    with pytest.raises(ModelUnavailable) as failure:
        await (stream(server, api=api, timeout=0.2) if is_streamed else ask(server, api=api, timeout=0.2))
    assert str(failure.value) == f"{server.url} did not answer in time"


async def test_a_stream_that_falls_silent_is_left(server: ModelServer) -> None:
    server.fail(Fault(hold=1))
    with pytest.raises(ModelUnavailable):
        await stream(server, timeout=0.2)


async def test_an_attempt_that_takes_too_long_is_repeated(server: ModelServer) -> None:
    server.fail(Fault(hold=0))
    server.say("In time", "In time")
    assert (await ask(server, timeout=0.5, retries=1)).text == "In time"
    assert len(server.asked) == 2


async def test_nobody_listens(server: ModelServer) -> None:
    await server.stop()
    with pytest.raises(ModelUnavailable) as failure:
        await ask(server)
    assert str(failure.value) == f"{server.url} cannot be reached, or broke off (ConnectError)"


async def test_the_place_in_errors_holds_no_password(server: ModelServer) -> None:
    server.fail(Fault(500, says="oops"))
    with pytest.raises(ModelUnavailable) as failure:
        await ask(server, base_url=server.url.replace("://", "://me:secret@"))
    assert str(failure.value) == f"{server.url} answered HTTP 500: 'oops'"


async def test_a_key_with_a_line_break_around_it_is_understood(server: ModelServer) -> None:
    server.fail(Fault(400, says=f"no {KEY}"))
    with pytest.raises(ModelRefused) as failure:
        await ask(server, api_key=f"{KEY}\n")
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert_no_key(failure.value)


@pytest.mark.parametrize("key", ["ключ-very-secret", "two\nlines-very-secret"])
async def test_a_key_that_cannot_be_sent(server: ModelServer, key: str) -> None:
    with pytest.raises(ModelRefused) as failure:
        await ask(server, api_key=key)
    remedy = "copy it again into its variable"
    assert str(failure.value) == f"the key for {server.url} holds letters that no key has; {remedy}"
    assert "very-secret" not in "".join(traceback.format_exception(failure.value))
    assert server.asked == []


async def test_a_server_without_keys(server: ModelServer) -> None:
    assert (await ask(server, api_key="")).text == "You said: Hello there"


async def test_what_the_shower_raises_ends_the_request(server: ModelServer) -> None:
    async def show(_text: str) -> None:
        raise TimeoutError("Telegram is slow")

    server.fail(Fault(hold=1))
    async with client_of(server, retries=3) as client:
        with pytest.raises(TimeoutError, match="Telegram is slow"):
            await client.reply(REQUEST, show)
        assert (await client.reply(REQUEST)).text == "You said: Hello there"


async def test_a_request_can_be_cancelled(server: ModelServer) -> None:
    server.fail(Fault(hold=0))
    async with client_of(server) as client:
        asking = asyncio.create_task(client.reply(REQUEST))
        await server.wait_for(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.reply(REQUEST)).text == "You said: Hello there"


async def test_replies_at_the_same_time(server: ModelServer) -> None:
    server.fail(Fault(hold=0), Fault(hold=0))
    async with client_of(server) as client:
        first = asyncio.create_task(client.reply(REQUEST))
        second = asyncio.create_task(client.reply(REQUEST))
        await server.wait_for(2)
        server.release()
        assert [reply.text for reply in await asyncio.gather(first, second)] == ["You said: Hello there"] * 2


async def test_the_proxy_of_the_environment_is_used(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.root)
    assert (await ask(server, base_url="http://model.invalid/v1")).text == "You said: Hello there"
    assert server.asked[0].headers["Host"] == "model.invalid"


@pytest.mark.parametrize(
    ("base_url", "place"),
    [("ftp://model.invalid/v1", "ftp://model.invalid/v1"), ("http://[::1/v1", None), ("http://x:port/v1", None)],
)
async def test_a_base_url_that_is_none(base_url: str, place: str | None) -> None:
    async with client_of(ModelServer(), base_url=base_url) as client:
        for _ in range(2):
            with pytest.raises((ModelRefused, ModelUnavailable)) as failure:
                await client.reply(REQUEST)
            assert str(failure.value).startswith(place or base_url)


async def test_a_proxy_that_cannot_be_used(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://me:secret@proxy")
    async with client_of(server) as client:
        with pytest.raises(ModelRefused) as failure:
            await client.reply(REQUEST)
        remedy = "correct base_url, or the proxy variables of the environment"
        assert str(failure.value) == f"{server.url} cannot be used (ValueError); {remedy}"
        assert "secret" not in "".join(traceback.format_exception(failure.value))
        monkeypatch.delenv("ALL_PROXY")
        assert (await client.reply(REQUEST)).text == "You said: Hello there"


async def test_close_of_a_client_that_was_never_used(server: ModelServer) -> None:
    async with client_of(server):
        pass
    assert server.asked == []


def assert_no_key(error: BaseException) -> None:
    assert KEY not in "".join(traceback.format_exception(error))
