"""python-telegram-bot's echo bot as its documentation has it."""

import os

from telegram import Update
from telegram.ext import Application, ContextTypes, MessageHandler, filters


async def echo(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    await update.message.reply_text(update.message.text)


builder = Application.builder().token(os.environ["BOT_API_TOKEN"]).base_url(f"{os.environ['TELEGRAM_API_URL']}/bot")
application = builder.build()
application.add_handler(MessageHandler(filters.TEXT, echo))
application.run_polling(allowed_updates=Update.ALL_TYPES)
