"""Pauses between attempts."""

from __future__ import annotations

from itertools import pairwise

from app.telegram.backoff import Backoff


def test_delays_grow_up_to_the_longest_and_begin_anew() -> None:
    waits = Backoff(5.0)
    delays = [next(waits) for _ in range(50)]
    assert delays[0] == 0.5
    assert all(later > earlier for earlier, later in pairwise(delays[:4]))
    assert all(4.0 < delay < 6.0 for delay in delays[10:])
    assert len(set(delays[10:])) == 40
    waits.reset()
    assert (waits.next_delay, next(waits)) == (0.5, 0.5)
