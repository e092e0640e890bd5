"""To which version a rollback returns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.store.pin import NothingToUndo, Outcome, Pin, last_good

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def history(*steps: tuple[str | None, str | None, str]) -> list[Pin]:
    return [
        Pin(
            "a",
            before,
            after,
            word == "rollback",
            "ann@ship",
            NOW,
            NOW,
            Outcome.DONE if word != "bad" else Outcome.FAILED,
        )
        for before, after, word in steps
    ]


UP = (None, "1", "pin"), ("1", "2", "pin"), ("2", "3", "pin")


@pytest.mark.parametrize(
    ("steps", "current", "expected"),
    [
        (UP, "3", "2"),
        ((*UP, ("3", "4", "bad")), "3", "2"),
        ((*UP, ("3", "2", "rollback")), "2", "1"),
        ((*UP, ("3", "2", "rollback"), ("2", "1", "rollback")), "1", None),
        ((*UP, ("3", "2", "rollback"), ("2", "5", "pin")), "5", "2"),
        (UP, "by hand", "3"),
        (UP, None, "3"),
        (((None, "1", "pin"), ("1", None, "rollback")), "by hand", None),
    ],
)
def test_each_rollback_undoes_one_pin(
    steps: tuple[tuple[str | None, str | None, str], ...], current: str | None, expected: str | None
) -> None:
    assert last_good(history(*steps), current) == expected


@pytest.mark.parametrize(
    ("steps", "current"),
    [((), None), ((), "1"), (((None, "1", "bad"),), None), (((None, "1", "pin"), ("1", None, "rollback")), None)],
)
def test_nothing_to_undo(steps: tuple[tuple[str | None, str | None, str], ...], current: str | None) -> None:
    with pytest.raises(NothingToUndo):
        last_good(history(*steps), current)
