"""A strict sandbox refuses what Telegram would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from app.sandbox.client import LearnerClient, RefusedError, SandboxClient
from app.sandbox.errors import ApiError
from app.sandbox.limits import Limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(limits: Limits, chat_id: int, method: str = "sendMessage", bot: str = "1:a") -> int:
    """Send a message and return the seconds after which it may come again, 0 if it is admitted."""
    try:
        limits.admit(bot, method, str(chat_id))
    except ApiError as error:
        return (error.parameters or {})["retry_after"]
    return 0


def test_a_chat_takes_five_at_once_and_one_a_second() -> None:
    clock = Clock()
    limits = Limits(is_strict=True, clock=clock)
    assert [refused(limits, 7) for _ in range(6)] == [0] * 5 + [1]
    assert refused(limits, 8) == 0
    clock.now = 1.0
    assert [refused(limits, 7) for _ in range(2)] == [0, 1]
    clock.now = 100.0
    assert [refused(limits, 7) for _ in range(6)] == [0] * 5 + [1]


def test_a_bot_sends_thirty_in_a_second() -> None:
    clock = Clock()
    limits = Limits(is_strict=True, clock=clock)
    assert [refused(limits, chat) for chat in range(30)] == [0] * 30
    assert (refused(limits, 30), refused(limits, 30, bot="2:b")) == (1, 0)
    assert limits.refused == 1
    clock.now = 0.999
    assert refused(limits, 30) == 1
    clock.now = 1.0
    assert refused(limits, 30) == 0


@pytest.mark.parametrize("method", ["answerCallbackQuery", "sendChatAction", "editMessageText", "getUpdates"])
def test_what_is_no_message_does_not_count(method: str) -> None:
    limits = Limits(is_strict=True, clock=Clock())
    assert [refused(limits, 7, method) for _ in range(50)] == [0] * 50
    assert refused(limits, 7, "SENDPHOTO") == 0


async def test_strictness_is_switched(api: Any, ann: LearnerClient, client: SandboxClient) -> None:
    for _ in range(6):
        await api.get("sendMessage", chat_id=42, text="a")
    assert await client.refused() == 0
    await client.set_strict()
    answers = [await api.ask("sendMessage", chat_id=42, text="b") for _ in range(20)]
    late = [answer for status, answer in answers if status == 429]
    assert late[0]["parameters"] == {"retry_after": 1}
    assert len(late) == await client.refused() > 0
    await client.set_strict(False)
    await api.get("sendMessage", chat_id=42, text="c")
    with pytest.raises(RefusedError, match="strict must be true or false"):
        await client.request("POST", "limits", {"strict": "yes"})
