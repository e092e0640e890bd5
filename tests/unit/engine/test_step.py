"""What each event does: tables of (chat, event) -> (chat, actions)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.course.course import Course, Courses, Entry
from app.course.element import (
    AnyElement,
    Choice,
    Dialog,
    End,
    Input,
    Jump,
    Message,
    MultiChoice,
    Option,
    ParseMode,
    Question,
    Quiz,
    Section,
)
from app.engine.action import (
    Action,
    AnswerPress,
    Button,
    EndRun,
    RecordRow,
    RemoveButtons,
    Role,
    SendPoll,
    SendText,
    StartRun,
    StopPoll,
)
from app.engine.event import (
    ButtonPressed,
    ContentReceived,
    CourseGiven,
    Event,
    Learner,
    PollAnswered,
    PollRef,
    StartRequested,
    TextReceived,
)
from app.engine.state import Chat, Offer, Run, Score
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7, "anna", "en")
MARKDOWN = ParseMode.MARKDOWN


# --- courses and chats ----------------------------------------------------------------------------------------------


def message(element_id: str, button: str | None = None, **changes: object) -> Message:
    body = {"type": "message", "text": f"text of {element_id}", **({"button": button} if button else {})}
    choices = (Choice(button),) if button else ()
    return replace(Message(element_id, body, text=f"text of {element_id}", choices=choices), **changes)


def quiz(element_id: str) -> Quiz:
    answers = [{"text": "cat"}, {"text": "dog", "correct": "yes", "feedback": "Woof"}]
    options = (Option("cat"), Option("dog", correct=True, feedback="Woof"))
    return Quiz(element_id, {"type": "quiz", "text": "?", "answers": answers}, text="?", options=options)


def question(element_id: str) -> Question:
    body = {"type": "question", "text": "?", "answers": [{"text": "cat"}, {"text": "dog"}]}
    return Question(element_id, body, text="?", options=(Option("cat"), Option("dog")))


def multi_choice(element_id: str) -> MultiChoice:
    body = {"type": "multi_choice", "text": "?", "answers": [{"text": "cat", "correct": True}, {"text": "dog"}]}
    return MultiChoice(element_id, body, text="?", options=(Option("cat", correct=True), Option("dog")))


def typed(element_id: str) -> Input:
    return Input(element_id, {"type": "input", "text": "Name?"}, text="Name?")


def jump(element_id: str, *choices: Choice) -> Jump:
    options = [{"text": choice.text} | ({"goto": choice.goto} if choice.goto else {}) for choice in choices]
    return Jump(element_id, {"type": "jump", "text": "Where?", "options": options}, text="Where?", choices=choices)


def end(element_id: str) -> End:
    return End(element_id, {"type": "end", "text": "Bye"}, text="Bye")


def dialog(element_id: str) -> Dialog:
    return Dialog(element_id, {"type": "dialog", "text": "Talk"}, text="Talk")


def course(*elements: AnyElement) -> Course:
    return Course({element.id: element for element in elements})


def courses_of(*elements: AnyElement, **entry: object) -> Courses:
    """Return the one course ``default``."""
    return Courses({"default": Entry("default", "a.yml", **entry)}, {"default": course(*elements)})


def standing(element: AnyElement, step: int = 3, course_id: str = "default", **changes: object) -> Run:
    return replace(Run(12, course_id, element.id, step, element.body), **changes)


def chat_with(*runs: Run, offer: Offer | None = None) -> Chat:
    """Return a chat whose learner is in the last of these runs."""
    return Chat({run.course_id: run for run in runs}, runs[-1].course_id if runs else None, offer)


def bot_row(element: AnyElement, report: str | None, **fields: object) -> RecordRow:
    kind = element.body["type"]
    row = RecordRow(12, "default", element.id, kind, Role.BOT, report, body=element.body)
    return replace(row, **fields)


def user_row(element: AnyElement, report: str, **fields: object) -> RecordRow:
    return bot_row(element, report, role=Role.USER, **fields)


def shown_message(element: Message, **fields: object) -> tuple[Action, ...]:
    return (SendText(element.text, MARKDOWN), bot_row(element, element.text, **fields))


def shown_quiz(element: Quiz, step: int, run_id: int = 12, **fields: object) -> tuple[Action, ...]:
    poll = SendPoll(run_id, step, "?", ("cat", "dog"), correct_option=1)
    return (poll, bot_row(element, "?", run_id=run_id, **fields))


# --- events ---------------------------------------------------------------------------------------------------------


def start(payload: str = "", run_id: int = 50, **fields: object) -> StartRequested:
    return StartRequested(ANNA, AT, payload, run_id, **fields)


def text(text: str) -> TextReceived:
    return TextReceived(ANNA, AT, text)


def press(data: str, run_id: int = 0, message_id: int | None = 900) -> ButtonPressed:
    return ButtonPressed(ANNA, AT, "cb", data, message_id, run_id)


def vote(*option_ids: int, poll: PollRef | None = PollRef(12, 3, 800), is_bound: bool = True) -> PollAnswered:  # noqa: B008
    return PollAnswered(ANNA, AT, "poll", option_ids, poll, is_bound)


VOICE = ContentReceived(ANNA, AT, "voice")
RESTART = Button(TEXTS.restart_button, "s:12:3")
RESUME = Button(TEXTS.resume_button, "r:12:3")
OFFER = SendText(TEXTS.offer_resume, buttons=(RESUME, RESTART))
ANSWERED = AnswerPress("cb")
PRESSED = (ANSWERED, RemoveButtons(900))
STALE = (AnswerPress("cb", TEXTS.stale_button),)

A, B, C = message("A"), message("B"), message("C")
STOP = message("Stop", button="Go on")
QUIZ, NAME, BYE = quiz("Quiz"), typed("Name"), end("Bye")


# --- starting -------------------------------------------------------------------------------------------------------


def test_start_shows_elements_up_to_the_first_that_waits() -> None:
    courses = courses_of(A, Section("S", {"type": "section"}), B, QUIZ, C)
    assert step(courses, Chat(), start("utmsIItg__utmcIImay"), TEXTS) == Step(
        chat_with(standing(QUIZ, step=4, run_id=50)),
        (
            StartRun(50, "default", "tg", "may"),
            *shown_message(A, run_id=50),
            *shown_message(B, run_id=50),
            *shown_quiz(QUIZ, step=4, run_id=50),
        ),
    )


def test_start_at_the_element_of_the_entry() -> None:
    courses = courses_of(A, QUIZ, element="Quiz")
    expected = (StartRun(50, "default"), *shown_quiz(QUIZ, step=1, run_id=50))
    assert step(courses, Chat(), start(), TEXTS) == Step(chat_with(standing(QUIZ, 1, run_id=50)), expected)


@pytest.mark.parametrize(
    "courses",
    [
        pytest.param(Courses(), id="not in the list"),
        pytest.param(Courses({"default": Entry("default", "a.yml")}), id="d14 file could not be loaded"),
        pytest.param(courses_of(), id="empty"),
    ],
)
def test_start_of_a_course_that_is_not_there(courses: Courses) -> None:
    chat = chat_with(standing(QUIZ, course_id="spring"))
    assert step(courses, chat, start(), TEXTS) == Step(chat, (SendText(TEXTS.unknown_course),))


@pytest.mark.parametrize(
    ("decline_text", "expected"),
    [("Please *register*", SendText("Please *register*", MARKDOWN)), (None, SendText(TEXTS.not_admitted))],
)
def test_d28_start_of_a_restricted_course(decline_text: str | None, expected: SendText) -> None:
    courses = courses_of(QUIZ, restricted=True, decline_text=decline_text)
    assert step(courses, Chat(), start(), TEXTS) == Step(Chat(), (expected,))
    admitted = step(courses, Chat(), start(is_participant=True), TEXTS)
    assert admitted.actions[0] == StartRun(50, "default")


def test_d13_course_of_sections_only_is_over_at_once() -> None:
    section = Section("S", {"type": "section"})
    assert step(courses_of(section), Chat(), start(), TEXTS) == Step(
        chat_with(standing(section, step=1, run_id=50, is_ended=True)), (StartRun(50, "default"), EndRun(50))
    )


def test_d8_start_in_an_unfinished_run_offers_to_go_on() -> None:
    chat = chat_with(standing(NAME))
    assert step(courses_of(QUIZ, NAME), chat, start("utmsIItg"), TEXTS) == Step(
        replace(chat, offer=Offer("default", "tg")), (OFFER,)
    )


def test_d8_scores_are_progress() -> None:
    chat = chat_with(standing(QUIZ, scores={"Quiz": Score(0, 1)}))
    assert step(courses_of(QUIZ), chat, start(), TEXTS).actions == (OFFER,)


def test_start_without_progress_starts_anew() -> None:
    courses = courses_of(A, QUIZ)
    assert step(courses, chat_with(standing(QUIZ, step=2)), start(), TEXTS) == Step(
        chat_with(standing(QUIZ, step=2, run_id=50)),
        (
            EndRun(12),
            StartRun(50, "default"),
            *shown_message(A, run_id=50),
            *shown_quiz(QUIZ, step=2, run_id=50),
        ),
    )


def test_start_after_the_end_starts_anew() -> None:
    courses = courses_of(QUIZ, BYE)
    assert step(courses, chat_with(standing(BYE, is_ended=True)), start(), TEXTS) == Step(
        chat_with(standing(QUIZ, step=1, run_id=50)),
        (StartRun(50, "default"), *shown_quiz(QUIZ, step=1, run_id=50)),
    )


TWO = Courses(
    {"default": Entry("default", "a.yml"), "spring": Entry("spring", "b.yml")},
    {"default": course(QUIZ, NAME, BYE), "spring": course(QUIZ, NAME)},
)


def test_d2_start_of_another_course_leaves_the_first_unfinished() -> None:
    here = standing(NAME)
    assert step(TWO, chat_with(here), start("spring"), TEXTS) == Step(
        chat_with(here, standing(QUIZ, 1, "spring", run_id=50)),
        (StartRun(50, "spring"), *shown_quiz(QUIZ, step=1, run_id=50, course_id="spring")),
    )


def test_start_of_another_unfinished_course_offers_to_go_on_there() -> None:
    there, here = standing(NAME, 3), standing(QUIZ, 1, "spring", run_id=13)
    chat = chat_with(there, here)
    offered = replace(chat, offer=Offer("default"))
    assert step(TWO, chat, start(), TEXTS) == Step(offered, (OFFER,))
    assert step(TWO, offered, press("r:12:3"), TEXTS) == Step(
        chat_with(here, standing(NAME, 4)),
        (*PRESSED, user_row(NAME, TEXTS.resume_button), SendText("Name?", MARKDOWN), bot_row(NAME, "Name?")),
    )


def test_resume_shows_the_element_again_as_a_new_step() -> None:
    edited = replace(QUIZ, text="Which?", body={"type": "quiz", "text": "Which?"})
    chat = chat_with(standing(QUIZ), offer=Offer("default"))
    assert step(courses_of(A, edited), chat, press("r:12:3"), TEXTS) == Step(
        chat_with(standing(edited, 4)),
        (
            *PRESSED,
            user_row(QUIZ, TEXTS.resume_button),
            SendPoll(12, 4, "Which?", ("cat", "dog"), correct_option=1),
            bot_row(edited, "Which?"),
        ),
    )


def test_d5_vote_in_the_poll_from_before_the_resume_is_ignored() -> None:
    chat = chat_with(standing(QUIZ, 4))
    assert step(courses_of(QUIZ), chat, vote(1), TEXTS) == Step(chat)


def test_restart_ends_the_run_and_begins_another() -> None:
    chat = chat_with(standing(NAME), offer=Offer("default", "tg", "may"))
    assert step(courses_of(QUIZ, NAME), chat, press("s:12:3", run_id=50), TEXTS) == Step(
        chat_with(standing(QUIZ, step=1, run_id=50)),
        (
            *PRESSED,
            user_row(NAME, TEXTS.restart_button),
            EndRun(12),
            StartRun(50, "default", "tg", "may"),
            *shown_quiz(QUIZ, step=1, run_id=50),
        ),
    )


def test_restart_of_a_finished_course() -> None:
    chat = chat_with(standing(BYE, is_ended=True))
    assert step(courses_of(QUIZ, BYE), chat, press("s:12:3", run_id=50), TEXTS) == Step(
        chat_with(standing(QUIZ, step=1, run_id=50)),
        (
            *PRESSED,
            user_row(BYE, TEXTS.restart_button),
            StartRun(50, "default"),
            *shown_quiz(QUIZ, step=1, run_id=50),
        ),
    )


def test_restart_does_not_take_the_source_of_another_offer() -> None:
    chat = chat_with(standing(NAME), offer=Offer("spring", "tg"))
    after = step(TWO, chat, press("s:12:3", run_id=50), TEXTS)
    assert StartRun(50, "default") in after.actions


# --- going on -------------------------------------------------------------------------------------------------------


def test_d47_press_goes_on_and_is_recorded() -> None:
    assert step(courses_of(STOP, A, QUIZ), chat_with(standing(STOP)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(standing(QUIZ, 5)),
        (*PRESSED, user_row(STOP, "Go on"), *shown_message(A), *shown_quiz(QUIZ, step=5)),
    )


def test_press_on_a_message_that_telegram_no_longer_shows() -> None:
    after = step(courses_of(STOP, NAME), chat_with(standing(STOP)), press("c:12:3:0", message_id=None), TEXTS)
    assert after.actions[:2] == (ANSWERED, user_row(STOP, "Go on"))


def test_press_leads_to_its_target_and_on_from_there() -> None:
    where = jump("Where", Choice("There", goto="B"), Choice("On"))
    courses = courses_of(where, A, BYE, B, QUIZ)
    assert step(courses, chat_with(standing(where)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(standing(QUIZ, 5)),
        (*PRESSED, user_row(where, "There"), *shown_message(B), *shown_quiz(QUIZ, step=5)),
    )


def test_last_element_passed_ends_the_run_silently() -> None:
    assert step(courses_of(STOP, A), chat_with(standing(STOP)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(standing(A, 4, is_ended=True)),
        (*PRESSED, user_row(STOP, "Go on"), *shown_message(A), EndRun(12)),
    )


def test_d2_end_ends_this_run_only() -> None:
    other = standing(NAME, course_id="spring", run_id=13)
    courses = courses_of(STOP, BYE, A)
    assert step(courses, chat_with(other, standing(STOP)), press("c:12:3:0"), TEXTS) == Step(
        chat_with(other, standing(BYE, 4, is_ended=True)),
        (*PRESSED, user_row(STOP, "Go on"), SendText("Bye", MARKDOWN), bot_row(BYE, "Bye"), EndRun(12)),
    )


def test_jump_without_choices_does_not_strand() -> None:
    empty = jump("Empty")
    after = step(courses_of(STOP, empty, NAME), chat_with(standing(STOP)), press("c:12:3:0"), TEXTS)
    assert after.chat == chat_with(standing(NAME, 5))


def test_going_round_in_a_circle_stops_at_the_button() -> None:
    again = message(
        "Again",
        choices=(Choice("Again", goto="A"),),
        body={"type": "jump", "text": "x", "options": [{"text": "Again", "goto": "A"}]},
    )
    courses = courses_of(A, again)
    first = step(courses, Chat(), start(), TEXTS)
    second = step(courses, first.chat, press("c:50:2:0"), TEXTS)
    assert second.chat == chat_with(standing(again, 4, run_id=50))


def test_text_answers_an_input() -> None:
    assert step(courses_of(NAME, QUIZ), chat_with(standing(NAME)), text("Anna"), TEXTS) == Step(
        chat_with(standing(QUIZ, 4)), (user_row(NAME, "Anna"), *shown_quiz(QUIZ, step=4))
    )


def test_vote_is_scored_and_closes_the_poll() -> None:
    scored = bot_row(QUIZ, "Woof", score=1, maxscore=1)
    assert step(courses_of(QUIZ, NAME), chat_with(standing(QUIZ)), vote(1), TEXTS) == Step(
        chat_with(standing(NAME, 4, scores={"Quiz": Score(1, 1)})),
        (
            StopPoll(800),
            user_row(QUIZ, "dog"),
            SendText("Woof"),
            scored,
            SendText("Name?", MARKDOWN),
            bot_row(NAME, "Name?"),
        ),
    )


def test_scores_keep_the_latest_attempt() -> None:
    run = standing(QUIZ, scores={"Quiz": Score(1, 1), "Other": Score(0.5, 1)})
    after = step(courses_of(QUIZ, NAME), chat_with(run), vote(0), TEXTS)
    assert after.chat.run == standing(NAME, 4, scores={"Quiz": Score(0, 1, attempt=2), "Other": Score(0.5, 1)})


def test_vote_in_a_poll_that_is_not_known_yet() -> None:
    event = vote(1, poll=None, is_bound=False)
    after = step(courses_of(QUIZ, NAME), chat_with(standing(QUIZ)), event, TEXTS)
    assert after.actions[0] == user_row(QUIZ, "dog")


def test_answer_to_the_last_element_ends_the_run() -> None:
    after = step(courses_of(A, QUIZ), chat_with(standing(QUIZ)), vote(0), TEXTS)
    assert after.chat == chat_with(standing(QUIZ, is_ended=True, scores={"Quiz": Score(0, 1)}))
    assert after.actions[-1] == EndRun(12)


# --- what does not fit ----------------------------------------------------------------------------------------------

OLD_POLL, OTHER_RUN = PollRef(12, 2, 700), PollRef(11, 3, 600)
COURSE = courses_of(A, STOP, NAME, QUIZ, question("Ask"), multi_choice("Many"), dialog("Talk"), BYE)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(vote(), id="retraction"),
        pytest.param(vote(1, poll=OLD_POLL), id="poll of an earlier step"),
        pytest.param(vote(1, poll=OTHER_RUN), id="poll of another run"),
        pytest.param(vote(1, poll=None), id="unknown poll while the current one is known"),
        pytest.param(vote(2), id="no such option"),
        pytest.param(vote(0, 7), id="one of the options does not exist"),
        pytest.param(vote(-1), id="negative option"),
        pytest.param(vote(poll=None, is_bound=False), id="retraction in an unknown poll"),
    ],
)
@pytest.mark.parametrize("element", [QUIZ, question("Ask"), multi_choice("Many")])
def test_d5_votes_elsewhere_are_ignored(element: AnyElement, event: PollAnswered) -> None:
    chat = chat_with(standing(element))
    is_unused = event.poll is None and event.is_bound
    assert step(COURSE, chat, event, TEXTS) == Step(chat, is_unused=is_unused)


@pytest.mark.parametrize(
    "chat",
    [
        pytest.param(Chat(), id="nothing started"),
        pytest.param(chat_with(standing(QUIZ, is_ended=True)), id="after the end"),
        pytest.param(chat_with(standing(NAME)), id="input"),
        pytest.param(chat_with(standing(STOP)), id="button"),
        pytest.param(chat_with(standing(dialog("Talk"))), id="dialog"),
    ],
)
@pytest.mark.parametrize("event", [vote(1), vote(1, poll=None, is_bound=False)])
def test_d5_votes_never_skip_an_element(chat: Chat, event: PollAnswered) -> None:
    assert step(COURSE, chat, event, TEXTS) == Step(chat, is_unused=event.poll is None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("c:12:2:0", id="earlier step"),
        pytest.param("c:11:3:0", id="another run"),
        pytest.param("c:12:3:1", id="no such choice"),
        pytest.param("r:12:2", id="resume of an earlier step"),
        pytest.param("s:12:2", id="restart of an earlier step"),
        pytest.param("r:11:3", id="resume of an unknown run"),
        pytest.param("s:11:3", id="restart of an unknown run"),
        pytest.param("got_it", id="of the old program"),
        pytest.param("", id="empty"),
    ],
)
def test_d6_stale_presses_are_answered_with_a_notice(data: str) -> None:
    chat = chat_with(standing(STOP), offer=Offer("default"))
    is_unused = data in ("got_it", "")
    assert step(COURSE, chat, press(data, run_id=50), TEXTS) == Step(chat, STALE, is_unused)


@pytest.mark.parametrize(
    "chat",
    [
        pytest.param(Chat(), id="nothing started"),
        pytest.param(chat_with(standing(STOP, is_ended=True)), id="after the end"),
        pytest.param(chat_with(standing(NAME)), id="input"),
        pytest.param(chat_with(standing(QUIZ)), id="poll"),
        pytest.param(chat_with(standing(dialog("Talk"))), id="dialog"),
        pytest.param(chat_with(standing(STOP), standing(NAME, 1, "spring", run_id=13)), id="in another course"),
    ],
)
def test_d6_presses_never_skip_an_element(chat: Chat) -> None:
    assert step(COURSE, chat, press("c:12:3:0"), TEXTS) == Step(chat, STALE)


def test_resume_of_an_ended_run_is_stale() -> None:
    chat = chat_with(standing(NAME, is_ended=True))
    assert step(COURSE, chat, press("r:12:3"), TEXTS) == Step(chat, STALE)


HINTS = [
    pytest.param(Chat(), SendText(TEXTS.no_run), id="nothing started"),
    pytest.param(
        chat_with(standing(BYE, is_ended=True)), SendText(TEXTS.course_finished, buttons=(RESTART,)), id="after the end"
    ),
    pytest.param(chat_with(standing(STOP)), SendText(TEXTS.press_button), id="button"),
    pytest.param(chat_with(standing(QUIZ)), SendText(TEXTS.vote_first), id="quiz"),
    pytest.param(chat_with(standing(question("Ask"))), SendText(TEXTS.vote_first), id="question"),
    pytest.param(chat_with(standing(multi_choice("Many"))), SendText(TEXTS.vote_first), id="multi_choice"),
    pytest.param(chat_with(standing(A)), OFFER, id="element that waits for nothing"),
    pytest.param(chat_with(standing(A, body={"type": "nonsense"})), OFFER, id="unreadable snapshot"),
]


@pytest.mark.parametrize(("chat", "hint"), HINTS)
@pytest.mark.parametrize("event", [text("start over, next"), VOICE])
def test_d31_text_elsewhere_gets_a_hint(chat: Chat, event: Event, hint: SendText) -> None:
    assert step(COURSE, chat, event, TEXTS) == Step(chat, (hint,), is_unused=True)


def test_voice_does_not_answer_an_input() -> None:
    chat = chat_with(standing(NAME))
    assert step(COURSE, chat, VOICE, TEXTS) == Step(chat, (SendText(TEXTS.text_please),), is_unused=True)


# --- courses that a plugin starts ------------------------------------------------------------------------------------


def test_a_plugin_starts_a_course_anew() -> None:
    restricted = courses_of(QUIZ, NAME, restricted=True)
    chat = chat_with(standing(QUIZ, scores={"Quiz": Score(1, 1)}))
    shown = (SendText("Name?", MARKDOWN), bot_row(NAME, "Name?", run_id=50))
    assert step(restricted, chat, CourseGiven(ANNA, AT, "default", "Name", run_id=50), TEXTS) == Step(
        chat_with(standing(NAME, 1, run_id=50)), (EndRun(12), StartRun(50, "default"), *shown)
    )
    first = step(restricted, Chat(), CourseGiven(ANNA, AT, "default", run_id=50), TEXTS)
    assert first.chat == chat_with(standing(QUIZ, 1, run_id=50))


@pytest.mark.parametrize(("course_id", "element_id"), [("gone", None), ("default", "gone")])
def test_a_plugin_starts_what_has_gone_meanwhile(course_id: str, element_id: str | None) -> None:
    chat = chat_with(standing(QUIZ))
    assert step(COURSE, chat, CourseGiven(ANNA, AT, course_id, element_id, 50), TEXTS) == Step(chat)


# --- courses that change or are not ready ---------------------------------------------------------------------------


def test_element_on_screen_is_answered_from_its_snapshot() -> None:
    renamed = replace(QUIZ, options=(Option("cow", correct=True), Option("pig")), body={"type": "quiz", "text": "!"})
    after = step(courses_of(renamed, NAME), chat_with(standing(QUIZ)), vote(1), TEXTS)
    assert after.actions[:3] == (StopPoll(800), user_row(QUIZ, "dog"), SendText("Woof"))


LOST = SendText(TEXTS.course_changed, buttons=(RESTART,))


def test_element_on_screen_has_gone_from_the_course() -> None:
    assert step(courses_of(QUIZ, BYE), chat_with(standing(NAME)), text("Anna"), TEXTS) == Step(
        chat_with(standing(NAME, is_ended=True)), (user_row(NAME, "Anna"), EndRun(12), LOST)
    )


def test_resume_at_an_element_that_has_gone() -> None:
    assert step(courses_of(QUIZ), chat_with(standing(NAME)), press("r:12:3"), TEXTS) == Step(
        chat_with(standing(NAME, is_ended=True)),
        (*PRESSED, user_row(NAME, TEXTS.resume_button), EndRun(12), LOST),
    )


NOT_LOADED = Courses({"default": Entry("default", "a.yml")})
SORRY = SendText(TEXTS.course_unavailable)


@pytest.mark.parametrize("data", ["c:12:3:0", "r:12:3", "s:12:3"])
def test_d14_press_while_the_course_cannot_be_loaded_can_be_repeated(data: str) -> None:
    chat = chat_with(standing(STOP), offer=Offer("default"))
    assert step(NOT_LOADED, chat, press(data), TEXTS) == Step(chat, (ANSWERED, SORRY))


def test_d14_answer_while_the_course_cannot_be_loaded_is_kept() -> None:
    scored = bot_row(QUIZ, "Woof", score=1, maxscore=1)
    assert step(NOT_LOADED, chat_with(standing(QUIZ)), vote(1), TEXTS) == Step(
        chat_with(standing(QUIZ, scores={"Quiz": Score(1, 1)})),
        (StopPoll(800), user_row(QUIZ, "dog"), SendText("Woof"), scored, SORRY),
    )


def test_d12_missing_target_keeps_the_button() -> None:
    where = jump("Where", Choice("Nowhere", goto="Gone"))
    chat = chat_with(standing(where))
    assert step(courses_of(A, where), chat, press("c:12:3:0"), TEXTS) == Step(
        chat, (ANSWERED, SendText(TEXTS.target_missing))
    )


def test_goto_wins_over_wait() -> None:
    where = jump("Where", Choice("There", goto="Name", wait=timedelta(hours=1)))
    after = step(courses_of(where, A, NAME), chat_with(standing(where)), press("c:12:3:0"), TEXTS)
    assert after.chat == chat_with(standing(NAME, 4))
