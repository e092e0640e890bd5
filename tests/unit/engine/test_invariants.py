"""What holds for every course and whatever a learner does."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Course, Courses, Entry
from app.course.element import AnyElement, Delay, Jump, Message, MiniApp, MultiChoice, Question, Quiz, Revision
from app.course.element import Test as Result
from app.course.grammar import element_of
from app.engine.action import (
    Action,
    AnswerPress,
    CancelJobs,
    CancelTimers,
    EndRun,
    JobKind,
    RecordRow,
    ReopenRun,
    SendPoll,
    SendSpeech,
    SendText,
    StartJob,
    StartRun,
    StartTimer,
)
from app.engine.app import STEPS
from app.engine.event import (
    AppAnswered,
    ButtonPressed,
    CommandReceived,
    ContentReceived,
    Event,
    Learner,
    PollAnswered,
    PollRef,
    ReplyFailed,
    ReplyReceived,
    StartRequested,
    TextReceived,
    TimeReached,
    Trouble,
    VoiceTranscribed,
)
from app.engine.press import ChoicePress, ExitPress, RetryPress, menu_press, needs_run_id, parse_press
from app.engine.screen import Awaited, awaited
from app.engine.state import Chat, from_json, to_json
from app.engine.step import Step, step
from app.texts import texts_for

TEXTS = texts_for("ru")
STALE = (AnswerPress("cb", TEXTS.stale_button),)
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7)
IDS = [f"E_{number}" for number in range(6)]
PREFIXES = st.sampled_from(["E_", "E_1", "X"])
WORDS = st.sampled_from(["да", "a_b*", "x" * 301, "[1](2", "12"])


# --- courses --------------------------------------------------------------------------------------------------------


def choices(targets: list[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    goto = st.builds(dict, text=WORDS, goto=st.sampled_from(targets)) if targets else st.nothing()
    wait = st.builds(dict, text=WORDS, wait=st.just("1d"), wait_text=WORDS)
    return st.lists(st.builds(dict, text=WORDS) | goto | wait, min_size=1, max_size=3)


ANSWERS = st.lists(
    st.fixed_dictionaries({"text": WORDS}, optional={"correct": st.booleans(), "feedback": WORDS}),
    min_size=2,
    max_size=4,
)
VERDICTS = {f"feedback_{verdict}": WORDS for verdict in ("correct", "partial", "incorrect")}


def bodies(targets: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return elements that every version can run; their choices lead to ``targets``."""
    kinds: dict[str, dict[str, Any]] = {
        "message": {"optional": {"button": WORDS, "media": st.just(["https://example.org/a.jpg"])}},
        "audio": {"optional": {"link_preview": st.booleans()}, "media": st.just(["https://example.org/a.mp3"])},
        "input": {
            "optional": {
                "correct_answer": WORDS,
                "input_type": st.sampled_from(["text", "sequence"]),
                "feedback_correct": WORDS,
                "feedback_incorrect": WORDS,
            }
        },
        "quiz": {"answers": ANSWERS},
        "question": {"answers": ANSWERS},
        "multi_choice": {"answers": ANSWERS, "optional": VERDICTS},
        "jump": {"options": choices(targets)},
        "section": {"title": WORDS},
        "test": {"prefix": PREFIXES, "score": st.just({"20": "a", "100": "b"}), "optional": {"button": WORDS}},
        "revision": {"prefix": PREFIXES, "no_mistakes": WORDS, "optional": {"button": WORDS}},
    }
    kinds["dialog"] = {
        "prompt": st.sampled_from(["Talk", "Talk. {STOP}"]),
        "optional": {
            "auto_start": st.booleans(),
            "button": WORDS,
            "max_messages": st.integers(1, 3),
            "voice_response": st.booleans(),
            "parse_mode": st.sampled_from(["HTML", "HTML!"]),
        },
    }
    kinds["miniapp"] = {
        "button": WORDS,
        "question": st.just({"type": "typein", "text": "{q1}"}),
        "optional": {"app_url": st.just("https://example.org/app"), "answer": st.just({"actual": "q1: да"})},
    }
    if targets:
        kinds["delay"] = {"wait": st.just("1d"), "goto": st.sampled_from(targets)}
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just(kind), "text": WORDS, **{key: of for key, of in fields.items() if key != "optional"}},
            optional=fields.get("optional", {}),
        )
        for kind, fields in kinds.items()
    )


def course_of(elements: dict[str, dict[str, Any]]) -> Course:
    read = {element_id: element_of(element_id, body) for element_id, body in elements.items()}
    return Course({element_id: element for element_id, element in read.items() if element is not None})


OTHER_BODIES = st.sampled_from([{"type": "end"}, {"type": "end", "text": "Bye"}])
TALKS = st.sampled_from(
    [
        {"type": "dialog", "text": "?", "prompt": "Talk", "button": "Enough"},
        {"type": "dialog", "text": "?", "prompt": "Talk", "auto_start": True},
    ]
)


