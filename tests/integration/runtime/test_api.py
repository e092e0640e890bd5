"""Calls of the Bot API beside sending: files up and down, menus; and edits that come too late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from app.course.element import ParseMode, Speech
from app.engine.action import Button, SendSpeech, SendText
from app.errors import FlotillaError
from app.runtime.outbox import Outbox, Speak
from app.sandbox.client import LearnerClient
from app.store.rows import NewMessage
from app.store.store import Store
from app.telegram.api import DOWNLOAD_LIMIT, BotApi, TelegramSession
from app.telegram.encode import MessageAction, encode
from app.telegram.error import Rejected, TelegramError
from tests.stage import Stage, play, said


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[BotApi]:
    async with TelegramSession(stage.sandbox_url) as session:
        yield session.bot(stage.bot().token)


async def send(stage: Stage, store: Store, *actions: MessageAction, speak: Speak | None = None) -> None:
    """Commit the messages of these actions, and send them."""
    messages = [
        NewMessage(7, request.method, dict(request.params)) for action in actions for request in encode(7, action)
    ]
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        queued = await turn.save(messages=messages)
    async with connected(stage) as api:
        outbox = Outbox("bot", api, store, "en", speak)
        outbox.put(queued)
        await outbox.drain(20)
    assert await store.pending("bot") == []


async def voice(_text: str, _speech: Speech) -> bytes:
    return b"ID3 spoken"


async def mute(_text: str, _speech: Speech) -> bytes:
    raise FlotillaError("the voice is away")


async def test_a_voice_message_is_downloaded(stage: Stage) -> None:
    message_id = await stage.learner().send_file("voice", b"OggS voice", "audio/ogg")
    chat = await stage.learner().transcript()
    file_id = next(message.file_id for message in chat.messages if message.id == message_id)
    assert file_id is not None
    async with connected(stage) as api:
        assert await api.download(file_id) == b"OggS voice"


async def test_what_is_too_large_is_not_downloaded(stage: Stage) -> None:
    await stage.learner().send_file("voice", bytes(DOWNLOAD_LIMIT + 1), "audio/ogg")
    chat = await stage.learner().transcript()
    async with connected(stage) as api:
        with pytest.raises(Rejected, match="getFile: Bad Request: file is too big"):
            await api.download(str(chat.messages[-1].file_id))


async def test_the_token_is_in_no_error_of_a_download(stage: Stage) -> None:
    await stage.learner().send_file("voice", b"OggS voice", "audio/ogg")
    chat = await stage.learner().transcript()
    async with connected(stage) as api:
        await stage.client.add_fault("400", method="getFile", description="file is too big")
        with pytest.raises(Rejected) as refusal:
            await api.download(str(chat.messages[-1].file_id))
    assert stage.bot().token not in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "size", "error"),
    [
        (200, DOWNLOAD_LIMIT + 1, "download: the file has more than 20971520 bytes"),
        (404, 1, "download: HTTP 404"),
        (502, 1, "download: HTTP 502"),
    ],
)
async def test_a_server_that_hands_out_files_badly(status: int, size: int, error: str) -> None:
    """A Bot API server of one's own knows no limit."""
    token = "1234567:secret"

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "result": {"file_path": "voice/1.ogg"}})

    async def file(_: web.Request) -> web.Response:
        return web.Response(status=status, body=bytes(size))

    app = web.Application()
    app.add_routes([web.post(f"/bot{token}/getFile", answer), web.get(f"/file/bot{token}/voice/1.ogg", file)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with TelegramSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        with pytest.raises(TelegramError, match=f"^{error}$") as trouble:
            await session.bot(token).download("file")
    await runner.cleanup()
    assert trouble.value.__suppress_context__ or trouble.value.__context__ is None


async def test_the_menu_of_a_language(stage: Stage) -> None:
    menu = [{"command": "help", "description": "Help"}]
    async with connected(stage) as api:
        await api.set_commands("ru", menu)
        assert (await api.commands("ru"), await api.commands("")) == (menu, [])


async def test_a_text_replaces_another(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    await send(stage, store, SendText("draft"))
    draft = await stage.learner().wait_message()
    await send(stage, store, SendText("*done*", ParseMode.MARKDOWN, buttons=(Button("Go", "d"),), replaces=draft.id))
    (message,) = (await stage.learner().transcript()).by_bot
    assert (message.text, [button.text for button in message.buttons]) == ("done", ["Go"])


async def test_a_text_that_is_there_already_is_not_sent_again(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    await send(stage, store, SendText("draft"))
    draft = await stage.learner().wait_message()
    await send(stage, store, SendText("draft", replaces=draft.id))
    assert [message.text for message in (await stage.learner().transcript()).by_bot] == ["draft"]


async def test_a_text_whose_message_is_gone_is_sent_anew(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    await send(stage, store, SendText("done", ParseMode.HTML, replaces=4711))
    assert [message.text for message in (await stage.learner().transcript()).by_bot] == ["done"]


async def test_d25_a_text_is_spoken(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    await send(stage, store, SendSpeech("spoken", "a < b", None, Speech(), (Button("Go", "d"),)), speak=voice)
    (message,) = (await stage.learner().transcript()).by_bot
    assert (message.media, message.text, [button.text for button in message.buttons]) == ("voice", "a < b", ["Go"])
    assert [entity["type"] for entity in message.entities] == ["spoiler"]


async def test_d25_a_text_too_long_for_a_caption_follows_the_voice(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    text = "long " * 1000
    action = SendSpeech("spoken", text, None, Speech(), (Button("Go", "d"),))
    await send(stage, store, action, SendText("after"), speak=voice)
    chat = (await stage.learner().transcript()).by_bot
    assert [(message.media, len(message.buttons)) for message in chat] == [
        ("voice", 0),
        (None, 0),
        (None, 1),
        (None, 0),
    ]
    assert " ".join(message.text for message in chat[1:3]).split() == text.split()
    assert chat[-1].text == "after"


@pytest.mark.parametrize("speak", [None, mute])
async def test_a_text_that_cannot_be_spoken_is_sent_as_it_is(stage: Stage, store: Store, speak: Speak | None) -> None:
    await stage.learner().send("hello")
    await send(stage, store, SendSpeech("x", "a", ParseMode.HTML, Speech(), (Button("Go", "d"),)), speak=speak)
    (message,) = (await stage.learner().transcript()).by_bot
    assert (message.media, message.text, len(message.buttons)) == (None, "a", 1)


async def test_a_learner_who_takes_no_voice_messages_gets_the_text(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    await stage.client.add_fault("400", method="sendVoice", description="VOICE_MESSAGES_FORBIDDEN")
    await send(stage, store, SendSpeech("x", "a", None, Speech()), speak=voice)
    assert [(message.media, message.text) for message in (await stage.learner().transcript()).by_bot] == [(None, "a")]


async def test_what_was_spoken_before_a_crash_is_not_spoken_again(stage: Stage, store: Store) -> None:
    await stage.learner().send("hello")
    spoken = asyncio.Event()

    async def once(text: str, speech: Speech) -> bytes:
        assert not spoken.is_set()
        spoken.set()
        return await voice(text, speech)

    await stage.client.add_fault("500", method="sendMessage", times=100)
    (request,) = encode(7, SendSpeech("x", "long " * 500, None, Speech()))
    async with store.turn("bot") as turn:
        await turn.load([], [7])
        queued = await turn.save(messages=[NewMessage(7, request.method, dict(request.params))])
    async with connected(stage) as api:
        outbox = Outbox("bot", api, store, "en", once)
        outbox.put(queued)
        await stage.learner().wait_message()
        while "spoken" in (await store.pending("bot"))[0].params:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await outbox.abandon()
        await stage.client.clear_faults()
        next_one = Outbox("bot", api, store, "en", once)
        await next_one.resume()
        await next_one.drain(20)
    assert [message.media for message in (await stage.learner().transcript()).by_bot] == ["voice", None]


async def test_a_bot_without_a_plugin_does_without_aiogram(stage: Stage) -> None:
    """Its import would take 15 MiB."""
    stage.course("A: {type: message, text: hello, button: On}\nE: {type: end, text: Goodbye}")
    process = await stage.spawn(PYTHONPROFILEIMPORTTIME="1")
    await play(await started(stage), said("Goodbye"))
    process.terminate()
    _, log = await process.communicate()
    imported = {line.rpartition(b"|")[2].strip() for line in log.splitlines() if line.startswith(b"import time:")}
    assert b"app.runtime.bot" in imported
    assert not {name for name in imported if name.partition(b".")[0] == b"aiogram"}


async def started(stage: Stage) -> LearnerClient:
    learner = stage.learner()
    await learner.send("/start")
    return learner
