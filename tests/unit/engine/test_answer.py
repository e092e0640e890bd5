"""How each element takes its answer: tables of (element, answer, reply)."""

import pytest

from app.course.element import Input, InputType, MultiChoice, Option, ParseMode, Question, Quiz
from app.engine.action import Action, RecordRow, Role, SendText
from app.engine.answer import PollElement, Reply, answer_input, answer_poll
from app.engine.state import Run, Score

MARKDOWN, HTML = ParseMode.MARKDOWN, ParseMode.HTML
SEQUENCE = InputType.SEQUENCE
RIGHT, HALF, WRONG = Score(1, 1), Score(0.5, 1), Score(0, 1)


def run_on(kind: str) -> Run:
    return Run(12, "spring", "E", 3, {"type": kind})


def row(kind: str, role: Role, report: str | None, score: Score | None = None) -> RecordRow:
    points = (score.score, score.maxscore) if score else (None, None)
    return RecordRow(12, "spring", "E", kind, role, report, *points, body={"type": kind})


def question_for(**fields: object) -> Input:
    return Input("E", {"type": "input"}, text="?", **fields)


def test_input_without_a_right_answer_is_not_scored() -> None:
    reply = answer_input(question_for(), run_on("input"), "Anna")
    assert reply == Reply((row("input", Role.USER, "Anna"),))


def test_input_without_a_right_answer_is_acknowledged() -> None:
    element = question_for(feedback_correct="Thank you", feedback_incorrect="Oh", parse_mode=HTML)
    assert answer_input(element, run_on("input"), "Anna") == Reply(
        (row("input", Role.USER, "Anna"), SendText("Thank you", HTML), row("input", Role.BOT, "Thank you"))
    )


@pytest.mark.parametrize(
    ("answer", "feedback", "score"),
    [("Paris", "Yes!", RIGHT), ("London", "No", WRONG)],
)
def test_input_with_feedback(answer: str, feedback: str, score: Score) -> None:
    element = question_for(correct_answer="paris", feedback_correct="Yes!", feedback_incorrect="No")
    assert answer_input(element, run_on("input"), answer) == Reply(
        (
            row("input", Role.USER, answer),
            SendText(feedback, MARKDOWN),
            row("input", Role.BOT, feedback, score),
        ),
        score,
    )


@pytest.mark.parametrize(("answer", "score"), [("Paris", RIGHT), ("London", WRONG)])
def test_d16_input_is_scored_without_feedback(answer: str, score: Score) -> None:
    reply = answer_input(question_for(correct_answer="paris"), run_on("input"), answer)
    assert reply == Reply((row("input", Role.USER, answer), row("input", Role.BOT, None, score)), score)


@pytest.mark.parametrize(
    ("input_type", "expected", "answer", "is_right"),
    [
        (InputType.TEXT, "Paris", "  pARIS\n", True),
        (InputType.TEXT, " Ёлка ", "ёлка", True),
        (InputType.TEXT, "Paris", "Paris!", False),
        (InputType.TEXT, "1 2", "12", False),
        (SEQUENCE, "1, 2, 3", "123", True),
        (SEQUENCE, "123", "1-2-3 I think", True),
        (SEQUENCE, "123", "321", False),
        (SEQUENCE, "123", "no idea", False),
        (SEQUENCE, "a b", "whatever", False),
        (SEQUENCE, "a b", "A B", True),
    ],
)
def test_comparison(input_type: InputType, expected: str, answer: str, is_right: bool) -> None:
    element = question_for(correct_answer=expected, input_type=input_type)
    assert answer_input(element, run_on("input"), answer).score == (RIGHT if is_right else WRONG)


def quiz(*options: Option, parse_mode: ParseMode | None = None) -> Quiz:
    return Quiz("E", {"type": "quiz"}, text="?", options=options, parse_mode=parse_mode)


CAT = Option("cat", feedback="*Meow*")
DOG = Option("dog", correct=True, feedback="Right")
COW, PIG = Option("cow"), Option("pig", correct=True)


def quiz_reply(text: str, feedback: str | None, score: Score, parse_mode: ParseMode | None = None) -> Reply:
    sent: tuple[Action, ...] = (SendText(feedback, parse_mode),) if feedback else ()
    return Reply((row("quiz", Role.USER, text), *sent, row("quiz", Role.BOT, feedback, score)), score)


