"""A bot that is killed with SIGKILL at random moments: no answer is lost, no row is doubled."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from app.sandbox.client import Transcript
from tests.stage import Stage, play, said

KILLS = 20
LEARNERS = 30
COURSE = (
    "Start: {type: message, text: Hello}\n"
    + "\n".join(
        f"""
Ready_{part}: {{type: message, text: part {part}, button: Go}}
Quiz_{part}:
  type: quiz
  text: quiz {part}
  answers: [{{text: right, correct: yes, feedback: right {part}}}, {{text: wrong}}]
Input_{part}: {{type: input, text: input {part}, correct_answer: "{part}", feedback_correct: well typed {part}}}
Multi_{part}:
  type: multi_choice
  text: multi {part}
  answers: [{{text: a{part}, correct: yes}}, {{text: b}}]
  feedback_correct: well chosen {part}
"""
        for part in range(1, 5)
    )
    + "End: {type: end, text: Goodbye}\n"
)
ANSWERS = {f"input {part}": str(part) for part in range(1, 5)}
Row = tuple[Any, ...]


async def undisturbed(stage: Stage) -> tuple[list[str], list[Row]]:
    """Return what a learner sees and what is recorded when nothing fails."""
    host = stage.start()
    learner = stage.learner(learner_id=1)
    await learner.send("/start")
    chat = await play(learner, said("Goodbye"), ANSWERS)
    await stage.stop(host)
    return seen(chat), recorded(stage, 1)


def seen(chat: Transcript) -> list[str]:
    return [message.poll.question if message.poll else message.text for message in chat.by_bot]


def recorded(stage: Stage, learner_id: int) -> list[Row]:
    text = """
        SELECT element_id, role, report, score, maxscore FROM conversation
        WHERE botname = 'bot' AND chat_id = %s ORDER BY conversation_id
    """
    return stage.query(text, learner_id)


async def killings(stage: Stage, progress: asyncio.Queue[None], order: random.Random) -> int:
    """Run the bot and kill it after some progress, again and again; return how many messages its starts sent again."""
    count = 0
    for _ in range(KILLS):
        process = await stage.spawn()
        for _ in range(order.randint(1, 25)):
            await progress.get()
        process.kill()
        count += resent(await process.communicate())
    return count


def resent(output: Sequence[bytes | None]) -> int:
    """Count the messages that a process said it may have sent twice."""
    lines = [json.loads(line) for line in (output[1] or b"").splitlines() if line.startswith(b"{")]
    unknown = sum(1 for line in lines if line.get("unknown"))
    return unknown + sum(line["messages"] for line in lines if line["event"].startswith("sending messages left"))


@pytest.mark.timeout(400)
async def test_twenty_kills_lose_nothing(stage: Stage) -> None:
    stage.course(COURSE)
    expected_texts, expected_rows = await undisturbed(stage)
    progress: asyncio.Queue[None] = asyncio.Queue()
    order = random.Random(20)

    async def learn(learner_id: int) -> Transcript:
        learner = stage.learner(learner_id=learner_id)
        await learner.send("/start")
        return await play(
            learner,
            said("Goodbye"),
            ANSWERS,
            on_progress=lambda: progress.put_nowait(None),
            patience=300,
            knows_repeats=True,
        )

    learning = [asyncio.create_task(learn(learner_id)) for learner_id in range(100, 100 + LEARNERS)]
    count = await killings(stage, progress, order)
    process = await stage.spawn()
    chats = await asyncio.gather(*learning)
    process.terminate()
    count += resent(await process.communicate())
    assert process.returncode == 0
    for learner_id, chat in zip(range(100, 100 + LEARNERS), chats, strict=True):
        assert list(dict.fromkeys(seen(chat))) == expected_texts
        assert recorded(stage, learner_id) == expected_rows
    duplicates = sum(len(chat.by_bot) - len(expected_texts) for chat in chats)
    assert duplicates <= count
    assert stage.query("SELECT count(*) FROM outbox") == [(0,)]
    assert stage.query("SELECT count(*) FROM dead_update") == [(0,)]
