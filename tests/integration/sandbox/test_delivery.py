"""How bots get updates: by asking, and by webhook; and what learners' doings look like in them."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.sandbox.client import LearnerClient, Notice, RefusedError, SandboxClient

TERMINATED = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
ACTIVE = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
ANN = {"is_bot": False, "id": 42, "first_name": "Ann", "username": "ann", "language_code": "en"}
ANNS_CHAT = {"id": 42, "first_name": "Ann", "username": "ann", "type": "private"}


def refusal(code: int, description: str) -> tuple[int, dict[str, Any]]:
    return code, {"ok": False, "error_code": code, "description": description}


async def test_updates_wait_until_they_are_confirmed(api: Any, ann: LearnerClient) -> None:
    for text in "abc":
        await ann.send(text)
    updates = await api.get("getUpdates")
    assert [update["message"]["text"] for update in updates] == ["a", "b", "c"]
    first = updates[0]["update_id"]
    assert [update["update_id"] for update in updates] == [first, first + 1, first + 2]
    assert await api.get("getUpdates") == updates
    assert await api.get("getUpdates", limit=2) == updates[:2]
    assert await api.get("getUpdates", offset=first + 1) == updates[1:]
    assert await api.get("getUpdates", offset=-1) == updates[2:]
    assert await api.get("getUpdates") == updates[2:]
    assert await api.get("getUpdates", offset=first + 3) == []


async def test_a_request_waits_for_an_update(api: Any, ann: LearnerClient) -> None:
    asking = asyncio.create_task(api.get("getUpdates", timeout=30))
    await api.get("getMe")
    await ann.send("now")
    assert [update["message"]["text"] for update in await asking] == ["now"]


async def test_the_older_of_two_requests_ends(api: Any, client: SandboxClient, ann: LearnerClient) -> None:
    version = (await client.wait_bot("demo", lambda state: True))["version"]
    older = asyncio.create_task(api.ask("getUpdates", timeout=30))
    await client.wait_bot("demo", lambda state: state["version"] > version)
    newer = asyncio.create_task(api.get("getUpdates", timeout=30))
    assert await older == refusal(409, TERMINATED)
    await ann.send("x")
    assert len(await newer) == 1


async def test_allowed_updates_are_remembered(api: Any, ann: LearnerClient) -> None:
    await api.get("getUpdates", allowed_updates=["callback_query"])
    await ann.send("unheard")
    assert await api.get("getUpdates") == []
    await api.get("getUpdates", allowed_updates=[])
    await ann.send("heard")
    assert [update["message"]["text"] for update in await api.get("getUpdates")] == ["heard"]


async def test_a_command(api: Any, ann: LearnerClient) -> None:
    await ann.send("🏟 /go_on now")
    (update,) = await api.get("getUpdates")
    message = update["message"]
    assert message == {
        "message_id": 2,
        "from": ANN,
        "chat": ANNS_CHAT,
        "date": message["date"],
        "text": "🏟 /go_on now",
        "entities": [{"type": "bot_command", "offset": 3, "length": 6}],
    }


async def test_a_press_is_answered_once(api: Any, ann: LearnerClient) -> None:
    keyboard = {"inline_keyboard": [[{"text": "Go", "callback_data": "go"}]]}
    sent = await api.get("sendMessage", chat_id=42, text="x", reply_markup=keyboard)
    shown = await ann.wait_message()
    query_id = await ann.press(shown, "Go")
    (update,) = await api.get("getUpdates")
    query = update["callback_query"]
    assert query == {
        "id": query_id,
        "from": ANN,
        "message": sent,
        "data": "go",
        "chat_instance": query["chat_instance"],
    }
    await api.get("answerCallbackQuery", callback_query_id=query_id, text="well done", show_alert=True)
    assert await ann.wait_notice(query_id) == Notice(query_id, 2, "go", "well done", True)
    status, _ = await api.ask("answerCallbackQuery", callback_query_id=query_id)
    assert status == 400
    await api.get("editMessageReplyMarkup", chat_id=42, message_id=2)
    await ann.press(shown, 0)
    assert len(await api.get("getUpdates", offset=update["update_id"] + 1)) == 1


async def send_poll(api: Any, **more: Any) -> int:
    sent = await api.get("sendPoll", chat_id=42, question="q", options=["a", "b", "c"], is_anonymous=False, **more)
    return int(sent["message_id"])


async def poll_answers(api: Any) -> list[list[int]]:
    updates = await api.get("getUpdates")
    return [update["poll_answer"]["option_ids"] for update in updates if "poll_answer" in update]


async def test_votes_of_a_regular_poll_can_be_changed_and_taken_back(api: Any, ann: LearnerClient) -> None:
    poll = await send_poll(api, allows_multiple_answers=True)
    await ann.vote(poll, 2, 0)
    await ann.vote(poll, 1)
    await ann.retract(poll)
    assert await poll_answers(api) == [[0, 2], [1], []]
    (answer, *_) = await api.get("getUpdates")
    expected = {
        "poll_id": answer["poll_answer"]["poll_id"],
        "user": ANN,
        "option_ids": [0, 2],
        "option_persistent_ids": ["0", "2"],
    }
    assert answer["poll_answer"] == expected


@pytest.mark.parametrize(
    ("more", "votes", "words"),
    [
        ({"type": "quiz", "correct_option_id": 1}, [(0,), (1,)], "the vote in this poll can't be changed"),
        ({"type": "quiz", "correct_option_id": 1}, [(0,), ()], "the vote in this poll can't be changed"),
        ({}, [(0, 1)], "the poll takes one answer"),
        ({}, [(3,)], "the poll has no option [3]"),
        ({}, [()], "there is no vote to take back"),
        ({"is_closed": True}, [(0,)], "the poll is closed"),
    ],
)
async def test_votes_that_are_refused(
    api: Any, ann: LearnerClient, more: dict[str, Any], votes: list[tuple[int, ...]], words: str
) -> None:
    poll = await send_poll(api, **more)
    for vote in votes[:-1]:
        await ann.vote(poll, *vote)
    with pytest.raises(RefusedError) as error:
        await ann.vote(poll, *votes[-1])
    assert str(error.value) == f"Bad Request: {words}"
    assert await poll_answers(api) == [list(vote) for vote in votes[:-1]]


async def test_a_vote_in_an_anonymous_poll_has_no_voter(api: Any, ann: LearnerClient) -> None:
    await api.get("sendPoll", chat_id=42, question="q", options=["a", "b"])
    await ann.vote(2, 1)
    (update,) = await api.get("getUpdates")
    assert [option["voter_count"] for option in update["poll"]["options"]] == [0, 1]


async def test_voting_in_a_stopped_poll(api: Any, ann: LearnerClient) -> None:
    poll = await send_poll(api)
    await api.get("stopPoll", chat_id=42, message_id=poll)
    with pytest.raises(RefusedError):
        await ann.vote(poll, 0)


async def test_blocking(api: Any, ann: LearnerClient) -> None:
    await ann.block()
    assert await api.ask("sendMessage", chat_id=42, text="x") == refusal(403, "Forbidden: bot was blocked by the user")
    await ann.unblock()
    await api.get("sendMessage", chat_id=42, text="x")
    updates = await api.get("getUpdates")
    assert [update["my_chat_member"]["new_chat_member"]["status"] for update in updates] == ["kicked", "member"]


async def test_writing_ends_a_block(api: Any, ann: LearnerClient) -> None:
    await ann.block()
    await ann.send("sorry")
    await api.get("sendMessage", chat_id=42, text="x")


async def test_voice_and_photo_of_a_learner(api: Any, ann: LearnerClient) -> None:
    await ann.send_file("voice", b"OggS", "audio/ogg")
    await ann.send_file("photo", b"\x89PNG", "image/png", caption="me")
    voice, photo = (update["message"] for update in await api.get("getUpdates"))
    assert (voice["voice"]["mime_type"], photo["caption"]) == ("audio/ogg", "me")
    path = (await api.get("getFile", file_id=voice["voice"]["file_id"]))["file_path"]
    base, _, bot = api.url.rpartition("/")
    async with api.session.get(f"{base}/file/{bot}/{path}") as response:
        assert await response.read() == b"OggS"


async def test_raw_and_repeated_updates(api: Any, client: SandboxClient) -> None:
    ids = await client.inject("demo", {"surprise": {"a": None}}, {"update_id": 5_000_000_000_000, "message": None})
    updates = await api.get("getUpdates")
    assert updates == [
        {"update_id": ids[0], "surprise": {"a": None}},
        {"update_id": 5_000_000_000_000, "message": None},
    ]
    assert await api.get("getUpdates", offset=5_000_000_000_001) == []
    assert await client.repeat("demo", 1) == 1
    assert await api.get("getUpdates", offset=5_000_000_000_001) == updates[1:]
    await client.wait_idle("demo")


class Receiver:
    """A webhook that answers as the test says and keeps what it got."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str | None, dict[str, Any]]] = asyncio.Queue()
        self.answers: list[web.Response] = []
        self.url = ""
        self.gate = asyncio.Event()
        self.gate.set()
        app = web.Application()
        app.router.add_post("/hook", self.handle)
        self.runner = web.AppRunner(app)

    async def listen(self, context: ssl.SSLContext | None = None) -> str:
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=context).start()
        return f"http{'s' if context else ''}://127.0.0.1:{self.runner.addresses[-1][1]}/hook"

    async def handle(self, request: web.Request) -> web.Response:
        self.got.put_nowait((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), await request.json()))
        await self.gate.wait()
        return self.answers.pop(0) if self.answers else web.Response()


