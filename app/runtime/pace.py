"""How fast bots may start."""

from __future__ import annotations

from app.config.settings import TELEGRAM_API_URL

START_BURST, START_SECONDS = 20, 3.0
"""Telegram admits about 20 new bots a minute per address: so many start at once, each further one so much later."""


def start_delay(index: int, telegram_url: str) -> float:
    """Return after how many seconds the bot starts that is preceded by ``index`` others; at once elsewhere."""
    if telegram_url != TELEGRAM_API_URL:
        return 0.0
    return max(0, index - START_BURST + 1) * START_SECONDS
