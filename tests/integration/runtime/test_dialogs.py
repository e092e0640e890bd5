"""Conversations with a model through Telegram: a real database, the sandbox, a model's server over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.config.settings import BotSettings, DialogSettings, VoiceProvider, VoiceSettings
from app.sandbox.client import LearnerClient, Message, Transcript
from tests.model_server import SPEECH, Fault, ModelServer
from tests.stage import Stage, said

COURSE = """
    Talk: {type: dialog, text: Hello! What is your name?, prompt: "Be kind, then write {STOP}.", temperature: 0}
    Bye: {type: end, text: Goodbye}
"""


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model's server that repeats what it hears, and ends the dialog at ``bye``."""
    async with ModelServer() as server:
        yield server


def bot(stage: Stage, model: ModelServer, *, language: str | None = "en", **dialog: Any) -> BotSettings:
    settings = DialogSettings(base_url=model.url, api_key="sk-secret", model="tiny", retries=0)
    return stage.bot(language=language, dialog=replace(settings, **dialog))


def turns(stage: Stage) -> list[tuple[str, str]]:
    """Return what was said in the dialog, as it is recorded: role, what the model reads or wrote."""
    rows = stage.query("SELECT role, json FROM conversation WHERE element_id = 'Talk' ORDER BY conversation_id")
    contents = [(role, json.loads(text or "{}").get("content")) for role, text in rows]
    return [(role, content) for role, content in contents if content is not None]


async def begin(stage: Stage, text: str = "What is your name?", **profile: str) -> LearnerClient:
    learner = stage.learner(**profile)
    await learner.send("/start")
    await learner.wait_for(said(text))
    return learner


def texts(chat: Transcript) -> list[str]:
    return [message.text for message in chat.by_bot]


def button(message: Message | None, text: str) -> bool:
    return message is not None and text in [one.text for one in message.buttons]


async def test_a_conversation_to_its_stop_marker(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("You said: Anna"))
    await learner.send("bye now")
    chat = await learner.wait_for(lambda chat: texts(chat)[-1:] == ["Goodbye"])
    assert texts(chat) == ["Hello! What is your name?", "You said: Anna", "Goodbye!", "Goodbye"]
    assert turns(stage) == [
        ("user", "Anna"),
        ("bot", "You said: Anna"),
        ("user", "bye now"),
        ("bot", "Goodbye! {STOP}"),
    ]
    assert model.asked[-1].messages == [
        ("system", "Be kind, then write {STOP}."),
        ("user", "Anna"),
        ("assistant", "You said: Anna"),
        ("user", "bye now"),
    ]
    assert stage.query("SELECT count(*) FROM job") == [(0,)]
    assert stage.query("SELECT botname, chat_id, course_id, replies FROM token_usage") == [("bot", 7, "default", 2)]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"bot": "bot", **labels}) or 0


async def test_jobs_and_tokens_are_counted(stage: Stage, model: ModelServer) -> None:
    def counts() -> list[float]:
        return [
            counted("flotilla_jobs_total", kind="reply", outcome="done"),
            counted("flotilla_tokens_total", direction="input"),
            counted("flotilla_tokens_total", direction="output"),
        ]

    stage.course(COURSE)
    before = counts()
    host = stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("You said: Anna"))
    await stage.stop(host)
    # The prompt and what was said, in words.
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 6, 3]


async def test_d22_a_temperature_of_zero_reaches_the_server(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    stage.start(bot(stage, model, temperature=0.7))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("You said: Anna"))
    assert model.asked[0].body["temperature"] == 0


