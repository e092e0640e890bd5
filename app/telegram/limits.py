"""How fast one bot may send: Telegram's limits, kept before Telegram has to enforce them.

Published are "no more than one message per second" in a chat with "short bursts", 20 messages a minute in a group and
about 30 a second altogether (core.telegram.org/bots/faq, "My bot is hitting limits"); nothing limits
answerCallbackQuery (tdlib/telegram-bot-api issue 648). Edits share the limit of their chat, but ours follow what a
learner does, one for each press, which "well-behaving bots" may do (tdlib/td issue 3034): they are not held back, nor
are they counted. Whatever Telegram refuses all the same, the sender obeys (429).

A message counts from its call's beginning until one period after its end, because the server counts it at some moment
in between: so no network, however uneven, makes two periods of messages arrive in one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MESSAGES, SECONDS = 30, 1.0
"""So many messages of one bot in so many seconds."""

RESERVE = 5
"""Of these, so many are for answers to learners only: broadcasts leave them free."""

FREE_METHODS = frozenset(
    {"stopPoll", "editMessageText", "editMessageReplyMarkup", "editMessageCaption", "editMessageMedia", "deleteMessage"}
)
"""What the outbox sends beside messages."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A chat's limit: ``burst`` messages at once, and one more every ``seconds``."""

    burst: int
    seconds: float


PRIVATE = Bucket(burst=5, seconds=1.0)

GROUP = Bucket(burst=5, seconds=4.0)
"""At most 20 in any minute."""


class Limits:
    """Admits the messages of one bot, in the order in which they ask. Belongs to one event loop.

    Each chat asks for one message at a time, so that a chat with a long queue has one turn among the others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[int, float] = {}
        self._sweep_size = 1000
        self._under_way = 0
        self._ended: deque[float] = deque()
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many chats are remembered: those that may not have a whole burst yet, and some more."""
        return len(self._full_at)

    def pause(self, chat_id: int) -> float:
        """Return the seconds that the chat has to wait; 0.0 when a message may go."""
        full_at = self._full_at.get(chat_id)
        if full_at is None:
            return 0.0
        bucket = GROUP if chat_id < 0 else PRIVATE
        return max(0.0, full_at - self._clock() - (bucket.burst - 1) * bucket.seconds)

    async def begin(self) -> bool:
        """Wait for one of the bot's messages to be admitted: then it is under way and has to be ended.

        ``False`` when those that wait were dismissed meanwhile.
        """
        if not self._waiting and self._room() > 0:
            self._under_way += 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake_in_time()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._under_way -= 1
                self._admit()
            raise

    def end(self, chat_id: int) -> None:
        """Note that a message's call has ended, whatever came of it."""
        now = self._clock()
        self._under_way -= 1
        self._ended.append(now)
        self._full_at[chat_id] = max(now, self._full_at.get(chat_id, now)) + (
            GROUP.seconds if chat_id < 0 else PRIVATE.seconds
        )
        if len(self._full_at) > self._sweep_size:
            self._forget_idle(now)
        if self._waiting:
            self._wake_in_time()

    def spare(self) -> int:
        """Return how many messages may begin now that are no answers: none while an answer waits."""
        return 0 if self._waiting else max(0, self._room() - RESERVE)

    def dismiss(self) -> None:
        """Send away all that wait."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)

    def _room(self) -> int:
        oldest = self._clock() - SECONDS
        while self._ended and self._ended[0] <= oldest:
            self._ended.popleft()
        return MESSAGES - self._under_way - len(self._ended)

    def _admit(self) -> None:
        """Let begin who waits, as far as there is room."""
        room = self._room()
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                self._under_way += 1
                room -= 1
        if self._waiting:
            self._wake_in_time()

    def _wake_in_time(self) -> None:
        """Come back when the oldest ended message counts no more; while there is none, the next end sees to it."""
        if self._timer is None and self._ended:
            delay = self._ended[0] + SECONDS - self._clock()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, delay), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._admit()

    def _forget_idle(self, now: float) -> None:
        """Forget chats whose bucket is full; not again until there are twice as many, so that it costs little."""
        self._full_at = {chat_id: full_at for chat_id, full_at in self._full_at.items() if full_at > now}
        self._sweep_size = max(1000, 2 * len(self._full_at))