@pytest.fixture
async def receiver() -> Any:
    receiver = Receiver()
    await receiver.runner.setup()
    receiver.url = await receiver.listen()
    yield receiver
    receiver.gate.set()
    await receiver.runner.cleanup()


async def test_a_webhook_gets_updates_in_order(
    api: Any, ann: LearnerClient, client: SandboxClient, receiver: Receiver
) -> None:
    await ann.send("before")
    await api.get("setWebhook", url=receiver.url, secret_token="s3cret")
    assert await api.ask("getUpdates") == refusal(409, ACTIVE)
    for number in range(20):
        await ann.send(str(number))
    got = [await receiver.got.get() for _ in range(21)]
    assert {secret for secret, _ in got} == {"s3cret"}
    assert [update["message"]["text"] for _, update in got] == ["before", *map(str, range(20))]
    await client.wait_idle("demo")
    await api.get("deleteWebhook")
    await ann.send("after")
    assert len(await api.get("getUpdates")) == 1


async def test_a_webhook_that_fails_is_tried_again(api: Any, ann: LearnerClient, receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=500), web.Response(status=503)]
    await api.get("setWebhook", url=receiver.url)
    await ann.send("x")
    assert [(await receiver.got.get())[1]["message"]["text"] for _ in range(3)] == ["x", "x", "x"]
    info = await api.get("getWebhookInfo")
    assert info["last_error_message"] == "Wrong response from the webhook: 503 Service Unavailable"


