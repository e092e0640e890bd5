"""Reading YAML: values, places, and everything that is refused."""

from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.course.document import MAX_CHARACTERS, Items, Node, Scalar, Table, from_data, parse
from app.course.report import Place, Report


def read(text: str) -> tuple[Node | None, list[str]]:
    report = Report("scripts/a.yml")
    root = parse(text, report)
    return root, [f"{problem.severity}: {problem}" for problem in report.problems]


def data(node: Node | None) -> Any:
    match node:
        case Table():
            return {key: data(value) for key, value in node.items.items()}
        case Items():
            return [data(item) for item in node.items]
        case Scalar():
            return node.value
        case None:
            return None


def test_values_know_their_places_and_how_they_were_written() -> None:
    root, problems = read("a: Yes\nb:\n  - 0x10\n  - 'x'\n")
    assert problems == []
    assert root == Table({"a": Scalar("Yes", True), "b": Items((Scalar("0x10", 16), Scalar("x", "x")))})
    assert root.keys == {"a": Place(1, 1), "b": Place(2, 1)}
    items = root.items["b"]
    assert isinstance(items, Items)
    assert [item.place for item in items.items] == [Place(3, 5), Place(4, 5)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [yes, no, on, off, true, False]", [True, False, True, False, True, False]),
        ("a: [1, 0x1F, 017, 1_000, -3, 190:20:30]", [1, 31, 15, 1000, -3, 685230]),
        ("a: [1.5, 1e3, 1.0e+3]", [1.5, "1e3", 1000.0]),
        ("a: [~, null, ]", [None, None]),
        ("a: [.inf, .nan]", [".inf", ".nan"]),
        ("a: [2020-01-01, '2020-01-01', 2001-12-14t21:59:43.10-05:00]",
         ["2020-01-01", "2020-01-01", "2001-12-14t21:59:43.10-05:00"]),
        ("a: [=, !!str 42, !!int x, !!bool x, y, n]", ["=", "42", "x", "x", "y", "n"]),
        (f"a: [{'9' * 5000}]", ["9" * 5000]),
        ("a: [&x 1, *x]", [1, 1]),
    ],
)  # fmt: skip
def test_yaml_1_1(text: str, expected: list[Any]) -> None:
    root, problems = read(text)
    assert (data(root), problems) == ({"a": expected}, [])


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_document_has_no_value(text: str) -> None:
    root, problems = read(text)
    assert (data(root), problems) == (None, [])


@pytest.mark.parametrize("text", ["\ufeffa: 1", "a: 1\r\n", "a: 1\r"])
def test_byte_order_mark_and_line_ends(text: str) -> None:
    assert data(read(text)[0]) == {"a": 1}


def test_a_duplicate_key_has_the_place_of_the_first_and_the_content_of_the_last() -> None:
    root, problems = read("a: 1\nb: 2\na: 3\nc: {x: 1, x: 2}\n")
    assert list(data(root).items()) == [("a", 3), ("b", 2), ("c", {"x": 2})]
    remedy = "the last content is used, at the place of the first; rename or remove one"
    assert problems == [
        f"warning: scripts/a.yml:3:1: a: occurs twice, on lines 1 and 3; {remedy}",
        f"warning: scripts/a.yml:4:11: c/x: occurs twice, on lines 4 and 4; {remedy}",
    ]


