"""Conversations with a model: tables of (chat, event) -> (chat, actions)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Choice, Delay, Dialog, Input, Line, Message, ParseMode, Speech
from app.engine.action import (
    Action,
    AnswerPress,
    Button,
    CancelJobs,
    EndRun,
    JobKind,
    RecordRow,
    RemoveButtons,
    Role,
    SendSpeech,
    SendText,
    StartJob,
    StartRun,
)
from app.engine.event import (
    ButtonPressed,
    ContentReceived,
    Event,
    Learner,
    ReplyFailed,
    ReplyReceived,
    StartRequested,
    TextReceived,
    TimeReached,
    Trouble,
    VoiceTranscribed,
)
from app.engine.state import Chat, Offer, Run, Talk
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7, "anna", "en")
MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML


def dialog(**changes: object) -> Dialog:
    body = {"type": "dialog", "text": "Talk to me", "prompt": "Be kind. {STOP}"}
    return replace(Dialog("Talk", body, text="Talk to me", prompt="Be kind. {STOP}"), **changes)


TALK = dialog()
GO = Message("Go", {"type": "message", "text": "Go", "button": "OK"}, text="Go", choices=(Choice("OK"),))
NAME = Input("Name", {"type": "input", "text": "Name?"}, text="Name?")


def courses_of(*elements: AnyElement, **entry: object) -> Courses:
    return Courses(
        {"default": Entry("default", "a.yml", **entry), "spring": Entry("spring", "b.yml")},
        {"default": Course({one.id: one for one in elements}), "spring": Course({"Name": NAME})},
    )


COURSES = courses_of(GO, TALK, NAME)


def talking(messages: int = 0, *, busy: bool = False, behind: bool = False, **changes: object) -> Run:
    run = Run(12, "default", "Talk", 3, TALK.body, talk=Talk(messages, is_busy=busy, is_behind=behind))
    return replace(run, **changes)


def chat_with(*runs: Run, offer: Offer | None = None) -> Chat:
    return Chat({run.course_id: run for run in runs}, runs[-1].course_id, offer)


def row(role: Role, report: str | None, content: str | None = None) -> RecordRow:
    return RecordRow(12, "default", "Talk", "dialog", role, report, content=content)


def said(text: str) -> RecordRow:
    return row(Role.USER, text, text)


def opening(run_id: int = 12) -> RecordRow:
    return RecordRow(run_id, "default", "Talk", "dialog", Role.BOT, "Talk to me", body=TALK.body)


OPENED = SendText("Talk to me", MARKDOWN, link_preview=False)
WORK = StartJob(12, 3, JobKind.REPLY)
EXIT = Button(TEXTS.exit_button, "e:12:3")
RETRY = Button(TEXTS.retry_button, "t:12:3")
PRESSED = (AnswerPress("cb"), RemoveButtons(900))
STALE = (AnswerPress("cb", TEXTS.stale_button),)
NEXT = (SendText("Name?", MARKDOWN), RecordRow(12, "default", "Name", "input", Role.BOT, "Name?", body=NAME.body))
AFTER = Run(12, "default", "Name", 4, NAME.body)


def press(data: str, run_id: int = 0) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "cb", data, 900, run_id)


def text(words: str) -> TextReceived:
    return TextReceived(ANNA, AT, words)


def reply(words: str, step: int = 3, run_id: int = 12, message_id: int | None = None) -> ReplyReceived:
    return ReplyReceived(ANNA, AT, run_id, step, words, message_id)


def failed(trouble: Trouble = Trouble.MODEL, message_id: int | None = None) -> ReplyFailed:
    return ReplyFailed(ANNA, AT, 12, 3, trouble, message_id)


def transcribed(words: str | None) -> VoiceTranscribed:
    return VoiceTranscribed(ANNA, AT, 12, 3, words)


def shown(html: str, *buttons: Button, replaces: int | None = None) -> SendText:
    return SendText(html, HTML, link_preview=False, buttons=buttons, replaces=replaces)


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "opened", "talk", "jobs"),
    [
        pytest.param(TALK, OPENED, Talk(), (), id="waits for the learner"),
        pytest.param(dialog(auto_start=True), OPENED, Talk(is_busy=True), (StartJob(50, 1, JobKind.REPLY),), id="auto"),
        pytest.param(
            dialog(button="Enough"),
            replace(OPENED, buttons=(Button("Enough", "e:50:1"),)),
            Talk(),
            (),
            id="d35 button",
        ),
        pytest.param(
            dialog(parse_mode=HTML, link_preview=True),
            SendText("Talk to me", HTML, link_preview=True),
            Talk(),
            (),
            id="html",
        ),
    ],
)
def test_opening(element: Dialog, opened: SendText, talk: Talk, jobs: tuple[Action, ...]) -> None:
    assert step(courses_of(element), Chat(), StartRequested(ANNA, AT, "", 50), TEXTS) == Step(
        chat_with(Run(50, "default", "Talk", 1, TALK.body, talk=talk)),
        (StartRun(50, "default"), opened, opening(run_id=50), *jobs),
    )


# --- talking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "jobs"),
    [
        pytest.param(talking(), talking(1, busy=True), (WORK,), id="the model begins"),
        pytest.param(talking(2, busy=True), talking(3, busy=True, behind=True), (), id="the model is at work"),
        pytest.param(talking(2, behind=True), talking(3, busy=True), (WORK,), id="again after a failure"),
        pytest.param(replace(talking(), talk=None), talking(1, busy=True), (WORK,), id="begun with the old program"),
        pytest.param(talking(200, busy=True), talking(201, busy=True), (), id="after the last message"),
    ],
)
def test_d24_what_a_learner_writes_is_kept(before: Run, after: Run, jobs: tuple[Action, ...]) -> None:
    assert step(COURSES, chat_with(before), text("Hi"), TEXTS) == Step(chat_with(after), (said("Hi"), *jobs))


@pytest.mark.parametrize(
    ("element", "words", "sent"),
    [
        pytest.param(TALK, "**Hi** my_dear_one", shown("<b>Hi</b> my_dear_one"), id="d23 markdown"),
        pytest.param(dialog(is_html=True), "<b>Hi</b>", shown("<b>Hi</b>"), id="html"),
        pytest.param(dialog(link_preview=True), "Hi", replace(shown("Hi"), link_preview=True), id="preview"),
        pytest.param(
            dialog(speech=Speech("nova"), language="el"),
            "**Γεια** hello",
            SendSpeech("Γεια", "<b>Γεια</b> hello", HTML, Speech("nova")),
            id="speech",
        ),
    ],
)
def test_reply(element: Dialog, words: str, sent: Action) -> None:
    chat = chat_with(talking(1, busy=True))
    assert step(courses_of(element, NAME), chat, reply(words), TEXTS) == Step(
        chat_with(talking(1)), (sent, row(Role.BOT, words, words))
    )


def test_reply_that_was_streamed() -> None:
    after = step(COURSES, chat_with(talking(1, busy=True)), reply("Hi", message_id=77), TEXTS)
    assert after.actions[0] == shown("Hi", replaces=77)


def test_d9_the_model_answers_what_was_written_meanwhile() -> None:
    chat = chat_with(talking(2, busy=True, behind=True))
    assert step(COURSES, chat, reply("Hi"), TEXTS) == Step(
        chat_with(talking(2, busy=True)), (shown("Hi"), row(Role.BOT, "Hi", "Hi"), WORK)
    )


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("auto_start", [False, True])
def test_d18_a_stop_marker_ends_the_dialog(behind: bool, auto_start: bool) -> None:
    courses = courses_of(dialog(auto_start=auto_start), NAME)
    chat = chat_with(talking(0 if auto_start else 1, busy=True, behind=behind))
    assert step(courses, chat, reply("Bye! {STOP}"), TEXTS) == Step(
        chat_with(AFTER), (shown("Bye!"), row(Role.BOT, "Bye!", "Bye! {STOP}"), *NEXT)
    )


def test_d19_an_exchange_that_ends_with_the_marker_alone_is_stored() -> None:
    chat = chat_with(talking(1, busy=True))
    assert step(COURSES, chat, reply(" {STOP}\n"), TEXTS) == Step(
        chat_with(AFTER), (row(Role.BOT, "", " {STOP}\n"), *NEXT)
    )


def test_two_halves_of_a_stop_marker_around_another_one_are_not_shown() -> None:
    chat = chat_with(talking(1, busy=True))
    assert step(COURSES, chat, reply("Bye! {ST{STOP}OP}"), TEXTS) == Step(
        chat_with(AFTER), (shown("Bye!"), row(Role.BOT, "Bye!", "Bye! {ST{STOP}OP}"), *NEXT)
    )


@pytest.mark.parametrize(
    ("markers", "is_over"), [(("{STOP}",), False), (("{STOP}", "#конецдиалога"), True), ((), False)]
)
def test_d20_only_the_markers_of_the_bot_end_a_dialog(markers: tuple[str, ...], is_over: bool) -> None:
    options = Options(stop_markers=markers)
    after = step(COURSES, chat_with(talking(1, busy=True)), reply("Так пишут #конецдиалога"), TEXTS, options)
    assert after.actions[0] == shown("Так пишут" if is_over else "Так пишут #конецдиалога")
    assert after.chat == chat_with(AFTER if is_over else talking(1))


def test_an_empty_reply_is_a_failure() -> None:
    chat = chat_with(talking(1, busy=True))
    assert step(COURSES, chat, reply(" \n"), TEXTS) == step(COURSES, chat, failed(), TEXTS)


@pytest.mark.parametrize(
    ("element", "options"),
    [
        (dialog(max_messages=2), DEFAULT_OPTIONS),
        (TALK, Options(max_messages=2)),
        (dialog(max_messages=2), Options(max_messages=1)),
    ],
)
def test_the_last_message_ends_the_dialog(element: Dialog, options: Options) -> None:
    courses = courses_of(element, NAME)
    assert step(courses, chat_with(talking(1, busy=True)), reply("Hi"), TEXTS, options).chat == chat_with(talking(1))
    assert step(courses, chat_with(talking(2, busy=True)), reply("Hi"), TEXTS, options) == Step(
        chat_with(AFTER), (shown("Hi"), row(Role.BOT, "Hi", "Hi"), *NEXT)
    )


@pytest.mark.parametrize(
    ("element", "messages", "buttons"),
    [
        (TALK, 19, ()),
        (TALK, 20, (EXIT,)),
        (dialog(prompt="Talk on and on"), 2, ()),
        (dialog(prompt="Talk on and on"), 3, (EXIT,)),
        (dialog(prompt="", conversation=(Line("system", "Say {STOP}"),)), 3, ()),
        (dialog(button="Enough"), 20, (Button("Enough", "e:12:3"),)),
    ],
)
def test_exit_button_after_a_while(element: Dialog, messages: int, buttons: tuple[Button, ...]) -> None:
    after = step(courses_of(element, NAME), chat_with(talking(messages, busy=True)), reply("Hi"), TEXTS)
    assert after.actions[0] == shown("Hi", *buttons)


@pytest.mark.parametrize(("busy", "cancelled"), [(False, ()), (True, (CancelJobs(12),))])
def test_exit(busy: bool, cancelled: tuple[Action, ...]) -> None:
    assert step(COURSES, chat_with(talking(2, busy=busy)), press("e:12:3"), TEXTS) == Step(
        chat_with(AFTER), (*PRESSED, row(Role.USER, TEXTS.exit_button), *cancelled, *NEXT)
    )


# --- what goes wrong ------------------------------------------------------------------------------------------------

FAILED = talking(1, behind=True)


@pytest.mark.parametrize(
    ("trouble", "told", "buttons"),
    [
        (Trouble.MODEL, TEXTS.no_reply, (RETRY, EXIT)),
        (Trouble.BANNED, TEXTS.banned, (EXIT,)),
        (Trouble.MESSAGES, TEXTS.messages_spent, (EXIT,)),
        (Trouble.TOKENS, TEXTS.tokens_spent, (EXIT,)),
        (Trouble.NO_MODEL, TEXTS.no_model, (EXIT,)),
    ],
)
def test_d24_a_failure_is_told(trouble: Trouble, told: str, buttons: tuple[Button, ...]) -> None:
    chat = chat_with(talking(1, busy=True))
    assert step(COURSES, chat, failed(trouble, message_id=77), TEXTS) == Step(
        chat_with(FAILED), (SendText(told, buttons=buttons, replaces=77), row(Role.BOT, told))
    )


def test_d18_a_banned_learner_gets_the_text_of_the_course_once() -> None:
    courses = courses_of(dialog(auto_start=True), NAME, ban_text="You are *banned*")
    chat = step(courses, Chat(), StartRequested(ANNA, AT, "", 12), TEXTS).chat
    after = step(courses, chat, ReplyFailed(ANNA, AT, 12, 1, Trouble.BANNED), TEXTS)
    leave = Button(TEXTS.exit_button, "e:12:1")
    assert after.actions == (
        SendText("You are *banned*", MARKDOWN, buttons=(leave,)),
        row(Role.BOT, "You are *banned*"),
    )


def test_d24_retry() -> None:
    assert step(COURSES, chat_with(FAILED), press("t:12:3"), TEXTS) == Step(
        chat_with(talking(1, busy=True)), (*PRESSED, row(Role.USER, TEXTS.retry_button), WORK)
    )


def test_retry_while_the_model_is_at_work_asks_for_no_more_work() -> None:
    chat = chat_with(talking(2, busy=True))
    assert step(COURSES, chat, press("t:12:3"), TEXTS) == Step(chat, (*PRESSED, row(Role.USER, TEXTS.retry_button)))


@pytest.mark.parametrize(
    ("chat", "data"),
    [
        pytest.param(chat_with(talking(1)), "t:12:3", id="answered since"),
        pytest.param(chat_with(talking(1)), "t:12:2", id="retry of an earlier step"),
        pytest.param(chat_with(talking(1)), "e:12:2", id="exit of an earlier step"),
        pytest.param(chat_with(talking(1)), "e:11:3", id="exit of another run"),
        pytest.param(chat_with(talking(1, is_ended=True)), "e:12:3", id="after the end"),
        pytest.param(chat_with(replace(AFTER, step=3)), "e:12:3", id="exit of an input"),
        pytest.param(chat_with(replace(AFTER, step=3)), "t:12:3", id="retry of an input"),
    ],
)
def test_d6_stale_presses(chat: Chat, data: str) -> None:
    assert step(COURSES, chat, press(data), TEXTS) == Step(chat, STALE)


@pytest.mark.parametrize("event", [reply("Hi", step=2), reply("Hi", run_id=11), replace(failed(), step=2)])
@pytest.mark.parametrize("chat", [Chat(), chat_with(talking(1, busy=True)), chat_with(AFTER)])
def test_replies_elsewhere_are_dropped(chat: Chat, event: Event) -> None:
    assert step(COURSES, chat, event, TEXTS) == Step(chat)


# --- voice ----------------------------------------------------------------------------------------------------------


def test_voice_is_understood_first() -> None:
    chat = chat_with(talking())
    voice = ContentReceived(ANNA, AT, "voice", "file", 3)
    assert step(COURSES, chat, voice, TEXTS) == Step(chat, (StartJob(12, 3, JobKind.TRANSCRIPTION, "file"),))


def test_voice_counts_as_if_it_had_been_typed() -> None:
    assert step(COURSES, chat_with(talking()), transcribed("Hi {you}"), TEXTS) == Step(
        chat_with(talking(1, busy=True)), (SendText("🎤 I heard: Hi {you}"), said("Hi {you}"), WORK)
    )


def test_voice_that_was_not_understood() -> None:
    chat = chat_with(talking())
    assert step(COURSES, chat, transcribed(None), TEXTS) == Step(chat, (SendText(TEXTS.voice_not_understood),))


def test_voice_that_nobody_can_hear() -> None:
    chat = chat_with(talking())
    deaf = replace(transcribed(None), is_deaf=True)
    assert step(COURSES, chat, deaf, TEXTS) == Step(chat, (SendText(TEXTS.voice_unavailable),))


def test_voice_of_an_earlier_dialog_is_dropped() -> None:
    chat = chat_with(talking(step=4))
    assert step(COURSES, chat, transcribed("Hi"), TEXTS) == Step(chat)


@pytest.mark.parametrize("event", [ContentReceived(ANNA, AT, "photo"), ContentReceived(ANNA, AT, "voice")])
def test_other_content_gets_a_hint(event: Event) -> None:
    chat = chat_with(talking())
    assert step(COURSES, chat, event, TEXTS) == Step(chat, (SendText(TEXTS.text_please),), is_unused=True)


# --- coming and going -----------------------------------------------------------------------------------------------


def test_d8_a_dialog_is_continued() -> None:
    chat = chat_with(talking(2), offer=Offer("default"))
    assert step(COURSES, chat, press("r:12:3"), TEXTS) == Step(
        chat_with(talking(2)), (*PRESSED, row(Role.USER, TEXTS.resume_button), OPENED)
    )


def test_talking_is_progress() -> None:
    courses = courses_of(TALK)
    offered = SendText(
        TEXTS.offer_resume,
        buttons=(Button(TEXTS.resume_button, "r:12:1"), Button(TEXTS.restart_button, "s:12:1")),
    )
    assert step(courses, chat_with(talking(1, step=1)), StartRequested(ANNA, AT, "", 50), TEXTS).actions == (offered,)


def test_starting_over_stops_the_model() -> None:
    after = step(COURSES, chat_with(talking(1, busy=True)), press("s:12:3", run_id=50), TEXTS)
    assert after.actions[2:6] == (
        row(Role.USER, TEXTS.restart_button),
        CancelJobs(12),
        EndRun(12),
        StartRun(50, "default"),
    )


def test_the_model_goes_on_when_the_learner_comes_back_from_another_course() -> None:
    away = step(COURSES, chat_with(talking(2, busy=True)), StartRequested(ANNA, AT, "spring", 50), TEXTS)
    there = Run(50, "spring", "Name", 1, NAME.body)
    assert away.chat == chat_with(talking(2, behind=True), there)
    assert away.actions[0] == CancelJobs(12)
    back = step(COURSES, away.chat, press("r:12:3"), TEXTS)
    assert back.chat == chat_with(there, talking(2, busy=True))
    assert back.actions == (*PRESSED, row(Role.USER, TEXTS.resume_button), OPENED, WORK)


def test_a_timer_of_another_course_stops_the_model() -> None:
    night = Delay("Night", {"type": "delay"}, wait=timedelta(days=1), goto="Name")
    waiting = Run(9, "spring", "Night", 1, night.body, is_waiting=True)
    after = step(COURSES, chat_with(waiting, talking(1, busy=True)), TimeReached(ANNA, AT, 9, "Name"), TEXTS)
    assert after.actions[0] == CancelJobs(12)
    assert after.chat.runs["default"] == talking(1, behind=True)


def test_a_dialog_that_has_gone_from_the_course() -> None:
    courses = courses_of(GO, NAME)
    after = step(courses, chat_with(talking(1, busy=True)), press("r:12:3"), TEXTS)
    assert CancelJobs(12) in after.actions
    assert after.chat == chat_with(talking(is_ended=True, talk=None))