@pytest.mark.parametrize("status", [302, 400, 404, 410])
async def test_only_success_counts(api: Any, ann: LearnerClient, receiver: Receiver, status: int) -> None:
    receiver.answers = [web.Response(status=status, headers={"Location": receiver.url}), web.Response(status=204)]
    await api.get("setWebhook", url=receiver.url)
    await ann.send("x")
    assert [(await receiver.got.get())[1]["message"]["text"] for _ in range(2)] == ["x", "x"]
    assert (await api.get("getWebhookInfo"))["last_error_message"].startswith(
        f"Wrong response from the webhook: {status}"
    )


async def test_a_webhook_gets_updates_again(
    api: Any, ann: LearnerClient, client: SandboxClient, receiver: Receiver
) -> None:
    await api.get("setWebhook", url=receiver.url)
    await ann.send("x")
    await client.wait_idle("demo")
    assert await client.repeat("demo", 1) == 1
    first, again = [(await receiver.got.get())[1] for _ in range(2)]
    assert first == again
    await client.wait_idle("demo")


async def test_different_learners_are_served_side_by_side(api: Any, client: SandboxClient, receiver: Receiver) -> None:
    receiver.gate.clear()
    await api.get("setWebhook", url=receiver.url, max_connections=3)
    for number in range(1, 6):
        await client.learner("demo", number).send("x")
    assert {(await receiver.got.get())[1]["message"]["from"]["id"] for _ in range(3)} == {1, 2, 3}
    assert receiver.got.empty()
    receiver.gate.set()
    assert {(await receiver.got.get())[1]["message"]["from"]["id"] for _ in range(2)} == {4, 5}


