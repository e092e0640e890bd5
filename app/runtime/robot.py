"""A learner that is a program: it walks a course at random and proves that nobody gets stuck in it.

A walk is a chat of its own, played against ``app.engine.step`` without Telegram, database or model: the robot presses
buttons, also old ones, votes, writes, sends commands, lets timers fire and stands in for the model. After some events
at random it does only what helps, and must then come to the end of the course. Every walk is repeatable by its seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import assert_never

from app.config.options import DEFAULT_OPTIONS, Options
from app.course.course import Courses
from app.course.element import (
    AnyElement,
    Audio,
    Delay,
    Dialog,
    End,
    Input,
    Jump,
    Message,
    MiniApp,
    MultiChoice,
    Question,
    Quiz,
    Revision,
    Section,
    Test,
)
from app.course.graph import END, Graph, graph_of
from app.engine.action import Action, CancelJobs, CancelTimers, JobKind, RecordRow, SendPoll, StartJob, StartTimer
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
from app.engine.press import ChoicePress, LegacyPress, MenuPress, needs_run_id, parse_press
from app.engine.scene import Step
from app.engine.state import Chat, Run, from_json, to_json
from app.engine.step import step
from app.runtime.phone import Phone
from app.texts import Texts

LEARNER = Learner(1, "robot", "en")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

_NOISE = 0.25
"""How often the robot does something that the course did not ask for."""

_KEPT = 200
"""How many of the latest buttons and polls the robot remembers to touch again."""

_SHOWN_STEPS = 12

_TEXTS = (
    "да", "yes", "3", "1, 2, 3", "?", "_*[`<b>", "👍🏽" * 30, "слово " * 1000, "а" * 4096, " ", "{STOP}", "q1: Paris",
)  # fmt: skip
_REPLIES = (
    "Good.", "**Bold** and _this", "# Title\n\n- one\n- two\n\n`code", "<b>tag & more", "",
    "```py\nx = 1\n", "[link](https://example.org", "#конецдиалога",
)  # fmt: skip
_LONG_REPLY = "**long** " * 600
_LONG = 0.02
"""How often the model writes more than a message takes, which costs more time than all the rest."""

_KINDS = ("voice", "photo", "sticker", "document", "video_note")


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a walk went wrong: what happened at which element, and the latest steps that led there."""

    course_id: str
    element_id: str
    text: str
    steps: tuple[str, ...]

    @property
    def path(self) -> str:
        """The latest steps in one line."""
        repeated = [(words, len(list(same))) for words, same in groupby(self.steps)]
        shown = repeated[-_SHOWN_STEPS:]
        before = len(self.steps) - sum(count for _, count in shown)
        more = [f"({before} steps)"] if before else []
        return ", ".join(more + [f"{words} ({count} times)" if count > 1 else words for words, count in shown])


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of one walk; ``visited`` are the elements (course id, element id) that were on screen."""

    steps: int
    visited: frozenset[tuple[str, str]]
    failure: Failure | None = None


Engine = Callable[[Courses, Chat, Event, Texts, Options], Step]
"""What the robot plays against: ``app.engine.step.step``, or one with a defect, to see that it is found."""


class _FailedError(Exception):
    """The walk cannot go on."""


class Robot:
    """Walks the courses of one bot."""

    def __init__(
        self, courses: Courses, texts: Texts, options: Options = DEFAULT_OPTIONS, engine: Engine = step
    ) -> None:
        self._courses, self._texts, self._options, self._engine = courses, texts, options, engine
        self._graphs = {course_id: graph_of(course) for course_id, course in courses.courses.items()}

    def walk(self, course_id: str, seed: int) -> Walked:
        """Walk a course once; the same courses, course and seed always give the same walk."""
        random = Random(f"{seed}/{course_id}")  # noqa: S311 - repeatable by its seed, and no secret
        chat = _Chat(self._courses, self._texts, self._options, self._engine, random)
        try:
            _Wanderer(chat, course_id).wander()
            _Finisher(chat, self._graphs).finish()
            failure = None
        except _FailedError as error:
            failure = Failure(chat.course_id or course_id, chat.element_id, str(error), tuple(chat.steps))
        return Walked(len(chat.steps), frozenset(chat.visited), failure)


@dataclass(slots=True)
class _Chat:
    """One chat and what surrounds it: the phone, the timers, the jobs that are under way."""

    courses: Courses
    texts: Texts
    options: Options
    engine: Engine
    random: Random
    chat: Chat = field(default_factory=Chat)
    phone: Phone = field(default_factory=Phone)
    timers: dict[int, StartTimer] = field(default_factory=dict)
    jobs: list[StartJob] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    visited: set[tuple[str, str]] = field(default_factory=set)
    seen_buttons: list[tuple[int, str]] = field(default_factory=list)
    seen_polls: list[tuple[int, SendPoll]] = field(default_factory=list)
    last_run_id: int = 0

    @property
    def now(self) -> datetime:
        """The time: every step takes a second."""
        return BEGIN + timedelta(seconds=len(self.steps))

    @property
    def run(self) -> Run | None:
        """The run on screen, ``None`` when there is none or it is over."""
        run = self.chat.run
        return run if run is not None and not run.is_ended else None

    @property
    def course_id(self) -> str:
        """The course on screen, empty when there is none."""
        return self.chat.course_id or ""

    @property
    def element_id(self) -> str:
        """The element on screen, empty when there is none."""
        return self.chat.run.element_id if self.chat.run else ""

    @property
    def element(self) -> AnyElement | None:
        """The element of the run on screen."""
        run = self.run
        course = self.courses.get(run.course_id) if run else None
        return course.elements.get(run.element_id) if run and course else None

    def fresh_run_id(self) -> int:
        """Return an id that no run has."""
        self.last_run_id += 1
        return self.last_run_id

    def happen(self, event: Event, words: str) -> None:
        """Let something happen; raise ``_FailedError`` if it must not end like this."""
        self.steps.append(words)
        if isinstance(event, ButtonPressed | CommandReceived | StartRequested) and needs_run_id(event):
            event = replace(event, run_id=self.fresh_run_id())
        try:
            stepped = self.engine(self.courses, self.chat, event, self.texts, self.options)
        except Exception as error:
            raise _FailedError(f"the engine fails with {type(error).__name__}: {error}") from error
        self.chat = stepped.chat
        for action in stepped.actions:
            self._perform(action)
        self._check_way_on()

    def _perform(self, action: Action) -> None:
        match action:
            case RecordRow():
                self.visited.add((action.course_id, action.element_id))
            case StartTimer():
                self.timers[action.run_id] = action
            case CancelTimers():
                self.timers.pop(action.run_id, None)
            case StartJob():
                self.jobs.append(action)
            case CancelJobs():
                self.jobs = [job for job in self.jobs if job.run_id != action.run_id]
            case _:
                refused = next(self.phone.show(action), None)
                self._remember()
                if refused is not None:
                    raise _FailedError(f"Telegram would refuse {refused}")

    def _remember(self) -> None:
        """Keep what has just appeared on the phone, to touch it again when it is old."""
        latest = self.phone.messages
        self.seen_buttons += [(latest, button.data) for button in self.phone.buttons.get(latest, ())]
        if latest in self.phone.polls:
            self.seen_polls.append((latest, self.phone.polls[latest]))
        del self.seen_buttons[:-_KEPT], self.seen_polls[:-_KEPT]

    def _check_way_on(self) -> None:
        run = self.run
        if run is None or self._is_expected(run):
            return
        raise _FailedError("the learner is stuck: no button, no poll, no question and no timer leads on")

    def _is_expected(self, run: Run) -> bool:
        """Tell whether something that may happen leads on from here."""
        if run.is_waiting:
            return run.run_id in self.timers
        return (
            isinstance(self.element, Input | Dialog)
            or bool(self.live_buttons(run))
            or bool(self.live_polls(run))
            or any((job.run_id, job.step) == (run.run_id, run.step) for job in self.jobs)
        )

    def live_buttons(self, run: Run) -> list[tuple[int, str, str]]:
        """Return the buttons on the phone that belong to the step on screen: message id, data, text."""
        return [
            (message_id, button.data, button.text)
            for message_id, buttons in self.phone.buttons.items()
            for button in buttons
            if button.app_url is not None or _is_of(button.data, run)
        ]

    def live_polls(self, run: Run) -> list[tuple[int, SendPoll]]:
        """Return the poll of the step on screen with its message id."""
        return [
            (message_id, poll)
            for message_id, poll in self.phone.polls.items()
            if (poll.run_id, poll.step) == (run.run_id, run.step)
        ]

    # --- what may happen -------------------------------------------------------------------------------------------

    def start(self, payload: str, *, is_participant: bool = True) -> None:
        """Send /start with a payload."""
        event = StartRequested(LEARNER, self.now, payload, is_participant=is_participant)
        self.happen(event, f"/start {payload}".strip())

    def command(self, name: str) -> None:
        """Send a command."""
        self.happen(CommandReceived(LEARNER, self.now, name, ""), f"/{name}")

    def write(self, text: str) -> None:
        """Send a text."""
        self.happen(TextReceived(LEARNER, self.now, text), f"write {_short(text)}")

    def send(self, kind: str) -> None:
        """Send something other than a text."""
        self.happen(ContentReceived(LEARNER, self.now, kind, "file", 3), f"send a {kind}")

    def press(self, message_id: int, data: str, words: str) -> None:
        """Press a button."""
        self.happen(ButtonPressed(LEARNER, self.now, "press", data, message_id, is_participant=True), words)

    def vote(self, message_id: int, poll: SendPoll, option_ids: tuple[int, ...]) -> None:
        """Vote in a poll, with any option ids."""
        ref = PollRef(poll.run_id, poll.step, message_id)
        event = PollAnswered(LEARNER, self.now, "poll", option_ids, ref, is_bound=True)
        chosen = ", ".join(str(index + 1) for index in option_ids) or "nothing"
        self.happen(event, f"vote {chosen} in {_short(poll.question)}")

    def fire(self, run_id: int) -> None:
        """Let the timer of a run fire."""
        timer = self.timers.pop(run_id)
        event = TimeReached(LEARNER, self.now, run_id, timer.element_id)
        self.happen(event, f"the timer fires after {timer.wait}")

    def do_job(self, job: StartJob, reply: str | None = None) -> None:
        """Let a job end: with this reply of the model, or as it comes."""
        self.jobs.remove(job)
        self.result(job.run_id, job.step, job.kind, reply)

    def result(self, run_id: int, step: int, kind: JobKind, reply: str | None = None) -> None:
        """Bring what comes of a job; with no ``reply`` it may also have failed."""
        random, now = self.random, self.now
        if kind is JobKind.TRANSCRIPTION:
            text = reply if reply is not None else random.choice([None, *_TEXTS])
            self.happen(VoiceTranscribed(LEARNER, now, run_id, step, text), "the voice is transcribed")
        elif reply is None and random.random() < _NOISE:
            trouble = random.choice(list(Trouble))
            self.happen(ReplyFailed(LEARNER, now, run_id, step, trouble), f"no reply: {trouble.name.lower()}")
        else:
            marker = random.choice(["", "", *self.options.stop_markers])
            said = _LONG_REPLY if random.random() < _LONG else random.choice(_REPLIES)
            text = reply if reply is not None else said + marker
            self.happen(ReplyReceived(LEARNER, now, run_id, step, text), f"the model replies {_short(text)}")

    def answer_app(self, run_id: int, step: int, answer: str) -> None:
        """Submit a mini app."""
        self.happen(AppAnswered(LEARNER, self.now, run_id, step, answer), f"submit the app with {_short(answer)}")


class _Wanderer:
    """Does what a course asks for, mostly, and anything else in between."""

    def __init__(self, chat: _Chat, course_id: str) -> None:
        self.chat, self.course_id, self.random = chat, course_id, chat.random
        self.payload = "" if course_id == "default" else course_id

    def wander(self) -> None:
        """Start the course and do some things at random; the run may be over then."""
        self.chat.start(self.payload)
        course = self.chat.courses.courses[self.course_id]
        for _ in range(self.random.randrange(2 * len(course.elements) + 10)):
            self._anything() if self.random.random() < _NOISE else self._expected()
        if from_json(json.loads(json.dumps(to_json(self.chat.chat)))) != self.chat.chat:
            raise _FailedError("the chat is another one after it was stored")
        if self.chat.chat.run is None:
            self.chat.start(self.payload)

    def _expected(self) -> None:
        chat, run = self.chat, self.chat.run
        if run is None:
            self._begin_again()
        elif run.run_id in chat.timers:
            chat.fire(run.run_id)
        elif chat.jobs and self.random.random() < 0.8:
            chat.do_job(self.random.choice(chat.jobs))
        else:
            self._answer(run)

    def _answer(self, run: Run) -> None:
        chat, element = self.chat, self.chat.element
        if isinstance(element, MiniApp) and self.random.random() < 0.8:
            chat.answer_app(run.run_id, run.step, self.random.choice([*element.options, "q1: x", ""]))
        elif polls := chat.live_polls(run):
            message_id, poll = self.random.choice(polls)
            chat.vote(message_id, poll, self._votes(poll))
        elif isinstance(element, Input | Dialog) and self.random.random() < 0.8:
            chat.write(self.random.choice([*_TEXTS, getattr(element, "correct_answer", None) or "yes"]))
        elif buttons := chat.live_buttons(run):
            message_id, data, text = self.random.choice(buttons)
            chat.press(message_id, data, f"press {_short(text)}")
        else:
            chat.write(self.random.choice(_TEXTS))

    def _votes(self, poll: SendPoll) -> tuple[int, ...]:
        count = self.random.randint(1, len(poll.options)) if poll.allows_multiple_answers else 1
        return tuple(sorted(self.random.sample(range(len(poll.options)), count)))

    def _begin_again(self) -> None:
        if buttons := self.chat.seen_buttons[-2:]:
            message_id, data = self.random.choice(buttons)
            self.chat.press(message_id, data, "press a button from before the end")
        if self.chat.run is None:
            self.chat.start(self.payload)

    def _anything(self) -> None:
        self.random.choice(
            (self._press_old, self._press_old, self._vote_old, self._write, self._write, self._send, self._command,
             self._late_result, self._start, self._press_legacy)
        )()  # fmt: skip

    def _press_legacy(self) -> None:
        data = self.random.choice(["got_it", "wait_1d", "goto_", f"goto_{self.chat.element_id}", "nonsense"])
        self.chat.press(1, data, f"press a button of the old program, {data!r}")

    def _press_old(self) -> None:
        if self.chat.seen_buttons:
            message_id, data = self.random.choice(self.chat.seen_buttons)
            self.chat.press(message_id, data, "press an old button")

    def _vote_old(self) -> None:
        if self.chat.seen_polls:
            message_id, poll = self.random.choice(self.chat.seen_polls)
            self.chat.vote(message_id, poll, self.random.choice([(), (0,), (1,), (0, 1), (99,)]))

    def _write(self) -> None:
        self.chat.write(self.random.choice(_TEXTS))

    def _send(self) -> None:
        self.chat.send(self.random.choice(_KINDS))

    def _command(self) -> None:
        self.chat.command(self.random.choice(["unknown", *sorted(self.chat.options.commands)]))

    def _late_result(self) -> None:
        """Bring the result of a job of an older step, and an answer of its app."""
        run = self.chat.chat.run
        if run is not None and run.step > 1:
            self.chat.result(run.run_id, self.random.randrange(1, run.step), self.random.choice(list(JobKind)))
            self.chat.answer_app(run.run_id, self.random.randrange(1, run.step), "late")

    def _start(self) -> None:
        if self.random.random() < _NOISE:
            self.chat.start(self.random.choice([self.payload, "no_such_course"]), is_participant=False)


class _Finisher:
    """Does only what helps, and comes to the end of the course on the shortest way."""

    def __init__(self, chat: _Chat, graphs: Mapping[str, Graph]) -> None:
        self.chat, self.graphs = chat, graphs

    def finish(self) -> None:
        """Go on until the run is over, or stands in a circle that the author gave no way out."""
        for _ in range(self._patience()):
            run = self.chat.run
            if run is None or run.element_id not in self.graphs[run.course_id].to_end:
                return
            self._go_on(run)
        raise _FailedError("the course does not come to its end, although an end can be reached from here")

    def _patience(self) -> int:
        run = self.chat.run
        # A revision on the way repeats elements, and a dialog takes several events.
        return 6 * len(self.graphs[run.course_id].edges) + 100 if run else 1

    def _go_on(self, run: Run) -> None:
        chat = self.chat
        jobs = [job for job in chat.jobs if (job.run_id, job.step) == (run.run_id, run.step)]
        if run.is_waiting:
            chat.fire(run.run_id)
        elif jobs:
            stop = next(iter(chat.options.stop_markers), "")
            chat.do_job(jobs[0], "yes" if jobs[0].kind is JobKind.TRANSCRIPTION else f"Well done! {stop}")
        else:
            self._answer(run)

    def _answer(self, run: Run) -> None:
        chat, element = self.chat, self.chat.element
        match element:
            case Message() | Jump() | Test() | Revision():
                self._press_nearest(run, element)
            case Input():
                chat.write(element.correct_answer or "yes")
            case Quiz() | Question() | MultiChoice():
                self._vote_right(run, element)
            case Dialog():
                chat.write("yes")
            case MiniApp():
                chat.answer_app(run.run_id, run.step, element.correct_answer or "yes")
            case Audio() | Section() | Delay() | End() | None:
                raise _FailedError("nothing can be done here")
            case _:
                assert_never(element)

    def _press_nearest(self, run: Run, element: Message | Jump | Test | Revision) -> None:
        graph = self.graphs[run.course_id]

        def distance(button: tuple[int, str, str]) -> float:
            press = parse_press(button[1])
            if not isinstance(press, ChoicePress) or press.index >= len(graph.edges[element.id]):
                return float("inf")
            target = graph.edges[element.id][press.index].target
            return 0 if target is END else graph.to_end.get(target, float("inf"))

        message_id, data, text = min(self.chat.live_buttons(run), key=distance)
        self.chat.press(message_id, data, f"press {_short(text)}")

    def _vote_right(self, run: Run, element: Quiz | Question | MultiChoice) -> None:
        message_id, poll = self.chat.live_polls(run)[-1]
        right = tuple(index for index, option in enumerate(element.options) if option.correct) or (0,)
        self.chat.vote(message_id, poll, right if poll.allows_multiple_answers else right[-1:])


def _is_of(data: str, run: Run) -> bool:
    press = parse_press(data)
    if press is None or isinstance(press, MenuPress | LegacyPress):
        return False
    return (press.run_id, press.step) == (run.run_id, run.step)


def _short(text: str) -> str:
    return repr(text if len(text) <= 20 else text[:17] + "...")
