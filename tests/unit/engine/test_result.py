"""What scores add up to: results of tests and chains of revisions."""

from collections.abc import Mapping

import pytest

from app.course.course import Course
from app.course.element import AnyElement, Input, Message, MultiChoice, Quiz, Revision, Verdict
from app.engine.result import chain_of, result_of, verdict_of
from app.engine.state import Chain, Score

RIGHT, HALF, WRONG = Score(1, 1), Score(0.5, 1), Score(0, 1)
NOBODY: Mapping[str, Score] = {}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param(NOBODY, Score(0, 0), id="nothing answered"),
        pytest.param({"Q_1": RIGHT, "Q_2": HALF, "Q_3": WRONG}, Score(1.5, 3), id="sum"),
        pytest.param({"Q_1": Score(1, 1, attempt=4)}, Score(1, 1), id="latest attempt only"),
        pytest.param({"Q_1": RIGHT, "Q1_1": WRONG, "Qx1": WRONG}, RIGHT, id="no wildcard"),
        pytest.param({"Q_1": RIGHT, "q_1": WRONG, "My_Q_1": WRONG}, RIGHT, id="case and beginning"),
        pytest.param({"Q_": RIGHT}, RIGHT, id="the prefix itself"),
    ],
)
def test_d33_result(scores: Mapping[str, Score], expected: Score) -> None:
    assert result_of("Q_", scores) == expected


VERDICTS = (Verdict(0, "perfect"), Verdict(9, "good"), Verdict(50, "fair"))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Score(10, 10), "perfect"),
        (Score(9.5, 10), "good"),
        (Score(91, 100), "good"),
        (Score(90.9, 100), "fair"),
        (Score(5, 10), "fair"),
        (Score(4, 10), "fair"),
        (Score(0, 10), "fair"),
        (Score(0, 0), "fair"),
    ],
)
def test_d33_verdict(result: Score, expected: str) -> None:
    assert verdict_of(VERDICTS, result) == expected


def test_d33_verdict_of_nothing_answered_is_the_worst() -> None:
    assert verdict_of((Verdict(0, "perfect"), Verdict(99, "hm"), Verdict(100, "begin")), Score(0, 0)) == "begin"


def test_no_verdicts() -> None:
    assert verdict_of((), Score(1, 2)) == ""


def course_of(*elements: AnyElement) -> Course:
    return Course({element.id: element for element in elements})


COURSE = course_of(
    Quiz("Q_1", {}), Input("Q_2", {}), MultiChoice("Q_3", {}), Quiz("Q_4", {}), Message("Q_5", {}), Quiz("P_1", {})
)
AGAIN = Revision("Again", {}, prefix="Q_")


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param(NOBODY, None, id="nothing answered"),
        pytest.param({"Q_1": RIGHT, "Q_2": RIGHT}, None, id="no mistakes"),
        pytest.param({"P_1": WRONG}, None, id="mistakes elsewhere"),
        pytest.param({"Q_3": HALF, "Q_1": WRONG}, ("Q_1", "Q_3"), id="order of the course, halves too"),
        pytest.param({"Q_2": WRONG, "Q_1": RIGHT}, ("Q_2", "Q_1"), id="solved ones follow"),
        pytest.param(
            {"Q_1": RIGHT, "Q_2": RIGHT, "Q_3": RIGHT, "Q_4": WRONG},
            ("Q_4", "Q_1", "Q_2"),
            id="two solved ones at most",
        ),
        pytest.param({"Q_1": Score(1, 1, attempt=2)}, None, id="solved in the end"),
        pytest.param({"Q_5": WRONG, "Q_9": WRONG}, None, id="no longer questions of the course"),
    ],
)
def test_d34_chain(scores: Mapping[str, Score], expected: tuple[str, ...] | None) -> None:
    chain = Chain("Again", expected) if expected else None
    assert chain_of(AGAIN, COURSE, scores) == chain
