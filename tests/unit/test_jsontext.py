"""Compact JSON texts are those of the standard library, written by a faster serializer."""

from __future__ import annotations

import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jsontext import to_bytes, to_text

TEXT = st.text(st.characters(exclude_categories=[]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


class Color(StrEnum):
    RED = "red"


@given(VALUES)
def test_it_reads_as_what_was_written(value: object) -> None:
    assert json.loads(to_text(value)) == value
    assert json.loads(to_text(value, is_ascii=True)) == value
    assert json.loads(to_bytes(value)) == json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def test_it_is_compact() -> None:
    assert to_text({"a": [1, 0.5, None, True], "ж": (Color.RED,)}) == '{"a":[1,0.5,null,true],"ж":["red"]}'
    assert to_text("ж😀", is_ascii=True) == r'"\u0436\ud83d\ude00"'


def test_halves_of_surrogate_pairs() -> None:
    assert to_bytes({"a": "ж\ud83d"}) == '{"a":"ж?"}'.encode()
    assert to_text("ж\ud83d", is_ascii=True) == r'"\u0436\ud83d"'
    with pytest.raises(UnicodeEncodeError):  # left in a text for the database to refuse
        to_text("\ud83d").encode()


def test_deep_nesting() -> None:
    value: list[object] = []
    for _ in range(500):
        value = [value]

    assert json.loads(to_bytes(value)) == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_bytes({"a": object()})
