"""The updates that wait for one bot."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any

from app.sandbox.changes import Changes
from app.sandbox.errors import conflict

Update = dict[str, Any]
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Kinds a bot gets only if it asks for them."""
MOST_REPEATED = 10_000
TERMINATED = "terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"


class UpdateQueue:
    """The updates that one bot has not confirmed yet, oldest first; there is at most one request for them at a time."""

    def __init__(self, changes: Changes, first_id: int) -> None:
        self.pending: deque[Update] = deque()
        self.repeated: deque[Update] = deque()
        self.allowed: Sequence[str] = ()
        self.webhook_active = False
        self.arrivals = Changes()
        """Marked when there may be something to deliver: it wakes this bot alone."""
        self._changes = changes
        self._history: deque[Update] = deque(maxlen=MOST_REPEATED)
        self._next_id = first_id
        self._poller: object | None = None
        self._closed = False

    def push(self, kind: str, payload: Any) -> None:
        """Queue an update of this kind, unless the bot does not want it; the payload is copied."""
        wanted = kind in self.allowed if self.allowed else kind not in NOT_BY_DEFAULT
        if wanted:
            self.inject({kind: copy.deepcopy(payload)})

    def inject(self, update: Update) -> int:
        """Queue any JSON object as an update and return its id, the next one unless it brings its own."""
        update = {"update_id": self._next_id, **update}
        self._next_id = max(self._next_id, update["update_id"]) + 1
        self.pending.append(update)
        self._history.append(update)
        self.changed()
        return int(update["update_id"])

    def repeat(self, count: int) -> int:
        """Deliver the last ``count`` updates once more, confirmed or not, and return how many there were."""
        again = list(self._history)[-count:] if count > 0 else []
        self.repeated.extend(again)
        self.changed()
        return len(again)

    def confirm(self, update_id: int) -> None:
        """Forget all updates up to this one."""
        while self.pending and self.pending[0]["update_id"] <= update_id:
            self.pending.popleft()
        self._changes.mark()

    def clear(self) -> None:
        """Forget everything that waits."""
        self.pending.clear()
        self.repeated.clear()
        self._changes.mark()

    async def fetch(self, offset: int, limit: int, seconds: float) -> list[Update]:
        """Answer ``getUpdates``: confirm what is below ``offset`` and wait for updates.

        A negative ``offset`` keeps that many of the newest. Raises ``ApiError`` 409 in the older one of two requests.
        """
        if self.webhook_active:
            raise conflict(WEBHOOK_ACTIVE)
        me = self._poller = object()
        self.changed()
        self._confirm_below(offset)
        await self.arrivals.until(lambda: bool(self._poller is not me or self.pending or self.repeated), seconds)
        if self._poller is not me and not self._closed:
            raise conflict(WEBHOOK_ACTIVE if self.webhook_active else TERMINATED)
        self._poller = None
        repeated = [self.repeated.popleft() for _ in range(min(limit, len(self.repeated)))]
        return list(islice(chain(repeated, self.pending), limit))

    def end_polling(self) -> None:
        """End the request that waits, because a webhook was set."""
        self._poller = None
        self.changed()

    def close(self) -> None:
        """End the request that waits and answer no other, because the token was revoked."""
        self._closed = True
        self.end_polling()

    def changed(self) -> None:
        """Wake those who deliver, and those who watch."""
        self.arrivals.mark()
        self._changes.mark()

    def _confirm_below(self, offset: int) -> None:
        if offset < 0:
            offset = self.pending[offset]["update_id"] if len(self.pending) >= -offset else 0
        if offset > 0:
            self.confirm(offset - 1)
