"""aiogram's echo bot as its documentation has it: by polling, which is the unit of the benchmark, or by webhook."""

import asyncio
import os
from urllib.parse import urlsplit

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

WEBHOOK = os.environ.get("WEBHOOK_URL", "")
SECRET = os.environ.get("WEBHOOK_SECRET_TOKEN", "")

dispatcher = Dispatcher()


@dispatcher.message()
async def echo(message: Message) -> None:
    await message.answer(message.text or "")


def connect() -> Bot:
    session = AiohttpSession(api=TelegramAPIServer.from_base(os.environ["TELEGRAM_API_URL"]))
    return Bot(os.environ["BOT_API_TOKEN"], session=session)


async def poll() -> None:
    await dispatcher.start_polling(connect())


async def set_webhook(bot: Bot) -> None:
    await bot.set_webhook(WEBHOOK, secret_token=SECRET)


def serve() -> None:
    dispatcher.startup.register(set_webhook)
    app, bot, address = web.Application(), connect(), urlsplit(WEBHOOK)
    SimpleRequestHandler(dispatcher=dispatcher, bot=bot, secret_token=SECRET).register(app, path=address.path)
    setup_application(app, dispatcher, bot=bot)
    web.run_app(app, host=address.hostname, port=address.port, print=None)


if WEBHOOK:
    serve()
elif os.environ.get("LOOP") == "uvloop":
    import uvloop

    uvloop.run(poll())
else:
    asyncio.run(poll())