@st.composite
def crooked_courses(draw: st.DrawFn) -> Course:
    """Courses with ways back and to nowhere, ends anywhere and elements that cannot be run yet."""
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, min_size=2))
    body = st.sampled_from([OTHER_BODIES, TALKS, TALKS, *[bodies([*IDS, "Gone"])] * 4]).flatmap(lambda kind: kind)
    return course_of({element_id: draw(body) for element_id in ids})


@st.composite
def both_courses(draw: st.DrawFn) -> Courses:
    return listed({"default": draw(crooked_courses()), "spring": draw(crooked_courses())})


@st.composite
def edited_courses(draw: st.DrawFn) -> Courses:
    """Courses some of which cannot be loaded any more."""
    names = draw(st.sets(st.sampled_from(["default", "spring"])))
    return listed({name: draw(crooked_courses()) for name in sorted(names)})


@st.composite
def straight_courses(draw: st.DrawFn) -> Course:
    """Courses without ways back or to nowhere."""
    return course_of({element_id: draw(bodies(IDS[place + 1 :])) for place, element_id in enumerate(IDS)})


def listed(courses: dict[str, Course]) -> Courses:
    return Courses({name: Entry(name, f"{name}.yml") for name in ("default", "spring")}, courses)


# --- what a learner does ---------------------------------------------------------------------------------------------

OPTIONS = st.sampled_from(
    [
        DEFAULT_OPTIONS,
        Options(has_keywords=True, admins=frozenset({7}), app_url="https://example.org/app/"),
        Options(commands=frozenset(), stop_markers=("{STOP}", "да"), exit_after=1, max_messages=2),
    ]
)
COMMANDS = st.sampled_from(["menu", "restart", "next", "back", "help", "go", "dance"])
REPLIES = st.sampled_from(["**да**", "{STOP}", "Bye {STOP}", "", "a_b*", "<b>", "x" * 5000])
OPTION_IDS = st.sampled_from([(0,), (1,), (0, 1), (3,), (1, 9), ()])


def expected_event(element: AnyElement, run_id: int, step: int, pick: int) -> Event:
    match element:
        case Message() | Jump() | Result() | Revision() if element.choices:
            data = ChoicePress(run_id, step, pick % len(element.choices)).data
            return ButtonPressed(ANNA, AT, "cb", data, 1)
        case Quiz() | Question() | MultiChoice():
            return PollAnswered(
                ANNA, AT, "poll", (pick % len(element.options),), PollRef(run_id, step, 1), is_bound=True
            )
        case Delay():
            return TimeReached(ANNA, AT, run_id, element.goto)
        case MiniApp():
            return AppAnswered(ANNA, AT, run_id, step, "q1: да")
        case _:
            return TextReceived(ANNA, AT, "да")


# --- a learner who does anything ------------------------------------------------------------------------------------


