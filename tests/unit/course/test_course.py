import pytest

from app.course.course import Course, Courses, Entry
from app.course.element import End, Message

A, B, C = Message("a", {}, text="hi"), Message("b", {}, text="ho"), End("c", {})
COURSE = Course({"a": A, "b": B, "c": C})


def test_the_order_is_that_of_the_file() -> None:
    assert COURSE.order == ("a", "b", "c")
    assert COURSE.first() == A
    assert [COURSE.after(element_id) for element_id in ("a", "b", "c", "gone")] == [B, C, None, None]


def test_a_course_without_elements_has_no_first() -> None:
    assert Course({}).first() is None


@pytest.mark.parametrize(("element", "expected"), [(None, A), ("b", B), ("gone", A)])
def test_a_run_starts_at_the_element_of_the_entry_if_there_is_one(element: str | None, expected: Message) -> None:
    courses = Courses({"x": Entry("x", "scripts/x.yml", element)}, {"x": COURSE})
    assert courses.start_of("x") == expected


def test_a_course_that_could_not_be_loaded_has_no_start() -> None:
    courses = Courses({"x": Entry("x", "scripts/x.yml")})
    assert (courses.get("x"), courses.start_of("x"), courses.start_of("unknown")) == (None, None, None)
