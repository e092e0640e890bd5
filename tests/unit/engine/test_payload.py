import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.course import Courses, Entry
from app.engine.payload import Payload, parse_payload

COURSES = Courses(entries={name: Entry(name, f"{name}.yml") for name in ("default", "spring", "utm_course")})


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("", Payload("default")),
        ("  ", Payload("default")),
        ("spring", Payload("spring")),
        ("autumn", Payload("autumn")),
        ("spring__utmsIItg__utmcIItg-may-post", Payload("spring", "tg", "tg-may-post")),
        ("spring__utmcIImay", Payload("spring", None, "may")),
        ("utmsIItg__utmcIIx", Payload("default", "tg", "x")),
        ("utmcIIx__utmsIItg", Payload("default", "tg", "x")),
        ("utmx__utmsIItg", Payload("default", "tg")),
        ("spring__whatever__utmsIItg", Payload("spring", "tg")),
        ("spring__utmtIIterm__utmsIItg", Payload("spring", "tg")),
        ("spring__utmsII", Payload("spring")),
        ("spring__", Payload("spring")),
        ("__utmsIItg", Payload("default", "tg")),
        ("utm_course", Payload("utm_course")),
        ("utm_course__utmsIItg", Payload("utm_course", "tg")),
        ("two words", Payload("two words")),
    ],
)
def test_parts(payload: str, expected: Payload) -> None:
    assert parse_payload(payload, COURSES) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("utmsIItg", Payload("default", "tg")),
        ("utmcIIx", Payload("default", None, "x")),
        ("spring__utmsIIaIIb", Payload("spring", "aIIb")),
        ("utmsIIaIIb", Payload("default", "aIIb")),
        ("spring__IIII__utmsIItg", Payload("spring", "tg")),
    ],
)
def test_d29_lone_and_odd_parameters(payload: str, expected: Payload) -> None:
    assert parse_payload(payload, COURSES) == expected


@given(st.lists(st.sampled_from(["spring", "utms", "utmc", "utm", "II", "__", "_", "x", ""])).map("".join) | st.text())
def test_nothing_makes_it_fail(payload: str) -> None:
    course_id, source, campaign = parse_payload(payload, COURSES)
    assert course_id
    assert source != ""
    assert campaign != ""
