"""Makes every kind of call that Flotilla makes, at the Bot API server in argv[2]; prints what came back as JSON.

argv[1] is the way to import aiogram: ``lean`` or ``plain``. Runs in a process of its own (see test_lean.py).
"""

import asyncio
import json
import sys

if sys.argv[1] == "lean":
    from app.telegram.lean import import_aiogram

    import_aiogram()

from aiogram import Bot, Dispatcher, F, Router, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter

BUTTON = types.InlineKeyboardButton(text="Yes", callback_data="1:2")
KEYBOARD = types.InlineKeyboardMarkup(inline_keyboard=[[BUTTON]])
ALBUM = [types.InputMediaPhoto(media="https://x/1.jpg", caption="c"), types.InputMediaVideo(media="https://x/2.mp4")]


async def calls(bot: Bot) -> list[object]:
    """Return the results of all calls, in order."""
    return [
        await bot.get_me(),
        await bot.send_message(7, "<b>hi</b>", parse_mode="HTML", reply_markup=KEYBOARD),
        await bot.send_message(7, "x", link_preview_options=types.LinkPreviewOptions(is_disabled=True)),
        await bot.send_photo(7, "https://x/1.jpg", caption="c"),
        await bot.send_video(7, "https://x/2.mp4"),
        await bot.send_audio(7, "https://x/3.mp3"),
        await bot.send_voice(7, "https://x/4.ogg"),
        await bot.send_document(7, types.BufferedInputFile(b"four", filename="5.txt")),
        await bot.send_media_group(7, ALBUM),
        await bot.send_poll(
            7, "2+2?", [types.InputPollOption(text="4"), "5"], type="quiz", correct_option_id=0, is_anonymous=False
        ),
        await bot.stop_poll(7, 5),
        await bot.answer_callback_query("99", text="late"),
        await bot.edit_message_text("new", chat_id=7, message_id=5),
        await bot.edit_message_reply_markup(chat_id=7, message_id=5),
        await bot.delete_message(7, 5),
        await bot.send_chat_action(7, "typing"),
        await bot.set_my_commands([types.BotCommand(command="start", description="Start")]),
        await bot.set_webhook("https://x/hook", secret_token="s", allowed_updates=["message"]),
        await bot.get_webhook_info(),
        await bot.delete_webhook(drop_pending_updates=False),
        await bot.get_file("f"),
        *[await refusal(bot, chat) for chat in (400, 429)],
    ]


async def refusal(bot: Bot, chat: int) -> str:
    """Return how aiogram reports the server's refusal of this chat."""
    try:
        await bot.send_message(chat, "x")
    except (TelegramBadRequest, TelegramRetryAfter) as error:
        return repr(error)
    raise AssertionError(chat)


async def plugin(bot: Bot) -> list[object]:
    """Feed the server's updates to a router; return the updates and what the router handled."""
    router, handled = Router(), []

    @router.message(F.text == "/start")
    async def start(message: types.Message) -> None:
        handled.append(message)
        await message.answer("welcome", reply_markup=KEYBOARD)

    @router.callback_query()
    async def press(query: types.CallbackQuery) -> None:
        handled.append(query)
        await query.answer()

    @router.poll_answer()
    @router.my_chat_member()
    async def other(event: types.TelegramObject) -> None:
        handled.append(event)

    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    updates = await bot.get_updates(timeout=0)
    for update in updates[:-1]:  # the last is of a type that aiogram warns of
        await dispatcher.feed_update(bot, update)
    await dispatcher.feed_raw_update(bot, updates[0].model_dump(exclude_unset=True))
    return [*updates, *handled]


def plain(value: object) -> object:
    """Return the value as JSON can hold it, with its type."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, types.TelegramObject):
        return [type(value).__name__, json.loads(value.model_dump_json(exclude_unset=True))]
    return value


async def main() -> None:
    session = AiohttpSession(api=TelegramAPIServer.from_base(sys.argv[2]))
    async with Bot("1:token", session=session) as bot:
        print(json.dumps(plain([*await calls(bot), *await plugin(bot)])))


asyncio.run(main())
