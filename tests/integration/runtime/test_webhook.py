"""Webhooks: the same courses, and what Telegram gets for an answer when something is wrong."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
import socket
from typing import Any

import aiohttp
import pytest

from app.config.settings import BotSettings, Mode, WebhookSettings
from app.runtime import keeper
from app.runtime.bot import State
from app.runtime.host import Host
from app.runtime.keeper import Pace
from app.runtime.webhook import BODY_LIMIT, SECRET_HEADER, SharedPathError
from app.sandbox.client import LearnerClient, Transcript
from tests.stage import Stage, outage, play, said, until

SECRET = "s3cret"
COURSE = """
    Ready: {type: message, text: hello, button: Go}
    Quiz: {type: quiz, text: choose, answers: [{text: a, correct: yes, feedback: right}, {text: b}]}
    Poll: {type: question, text: vote, answers: [{text: a}, {text: b}]}
    Typed: {type: input, text: type, correct_answer: well, feedback_correct: typed}
    Wait: {type: delay, wait: 1s, goto: Bye}
    Bye: {type: end, text: bye}
"""
ANSWERS = {"type": "well"}
QUESTIONS = "\n".join(f"Q{number}: {{type: input, text: question {number}}}" for number in range(1, 31))


@pytest.fixture(autouse=True)
def port(stage: Stage) -> int:
    """A port for webhooks; they are where they were when a host starts again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        stage.listen = ("127.0.0.1", probe.getsockname()[1])
    return stage.listen[1]


def hooked(stage: Stage, name: str = "bot", folder: str = "", *, secret: str = SECRET, **more: Any) -> BotSettings:
    """Return the settings of a bot with a webhook."""
    webhook = WebhookSettings(address(stage, name), secret, max_connections=20)
    return stage.bot(name, folder, **{"mode": Mode.WEBHOOK, "webhook": webhook, **more})


def address(stage: Stage, name: str = "bot") -> str:
    assert stage.listen is not None
    return f"http://127.0.0.1:{stage.listen[1]}/webhook/{name}"


async def info(stage: Stage, name: str = "bot") -> dict[str, Any]:
    url = f"{stage.sandbox_url}/bot{stage.bot(name).token}/getWebhookInfo"
    async with aiohttp.request("GET", url) as response:
        result: dict[str, Any] = (await response.json())["result"]
        return result


async def post(stage: Stage, body: bytes, name: str = "bot", secret: str | None = SECRET) -> tuple[int, Any, Any]:
    """Send what Telegram, or somebody else, sends; return status, body and Retry-After."""
    headers = {SECRET_HEADER: secret} if secret is not None else {}
    async with aiohttp.request("POST", address(stage, name), data=io.BytesIO(body), headers=headers) as response:
        content = await response.read()
        return response.status, json.loads(content) if content else None, response.headers.get("Retry-After")


async def reached(host: Host, state: State = State.WEBHOOK) -> None:
    """Wait until the first bot is where it should be."""
    await until(lambda: bool(host.bots) and host.bots[0].state is state)


def update(update_id: int, text: str, learner_id: int = 7) -> bytes:
    person = {"id": learner_id, "is_bot": False, "first_name": "A"}
    message = {"message_id": 1, "date": 1, "chat": {"id": learner_id, "type": "private"}, "from": person, "text": text}
    return json.dumps({"update_id": update_id, "message": message}).encode()


def answers(stage: Stage, learner_id: int = 7) -> list[tuple[Any, ...]]:
    return stage.query(
        "SELECT element_id, report FROM conversation WHERE role = 'user' "
        f"AND chat_id = {learner_id} ORDER BY conversation_id",
    )


def texts(chat: Transcript) -> list[str]:
    return [message.poll.question if message.poll else message.text for message in chat.by_bot]


async def calls(stage: Stage, method: str) -> list[dict[str, Any]]:
    return [call["params"] for call in await stage.client.calls(stage.bot().token, method)]


async def test_a_course_by_webhook(stage: Stage) -> None:
    stage.course(COURSE)
    host = stage.start(stage.bot())
    polled = stage.learner(learner_id=1)
    await polled.send("/start")
    expected = texts(await play(polled, said("bye"), ANSWERS))
    await stage.stop(host)
    host = stage.start(hooked(stage))
    learner = stage.learner(learner_id=2)
    await learner.send("/start")
    assert texts(await play(learner, said("bye"), ANSWERS)) == expected
    await reached(host)
    assert host.is_healthy
    assert await calls(stage, "setWebhook") == [
        {
            "url": address(stage),
            "secret_token": SECRET,
            "max_connections": 20,
            "allowed_updates": ["message", "callback_query", "poll_answer"],
            "drop_pending_updates": False,
        }
    ]
    await stage.client.wait_idle(stage.bot().token)