class Learning(RuleBasedStateMachine):
    """One chat: its state, the run table it implies, and all buttons and polls that were ever sent to it."""

    @initialize(courses=both_courses(), options=OPTIONS)
    def begin(self, courses: Courses, options: Options) -> None:
        self.courses, self.options, self.chat = courses, options, Chat()
        self.jobs: list[StartJob] = []
        self.past_jobs: list[StartJob] = []
        self.apps: list[tuple[int, int]] = []
        self.runs: set[int] = set()
        self.open_runs: set[int] = set()
        self.timers: dict[int, str | None] = {}
        self.buttons: list[str] = []
        self.polls: list[SendPoll] = []

    @rule(courses=edited_courses())
    def author_edits(self, courses: Courses) -> None:
        self.courses = courses

    @rule(payload=st.sampled_from(["", "spring", "autumn", "utmsIIx"]))
    def starts(self, payload: str) -> None:
        self.happens(StartRequested(ANNA, AT, payload, self.fresh_run_id()))

    @rule(word=WORDS)
    def writes(self, word: str) -> None:
        self.happens(TextReceived(ANNA, AT, word))

    @rule(word=st.sampled_from(["Назад", "next", "back or next", "start"]))
    def writes_a_keyword(self, word: str) -> None:
        self.happens(TextReceived(ANNA, AT, word))

    @rule(event=st.sampled_from([ContentReceived(ANNA, AT, "voice", "file"), ContentReceived(ANNA, AT, "photo")]))
    def sends_something_else(self, event: Event) -> None:
        self.happens(event)

    @rule(name=COMMANDS, arguments=st.sampled_from(["", "spring", "default E_1", "autumn E_1"]))
    def commands(self, name: str, arguments: str) -> None:
        event = CommandReceived(ANNA, AT, name, arguments)
        self.happens(CommandReceived(ANNA, AT, name, arguments, self.fresh_run_id()) if needs_run_id(event) else event)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), words=REPLIES, trouble=st.none() | st.sampled_from(Trouble))
    def a_job_is_done(self, data: st.DataObject, words: str, trouble: Trouble | None) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        self.jobs.remove(job)
        self.past_jobs.append(job)
        self.happens(result_of_job(job, words, trouble))

    @precondition(lambda self: self.apps)
    @rule(data=st.data(), answer=WORDS)
    def answers_an_app(self, data: st.DataObject, answer: str) -> None:
        self.happens(AppAnswered(ANNA, AT, *data.draw(st.sampled_from(self.apps)), answer))

    @precondition(lambda self: self.chat.run is not None)
    @rule(data=st.sampled_from(["got_it", "goto_E_1", "wait_1d", "wait_x"]), option_ids=OPTION_IDS)
    def was_adopted_here(self, data: str, option_ids: tuple[int, ...]) -> None:
        run = self.chat.run
        self.chat = replace(self.chat, runs={**self.chat.runs, run.course_id: replace(run, is_adopted=True)})
        self.happens(ButtonPressed(ANNA, AT, "cb", data, 1))
        self.happens(PollAnswered(ANNA, AT, "poll", option_ids, is_bound=True))

    @precondition(lambda self: self.buttons)
    @rule(data=st.data())
    def presses_a_button(self, data: st.DataObject) -> None:
        self.presses(data.draw(st.sampled_from(self.buttons[-4:]) | st.sampled_from(self.buttons)))

    @rule(
        data=st.sampled_from(
            ["got_it", "c:1:1:0", "r:1:1", "s:1:1", "c:1:1:99", "e:1:1", "t:1:1", menu_press("spring").data, ""]
        )
    )
    def presses(self, data: str) -> None:
        event = ButtonPressed(ANNA, AT, "cb", data, 1)
        if needs_run_id(event):
            event = ButtonPressed(ANNA, AT, "cb", data, 1, self.fresh_run_id())
        self.happens(event)

    @precondition(lambda self: self.polls)
    @rule(data=st.data(), option_ids=OPTION_IDS)
    def votes(self, data: st.DataObject, option_ids: tuple[int, ...]) -> None:
        poll = data.draw(st.sampled_from(self.polls[-3:]))
        ref = PollRef(poll.run_id, poll.step, 1)
        self.happens(PollAnswered(ANNA, AT, "poll", option_ids, ref, is_bound=True))

    @rule(option_ids=OPTION_IDS, is_bound=st.booleans())
    def votes_in_an_unknown_poll(self, option_ids: tuple[int, ...], is_bound: bool) -> None:
        self.happens(PollAnswered(ANNA, AT, "poll", option_ids, is_bound=is_bound))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def waits(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.timers)))
        self.happens(TimeReached(ANNA, AT, run_id, self.timers.pop(run_id)))

    @precondition(lambda self: self.chat.run is not None)
    @rule(pick=st.integers(0, 11))
    def does_what_is_asked(self, pick: int) -> None:
        run = self.chat.run
        element = element_of(run.element_id, run.body)
        if run.is_waiting or isinstance(element, Delay):
            return
        self.happens(expected_event(element, run.run_id, run.step, pick))

    @invariant()
    def old_polls_and_buttons_change_nothing(self) -> None:
        for poll in self.polls:
            if (poll.run_id, poll.step) != self.on_screen():
                event = PollAnswered(ANNA, AT, "poll", (0,), PollRef(poll.run_id, poll.step, 1), is_bound=True)
                assert self.step(event) == Step(self.chat)
        for data in self.buttons:
            press = parse_press(data)
            if not isinstance(press, ChoicePress | ExitPress | RetryPress):
                continue
            if (press.run_id, press.step) != self.on_screen():
                assert self.step(ButtonPressed(ANNA, AT, "cb", data, 1)) == Step(self.chat, STALE)

    @invariant()
    def late_results_change_nothing(self) -> None:
        for job in self.past_jobs:
            if (job.run_id, job.step) != self.on_screen():
                assert self.step(result_of_job(job, "да", None)) == Step(self.chat)
        for run_id, number in self.apps:
            if (run_id, number) != self.on_screen():
                assert self.step(AppAnswered(ANNA, AT, run_id, number, "да")) == Step(self.chat)

    @invariant()
    def the_model_works_exactly_where_the_chat_waits_for_it(self) -> None:
        working = [(job.run_id, job.step) for job in self.jobs if job.kind is JobKind.REPLY]
        assert working == [
            (run.run_id, run.step) for run in self.chat.runs.values() if run.talk is not None and run.talk.is_busy
        ]
        assert set(working) <= {self.on_screen()}

    def step(self, event: Event) -> Step:
        return step(self.courses, self.chat, event, TEXTS, self.options)

    def on_screen(self) -> tuple[int, int] | None:
        run = self.chat.run
        return (run.run_id, run.step) if run is not None and not run.is_ended else None

    def fresh_run_id(self) -> int:
        return max(self.runs, default=0) + 1

    def happens(self, event: Event) -> None:
        before = self.chat
        after = self.step(event)
        self.chat = from_json(json.loads(json.dumps(to_json(after.chat))))
        assert self.chat == after.chat
        assert_presses_are_answered(event, after.actions)
        assert_steps_increase(before, after)
        self.keep_the_run_table(after)
        self.see(after.actions)

    def keep_the_run_table(self, after: Step) -> None:
        for action in after.actions:
            match action:
                case StartRun():
                    assert action.run_id not in self.runs
                    self.runs.add(action.run_id)
                    self.open_runs.add(action.run_id)
                case EndRun():
                    self.open_runs.remove(action.run_id)
                case RecordRow():
                    assert action.run_id in self.runs
                case ReopenRun():
                    self.open_runs.add(action.run_id)
                case StartTimer():
                    assert action.run_id not in self.timers
                    self.timers[action.run_id] = action.element_id
                case CancelTimers():
                    del self.timers[action.run_id]
                case StartJob():
                    self.jobs.append(action)
                case CancelJobs():
                    self.past_jobs += [job for job in self.jobs if job.run_id == action.run_id]
                    self.jobs = [job for job in self.jobs if job.run_id != action.run_id]
                case _:
                    pass
        assert set(self.timers) == {run.run_id for run in after.chat.runs.values() if run.is_waiting}
        assert self.open_runs == {run.run_id for run in after.chat.runs.values() if not run.is_ended}

    def see(self, actions: tuple[Action, ...]) -> None:
        self.polls += [action for action in actions if isinstance(action, SendPoll)]
        for action in actions:
            if isinstance(action, SendText | SendSpeech):
                self.buttons += [button.data for button in action.buttons if button.app_url is None]
                links = [button.app_url for button in action.buttons if button.app_url is not None]
                self.apps += [divmod(int(link.rpartition("/")[2]), STEPS) for link in links]
        assert max((len(data) for data in self.buttons), default=0) <= 64


