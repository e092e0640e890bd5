"""What a dialog asks the model, from its element, the bot's settings and the rows so far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import structlog

from app.config.settings import DialogSettings
from app.course.course import Course
from app.course.element import AnyElement, Dialog, Line, Message
from app.dialog.prompt import STARTER, compose
from app.dialog.reply import ReplyRequest
from app.store.rows import Said

SETTINGS = DialogSettings(model="gpt-4.1")
SYSTEM = Line("system", "Be kind.")
PREPARED = (Line("system", "Be brief."), Line("assistant", "Who are you?"))


def dialog(prompt: str = "Be kind.", **more: Any) -> Dialog:
    lines = [{"role": line.role, "content": line.content} for line in more.get("conversation", ())]
    body = {"type": "dialog", "text": "Welcome", "prompt": prompt, "conversation": lines}
    return Dialog("Talk", body, text="Welcome", prompt=prompt, **more)


def opened(element: Dialog) -> Said:
    return Said("bot", element.text, json.dumps({"element_data": element.body}))


def user(text: str) -> Said:
    return Said("user", text, json.dumps({"content": text}))


def bot(text: str) -> Said:
    return Said("bot", text, json.dumps({"content": text}))


async def composed(
    element: Dialog,
    *rows: Said,
    settings: DialogSettings = SETTINGS,
    others: Mapping[str, Sequence[Said]] | None = None,
    elements: Sequence[AnyElement] = (),
) -> ReplyRequest:
    course = Course({known.id: known for known in (*elements, element)}, "course.yml")
    known = {element.id: [opened(element), *rows], **(others or {})}

    async def rows_of(element_id: str) -> Sequence[Said]:
        return known.get(element_id, [])

    return await compose(element, course, rows_of, settings)


async def test_prompt_and_history() -> None:
    request = await composed(dialog("Be kind.<!-- a\nnote -->"), user("Hi"), bot("Hello {STOP}"), user("Bye"))
    said = (Line("user", "Hi"), Line("assistant", "Hello {STOP}"), Line("user", "Bye"))
    assert request == ReplyRequest("gpt-4.1", (SYSTEM, *said), temperature=0.0, reasoning="low")


async def test_d22_the_element_is_asked_before_the_bot_by_presence() -> None:
    settings = DialogSettings(model="m", temperature=0.7, reasoning="high")
    by_bot = await composed(dialog(), settings=settings)
    assert (by_bot.model, by_bot.temperature, by_bot.reasoning) == ("m", 0.7, "high")
    own = await composed(dialog(model="n", temperature=0.0, reasoning="minimal"), settings=settings)
    assert (own.model, own.temperature, own.reasoning) == ("n", 0.0, "minimal")


async def test_a_conversation_of_the_author_replaces_the_prompt() -> None:
    request = await composed(dialog(conversation=PREPARED), user("Ann"))
    assert request.messages == (*PREPARED, Line("user", "Ann"))


async def test_a_conversation_of_the_author_is_used_without_rows_too() -> None:
    element = dialog(conversation=PREPARED)

    async def no_rows(_element_id: str) -> Sequence[Said]:
        return []

    request = await compose(element, Course({"Talk": element}), no_rows, SETTINGS)
    assert request.messages == PREPARED


async def test_the_old_program_s_prompt_is_kept() -> None:
    history = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    snapshot = json.dumps({"element_data": {**dialog().body, "conversation": history}})
    rows = Said("user", "user", snapshot), Said("bot", "assistant", snapshot), user("And now?")
    request = await composed(dialog("a newer prompt"), *rows)
    assert [line.content for line in request.messages] == ["system", "user", "assistant", "And now?"]


STARTING = Line("user", STARTER)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], [STARTING]),
        ([bot("a1"), user("u1")], [STARTING, Line("assistant", "a1"), Line("user", "u1")]),
        ([user("u1"), bot("a1")], [STARTING, Line("assistant", "a1"), Line("user", "u1")]),  # typed meanwhile
        ([user("u1")], [Line("user", "u1")]),  # the first reply failed
        ([user("u1"), bot("a1"), user("u2")], [Line("user", "u1"), Line("assistant", "a1"), Line("user", "u2")]),
    ],
)
async def test_auto_start(rows: list[Said], said: list[Line]) -> None:
    assert (await composed(dialog(auto_start=True), *rows)).messages == (SYSTEM, *said)


async def test_auto_start_of_a_conversation_that_the_learner_begins() -> None:
    prepared = (Line("system", "Be brief."), Line("user", "Tell me a story."))
    assert (await composed(dialog(auto_start=True, conversation=prepared))).messages == prepared


async def test_the_old_program_s_empty_first_message_is_not_sent() -> None:
    history = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "a"},
    ]
    snapshot = json.dumps({"element_data": {**dialog().body, "conversation": history}})
    request = await composed(dialog(auto_start=True), Said("bot", "a", snapshot), user("u"))
    assert request.messages == (Line("system", "S"), STARTING, Line("assistant", "a"), Line("user", "u"))


INTRO = Message("Intro", {"type": "message", "text": "An {{Other}} text"}, text="An {{Other}} text")
INPUT = json.dumps({"element_data": {"type": "input", "text": "Your name?"}})
ROWS = {
    "Name": [Said("bot", "Your name?", INPUT), Said("user", "Ann", INPUT)],
    "Earlier": [opened(dialog()), user("u1"), bot("a1")],
}


@pytest.mark.parametrize(
    ("prompt", "system"),
    [
        ("{{Name}} {{ Name.answer }}", "Your name? Ann"),
        ("{{Earlier[1}}", "### assistant:\na1"),
        ("{{1]Earlier}}", "### assistant:\nWelcome\n\n### user:\nu1"),
        ("<{{Intro}}>", "<An {{Other}} text>"),
    ],
)
async def test_variables(prompt: str, system: str) -> None:
    request = await composed(dialog(prompt), others=ROWS, elements=[INTRO])
    assert request.messages == (Line("system", system),)


async def test_d21_what_is_not_resolved_is_logged_once_a_dialog() -> None:
    asks = dialog("<{{Nowhere}}>")
    with structlog.testing.capture_logs() as logs:
        await composed(asks, user("Hi"), bot("Hello"), user("Well"))
    assert logs == []


async def test_d21_the_same_variable_twice() -> None:
    request = await composed(dialog("{{Name.answer}}, {{ Name.answer }}!"), others=ROWS)
    assert request.messages[0].content == "Ann, Ann!"


@pytest.mark.parametrize("variable", ["Nowhere", "Later", "Later.answer", "Silent", "Intro.answer"])
async def test_d21_what_is_not_resolved_is_empty_and_logged(variable: str) -> None:
    later = Dialog("Later", {"type": "dialog", "text": "Welcome", "prompt": "P"}, text="Welcome", prompt="P")
    silent = Message("Silent", {"type": "delay"})
    with structlog.testing.capture_logs() as logs:
        request = await composed(dialog(f"<{{{{{variable}}}}}>"), elements=[INTRO, later, silent])
    assert request.messages[0].content == "<>"
    assert logs == [
        {
            "log_level": "warning",
            "event": "variable of a prompt has no value",
            "element": variable.removesuffix(".answer"),
            "source": "course.yml",
        }
    ]
