"""The history of pins."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.store.pin import Outcome, Pin
from app.store.store import Store

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
FIRST = Pin("a", None, "1.0", False, "ann@ship", NOON, NOON.replace(minute=1), Outcome.DONE)
SECOND = Pin("a", "1.0", "1.1", False, "bob@ship", NOON, NOON, Outcome.FAILED, "container exited with 1")
OTHER = Pin("b", "1.0", None, True, "ann@ship", NOON, NOON, Outcome.INTERRUPTED)


@pytest.mark.parametrize(
    ("botnames", "expected"),
    [(None, [FIRST, OTHER, SECOND]), (["a"], [FIRST, SECOND]), (["b", "c"], [OTHER]), ([], [])],
)
async def test_what_was_written_down_is_told_in_order(
    store: Store, botnames: list[str] | None, expected: list[Pin]
) -> None:
    for pin in (FIRST, OTHER, SECOND):
        await store.pins.add(pin)
    assert await store.pins.history(botnames) == expected