def test_merge_keys() -> None:
    text = """
        base: &base {type: message, text: x}
        more: &more {text: y, button: z}
        a: {<<: *base, text: own}
        b: {<<: [*base, *more]}
        c: {text: own, <<: *base, <<: *more}
    """
    root, problems = read(dedent(text))
    assert problems == []
    assert data(root)["a"] == {"type": "message", "text": "own"}
    assert data(root)["b"] == {"type": "message", "text": "x", "button": "z"}
    assert data(root)["c"] == {"type": "message", "text": "own", "button": "z"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c", "a.yml:1:5: is not valid YAML: mapping values are not allowed in this context; "
                    "a text with a colon needs quotes, or write it below a '|'; if there is none, "
                    "indent the line like the one before it, and put a space after every 'key:'"),
        ("a:\n\tb: 1", "a.yml:2:1: is not valid YAML: while scanning for the next token on line 2: found character "
                       "that cannot start any token; indent with spaces, not tabs; quote texts that begin with @ or `"),
        ("a: [1", "a.yml:2:1: is not valid YAML: while parsing a flow sequence on line 1: "
                  "did not find expected ',' or ']'; close the bracket"),
        ('a: "x\nb: 1', "a.yml:2:5: is not valid YAML: while scanning a quoted scalar on line 1: "
                        "found unexpected end of stream; look for a quote that is not closed"),
        ("a: *x", "a.yml:1:4: is not valid YAML: found undefined alias; quote the text if it begins with '*'"),
        ("a: 1\n---\nb: 2", "a.yml:2:1: is not valid YAML: expected a single document in the stream on line 1: but "
                            "found another document; remove the '---' line"),
        ("a: 1\né: \x07", "a.yml:2: has the control character '\\x07'; remove it"),
        ("a: 1\nb: \x00", "a.yml:2: has the control character '\\x00'; remove it"),
        ('a: 1\nb: "\\0"', "a.yml:2:4: has the control character '\\x00'; remove it"),
        ("a: 1\nb: \ud800", "a.yml:2: is not valid Unicode; save the file as UTF-8"),
        ("a: !x 1", "a.yml:1:4: has the unknown tag '!x'; quote the text if it begins with '!'"),
        ("a: !!python/object/apply:os.system [ls]",
         "a.yml:1:4: has the unknown tag 'tag:yaml.org,2002:python/object/apply:os.system'; "
         "quote the text if it begins with '!'"),
        ("? [1]\n: 2", "a.yml:1:3: has a key that is not a text; write 'key: value'"),
        ("<<: 3", "a.yml:1:5: merges something that is not a mapping with '<<'"),
        ("a: &a [*a]", "a.yml:1:4: has an alias that contains itself; remove the '*' alias"),
        pytest.param("[" * 100_000, "a.yml:1:33: is nested deeper than 32 levels", id="deep"),
        pytest.param(
            "x" * (MAX_CHARACTERS + 1), "a.yml: has 2000001 characters, more than 2000000; split the file", id="long"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_problem(text: str, problem: str) -> None:
    assert read(text) == (None, [f"error: scripts/{problem}"])


def test_nested_aliases_do_not_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    root, problems = read("\n".join(lines))
    assert root is None
    assert problems == [
        "error: scripts/a.yml:6:5: has more than 2000000 characters with its aliases written out; use fewer '*' aliases"
    ]


def test_nested_merges_do_not_explode() -> None:
    lines = ["a0: &a0 {x: y}"]
    lines += [f"a{n}: &a{n} {{p: {{<<: *a{n - 1}}}, q: {{<<: *a{n - 1}}}}}" for n in range(1, 30)]
    root, problems = read("\n".join(lines))
    assert root is None
    assert "aliases written out" in problems[0]


@pytest.mark.parametrize(
    "lines",
    [
        [f"b: {{<<: [{', '.join(['*a'] * 3000)}]}}"],
        [f"b{number}: {{<<: *a}}" for number in range(3000)],
    ],
    ids=["in one place", "in many places"],
)
def test_merges_are_counted_also_where_they_bring_in_nothing_new(lines: list[str]) -> None:
    root, problems = read("\n".join([f"a: &a {{{', '.join(f'k{number}: 1' for number in range(100))}}}", *lines]))
    assert root is None
    assert [problem.partition(": brings")[2] for problem in problems] == [
        " in more than 200000 entries with '<<'; use fewer of them"
    ]


@pytest.mark.parametrize(
    "number", ["0x" + "f" * 5000, "1" * 5000, "1" + ":1" * 5000], ids=["hex", "decimal", "base 60"]
)
def test_a_number_without_end_is_a_text(number: str) -> None:
    root, problems = read(f"a: {number}")
    assert root == Table({"a": Scalar(number, number)})
    assert problems == []


def test_aliases_nest_no_deeper_than_brackets() -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]
    root, problems = read("\n".join(lines))
    assert root is None
    assert problems == ["error: scripts/a.yml:32:6: is nested deeper than 32 levels; use fewer '*' aliases"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("абвxyz: -#'\"\n", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("xyz", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), JSON))
def test_what_safe_load_reads_is_read_the_same(value: dict[str, Any]) -> None:
    root, problems = read(yaml.safe_dump(value, allow_unicode=True))
    assert (data(root), problems) == (value, [])
    assert data(from_data(value)) == value
