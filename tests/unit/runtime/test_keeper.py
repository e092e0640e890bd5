"""When Telegram's deliveries count as broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.runtime.keeper import Judge, Pace
from app.telegram.webhook import WebhookInfo

PACE = Pace(check=60, trial=5, patience=120, polling=600)
WELL = WebhookInfo("https://h/x", False, 40, frozenset(), pending=0)
FAILING = replace(WELL, pending=2, error_date=7, error="Connection refused")

Look = tuple[float, WebhookInfo, int, bool]
"""Seconds, what Telegram says, how many updates came in until then, whether deliveries count as broken."""


@pytest.mark.parametrize(
    "looks",
    [
        # Three looks over two minutes; the first of all only says how many came in.
        [(0, FAILING, 0, False), (60, FAILING, 0, False), (120, FAILING, 0, False), (180, FAILING, 0, True)],
        # More looks in less time are not enough, nor is more time between two.
        [(0, FAILING, 0, False), *((float(n), FAILING, 0, False) for n in range(1, 120)), (121, FAILING, 0, True)],
        [(0, FAILING, 0, False), (60, FAILING, 0, False), (600, FAILING, 0, False), (601, FAILING, 0, True)],
        # Something came in: what waits now is on its way.
        [(0, FAILING, 0, False), (60, FAILING, 0, False), (120, FAILING, 1, False), (180, FAILING, 1, False)],
        # Nothing waits, or it waits without an error.
        [(0, WELL, 0, False), (60, replace(FAILING, pending=0), 0, False), (120, replace(WELL, pending=5), 0, False)],
        # It was well in between.
        [
            (0, FAILING, 0, False),
            (60, FAILING, 0, False),
            (120, WELL, 0, False),
            (180, FAILING, 0, False),
            (240, FAILING, 0, False),
            (300, FAILING, 0, True),
        ],
    ],
)
def test_patience(looks: list[Look]) -> None:
    judge = Judge(PACE, 0, on_trial=False)
    assert [judge.is_broken(info, accepted, now) for now, info, accepted, _ in looks] == [look[3] for look in looks]


@pytest.mark.parametrize(
    ("looks", "on_trial"),
    [
        ([(0, FAILING, 9, False), (5, FAILING, 9, True)], True),
        ([(0, WELL, 9, False), (5, WELL, 9, False), (10, FAILING, 9, True)], True),
        ([(0, WELL, 9, False), (5, WELL, 10, False), (10, FAILING, 10, False)], False),
        ([(0, WELL, 9, False), (121, WELL, 9, False), (126, FAILING, 9, False)], False),
    ],
)
def test_a_webhook_on_trial_has_no_second_chance(looks: list[Look], on_trial: bool) -> None:
    judge = Judge(PACE, 0, on_trial=True)
    assert [judge.is_broken(info, accepted, now) for now, info, accepted, _ in looks] == [look[3] for look in looks]
    assert judge.on_trial is on_trial