async def test_a_reply_of_the_marker_alone_ends_the_dialog_silently(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("{STOP}")
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    chat = await learner.wait_for(said("Goodbye"))
    assert texts(chat) == ["Hello! What is your name?", "Goodbye"]
    assert turns(stage) == [("user", "Anna"), ("bot", "{STOP}")]


async def test_d24_a_model_that_is_down_is_asked_again_at_a_press(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(status=500))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    chat = await learner.wait_for(lambda chat: button(chat.last, "Try again"))
    assert chat.last is not None
    await learner.press(chat.last, "Try again")
    await learner.wait_for(said("You said: Anna"))
    assert turns(stage) == [("user", "Anna"), ("bot", "You said: Anna")]


async def test_d24_typing_again_asks_the_model_again(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(status=500))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(lambda chat: button(chat.last, "Try again"))
    await learner.send("Are you there?")
    await learner.wait_for(said("You said: Are you there?"))
    assert [content for _, content in model.asked[-1].messages[1:]] == ["Anna", "Are you there?"]


async def test_d24_a_refused_key_is_told_to_the_operator_not_the_learner(
    stage: Stage, model: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.course(COURSE)
    model.fail(Fault(status=401))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(lambda chat: button(chat.last, "Try again"))
    output = capsys.readouterr()
    assert "refuses the key" in output.out + output.err
    assert "sk-secret" not in output.out + output.err


async def test_a_bot_without_a_model_says_so(stage: Stage) -> None:
    stage.course(COURSE)
    stage.start()
    learner = await begin(stage)
    await learner.send("Anna")
    chat = await learner.wait_for(lambda chat: button(chat.last, "Finish the conversation"))
    assert texts(chat)[-1] == "Sorry, nobody is here to talk with you yet. You can go on with the course."
    assert not button(chat.last, "Try again")


async def test_a_learner_who_writes_on_while_the_model_is_slow(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(hold=0))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("one")
    await model.wait_for(1)
    await learner.send("two")
    await learner.send("three")
    await stage.client.wait_idle(stage.bot().token)
    model.release()
    chat = await learner.wait_for(said("You said: three"))
    assert texts(chat)[1:] == ["You said: one", "You said: three"]
    assert [content for _, content in model.asked[-1].messages[1:]] == ["one", "You said: one", "two", "three"]


async def test_the_learner_sees_that_the_bot_is_typing(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(hold=0))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("one")
    await learner.wait_for(lambda chat: chat.action == "typing")
    await model.wait_for(1)
    model.release()
    await learner.wait_for(said("You said: one"))


async def test_a_streamed_reply_grows_in_one_message(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("I am glad to meet you, Anna. {STOP}")
    model.fail(Fault(hold=3))
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("I am glad"))
    model.release()
    chat = await learner.wait_for(said("Goodbye"))
    assert texts(chat) == ["Hello! What is your name?", "I am glad to meet you, Anna.", "Goodbye"]
    versions = [*chat.by_bot[1].earlier, chat.by_bot[1].text]
    assert versions[0] == "I am glad"
    assert all(later.startswith(earlier) for earlier, later in pairwise(versions))
    assert not any("STOP" in version or version.endswith("{") for version in versions)


async def test_a_stream_that_breaks_off_ends_in_the_same_message(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("I am glad to meet you.", "{STOP}")
    model.fail(Fault(hold=3), Fault())
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("I am glad"))
    model.release()
    await learner.wait_for(said("I am glad to meet you."))
    await learner.send("bye")
    chat = await learner.wait_for(said("Goodbye"))
    assert texts(chat) == ["Hello! What is your name?", "I am glad to meet you.", "Goodbye"]


async def test_a_stream_that_fails_becomes_the_excuse(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("I am glad to meet you.")
    model.fail(Fault(cut=3))
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage)
    await learner.send("Anna")
    chat = await learner.wait_for(lambda chat: button(chat.last, "Try again"))
    assert len(texts(chat)) == 2
    assert chat.last is not None
    await learner.press(chat.last, "Try again")
    await learner.wait_for(said("You said: Anna"))


async def test_a_flood_of_edits_costs_nothing_but_edits(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    await stage.client.add_fault("429", method="editMessageText", times=1, retry_after=1)
    model.say("I am glad to meet you, Anna. {STOP}")
    model.fail(Fault(hold=3))
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("I am glad"))
    model.release()
    chat = await learner.wait_for(said("Goodbye"))
    assert texts(chat)[1:] == ["I am glad to meet you, Anna.", "Goodbye"]


async def test_auto_start(stage: Stage, model: ModelServer) -> None:
    stage.course("""
        Talk: {type: dialog, text: Let us begin., prompt: "Ask.", auto_start: yes}
        Bye: {type: end, text: Goodbye}
    """)
    model.say("What do you like?", "Me too. {STOP}")
    stage.start(bot(stage, model))
    learner = await begin(stage, "What do you like?")
    await learner.send("Trains")
    chat = await learner.wait_for(said("Goodbye"))
    assert texts(chat) == ["Let us begin.", "What do you like?", "Me too.", "Goodbye"]
    assert turns(stage) == [("bot", "What do you like?"), ("user", "Trains"), ("bot", "Me too. {STOP}")]


async def test_the_opening_comes_before_the_streamed_reply(stage: Stage, model: ModelServer) -> None:
    stage.course("""
        Talk: {type: dialog, text: Let us begin., prompt: "Ask.", auto_start: yes}
        Bye: {type: end, text: Goodbye}
    """)
    await stage.client.add_fault("delay", method="sendMessage", seconds=1.0)
    model.say("What do you like?")
    model.fail(Fault(hold=2))
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage, "What do")
    model.release()
    chat = await learner.wait_for(said("What do you like?"))
    assert texts(chat) == ["Let us begin.", "What do you like?"]


async def test_a_reply_with_what_postgresql_cannot_hold(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("Hi\x00 Anna \ud83d", "Bye {STOP}")
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("Hi Anna ?"))


async def test_a_long_reply_goes_on_in_further_messages(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.say("word " * 1000 + "end")
    stage.start(bot(stage, model, is_streaming=True))
    learner = await begin(stage)
    await learner.send("Anna")
    chat = await learner.wait_for(lambda chat: texts(chat)[-1].endswith("end"))
    assert " ".join(texts(chat)[1:]).split() == ["word"] * 1000 + ["end"]


async def test_the_exit_button_goes_on(stage: Stage, model: ModelServer) -> None:
    stage.course("""
        Talk: {type: dialog, text: Hello, prompt: "Chat. {STOP}", button: Enough}
        Bye: {type: end, text: Goodbye}
    """)
    stage.start(bot(stage, model))
    learner = await begin(stage, "Hello")
    chat = await learner.wait_for(lambda chat: button(chat.last, "Enough"))
    assert chat.last is not None
    await learner.press(chat.last, "Enough")
    await learner.wait_for(said("Goodbye"))


@pytest.mark.parametrize("is_streaming", [False, True])
async def test_starting_over_drops_the_answer_under_way(stage: Stage, model: ModelServer, is_streaming: bool) -> None:
    stage.course(COURSE)
    model.say(*(["A reply that nobody waits for"] if is_streaming else []), "Hi Boris")
    model.fail(Fault(hold=2 if is_streaming else 0))
    stage.start(bot(stage, model, is_streaming=is_streaming))
    learner = await begin(stage)
    await learner.send("Anna")
    await model.wait_for(1)
    if is_streaming:
        await learner.wait_for(said("A reply"))
    await learner.send("/start")
    if not texts(await learner.wait_for(lambda chat: len(chat.by_bot) > 1 + is_streaming))[-1].startswith("Hello"):
        chat = await learner.transcript()
        assert chat.last is not None
        await learner.press(chat.last, "Start over")
    await learner.wait_for(lambda chat: not any("A reply" in text for text in texts(chat)) and said("Hello")(chat))
    await learner.send("Boris")
    chat = await learner.wait_for(said("Hi Boris"))
    model.release()
    assert not any("reply" in text or "Anna" in text for text in texts(chat))
    assert stage.query("SELECT count(*) FROM job") == [(0,)]


def limited(stage: Stage, **entry: Any) -> None:
    stage.write("courses.yml", f"default: {json.dumps({'path': 'course.yml', **entry})}")


async def test_d27_a_banned_learner_gets_the_ban_text(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    limited(stage, ban_enabled=True, ban_text="You are *banned*")
    stage.query("INSERT INTO bannedparticipants (botname, chat_id, excluded) VALUES ('bot', 7, 0)")
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await learner.wait_for(said("You are banned"))
    assert model.asked == []


async def test_d27_too_many_messages_ban_a_learner(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    limited(stage, ban_enabled=True, message_limit=2, ban_text="You are banned")
    stage.start(bot(stage, model))
    learner = await begin(stage)
    for text in ("one", "two"):
        await learner.send(text)
        await learner.wait_for(said(f"You said: {text}"))
    await learner.send("three")
    await learner.wait_for(said("You are banned"))
    assert stage.query("SELECT chat_id, ban_reason, excluded FROM bannedparticipants") == [
        (7, "more than 2 messages in course 'default'", 0)
    ]
    assert len(model.asked) == 2


async def test_the_messages_of_a_day_are_limited(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    limited(stage, daily_limit=1)
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("one")
    await learner.wait_for(said("You said: one"))
    await learner.send("two")
    await learner.wait_for(said("used up your messages"))
    stage.query("INSERT INTO bannedparticipants (botname, chat_id, excluded) VALUES ('bot', 7, 1)")
    await learner.send("three")
    await learner.wait_for(said("You said: three"))


async def test_the_tokens_of_a_day_are_limited(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    stage.start(bot(stage, model, daily_tokens=5))
    learner = await begin(stage)
    await learner.send("one")
    await learner.wait_for(said("You said: one"))
    await learner.send("two")
    await learner.wait_for(said("need a rest until tomorrow"))
    assert len(model.asked) == 1


def voices(model: ModelServer) -> VoiceSettings:
    return VoiceSettings(VoiceProvider.OPENAI, model.url, "sk-voice")


async def test_a_voice_message_is_understood(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.heard = "My name is Anna"
    stage.start(bot(stage, model, voice=voices(model)))
    learner = await begin(stage)
    await learner.send_file("voice", b"OggS voice", "audio/ogg")
    chat = await learner.wait_for(said("You said: My name is Anna"))
    assert "My name is Anna" in texts(chat)[1]
    assert turns(stage) == [("user", "My name is Anna"), ("bot", "You said: My name is Anna")]
    name, size, _ = model.asked[0].body["file"]
    assert (name, size) == ("voice.ogg", len(b"OggS voice"))


@pytest.mark.parametrize(
    ("has_voice", "told"),
    [(True, "could not make out your voice message"), (False, "cannot listen to voice messages here. Please type")],
)
async def test_a_voice_message_that_is_not_understood(
    stage: Stage, model: ModelServer, has_voice: bool, told: str
) -> None:
    stage.course(COURSE)
    model.fail(Fault(status=400))
    stage.start(bot(stage, model, voice=voices(model) if has_voice else None))
    learner = await begin(stage)
    await learner.send_file("voice", b"OggS voice", "audio/ogg")
    await learner.wait_for(said(told))


SPOKEN = """
    Talk: {type: dialog, text: Hello, prompt: "Speak. {STOP}", voice_response: yes}
    Bye: {type: end, text: Goodbye}
"""


async def test_d25_a_reply_is_spoken(stage: Stage, model: ModelServer) -> None:
    stage.course(SPOKEN)
    model.say("**2 < 3** is true")
    stage.start(bot(stage, model, voice=voices(model), is_streaming=True))
    learner = await begin(stage, "Hello")
    await learner.send("Anna")
    chat = await learner.wait_for(lambda chat: chat.last is not None and chat.last.media == "voice")
    assert texts(chat) == ["Hello", "2 < 3 is true"]
    assert model.asked[-1].body["input"] == "2 < 3 is true"
    assert chat.last is not None
    assert [entity["type"] for entity in chat.last.entities] == ["spoiler"]
    assert len(SPEECH) == chat.last.body["voice"]["file_size"]


async def test_d25_a_reply_that_cannot_be_spoken_is_written(stage: Stage, model: ModelServer) -> None:
    stage.course(SPOKEN)
    model.fail(Fault(), Fault(status=400))
    stage.start(bot(stage, model, voice=voices(model)))
    learner = await begin(stage, "Hello")
    await learner.send("Anna")
    chat = await learner.wait_for(said("You said: Anna"))
    assert [message.media for message in chat.by_bot] == [None, None]


async def test_texts_of_jobs_are_in_the_learners_language(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(status=500))
    stage.start(bot(stage, model, language=None))
    learner = await begin(stage, language_code="ru")
    await learner.send("Анна")
    chat = await learner.wait_for(lambda chat: button(chat.last, "Попробовать ещё раз"))
    assert "ответить не получилось" in texts(chat)[-1]


async def test_the_database_goes_away_while_the_model_works(stage: Stage, model: ModelServer) -> None:
    stage.course(COURSE)
    model.fail(Fault(hold=0))
    stage.start(bot(stage, model))
    learner = await begin(stage)
    await learner.send("Anna")
    await model.wait_for(1)
    stage.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    model.release()
    chat = await learner.wait_for(said("You said: Anna"))
    assert texts(chat).count("You said: Anna") == 1
    assert turns(stage) == [("user", "Anna"), ("bot", "You said: Anna")]
