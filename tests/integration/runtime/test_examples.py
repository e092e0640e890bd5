"""The conversations of the example courses, with a model: what it is told, and how they go on."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.config.options import Options
from app.config.settings import BotSettings, DialogSettings
from app.sandbox.client import LearnerClient, Message
from tests.model_server import ModelServer
from tests.stage import Stage, said

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model's server that repeats what it hears, and ends the dialog at ``bye``."""
    async with ModelServer() as server:
        yield server


def start(stage: Stage, model: ModelServer, name: str) -> LearnerClient:
    """Start an example bot with the model, and return an admin of it."""
    shutil.copytree(SCRIPTS, stage.scripts, dirs_exist_ok=True)
    settings = DialogSettings(base_url=model.url, api_key="sk-secret", model="tiny", retries=0)
    bot: BotSettings = stage.bot(name, f"{name}/", options=Options(admins=frozenset({7})), dialog=settings)
    stage.start(bot)
    return stage.learner(name)


async def wait_poll(learner: LearnerClient, question: str) -> Message:
    chat = await learner.wait_for(lambda chat: any(m.poll and question in m.poll.question for m in chat.by_bot))
    return next(message for message in chat.by_bot if message.poll and question in message.poll.question)


async def test_a_night_with_mr_tulloch(stage: Stage, model: ModelServer) -> None:
    learner = start(stage, model, "lighthouse")
    await learner.send("/go default Night_3")
    await learner.vote(await wait_poll(learner, "miss most"), 0)
    await learner.wait_for(said("Morse code"))
    await learner.send("/go default Tea_1")
    await learner.wait_for(said("Ask me something"))
    await learner.send("Do you bake?")
    await learner.wait_for(said("You said: Do you bake?"))
    told = dict(model.asked[0].messages)["system"]
    assert "they said: “Fresh bread”" in told
    assert not any(sign in told for sign in ("<!--", "A comment", "{{"))
    await learner.send("bye")
    await learner.wait_for(said("You said: Please begin."))
    told = dict(model.asked[-1].messages)["system"]
    assert "### user:\nDo you bake?\n\n### assistant:\nYou said: Do you bake?\n\n### user:\nbye" in told
    await learner.send("bye")
    await learner.wait_for(lambda chat: chat.last is not None and chat.last.poll is not None)


async def test_tea_with_a_samovar(stage: Stage, model: ModelServer) -> None:
    learner = start(stage, model, "samovar")
    await learner.send("/go default Drink_1")
    await learner.vote(await wait_poll(learner, "С чем вам"), 1)
    await learner.wait_for(said("ждёт, что вы скажете"))
    model.say("С вареньем? <b>Правильно!</b>", "Чашка пуста. {STOP}", "Как вас зовут?")
    await learner.send("Да")
    chat = await learner.wait_for(said("С вареньем? Правильно!"))
    assert chat.last is not None
    assert [entity["type"] for entity in chat.last.entities] == ["bold"]
    assert "гость выбрал: «С вареньем»" in dict(model.asked[0].messages)["system"]
    await learner.send("Спасибо")
    await learner.wait_for(said("Как вас зовут?"))
    await learner.send("bye")
    await learner.wait_for(said("Чашка пустая?"))
