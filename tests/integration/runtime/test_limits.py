"""A bot that keeps Telegram's limits by itself; a strict sandbox is the judge."""

from __future__ import annotations

import asyncio

from tests.stage import Stage, play, said

PARTS = """
    A: {type: message, text: first}
    B: {type: message, text: second}
    C: {type: message, text: third}
    D: {type: message, text: fourth}
    E: {type: message, text: fifth}
    F: {type: message, text: sixth}
    G: {type: message, text: seventh, button: On}
    H: {type: end, text: bye}
"""


async def calls(stage: Stage) -> list[tuple[int, str, float]]:
    sent = await stage.client.calls(stage.bot().token, "sendMessage")
    return [(int(call["params"]["chat_id"]), call["params"]["text"], call["time"]) for call in sent]


async def test_a_chat_gets_a_burst_at_once_and_then_a_message_a_second(stage: Stage) -> None:
    stage.has_limits = True
    stage.course(PARTS)
    await stage.client.set_strict()
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("seventh"))
    times = [time for _, _, time in await calls(stage)]
    assert times[5] - times[0] >= 1.0
    assert times[6] - times[0] >= 2.0
    assert await stage.client.refused() == 0


async def test_without_limits_telegram_refuses_and_is_obeyed(stage: Stage) -> None:
    stage.course(PARTS)
    await stage.client.set_strict()
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    chat = await learner.wait_for(said("seventh"))
    assert [message.text for message in chat.by_bot] == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
    ]
    assert await stage.client.refused() > 0


async def test_many_learners_at_once_get_no_message_refused(stage: Stage) -> None:
    stage.has_limits = True
    stage.course("A: {type: message, text: one, button: On}\nB: {type: end, text: bye}\n")
    await stage.client.set_strict()
    stage.start()
    learners = [stage.learner(learner_id=number) for number in range(1, 46)]
    await asyncio.gather(*(learner.send("/start") for learner in learners))
    await asyncio.gather(*(play(learner, said("bye")) for learner in learners))
    assert sorted(chat_id for chat_id, text, _ in await calls(stage) if text == "bye") == list(range(1, 46))
    assert await stage.client.refused() == 0


async def test_a_chat_with_a_long_queue_has_one_turn_among_the_others(stage: Stage) -> None:
    """The bot's budget is used up when all ask; no chat gets its second message before every chat has its first."""
    stage.has_limits = True
    stage.course("A: {type: message, text: one}\nB: {type: message, text: two}\nC: {type: end, text: bye}\n")
    await stage.client.set_strict()
    learners = [stage.learner(learner_id=number) for number in range(1, 41)]
    for learner in learners:
        await learner.send("/start")
    stage.start()
    await asyncio.gather(*(learner.wait_for(said("bye")) for learner in learners))
    order = [chat_id for chat_id, _, _ in await calls(stage)]
    waiting = order[30:40]  # those for whom the first second had no room
    assert set(range(1, 31)) == set(order[:30])
    assert set(waiting) == set(range(31, 41))
    assert await stage.client.refused() == 0


async def test_a_bot_stops_while_messages_wait(stage: Stage) -> None:
    stage.has_limits = True
    stage.course(PARTS)
    host = stage.start()
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("fifth"))
    await stage.stop(host)
    stage.start()
    chat = await learner.wait_for(said("seventh"))
    assert [message.text for message in chat.by_bot][-3:] == ["fifth", "sixth", "seventh"]
