"""Which models take what."""

from __future__ import annotations

import pytest

from app.config.settings import REASONING_MODELS, ModelTraits
from app.dialog.interface import traits_of

ALL = ModelTraits("*")


@pytest.mark.parametrize(
    ("model", "traits"),
    [
        ("gpt-4.1", ALL),
        ("gpt-5", REASONING_MODELS[1]),
        ("gpt-5-mini-2025-08-07", REASONING_MODELS[1]),
        ("o3-mini", REASONING_MODELS[0]),
        ("openchat", ALL),
        ("omni", ALL),
        ("GPT-5", ALL),
        ("", ALL),
    ],
)
def test_d22_known_models(model: str, traits: ModelTraits) -> None:
    assert traits_of(model, REASONING_MODELS) == traits


def test_d22_the_first_match_counts() -> None:
    own = ModelTraits("gpt-5-chat*", takes_temperature=True), ModelTraits("*", takes_temperature=False)
    assert traits_of("gpt-5-chat-latest", (*own, *REASONING_MODELS)) == own[0]
    assert traits_of("gpt-5", (*own, *REASONING_MODELS)) == own[1]
