"""How fast bots may start."""

from __future__ import annotations

from app.config.settings import TELEGRAM_API_URL

START_BURST, START_SECONDS = 20, 3.0
"""Telegram admits about 20 new bots a minute per address: so many start at once, each further one so much later."""


def earliest(bots: int) -> float:
    """Return how long after the first bot so many may have been started, in seconds."""
    return max(0, bots - START_BURST) * START_SECONDS


def start_delay(index: int, telegram_url: str) -> float:
    """Return after how many seconds the bot starts that is preceded by ``index`` others; at once elsewhere."""
    if telegram_url != TELEGRAM_API_URL:
        return 0.0
    return earliest(index + 1)
