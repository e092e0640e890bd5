"""What Telegram tells the page of a mini app about who opened it, and how the page's server proves it.

Source: https://core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from app.engine.event import Learner
from app.errors import FlotillaError
from app.telegram.lean import import_aiogram

LONGEST_VISIT = timedelta(hours=24)
"""How long after it was opened a page can prove who opened it."""


class InitDataRefused(FlotillaError):
    """The ``init_data`` of a page does not prove who opened it."""


def learner_of(init_data: str, token: str, now: datetime) -> Learner:
    """Return who opened a page of the bot with this token.

    Raises ``InitDataRefused``: it is not signed with the token (compared in constant time), or was opened too long ago.
    """
    import_aiogram()
    from aiogram.utils.web_app import safe_parse_webapp_init_data

    try:
        told = safe_parse_webapp_init_data(token, init_data)
    except (ValueError, TypeError):  # TypeError: a hash that is not ASCII, or a field that is none of Telegram's
        raise InitDataRefused("init_data is not signed by telegram for this bot; open the page from the chat") from None
    if told.user is None:
        raise InitDataRefused("init_data names no user; open the page with an inline button of the chat")
    if now - told.auth_date > LONGEST_VISIT:
        raise InitDataRefused(f"init_data is of {told.auth_date:%Y-%m-%d %H:%M} UTC; open the page again from the chat")
    return Learner(told.user.id, told.user.username, told.user.language_code)


def claimed_language(init_data: str) -> str | None:
    """Return the language that whoever opened the page says they speak: unproven, for the choice of words only."""
    try:
        language = json.loads(parse_qs(init_data)["user"][0])["language_code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return language if isinstance(language, str) else None