def assert_presses_are_answered(event: Event, actions: tuple[Action, ...]) -> None:
    answers = [action for action in actions if isinstance(action, AnswerPress)]
    assert len(answers) == isinstance(event, ButtonPressed)
    assert actions or isinstance(event, MAY_COME_TOO_LATE)


MAY_COME_TOO_LATE = PollAnswered | TimeReached | ReplyReceived | ReplyFailed | VoiceTranscribed | AppAnswered


def result_of_job(job: StartJob, words: str, trouble: Trouble | None) -> Event:
    match job.kind:
        case JobKind.TRANSCRIPTION:
            return VoiceTranscribed(ANNA, AT, job.run_id, job.step, words or None)
        case JobKind.REPLY if trouble is not None:
            return ReplyFailed(ANNA, AT, job.run_id, job.step, trouble)
        case _:
            return ReplyReceived(ANNA, AT, job.run_id, job.step, words)


def assert_steps_increase(before: Chat, after: Step) -> None:
    earlier = {run.run_id: run.step for run in before.runs.values()}
    later = {run.run_id: run.step for run in after.chat.runs.values()}
    assert all(later[run_id] >= step for run_id, step in earlier.items() if run_id in later)
    polls = [(action.run_id, action.step) for action in after.actions if isinstance(action, SendPoll)]
    assert all(earlier.get(run_id, 0) < step <= later[run_id] for run_id, step in polls)


TestLearning = Learning.TestCase
TestLearning.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- a learner who does what is asked -------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(straight_courses(), st.lists(st.integers(0, 11), min_size=len(IDS), max_size=len(IDS)))
def test_a_learner_who_does_what_is_asked_finishes(course: Course, picks: list[int]) -> None:
    courses = listed({"default": course})
    options = Options(app_url="https://example.org/app/")
    chat = step(courses, Chat(), StartRequested(ANNA, AT, "", 1), TEXTS, options).chat
    for pick in islice(chain(picks, repeat(0)), 20 * len(IDS)):
        run = chat.run
        assert run is not None
        if run.is_ended:
            break
        element = course.elements[run.element_id]
        assert awaited(element) is not Awaited.NOTHING
        event = expected_event(element, run.run_id, run.step, pick)
        if run.is_waiting and not isinstance(element, Delay):
            following = course.after(element.id)
            event = TimeReached(ANNA, AT, run.run_id, following.id if following else None)
        if run.talk is not None and run.talk.is_busy:
            event = ReplyReceived(ANNA, AT, run.run_id, run.step, "Bye {STOP}")
        chat = step(courses, chat, event, TEXTS, options).chat
    assert chat.run is not None
    assert chat.run.is_ended
