"""What a host sees of its own bots, and what of that is an alert."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.observe.metrics import meter_of
from app.runtime.alerts import Alert
from app.runtime.bot import Bot, State

POLL_SECONDS = 120.0
"""A polled bot without a completed ``getUpdates`` for longer does not poll."""

WEBHOOK_SECONDS = 300.0
"""A delivery that failed less long ago counts, unless all has been delivered since."""

ERRORS, ERROR_SECONDS = 10, 600.0
"""So many errors in the log within so many seconds are many."""

DAY = 86400.0

CERTIFICATE_SECONDS = 14 * DAY
"""A certificate that ends earlier should have been renewed by now."""

DISK_SHARE = 0.1
"""A disk of which less is free is nearly full."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a host sees of one of its bots, ages in seconds; what does not concern it, or is not known, is ``None``.

    ``poll_age`` is that of the last answer to ``getUpdates``, or of the polling if there was none.
    """

    state: State
    poll_age: float | None = None
    webhook_error: str = ""
    webhook_error_age: float | None = None
    pending: int = 0
    errors: int = 0
    disk_free: float = 1.0
    certificate_left: float | None = None


def troubles(signs: Signs) -> dict[str, str]:
    """Return the alerts that a host raises for a bot, with details."""
    found: dict[Alert, str] = {}
    if signs.state is State.REFUSED:
        found[Alert.TOKEN_REVOKED] = ""
    if signs.poll_age is not None and signs.poll_age > POLL_SECONDS:
        found[Alert.NOT_POLLING] = f"for {signs.poll_age / 60:.0f} min"
    if signs.webhook_error_age is not None and signs.webhook_error_age < WEBHOOK_SECONDS and signs.pending:
        found[Alert.WEBHOOK_ERRORS] = signs.webhook_error
    if signs.errors >= ERRORS:
        found[Alert.MANY_ERRORS] = f"{signs.errors} within 10 min"
    if signs.certificate_left is not None and signs.certificate_left < CERTIFICATE_SECONDS:
        found[Alert.CERTIFICATE_EXPIRING] = f"in {max(signs.certificate_left, 0) / DAY:.0f} days"
    if signs.disk_free < DISK_SHARE:
        found[Alert.DISK_FULL] = f"{signs.disk_free:.0%} are free"
    return {str(alert): detail for alert, detail in found.items()}


class Eye:
    """Looks at the bots of this process and the disk of a path; remembers how many errors each had logged when."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._errors: dict[str, deque[tuple[float, int]]] = {}

    def look(self, bots: Sequence[Bot]) -> list[Signs]:
        """Return what is to be seen of each."""
        disk = shutil.disk_usage(self._disk)
        now = datetime.now(UTC)
        return [self._signs(bot, now, disk.free / disk.total) for bot in bots]

    def _signs(self, bot: Bot, now: datetime, disk_free: float) -> Signs:
        webhook = bot.webhook_info
        failed_at = webhook.error_date if webhook is not None else None
        return Signs(
            state=bot.state,
            poll_age=(now - polled).total_seconds() if (polled := bot.last_poll or bot.polled_since) else None,
            webhook_error=webhook.error if webhook is not None else "",
            webhook_error_age=now.timestamp() - failed_at if failed_at is not None else None,
            pending=webhook.pending if webhook is not None else 0,
            errors=self._new_errors(bot.settings.name),
            disk_free=disk_free,
            certificate_left=None if bot.certificate_expiry is None else bot.certificate_expiry - now.timestamp(),
        )

    def _new_errors(self, name: str) -> int:
        """Return how many errors were logged within ``ERROR_SECONDS``."""
        now, seen = time.monotonic(), self._errors.setdefault(name, deque())
        seen.append((now, meter_of(name).errors_so_far))
        while seen[0][0] < now - ERROR_SECONDS:
            seen.popleft()
        return seen[-1][1] - seen[0][1]