async def test_a_webhook_that_is_as_it_should_be_is_not_set_again(stage: Stage) -> None:
    stage.course(COURSE)
    for _ in range(2):
        host = stage.start(hooked(stage))
        await reached(host)
        await stage.stop(host)
    assert len(await calls(stage, "setWebhook")) == 1
    more = WebhookSettings(address(stage), SECRET, max_connections=21)
    host = stage.start(hooked(stage, webhook=more))
    await reached(host)
    assert [call["max_connections"] for call in await calls(stage, "setWebhook")] == [20, 21]
    assert (await info(stage))["max_connections"] == 21


async def test_what_is_answered_to_whom(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.course(COURSE)
    host = stage.start(hooked(stage))
    await reached(host)
    good = update(1, "/start")
    largest = good[:-1] + b" " * (BODY_LIMIT - len(good)) + b"}"
    assert await post(stage, good, secret="guessed") == (401, {"ok": False, "error": "wrong secret"}, None)
    assert await post(stage, good, secret=None) == (401, {"ok": False, "error": "wrong secret"}, None)
    assert await post(stage, good, secret="\udcff") == (401, {"ok": False, "error": "wrong secret"}, None)
    assert await post(stage, good, "nobody") == (404, {"ok": False, "error": "not found"}, None)
    assert await post(stage, largest + b" ") == (413, {"ok": False, "error": "more than 1048576 bytes"}, None)
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert await post(stage, body) == (400, {"ok": False, "error": "not json"}, None)
    assert stage.query("SELECT * FROM run") == []
    for body in (b"null", b"[]", b"{}", b'{"update_id": "1"}', b'{"update_id": 2}', b'{"update_id": 3, "message": []}'):
        assert await post(stage, body) == (200, None, None)
    assert stage.query("SELECT * FROM run") == []
    assert await post(stage, largest) == (200, None, None)
    assert len(stage.query("SELECT * FROM run")) == 1
    log = capsys.readouterr().out
    assert "what telegram sent is no update, dropped" in log
    assert SECRET not in log
    assert stage.bot().token not in log


async def sent_raw(port: int, content: bytes) -> bytes:
    """Send bytes and hang up after the first line of the answer, which is returned; at once if it is to be cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    answer = b"" if content.endswith(b"cut off") else await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_that_cannot_be_read_are_no_errors(
    stage: Stage, port: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody on the internet may send them: they would cost a traceback each, and ten of them an alert."""
    stage.course(COURSE)
    await reached(stage.start(hooked(stage)))
    for path in ("/webhook/bot", "/app/bot/api/submit_response", "/nowhere"):
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{SECRET_HEADER}: {SECRET}\r\nContent-Length: 7\r\n"
        await sent_raw(port, head.replace("7", "70").encode() + b"\r\ncut off")
        answer = await sent_raw(port, head.encode() + b"Content-Encoding: gzip\r\n\r\nno gzip")
        assert answer.startswith(b"HTTP/1.1 404" if path == "/nowhere" else b"HTTP/1.1 400")
        assert (await sent_raw(port, head.replace("7", "-7").encode() + b"\r\n")).startswith(b"HTTP/1.0 400")
    assert (await post(stage, update(1, "/start")))[0] == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "request failed" not in capsys.readouterr().err


async def test_an_update_counts_once_however_often_it_comes(stage: Stage) -> None:
    stage.course(QUESTIONS)
    host = stage.start(hooked(stage))
    await reached(host)
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    same = [post(stage, update(5, "one answer")) for _ in range(30)]
    assert await asyncio.gather(*same) == [(200, None, None)] * 30
    assert await post(stage, update(5, "one answer")) == (200, None, None)
    await learner.wait_for(said("question 2"))
    assert answers(stage) == [("Q1", "one answer")]


async def test_requests_that_come_together_share_a_transaction(stage: Stage) -> None:
    stage.course(QUESTIONS)
    host = stage.start(hooked(stage))
    await reached(host)
    many = [post(stage, update(number, "/start", number)) for number in range(1, 41)]
    assert await asyncio.gather(*many) == [(200, None, None)] * 40
    transactions = stage.query("SELECT count(DISTINCT xmin::text), count(*) FROM run")
    assert transactions[0][1] == 40
    assert transactions[0][0] <= 20


async def test_nothing_is_lost_while_the_database_is_away(stage: Stage) -> None:
    stage.course(QUESTIONS)
    host = stage.start(hooked(stage))
    await reached(host)
    learners = [stage.learner(learner_id=number) for number in range(1, 6)]
    for learner in learners:
        await learner.send("/start")
        await learner.wait_for(said("question 1"))
    async with outage(stage):
        for learner in learners:
            await learner.send("answer 1")
            await learner.send("answer 2")
        status, body, retry_after = await post(stage, update(5, "x", 9))
        assert (status, body, retry_after) == (503, {"ok": False, "error": "not committed; send it again"}, "1")
        assert (await stage.client.bots())[0]["pending_updates"] == 10
    for learner in learners:
        chat = await learner.wait_for(said("question 3"))
        assert texts(chat) == ["question 1", "question 2", "question 3"]
        assert answers(stage, learner.id) == [("Q1", "answer 1"), ("Q2", "answer 2")]
    await stage.client.wait_idle(stage.bot().token)


async def test_updates_sent_again_and_out_of_order(stage: Stage) -> None:
    stage.course(QUESTIONS)
    host = stage.start(hooked(stage))
    await reached(host)
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    for number in range(1, 11):
        await learner.send(f"answer {number}")
        await stage.client.repeat(stage.bot().token, 1 + number % 3)
    await learner.wait_for(said("question 11"))
    # An older update that was held up on its way comes last: it counts where it comes.
    for number, text in ((9_000_000_000_002, "answer 11"), (9_000_000_000_001, "answer 12")):
        assert (await post(stage, update(number, text)))[0] == 200
    # Those that come together are put in order.
    bodies = [update(9_000_000_000_000 + number, f"answer {number}") for number in range(13, 31)]
    random.Random(1).shuffle(bodies)
    assert {status for status, *_ in await asyncio.gather(*(post(stage, body) for body in bodies))} == {200}
    await stage.client.wait_idle(stage.bot().token)
    found = answers(stage)
    assert found[:12] == [(f"Q{number}", f"answer {number}") for number in range(1, 13)]
    assert sorted(text for _, text in found) == sorted(f"answer {number}" for number in range(1, 31))


async def test_two_bots_of_a_host_with_one_path(stage: Stage) -> None:
    stage.course(COURSE)
    webhook = WebhookSettings(address(stage, "one").replace("127.0.0.1", "other.example.org"), SECRET)
    host = stage.start(hooked(stage, "one"), hooked(stage, "two", webhook=webhook))
    with pytest.raises(SharedPathError) as refused:
        await stage.ended(host)
    assert str(refused.value) == (
        "bots 'one' and 'two' have the same webhook path '/webhook/one'; "
        "give one of them another webhook_url, or another group"
    )


async def test_a_webhook_and_a_polling_bot_in_one_host(stage: Stage) -> None:
    stage.course(COURSE)
    host = stage.start(hooked(stage, "one"), stage.bot("two"))
    learners = [stage.learner("one"), stage.learner("two")]
    for learner in learners:
        await learner.send("/start")
    chats = await asyncio.gather(*(play(learner, said("bye"), ANSWERS) for learner in learners))
    assert texts(chats[0]) == texts(chats[1])
    assert [bot.state for bot in host.bots] == [State.WEBHOOK, State.POLLING]
    assert (await post(stage, update(1, "/start"), "two"))[0] == 404
    assert [(await info(stage, name))["url"] for name in ("one", "two")] == [address(stage, "one"), ""]


async def test_one_changed_word_moves_a_bot_while_learners_are_active(stage: Stage) -> None:
    stage.course(QUESTIONS + "\nBye: {type: end, text: bye}")
    learners = [stage.learner(learner_id=number) for number in range(1, 9)]
    progress: asyncio.Queue[None] = asyncio.Queue()
    questions = {f"question {number}": f"answer {number}" for number in range(30, 0, -1)}

    async def learn(index: int) -> Transcript:
        await learners[index].send("/start")
        return await play(learners[index], said("bye"), questions, lambda: progress.put_nowait(None), patience=40)

    learning = [asyncio.create_task(learn(index)) for index in range(len(learners))]
    for mode in (Mode.POLLING, Mode.WEBHOOK, Mode.POLLING, Mode.WEBHOOK):
        host = stage.start(hooked(stage) if mode is Mode.WEBHOOK else stage.bot())
        for _ in range(50):
            await progress.get()
        await stage.stop(host)
    stage.start(stage.bot())
    expected = [*(f"question {number}" for number in range(1, 31)), "bye"]
    for chat in await asyncio.gather(*learning):
        assert texts(chat) == expected
    for learner in learners:
        assert answers(stage, learner.id) == [(f"Q{number}", f"answer {number}") for number in range(1, 31)]
    await stage.client.wait_idle(stage.bot().token)


@pytest.mark.timeout(200)
async def test_a_bot_that_is_killed_loses_nothing(stage: Stage, port: int) -> None:
    stage.course(QUESTIONS + "\nBye: {type: end, text: bye}")
    environment = {"BOT_MODE": "webhook", "WEBHOOK_URL": address(stage), "WEBHOOK_SECRET_TOKEN": SECRET}
    progress: asyncio.Queue[None] = asyncio.Queue()
    questions = {f"question {number}": f"answer {number}" for number in range(30, 0, -1)}

    async def learn(learner: LearnerClient) -> Transcript:
        await learner.send("/start")
        return await play(
            learner, said("bye"), questions, lambda: progress.put_nowait(None), patience=100, knows_repeats=True
        )

    learners = [stage.learner(learner_id=number) for number in range(1, 9)]
    learning = [asyncio.create_task(learn(learner)) for learner in learners]
    for _ in range(5):
        process = await stage.spawn(**environment, PAGES_PORT=str(port))
        for _ in range(40):
            await progress.get()
        process.kill()
        await process.communicate()
    await stage.spawn(**environment, PAGES_PORT=str(port))
    expected = [*(f"question {number}" for number in range(1, 31)), "bye"]
    for learner, chat in zip(learners, await asyncio.gather(*learning), strict=True):
        assert list(dict.fromkeys(texts(chat))) == expected
        assert answers(stage, learner.id) == [(f"Q{number}", f"answer {number}") for number in range(1, 31)]
    await stage.client.wait_idle(stage.bot().token)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and be impatient."""
    monkeypatch.setattr(keeper, "PACE", Pace(check=0.1, trial=0.1, patience=0.3, polling=1.0))


@pytest.mark.usefixtures("quick")
async def test_a_changed_secret_reaches_telegram(stage: Stage) -> None:
    stage.course(QUESTIONS)
    host = stage.start(hooked(stage, secret="old"))
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    await stage.stop(host)
    stage.start(hooked(stage, secret="new"))
    await learner.send("answer 1")
    await learner.wait_for(said("question 2"))
    assert [call["secret_token"] for call in await calls(stage, "setWebhook")] == ["old", "new"]


@pytest.mark.usefixtures("quick")
async def test_somebody_else_changes_the_webhook(stage: Stage) -> None:
    stage.course(QUESTIONS)
    stage.start(hooked(stage))
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    url = f"{stage.sandbox_url}/bot{stage.bot().token}/setWebhook"
    async with aiohttp.request("POST", url, json={"url": "http://127.0.0.1:1/elsewhere"}):
        pass
    await learner.send("answer 1")
    await learner.wait_for(said("question 2"))
    assert (await info(stage))["url"] == address(stage)


@pytest.mark.usefixtures("quick")
async def test_a_bot_whose_webhook_is_refused_is_polled_until_it_is_taken(stage: Stage) -> None:
    stage.course(QUESTIONS)
    refusal = "bad webhook: failed to resolve host: Name or service not known"
    await stage.client.add_fault("400", method="setWebhook", description=refusal, times=2)
    host = stage.start(hooked(stage, fallback=Mode.POLLING))
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    assert host.bots[0].state is State.POLLING
    for number in range(1, 11):
        await learner.send(f"answer {number}")
    await reached(host)
    await learner.send("answer 11")
    await learner.wait_for(said("question 12"))
    assert answers(stage) == [(f"Q{number}", f"answer {number}") for number in range(1, 12)]
    assert await stage.client.faults() == []


@pytest.mark.usefixtures("quick")
async def test_a_bot_whose_webhook_is_refused_keeps_trying(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.course(QUESTIONS)
    await stage.client.add_fault("400", method="setWebhook", description="bad webhook: wrong port", times=3)
    stage.start(hooked(stage))
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    assert (await info(stage))["url"] == address(stage)
    log = capsys.readouterr().out
    assert "reason='setWebhook: Bad Request: bad webhook: wrong port'" in log
    assert f"see that {address(stage)} reaches the proxy from outside, or give the bot fallback: polling" in log


@pytest.mark.usefixtures("quick")
async def test_a_bot_that_telegram_does_not_reach_is_polled_until_it_does(stage: Stage, port: int) -> None:
    stage.course(QUESTIONS)
    with socket.socket() as probe:  # nobody listens there yet: the proxy is down
        probe.bind(("127.0.0.1", 0))
        public = probe.getsockname()[1]
    webhook = WebhookSettings(address(stage).replace(str(port), str(public)), SECRET)
    host = stage.start(hooked(stage, webhook=webhook, fallback=Mode.POLLING))
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("question 1"))
    await reached(host, State.POLLING)
    await learner.send("answer 1")
    await learner.wait_for(said("question 2"))
    async with await asyncio.start_server(lambda *ends: forward(port, *ends), "127.0.0.1", public):
        await reached(host)
        await learner.send("answer 2")
        await learner.wait_for(said("question 3"))
        await stage.client.wait_idle(stage.bot().token)
    assert answers(stage) == [("Q1", "answer 1"), ("Q2", "answer 2")]


async def forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass a connection on, as a proxy does."""
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
        target.close()

    await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer), return_exceptions=True)
