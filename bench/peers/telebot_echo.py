"""pyTelegramBotAPI's asynchronous echo bot as its documentation has it."""

import asyncio
import os

from telebot import asyncio_helper
from telebot.async_telebot import AsyncTeleBot

asyncio_helper.API_URL = f"{os.environ['TELEGRAM_API_URL']}/bot{{0}}/{{1}}"
bot = AsyncTeleBot(os.environ["BOT_API_TOKEN"])


@bot.message_handler(func=lambda message: True)
async def echo(message):
    await bot.send_message(message.chat.id, message.text)


asyncio.run(bot.infinity_polling())