def certified(folder: Path) -> ssl.SSLContext:
    """Make a certificate that nobody signed, and return what a server needs to use it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key", "-out", "cert", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


async def test_a_certificate_that_the_bot_gives_is_trusted(
    api: Any, ann: LearnerClient, client: SandboxClient, receiver: Receiver, tmp_path: Path
) -> None:
    url = await receiver.listen(certified(tmp_path))
    await api.get("setWebhook", url=url)
    await ann.send("x")
    failed = await client.wait_bot("demo", lambda state: state["webhook_error"] is not None)
    assert failed["webhook_error"].startswith("SSL error")
    assert not (await api.get("getWebhookInfo"))["has_custom_certificate"]
    for content, status in ((b"no certificate", 400), ((tmp_path / "cert").read_bytes(), 200)):
        form = aiohttp.FormData({"url": url})
        form.add_field("certificate", content, filename="cert.pem")
        async with api.session.post(f"{api.url}/setWebhook", data=form) as response:
            assert response.status == status
    assert (await receiver.got.get())[1]["message"]["text"] == "x"
    assert (await api.get("getWebhookInfo"))["has_custom_certificate"]


async def test_webhook_info(api: Any, ann: LearnerClient) -> None:
    assert await api.get("getWebhookInfo") == {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
    await ann.send("x")
    await api.get("setWebhook", url="https://127.0.0.1:1/x", max_connections=3, allowed_updates=["message"])
    info = await api.get("getWebhookInfo")
    assert (info["url"], info["max_connections"], info["allowed_updates"]) == ("https://127.0.0.1:1/x", 3, ["message"])
    assert info["pending_update_count"] == 1
    await api.get("deleteWebhook", drop_pending_updates=True)
    assert await api.get("getUpdates") == []


@pytest.mark.parametrize("as_form", [True, False])
async def test_the_answer_to_a_webhook_may_be_a_call(
    api: Any, ann: LearnerClient, receiver: Receiver, as_form: bool
) -> None:
    call = {"method": "sendMessage", "chat_id": "42", "text": "at once"}
    form = web.Response(text="&".join(f"{name}={value}" for name, value in call.items()))
    form.content_type = "application/x-www-form-urlencoded"
    receiver.answers = [form if as_form else web.json_response(call)]
    await api.get("setWebhook", url=receiver.url)
    await ann.send("x")
    assert (await ann.wait_message()).text == "at once"


async def test_a_webhook_ends_the_request_that_waits(api: Any, client: SandboxClient, receiver: Receiver) -> None:
    version = (await client.wait_bot("demo", lambda state: True))["version"]
    waiting = asyncio.create_task(api.ask("getUpdates", timeout=30))
    await client.wait_bot("demo", lambda state: state["version"] > version)
    await api.get("setWebhook", url=receiver.url)
    assert await waiting == refusal(409, ACTIVE)
