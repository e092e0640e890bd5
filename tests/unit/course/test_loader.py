"""Lists of courses and the files they name."""

from collections.abc import Callable
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.course import Course, Courses, Entry
from app.course.grammar import TYPES
from app.course.loader import load_course, load_courses, load_list, resolve
from app.errors import Problem

GOOD = "a: {type: message, text: hi}\nb: {type: end}\n"


def files(content: dict[str, str | OSError | bytes]) -> Callable[[str], str]:
    """Return a reader of files that exist only here."""

    def read(file: str) -> str:
        found = content.get(file, FileNotFoundError(2, "No such file or directory"))
        if isinstance(found, OSError):
            raise found
        return found.decode() if isinstance(found, bytes) else dedent(found)

    return read


def load(content: dict[str, str | OSError | bytes], folder: str = "") -> tuple[Courses, list[str]]:
    courses, problems = load_courses(files(content), folder)
    return courses, [f"{problem.severity}: {problem}" for problem in problems]


def test_a_list_with_every_key() -> None:
    courses, problems = load(
        {
            "scripts/school/courses.yml": """
                default:
                  path: hello.yml
                spring:
                  path: scripts/shared/spring.yml
                  element: b
                  restricted: "yes"
                  decline_text: "Register first: https://example.org"
                  ban_enabled: true
                  ban_text: Enough
                  token: a-secret-link-of-the-web-version
            """,
            "scripts/school/hello.yml": GOOD,
            "scripts/shared/spring.yml": GOOD,
        },
        "school/",
    )
    assert problems == []
    assert courses.entries == {
        "default": Entry("default", "scripts/school/hello.yml"),
        "spring": Entry(
            "spring", "scripts/shared/spring.yml", "b", True, "Register first: https://example.org", True, "Enough"
        ),
    }
    assert {course_id: course.source for course_id, course in courses.courses.items()} == {
        "default": "scripts/school/hello.yml",
        "spring": "scripts/shared/spring.yml",
    }
    start = courses.start_of("spring")
    assert start is not None
    assert start.id == "b"


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("a.yml", "", "scripts/a.yml"),
        ("a.yml", "school/", "scripts/school/a.yml"),
        ("a.yml", "school", "scripts/school/a.yml"),
        ("sub/a.yml", "school", "scripts/school/sub/a.yml"),
        ("scripts/a.yml", "school/", "scripts/a.yml"),
        ("./a.yml", "school/", "scripts/school/a.yml"),
        ("../a.yml", "school/", "scripts/a.yml"),
        ("scripts/a.yml/", "x", "scripts/a.yml"),
        ("scripts//shared/./a.yml", "", "scripts/shared/a.yml"),
        ("./scripts/a.yml", "school", "scripts/school/scripts/a.yml"),
    ],
)
def test_resolve(path: str, folder: str, expected: str) -> None:
    assert resolve(path, folder) == expected


@pytest.mark.parametrize("path", ["../a.yml", "/etc/passwd", "scripts/../a.yml", "x/../../a.yml", "..\\a.yml", "c:\\a"])
def test_a_path_must_stay_inside(path: str) -> None:
    with pytest.raises(ValueError, match="leads out of scripts/"):
        resolve(path, "")


@given(st.text("./a\\~:", max_size=20), st.sampled_from(["", "school", "a/b/"]))
def test_a_resolved_path_stays_inside(path: str, folder: str) -> None:
    try:
        resolved = resolve(path, folder)
    except ValueError:
        return
    assert resolved.startswith("scripts/")
    assert ".." not in resolved.split("/")


def test_a_path_that_leads_out_is_an_error_of_its_entry() -> None:
    courses, problems = load(
        {"scripts/courses.yml": "default: {path: a.yml}\nb: {path: ../b.yml}", "scripts/a.yml": GOOD}
    )
    assert list(courses.courses) == ["default"]
    assert problems == [
        "error: scripts/courses.yml:2:5: b/path: '../b.yml' leads out of scripts/; name a file inside it"
    ]


def test_a_folder_that_leads_out_is_an_error() -> None:
    assert load({}, "../elsewhere/") == (
        Courses(),
        ["error: scripts/: 'courses.yml' leads out of scripts/; correct the bot's folder"],
    )


def test_an_extension_replaces_entries_and_is_not_followed() -> None:
    courses, problems = load(
        {
            "scripts/courses.yml": """
                default: {path: a.yml}
                spring: {path: a.yml, restricted: yes}
                ext_courses: {path: more.yml}
            """,
            "scripts/more.yml": """
                spring: {path: b.yml}
                autumn: {path: b.yml}
                ext_courses: {path: deeper.yml}
            """,
            "scripts/a.yml": GOOD,
            "scripts/b.yml": GOOD,
        }
    )
    assert problems == []
    assert courses.entries == {
        "default": Entry("default", "scripts/a.yml"),
        "spring": Entry("spring", "scripts/b.yml"),
        "autumn": Entry("autumn", "scripts/b.yml"),
    }


