"""The sandbox as aiogram sees it: every answer is one that its types accept."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import PollType
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramNetworkError, TelegramRetryAfter
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaAudio,
    InputMediaPhoto,
    InputMediaVideo,
    InputPollOption,
    LinkPreviewOptions,
)

from app.sandbox.client import LearnerClient, SandboxClient
from app.sandbox.server import Sandbox

PHOTO = "https://a.io/p.png"
KEYBOARD = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="Go", callback_data="go")]])


@pytest.fixture
async def bot(sandbox: Sandbox, ann: LearnerClient) -> AsyncIterator[Bot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(sandbox.url))
    async with Bot("700:demo-token_A", session=session).context() as bot:
        yield bot


async def test_messages(bot: Bot, ann: LearnerClient) -> None:
    assert (await bot.get_me()).username == "demo"
    sent = await bot.send_message(
        42,
        "<b>hi</b> <a href='a.io'>there</a>",
        parse_mode="HTML",
        reply_markup=KEYBOARD,
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )
    assert sent.html_text == '<b>hi</b> <a href="http://a.io/">there</a>'
    assert sent.reply_markup is not None
    assert sent.reply_markup.inline_keyboard[0][0].callback_data == "go"
    await bot.edit_message_text("new", chat_id=42, message_id=sent.message_id, reply_markup=KEYBOARD)
    await bot.edit_message_reply_markup(chat_id=42, message_id=sent.message_id)
    assert await bot.send_chat_action(42, "typing")
    assert await bot.delete_message(42, sent.message_id)
    assert (await bot.get_chat(42)).full_name == "Ann"


async def test_media(bot: Bot, ann: LearnerClient) -> None:
    photo = await bot.send_photo(42, BufferedInputFile(b"\x89PNG", "p.png"), caption="*c*", parse_mode="Markdown")
    assert photo.photo is not None
    assert (await bot.send_photo(42, photo.photo[-1].file_id)).photo == photo.photo
    assert (await bot.send_audio(42, "https://a.io/a.mp3")).audio is not None
    assert (await bot.send_video(42, "https://a.io/a.mp4")).video is not None
    assert (await bot.send_voice(42, "https://a.io/a.ogg")).voice is not None
    assert (await bot.send_document(42, "https://a.io/a.pdf")).document is not None
    assert (await bot.send_animation(42, "https://a.io/a.gif")).animation is not None
    album = await bot.send_media_group(
        42, [InputMediaPhoto(media=PHOTO, caption="c"), InputMediaVideo(media=BufferedInputFile(b"v", "v.mp4"))]
    )
    assert [bool(message.photo) for message in album] == [True, False]
    assert len(await bot.send_media_group(42, [InputMediaAudio(media="https://a.io/a.mp3")])) == 1
    await ann.send_file("voice", b"OggS", "audio/ogg")
    (update,) = await bot.get_updates()
    assert update.message is not None
    assert update.message.voice is not None
    content = await bot.download(update.message.voice)
    assert content is not None
    assert content.read() == b"OggS"


async def test_polls_and_presses(bot: Bot, ann: LearnerClient) -> None:
    quiz = await bot.send_poll(
        42, "q", [InputPollOption(text="a"), "b"], type="quiz", correct_option_ids=[1], is_anonymous=False
    )
    assert quiz.poll is not None
    assert (quiz.poll.type, quiz.poll.correct_option_ids) == (PollType.QUIZ, [1])
    await ann.vote(quiz.message_id, 1)
    await bot.send_message(42, "x", reply_markup=KEYBOARD)
    query_id = await ann.press((await ann.transcript()).messages[-1], "Go")
    await ann.block()
    await ann.unblock()
    updates = await bot.get_updates(allowed_updates=["message", "callback_query", "poll_answer"])
    kinds = ["poll_answer", "poll", "callback_query", "my_chat_member", "my_chat_member"]
    assert [update.event_type for update in updates] == kinds
    answer = updates[0].poll_answer
    assert answer is not None
    assert (answer.poll_id, answer.option_ids) == (quiz.poll.id, [1])
    assert await bot.answer_callback_query(query_id, "done")
    assert (await bot.stop_poll(42, quiz.message_id)).total_voter_count == 1


async def test_settings(bot: Bot) -> None:
    menu = [BotCommand(command="start", description="Start")]
    assert await bot.set_my_commands(menu)
    assert [command.description for command in await bot.get_my_commands()] == ["Start"]
    assert await bot.delete_my_commands()
    assert await bot.set_webhook("https://127.0.0.1:1/x", secret_token="s", allowed_updates=["message"])
    assert (await bot.get_webhook_info()).url == "https://127.0.0.1:1/x"
    assert await bot.delete_webhook(drop_pending_updates=True)


async def test_errors(bot: Bot, ann: LearnerClient, client: SandboxClient) -> None:
    with pytest.raises(TelegramBadRequest, match="can't parse entities"):
        await bot.send_message(42, "*x", parse_mode="Markdown")
    await client.add_fault("429", retry_after=3)
    with pytest.raises(TelegramRetryAfter) as too_many:
        await bot.send_message(42, "x")
    assert too_many.value.retry_after == 3
    await client.add_fault("drop_after")
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(42, "x")
    await ann.block()
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(42, "x")
