"""Telegram's limits on messages, for tests of how a bot copes with them (core.telegram.org/bots/faq)."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable

from app.sandbox.errors import too_many_requests

PER_SECOND = 30
"""Messages of a bot in any second."""

CHAT_BURST = 5
"""Messages to a learner at once; each second allows one more."""


class Limits:
    """Counts the messages of each bot; refuses those above the limits while it is strict."""

    def __init__(self, *, is_strict: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_strict = is_strict
        self.refused = 0
        self._clock = clock
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._left: dict[tuple[str, str], tuple[float, float]] = {}
        """Of each chat: how many messages it might take, and when that was."""

    def admit(self, token: str, method: str, chat_id: str) -> None:
        """Count a call; raise ``ApiError`` (429) if it is a message and one too many."""
        if not self.is_strict or not is_message(method):
            return
        now = self._clock()
        sent = self._sent[token]
        while sent and sent[0] <= now - 1.0:
            sent.popleft()
        left = self._left_in(token, chat_id, now)
        wait = max(1.0 - left, sent[0] + 1.0 - now if len(sent) >= PER_SECOND else 0.0)
        if wait > 0.0:
            self.refused += 1
            raise too_many_requests(math.ceil(wait))
        sent.append(now)
        self._left[token, chat_id] = (left - 1.0, now)

    def _left_in(self, token: str, chat_id: str, now: float) -> float:
        left, then = self._left.get((token, chat_id), (float(CHAT_BURST), now))
        return min(float(CHAT_BURST), left + now - then)


def is_message(method: str) -> bool:
    """Tell whether a method sends messages."""
    name = method.lower()
    return name.startswith(("send", "copy", "forward")) and name != "sendchataction"
