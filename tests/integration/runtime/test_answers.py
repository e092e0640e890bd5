"""A host that ends while the model works: the next one goes on, and the learner gets one reply."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator

import pytest

from app.sandbox.client import Transcript
from tests.model_server import Fault, ModelServer
from tests.stage import Stage, said, until

COURSE = """
    Talk: {type: dialog, text: Hello, prompt: "Be kind. {STOP}"}
    Bye: {type: end, text: Goodbye}
"""
REPLY = "I am very glad to meet you, Anna. {STOP}"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model's server."""
    async with ModelServer() as server:
        yield server


def environment(model: ModelServer, *, is_streaming: bool) -> dict[str, str]:
    return {"DIALOG": json.dumps({"base_url": model.url, "model": "tiny", "stream": is_streaming, "retries": 0})}


def texts(chat: Transcript) -> list[str]:
    return [message.text for message in chat.by_bot]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("is_streaming", [False, True])
async def test_a_host_that_ends_in_mid_answer(
    stage: Stage, model: ModelServer, how: signal.Signals, is_streaming: bool
) -> None:
    stage.course(COURSE)
    # A held answer takes its reply when it is let go, a stream before it begins.
    model.say(*([REPLY, REPLY] if is_streaming else [REPLY]))
    model.fail(Fault(hold=3 if is_streaming else 0))
    variables = environment(model, is_streaming=is_streaming)
    process = await stage.spawn(**variables)
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("Hello"))
    await learner.send("Anna")
    await model.wait_for(1)
    if is_streaming:
        await learner.wait_for(said("I am very"))
        await until(lambda: stage.query("SELECT message_id IS NOT NULL FROM job") == [(True,)])
    process.send_signal(how)
    await process.communicate()
    assert stage.query("SELECT kind, attempts, message_id IS NOT NULL FROM job") == [("reply", 1, is_streaming)]
    assert process.returncode == (0 if how is signal.SIGTERM else -signal.SIGKILL)

    await stage.spawn(**variables)
    chat = await learner.wait_for(said("Goodbye"), patience=60)
    assert texts(chat) == ["Hello", "I am very glad to meet you, Anna.", "Goodbye"]
    assert stage.query("SELECT role, report FROM conversation ORDER BY conversation_id") == [
        ("bot", "Hello"),
        ("user", "Anna"),
        ("bot", "I am very glad to meet you, Anna."),
        ("bot", "Goodbye"),
    ]
    assert stage.query("SELECT count(*) FROM job") == [(0,)]
    assert stage.query("SELECT replies FROM token_usage") == [(1,)]


async def test_the_learner_writes_on_while_the_host_is_down(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(hold=0))
    variables = environment(model, is_streaming=False)
    process = await stage.spawn(**variables)
    learner = stage.learner()
    await learner.send("/start")
    await learner.wait_for(said("Hello"))
    await learner.send("one")
    await model.wait_for(1)
    process.kill()
    await process.communicate()
    await learner.send("two")
    await stage.spawn(**variables)
    await learner.wait_for(said("You said: two"))
    said_by_learner = stage.query("SELECT report FROM conversation WHERE role = 'user' ORDER BY conversation_id")
    assert said_by_learner == [("one",), ("two",)]


async def test_two_hosts_answer_once(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    variables = environment(model, is_streaming=False)
    for _ in range(2):
        await stage.spawn(**variables)
    for learner_id in range(20, 30):
        learner = stage.learner(learner_id=learner_id)
        await learner.send("/start")
        await learner.wait_for(said("Hello"))
        await learner.send(f"bye {learner_id}")
    for learner_id in range(20, 30):
        chat = await stage.learner(learner_id=learner_id).wait_for(lambda chat: texts(chat)[-1:] == ["Goodbye"])
        assert texts(chat) == ["Hello", "Goodbye!", "Goodbye"]
    assert len(model.asked) == 10
