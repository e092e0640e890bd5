"""Tests and revisions, played through a course."""

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import dedent

from app.course.course import Course, Courses, Entry
from app.course.loader import load_course
from app.engine.action import Action, RecordRow, Role, SendPoll, SendText
from app.engine.event import ButtonPressed, Event, Learner, PollAnswered, PollRef, StartRequested, TextReceived
from app.engine.press import ChoicePress, ResumePress
from app.engine.state import Chain, Chat, Run, Score
from app.engine.step import step
from app.texts import texts_for

TEXTS = texts_for("en")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Learner(7)
QUESTIONS = """
    Q_1: {type: quiz, text: one, answers: [{text: right, correct: yes}, {text: wrong}]}
    Q_2: {type: input, text: two, correct_answer: "2"}
    Q_3: {type: multi_choice, text: three, answers: [{text: a, correct: yes}, {text: b}, {text: c}]}
"""
REVISION = "Again: {type: revision, text: Once more, prefix: Q_, no_mistakes: All right%s}"
RESULT = """
    Result: {type: test, text: "{score} of {maxscore}, {score}!", prefix: Q_, score: {0: great, 60: good, "100": hm}%s}
"""


def courses_of(*parts: str) -> Courses:
    course, problems = load_course("\n".join(dedent(part) for part in parts), "a.yml")
    assert problems == []
    return Courses({"default": Entry("default", "a.yml")}, {"default": course})


class Player:
    """One chat that goes through a course; ``seen`` are the texts and questions since the last event."""

    def __init__(self, *parts: str) -> None:
        self.courses = courses_of(*parts)
        self.chat = Chat()
        self.actions: tuple[Action, ...] = ()
        self.happens(StartRequested(ANNA, AT, "", 1))

    @property
    def run(self) -> Run:
        assert self.chat.run is not None
        return self.chat.run

    @property
    def seen(self) -> list[str]:
        return [
            action.text if isinstance(action, SendText) else action.question
            for action in self.actions
            if isinstance(action, SendText | SendPoll)
        ]

    @property
    def rows(self) -> list[tuple[object, ...]]:
        return [
            (row.element_id, row.role.value, row.report, row.score, row.maxscore, row.attempt)
            for row in self.actions
            if isinstance(row, RecordRow)
        ]

    def happens(self, event: Event) -> list[str]:
        self.chat, self.actions, _ = step(self.courses, self.chat, event, TEXTS)
        return self.seen

    def press(self, index: int = 0) -> list[str]:
        return self.happens(ButtonPressed(ANNA, AT, "cb", ChoicePress(self.run.run_id, self.run.step, index).data, 1))

    def resume(self) -> list[str]:
        return self.happens(ButtonPressed(ANNA, AT, "cb", ResumePress(self.run.run_id, self.run.step).data, 1))

    def vote(self, *option_ids: int) -> list[str]:
        poll = PollRef(self.run.run_id, self.run.step, 1)
        return self.happens(PollAnswered(ANNA, AT, "poll", option_ids, poll, is_bound=True))

    def write(self, text: str) -> list[str]:
        return self.happens(TextReceived(ANNA, AT, text))


def answer(player: Player, *, first: int, second: str, third: Sequence[int]) -> list[str]:
    player.vote(first)
    player.write(second)
    return player.vote(*third)


# --- tests ----------------------------------------------------------------------------------------------------------


def test_a_test_shows_the_result_and_goes_on() -> None:
    player = Player(QUESTIONS, RESULT % "", "Bye: {type: end, text: Bye}")
    assert answer(player, first=0, second="3", third=[0, 1])[-2:] == ["1.5 of 3, 1.5!\ngood", "Bye"]
    assert player.rows[-2] == ("Result", "bot", "1.5 of 3, 1.5!\ngood", 1.5, 3, 1)
    assert player.run.is_ended


def test_a_test_with_a_button_waits_for_it() -> None:
    player = Player(QUESTIONS, RESULT % ", button: OK", "Bye: {type: end, text: Bye}")
    assert answer(player, first=0, second="2", third=[0])[-1] == "3 of 3, 3!\ngreat"
    assert player.write("so?") == [TEXTS.press_button]
    assert player.press() == ["Bye"]


