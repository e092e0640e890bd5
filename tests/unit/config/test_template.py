"""References to variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.template import Reference, TemplateError, references, resolve, single_reference

ENVIRON = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${SET}", "value"),
        ("a ${SET} b ${SET}", "a value b value"),
        ("${EMPTY}", ""),
        ("${SET:-other}", "value"),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-other: words?}", "other: words?"),
        ("${UNSET:-}", ""),
        ("${SET:?why}", "value"),
        ("$SET $ $$ 5$", "$SET $ $$ 5$"),
        ("$${SET}", "${SET}"),
    ],
)
def test_resolve(text: str, resolved: str) -> None:
    assert resolve(text, ENVIRON) == resolved


@pytest.mark.parametrize(
    ("text", "error", "remedy"),
    [
        ("${UNSET}", "variable UNSET is not set", "put UNSET=... into .env"),
        ("${UNSET:?ask Ann}", "variable UNSET is not set: ask Ann", "put UNSET=... into .env"),
        ("${EMPTY:?}", "variable EMPTY is not set: it is required", "put EMPTY=... into .env"),
        ("${", "'${' does not begin a reference", "write ${NAME}, or $${ for the two characters themselves"),
        ("${A-B}", "'${' does not begin a reference", "write ${NAME}, or $${ for the two characters themselves"),
        ("${A:-${B}}", "'${' does not begin a reference", "write ${NAME}, or $${ for the two characters themselves"),
    ],
)
def test_what_cannot_be_resolved(text: str, error: str, remedy: str) -> None:
    with pytest.raises(TemplateError) as caught:
        resolve(text, ENVIRON)
    assert (str(caught.value), caught.value.remedy) == (error, remedy)


def test_references() -> None:
    assert references("${A} $${B} ${C:-d} ${E:?f}") == [
        Reference("A"),
        Reference("C", default="d"),
        Reference("E", message="f"),
    ]


@pytest.mark.parametrize(
    ("text", "reference"),
    [("${A}", Reference("A")), ("${A} ", None), ("A", None), ("$${A}", None), ("${A}${B}", None)],
)
def test_single_reference(text: str, reference: Reference | None) -> None:
    assert single_reference(text) == reference


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_references_stays(text: str) -> None:
    assert resolve(text, {}) == text
