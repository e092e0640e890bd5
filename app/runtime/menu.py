"""The menus of commands that Telegram shows beside the input field, one for each language."""

from __future__ import annotations

from app.config.options import Options
from app.engine.command import descriptions
from app.observe.logs import get_log
from app.telegram.api import BotApi
from app.telegram.error import TelegramError
from app.texts import LANGUAGES, texts_for

log = get_log(__name__)


def menu_of(language: str, options: Options) -> list[dict[str, str]]:
    """Return the commands of a bot as Telegram takes them."""
    return [{"command": name, "description": text} for name, text in descriptions(texts_for(language), options)]


async def set_menus(api: BotApi, bot: str, language: str | None, options: Options) -> None:
    """Make the bot's menus what they should be: in its own language, else in each learner's.

    Only what differs is written. A failure is of little consequence, the commands work without a menu; it is logged,
    and the next start tries again.
    """
    try:
        for code in ("", *LANGUAGES):
            wanted = menu_of(language or code, options)
            if await api.commands(code) != wanted:
                await api.set_commands(code, wanted)
    except TelegramError as trouble:
        log.warning("menu of commands not set", bot=bot, reason=trouble.description)
