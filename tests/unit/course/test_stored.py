"""Courses of the database."""

import json
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.course import Courses, Entry
from app.course.element import End, Input, Message, ParseMode, Quiz
from app.course.grammar import TYPES, element_of
from app.course.loader import elements_of, has_errors, load_course, load_courses, load_stored
from app.course.stored import Stored, to_yaml
from app.errors import InputError, Problem


def rows(**elements: object) -> Stored:
    """Return a course with these elements (``course_element.json``)."""
    return Stored(tuple((element_id, json.dumps({"element_data": body})) for element_id, body in elements.items()))


HELLO = rows(a={"type": "message", "text": "hi"}, b={"type": "end"})


def load(files: dict[str, str], stored: dict[str, Stored] | None) -> tuple[Courses, list[str]]:
    courses, problems = load_courses(lambda file: dedent(files[file]), "", stored)
    return courses, [f"{problem.severity}: {problem}" for problem in problems]


def test_a_course_of_the_database() -> None:
    files = {"scripts/courses.yml": "default: {path: db, restricted: yes, element: b}"}
    courses, problems = load(files, {"default": HELLO})
    assert problems == []
    assert courses.entries == {"default": Entry("default", "db", element="b", restricted=True)}
    assert dict(courses.courses["default"].elements) == {
        "a": Message("a", {"type": "message", "text": "hi"}, text="hi"),
        "b": End("b", {"type": "end"}),
    }
    assert courses.start_of("default") == End("b", {"type": "end"})


def test_all_courses_of_the_database_replace_those_of_the_list() -> None:
    files = {
        "scripts/courses.yml": """
            default: {path: a.yml}
            spring: {path: a.yml, restricted: yes, ban_enabled: yes}
            ext_courses: {path: db}
        """,
        "scripts/a.yml": "a: {type: end}",
    }
    courses, problems = load(files, {"spring": HELLO, "autumn": HELLO})
    assert problems == []
    assert courses.entries == {
        "default": Entry("default", "scripts/a.yml"),
        "spring": Entry("spring", "db"),
        "autumn": Entry("autumn", "db"),
    }
    assert {course_id: course.order for course_id, course in courses.courses.items()} == {
        "default": ("a",),
        "spring": ("a", "b"),
        "autumn": ("a", "b"),
    }


def test_without_a_database_its_courses_are_not_checked() -> None:
    files = {
        "scripts/courses.yml": "default: {path: a.yml}\nauthored: {path: db}\next_courses: {path: db}",
        "scripts/a.yml": "a: {type: end}",
    }
    courses, problems = load(files, None)
    assert (list(courses.entries), list(courses.courses)) == (["default", "authored"], ["default"])
    assert problems == [
        "warning: scripts/courses.yml:3:15: ext_courses/path: the courses of the database are not checked; "
        "they are read when the bot runs",
        "warning: scripts/courses.yml:2:12: authored/path: a course of the database is not checked; "
        "it is read when the bot runs",
    ]


def test_a_default_may_be_in_the_database() -> None:
    _, problems = load({"scripts/courses.yml": "a: {path: db}\next_courses: {path: db}"}, None)
    assert [problem for problem in problems if "has no course" in problem] == []


def test_problems_of_one_course_leave_the_others_running() -> None:
    stored = {
        "default": HELLO,
        "broken": Stored((("a", '{"element_data": {"type"'), ("b", "{}"), ("c", '{"element_data": {"type": "end"}}'))),
        "wrong": rows(a={"type": "mesage", "text": "hi"}, b={"type": "jump", "text": "hi", "options": ["x"]}),
        "lost": rows(a={"type": "jump", "text": "hi", "options": [{"text": "x", "goto": "bb"}]}, b={"type": "end"}),
        "empty": Stored(()),
    }
    entries = "\n".join(f"{course_id}: {{path: db}}" for course_id in [*stored, "defalt"])
    courses, problems = load({"scripts/courses.yml": entries}, stored)
    assert list(courses.courses) == ["default"]
    assert problems == [
        "error: database: broken/a: is not valid JSON: Expecting ':' delimiter: line 1 column 25 (char 24); "
        "import the course again",
        "error: database: broken/b: has no 'element_data'; import the course again",
        "error: database: wrong/a/type: unknown element type 'mesage'; did you mean 'message'?",
        "error: database: lost/a/options/1/goto: there is no element 'bb'; did you mean 'b'?",
        "error: database: empty: has no element; write for example 'Intro_1: {type: message, text: ...}'",
        "error: database: defalt: there is no such course; did you mean 'default'?",
    ]


def test_a_start_element_that_a_stored_course_does_not_have() -> None:
    _, problems = load({"scripts/courses.yml": "default: {path: db, element: x}"}, {"default": HELLO})
    assert problems == [
        "warning: scripts/courses.yml:1:21: default/element: the course in the database has no element 'x'; "
        "the course starts at its first element"
    ]


