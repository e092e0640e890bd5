"""The menus of commands."""

from __future__ import annotations

from app.config.options import Options
from app.runtime.bot import MENUS_AT_ONCE
from tests.stage import Stage

COURSE = "A: {type: message, text: first, button: On}\nB: {type: end, text: bye}\n"


async def menus_set(stage: Stage, count: int) -> dict[str, list[dict[str, str]]]:
    """Wait until so many menus are set; return them by language."""
    token, version = stage.bot().token, -1
    while True:
        state = await stage.client.wait_bot(token, lambda state: state["version"] > version)  # noqa: B023 - awaited
        version = state["version"]
        calls = await stage.client.calls(token, "setMyCommands")
        if len(calls) >= count:
            return {call["params"].get("language_code", ""): call["params"]["commands"] for call in calls}


async def test_each_language_has_its_menu(stage: Stage) -> None:
    stage.course(COURSE)
    stage.start(stage.bot(language=None))
    menus = await menus_set(stage, 3)
    texts = {language: [command["description"] for command in menu] for language, menu in menus.items()}
    assert sorted(texts) == ["", "en", "ru"]
    assert texts[""] == texts["en"] != texts["ru"]
    learner = stage.learner(language_code="fr")
    await learner.open()
    assert (await learner.transcript()).commands == ("menu", "restart", "next", "back", "help")


async def test_a_menu_that_is_as_it_should_be_is_not_set_again(stage: Stage) -> None:
    stage.course(COURSE)
    settings = stage.bot(language="ru", options=Options(commands=frozenset({"help"})))
    for _ in range(2):
        host = stage.start(settings)
        learner = stage.learner()
        await learner.open()
        await learner.wait_for(lambda chat: chat.commands == ("help",))
        await learner.send("/start")
        await learner.wait_message()
        await stage.stop(host)
    calls = await stage.client.calls(stage.bot().token, "setMyCommands")
    assert len({str(call["params"]["commands"]) for call in calls}) == 1
    assert len({call["params"].get("language_code") for call in calls}) == len(calls)


async def test_a_menu_that_cannot_be_set_keeps_nobody_waiting(stage: Stage) -> None:
    stage.course(COURSE)
    await stage.client.add_fault("429", method="setMyCommands", times=100, retry_after=1000)
    stage.start()
    learner = stage.learner()
    await learner.send("/start")
    assert (await learner.wait_message()).text == "first"
    await learner.send("/help")
    await learner.wait_for(lambda chat: chat.last is not None and "/restart" in chat.last.text)


async def test_few_bots_of_a_host_look_at_their_menus_at_once(stage: Stage) -> None:
    """A host that takes over many bots answers learners first."""
    stage.course(COURSE)
    await stage.client.add_fault("delay", method="getMyCommands", times=100, seconds=600)
    names = [f"bot{number}" for number in range(2 * MENUS_AT_ONCE)]
    stage.start(*[stage.bot(name) for name in names])
    for name in names:
        learner = stage.learner(name)
        await learner.send("/start")
        assert (await learner.wait_message()).text == "first"
    assert [fault["times"] for fault in await stage.client.faults()] == [100 - MENUS_AT_ONCE]
