"""How far the runs of a course have come, from where they stand."""

from __future__ import annotations

import pytest

from app.course.course import Course, Courses, Entry
from app.course.element import Message
from app.runtime.figures import Funnel, funnels_of
from app.store.rows import RunPlace


def courses(**sizes: int) -> Courses:
    """Return courses of so many elements, whose ids are E1, E2, ..."""
    made = {
        course_id: Course({f"E{number}": Message(f"E{number}", "text") for number in range(1, size + 1)})
        for course_id, size in sizes.items()
    }
    return Courses({course_id: Entry(course_id, "course.yml") for course_id in made}, made)


def funnel(*runs: int) -> Funnel:
    return Funnel(dict(zip(("started", "25%", "50%", "75%", "finished"), runs, strict=True)))


@pytest.mark.parametrize(
    ("element_id", "stages"),
    [
        (None, (1, 0, 0, 0, 0)),
        ("gone", (1, 0, 0, 0, 0)),
        ("E1", (1, 0, 0, 0, 0)),
        ("E2", (1, 1, 0, 0, 0)),
        ("E3", (1, 1, 0, 0, 0)),
        ("E4", (1, 1, 1, 0, 0)),
        ("E6", (1, 1, 1, 1, 0)),
        ("E8", (1, 1, 1, 1, 0)),
    ],
)
def test_a_run_has_come_as_far_as_it_stands(element_id: str | None, stages: tuple[int, ...]) -> None:
    assert funnels_of(courses(a=8), [RunPlace("bot", "a", element_id, False, 1)]) == {"a": funnel(*stages)}


def test_one_that_has_ended_has_passed_all() -> None:
    assert funnels_of(courses(a=8), [RunPlace("bot", "a", None, True, 3)]) == {"a": funnel(3, 3, 3, 3, 3)}


def test_runs_add_up_for_each_course_there_is() -> None:
    places = [
        RunPlace("bot", "a", "E1", False, 5),
        RunPlace("bot", "a", "E3", False, 2),
        RunPlace("bot", "a", None, True, 1),
        RunPlace("bot", "b", "E1", False, 4),
        RunPlace("bot", "gone", "E1", False, 9),
    ]
    found = funnels_of(courses(a=4, b=4, c=4), places)
    assert found == {"a": funnel(8, 8, 3, 3, 1), "b": funnel(4, 4, 0, 0, 0), "c": funnel(0, 0, 0, 0, 0)}
    assert [one.conversion for one in found.values()] == [1 / 8, 0.0, None]