@pytest.mark.parametrize(
    ("element", "option", "expected"),
    [
        pytest.param(quiz(CAT, DOG), 1, quiz_reply("dog", "Right", RIGHT), id="right"),
        pytest.param(quiz(CAT, DOG), 0, quiz_reply("cat", "*Meow*", WRONG), id="wrong, plain text"),
        pytest.param(quiz(CAT, DOG, parse_mode=HTML), 0, quiz_reply("cat", "*Meow*", WRONG, HTML), id="html"),
        pytest.param(quiz(COW, PIG), 1, quiz_reply("pig", None, RIGHT), id="d16 right without feedback"),
        pytest.param(quiz(COW, PIG), 0, quiz_reply("cow", None, WRONG), id="d16 wrong without feedback"),
        pytest.param(quiz(PIG, COW, DOG), 0, quiz_reply("pig", None, RIGHT), id="d15 first of two correct"),
        pytest.param(quiz(PIG, COW, DOG), 2, quiz_reply("dog", "Right", RIGHT), id="d15 last of two correct"),
    ],
)
def test_quiz(element: Quiz, option: int, expected: Reply) -> None:
    assert answer_poll(element, run_on("quiz"), (option,)) == expected


def test_question() -> None:
    element = Question("E", {"type": "question"}, text="?", options=(CAT, COW))
    run = run_on("question")
    assert answer_poll(element, run, (0,)) == Reply(
        (row("question", Role.USER, "cat"), SendText("*Meow*"), row("question", Role.BOT, "*Meow*"))
    )
    assert answer_poll(element, run, (1,)) == Reply((row("question", Role.USER, "cow"),))


def multi_choice(*options: Option, **fields: object) -> MultiChoice:
    verdicts = {"feedback_correct": "All", "feedback_partial": "Some", "feedback_incorrect": "None"}
    return MultiChoice("E", {"type": "multi_choice"}, text="?", options=options, **{**verdicts, **fields})


def multi_reply(chosen: str, review: str, verdict: str | None, score: Score, parse_mode: ParseMode = MARKDOWN) -> Reply:
    kind = "multi_choice"
    sent: tuple[Action, ...] = (SendText(verdict, parse_mode),) if verdict else ()
    return Reply(
        (
            row(kind, Role.USER, chosen),
            SendText(review, parse_mode),
            row(kind, Role.BOT, review),
            *sent,
            row(kind, Role.BOT, verdict, score),
        ),
        score,
    )


FOUR = (CAT, DOG, COW, PIG)


@pytest.mark.parametrize(
    ("element", "option_ids", "expected"),
    [
        pytest.param(
            multi_choice(*FOUR),
            (1, 3),
            multi_reply("dog\npig", "✅ dog\n   👉 Right\n✅ pig", "All", RIGHT),
            id="exactly the right set",
        ),
        pytest.param(
            multi_choice(*FOUR),
            (0, 2),
            multi_reply("cat\ncow", "🚫 cat\n   👉 *Meow*\n🚫 cow", "None", WRONG),
            id="exactly the complement",
        ),
        pytest.param(multi_choice(*FOUR), (3,), multi_reply("pig", "✅ pig", "Some", HALF), id="some right"),
        pytest.param(multi_choice(*FOUR), (2,), multi_reply("cow", "🚫 cow", "Some", HALF), id="one wrong"),
        pytest.param(
            multi_choice(*FOUR), (3, 2), multi_reply("cow\npig", "🚫 cow\n✅ pig", "Some", HALF), id="in file order"
        ),
        pytest.param(
            multi_choice(COW, PIG, feedback_correct=None),
            (1,),
            multi_reply("pig", "✅ pig", None, RIGHT),
            id="d17 without a verdict text",
        ),
        pytest.param(
            multi_choice(Option("a_b *c* [d] `e`"), PIG),
            (0,),
            multi_reply("a_b *c* [d] `e`", "🚫 a\\_b \\*c\\* \\[d] \\`e\\`", "None", WRONG),
            id="option text is not markdown",
        ),
        pytest.param(
            multi_choice(Option("a_b < c & d"), PIG, parse_mode=HTML),
            (0,),
            multi_reply("a_b < c & d", "🚫 a_b &lt; c &amp; d", "None", WRONG, HTML),
            id="option text is not html",
        ),
    ],
)
def test_multi_choice(element: PollElement, option_ids: tuple[int, ...], expected: Reply) -> None:
    assert answer_poll(element, run_on("multi_choice"), option_ids) == expected