def test_an_id_that_fits_no_link() -> None:
    files = {"scripts/courses.yml": "default: {path: db}\next_courses: {path: db}"}
    courses, problems = load(files, {"default": HELLO, "a__b": HELLO})
    assert list(courses.courses) == ["default", "a__b"]
    assert problems == [
        "warning: database: a__b: the course id 'a__b' does not fit into a start link; use at most 64 of the "
        "characters A-Z a-z 0-9 _ - without '__'"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "is nested deeper than 32 levels"),
        ("[" * 40 + "]" * 40, "is nested deeper than 32 levels"),
        ('{"element_data": NaN}', "is not valid JSON: NaN is no number of JSON"),
        ('{"element_data": 1e999}', "has a number that is too large"),
        ('{"element_data": "\\u0000"}', "has a character that PostgreSQL cannot store"),
        ('{"element_data": {"\\ud83d": 1}}', "has a character that PostgreSQL cannot store"),
        (" " * 2_000_001, "has 2000001 characters, more than 2000000"),
        ("[]", "has no 'element_data'"),
        ("{}", "has no 'element_data'"),
    ],
)
def test_broken_json(text: str, problem: str) -> None:
    course, problems = load_stored("c", Stored((("a", text),)))
    assert dict(course.elements) == {}
    assert problems == [Problem("database", 0, 0, "c/a", problem, "import the course again")]


def test_an_element_that_is_no_mapping() -> None:
    assert load_stored("c", rows(a="message"))[1] == [
        Problem("database", 0, 0, "c/a", "an element must be a mapping", "write 'type: message' and so on below it")
    ]


def test_values_of_json_are_read_as_what_they_say() -> None:
    answers = [{"text": 1, "correct": True}, {"text": "b", "correct": "no"}, {"text": "c", "correct": None}]
    course, problems = load_stored(
        "c",
        rows(
            q={"type": "quiz", "text": "hi", "answers": answers},
            i={"type": "input", "text": "hi", "correct_answer": 42, "parse_mode": "HTML"},
        ),
    )
    assert problems == []
    quiz, input_ = course.elements["q"], course.elements["i"]
    assert isinstance(quiz, Quiz)
    assert [(option.text, option.correct) for option in quiz.options] == [("1", True), ("b", False), ("c", False)]
    assert isinstance(input_, Input)
    assert (input_.correct_answer, input_.parse_mode) == ("42", ParseMode.HTML)


def test_d33_the_thresholds_of_a_stored_test_are_in_the_order_of_numbers() -> None:
    score = {"100": "c", "20": "a", "65": "b"}
    course, problems = load_stored(
        "c", rows(q={"type": "input", "text": "hi", "correct_answer": "a"},
                  t={"type": "test", "text": "hi", "prefix": "q", "score": score})
    )  # fmt: skip
    assert problems == []
    assert [verdict.text for verdict in course.elements["t"].verdicts] == ["a", "b", "c"]  # type: ignore[union-attr]


def test_an_id_that_is_stored_twice() -> None:
    first, last = '{"element_data": {"type": "message", "text": "1"}}', '{"element_data": {"type": "end"}}'
    course, problems = load_stored("c", Stored((("a", first), ("b", last), ("a", last))))
    assert [(element.id, element.body["type"]) for element in course.elements.values()] == [("a", "end"), ("b", "end")]
    assert [str(problem) for problem in problems] == [
        "database: c/a: occurs twice; the last content is used, at the place of the first"
    ]


def test_a_course_that_is_only_yaml() -> None:
    course, problems = load_stored("c", Stored((), "a: {type: end}\n"))
    assert (course.order, problems) == (("a",), [])
    _, problems = load_stored("c", Stored((), "a: {type: edn}\n"))
    assert [str(problem) for problem in problems] == [
        "database:1:5: c/a/type: unknown element type 'edn'; did you mean 'end'?"
    ]


def test_importing_a_file() -> None:
    text = """
        a: {type: message, text: Привет, button: yes}
        b: {type: ' delay ', text: tomorrow}
        a: {type: input, text: hi, correct_answer: 042}
    """
    assert elements_of(dedent(text), "a.yml") == [
        ("a", "input", '{"element_data": {"type": "input", "text": "hi", "correct_answer": "042"}}'),
        ("b", "delay", '{"element_data": {"type": " delay ", "text": "tomorrow"}}'),
    ]
    assert elements_of("a: {type: message, text: Привет}", "a.yml")[0][2] == (
        '{"element_data": {"type": "message", "text": "Привет"}}'
    )


