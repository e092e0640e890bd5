"""Variables of prompts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.course.prompt import Variable, render, variables

NAMES = [
    ("Ex1_chat", Variable("Ex1_chat")),
    (" Ex1_chat ", Variable("Ex1_chat")),
    ("3]Ex1_chat", Variable("Ex1_chat", first=3)),
    (" 3 ] Ex1_chat ", Variable("Ex1_chat", first=3)),
    ("Ex1_chat[2", Variable("Ex1_chat", last=2)),
    ("Ex1_chat [ 2 ", Variable("Ex1_chat", last=2)),
    ("x]Ex1_chat", Variable("Ex1_chat")),
    ("-1]Ex1_chat", Variable("Ex1_chat")),
    ("Ex1_chat[many", Variable("Ex1_chat")),
    (f"Ex1_chat[{'9' * 5000}", Variable("Ex1_chat")),
    ("]Ex1_chat", Variable("]Ex1_chat")),
    ("[2", Variable("[2")),
    ("Name.answer", Variable("Name", is_answer=True)),
    (" Name.answer ", Variable("Name", is_answer=True)),
    ("", Variable("")),
    ("Имя и фамилия", Variable("Имя и фамилия")),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_forms(name: str, expected: Variable) -> None:
    assert variables(f"a {{{{{name}}}}} b") == [expected]


def test_in_their_order_each_time() -> None:
    assert variables("{{b}} {{2]a}}{{b}}") == [Variable("b"), Variable("a", first=2), Variable("b")]


@pytest.mark.parametrize("prompt", ["", "{a}", "{{a}", "{{a\n}}", "<!-- {{a}} -->", "<!--\n{{a}}\n-->", "{<!-- -->a}}"])
def test_none(prompt: str) -> None:
    assert variables(prompt) == []


def test_comments_go_first() -> None:
    assert render("a<!-- b -->c\n<!--\n{{x}}\n--> {{y}} <!-- open", lambda variable: variable.element_id) == (
        "ac\n y <!-- open"
    )


@pytest.mark.parametrize("name", ["Name.answer", "2]a", "a[2"])
def test_an_id_that_looks_like_a_form_wins(name: str) -> None:
    assert variables(f"{{{{ {name} }}}}", {name}) == [Variable(name)]
    assert render(f"{{{{ {name} }}}}", lambda variable: variable.element_id, {name}) == name


def test_what_is_put_in_is_not_read_again() -> None:
    assert render(r"{{a}}", lambda _: r"{{b}} <!-- c --> \1") == r"{{b}} <!-- c --> \1"


@given(st.text(alphabet="{}<!->a\n"))
def test_the_shortest_matches_from_the_left(prompt: str) -> None:
    plain = re.sub(r"<!--.*?-->", "", prompt, flags=re.DOTALL)
    assert [variable.element_id for variable in variables(prompt)] == re.findall(r"\{\{(.*?)\}\}", plain)
    assert render(prompt, lambda variable: f"[{variable.element_id}]") == re.sub(r"\{\{(.*?)\}\}", r"[\1]", plain)


@pytest.mark.parametrize("sign", ["{{", "<!--", "{{a}", "{{a["])
def test_a_long_prompt_takes_no_quadratic_time(sign: str) -> None:
    assert render(sign * 500_000, lambda _: "") == sign * 500_000


@given(st.text(alphabet="{}[]<!->. 12ab\n"))
def test_rendering_asks_for_the_variables_in_their_order(prompt: str) -> None:
    asked: list[Variable] = []

    def lookup(variable: Variable) -> str:
        asked.append(variable)
        return ""

    rendered = render(prompt, lookup)
    assert asked == variables(prompt)
    assert len(rendered) <= len(prompt)
