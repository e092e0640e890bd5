"""Tokens: their shape, and those of the sandbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.tokens import is_well_formed, sandbox_name, sandbox_token, shown

TOKEN = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


@given(st.text())
def test_sandbox_tokens_are_well_formed_and_always_the_same(name: str) -> None:
    token = sandbox_token(name)
    assert is_well_formed(token, official=False)
    assert sandbox_token(name) == token


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (sandbox_token("fleet_school"), "fleet_school"),
        (sandbox_token("a.b"), "a-b"),
        (sandbox_token(""), None),
        (TOKEN, None),
        ("", None),
    ],
)
def test_sandbox_tokens_tell_the_name(token: str, name: str | None) -> None:
    assert sandbox_name(token) == name


@given(st.lists(st.text(), unique=True))
def test_sandbox_tokens_differ(names: list[str]) -> None:
    assert len({sandbox_token(name).partition(":")[0] for name in names}) == len(names)


def test_a_sandbox_token() -> None:
    assert sandbox_token("lighthouse") == "1858387347:sandbox-lighthouse"


@pytest.mark.parametrize(
    ("token", "official", "other"),
    [
        (TOKEN, True, True),
        ("42:TEST", False, True),
        ("", False, False),
        ("abc", False, False),
        (f"{TOKEN} ", False, False),
        (f"bot{TOKEN}", False, False),
        ("1:a/b", False, False),
    ],
)
def test_shapes(token: str, official: bool, other: bool) -> None:
    assert (is_well_formed(token, official=True), is_well_formed(token, official=False)) == (official, other)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a'b", '"a\'b"'), (5, "5"), (f"x {TOKEN}", "'x ...'"), ([TOKEN], "['...']"), ("a" * 100, "'" + "a" * 76 + "...")],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text
