"""What ``flotilla check`` says when its robot fails.

The loader refuses courses that cannot be walked, so this one is built past it.
"""

from pathlib import Path

from app.cli.check import _Shelf, _walk
from app.cli.findings import Findings
from app.course.course import Course, Courses, Entry
from app.course.element import Choice, Message
from app.errors import Problem


def message(element_id: str, text: str, line: int) -> Message:
    body = {"type": "message", "text": text, "button": "go"}
    return Message(element_id, body, line, text=text, choices=(Choice("go"),))


def test_a_walk_that_fails_is_an_error_that_can_be_repeated() -> None:
    course = Course({"a": message("a", "hi", 1), "b": message("b", " ", 5)}, "scripts/school/a.yml")
    courses = Courses({"default": Entry("default", course.source)}, {"default": course})
    findings = Findings()
    walks = _walk(findings, [_Shelf(Path("texts"), courses)], 30, 5)
    assert (walks.seed, walks.count, walks.visited, walks.elements) == (5, 30, 1, 2)
    (problem,) = findings.problems
    start, _, steps = problem.text.partition("; its steps: ")
    seed = int(start.split()[1])
    assert problem == Problem(
        "texts/school/a.yml",
        5,
        0,
        "b",
        f"walk {seed} of course 'default' fails: Telegram would refuse an empty text; its steps: {steps}",
        f"repeat it with --walks 1 --seed {seed}",
    )
    assert steps.startswith("/start")
    assert steps.endswith("press 'go'")
    again = Findings()
    assert _walk(again, [_Shelf(Path("texts"), courses)], 1, seed).count == 1
    assert again.problems == findings.problems
