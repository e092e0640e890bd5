"""Everything that reads hostile input, with damaged examples and random texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import FRAGMENTS, HOSTILE_TEXT, mutated
from tests.fuzz.target import TARGETS

SLOW = {"course": 3, "stored": 3, "config": 3}
"""How many times fewer examples these get."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_fragments(name: str) -> None:
    target = TARGETS[name]
    for text in (*target.seeds, *FRAGMENTS):
        target.check(text)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_and_random_texts(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=settings.default.max_examples // SLOW.get(name, 1))
    @given(mutated(*target.seeds) | HOSTILE_TEXT | st.text())
    def check(text: str) -> None:
        target.check(text)

    check()