def test_d45_of_a_file_with_errors_nothing_is_imported() -> None:
    with pytest.raises(InputError) as caught:
        elements_of("a: {type: end, txt: x}\nb: {type: mesage}", "a.yml")
    assert str(caught.value) == "a.yml:2:5: b/type: unknown element type 'mesage'; did you mean 'message'?"


def test_exporting() -> None:
    stored = rows(
        Intro_1={"type": "message", "text": "Привет, *мир* 👋!\n\nВот  \nкурс.\n", "button": "yes"},
        q={"type": "quiz", "text": "x" * 81, "answers": [{"text": "2020-01-01", "correct": True}, {"text": "b"}]},
        end={"type": "end"},
    )
    assert to_yaml(stored.elements) == (
        "Intro_1:\n"
        "  type: message\n"
        "  text: |\n"
        "    Привет, *мир* 👋!\n"
        "\n"
        "    Вот  \n"
        "    курс.\n"
        "  button: 'yes'\n"
        "\n"
        "q:\n"
        "  type: quiz\n"
        "  text: |-\n"
        f"    {'x' * 81}\n"
        "  answers:\n"
        "  - text: '2020-01-01'\n"
        "    correct: true\n"
        "  - text: b\n"
        "\n"
        "end:\n"
        "  type: end\n"
    )


def test_broken_rows_are_not_exported() -> None:
    with pytest.raises(InputError) as caught:
        to_yaml([("a", "{}")])
    assert str(caught.value) == "database: a: has no 'element_data'; import the course again"


TEXTS = st.one_of(
    st.text(alphabet=" \nab#-:|>'\"\\%@{[]}*&!,?<=~\t\r\x85\u2028\ufeff\xa0é👋\u200d"),
    st.sampled_from(["yes", "no", "1", "042", "1.5", "2020-01-01", "null", "~", "<<", "=", "x" * 90, "---", "...", ""]),
)
BODIES = st.fixed_dictionaries(
    {"type": st.just("message"), "text": TEXTS.filter(str.strip)},
    optional={
        "button": TEXTS,
        "link_preview": st.booleans() | st.none() | st.sampled_from(["yes", "no"]),
        "media": st.lists(TEXTS),
        "options": st.lists(st.fixed_dictionaries({"text": TEXTS.filter(str.strip)}, optional={"wait_text": TEXTS})),
        "other": st.dictionaries(TEXTS, TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False)),
    },
)


@given(st.dictionaries(TEXTS, BODIES, min_size=1))
def test_what_is_exported_loads_to_the_same_course(elements: dict[str, object]) -> None:
    stored = Stored(tuple((element_id, json.dumps({"element_data": body})) for element_id, body in elements.items()))
    course, problems = load_stored("c", stored)
    assert not has_errors(problems)
    text = to_yaml(stored.elements)
    again, _ = load_course(text, "a.yml")
    assert list(again.elements.items()) == list(course.elements.items())
    imported = elements_of(text, "a.yml")
    stored_again, _ = load_stored("c", Stored(tuple((element_id, text) for element_id, _, text in imported)))
    assert list(stored_again.elements.items()) == list(course.elements.items())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["a", "{q1}", "q1: x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "type", "options", "actual", "role", "content", "goto", "x"]), inner)
    ),
    max_leaves=8,
)
KEYS = sorted({key for kind in TYPES.values() for key in kind.keys} - {"type"})


@given(st.sampled_from(list(TYPES)), st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_no_content_of_the_database_is_a_crash(name: str, fields: dict[str, object]) -> None:
    course, _ = load_stored("c", rows(a={**fields, "type": name}))
    for element in course.elements.values():
        assert element_of("a", element.body) == element
        assert json.loads(json.dumps(element.body)) == element.body


def test_what_stands_for_nothing_is_a_warning_in_the_database_too() -> None:
    rows = (
        ("Talk", '{"element_data": {"type": "dialog", "text": "Hi", "prompt": "Say {{Nobody}}"}}'),
        (
            "Sum",
            '{"element_data": {"type": "test", "text": "So", "prefix": "X", "score": {"100": "all"}, "button": "on"}}',
        ),
        ("Again", '{"element_data": {"type": "revision", "text": "So", "prefix": "Y", "no_mistakes": "None"}}'),
        ("Bye", '{"element_data": {"type": "end", "text": "Bye"}}'),
    )
    course, problems = load_stored("spring", Stored(rows))
    assert list(course.elements) == ["Talk", "Sum", "Again", "Bye"]
    assert [str(problem) for problem in problems] == [
        "database: spring/Sum/prefix: no quiz, input or multi_choice has an id that begins with 'X'; "
        "use the beginning of their ids",
        "database: spring/Again/prefix: no quiz, input or multi_choice has an id that begins with 'Y'; "
        "use the beginning of their ids",
        "database: spring/Talk/prompt: there is no element 'Nobody', its variable stays empty; "
        "use the id of an element of this file",
    ]
