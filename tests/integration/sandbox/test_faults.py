"""Faults on request, the log of calls, and what the sandbox survives."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import aiohttp
import pytest

from app.sandbox.client import LearnerClient, NothingHappenedError, RefusedError, SandboxClient
from app.sandbox.server import Sandbox


def refusal(code: int, description: str, **parameters: int) -> tuple[int, dict[str, Any]]:
    body = {"ok": False, "error_code": code, "description": description}
    return code, body | ({"parameters": parameters} if parameters else {})


@pytest.mark.parametrize(
    ("kind", "details", "expected"),
    [
        ("429", {"retry_after": 7}, refusal(429, "Too Many Requests: retry after 7", retry_after=7)),
        ("500", {}, refusal(500, "Internal Server Error")),
        ("403", {}, refusal(403, "Forbidden: bot was blocked by the user")),
        ("401", {}, refusal(401, "Unauthorized")),
        ("400", {"description": "no"}, refusal(400, "Bad Request: no")),
    ],
)
async def test_a_fault_hits_as_often_as_told(
    api: Any, ann: LearnerClient, client: SandboxClient, kind: str, details: dict[str, Any], expected: Any
) -> None:
    await client.add_fault(kind, bot="demo", method="sendmessage", chat_id=42, times=2, **details)
    await api.get("getMe")
    assert await api.ask("sendMessage", chat_id=42, text="a") == expected
    assert await api.ask("sendMessage", chat_id=42, text="b") == expected
    assert await client.faults() == []
    await api.get("sendMessage", chat_id=42, text="c")
    assert [message.text for message in (await ann.transcript()).by_bot] == ["c"]


async def test_a_fault_of_others_does_not_hit(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    await client.add_fault("500", bot="other")
    await client.add_fault("500", chat_id=43)
    await api.get("sendMessage", chat_id=42, text="x")
    assert len(await client.faults()) == 2
    await client.clear_faults()
    assert await client.faults() == []


@pytest.mark.parametrize(("kind", "texts"), [("drop_before", []), ("drop_after", ["x"])])
async def test_dropped_connections(
    api: Any,
    ann: LearnerClient,
    client: SandboxClient,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    texts: list[str],
) -> None:
    await client.add_fault(kind, method="sendMessage")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await api.ask("sendMessage", chat_id=42, text="x")
    assert [message.text for message in (await ann.transcript()).by_bot] == texts
    assert [call["params"]["text"] for call in await client.calls("demo", "sendMessage")] == texts
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_delayed_call_lets_others_pass(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    await client.add_fault("delay", method="sendMessage", seconds=0.2)
    slow = asyncio.create_task(api.get("sendMessage", chat_id=42, text="slow"))
    while await client.faults():
        await api.get("getMe")
    await api.get("sendMessage", chat_id=42, text="quick")
    await slow
    assert [message.text for message in (await ann.transcript()).by_bot] == ["quick", "slow"]


async def test_wrong_faults(client: SandboxClient) -> None:
    with pytest.raises(RefusedError) as error:
        await client.add_fault("418")
    assert str(error.value).startswith("Bad Request: wrong fault: kind: Input should be '429', '500'")


async def test_the_log_holds_what_took_effect(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    await api.get("getMe")
    await api.get("sendMessage", chat_id=42, text="x")
    await api.ask("sendMessage", chat_id=42, text="")
    (call,) = await client.calls("demo")
    assert (call["method"], call["params"]) == ("sendMessage", {"chat_id": 42, "text": "x"})


NONSENSE = [
    ("application/json", b"{"),
    ("application/json", b"[]"),
    ("application/json", b"[" * 100_000),
    ("application/json", b'"\xff"'),
    ("application/json", b'{"chat_id": {"a": []}, "text": ["x"], "reply_markup": 7}'),
    ("application/json", b'{"chat_id": 1e400, "text": true}'),
    ("application/json", b'{"chat_id": 42, "text": "x", "entities": [7]}'),
    ("application/json; charset=nonsense", b'{"chat_id": 1}'),
    ("application/x-www-form-urlencoded", b"\xff=%ff&chat_id"),
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=b", b"--b\r\nx"),
    ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--b--\r\n'),
    ("text/plain", b"hello"),
    ("nonsense", b""),
]


@pytest.mark.parametrize("method", ["sendMessage", "sendMediaGroup", "sendPoll", "getUpdates", "setWebhook"])
@pytest.mark.parametrize(("content_type", "body"), NONSENSE)
async def test_nonsense_never_crashes(
    api: Any, ann: LearnerClient, method: str, content_type: str, body: bytes
) -> None:
    async with api.session.post(f"{api.url}/{method}", data=body, headers={"Content-Type": content_type}) as response:
        assert response.status in (200, 400)
        assert (await response.json())["ok"] is (response.status == 200)
    await api.get("getMe")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("bots/nobody/chats/1/text", {"text": "x"}),
        ("bots/demo/chats/-1/text", {"text": "x"}),
        ("bots/demo/chats/0/text", {"text": "x"}),
        ("bots/demo/chats/1/dance", {}),
        ("bots/demo/chats/1/text", {"text": 1}),
        ("bots/demo/chats/1/text", [1]),
        ("bots/demo/chats/1/press", {"message_id": 1, "data": "x"}),
        ("bots/demo/chats/1/press", {"message_id": "x", "data": "x"}),
        ("bots/demo/chats/1/vote", {"message_id": 1, "option_ids": [0]}),
        ("bots/demo/chats/1/vote", {"message_id": 1, "option_ids": "0"}),
        ("bots/demo/chats/1/file", {"kind": "sticker", "content": "AAAA"}),
        ("bots/demo/chats/1/file", {"kind": "voice", "content": "*"}),
        ("bots/demo/updates", {"updates": [1]}),
        ("bots/demo/updates", {"updates": [{"update_id": "x"}]}),
        ("bots/demo/repeat", {}),
        ("bots/demo/chats/1/file", {"kind": "voice", "content": "AAAA", "mime_type": "a/b\r\nX: y"}),
        ("bots/demo/chats/1/text", {"text": "x", "learner": 5}),
        ("bots/demo/chats/1/text", {"text": "x", "learner": {"first_name": 5}}),
        ("faults", {"kind": "500", "colour": "red"}),
        ("faults", {"kind": "500", "times": "x"}),
        ("bots", {"token": "x"}),
        ("nowhere", {}),
    ],
)
async def test_the_learners_side_refuses_nonsense(client: SandboxClient, path: str, body: Any) -> None:
    with pytest.raises(RefusedError):
        await client.request("POST", path, body)
    assert [bot["username"] for bot in await client.bots()] == ["demo"]


async def test_other_sites_cannot_act_for_a_learner(api: Any, sandbox: Sandbox) -> None:
    async with api.session.post(f"{sandbox.url}/sandbox/bots/demo/chats/1/text", data=b'{"text": "x"}') as response:
        assert (response.status, await response.json()) == (
            400,
            {"error": "Bad Request: the body must be JSON, with the header Content-Type: application/json"},
        )


async def test_ten_megabytes_of_text(api: Any, ann: LearnerClient) -> None:
    body = io.BytesIO(json.dumps({"chat_id": 42, "text": "x" * 10_000_000}).encode())
    headers = {"Content-Type": "application/json"}
    async with api.session.post(f"{api.url}/sendMessage", data=body, headers=headers) as response:
        assert (response.status, await response.json()) == refusal(400, "Bad Request: message is too long")
    await ann.send("y" * 10_000_000)
    (update,) = await api.get("getUpdates")
    assert len(update["message"]["text"]) == 10_000_000


async def test_more_than_telegram_takes(api: Any) -> None:
    form = aiohttp.FormData()
    form.add_field("document", io.BytesIO(bytes(50 * 1024 * 1024 + 1)), filename="big")
    async with api.session.post(f"{api.url}/sendDocument", data=form) as response:
        assert (response.status, await response.json()) == refusal(413, "Request Entity Too Large")


async def test_a_port_that_is_taken(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    other = Sandbox()
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port=port)


async def test_waiting_in_vain_tells_what_there_is(ann: LearnerClient) -> None:
    with pytest.raises(NothingHappenedError) as error:
        await ann.wait_message(patience=0.05)
    assert str(error.value) == (
        "not within 0.05 s: bots/demo/chats/42 is a chat of 1 messages that ends with [(False, '/start')]"
    )


async def test_bots_can_be_named_and_listed(client: SandboxClient, api: Any) -> None:
    await client.add_bot("5:x", "fifth", "The fifth")
    assert [(bot["id"], bot["username"], bot["title"]) for bot in await client.bots()] == [
        (700, "demo", "Demo bot"),
        (5, "fifth", "The fifth"),
    ]


async def test_stopping_ends_requests_that_wait() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        waiting = asyncio.create_task(session.get(f"{sandbox.url}/bot1:x/getUpdates?timeout=50"))
        async with SandboxClient(sandbox.url) as client:
            await client.wait_bot("1:x", lambda state: True)
        await sandbox.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting
