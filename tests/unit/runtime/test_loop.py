"""The garbage collector of a host."""

from __future__ import annotations

import gc

from app.runtime.loop import spare_the_collector


def test_what_the_start_leaves_is_not_collected_again() -> None:
    before = gc.get_threshold()
    try:
        spare_the_collector()

        assert gc.get_freeze_count() > 10_000
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