def test_d33_a_test_without_answers() -> None:
    player = Player(RESULT.replace("Q_", "X_") % "", "X_1: {type: input, text: x, correct_answer: x}")
    assert player.seen == ["0 of 0, 0!\nhm", "x"]


def test_d33_a_test_counts_no_test_and_the_latest_attempts() -> None:
    player = Player(
        QUESTIONS.replace("Q_", "R"),
        (RESULT % ", button: OK").replace("Q_", "R").replace("Result:", "R_Result:"),
        "R_Again: {type: jump, text: Again?, options: [{text: Yes, goto: R1}]}",
    )
    answer(player, first=1, second="3", third=[1, 2])
    assert player.seen[-1] == "0 of 3, 0!\nhm"
    player.press()
    player.press()
    assert answer(player, first=0, second="2", third=[0])[-1] == "3 of 3, 3!\ngreat"


# --- revisions ------------------------------------------------------------------------------------------------------


def test_d34_a_revision_repeats_mistakes_under_their_own_ids() -> None:
    player = Player(QUESTIONS, REVISION % ", button: Go", RESULT % "", "Bye: {type: end, text: Bye}")
    assert answer(player, first=1, second="2", third=[0, 1])[-1] == "Once more"
    assert player.run.chain == Chain("Again", ("Q_1", "Q_3", "Q_2"))
    assert player.press() == ["one"]
    assert player.vote(0) == ["three"]
    assert player.rows[:2] == [("Q_1", "user", "right", None, None, 1), ("Q_1", "bot", None, 1, 1, 2)]
    assert player.vote(1, 2)[-1] == "two"
    assert player.run.chain == Chain("Again", ())
    assert player.write("2") == ["2 of 3, 2!\ngood", "Bye"]
    assert player.run.scores == {"Q_1": Score(1, 1, 2), "Q_2": Score(1, 1, 2), "Q_3": Score(0, 1, 2)}


def test_d34_a_revision_without_a_button_begins_by_itself() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    assert answer(player, first=1, second="2", third=[0])[-2:] == ["Once more", "one"]
    assert player.vote(1) == ["two"]
    assert player.write("2") == ["three"]
    assert player.vote(0)[-1] == "Bye"


def test_d34_a_revision_without_mistakes_goes_on() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    assert answer(player, first=0, second="2", third=[0])[-2:] == ["All right", "Bye"]
    assert player.rows[-2] == ("Again", Role.BOT.value, "All right", None, None, 1)


def test_d34_a_mistake_that_was_solved_later_is_not_repeated() -> None:
    back = "Back: {type: jump, text: Back?, options: [{text: Yes, goto: Q_1}, {text: No}]}"
    player = Player(QUESTIONS, back, REVISION % "", "Bye: {type: end, text: Bye}")
    answer(player, first=1, second="2", third=[0])
    player.press(0)
    answer(player, first=0, second="2", third=[0])
    assert player.press(1) == ["All right", "Bye"]


def test_a_repeated_mistake_is_not_repeated_again() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    answer(player, first=1, second="2", third=[0])
    player.vote(1)
    player.write("1")
    assert player.vote(1)[-1] == "Bye"


def test_a_revision_goes_on_where_it_was_after_a_resume() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    answer(player, first=1, second="3", third=[0])
    assert player.resume() == ["one"]
    assert player.vote(0) == ["two"]
    assert player.resume() == ["two"]
    assert player.write("2") == ["three"]


def test_what_has_gone_from_the_course_is_not_repeated() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    answer(player, first=1, second="3", third=[1, 2])
    elements = dict(player.courses.courses["default"].elements)
    del elements["Q_2"]
    player.courses = Courses(player.courses.entries, {"default": Course(elements)})
    assert player.vote(0) == ["three"]


def test_a_revision_that_has_gone_from_the_course() -> None:
    player = Player(QUESTIONS, REVISION % "", "Bye: {type: end, text: Bye}")
    answer(player, first=1, second="3", third=[1, 2])
    player.courses = courses_of(QUESTIONS, "Bye: {type: end, text: Bye}")
    assert player.vote(0) == [TEXTS.course_changed]
    assert player.run.is_ended