def test_the_keys_of_an_entry() -> None:
    courses, problems = load(
        {
            "scripts/courses.yml": """
                default:
                  path: a.yml
                  element: a
                  title: ' First steps '
                  restricted: yes
                  decline_text: No
                  ban_enabled: 'yes'
                  ban_text: Enough
                  message_limit: '150'
                  daily_limit: 20
                  token: abc
            """,
            "scripts/a.yml": GOOD,
        }
    )
    assert problems == []
    assert courses.entries["default"] == Entry(
        "default",
        "scripts/a.yml",
        element="a",
        title="First steps",
        restricted=True,
        decline_text="No",
        ban_enabled=True,
        ban_text="Enough",
        message_limit=150,
        daily_limit=20,
    )


def test_a_message_limit_needs_bans() -> None:
    courses, problems = load(
        {"scripts/courses.yml": "default: {path: a.yml, message_limit: 5, daily_limit: -1}", "scripts/a.yml": GOOD}
    )
    assert (courses.entries["default"].message_limit, courses.entries["default"].daily_limit) == (5, None)
    assert problems == [
        "warning: scripts/courses.yml:1:24: default/message_limit: has no effect without 'ban_enabled'; "
        "add 'ban_enabled: yes'",
        "warning: scripts/courses.yml:1:42: default/daily_limit: -1 is not a whole number of at least 1 and is not "
        "used; write for example 20",
    ]


def test_texts_of_a_list_with_broken_markup() -> None:
    _, problems = load(
        {"scripts/courses.yml": "default: {path: a.yml, decline_text: 'No *way'}", "scripts/a.yml": GOOD}
    )
    assert problems == [
        "warning: scripts/courses.yml:1:38: default/decline_text: Telegram can't parse entities: Can't find end of the "
        "entity starting at byte offset 3, near '*way'; it is sent as plain text; write \\_ or \\* for a sign that is "
        "no markup"
    ]


def test_a_course_of_dividers_only() -> None:
    _, problems = load({"scripts/courses.yml": "default: {path: a.yml}", "scripts/a.yml": "s: {type: section}"})
    assert problems == ["warning: scripts/a.yml:1:1: has only sections, learners see nothing; add a message"]


def test_d14_a_broken_file_leaves_the_others_running() -> None:
    courses, problems = load(
        {
            "scripts/courses.yml": "default: {path: a.yml}\nb: {path: b.yml}",
            "scripts/a.yml": GOOD,
            "scripts/b.yml": "a: [",
        }
    )
    assert list(courses.courses) == ["default"]
    assert [problem.rsplit(":", 2)[0] for problem in problems] == ["error: scripts/b.yml:2:1: is not valid YAML"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("default: {path: a.yml, pth: x}", "warning: {}:1:24: default/pth: unknown key; did you mean 'path'?"),
        ("default: {path: }", "error: {}:1:11: default/path: 'path' is missing or empty; add 'path: ...'"),
        ("default: {element: x}", "error: {}:1:1: default: 'path' is missing or empty; add 'path: ...'"),
        ("default: a.yml", "error: {}:1:1: default: must be a mapping; write '{path: FILE}'"),
        (
            "default: {path: a.yml, element: c}",
            "warning: {}:1:24: default/element: scripts/a.yml has no element 'c'; the course starts at its first "
            "element",
        ),
        (
            "default: {path: a.yml, element: bb}",
            "warning: {}:1:24: default/element: scripts/a.yml has no element 'bb'; did you mean 'b'?",
        ),
        (
            "default: {path: a.yml}\nx__y: {path: a.yml}",
            "warning: {}:2:1: x__y: the course id 'x__y' does not fit into a start link; use at most 64 of the "
            "characters A-Z a-z 0-9 _ - without '__'",
        ),
        (
            "default: {path: a.yml}\nвесна: {path: a.yml}",
            "warning: {}:2:1: весна: the course id 'весна' does not fit into a start link; use at most 64 of the "
            "characters A-Z a-z 0-9 _ - without '__'",
        ),
        (
            "spring: {path: a.yml}",
            "warning: {}: has no course 'default', which /start without a link opens; add 'default: {path: FILE}'",
        ),
        (
            "default: {path: nowhere.yml}",
            "error: {}:1:11: default/path: scripts/nowhere.yml does not exist; create it or correct the path",
        ),
        (
            "default: {path: locked.yml}",
            "error: {}:1:11: default/path: scripts/locked.yml cannot be read: Permission denied; "
            "create it or correct the path",
        ),
        ("default: {path: latin.yml}", "error: scripts/latin.yml:2: is not UTF-8; save the file as UTF-8"),
        (
            "default: {path: a.yml}\next_courses: {path: nowhere.yml}",
            "error: {}:2:15: ext_courses/path: scripts/nowhere.yml does not exist; create it or correct the path",
        ),
        (
            "default: {path: a.yml}\next_courses: {path: ../b.yml}",
            "error: {}:2:15: ext_courses/path: '../b.yml' leads out of scripts/; name a file inside it",
        ),
        (
            "default: {path: a.yml}\next_courses: {}",
            "error: {}:2:1: ext_courses: 'path' is missing or empty; add 'path: ...'",
        ),
        ("", "error: {}: has no course; write for example 'default: {path: hello.yml}'"),
        (
            "[default]",
            "error: {}:1:1: must be a mapping with an id for each course; write for example "
            "'default: {path: hello.yml}'",
        ),
        (
            "default: {path: a.yml}\ndefault: {path: a.yml}",
            "warning: {}:2:1: default: occurs twice, on lines 1 and 2; the last content is used, at the place of the "
            "first; rename or remove one",
        ),
    ],
)
def test_a_problem_of_a_list(text: str, problem: str) -> None:
    _, problems = load(
        {
            "scripts/courses.yml": text,
            "scripts/a.yml": GOOD,
            "scripts/locked.yml": PermissionError(13, "Permission denied"),
            "scripts/latin.yml": "a: 1\nb: é".encode("latin-1"),
        }
    )
    assert problems == [problem.replace("{}", "scripts/courses.yml", 1)]


def test_a_missing_list_is_one_error() -> None:
    assert load({}) == (
        Courses(),
        ["error: scripts/courses.yml: does not exist; create it or correct the bot's folder"],
    )


def test_d14_a_broken_file_does_not_touch_the_other_courses() -> None:
    courses, problems = load(
        {
            "scripts/courses.yml": "default: {path: a.yml}\nbroken: {path: b.yml}\nfaulty: {path: c.yml}",
            "scripts/a.yml": GOOD,
            "scripts/b.yml": "a: [",
            "scripts/c.yml": "a: {type: message}",
        }
    )
    assert list(courses.courses) == ["default"]
    assert list(courses.entries) == ["default", "broken", "faulty"]
    assert [problem.split(": ")[1] for problem in problems] == ["scripts/b.yml:2:1", "scripts/c.yml:1:1"]


@pytest.mark.parametrize(("value", "expected"), [("yes", True), ("'yes'", True), ("no", False), ("'no'", False)])
def test_d28_restricted_is_what_it_says(value: str, expected: bool) -> None:
    listing, problems = load_list(
        f"default: {{path: a.yml, restricted: {value}, ban_enabled: {value}}}", "scripts/x.yml"
    )
    entry = listing.entries["default"]
    assert (entry.restricted, entry.ban_enabled, problems) == (expected, expected, [])


def test_a_file_of_several_courses_is_read_once_and_reported_once() -> None:
    asked: list[str] = []
    read = files(
        {"scripts/courses.yml": "default: {path: a.yml}\nb: {path: scripts/a.yml, element: b}", "scripts/a.yml": "a: ["}
    )

    def counting(file: str) -> str:
        asked.append(file)
        return read(file)

    courses, problems = load_courses(counting, "")
    assert (dict(courses.courses), len(problems)) == ({}, 1)
    assert asked == ["scripts/courses.yml", "scripts/a.yml"]


WORDS = """
a b type text answers options media goto wait correct message quiz jump delay audio input dialog section yes no null
&x *x <<: !!int ? | > - : , [ ] { } ' " # % @ 30s https://example.org db path
"""
SNIPPETS = st.sampled_from([*WORDS.split(), "\n", "\t", "\0", "\ufeff", "\ud800", "\U0001f600"])


@given(st.text() | st.lists(SNIPPETS, max_size=30).map(" ".join) | st.lists(SNIPPETS, max_size=30).map("\n  ".join))
def test_no_text_makes_the_loader_fail(text: str) -> None:
    course, problems = load_course(text, "scripts/a.yml")
    assert isinstance(course, Course)
    assert all(isinstance(problem, Problem) for problem in problems)
    load_list(text, "scripts/courses.yml")


FIELDS = st.recursive(
    st.sampled_from(["hi", "yes", "no", "30s", "a", "b", "HTML", "https://example.org/x", "''", "[]", "{}", "~", "42"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(["text", "correct", "goto", "wait"]), inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({key for kind in TYPES.values() for key in kind.keys} - {"type"}))


@given(st.sampled_from(sorted(TYPES)), st.dictionaries(KEYS, FIELDS, max_size=6))
def test_no_field_makes_the_loader_fail(name: str, fields: dict[str, str]) -> None:
    body = ", ".join(f"{key}: {value}" for key, value in {"type": name, **fields}.items())
    course, _ = load_course(f"a: {{{body}}}\nb: {{type: end}}\n", "scripts/a.yml")
    assert list(course.elements) == ["a", "b"]


def test_thousands_of_mistakes_take_no_thousandfold_time() -> None:
    ids = "".join(f"id_{n}: {{type: jump, text: hi, options: [{{text: a, goto: it_{n}}}]}}\n" for n in range(3000))
    _, problems = load_course(ids, "scripts/a.yml")
    assert len(problems) == 3000
    assert problems[0].remedy.startswith("did you mean 'id_")
    assert problems[-1].remedy == "use the id of an element of this file"
